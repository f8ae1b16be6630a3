"""Comparing with the reference: right results pass, one wrong entry is found, dtypes are kept."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings

import refrnn as rr
from refrnn.comparison import Case, Reference, compare, reference, run_case
from refrnn.testing.strategies import cases
from refrnn.unroll import BUILT_IN

LENGTHS = [4, 0, 7, 1]


def make_case(cell: Any, dtype: str = "float64", lengths: Any = LENGTHS) -> Case:
    rng = np.random.default_rng(3)

    def state() -> Any:
        return cell.state_type(*(rng.normal(size=(len(lengths), s)) for s in cell.state_sizes))

    batch = rr.RaggedBatch(rng.normal(size=(sum(lengths), cell.input_size)), lengths)
    return Case(
        cell,
        cell.init_parameters(rng, scale=2 / cell.hidden_size**0.5),
        batch,
        state(),
        rng.normal(size=(batch.total_steps, cell.output_size)),
        state(),
        name="test",
    ).astype(dtype)


def test_a_case_gives_the_rows_and_lengths_of_its_batch() -> None:
    case = make_case(rr.GRU(3, 5), "float32")
    assert case.values is case.batch.values
    assert case.lengths is case.batch.lengths
    assert case.values.shape == (sum(LENGTHS), 3)
    assert case.lengths.tolist() == LENGTHS


CELLS = [
    rr.RNN(3, 5),
    rr.RNN(3, 5, activation="relu"),
    rr.LSTM(3, 5, peepholes=True),
    rr.LSTM(3, 5, proj_size=2, coupled=True),
    rr.GRU(3, 5),
    rr.GRU(3, 5, reset_after=False),
]


def test_results_have_names() -> None:
    names = set(run_case(make_case(rr.LSTM(3, 5, proj_size=2)), "lanes"))
    parameters = {"d_W_ih", "d_W_hh", "d_b_ih", "d_b_hh", "d_W_hr"}
    assert names == {"output", "h_n", "c_n", "d_input", "d_h_0", "d_c_0"} | parameters
    assert "c_n" not in run_case(make_case(rr.GRU(3, 5)), "lanes")


@pytest.mark.parametrize("dtype", ["float32", "float64", "longdouble"])
@pytest.mark.parametrize("unroll", BUILT_IN)
@pytest.mark.parametrize("cell", CELLS, ids=str)
def test_right_results_are_right(cell: Any, unroll: str, dtype: str) -> None:
    case = make_case(cell, dtype)
    deviations = compare(case, unroll)
    assert all(d.ok for d in deviations)
    if dtype == "float64":
        assert max(d.normwise for d in deviations) < 1e-13


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("cell", CELLS, ids=str)
def test_one_entry_off_by_a_thousandth_is_found_in_every_array(cell: Any, dtype: str) -> None:
    case = make_case(cell, dtype)
    truth = reference(case)
    right = {name: array.astype(dtype) for name, array in truth.results.items()}
    assert all(d.ok for d in compare(case, right, truth))
    for name, array in right.items():
        # in float64 a typical entry; in float32, where T = 7 allows 3e-5 of the scale, the largest
        rank = array.size // 2 if dtype == "float64" else -1
        index = np.unravel_index(np.argsort(np.abs(array), axis=None)[rank], array.shape)
        wrong = array.copy()
        wrong[index] *= 1.001
        if wrong[index] == 0:  # relu has many zeros
            wrong[index] = 0.001 * np.abs(array).max()
        bad = [d for d in compare(case, {**right, name: wrong}, truth) if not d.ok]
        assert [d.name for d in bad] == [name]
        assert bad[0].where == index


def test_nan_where_the_reference_has_none_is_found() -> None:
    case = make_case(rr.GRU(3, 5))
    got = run_case(case, "packed")
    got["d_W_hh"] = got["d_W_hh"].copy()
    got["d_W_hh"][3, 2] = np.nan
    bad = [d for d in compare(case, got) if not d.ok]
    assert [(d.name, d.where) for d in bad] == [("d_W_hh", (3, 2))]


def test_a_reference_that_is_not_finite_allows_no_statement() -> None:
    case = make_case(rr.RNN(3, 5))
    values = case.batch.values.copy()
    values[0] = np.nan
    with pytest.raises(ValueError, match=r"output has scale (nan|inf), expected a finite number"):
        compare(case._replace(batch=case.batch.with_values(values)), "lanes")


@settings(max_examples=30)
@given(case=cases())
def test_scales_are_finite_and_no_smaller_than_the_array(case: Case) -> None:
    truth = reference(case)
    for name, array in truth.results.items():
        assert np.isfinite(truth.scales[name])
        assert truth.scales[name] >= np.abs(array).max(initial=0.0)
        assert array.dtype == np.float64


def test_the_scale_sees_cancellation() -> None:
    """A gradient that is the small difference of large terms gets the scale of the terms."""
    cell = rr.RNN(1, 1, activation="affine", biases=1)
    batch = rr.RaggedBatch(np.ones((2, 1)), [1, 1])
    params = cell.init_parameters(np.random.default_rng(0))
    d_output = np.array([[1e6], [-1e6 + 1]])
    truth = reference(Case(cell, params, batch, d_output=d_output))
    assert truth.results["d_b_ih"].tolist() == [1.0]
    assert truth.scales["d_b_ih"] > 1e5


def test_the_reference_is_repeatable_and_depends_on_the_seed_but_little() -> None:
    case = make_case(rr.LSTM(3, 5))
    first, again, other = (reference(case, seed=s) for s in (0, 0, 1))
    assert first.scales == again.scales
    assert first.scales != other.scales
    for name, scale in first.scales.items():
        assert 0.3 < scale / other.scales[name] < 3


def test_the_reference_of_a_float32_case_takes_its_numbers_as_exact() -> None:
    case = make_case(rr.GRU(3, 5), "float32")
    wide = reference(case.astype("float64"))
    assert all(np.array_equal(a, wide.results[n]) for n, a in reference(case).results.items())
    assert case.astype("float64").astype("float32").batch == case.batch


@pytest.mark.parametrize("lengths", [[], [0, 0], [1]], ids=str)
@pytest.mark.parametrize("dtype", ["float32", "float64", "longdouble"])
def test_small_batches_can_be_compared(lengths: list[int], dtype: str) -> None:
    for cell in CELLS:
        case = make_case(cell, dtype, lengths)
        for unroll in BUILT_IN:
            assert all(d.ok for d in compare(case, unroll))


def test_states_and_cotangents_may_be_missing() -> None:
    case = make_case(rr.LSTM(3, 5))._replace(state_0=None, d_output=None, d_state_n=None)
    results = run_case(case.astype("float32"), "lanes")
    assert not results["d_W_hh"].any()
    assert all(d.ok for d in compare(case, "masked"))


def test_arrays_have_to_be_those_of_the_reference() -> None:
    case = make_case(rr.GRU(3, 5))
    got = run_case(case, "packed")
    truth = reference(case)
    missing = {name: a for name, a in got.items() if name != "d_W_hh"}
    for wrong in (missing, {**got, "c_n": got["h_n"]}):
        with pytest.raises(ValueError, match=r"got has arrays \[.*\], expected \['d_W_hh'"):
            compare(case, wrong, truth)
    with pytest.raises(ValueError, match=r"h_n has shape \(5, 4\), expected \(4, 5\)"):
        compare(case, {**got, "h_n": got["h_n"].T}, truth)
    assert isinstance(truth, Reference)


class Widens(rr.Packed):
    """Right numbers in another dtype than it was given."""

    def forward(self, *arguments: Any) -> Any:
        run = super().forward(*arguments)
        return run._replace(output=run.output.with_values(run.output.values.astype("float64")))


def test_another_dtype_is_no_right_result() -> None:
    case = make_case(rr.GRU(3, 5), "float32")
    with pytest.raises(TypeError, match="output has dtype float64, expected float32 as the batch"):
        compare(case, Widens())


def test_comparing_works_where_every_floating_point_event_is_an_error() -> None:
    with np.errstate(all="raise"):
        assert all(d.ok for d in compare(make_case(rr.LSTM(3, 5)), "lanes"))
