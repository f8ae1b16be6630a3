"""RaggedBatch: every way to make one, what it holds and refuses, and that it stays as it is."""

from __future__ import annotations

import copy
import pickle
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import refrnn as rr
from refrnn import RaggedBatch
from refrnn.padding import unmask
from refrnn.testing.strategies import lengths, ragged_batches

ROWS = np.arange(6.0).reshape(3, 2)


@pytest.fixture
def batch() -> RaggedBatch:
    return RaggedBatch(ROWS, [1, 0, 2])


@pytest.fixture
def empty() -> RaggedBatch:
    return RaggedBatch(np.zeros((0, 2)), [])


class OnDevice:
    """What CuPy, Numba and PyTorch arrays on a GPU have in common."""

    def __init__(self, shape: tuple[int, ...], dtype: str = "<f4") -> None:
        self.__cuda_array_interface__ = {
            "shape": shape,
            "typestr": dtype,
            "data": (0, False),
            "version": 3,
        }


# --- what it holds -------------------------------------------------------------------------------


def test_attributes(batch: RaggedBatch) -> None:
    assert (batch.batch_size, batch.total_steps, batch.max_length, batch.features) == (3, 3, 2, 2)
    assert batch.lengths.tolist() == [1, 0, 2]
    assert batch.offsets.tolist() == [0, 1, 1, 3]
    assert batch.lengths.dtype == batch.offsets.dtype == np.int64
    assert batch.dtype == np.float64
    assert np.array_equal(batch.values, ROWS)
    assert len(batch) == 3
    assert repr(batch) == "RaggedBatch(B=3, N=3, F=2, lengths 0..2, float64)"


def test_an_empty_batch_has_attributes_too(empty: RaggedBatch) -> None:
    assert (empty.batch_size, empty.total_steps, empty.max_length, empty.features) == (0, 0, 0, 2)
    assert empty.offsets.tolist() == [0]
    assert list(empty) == []
    assert repr(empty) == "RaggedBatch(B=0, N=0, F=2, lengths 0..0, float64)"
    assert empty.to_padded().shape == (0, 0, 2)
    assert empty.to_padded(batch_first=True, max_length=4).shape == (0, 4, 2)


def test_sequences_without_a_step(batch: RaggedBatch) -> None:
    none = RaggedBatch(np.zeros((0, 2), "float32"), [0, 0])
    assert (len(none), none.total_steps, none.max_length) == (2, 0, 0)
    assert [s.shape for s in none] == [(0, 2), (0, 2)]
    assert none.to_padded().shape == (0, 2, 2)


def test_indexing_and_iteration_give_the_rows_of_a_sequence(batch: RaggedBatch) -> None:
    expected = [ROWS[:1], ROWS[1:1], ROWS[1:]]
    for b, rows in enumerate(expected):
        assert np.array_equal(batch[b], rows)
        assert np.array_equal(batch[b - 3], rows)
        assert np.array_equal(batch[np.int8(b)], rows)
    for got, rows in zip(batch, expected, strict=True):
        assert np.array_equal(got, rows)
    for got, rows in zip(reversed(batch), reversed(expected), strict=True):
        assert np.array_equal(got, rows)


@pytest.mark.parametrize("index", [3, -4])
def test_an_index_out_of_range_names_the_range(batch: RaggedBatch, index: int) -> None:
    with pytest.raises(IndexError, match=f"index has value {index}, expected -B <= index < B = 3"):
        batch[index]


def test_an_empty_batch_has_no_first_sequence(empty: RaggedBatch) -> None:
    with pytest.raises(IndexError, match="index has value 0, expected -B <= index < B = 0"):
        empty[0]


@pytest.mark.parametrize("index", [1.0, slice(0, 1), "a", (0, 1), True, np.True_, None])
def test_an_index_is_an_integer(batch: RaggedBatch, index: Any) -> None:
    with pytest.raises(TypeError, match=f"index has type {type(index).__name__}, expected an int"):
        batch[index]


def test_everything_that_is_handed_out_is_read_only(batch: RaggedBatch) -> None:
    for array in (batch.values, batch.lengths, batch.offsets, batch[2], *batch):
        with pytest.raises(ValueError, match="read-only"):
            array[...] = 0


@pytest.mark.parametrize("name", ["values", "lengths", "dtype", "anything"])
def test_attributes_cannot_be_set(batch: RaggedBatch, name: str) -> None:
    with pytest.raises(AttributeError):
        setattr(batch, name, None)


def test_values_are_viewed_and_the_owner_may_still_write() -> None:
    mine = ROWS.copy()
    batch = RaggedBatch(mine, [3])
    assert np.shares_memory(batch.values, mine)
    mine[0, 0] = 9  # the batch did not lock the array of its owner
    assert batch.values[0, 0] == 9


def test_lengths_are_copied() -> None:
    mine = np.array([1, 2])
    batch = RaggedBatch(ROWS, mine)
    mine[0] = 7
    assert batch.lengths.tolist() == [1, 2]


@pytest.mark.parametrize(
    "copied",
    [copy.copy, copy.deepcopy, lambda b: pickle.loads(pickle.dumps(b))],
    ids=["copy", "deepcopy", "pickle"],
)
def test_a_copy_is_equal_and_read_only(batch: RaggedBatch, copied: Any) -> None:
    other = copied(batch)
    assert other == batch
    assert not any(a.flags.writeable for a in (other.values, other.lengths, other.offsets))


def test_equality_looks_at_lengths_values_and_dtype(batch: RaggedBatch) -> None:
    assert batch == RaggedBatch(ROWS.copy(), np.array([1, 0, 2], np.uint8))
    assert batch != RaggedBatch(ROWS, [1, 2, 0])
    assert batch != RaggedBatch(ROWS, [1, 2])
    assert batch != RaggedBatch(ROWS + [[0, 0], [0, 0], [0, 1]], [1, 0, 2])
    assert batch != RaggedBatch(ROWS.astype("float32"), [1, 0, 2])
    assert batch != RaggedBatch(ROWS[:, :1], [1, 0, 2])
    assert batch != 3
    with pytest.raises(TypeError, match="unhashable"):
        hash(batch)


def test_nan_is_equal_to_nothing_and_yet_no_bad_input() -> None:
    batch = RaggedBatch(np.full((1, 1), np.nan), [1])
    assert batch != RaggedBatch(np.full((1, 1), np.nan), [1])
    assert np.isnan(batch[0]).all()


# --- layouts and dtypes --------------------------------------------------------------------------


@pytest.mark.parametrize(
    "layout",
    [
        np.asfortranarray,
        lambda a: np.repeat(np.repeat(a, 2, axis=0), 3, axis=1)[::2, ::3],
        lambda a: a[::-1, ::-1].copy()[::-1, ::-1],
        lambda a: a.astype(a.dtype.newbyteorder()),
        lambda a: a.tolist(),
        lambda a: a.view(type("Subclass", (np.ndarray,), {})),
    ],
    ids=["fortran", "strided", "backwards", "swapped", "list", "subclass"],
)
def test_every_layout_is_the_same_batch(batch: RaggedBatch, layout: Any) -> None:
    other = RaggedBatch(layout(ROWS), [1, 0, 2])
    assert other == batch
    assert other.dtype.isnative
    assert type(other.values) is np.ndarray


def test_a_read_only_array_will_do(batch: RaggedBatch) -> None:
    locked = ROWS.copy()
    locked.flags.writeable = False
    assert RaggedBatch(locked, [1, 0, 2]) == batch


@pytest.mark.parametrize(
    "dtype", ["float32", "float64", "longdouble", "complex64", "complex128", "clongdouble"]
)
def test_dtypes_are_kept(dtype: str) -> None:
    batch = RaggedBatch(ROWS.astype(dtype), [3])
    assert batch.dtype == batch.to_padded().dtype == batch.permute([0]).dtype == np.dtype(dtype)


@pytest.mark.parametrize("dtype", ["int8", "int64", "uint16", "bool", "float16", "<U3", "M8[s]"])
def test_other_dtypes_are_refused_by_name(dtype: str) -> None:
    values = np.zeros((3, 2), dtype)
    with pytest.raises(TypeError, match=f"values has dtype {np.dtype(dtype)}".replace("[", r"\[")):
        RaggedBatch(values, [3])
    with pytest.raises(TypeError, match=r"sequences\[1\] has dtype"):
        RaggedBatch.from_sequences([ROWS, values])


def test_what_numpy_cannot_read_is_named_with_its_reason() -> None:
    class Bfloat16Tensor:
        def __array__(self, dtype: Any = None, copy: Any = None) -> Any:
            raise TypeError("Got unsupported ScalarType BFloat16")

    with pytest.raises(TypeError, match=r"values has type Bfloat16Tensor .*BFloat16.*expected fl"):
        RaggedBatch(Bfloat16Tensor(), [3])


def test_what_numpy_can_read_is_read() -> None:
    class Tensor:
        def __array__(self, dtype: Any = None, copy: Any = None) -> Any:
            return ROWS

    assert RaggedBatch(Tensor(), [1, 0, 2]) == RaggedBatch(ROWS, [1, 0, 2])


def test_a_numpy_mask_is_not_dropped() -> None:
    masked = np.ma.masked_array(ROWS, mask=np.eye(3, 2))
    with pytest.raises(TypeError, match=r"values has type MaskedArray, expected .*from_mask"):
        RaggedBatch(masked, [3])
    with pytest.raises(TypeError, match="lengths has type MaskedArray"):
        RaggedBatch(ROWS, np.ma.masked_array([3], mask=[True]))


@pytest.mark.parametrize(
    ("values", "kind", "words"),
    [
        (None, TypeError, "values has type NoneType, expected float32"),
        (object(), TypeError, "values has type object, expected float32"),
        (ROWS.astype(object), TypeError, r"values has dtype object, expected .* of shape \(N, F\)"),
        ([[1, 2]], TypeError, "values has dtype int64, expected float32"),
        (1.0, ValueError, r"values has shape \(\), expected \(N, F\)"),
        ([], ValueError, r"values has shape \(0,\), expected \(N, F\)"),
        (ROWS.ravel(), ValueError, r"values has shape \(6,\), expected \(N, F\)"),
        (ROWS[None], ValueError, r"values has shape \(1, 3, 2\), expected \(N, F\)"),
        ([[1.0], [1.0, 2.0]], ValueError, "values has rows of different lengths, expected"),
    ],
)
def test_bad_values_are_named(values: Any, kind: type[Exception], words: str) -> None:
    with pytest.raises(kind, match=words):
        RaggedBatch(values, [1])


# --- from sequences ------------------------------------------------------------------------------


def test_from_sequences_joins_and_copies() -> None:
    parts = [ROWS[:1].copy(), ROWS[1:].copy()]
    batch = RaggedBatch.from_sequences(parts)
    parts[0][...] = 9
    assert batch == RaggedBatch(ROWS, [1, 2])


@pytest.mark.parametrize("nothing", [[], (), np.zeros(0), np.zeros((0, 2))])
def test_an_empty_sequence_counts_as_length_0(nothing: Any) -> None:
    assert RaggedBatch.from_sequences([nothing, ROWS]) == RaggedBatch(ROWS, [0, 3])
    assert RaggedBatch.from_sequences([ROWS, nothing]) == RaggedBatch(ROWS, [3, 0])


def test_from_sequences_takes_any_iterable(batch: RaggedBatch) -> None:
    assert RaggedBatch.from_sequences(batch) == batch
    assert RaggedBatch.from_sequences(s for s in batch) == batch
    assert RaggedBatch.from_sequences([s.tolist() for s in batch]) == batch
    assert RaggedBatch.from_sequences(np.ones((2, 3, 4))).lengths.tolist() == [3, 3]


@pytest.mark.parametrize(("sequences", "count"), [([], 0), ([[]], 1), ([np.zeros(0)] * 2, 2)])
def test_without_a_row_features_and_dtype_are_needed(sequences: Any, count: int) -> None:
    batch = RaggedBatch.from_sequences(sequences, features=5, dtype="float32")
    assert (len(batch), batch.values.shape, batch.dtype) == (count, (0, 5), np.float32)
    with pytest.raises(ValueError, match="expected features= to be given"):
        RaggedBatch.from_sequences(sequences, dtype="float32")
    with pytest.raises(TypeError, match="expected dtype= to be given"):
        RaggedBatch.from_sequences(sequences, features=5)


@pytest.mark.parametrize("dtype", ["float64", "longdouble", "complex128", np.float32])
def test_dtype_converts_numbers_of_every_kind(dtype: Any) -> None:
    kinds = ["int64", "uint8", "bool", "float16", "float32", "float64", "longdouble"]
    batch = RaggedBatch.from_sequences([np.ones((1, 2), k) for k in kinds], dtype=dtype)
    assert batch == RaggedBatch(np.ones((7, 2), dtype), [1] * 7)


@pytest.mark.parametrize(
    ("sequence", "words"),
    [
        (np.ones((1, 2), complex), r"sequences\[1\] has dtype complex128, expected numbers that"),
        ([["1", "2"]], r"sequences\[1\] has dtype <U1, expected numbers that float64 can hold"),
        (np.ones((1, 2), object), r"sequences\[1\] has dtype object, expected numbers"),
        (None, r"sequences\[1\] has type NoneType, expected numbers"),
    ],
)
def test_dtype_converts_nothing_else(sequence: Any, words: str) -> None:
    with pytest.raises(TypeError, match=words):
        RaggedBatch.from_sequences([ROWS, sequence], dtype="float64")


@pytest.mark.parametrize("dtype", ["float16", "int64", "nonsense", object, bool])
def test_a_dtype_that_refrnn_does_not_compute_in_is_refused(dtype: Any) -> None:
    for sequences in ([ROWS], []):
        with pytest.raises(TypeError, match=r"^dtype has .* expected float32, float64 or longd"):
            RaggedBatch.from_sequences(sequences, features=2, dtype=dtype)


@pytest.mark.parametrize(
    ("arguments", "kind", "words"),
    [
        (([ROWS, ROWS.astype("f4")],), TypeError, r"sequences\[1\] has dtype float32, expected fl"),
        (([ROWS, ROWS[:, :1]],), ValueError, r"sequences\[1\] has shape \(3, 1\), .* F = 2"),
        (([[], ROWS, ROWS[0]],), ValueError, r"sequences\[2\] has shape \(2,\), expected \(length"),
        (([ROWS, [[1.0], [1.0, 2.0]]],), ValueError, r"sequences\[1\] has rows of different len"),
        (([ROWS, None],), TypeError, r"sequences\[1\] has type NoneType"),
        (([ROWS, 1.0],), ValueError, r"sequences\[1\] has shape \(\)"),
        (([ROWS, [[1, 2]]],), TypeError, r"sequences\[1\] has dtype int64"),
        ((None,), TypeError, "sequences has type NoneType, expected one"),
        ((3,), TypeError, "sequences has type int, expected one"),
        (("ab",), TypeError, r"sequences\[0\] has dtype <U1"),
    ],
)
def test_the_bad_sequence_is_named(arguments: Any, kind: type[Exception], words: str) -> None:
    with pytest.raises(kind, match=words):
        RaggedBatch.from_sequences(*arguments)


@pytest.mark.parametrize(
    ("features", "kind", "words"),
    [
        (3, ValueError, r"sequences\[0\] has shape \(3, 2\), expected \(length, F\) with F = 3"),
        (-1, ValueError, "features has value -1"),
        (2.0, TypeError, "features has type float"),
        (True, TypeError, "features has type bool"),
    ],
)
def test_features_are_checked(features: Any, kind: type[Exception], words: str) -> None:
    with pytest.raises(kind, match=words):
        RaggedBatch.from_sequences([ROWS], features=features)


# --- from lengths and offsets --------------------------------------------------------------------


@pytest.mark.parametrize(
    "given",
    [
        [1, 0, 2],
        (1, 0, 2),
        np.array([1, 0, 2], np.int8),
        np.array([1, 0, 2], np.uint64),
        np.array([1, 0, 2], ">i4"),
        np.array([1, 9, 0, 9, 2])[::2],
        [np.int16(1), 0, np.uint8(2)],
    ],
)
def test_lengths_of_any_integer_kind(batch: RaggedBatch, given: Any) -> None:
    assert RaggedBatch(ROWS, given) == batch


@pytest.mark.parametrize("nothing", [[], (), range(0), np.zeros(0, int)])
def test_no_lengths_are_an_empty_batch(empty: RaggedBatch, nothing: Any) -> None:
    assert RaggedBatch(np.zeros((0, 2)), nothing) == empty


@pytest.mark.parametrize(
    "lengths", [[2], [1, 3], [], [4, 0], [2**62] * 4 + [3], [2**63 - 1, 2**63 - 1, 5]]
)
def test_lengths_add_up_to_the_rows_without_overflow(lengths: list[int]) -> None:
    words = f"lengths has sum {sum(lengths)}, expected the number of rows of values = 3"
    with pytest.raises(ValueError, match=words):
        RaggedBatch(ROWS, lengths)


def test_from_offsets(batch: RaggedBatch, empty: RaggedBatch) -> None:
    assert RaggedBatch.from_offsets(ROWS, [0, 1, 1, 3]) == batch
    assert RaggedBatch.from_offsets(ROWS, batch.offsets) == batch
    assert RaggedBatch.from_offsets(np.zeros((0, 2)), [0]) == empty
    assert np.shares_memory(RaggedBatch.from_offsets(ROWS, [0, 3]).values, ROWS)


@pytest.mark.parametrize(
    ("offsets", "kind", "words"),
    [
        ([], ValueError, r"offsets has shape \(0,\), expected .* at least \[0\]"),
        ([1, 3], ValueError, r"offsets\[0\] has value 1, expected 0"),
        ([0, 2, 1, 3], ValueError, r"offsets\[2\] has value 1, expected at least 2"),
        (np.array([0, 2, 1, 3], "u8"), ValueError, r"offsets\[2\] has value 1, expected at least"),
        ([0, 2**63 - 1, -(2**63) + 9, 3], ValueError, r"offsets\[2\] has value -92233"),
        ([0, 2], ValueError, r"offsets\[1\] has value 2, expected the number of rows .* = 3"),
        ([0.0, 3.0], TypeError, "offsets has dtype float64, expected integers"),
        ([False, 3], TypeError, r"offsets\[0\] has type bool, expected an integer"),
        ([[0, 3]], ValueError, r"offsets has shape \(1, 2\)"),
        (None, TypeError, "offsets has type NoneType"),
    ],
)
def test_bad_offsets_are_named(offsets: Any, kind: type[Exception], words: str) -> None:
    with pytest.raises(kind, match=words):
        RaggedBatch.from_offsets(ROWS, offsets)


# --- from padded and masked ----------------------------------------------------------------------


@given(batch=ragged_batches())
def test_every_way_there_and_back_is_exact(batch: RaggedBatch) -> None:
    sequences = list(batch)
    again = RaggedBatch.from_sequences(sequences, features=batch.features, dtype=batch.dtype)
    assert again == batch
    assert RaggedBatch.from_offsets(batch.values, batch.offsets) == batch
    for batch_first in (False, True):
        padded = batch.to_padded(batch_first, padding_value=np.nan, max_length=9)
        assert RaggedBatch.from_padded(padded, batch.lengths, batch_first) == batch
        mask = ~np.isnan(padded[..., 0])
        assert RaggedBatch.from_mask(padded, mask, batch_first) == batch


@given(seed=st.integers(0, 2**16), batch_first=st.booleans(), holes=st.sampled_from([0, 0.5, 1]))
def test_holes_close_up_and_open_again(seed: int, batch_first: bool, holes: float) -> None:
    rng = np.random.default_rng(seed)
    shape = tuple(rng.integers(0, 5, 2))
    values = rng.normal(size=(*shape, 2))
    mask = rng.uniform(size=shape) >= holes
    batch = RaggedBatch.from_mask(values, mask, batch_first)
    by_sequence = (values, mask) if batch_first else (values.swapaxes(0, 1), mask.T)
    expected = [v[m] for v, m in zip(*by_sequence, strict=True)]
    assert [s.tolist() for s in batch] == [e.tolist() for e in expected]
    back = unmask(batch.values, mask, batch_first=batch_first)
    assert np.array_equal(back, np.where(mask[..., None], values, 0))


def test_outputs_at_holes_are_zero_and_the_state_passes_them() -> None:
    rng = np.random.default_rng(0)
    values = rng.normal(size=(2, 4, 3))  # batch first
    mask = np.array([[True, False, True, True], [False, True, False, False]])
    values[~mask] = np.nan
    cell = rr.GRU(3, 5)
    params = cell.init_parameters(rng)
    run = rr.forward(cell, params, RaggedBatch.from_mask(values, mask, batch_first=True))
    padded = unmask(run.output.values, mask, batch_first=True)
    assert (padded[~mask] == 0).all()
    assert (padded[mask] != 0).all()
    short = rr.forward(cell, params, RaggedBatch.from_sequences([values[0, [0, 2, 3]]]))
    assert np.allclose(padded[0, [0, 2, 3]], short.output[0], rtol=1e-12)
    assert np.array_equal(run.state_n.h[0], padded[0, 3])


@pytest.mark.parametrize(
    ("arguments", "kind", "words"),
    [
        ((np.ones((3, 2)), [1, 2]), ValueError, r"values has shape \(3, 2\), expected \(T, B, F\)"),
        ((np.ones((3, 2, 1)), [4, 2]), ValueError, r"lengths\[0\] has value 4, .* <= T = 3"),
        ((np.ones((3, 2, 1)), [3, 3], True), ValueError, r"lengths has shape \(2,\), .* = \(3,\)"),
        ((np.ones((3, 2, 1)), [3]), ValueError, r"lengths has shape \(1,\), expected \(B,\) = \(2"),
        ((np.ones((3, 2, 1)), [-1, 3]), ValueError, r"lengths\[0\] has value -1, expected a leng"),
        ((np.ones((3, 2, 1), int), [3, 3]), TypeError, "values has dtype int64"),
        ((np.ones((3, 2, 1)), [3, 3], 1), TypeError, "batch_first has type int, expected a bool"),
        ((np.ones((3, 2, 1)), iter([3, 3])), TypeError, "lengths has type list_iterator"),
    ],
)
def test_bad_padded_input_is_named(arguments: Any, kind: type[Exception], words: str) -> None:
    with pytest.raises(kind, match=words):
        RaggedBatch.from_padded(*arguments)


@pytest.mark.parametrize(
    ("arguments", "kind", "words"),
    [
        ((np.ones((3, 2, 1)), np.ones((3, 2), int)), TypeError, "mask has dtype int64, .* bool"),
        ((np.ones((3, 2, 1)), np.ones((2, 3), bool)), ValueError, r"mask has shape \(2, 3\), .*"),
        ((np.ones((3, 2, 1)), np.ones(3, bool)), ValueError, r"mask has shape \(3,\), expected \("),
        ((np.ones((3, 2, 1)), None), TypeError, "mask has type NoneType, expected bool"),
        ((np.ones((3, 2)), np.ones((3, 2), bool)), ValueError, r"values has shape \(3, 2\)"),
    ],
)
def test_bad_masks_are_named(arguments: Any, kind: type[Exception], words: str) -> None:
    with pytest.raises(kind, match=words):
        RaggedBatch.from_mask(*arguments)


# --- derived batches -----------------------------------------------------------------------------


@given(batch=ragged_batches(), data=st.data())
def test_permute_takes_sequences_in_the_order_given(
    batch: RaggedBatch, data: st.DataObject
) -> None:
    numbers = st.integers(0, max(len(batch) - 1, 0))
    order = data.draw(st.lists(numbers, max_size=7 if len(batch) else 0))
    taken = batch.permute(order)
    assert taken.lengths.tolist() == [int(batch.lengths[b]) for b in order]
    for got, b in zip(taken, order, strict=True):
        assert got.tobytes() == batch[b].tobytes()
    assert not np.shares_memory(taken.values, batch.values)


@pytest.mark.parametrize(
    ("order", "kind", "words"),
    [
        ([0, -1], ValueError, r"order\[1\] has value -1, expected 0 <= number < B = 3"),
        ([3], ValueError, r"order\[0\] has value 3, expected 0 <= number < B = 3"),
        ([0.0], TypeError, "order has dtype float64, expected integers"),
        (np.array([True, False, True]), TypeError, "order has dtype bool"),
        ([[0]], ValueError, r"order has shape \(1, 1\)"),
        (None, TypeError, "order has type NoneType"),
    ],
)
def test_a_bad_order_is_named(
    batch: RaggedBatch, order: Any, kind: type[Exception], words: str
) -> None:
    with pytest.raises(kind, match=words):
        batch.permute(order)


def test_an_empty_batch_has_only_the_empty_order(empty: RaggedBatch) -> None:
    assert empty.permute([]) == empty
    for number in (0, -1):
        with pytest.raises(ValueError, match=f"has value {number}, expected 0 <= number < B = 0"):
            empty.permute([number])


@given(batch=ragged_batches(), start=st.integers(0, 9), length=st.integers(0, 9))
def test_slice_time_is_a_slice_of_every_sequence(
    batch: RaggedBatch, start: int, length: int
) -> None:
    window = batch.slice_time(start, start + length)
    for got, whole in zip(window, batch, strict=True):
        assert got.tobytes() == whole[start : start + length].tobytes()
    assert window.features == batch.features


def test_slice_time_may_reach_far_beyond_the_end(batch: RaggedBatch) -> None:
    assert batch.slice_time(0, 10**30) == batch
    assert batch.slice_time(10**30, 10**31).lengths.tolist() == [0, 0, 0]


@pytest.mark.parametrize(
    ("window", "kind", "words"),
    [
        ((-1, 2), ValueError, "start has value -1, expected an integer >= 0"),
        ((2, 1), ValueError, "stop has value 1, expected an integer >= 2"),
        ((0, 1.0), TypeError, "stop has type float"),
        ((0, None), TypeError, "stop has type NoneType"),
        ((True, 2), TypeError, "start has type bool"),
    ],
)
def test_a_bad_window_is_named(
    batch: RaggedBatch, window: Any, kind: type[Exception], words: str
) -> None:
    with pytest.raises(kind, match=words):
        batch.slice_time(*window)


def test_with_values_keeps_the_lengths(batch: RaggedBatch) -> None:
    other = batch.with_values(np.ones((3, 5), "float32"))
    assert (other.features, other.dtype) == (5, np.float32)
    assert np.array_equal(other.lengths, batch.lengths)
    with pytest.raises(ValueError, match=r"lengths has sum 3, expected .* = 4"):
        batch.with_values(np.ones((4, 2)))


# --- values on a device --------------------------------------------------------------------------


def test_a_device_array_is_kept_as_it_is() -> None:
    values = OnDevice((3, 2))
    batch = RaggedBatch(values, [1, 2])
    assert batch.values is values
    assert (batch.features, batch.dtype, batch.total_steps) == (2, np.float32, 3)
    assert batch == RaggedBatch(values, [1, 2])
    assert batch != RaggedBatch(OnDevice((3, 2)), [1, 2])
    assert batch != RaggedBatch(np.zeros((3, 2), "float32"), [1, 2])
    assert RaggedBatch.from_offsets(values, [0, 1, 3]) == batch


@pytest.mark.parametrize(
    ("values", "lengths", "kind", "words"),
    [
        (OnDevice((3,)), [3], ValueError, r"values has shape \(3,\), expected \(N, F\)"),
        (OnDevice((3, 2), "<f2"), [3], TypeError, "values has dtype float16"),
        (OnDevice((3, 2), "<c8"), [3], TypeError, "values has dtype complex64"),
        (OnDevice((3, 2)), [2], ValueError, "lengths has sum 2, expected .* = 3"),
        (ROWS, OnDevice((3,), "<i8"), TypeError, "lengths has type OnDevice, expected integers"),
    ],
)
def test_a_device_array_is_checked_too(
    values: Any, lengths: Any, kind: type[Exception], words: str
) -> None:
    with pytest.raises(kind, match=words):
        RaggedBatch(values, lengths)


@pytest.mark.parametrize(
    "use",
    [
        lambda b: b.to_padded(),
        lambda b: b.permute([0]),
        lambda b: b.slice_time(0, 1),
        lambda b: rr.packing.pack(b),
    ],
    ids=["to_padded", "permute", "slice_time", "pack"],
)
def test_the_host_cannot_read_device_memory(use: Any) -> None:
    with pytest.raises(TypeError, match="OnDevice in device memory, expected a NumPy array"):
        use(RaggedBatch(OnDevice((3, 2)), [1, 2]))


@pytest.mark.parametrize("unroll", ["per_sequence", "masked", "bucketed", "packed", "lanes"])
def test_a_numpy_unroll_refuses_device_memory(unroll: str) -> None:
    cell = rr.RNN(2, 4)
    params = cell.init_parameters(np.random.default_rng(0), "float32")
    with pytest.raises(rr.UnsupportedCase, match=f"unroll '{unroll}' cannot run .* OnDevice in de"):
        rr.forward(cell, params, RaggedBatch(OnDevice((3, 2)), [1, 2]), unroll=unroll)


# --- the strategies reach what is hard -----------------------------------------------------------


def test_lengths_reach_the_hard_batches() -> None:
    from hypothesis import find, settings

    quick = settings(max_examples=500, database=None)
    for wanted in (
        lambda n: not n,
        lambda n: len(n) > 1 and not any(n),
        lambda n: 0 in n and max(n) > 1,
        lambda n: len(n) > 1 and len(set(n)) == 1 and n[0] > 1,
        lambda n: n == [1],
        lambda n: n != sorted(n, reverse=True),
    ):
        assert wanted(find(lengths(), wanted, settings=quick))
