"""RaggedBatch to and from PyTorch's nested tensors and PackedSequence, bit for bit."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.nn.utils import rnn

import refrnn as rr
from refrnn import packing
from refrnn.interop import (
    from_nested_tensor,
    from_packed_sequence,
    to_nested_tensor,
    to_packed_sequence,
)
from refrnn.testing.strategies import ragged_batches

# said once a process, of the strided layout
pytestmark = pytest.mark.filterwarnings("ignore:The PyTorch API of nested tensors is in prototype")

VALUES = np.arange(15.0).reshape(5, 3)
BATCH = rr.RaggedBatch(VALUES, [2, 0, 3])
LAYOUTS = [torch.jagged, torch.strided]
POSITIVE = st.lists(st.integers(1, 6), min_size=1, max_size=5)


@given(batch=ragged_batches())
def test_jagged_round_trip_is_exact(batch: rr.RaggedBatch) -> None:
    nested = to_nested_tensor(batch)
    assert nested.is_nested
    assert nested.layout == torch.jagged
    assert [tuple(part.shape) for part in nested.unbind()] == [s.shape for s in batch]
    again = from_nested_tensor(nested)
    assert again == batch
    assert again.features == batch.features
    assert again.batch_size == batch.batch_size


@given(batch=ragged_batches().filter(len))
def test_strided_round_trip_is_exact(batch: rr.RaggedBatch) -> None:
    nested = to_nested_tensor(batch, layout=torch.strided)
    assert nested.is_nested
    assert nested.layout == torch.strided
    again = from_nested_tensor(nested)
    assert again == batch
    assert again.features == batch.features


@given(batch=ragged_batches(batch_lengths=POSITIVE))
def test_packed_round_trip_is_exact_and_packs_as_torch_does(batch: rr.RaggedBatch) -> None:
    packed = to_packed_sequence(batch)
    assert from_packed_sequence(packed) == batch
    padded, lengths = rnn.pad_packed_sequence(packed)
    assert np.array_equal(padded.numpy(), batch.to_padded())
    assert np.array_equal(lengths.numpy(), batch.lengths)
    theirs = rnn.pack_sequence([torch.tensor(s) for s in batch], enforce_sorted=False)
    assert from_packed_sequence(theirs) == batch
    assert packed.batch_sizes.equal(theirs.batch_sizes)
    # torch's sort promises no order of equal lengths
    assert len(set(batch.lengths.tolist())) < len(batch) or packed.data.equal(theirs.data)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("lengths", [[0, 2], [2, 0], [0, 1, 0, 1, 0]], ids=str)
def test_bits_are_kept_nan_and_negative_zero_too(lengths: list[int], dtype: str) -> None:
    values = np.array([[np.nan, -0.0], [np.inf, 1e-45]], dtype)
    batch = rr.RaggedBatch(values, lengths)
    for layout in LAYOUTS:
        again = from_nested_tensor(to_nested_tensor(batch, layout=layout))
        assert again.values.tobytes() == values.tobytes()
        assert again.lengths.tolist() == lengths
        assert again.dtype == values.dtype


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_an_empty_batch_keeps_its_features_where_torch_does(dtype: str) -> None:
    batch = rr.RaggedBatch(np.zeros((0, 3), dtype), [])
    again = from_nested_tensor(to_nested_tensor(batch))
    assert (again.batch_size, again.features, again.dtype) == (0, 3, batch.dtype)
    with pytest.raises(ValueError, match="batch has no sequences, expected at least one: layout "):
        to_nested_tensor(batch, layout=torch.strided)
    with pytest.raises(ValueError, match="nested has no tensors, expected at least one: layout "):
        from_nested_tensor(torch.nested.nested_tensor([], layout=torch.strided))
    for layout in LAYOUTS:
        empty = rr.RaggedBatch(np.zeros((0, 3), dtype), [0, 0])
        again = from_nested_tensor(to_nested_tensor(empty, layout=layout))
        assert (again.lengths.tolist(), again.features, again.dtype) == ([0, 0], 3, batch.dtype)


@pytest.mark.parametrize("layout", LAYOUTS, ids=str)
def test_what_requires_a_gradient_is_detached(layout: torch.layout) -> None:
    leaves = [torch.tensor(s, requires_grad=True) for s in BATCH]
    nested = torch.nested.as_nested_tensor(leaves, layout=layout)
    assert nested.requires_grad
    assert from_nested_tensor(nested) == BATCH
    assert not to_nested_tensor(BATCH, layout=layout).requires_grad


def test_packed_data_that_requires_a_gradient_is_detached() -> None:
    packed = rnn.pack_sequence([torch.tensor(BATCH[2], requires_grad=True)])
    assert packed.data.requires_grad
    assert from_packed_sequence(packed) == BATCH.permute([2])


@pytest.mark.parametrize("layout", LAYOUTS, ids=str)
def test_nothing_changes_with_what_it_came_from(layout: torch.layout) -> None:
    values = VALUES.copy()
    nested = to_nested_tensor(rr.RaggedBatch(values, [2, 0, 3]), layout=layout)
    values[:] = -1
    batch = from_nested_tensor(nested)
    assert batch == BATCH
    nested.values().zero_()
    assert batch == BATCH


def test_packed_results_are_copies() -> None:
    packed = to_packed_sequence(rr.RaggedBatch(VALUES, [2, 3]))
    batch = from_packed_sequence(packed)
    packed.data.zero_()
    assert batch == rr.RaggedBatch(VALUES, [2, 3])


def test_jagged_tensors_that_are_not_contiguous_are_taken() -> None:
    padded = torch.tensor(np.arange(30.0).reshape(3, 5, 2))
    start, length = torch.tensor([0, 1, 2]), torch.tensor([2, 0, 3])
    holes = torch.nested.narrow(padded, 1, start, length, layout=torch.jagged)
    assert not holes.is_contiguous()
    expected = [padded[b, s : s + n].numpy() for b, (s, n) in enumerate([(0, 2), (1, 0), (2, 3)])]
    assert from_nested_tensor(holes) == rr.RaggedBatch.from_sequences(expected)


def test_strided_tensors_in_another_order_are_taken() -> None:
    columns = torch.nested.nested_tensor(
        [torch.tensor(BATCH[i].T.copy()) for i in (0, 2)], layout=torch.strided
    )
    assert from_nested_tensor(columns.transpose(1, 2)) == BATCH.permute([0, 2])


def test_offsets_of_32_bits_are_taken() -> None:
    offsets = torch.tensor([0, 2, 2, 5], dtype=torch.int32)
    nested = torch.nested.nested_tensor_from_jagged(torch.tensor(VALUES), offsets=offsets)
    assert from_nested_tensor(nested) == BATCH


def test_a_sorted_packed_sequence_without_indices_has_the_packed_order() -> None:
    longest_first = BATCH.permute([2, 0])
    packed = rnn.pack_sequence([torch.tensor(s) for s in longest_first], enforce_sorted=True)
    assert packed.sorted_indices is None
    assert from_packed_sequence(packed) == longest_first


def test_the_twin_of_numpy_has_the_same_parts() -> None:
    batch = rr.RaggedBatch(VALUES, [2, 3])
    parts = zip(to_packed_sequence(batch), packing.pack(batch), strict=True)
    assert all(np.array_equal(ours.numpy(), theirs) for ours, theirs in parts)


@pytest.mark.parametrize("layout", LAYOUTS, ids=str)
def test_the_device_is_honoured(layout: torch.layout) -> None:
    nested = to_nested_tensor(BATCH, device="meta", layout=torch.jagged)
    assert nested.device.type == "meta"
    packed = to_packed_sequence(rr.RaggedBatch(VALUES, [2, 3]), device="meta")
    assert packed.data.is_meta
    assert packed.sorted_indices.is_meta
    assert packed.batch_sizes.device.type == "cpu"
    for convert, made in ((from_nested_tensor, nested), (from_packed_sequence, packed)):
        with pytest.raises(TypeError, match="has device meta without numbers, expected one with"):
            convert(made)
    on_host = to_nested_tensor(BATCH, device=torch.device("cpu"), layout=layout)
    assert on_host.device.type == "cpu"


@pytest.mark.parametrize("layout", LAYOUTS, ids=str)
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.int64, torch.complex64])
def test_other_dtypes_are_refused_by_name(dtype: torch.dtype, layout: torch.layout) -> None:
    name = str(dtype).removeprefix("torch.")
    nested = torch.nested.nested_tensor([torch.ones(2, 3, dtype=dtype)], layout=layout)
    with pytest.raises(TypeError, match=f"nested has dtype {name}, expected float32 or float64"):
        from_nested_tensor(nested)
    packed = rnn.pack_sequence([torch.ones(2, 3, dtype=dtype)])
    with pytest.raises(TypeError, match=f"packed.data has dtype {name}, expected float32 or float"):
        from_packed_sequence(packed)


def nested(*shapes: tuple[int, ...], layout: torch.layout = torch.jagged) -> torch.Tensor:
    return torch.nested.nested_tensor([torch.ones(shape) for shape in shapes], layout=layout)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: nested((2,), (1,)), r"nested has 2 dimensions, expected 3: \(B, length, F\)"),
        (lambda: nested((2, 3, 4)), r"nested has 4 dimensions, expected 3: \(B, length, F\)"),
        (lambda: nested((2,), layout=torch.strided), r"nested has 2 dimensions, expected 3: \(B"),
        (
            lambda: nested((2, 3), (1, 4), layout=torch.strided),
            r"nested\[1\] has shape \(1, 4\), expected \(length, F\) with F = 3",
        ),
        (
            lambda: nested((2, 3), (1, 3)).transpose(1, 2),
            r"nested has ragged dimension 2, expected 1: \(B, length, F\)",
        ),
    ],
)
def test_other_shapes_are_refused(make: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        from_nested_tensor(make())


def test_other_things_are_refused() -> None:
    message = "nested has type Tensor that is not nested, expected a nested tensor of torch"
    with pytest.raises(TypeError, match=message):
        from_nested_tensor(torch.ones(2, 3))
    with pytest.raises(TypeError, match="nested has type list, expected a nested tensor of torch"):
        from_nested_tensor([torch.ones(2, 3)])
    with pytest.raises(TypeError, match=r"expected a torch\S+ \(refrnn.packing.unpack takes it\)"):
        from_packed_sequence(packing.pack(BATCH))
    with pytest.raises(TypeError, match=r"packed has type Tensor, expected a torch\S+PackedSequen"):
        from_packed_sequence(torch.ones(2, 3))


def test_packed_sequences_of_other_shapes_are_refused() -> None:
    with pytest.raises(ValueError, match=r"packed.data has shape \(2,\), expected \(N, F\)"):
        from_packed_sequence(rnn.pack_sequence([torch.ones(2)]))
    short = rnn.PackedSequence(torch.ones(3, 1), torch.tensor([1, 1]))
    alone = rnn.PackedSequence(
        torch.ones(2, 1), torch.tensor([1, 1]), unsorted_indices=torch.tensor([0])
    )
    with pytest.raises(ValueError, match="packed has unsorted_indices alone, expected sorted_ind"):
        from_packed_sequence(alone)
    with pytest.raises(ValueError, match=r"packed.batch_sizes has values \[1, 1\], expected sizes"):
        from_packed_sequence(short)


def test_other_layouts_are_refused() -> None:
    with pytest.raises(TypeError, match=r"layout has type str, expected a torch.layout"):
        to_nested_tensor(BATCH, layout="jagged")
    with pytest.raises(ValueError, match=r"layout has value torch.sparse_coo, expected torch.jagg"):
        to_nested_tensor(BATCH, layout=torch.sparse_coo)
