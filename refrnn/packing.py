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
    sorted_indices, unsorted_indices, batch_sizes = sort_by_length(batch.lengths)
    data = np.empty_like(batch.values)
    data[_packed_rows(batch.lengths, unsorted_indices, batch_sizes)] = batch.values
    return PackedSequence(data, batch_sizes, sorted_indices, unsorted_indices)


def unpack(packed: PackedSequence) -> RaggedBatch:
    """The batch that :func:`pack` was given; rows are copied.

    Parameters
    ----------
    packed : PackedSequence

    Raises
    ------
    ValueError
        If its parts do not belong together.
    """
    sizes = packed.batch_sizes
    batch_size = packed.unsorted_indices.size
    if np.any(np.diff(sizes, prepend=batch_size) > 0) or int(sizes.sum()) != len(packed.data):
        raise ValueError(
            f"packed has batch_sizes {sizes.tolist()}, expected sizes that never rise from B = "
            f"{batch_size} and add up to the number of rows of data = {len(packed.data)}"
        )
    steps_of_place = np.searchsorted(-sizes, -np.arange(batch_size), side="left")
    lengths = steps_of_place[packed.unsorted_indices]
    rows = _packed_rows(lengths, packed.unsorted_indices, sizes)
    return RaggedBatch(packed.data[rows], lengths)


def _packed_rows(lengths: IntArray, place: IntArray, batch_sizes: IntArray) -> IntArray:
    """At which packed row each flat row stands, shape (N,)."""
    sequence, step = row_coordinates(lengths)
    first_row = np.cumsum(batch_sizes) - batch_sizes
    return first_row[step] + place[sequence]
