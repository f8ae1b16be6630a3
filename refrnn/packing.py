"""PackedSequence, with PyTorch's meaning: time-major rows of a batch that shrinks.

Sequences are ordered by decreasing length; ``data`` holds step 0 of all of them, then step 1 of
those that have one, ... Names and meaning are those of ``torch.nn.utils.rnn.PackedSequence``, but
length 0 is allowed (such a sequence is in the permutation and in no step).
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from .padding import row_coordinates
from .ragged import RaggedBatch
from .types import Array, IntArray
from .validation import check_array, check_lengths, check_sequence_numbers

__all__ = ["PackedSequence", "pack", "sort_by_length", "step_batch_sizes", "unpack"]


class PackedSequence(NamedTuple):
    """A batch in packed order; make it with :func:`pack`, not by hand.

    Attributes
    ----------
    data : ndarray of shape (N, F)
        Step 0 of every sequence that has one, longest first, then step 1, ...
    batch_sizes : ndarray of int64, shape (T,)
        How many sequences have a step t; never rises.
    sorted_indices : ndarray of int64, shape (B,)
        Which sequence of the batch stands at each packed place.
    unsorted_indices : ndarray of int64, shape (B,)
        The inverse permutation: at which packed place each sequence stands.
    """

    data: Array
    batch_sizes: IntArray
    sorted_indices: IntArray
    unsorted_indices: IntArray


def sort_by_length(lengths: IntArray) -> tuple[IntArray, IntArray, IntArray]:
    """The packed order of a batch: ``sorted_indices, unsorted_indices, batch_sizes``.

    Equal lengths keep their order (PyTorch's sort does not promise that).

    Parameters
    ----------
    lengths : ndarray of int64, shape (B,)
    """
    sorted_indices = np.argsort(-lengths, kind="stable")
    unsorted_indices = np.empty_like(sorted_indices)
    unsorted_indices[sorted_indices] = np.arange(lengths.size)
    return sorted_indices, unsorted_indices, step_batch_sizes(lengths)


def step_batch_sizes(lengths: IntArray) -> IntArray:
    """How many sequences have a step t, for every t: int64, shape (T,), never rises.

    Parameters
    ----------
    lengths : ndarray of int64, shape (B,)
    """
    longest = int(lengths.max(initial=0))
    ends = np.bincount(lengths, minlength=longest + 1)
    return lengths.size - np.cumsum(ends)[:longest]


def pack(batch: RaggedBatch) -> PackedSequence:
    """Reorder the rows of a batch into packed order.

    Parameters
    ----------
    batch : RaggedBatch

    Returns
    -------
    PackedSequence
        Its ``data`` is a copy.

    Raises
    ------
    TypeError
        If `batch` is no RaggedBatch in host memory.

    Examples
    --------
    >>> import numpy as np
    >>> from refrnn.packing import pack
    >>> from refrnn import RaggedBatch
    >>> rows = [np.array([[1.0], [2.0], [3.0]]), np.array([[4.0], [5.0]]), np.array([[6.0]])]
    >>> packed = pack(RaggedBatch.from_sequences(rows))
    >>> packed.data.ravel()
    array([1., 4., 6., 2., 5., 3.])
    >>> packed.batch_sizes
    array([3, 2, 1])
    """
    if not isinstance(batch, RaggedBatch):
        raise TypeError(f"batch has type {type(batch).__name__}, expected a RaggedBatch")
    if not isinstance(batch.values, np.ndarray):
        raise TypeError(
            f"batch has values of type {type(batch.values).__name__} in device memory, expected a "
            "NumPy array: pack works on the host"
        )
    sorted_indices, unsorted_indices, batch_sizes = sort_by_length(batch.lengths)
    data = np.empty_like(batch.values)
    data[_packed_rows(batch.lengths, unsorted_indices, batch_sizes)] = batch.values
    return PackedSequence(data, batch_sizes, sorted_indices, unsorted_indices)


def unpack(packed: PackedSequence) -> RaggedBatch:
    """The batch that :func:`pack` was given; rows are copied.

    Parameters
    ----------
    packed : PackedSequence
        Array-likes will do for its parts, but None, which PyTorch has for an order that is
        already sorted, will not: it does not say how many sequences of length 0 there are.

    Raises
    ------
    TypeError
        If it is no PackedSequence, or a part has another dtype.
    ValueError
        If its parts do not belong together.
    """
    data, sizes, place = _check_packed(packed)
    steps_of_place = np.searchsorted(-sizes, -np.arange(place.size), side="left")
    lengths = steps_of_place[place]
    return RaggedBatch(data[_packed_rows(lengths, place, sizes)], lengths)


def _check_packed(packed: PackedSequence) -> tuple[Array, IntArray, IntArray]:
    """Data, batch sizes and unsorted indices, checked against each other."""
    if not isinstance(packed, PackedSequence):
        raise TypeError(f"packed has type {type(packed).__name__}, expected a PackedSequence")
    data = check_array(packed.data, "packed.data", ndim=2, rule="(N, F)")
    sizes = check_lengths(packed.batch_sizes, name="packed.batch_sizes")
    B = np.size(packed.unsorted_indices)
    place = check_sequence_numbers(packed.unsorted_indices, B, "packed.unsorted_indices")
    order = check_sequence_numbers(packed.sorted_indices, B, "packed.sorted_indices")
    if order.size != B or np.any(order[place] != np.arange(B)):
        raise ValueError(
            f"packed.sorted_indices has values {order.tolist()}, expected the inverse permutation "
            f"of packed.unsorted_indices = {place.tolist()}"
        )
    if np.any(sizes[1:] > sizes[:-1]) or np.any(sizes > B) or int(sizes.sum()) != data.shape[0]:
        raise ValueError(
            f"packed.batch_sizes has values {sizes.tolist()}, expected sizes that never rise from "
            f"B = {B} and add up to the number of rows of packed.data = {data.shape[0]}"
        )
    return data, sizes, place


def _packed_rows(lengths: IntArray, place: IntArray, batch_sizes: IntArray) -> IntArray:
    """At which packed row each flat row stands, shape (N,)."""
    sequence, step = row_coordinates(lengths)
    first_row = np.cumsum(batch_sizes) - batch_sizes
    return first_row[step] + place[sequence]
