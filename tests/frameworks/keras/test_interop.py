"""RaggedBatch to and from tf.RaggedTensor, bit for bit."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given
from hypothesis import strategies as st

import refrnn as rr
from refrnn.interop import from_tf_ragged, to_tf_ragged
from refrnn.testing.strategies import ragged_batches

VALUES = np.arange(12.0).reshape(4, 3)
BATCH = rr.RaggedBatch(VALUES, [2, 0, 2])


@given(batch=ragged_batches(), row_splits_dtype=st.sampled_from(["int32", "int64"]))
def test_round_trip_is_exact(batch: rr.RaggedBatch, row_splits_dtype: str) -> None:
    ragged = to_tf_ragged(batch, row_splits_dtype=row_splits_dtype)
    assert ragged.ragged_rank == 1
    assert ragged.shape.as_list() == [len(batch), None, batch.features]
    assert ragged.row_splits.dtype.name == row_splits_dtype
    assert ragged.dtype.name == batch.dtype.name
    again = from_tf_ragged(ragged)
    assert again == batch
    assert again.features == batch.features
    assert not np.shares_memory(again.values, batch.values)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_bits_are_kept_nan_and_negative_zero_too(dtype: str) -> None:
    values = np.array([[np.nan, -0.0], [np.inf, 1e-45]], dtype)
    again = from_tf_ragged(to_tf_ragged(rr.RaggedBatch(values, [0, 2])))
    assert again.values.tobytes() == values.tobytes()


def test_tensors_and_batches_do_not_change_with_the_array_they_came_from() -> None:
    memory = np.zeros(64 * 1024 + 64, np.uint8)
    start = -memory.ctypes.data % 64  # where TensorFlow could use the memory as it is
    values = memory[start : start + 64 * 1024].view(np.float64).reshape(-1, 4)
    made = to_tf_ragged(rr.RaggedBatch(values, [len(values)]))
    values[:] = -1
    batch = from_tf_ragged(made)
    assert not batch.values.any()
    made.values.numpy()[:] = -1
    assert not batch.values.any()


def test_what_tensorflow_makes_is_taken() -> None:
    nested = [VALUES[:2].tolist(), [], VALUES[2:].tolist()]
    constant = tf.ragged.constant(nested, ragged_rank=1, dtype=tf.float64)
    assert from_tf_ragged(constant) == BATCH
    padded = tf.constant(BATCH.to_padded(batch_first=True))
    assert from_tf_ragged(tf.RaggedTensor.from_tensor(padded, lengths=[2, 0, 2])) == BATCH
    assert from_tf_ragged(tf.gather(constant, [2, 1])) == BATCH.permute([2, 1])
    uniform = tf.RaggedTensor.from_uniform_row_length(tf.constant(VALUES), 2)
    assert from_tf_ragged(uniform) == rr.RaggedBatch(VALUES, [2, 2])


def test_a_tensor_with_a_gradient_is_taken() -> None:
    variable = tf.Variable(VALUES)
    with tf.GradientTape():
        ragged = tf.RaggedTensor.from_row_splits(variable * 1.0, [0, 2, 2, 4])
        assert from_tf_ragged(ragged) == BATCH


def ragged(values: Any, splits: Any = (0, 2, 2, 4), **options: Any) -> tf.RaggedTensor:
    return tf.RaggedTensor.from_row_splits(tf.constant(values), list(splits), **options)


def test_other_things_are_refused() -> None:
    for wrong, name in ((tf.constant(VALUES), "EagerTensor"), (VALUES, "ndarray")):
        message = f"ragged has type {name}, expected a tf.RaggedTensor"
        with pytest.raises(TypeError, match=message):
            from_tf_ragged(wrong)


@pytest.mark.parametrize("dtype", ["bfloat16", "float16", "int32", "complex64", "bool"])
def test_other_dtypes_are_refused_by_name(dtype: str) -> None:
    wrong = tf.cast(ragged(VALUES), dtype)
    with pytest.raises(TypeError, match=f"ragged has dtype {dtype}, expected float32 or float64"):
        from_tf_ragged(wrong)


@pytest.mark.parametrize(
    ("wrong", "has"),
    [
        (ragged(VALUES[:, 0]), r"shape \(3, None\) and ragged rank 1"),
        (ragged(np.ones((4, 3, 2))), r"shape \(3, None, 3, 2\) and ragged rank 1"),
        (tf.ragged.constant([[[1.0]], []]), r"shape \(2, None, None\) and ragged rank 2"),
    ],
)
def test_other_ranks_are_refused(wrong: tf.RaggedTensor, has: str) -> None:
    with pytest.raises(ValueError, match=rf"ragged has {has}, expected \(B, None, F\) and 1"):
        from_tf_ragged(wrong)


def test_row_splits_that_tensorflow_did_not_check_are_checked() -> None:
    for splits, message in (
        ([0, 3, 2, 4], r"offsets\[2\] has value 2, expected at least 3"),
        ([0, 2, 2, 3], r"offsets\[3\] has value 3, expected the number of rows of values = 4"),
    ):
        with pytest.raises(ValueError, match=message):
            from_tf_ragged(ragged(VALUES, splits, validate=False))


def test_a_symbolic_tensor_is_refused() -> None:
    seen: list[str] = []

    @tf.function
    def graph(inside: tf.RaggedTensor) -> tf.RaggedTensor:
        with pytest.raises(TypeError, match="ragged has symbolic values, expected an eager tensor"):
            from_tf_ragged(inside)
        seen.append("refused")
        return inside

    graph(ragged(VALUES))
    assert seen
