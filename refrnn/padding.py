"""Padded arrays and masks: from flat rows to (T, B, F) or (B, T, F) and back.

Padding is always *indexed* out and in, never multiplied by a mask: whatever stands in it, NaN and
Inf included, reaches nothing.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from .types import Array, BoolArray, IntArray
from .validation import (
    check_array,
    check_bool,
    check_integer,
    check_lengths,
    check_mask,
    check_padding_value,
    check_shape,
    check_total,
)

__all__ = ["pad", "row_coordinates", "sequence_mask", "unmask", "unpad"]


def row_coordinates(lengths: IntArray) -> tuple[IntArray, IntArray]:
    """Which sequence each of the N flat rows belongs to, and which step of it the row is.

    Parameters
    ----------
    lengths : ndarray of int64, shape (B,)
        Valid lengths (see :func:`refrnn.validation.check_lengths`).

    Returns
    -------
    sequence, step : ndarrays of int64, shape (N,)
    """
    sequence = np.repeat(np.arange(lengths.size), lengths)
    first_row = np.cumsum(lengths) - lengths
    return sequence, np.arange(sequence.size) - first_row[sequence]


def sequence_mask(
    lengths: Any, max_length: int | None = None, *, batch_first: bool = False
) -> BoolArray:
    """True where a padded batch holds a real step.

    Parameters
    ----------
    lengths : array_like of int, shape (B,)
    max_length : int, optional
        T, at least the longest length (the default).
    batch_first : bool
        Shape (B, T) instead of (T, B).

    Returns
    -------
    ndarray of bool, shape (T, B) or (B, T)

    Raises
    ------
    TypeError, ValueError
        If `lengths` are not valid, or one exceeds `max_length`.

    Examples
    --------
    >>> from refrnn.padding import sequence_mask
    >>> sequence_mask([2, 0, 3], batch_first=True).astype(int)
    array([[1, 1, 0],
           [0, 0, 0],
           [1, 1, 1]])
    """
    if max_length is not None:
        max_length = check_integer(max_length, "max_length", minimum=0)
    checked = check_lengths(lengths, maximum=max_length)
    steps = int(checked.max(initial=0)) if max_length is None else max_length
    mask = np.arange(steps)[:, None] < checked
    return np.ascontiguousarray(mask.T) if check_bool(batch_first, "batch_first") else mask


def pad(
    values: Array,
    lengths: IntArray,
    *,
    batch_first: bool = False,
    padding_value: float = 0.0,
    max_length: int | None = None,
) -> Array:
    """Lay flat rows out as a padded array.

    Parameters
    ----------
    values : ndarray of shape (N, F)
        The rows of sequence 0, then of sequence 1, ...
    lengths : array_like of int, shape (B,)
        Must add up to N.
    batch_first : bool
        Result of shape (B, T, F) instead of (T, B, F).
    padding_value : float
        What to write where no sequence has a step.
    max_length : int, optional
        T, at least the longest length (the default).

    Returns
    -------
    ndarray of shape (T, B, F) or (B, T, F), dtype of `values`

    Raises
    ------
    TypeError, ValueError
        If the lengths are invalid or do not add up to N, or one exceeds `max_length`.
    """
    values = check_array(values, "values", ndim=2, rule="(N, F)")
    checked = check_lengths(lengths)
    check_total(checked, values.shape[0])  # before a mask of sum(lengths) places is made
    mask = sequence_mask(checked, max_length, batch_first=batch_first)
    return unmask(values, mask, batch_first=batch_first, padding_value=padding_value)


def unpad(values: Any, lengths: Any, *, batch_first: bool = False) -> Array:
    """The real rows of a padded array; the inverse of :func:`pad`.

    Parameters
    ----------
    values : array_like of shape (T, B, F) or (B, T, F)
    lengths : array_like of int, shape (B,)
        Each at most T.
    batch_first : bool
        Which of the two shapes `values` has.

    Returns
    -------
    ndarray of shape (N, F)
        A copy: the rows of sequence 0, then of sequence 1, ...

    Raises
    ------
    TypeError, ValueError
        If `values` has another rank or dtype, or a length is invalid or exceeds T.
    """
    batch_major = _batch_major(values, batch_first)
    batch_size, steps = batch_major.shape[:2]
    checked = check_lengths(lengths)
    # first of all their number: it is what tells that batch_first was forgotten
    check_shape(checked, "lengths", (batch_size,), "(B,)")
    rows: Array = batch_major[sequence_mask(checked, steps, batch_first=True)]
    return rows


def unmask(
    values: Any, mask: Any, *, batch_first: bool = False, padding_value: float = 0.0
) -> Array:
    """Write flat rows to the places where `mask` is True, and `padding_value` everywhere else.

    The inverse of indexing with a mask, holes included: row after row of `values` goes to the True
    places of sequence 0 in time order, then of sequence 1, ...

    Parameters
    ----------
    values : array_like of shape (N, F)
    mask : array_like of bool, shape (T, B) or (B, T)
        N places are True.
    batch_first : bool
        Which of the two shapes `mask` and the result have.
    padding_value : float
        What to write elsewhere.

    Returns
    -------
    ndarray of shape (T, B, F) or (B, T, F), dtype of `values`

    Raises
    ------
    TypeError
        If `values` or `mask` has another dtype, or `padding_value` is no number.
    ValueError
        If a rank is wrong, or the mask has not one True place for every row of `values`.
    """
    rule = "(B, T)" if check_bool(batch_first, "batch_first") else "(T, B)"
    rows = check_array(values, "values", ndim=2, rule="(N, F)")
    checked = check_mask(mask, rule=rule)
    count = int(np.count_nonzero(checked))
    if count != rows.shape[0]:
        raise ValueError(
            f"mask has {count} True places, expected the number of rows of values = {rows.shape[0]}"
        )
    by_batch = checked if batch_first else checked.T
    shape = (*by_batch.shape, rows.shape[1])
    padded = np.full(shape, check_padding_value(padding_value), dtype=rows.dtype)
    padded[by_batch] = rows
    return padded if batch_first else np.ascontiguousarray(padded.swapaxes(0, 1))


def rows_of_mask(values: Any, mask: Any, *, batch_first: bool) -> tuple[Array, IntArray]:
    """The rows of a padded array where `mask` is True, holes closed up, and how many a sequence."""
    batch_major = _batch_major(values, batch_first)
    batch_size, steps = batch_major.shape[:2]
    shape = (batch_size, steps) if batch_first else (steps, batch_size)
    checked = check_mask(mask, rule="(B, T)" if batch_first else "(T, B)")
    check_shape(checked, "mask", shape, "the first two axes of values")
    by_batch = checked if batch_first else checked.T
    return batch_major[by_batch], by_batch.sum(axis=1, dtype=np.int64)


def _batch_major(values: Any, batch_first: bool) -> Array:
    """`values` checked to be a padded array, seen as (B, T, F)."""
    rule = "(B, T, F)" if check_bool(batch_first, "batch_first") else "(T, B, F)"
    padded = check_array(values, "values", ndim=3, rule=rule)
    return padded if batch_first else padded.swapaxes(0, 1)
