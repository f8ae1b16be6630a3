"""``awkward.Array`` of type ``B * var * F * float``: the same offsets and rows, not copied."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..ragged import RaggedBatch
from ..types import Array
from ..validation import check_dtype, check_integer
from .checks import check_host_batch, require

__all__ = ["from_awkward", "to_awkward"]

_RULE = "B * var * F * float32 or float64"


def from_awkward(array: Any, *, features: int | None = None) -> RaggedBatch:
    """Make a batch from an awkward array of sequences of rows of numbers.

    Parameters
    ----------
    array : awkward.Array of type ``B * var * F * float``
        Each level may be regular (``F``) or not (``var``), and may be an option (``?``) where
        nothing is missing; the rows must have one length. Arrays on another backend are copied to
        the host.
    features : int, optional
        F. Needed when rows are ``var`` and there is none to count it on, checked when there is.

    Returns
    -------
    RaggedBatch
        A view of the array's rows where they lie one after the other, as :func:`to_awkward` and
        slices have them; awkward arrays are immutable.

    Raises
    ------
    ImportError
        If awkward is not installed.
    TypeError
        If `array` is no awkward array, has no numbers, or numbers that refrnn does not compute in.
    ValueError
        If a level is missing or one too many, rows differ in length, or something is missing
        (None); the message names it.
    """
    ak = require("awkward", "from_awkward")
    if not isinstance(array, ak.Array):
        raise TypeError(f"array has type {type(array).__name__}, expected an awkward.Array")
    if ak.backend(array) == "typetracer":
        raise TypeError("array has backend typetracer without numbers, expected one with numbers")
    if features is not None:
        features = check_integer(features, "features", minimum=0)
    found = str(array.type)
    sequences = _as_list(ak, ak.to_backend(array, "cpu").layout, found, "[{}]")
    offsets = np.asarray(sequences.offsets)
    rows = sequences.content[offsets[0] : offsets[-1]]
    values = _row_values(ak, rows, found, features)
    return RaggedBatch.from_offsets(values, offsets - offsets[0])


def to_awkward(batch: RaggedBatch) -> Any:
    """The awkward array of a batch, of type ``B * var * F * dtype``; nothing is copied.

    Parameters
    ----------
    batch : RaggedBatch
        In host memory.

    Returns
    -------
    awkward.Array
        A view of ``batch.values`` and ``batch.offsets``.

    Raises
    ------
    ImportError
        If awkward is not installed.
    TypeError
        If `batch` is no batch in host memory.
    """
    values = check_host_batch(batch, "to_awkward")
    ak = require("awkward", "to_awkward")
    rows = ak.contents.NumpyArray(values)
    return ak.Array(ak.contents.ListOffsetArray(ak.index.Index64(batch.offsets), rows))


def _as_list(ak: Any, layout: Any, found: str, where: str) -> Any:
    """A level of lists as a ListOffsetArray, whatever form it has."""
    layout = _present(layout, where)
    if isinstance(layout, ak.contents.NumpyArray) and len(layout.inner_shape) > 0:
        layout = layout.to_RegularArray()
    if not layout.is_list or _is_text(layout):
        raise _wrong_type(layout, found)
    return layout.to_ListOffsetArray64(False)


def _row_values(ak: Any, rows: Any, found: str, features: int | None) -> Array:
    """The rows as an (N, F) array."""
    rows = _present(rows, "row {}")
    if not (isinstance(rows, ak.contents.NumpyArray) and len(rows.inner_shape) == 1):
        is_regular = isinstance(rows, ak.contents.RegularArray)
        count = rows.size if is_regular else None
        rows = _as_list(ak, rows, found, "row {}")
        count = _row_length(np.diff(np.asarray(rows.offsets)), count, features)
        start, stop = rows.offsets[0], rows.offsets[-1]
        numbers = _numbers(ak, rows.content[start:stop], found, "number {}")
        return numbers.reshape(len(rows), count)
    values = _numbers(ak, rows, found, "row {}")
    _row_length(np.zeros(0, np.int64), values.shape[1], features)
    return values


def _row_length(lengths: Any, regular: int | None, features: int | None) -> int:
    """F: that of the type, of the first row, or given."""
    known = regular if regular is not None else (int(lengths[0]) if lengths.size else features)
    if known is None:
        raise ValueError("array has no row to count F on, expected features= to be given")
    if features is not None and features != known:
        raise ValueError(f"array has rows of {known} numbers, expected features = {features}")
    odd = np.flatnonzero(lengths != known)
    if odd.size:
        i = int(odd[0])
        raise ValueError(f"array has {lengths[i]} numbers in row {i}, expected F = {known}")
    return known


def _numbers(ak: Any, layout: Any, found: str, where: str) -> Array:
    """A level of numbers as an array, checked for its dtype."""
    layout = _present(layout, where)
    if not isinstance(layout, ak.contents.NumpyArray):
        raise _wrong_type(layout, found)
    check_dtype(layout.dtype, "array")
    numbers: Array = np.asarray(layout.data)
    return numbers


def _present(layout: Any, where: str) -> Any:
    """A level without option or index; ValueError where something is missing."""
    while layout.is_option or layout.is_indexed:
        if layout.is_option:
            missing = np.flatnonzero(np.asarray(layout.mask_as_bool(valid_when=False)))
            if missing.size:
                at = where.format(missing[0])
                raise ValueError(f"array has None at {at}, expected nothing to be missing")
        layout = layout.project()
    return layout


def _wrong_type(layout: Any, found: str) -> Exception:
    """The error for a level that is neither a list nor a number where it must be one."""
    has_numbers = (layout.is_numpy or layout.is_list) and not _is_text(layout)
    kind = ValueError if has_numbers else TypeError
    return kind(f"array has type {found}, expected {_RULE}")


def _is_text(layout: Any) -> bool:
    """Whether a list is a string, which awkward lays out as a list of numbers."""
    return layout.parameter("__array__") in ("string", "bytestring", "char", "byte")
