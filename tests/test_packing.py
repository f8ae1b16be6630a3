"""PackedSequence means what it means in PyTorch, and unpacking is the exact inverse."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given

from refrnn import RaggedBatch
from refrnn.packing import PackedSequence, pack, sort_by_length, step_batch_sizes, unpack
from refrnn.testing.strategies import lengths, ragged_batches


def batch_of(*sequences: list[int]) -> RaggedBatch:
    return RaggedBatch.from_sequences(
        [np.array(s, float).reshape(-1, 1) for s in sequences], features=1, dtype="float64"
    )


def test_pytorchs_own_example() -> None:
    packed = pack(batch_of([1, 2, 3], [4, 5], [6]))
    assert packed.data.ravel().tolist() == [1, 4, 6, 2, 5, 3]
    assert packed.batch_sizes.tolist() == [3, 2, 1]
    assert packed.sorted_indices.tolist() == [0, 1, 2]
    assert packed.unsorted_indices.tolist() == [0, 1, 2]


def test_the_same_sequences_in_another_order() -> None:
    packed = pack(batch_of([6], [1, 2, 3], [4, 5]))
    assert packed.data.ravel().tolist() == [1, 4, 6, 2, 5, 3]
    assert packed.batch_sizes.tolist() == [3, 2, 1]
    # not an involution: the two permutations can be told apart
    assert packed.sorted_indices.tolist() == [1, 2, 0]
    assert packed.unsorted_indices.tolist() == [2, 0, 1]


def test_equal_lengths_keep_their_order_and_length_0_is_in_no_step() -> None:
    packed = pack(batch_of([], [1, 2], [3], [4, 5], []))
    assert packed.data.ravel().tolist() == [1, 4, 3, 2, 5]
    assert packed.batch_sizes.tolist() == [3, 2]
    assert packed.sorted_indices.tolist() == [1, 3, 2, 0, 4]
    assert packed.unsorted_indices.tolist() == [3, 0, 2, 1, 4]


@pytest.mark.parametrize("batch", [batch_of(), batch_of([]), batch_of([], [])])
def test_packing_nothing(batch: RaggedBatch) -> None:
    packed = pack(batch)
    assert packed.data.shape == (0, 1)
    assert packed.batch_sizes.size == 0
    assert packed.unsorted_indices.tolist() == list(range(len(batch)))
    assert unpack(packed) == batch


@given(batch=ragged_batches())
def test_unpack_is_the_exact_inverse(batch: RaggedBatch) -> None:
    packed = pack(batch)
    assert unpack(packed) == batch
    assert not np.shares_memory(packed.data, batch.values)
    assert packed.data.dtype == batch.dtype
    assert all(a.dtype == np.int64 for a in packed[1:])


@given(batch=ragged_batches())
def test_step_t_holds_row_t_of_the_sequences_that_have_one(batch: RaggedBatch) -> None:
    packed = pack(batch)
    ends = np.cumsum(packed.batch_sizes)
    for t, (size, end) in enumerate(zip(packed.batch_sizes, ends, strict=True)):
        alive = [b for b in packed.sorted_indices if batch.lengths[b] > t]
        assert len(alive) == size
        expected = np.array([batch[b][t] for b in alive])
        assert np.array_equal(packed.data[end - size : end], expected)


@given(n=lengths())
def test_the_permutations_are_inverse_and_sort_by_falling_length(n: list[int]) -> None:
    order, place, sizes = sort_by_length(np.array(n, np.int64))
    assert order[place].tolist() == place[order].tolist() == list(range(len(n)))
    assert [n[b] for b in order] == sorted(n, reverse=True)
    assert sizes.tolist() == [sum(length > t for length in n) for t in range(max(n, default=0))]
    assert np.array_equal(sizes, step_batch_sizes(np.array(n, np.int64)))


def test_parts_may_be_lists() -> None:
    parts: Any = PackedSequence([[1.0], [4.0], [2.0]], [2, 1], [1, 0], [1, 0])
    assert unpack(parts) == batch_of([4], [1, 2])


@pytest.mark.parametrize(
    ("change", "kind", "words"),
    [
        ({"batch_sizes": [1, 2]}, ValueError, r"packed.batch_sizes has values \[1, 2\], .* B = 2"),
        ({"batch_sizes": [2, 2]}, ValueError, "add up to the number of rows of packed.data = 3"),
        ({"batch_sizes": [3]}, ValueError, "never rise from B = 2"),
        ({"batch_sizes": [2, 2, -1]}, ValueError, r"packed.batch_sizes\[2\] has value -1"),
        ({"batch_sizes": [2.0, 1.0]}, TypeError, "packed.batch_sizes has dtype float64"),
        ({"unsorted_indices": [0, 0]}, ValueError, "expected the inverse permutation"),
        ({"unsorted_indices": [0, 5]}, ValueError, r"packed.unsorted_indices\[1\] has value 5"),
        ({"unsorted_indices": [0, -1]}, ValueError, r"packed.unsorted_indices\[1\] has value -1"),
        ({"unsorted_indices": None}, TypeError, "packed.unsorted_indices has type NoneType"),
        ({"sorted_indices": None}, TypeError, "packed.sorted_indices has type NoneType"),
        ({"sorted_indices": [1, 0]}, ValueError, r"packed.sorted_indices has values \[1, 0\]"),
        ({"sorted_indices": [0]}, ValueError, r"packed.sorted_indices has values \[0\]"),
        ({"data": np.zeros(3)}, ValueError, r"packed.data has shape \(3,\), expected \(N, F\)"),
        ({"data": np.zeros((3, 1), int)}, TypeError, "packed.data has dtype int64"),
    ],
)
def test_parts_that_do_not_belong_together(
    change: dict[str, Any], kind: type[Exception], words: str
) -> None:
    good = PackedSequence(np.zeros((3, 1)), *(np.array(a) for a in ([2, 1], [0, 1], [0, 1])))
    assert unpack(good).lengths.tolist() == [2, 1]
    with pytest.raises(kind, match=words):
        unpack(good._replace(**change))


def test_a_permutation_that_is_not_its_own_inverse_is_told_from_it() -> None:
    packed = pack(batch_of([6], [1, 2, 3], [4, 5]))
    with pytest.raises(ValueError, match="expected the inverse permutation"):
        unpack(packed._replace(sorted_indices=packed.unsorted_indices))


def test_only_batches_are_packed_and_only_packed_sequences_unpacked() -> None:
    with pytest.raises(TypeError, match="batch has type ndarray, expected a RaggedBatch"):
        pack(np.zeros((3, 1)))  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="packed has type tuple, expected a PackedSequence"):
        unpack((1, 2))  # type: ignore[arg-type]
