"""Where one bucket of lengths ends and the next begins."""

from __future__ import annotations

from collections import deque
from typing import Any

import numpy as np

from ..types import IntArray
from ..validation import check_integer, check_lengths

__all__ = ["bucket_ids", "check_boundaries", "optimal_boundaries", "quantile_boundaries"]


def check_boundaries(boundaries: Any) -> IntArray:
    """Return `boundaries` as a new int64 array, refused unless they rise strictly.

    Parameters
    ----------
    boundaries : array_like of int, shape (K-1,)
        An empty list is one bucket for everything.

    Returns
    -------
    ndarray of int64, shape (K-1,)

    Raises
    ------
    TypeError
        If they are not integers.
    ValueError
        If one is negative or not larger than the one before it.
    """
    array = check_lengths(boundaries, name="boundaries")
    falling = np.flatnonzero(np.diff(array) <= 0)
    if falling.size:
        i = int(falling[0]) + 1
        raise ValueError(f"boundaries[{i}] has value {array[i]}, expected more than {array[i - 1]}")
    return array


def bucket_ids(lengths: Any, boundaries: Any) -> IntArray:
    """Bucket of each sequence.

    Bucket ``k`` holds ``boundaries[k-1] <= length < boundaries[k]``, the first bucket everything
    below ``boundaries[0]``, the last everything from ``boundaries[-1]`` on. [1]_

    Parameters
    ----------
    lengths : array_like of int, shape (B,)
    boundaries : array_like of int, shape (K-1,)
        Strictly increasing; they make K buckets.

    Returns
    -------
    ndarray of int64, shape (B,)
        Numbers ``0 .. K-1``.

    Raises
    ------
    TypeError
        If lengths or boundaries are not integers.
    ValueError
        If a length is negative, or the boundaries are negative or do not rise.

    References
    ----------
    .. [1] The meaning of ``bucket_boundaries`` in ``tf.data.Dataset.bucket_by_sequence_length``.

    Examples
    --------
    >>> from refrnn.bucketing import bucket_ids
    >>> bucket_ids([3, 7, 8, 30], boundaries=[8, 16]).tolist()
    [0, 0, 1, 2]
    """
    checked = check_lengths(lengths)
    ids = np.searchsorted(check_boundaries(boundaries), checked, side="right")
    return ids.astype(np.int64)


def quantile_boundaries(lengths: Any, num_buckets: int) -> IntArray:
    """Boundaries that put about the same number of sequences into each bucket.

    Parameters
    ----------
    lengths : array_like of int, shape (B,)
    num_buckets : int
        Most buckets to make, at least 1. Equal lengths are never split, so there may be fewer.

    Returns
    -------
    ndarray of int64, shape (at most num_buckets - 1,)
        Strictly increasing; one more than the longest length of each bucket but the last.
        No bucket is empty for these lengths; no boundaries when there are no lengths.

    Raises
    ------
    TypeError
        If the lengths or `num_buckets` are not integers.
    ValueError
        If a length is negative or `num_buckets` is below 1.

    Examples
    --------
    >>> from refrnn.bucketing import quantile_boundaries
    >>> quantile_boundaries([1, 2, 3, 4, 50, 60], num_buckets=3).tolist()
    [3, 5]
    """
    ascending = np.sort(check_lengths(lengths))
    num_buckets = check_integer(num_buckets, "num_buckets", minimum=1)
    if ascending.size == 0:
        return ascending
    # The k-th bucket ends with the ceil(k * B / K)-th shortest sequence.
    last = -(-np.arange(1, num_buckets) * ascending.size // num_buckets) - 1
    ends = np.unique(ascending[last])
    boundaries: IntArray = ends[ends < ascending[-1]] + 1
    return boundaries


def optimal_boundaries(lengths: Any, num_buckets: int) -> IntArray:
    """Boundaries with the least padding when each bucket pads to its longest sequence.

    Parameters
    ----------
    lengths : array_like of int, shape (B,)
    num_buckets : int
        Most buckets to make, at least 1; no more are made than there are distinct lengths.

    Returns
    -------
    ndarray of int64, shape (min(num_buckets, distinct lengths) - 1,)
        Strictly increasing; one more than the longest length of each bucket but the last, so
        padding to ``boundary - 1`` pads to the longest. No boundaries when there are no lengths.

    Raises
    ------
    TypeError
        If the lengths or `num_buckets` are not integers.
    ValueError
        If a length is negative or `num_buckets` is below 1.

    Notes
    -----
    Let ``v_0 < .. < v_{D-1}`` be the distinct lengths and ``C_j`` the number of sequences shorter
    than ``v_j``. The fewest steps to compute the ``j`` shortest lengths in ``k`` buckets are

    ``g_k(j) = min_{i < j}  g_{k-1}(i) + v_{j-1} * (C_j - C_i)``

    In ``i`` this is the lower envelope of lines with falling slopes ``-C_i``, asked at rising
    points ``v_{j-1}``, so all ``j`` together take O(D), and all buckets O(K * D).

    Examples
    --------
    >>> from refrnn.bucketing import optimal_boundaries
    >>> optimal_boundaries([7, 7, 8, 20, 21, 40], num_buckets=3).tolist()
    [9, 22]
    """
    distinct, counts = np.unique(check_lengths(lengths), return_counts=True)
    num_buckets = check_integer(num_buckets, "num_buckets", minimum=1)
    buckets = min(num_buckets, distinct.size)
    # Python integers: the products of the envelope exceed 64 bits for long lengths.
    values = distinct.tolist()
    before = [0, *np.cumsum(counts).tolist()]
    steps = [0] + [v * n for v, n in zip(values, before[1:], strict=True)]
    first_of_last: list[list[int]] = []
    for k in range(2, buckets + 1):
        steps, first = _add_bucket(steps, values, before, k)
        first_of_last.append(first)
    ends = []
    j = len(values)
    for first in reversed(first_of_last):
        j = first[j]
        ends.append(values[j - 1] + 1)
    return np.array(ends[::-1], dtype=np.int64)


def _add_bucket(
    steps: list[int], values: list[int], before: list[int], k: int
) -> tuple[list[int], list[int]]:
    """From ``g_{k-1}`` make ``g_k``, and for each j the first distinct length of bucket k."""
    new_steps = [0] * len(steps)
    first = [0] * len(steps)
    envelope: deque[int] = deque()  # the lines i on the lower envelope, steepest last

    def at(i: int, x: int) -> int:
        return steps[i] - before[i] * x

    for j in range(k, len(steps)):
        _append_line(envelope, j - 1, steps, before)
        x = values[j - 1]
        while len(envelope) > 1 and at(envelope[1], x) < at(envelope[0], x):
            envelope.popleft()
        first[j] = envelope[0]
        new_steps[j] = at(first[j], x) + x * before[j]
    return new_steps, first


def _append_line(envelope: deque[int], new: int, steps: list[int], before: list[int]) -> None:
    """Add a steeper line to the envelope; drop those that it leaves nowhere lowest."""
    while len(envelope) > 1:
        left, middle = envelope[-2], envelope[-1]
        # `left` meets `new` no later than it meets `middle`: `middle` is nowhere lowest.
        crosses_new = (steps[new] - steps[left]) * (before[middle] - before[left])
        crosses_middle = (steps[middle] - steps[left]) * (before[new] - before[left])
        if crosses_new > crosses_middle:
            break
        envelope.pop()
    envelope.append(new)
