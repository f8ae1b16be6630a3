"""``tf.RaggedTensor`` of ragged rank 1: the same rows, and offsets called row splits."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..ragged import RaggedBatch
from .checks import check_host_batch, require

__all__ = ["from_tf_ragged", "to_tf_ragged"]

_FLOATS = ("float32", "float64")
_SPLITS = ("int32", "int64")


def from_tf_ragged(ragged: Any) -> RaggedBatch:
    """Make a batch from an eager ragged tensor of shape (B, None, F).

    Parameters
    ----------
    ragged : tf.RaggedTensor
        float32 or float64, with row splits of int32 or int64, on any device; rows are copied. Of
        ragged rank 1: ``tf.ragged.constant`` needs ``ragged_rank=1`` or ``inner_shape=(F,)`` to
        make such a one.

    Raises
    ------
    ImportError
        If TensorFlow is not installed.
    TypeError
        If `ragged` is no RaggedTensor, symbolic (inside ``tf.function``), or of another dtype.
    ValueError
        If the ragged rank is not 1 or the inner rank not 1, or the row splits are invalid, which
        TensorFlow can be told not to check.
    """
    tf = require("tensorflow", "from_tf_ragged", "tensorflow-cpu")
    if not isinstance(ragged, tf.RaggedTensor):
        raise TypeError(f"ragged has type {type(ragged).__name__}, expected a tf.RaggedTensor")
    if ragged.dtype.name not in _FLOATS:
        raise TypeError(f"ragged has dtype {ragged.dtype.name}, expected {' or '.join(_FLOATS)}")
    if ragged.ragged_rank != 1 or ragged.shape.rank != 3:
        raise ValueError(
            f"ragged has shape {tuple(ragged.shape)} and ragged rank {ragged.ragged_rank}, "
            "expected (B, None, F) and 1"
        )
    if not hasattr(ragged.values, "numpy"):
        raise TypeError("ragged has symbolic values, expected an eager tensor")
    return RaggedBatch.from_offsets(ragged.values.numpy(), ragged.row_splits.numpy())


def to_tf_ragged(batch: RaggedBatch, *, row_splits_dtype: str = "int64") -> Any:
    """The ragged tensor of a batch, of shape (B, None, F) and ragged rank 1; rows are copied.

    Parameters
    ----------
    batch : RaggedBatch
        float32 or float64, in host memory.
    row_splits_dtype : {"int64", "int32"}
        Some operations of TensorFlow take one, some the other.

    Returns
    -------
    tf.RaggedTensor

    Raises
    ------
    ImportError
        If TensorFlow is not installed.
    TypeError
        If `batch` is no batch in host memory, or of another dtype.
    ValueError
        If `row_splits_dtype` is neither of the two, or int32 cannot count the rows.
    """
    if row_splits_dtype not in _SPLITS:
        raise ValueError(
            f"row_splits_dtype has value {row_splits_dtype!r}, expected 'int64' or 'int32'"
        )
    values = check_host_batch(batch, "to_tf_ragged", _FLOATS)
    largest = int(np.iinfo(row_splits_dtype).max)
    if batch.total_steps > largest:
        raise ValueError(
            f"batch has {batch.total_steps} rows, expected at most {largest} for row splits of "
            f"{row_splits_dtype}"
        )
    tf = require("tensorflow", "to_tf_ragged", "tensorflow-cpu")
    splits = batch.offsets.astype(row_splits_dtype)
    return tf.RaggedTensor.from_row_splits(tf.constant(values), tf.constant(splits))
