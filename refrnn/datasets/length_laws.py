"""Synthetic lengths: the laws that ragged batches in practice follow, and the extremes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import numpy as np

from ..types import IntArray
from ..validation import check_integer

__all__ = ["LENGTH_LAWS", "synthetic_lengths"]


def synthetic_lengths(law: str, batch_size: int, max_length: int, *, seed: int) -> IntArray:
    """Draw the lengths of a batch.

    Parameters
    ----------
    law : {"uniform", "lognormal", "zipf", "equal", "one"}
        See Notes.
    batch_size : int
        B, at least 0.
    max_length : int
        T, at least 1; no length exceeds it.
    seed : int
        At least 0; equal seeds give equal lengths (with one version of NumPy). "equal" and "one"
        draw nothing and are the same for each seed.

    Returns
    -------
    ndarray of int64, shape (B,)
        Each from 1 to `max_length`, in random order.

    Raises
    ------
    TypeError
        If a number is not an integer.
    ValueError
        If `law` is unknown or a number is out of range.

    Notes
    -----
    ``clip(x)`` is ``max(1, min(T, x))``.

    ============== =============================================================================
    uniform        integers 1..T, equally likely
    lognormal      ``clip(round(T / 6 * exp(0.8 * z)))``, z standard normal: median T / 6; about
                   1 % reach T (sentences, utterances)
    zipf           ``clip(4 * k)``, k Zipf with exponent 1.5: most very short, some at T
    equal          T for all: no scheme can save anything
    one            T for sequence 0, 1 for the others: the worst case of padding
    ============== =============================================================================

    Examples
    --------
    >>> from refrnn.datasets import synthetic_lengths
    >>> synthetic_lengths("one", 4, 100, seed=0)
    array([100,   1,   1,   1])
    """
    if law not in LENGTH_LAWS:
        raise ValueError(f"law has value {law!r}, expected one of {', '.join(LENGTH_LAWS)}")
    batch_size = check_integer(batch_size, "batch_size", minimum=0)
    max_length = check_integer(max_length, "max_length", minimum=1)
    rng = np.random.default_rng(check_integer(seed, "seed", minimum=0))
    return LENGTH_LAWS[law](rng, batch_size, max_length)


def _uniform(rng: np.random.Generator, batch_size: int, max_length: int) -> IntArray:
    return rng.integers(1, max_length, size=batch_size, endpoint=True)


def _lognormal(rng: np.random.Generator, batch_size: int, max_length: int) -> IntArray:
    drawn = max_length / 6 * np.exp(0.8 * rng.standard_normal(batch_size))
    return np.clip(np.rint(drawn), 1, max_length).astype(np.int64)


def _zipf(rng: np.random.Generator, batch_size: int, max_length: int) -> IntArray:
    # Clipped before the product too: the law has no mean, and a draw can be near 2**63.
    drawn = np.minimum(rng.zipf(1.5, size=batch_size), max_length).astype(np.int64)
    return np.minimum(4 * drawn, max_length)


def _equal(rng: np.random.Generator, batch_size: int, max_length: int) -> IntArray:
    return np.full(batch_size, max_length, dtype=np.int64)


def _one(rng: np.random.Generator, batch_size: int, max_length: int) -> IntArray:
    lengths = np.ones(batch_size, dtype=np.int64)
    lengths[:1] = max_length
    return lengths


LENGTH_LAWS: Final[dict[str, Callable[[np.random.Generator, int, int], IntArray]]] = {
    "uniform": _uniform,
    "lognormal": _lognormal,
    "zipf": _zipf,
    "equal": _equal,
    "one": _one,
}
"""The laws by name: a function of generator, B and T."""
