"""Batches of sequence indices: a bucket at a time, or filled up to a budget of tokens."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ..types import IntArray
from ..validation import check_bool, check_integer, check_lengths
from .boundaries import bucket_ids, check_boundaries

__all__ = ["batches_by_bucket", "token_budget_batches"]

# By how much two lengths may differ, as a share, and still be mixed by a seed.
_SIMILAR = 0.1


def batches_by_bucket(
    lengths: Any,
    boundaries: Any,
    batch_sizes: int | Sequence[int],
    *,
    seed: int | None = None,
    drop_remainder: bool = False,
) -> list[IntArray]:
    """Cut each bucket into batches.

    Parameters
    ----------
    lengths : array_like of int, shape (B,)
    boundaries : array_like of int, shape (K-1,)
        Strictly increasing; the meaning is that of :func:`~refrnn.bucketing.boundaries.bucket_ids`.
    batch_sizes : int or sequence of K int
        Sequences in a batch, for all buckets or one number a bucket; each at least 1.
    seed : int or None
        ``None``: buckets and sequences in their order. A seed shuffles the sequences of each
        bucket and then the order of the batches; equal seeds give equal batches (with one
        version of NumPy).
    drop_remainder : bool
        Leave out the last batch of a bucket when it is not full.

    Returns
    -------
    list of ndarray of int64
        Indices into `lengths`. Each index is in exactly one batch, or in none if
        `drop_remainder` dropped it. No batch is empty or mixes buckets.

    Raises
    ------
    TypeError
        If lengths, boundaries, batch sizes or the seed are not integers, or `drop_remainder` is
        not a bool.
    ValueError
        If a length is negative, the boundaries do not rise, a batch size is below 1, there is
        not one batch size for each bucket, or the seed is negative.

    Examples
    --------
    >>> from refrnn.bucketing import batches_by_bucket
    >>> [b.tolist() for b in batches_by_bucket([3, 9, 4, 5, 12], [8], batch_sizes=2)]
    [[0, 2], [3], [1, 4]]
    """
    edges = check_boundaries(boundaries)
    ids = bucket_ids(lengths, edges)
    sizes = _check_batch_sizes(batch_sizes, edges.size + 1)
    rng = _generator(seed)
    drop_remainder = check_bool(drop_remainder, "drop_remainder")
    batches: list[IntArray] = []
    for bucket, size in enumerate(sizes):
        members = np.flatnonzero(ids == bucket).astype(np.int64)
        if rng is not None:
            members = rng.permutation(members)
        cuts = range(0, members.size - size + 1 if drop_remainder else members.size, size)
        batches += [members[cut : cut + size] for cut in cuts]
    return _shuffled(batches, rng)


def token_budget_batches(
    lengths: Any,
    max_tokens: int,
    *,
    max_sequences: int | None = None,
    seed: int | None = None,
) -> list[IntArray]:
    """Batches of similar lengths, each as large as a budget of padded tokens allows.

    A batch of n sequences, the longest of T steps, is n * T padded tokens.

    Parameters
    ----------
    lengths : array_like of int, shape (B,)
    max_tokens : int
        Most padded tokens of a batch, at least 1 and at least the longest length.
    max_sequences : int or None
        Most sequences of a batch, at least 1; ``None`` sets no limit.
    seed : int or None
        ``None``: sequences by increasing length, equal lengths by index. A seed mixes lengths
        that differ by less than about a tenth and then shuffles the order of the batches; equal
        seeds give equal batches (with one version of NumPy).

    Returns
    -------
    list of ndarray of int64
        Indices into `lengths`; each index is in exactly one batch and no batch is empty.

    Raises
    ------
    TypeError
        If lengths, limits or the seed are not integers.
    ValueError
        If a length is negative or alone exceeds `max_tokens`, a limit is below 1, or the seed is
        negative.

    Examples
    --------
    >>> from refrnn.bucketing import token_budget_batches
    >>> [b.tolist() for b in token_budget_batches([5, 1, 6, 2, 2], max_tokens=6)]
    [[1, 3, 4], [0], [2]]
    """
    checked = check_lengths(lengths)
    max_tokens = check_integer(max_tokens, "max_tokens", minimum=1)
    if max_sequences is not None:
        max_sequences = check_integer(max_sequences, "max_sequences", minimum=1)
    rng = _generator(seed)
    over = np.flatnonzero(checked > max_tokens)
    if over.size:
        i = int(over[0])
        raise ValueError(
            f"lengths[{i}] has value {checked[i]}, expected <= max_tokens = {max_tokens}"
        )
    key = checked.astype(np.float64)
    if rng is not None:
        # Equal lengths keep no order either: 0.5 spreads the short ones, for which a tenth is 0.
        key += (_SIMILAR * key + 0.5) * rng.random(key.size)
    order = np.argsort(key, kind="stable").astype(np.int64)
    limit = max_sequences if max_sequences is not None else checked.size
    return _shuffled(_fill(order, checked, max_tokens, limit), rng)


def _fill(order: IntArray, lengths: IntArray, max_tokens: int, limit: int) -> list[IntArray]:
    """Cut the order into batches, each closed when the next sequence would not fit."""
    batches: list[IntArray] = []
    first, longest = 0, 0
    for position, length in enumerate(lengths[order].tolist()):
        count = position - first + 1
        longest = max(longest, length)
        if count > limit or count * longest > max_tokens:
            batches.append(order[first:position])
            first, longest = position, length
    if order.size:
        batches.append(order[first:])
    return batches


def _shuffled(batches: list[IntArray], rng: np.random.Generator | None) -> list[IntArray]:
    """Shuffle the order of the batches; leave it as it is without a generator."""
    if rng is None:
        return batches
    return [batches[i] for i in rng.permutation(len(batches)).tolist()]


def _generator(seed: int | None) -> np.random.Generator | None:
    """Make a generator for this seed; none for none."""
    if seed is None:
        return None
    return np.random.default_rng(check_integer(seed, "seed", minimum=0))


def _check_batch_sizes(batch_sizes: int | Sequence[int], buckets: int) -> list[int]:
    """One batch size a bucket."""
    if isinstance(batch_sizes, (int, np.integer)):
        return [check_integer(batch_sizes, "batch_sizes", minimum=1)] * buckets
    sizes: IntArray = check_lengths(batch_sizes, name="batch_sizes")
    if sizes.size != buckets:
        raise ValueError(
            f"batch_sizes has {sizes.size} elements, expected one for each of {buckets} buckets"
        )
    return [check_integer(n, f"batch_sizes[{i}]", minimum=1) for i, n in enumerate(sizes)]
