"""RaggedBatch: the truth about a batch of sequences of different lengths.

Flat rows and lengths. Masks, offsets, batch sizes and permutations are derived from the lengths,
each in one place (:mod:`refrnn.padding`, :mod:`refrnn.packing`, :mod:`refrnn.lanes`).
"""

from __future__ import annotations

import operator
from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np

from .padding import pad, row_coordinates, rows_of_mask, unpad
from .types import Array, IntArray
from .validation import (
    check_array,
    check_dtype,
    check_integer,
    check_lengths,
    check_offsets,
    check_sequence_numbers,
    check_total,
    convert,
)

__all__ = ["RaggedBatch"]


class RaggedBatch:
    """A batch of B sequences, sequence b being a (lengths[b], F) array.

    Parameters
    ----------
    values : array_like of shape (N, F)
        The rows of sequence 0, then of sequence 1, ...: float32, float64, longdouble, or complex
        for the complex step. Not copied when it is already such an array: a batch is a read-only
        view of it. An object with ``__cuda_array_interface__`` is kept as it is; only an unroll on
        that device accepts it, and what needs the numbers (:meth:`to_padded`, :meth:`permute`,
        :meth:`slice_time`) is a TypeError.
    lengths : array_like of int, shape (B,)
        Must add up to N. Length 0 is fine, and so is B = 0.

    Raises
    ------
    TypeError
        If a dtype is not allowed: integer values, float or bool lengths, objects, float16.
    ValueError
        If a shape or a length breaks a rule above; the message has the index.

    See Also
    --------
    from_sequences, from_padded, from_offsets, from_mask : the other ways to make one.

    Examples
    --------
    >>> import numpy as np
    >>> from refrnn import RaggedBatch
    >>> batch = RaggedBatch.from_sequences([np.ones((2, 3)), np.zeros((0, 3)), np.ones((4, 3))])
    >>> batch
    RaggedBatch(B=3, N=6, F=3, lengths 0..4, float64)
    >>> batch.lengths
    array([2, 0, 4])
    >>> batch[2].shape
    (4, 3)
    """

    __slots__ = ("_lengths", "_offsets", "_values")

    _values: Array
    _lengths: IntArray
    _offsets: IntArray

    def __init__(self, values: Any, lengths: Any) -> None:
        self._values = _check_values(values)
        self._lengths = check_lengths(lengths)
        check_total(self._lengths, _layout(self._values)[0][0])
        self._offsets = np.concatenate([np.zeros(1, np.int64), np.cumsum(self._lengths)])
        self._lengths.flags.writeable = False
        self._offsets.flags.writeable = False

    @classmethod
    def from_sequences(
        cls, sequences: Iterable[Any], *, features: int | None = None, dtype: Any = None
    ) -> RaggedBatch:
        """Make a batch from one (length, F) array a sequence; the rows are copied.

        Parameters
        ----------
        sequences : iterable of array_like, each of shape (length, F)
            An empty list counts as a sequence of length 0.
        features : int, optional
            F. Needed when there is no sequence to read it from, checked when there is.
        dtype : dtype, optional
            Convert numbers of any kind to this dtype, but none that are complex to a real one.
            Needed when there is no sequence; without it all sequences must have the same
            floating-point dtype.

        Raises
        ------
        TypeError
            If dtypes are mixed or not allowed, or `dtype` is missing for an empty batch.
        ValueError
            If a sequence has the wrong rank or number of features; the message names it.
        """
        target = None if dtype is None else check_dtype(dtype, "dtype")
        try:
            given = list(sequences)
        except TypeError:
            kind = type(sequences).__name__
            raise TypeError(
                f"sequences has type {kind}, expected one (length, F) array a sequence"
            ) from None
        arrays = [_check_sequence(s, i, target) for i, s in enumerate(given)]
        rows = [(i, a) for i, a in enumerate(arrays) if a.ndim == 2]
        if features is not None:
            features = check_integer(features, "features", minimum=0)
        elif rows:
            features = rows[0][1].shape[1]
        else:
            raise ValueError("sequences has no (length, F) array, expected features= to be given")
        if target is None and not rows:
            raise TypeError("sequences has no (length, F) array, expected dtype= to be given")
        common = rows[0][1].dtype if target is None else target
        for i, a in rows:
            if a.shape[1] != features:
                raise ValueError(
                    f"sequences[{i}] has shape {a.shape}, expected (length, F) with F = {features}"
                )
            if a.dtype != common:
                raise TypeError(
                    f"sequences[{i}] has dtype {a.dtype}, expected {common} as the others"
                )
        empty = np.zeros((0, features), common)
        values = np.concatenate([empty, *(a for _, a in rows)])
        return cls(values, np.array([a.shape[0] for a in arrays], dtype=np.int64))

    @classmethod
    def from_padded(cls, values: Any, lengths: Any, batch_first: bool = False) -> RaggedBatch:
        """Take the real steps out of a padded array; whatever stands in the padding is left there.

        Parameters
        ----------
        values : array_like of shape (T, B, F), or (B, T, F) if `batch_first`
        lengths : array_like of int, shape (B,)
            Each at most T.
        batch_first : bool
            Which of the two shapes `values` has.

        Raises
        ------
        TypeError, ValueError
            If `values` has another rank or dtype, or a length is invalid or exceeds T.
        """
        return cls(unpad(values, lengths, batch_first=batch_first), lengths)

    @classmethod
    def from_offsets(cls, values: Any, offsets: Any) -> RaggedBatch:
        """Make a batch of rows ``values[offsets[b]:offsets[b + 1]]``, as Arrow and awkward keep it.

        Parameters
        ----------
        values : array_like of shape (N, F)
            Not copied (see the class).
        offsets : array_like of int, shape (B + 1,)
            Starts at 0, never falls, ends at N.

        Raises
        ------
        TypeError, ValueError
            If a rule above is broken; the message has the index.
        """
        checked = _check_values(values)
        return cls(checked, np.diff(check_offsets(offsets, _layout(checked)[0][0])))

    @classmethod
    def from_mask(cls, values: Any, mask: Any, batch_first: bool = False) -> RaggedBatch:
        """Take the steps of a padded array at which `mask` is True; holes are closed up.

        A recurrent cell carries its state through a hole, so closing it changes nothing.
        :func:`refrnn.padding.unmask` puts rows back to their places, zeros in the holes.

        Parameters
        ----------
        values : array_like of shape (T, B, F), or (B, T, F) if `batch_first`
        mask : ndarray of bool, shape (T, B), or (B, T) if `batch_first`
        batch_first : bool
            Which of the two shapes `values` and `mask` have.

        Raises
        ------
        TypeError
            If the mask is not bool or `values` has another dtype than refrnn computes in.
        ValueError
            If a shape disagrees.
        """
        return cls(*rows_of_mask(values, mask, batch_first=batch_first))

    @property
    def values(self) -> Array:
        """All rows, shape (N, F), read-only: sequence 0, then sequence 1, ..."""
        return self._values

    @property
    def lengths(self) -> IntArray:
        """Steps of each sequence, int64, shape (B,), read-only."""
        return self._lengths

    @property
    def offsets(self) -> IntArray:
        """First row of each sequence, and N at the end: int64, shape (B + 1,), read-only."""
        return self._offsets

    @property
    def batch_size(self) -> int:
        """B, the number of sequences, those of length 0 included."""
        return self._lengths.size

    @property
    def total_steps(self) -> int:
        """N, the number of real steps: the sum of the lengths."""
        return int(self._offsets[-1])

    @property
    def max_length(self) -> int:
        """T, the longest length; 0 for an empty batch."""
        return int(self._lengths.max(initial=0))

    @property
    def features(self) -> int:
        """F, the number of values in a row."""
        return _layout(self._values)[0][1]

    @property
    def dtype(self) -> np.dtype[Any]:
        """The dtype of the values."""
        return _layout(self._values)[1]

    def __len__(self) -> int:
        return self.batch_size

    def __getitem__(self, index: int) -> Array:
        """Sequence `index`, a read-only view of shape (length, F)."""
        if isinstance(index, (bool, np.bool_)) or not hasattr(index, "__index__"):
            raise TypeError(
                f"index has type {type(index).__name__}, expected an integer "
                "(permute takes several sequences, slice_time takes steps)"
            )
        b = operator.index(index)
        if not -self.batch_size <= b < self.batch_size:
            raise IndexError(f"index has value {b}, expected -B <= index < B = {self.batch_size}")
        b %= self.batch_size
        view: Array = self._values[self._offsets[b] : self._offsets[b + 1]]
        return view

    def __iter__(self) -> Iterator[Array]:
        return (self[b] for b in range(self.batch_size))

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, RaggedBatch):
            return NotImplemented
        if self.dtype != other.dtype or not np.array_equal(self._lengths, other._lengths):
            return False
        if isinstance(self._values, np.ndarray) and isinstance(other._values, np.ndarray):
            return np.array_equal(self._values, other._values)
        return self._values is other._values  # numbers on a device cannot be seen from here

    __hash__ = None  # type: ignore[assignment]  # holds arrays, compares by value

    def __reduce__(self) -> tuple[Any, ...]:  # through the constructor: a copy is read-only too
        return RaggedBatch, (self._values, self._lengths)

    def __repr__(self) -> str:
        shortest = int(self._lengths.min()) if self.batch_size else 0
        return (
            f"RaggedBatch(B={self.batch_size}, N={self.total_steps}, F={self.features}, "
            f"lengths {shortest}..{self.max_length}, {self.dtype})"
        )

    def to_padded(
        self,
        batch_first: bool = False,
        padding_value: float = 0.0,
        max_length: int | None = None,
    ) -> Array:
        """Lay the batch out as a padded array of shape (T, B, F), or (B, T, F) if `batch_first`.

        Parameters
        ----------
        batch_first : bool
            Which of the two shapes to make.
        padding_value : float
            What to write where a sequence has no step.
        max_length : int, optional
            T, at least the longest length (the default).
        """
        return pad(
            self._host_values("to_padded"),
            self._lengths,
            batch_first=batch_first,
            padding_value=padding_value,
            max_length=max_length,
        )

    def with_values(self, values: Any) -> RaggedBatch:
        """A batch of the same lengths with other rows, shape (N, any F)."""
        made = object.__new__(type(self))
        made._values = _check_values(values)
        check_total(self._lengths, _layout(made._values)[0][0])
        made._lengths, made._offsets = self._lengths, self._offsets  # nobody can change them
        return made

    def permute(self, order: Any) -> RaggedBatch:
        """The batch whose sequence b is this one's sequence ``order[b]``; rows are copied.

        Parameters
        ----------
        order : array_like of int, shape (any,)
            Sequence numbers, each in 0..B-1; a subset, or repeats, are fine.

        Raises
        ------
        TypeError, ValueError
            If a number is no integer or out of range; the message has the index.
        """
        values = self._host_values("permute")
        chosen = check_sequence_numbers(order, self.batch_size, "order")
        lengths = self._lengths[chosen]
        sequence, step = row_coordinates(lengths)
        return RaggedBatch(values[self._offsets[chosen][sequence] + step], lengths)

    def slice_time(self, start: int, stop: int) -> RaggedBatch:
        """Steps start..stop-1 of every sequence; shorter sequences give fewer, or none.

        With the state carried from window to window this is stateful running and truncated BPTT.

        Parameters
        ----------
        start, stop : int
            0 <= start <= stop; `stop` may lie beyond the end.

        Raises
        ------
        TypeError, ValueError
            If `start` or `stop` is no integer or out of order.
        """
        values = self._host_values("slice_time")
        first = check_integer(start, "start", minimum=0)
        end = min(check_integer(stop, "stop", minimum=first), self.max_length)
        begin = np.minimum(self._lengths, min(first, end))
        lengths = np.minimum(self._lengths, end) - begin
        sequence, step = row_coordinates(lengths)
        return RaggedBatch(values[(self._offsets[:-1] + begin)[sequence] + step], lengths)

    def _host_values(self, method: str) -> Array:
        """The values, if they are in host memory."""
        if not isinstance(self._values, np.ndarray):
            raise TypeError(
                f"values has type {type(self._values).__name__} in device memory, expected a NumPy "
                f"array: {method} works on the host"
            )
        return self._values


def _layout(values: Any) -> tuple[tuple[int, ...], np.dtype[Any]]:
    """Shape and dtype, of a device array by its interface: its own dtype may be no NumPy dtype."""
    if isinstance(values, np.ndarray):
        return values.shape, values.dtype
    interface = values.__cuda_array_interface__
    return tuple(interface["shape"]), np.dtype(interface["typestr"])


def _check_values(values: Any) -> Array:
    """`values` as a read-only (N, F) array; a device array is passed on after a look at it."""
    if hasattr(values, "__cuda_array_interface__") and not isinstance(values, np.ndarray):
        shape, dtype = _layout(values)
        check_dtype(dtype, "values", complex_allowed=False)
        if len(shape) != 2:
            raise ValueError(f"values has shape {shape}, expected (N, F)")
        device_values: Array = values
        return device_values
    view = check_array(values, "values", ndim=2, rule="(N, F)").view()
    view.flags.writeable = False
    return view


def _check_sequence(sequence: Any, i: int, target: np.dtype[Any] | None) -> Array:
    """One sequence as a (length, F) array, or a (0,) array for an empty list."""
    name, rule = f"sequences[{i}]", "(length, F), one row a step"
    if target is not None:
        sequence = convert(sequence, target, name, rule)
    elif isinstance(sequence, (list, tuple)) and not sequence:
        return np.zeros(0)
    array = check_array(sequence, name, ndim=None, rule=rule)
    if array.ndim != 2 and array.shape != (0,):
        raise ValueError(f"{name} has shape {array.shape}, expected {rule}")
    return array
