"""RaggedBatch to and from awkward arrays: bit for bit, copied only where it must be."""

from __future__ import annotations

from typing import Any

import awkward as ak
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import refrnn as rr
from refrnn.interop import from_awkward, to_awkward
from refrnn.testing.strategies import ragged_batches

VALUES = np.arange(12.0).reshape(4, 3)
SEQUENCES = [[[0.0, 1.0, 2.0], [3.0, 4.0, 5.0]], [], [[6.0, 7.0, 8.0]]]
EXPECTED = rr.RaggedBatch(VALUES[:3], [2, 0, 1])


@given(batch=ragged_batches())
def test_round_trip_is_exact_and_copies_nothing(batch: rr.RaggedBatch) -> None:
    array = to_awkward(batch)
    assert str(array.type) == f"{len(batch)} * var * {batch.features} * {batch.dtype}"
    again = from_awkward(array)
    assert again == batch
    assert again.features == batch.features
    assert batch.total_steps == 0 or np.shares_memory(again.values, batch.values)
    assert not again.values.flags.writeable


@given(batch=ragged_batches(), data=st.data())
def test_slices_and_selections_are_those_of_the_batch(batch: rr.RaggedBatch, data: Any) -> None:
    array = to_awkward(batch)
    start = data.draw(st.integers(0, len(batch)))
    stop = data.draw(st.integers(start, len(batch)))
    part = from_awkward(array[start:stop])
    assert part == batch.permute(np.arange(start, stop))
    assert part.total_steps == 0 or np.shares_memory(part.values, batch.values)
    order = np.array(data.draw(st.permutations(range(len(batch)))), np.int64)
    assert from_awkward(array[order]) == batch.permute(order)


@pytest.mark.parametrize("dtype", ["float32", "float64", "longdouble"])
def test_bits_are_kept_nan_and_negative_zero_too(dtype: str) -> None:
    values = np.array([[np.nan, -0.0], [np.inf, 1e-45]], dtype)
    again = from_awkward(to_awkward(rr.RaggedBatch(values, [0, 2])))
    assert again.values.tobytes() == values.tobytes()
    assert again.dtype == values.dtype


def test_rows_of_type_var_are_taken_where_they_have_one_length() -> None:
    assert str(ak.Array(SEQUENCES).type) == "3 * var * var * float64"
    assert from_awkward(ak.Array(SEQUENCES)) == EXPECTED
    assert from_awkward(ak.Array(SEQUENCES), features=3) == EXPECTED
    assert from_awkward(ak.Array(SEQUENCES)[1:]) == EXPECTED.permute([1, 2])
    assert from_awkward(ak.to_regular(ak.Array(SEQUENCES), axis=2)) == EXPECTED
    assert from_awkward(ak.to_packed(to_awkward(EXPECTED))) == EXPECTED
    no_row = ak.Array(SEQUENCES)[1:2]
    assert from_awkward(no_row, features=3) == EXPECTED.permute([1])
    with pytest.raises(ValueError, match="array has no row to count F on, expected features= "):
        from_awkward(no_row)


def test_a_regular_array_is_a_batch_of_equal_lengths() -> None:
    for layout in (ak.from_numpy(VALUES.reshape(2, 2, 3)), ak.Array(SEQUENCES[:1] * 2)):
        batch = from_awkward(layout)
        assert batch.lengths.tolist() == [2, 2]
        assert batch.features == 3
    assert np.array_equal(from_awkward(ak.from_numpy(VALUES.reshape(2, 2, 3))).values, VALUES)


def test_offsets_of_32_bits_and_rows_laid_out_apart_are_taken() -> None:
    offsets = ak.index.Index32(np.array([1, 3, 3, 4], np.int32))
    rows = ak.contents.NumpyArray(np.asfortranarray(VALUES)[:, ::-1])
    array = ak.Array(ak.contents.ListOffsetArray(offsets, rows))
    assert from_awkward(array) == rr.RaggedBatch(VALUES[1:, ::-1], [2, 0, 1])


@pytest.mark.parametrize("level", [0, 1, 2])
def test_options_are_taken_where_nothing_is_missing(level: int) -> None:
    whole = ak.Array(SEQUENCES)
    if level == 0:
        optional = ak.mask(whole, [True, True, True])
    elif level == 1:
        optional = ak.mask(whole, ak.Array([[True, True], [], [True]]))
    else:
        optional = ak.mask(whole, whole >= 0)
    assert "option" in str(optional.type) or "?" in str(optional.type)
    assert from_awkward(optional) == EXPECTED
    assert from_awkward(ak.to_regular(optional, axis=2)) == EXPECTED
    assert from_awkward(optional[[2, 0, 1]]) == EXPECTED.permute([2, 0, 1])


def test_an_option_that_is_an_index_is_followed() -> None:
    order = ak.index.Index64(np.array([2, 0]))
    layout = to_awkward(EXPECTED).layout
    for contents in (ak.contents.IndexedOptionArray, ak.contents.IndexedArray):
        assert from_awkward(ak.Array(contents(order, layout))) == EXPECTED.permute([2, 0])


@pytest.mark.parametrize(
    ("holes", "where"),
    [
        ([[[1.0]], None, [[2.0]]], r"\[1\]"),
        ([[[1.0], [3.0]], [[2.0], None]], "row 3"),
        ([[[1.0, 2.0]], [[2.0, None]]], "number 3"),
    ],
)
def test_missing_things_are_named(holes: Any, where: str) -> None:
    with pytest.raises(ValueError, match=f"^array has None at {where}, expected nothing to be mi"):
        from_awkward(ak.Array(holes))


@pytest.mark.parametrize(
    ("array", "kind", "message"),
    [
        (SEQUENCES, TypeError, "array has type list, expected an awkward.Array"),
        (ak.Array([[[1, 2]]]), TypeError, "array has dtype int64, expected float32, float64 or "),
        (ak.Array([[[True]]]), TypeError, "array has dtype bool, expected float32, float64 or "),
        (ak.values_astype(ak.Array([[[1.0]]]), "float16"), TypeError, "array has dtype float16, "),
        (ak.Array([[1.0]]), ValueError, r"array has type 1 \* var \* float64, expected B \* var "),
        (ak.Array([1.0]), ValueError, r"array has type 1 \* float64, expected B \* var \* F"),
        (ak.Array([[[[1.0]]]]), ValueError, r"array has type 1 \* var \* var \* var \* float64, "),
        (ak.from_numpy(np.ones((1, 1, 1, 1))), ValueError, r"array has type 1 \* 1 \* 1 \* 1 \* f"),
        (ak.Array([]), TypeError, r"array has type 0 \* unknown, expected B \* var \* F"),
        (ak.Array([[], []]), TypeError, r"array has type 2 \* var \* unknown, expected B"),
        (ak.Array(["ab", "c"]), TypeError, r"array has type 2 \* string, expected B \* var"),
        (ak.Array([[["ab"]]]), TypeError, r"array has type 1 \* var \* var \* string, expected B"),
        (ak.Array([{"x": 1.0}]), TypeError, r"array has type 1 \* \{x: float64\}, expected B"),
        (ak.Array([[[1.0, 2.0]], [[3.0]]]), ValueError, "array has 1 numbers in row 1, expected F"),
    ],
)
def test_other_arrays_are_refused(array: Any, kind: type[Exception], message: str) -> None:
    with pytest.raises(kind, match=f"^{message}"):
        from_awkward(array)


def test_other_features_are_refused() -> None:
    for array in (ak.Array(SEQUENCES), to_awkward(EXPECTED)):
        with pytest.raises(ValueError, match="array has rows of 3 numbers, expected features = 2"):
            from_awkward(array, features=2)
    with pytest.raises(TypeError, match="features has type float, expected an integer >= 0"):
        from_awkward(to_awkward(EXPECTED), features=3.0)  # type: ignore[arg-type]


def test_an_array_without_numbers_is_refused() -> None:
    with pytest.raises(TypeError, match="array has backend typetracer without numbers"):
        from_awkward(ak.to_backend(to_awkward(EXPECTED), "typetracer"))
