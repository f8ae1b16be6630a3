"""Padded arrays and masks: literal examples, exact inverses, and what is refused."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from refrnn import RaggedBatch
from refrnn.padding import pad, row_coordinates, sequence_mask, unmask, unpad
from refrnn.testing.strategies import lengths, ragged_batches

ROWS = np.array([[1.0], [2.0], [3.0]])


def test_the_mask_by_hand() -> None:
    expected = np.array([[1, 1, 0], [0, 0, 0], [1, 1, 1]], bool)
    assert np.array_equal(sequence_mask([2, 0, 3], batch_first=True), expected)
    assert np.array_equal(sequence_mask([2, 0, 3]), expected.T)
    wide = sequence_mask([2, 0, 3], 5, batch_first=True)
    assert np.array_equal(wide[:, :3], expected)
    assert not wide[:, 3:].any()
    assert sequence_mask([2, 0], batch_first=True).flags.c_contiguous


@pytest.mark.parametrize(
    ("given_lengths", "steps", "shape"),
    [([], None, (0, 0)), ([], 3, (3, 0)), ([0, 0], None, (0, 2)), ([0, 0], 2, (2, 2))],
)
def test_masks_of_nothing(given_lengths: list[int], steps: int | None, shape: Any) -> None:
    mask = sequence_mask(given_lengths, steps)
    assert mask.shape == shape
    assert mask.dtype == np.bool_
    assert not mask.any()


@given(n=lengths())
def test_a_mask_counts_the_lengths(n: list[int]) -> None:
    mask = sequence_mask(n)
    assert mask.sum(axis=0).tolist() == n
    assert mask.sum() == sum(n)
    assert np.all(mask[:-1] >= mask[1:])  # no hole


@given(n=lengths())
def test_row_coordinates_number_the_flat_rows(n: list[int]) -> None:
    sequence, step = row_coordinates(np.array(n, np.int64))
    expected = [(b, t) for b, length in enumerate(n) for t in range(length)]
    assert list(zip(sequence.tolist(), step.tolist(), strict=True)) == expected


def test_padding_by_hand() -> None:
    padded = pad(ROWS, np.array([1, 0, 2]), batch_first=True, padding_value=-7.0)
    assert padded[..., 0].tolist() == [[1, -7], [-7, -7], [2, 3]]
    assert np.array_equal(pad(ROWS, np.array([1, 0, 2]))[..., 0], [[1, 0, 2], [0, 0, 3]])
    assert pad(ROWS, np.array([1, 0, 2]), max_length=4).shape == (4, 3, 1)


@given(
    batch=ragged_batches(),
    batch_first=st.booleans(),
    value=st.sampled_from([0.0, np.nan, np.inf, -np.inf, 7]),
    extra=st.integers(0, 3),
)
def test_padding_and_back_is_exact(
    batch: RaggedBatch, batch_first: bool, value: float, extra: int
) -> None:
    steps = batch.max_length + extra
    padded = batch.to_padded(batch_first, padding_value=value, max_length=steps)
    shape = (len(batch), steps) if batch_first else (steps, len(batch))
    assert padded.shape == (*shape, batch.features)
    assert padded.dtype == batch.dtype
    assert padded.flags.c_contiguous
    assert not np.shares_memory(padded, batch.values)
    rows = unpad(padded, batch.lengths, batch_first=batch_first)
    assert rows.tobytes() == batch.values.tobytes()
    elsewhere = padded[~sequence_mask(batch.lengths, steps, batch_first=batch_first)]
    assert np.array_equal(elsewhere, np.full_like(elsewhere, value), equal_nan=True)


def test_unpadding_copies() -> None:
    padded = np.ones((2, 1, 1))
    rows = unpad(padded, [2])
    padded[...] = 9
    assert (rows == 1).all()


@pytest.mark.parametrize(
    ("arguments", "options", "kind", "words"),
    [
        (([1, 2],), {"max_length": 1}, ValueError, r"lengths\[1\] has value 2, .* <= T = 1"),
        (([1],), {"max_length": True}, TypeError, "max_length has type bool"),
        (([1],), {"max_length": 2.0}, TypeError, "max_length has type float"),
        (([1],), {"max_length": -1}, ValueError, "max_length has value -1"),
        (([1],), {"batch_first": 1}, TypeError, "batch_first has type int"),
        (([-1],), {}, ValueError, r"lengths\[0\] has value -1"),
        (([1.0],), {}, TypeError, "lengths has dtype float64"),
    ],
)
def test_bad_arguments_of_a_mask(
    arguments: Any, options: Any, kind: type[Exception], words: str
) -> None:
    with pytest.raises(kind, match=words):
        sequence_mask(*arguments, **options)


@pytest.mark.parametrize(
    ("options", "kind", "words"),
    [
        ({"lengths": [1, 1]}, ValueError, "lengths has sum 2, expected the number of rows .* = 3"),
        ({"lengths": [2**62] * 4 + [3]}, ValueError, "lengths has sum 18446744073709551619"),
        ({"max_length": 1}, ValueError, r"lengths\[1\] has value 2, expected a length <= T = 1"),
        ({"padding_value": None}, TypeError, "padding_value has type NoneType, expected a number"),
        ({"padding_value": True}, TypeError, "padding_value has type bool"),
        ({"padding_value": "x"}, TypeError, "padding_value has type str"),
        ({"padding_value": 1j}, TypeError, "padding_value has type complex"),
        ({"padding_value": np.zeros(1)}, TypeError, "padding_value has type ndarray"),
        ({"values": ROWS.astype(int)}, TypeError, "values has dtype int64"),
        ({"values": ROWS.ravel()}, ValueError, r"values has shape \(3,\)"),
    ],
)
def test_bad_arguments_of_pad(options: Any, kind: type[Exception], words: str) -> None:
    good = {"values": ROWS, "lengths": [1, 2]}
    with pytest.raises(kind, match=words):
        pad(**{**good, **options})


def test_unmasking_by_hand() -> None:
    mask = [[True, False, True], [False, False, True]]
    assert unmask(ROWS, mask, batch_first=True)[..., 0].tolist() == [[1, 0, 2], [0, 0, 3]]
    assert unmask(ROWS, np.array(mask).T)[..., 0].tolist() == [[1, 0], [0, 0], [2, 3]]


@pytest.mark.parametrize(
    ("arguments", "kind", "words"),
    [
        ((ROWS, np.ones((2, 2), bool)), ValueError, "mask has 4 True places, expected .* = 3"),
        # one row would be broadcast over both places
        ((ROWS[:1], np.ones((2, 1), bool)), ValueError, "mask has 2 True places, expected .* = 1"),
        ((ROWS, np.ones((3, 1), int)), TypeError, "mask has dtype int64, expected bool"),
        ((ROWS, np.ones(3, bool)), ValueError, r"mask has shape \(3,\), expected \(T, B\)"),
        ((ROWS, np.ones((3, 1, 1), bool)), ValueError, r"mask has shape \(3, 1, 1\)"),
        ((ROWS.astype(int), np.ones((3, 1), bool)), TypeError, "values has dtype int64"),
    ],
)
def test_bad_arguments_of_unmask(arguments: Any, kind: type[Exception], words: str) -> None:
    with pytest.raises(kind, match=words):
        unmask(*arguments)
