"""forward and backward at the public edge: length 0, plans, bits, dtypes, floating-point state."""

from __future__ import annotations

import os
import pickle
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import refrnn as rr
from refrnn.comparison import Case, Results, run_case
from refrnn.unroll import BUILT_IN

LENGTHS = [4, 0, 7, 1]
CELLS = [
    rr.RNN(3, 5),
    rr.RNN(3, 5, activation="relu", biases=0),
    rr.LSTM(3, 5, peepholes=True),
    rr.LSTM(3, 5, proj_size=2, coupled=True),
    rr.LSTM(3, 5, cell_clip=0.5),
    rr.GRU(3, 5),
    rr.GRU(3, 5, reset_after=False, gate_clip=1.0),
]


def make_case(cell: Any, dtype: str = "float64", lengths: Any = LENGTHS, **options: Any) -> Case:
    rng = np.random.default_rng(3)

    def state() -> Any:
        return cell.state_type(*(rng.normal(size=(len(lengths), s)) for s in cell.state_sizes))

    values = rng.normal(size=(sum(lengths), cell.input_size))
    d_output = rng.normal(size=(len(values), cell.output_size))
    batch, params = rr.RaggedBatch(values, lengths), cell.init_parameters(rng)
    case = Case(cell, params, batch, state(), d_output, state())
    return case.astype(dtype)._replace(**options)


def take(case: Case, chosen: list[int]) -> Case:
    """The chosen sequences of a case, in that order."""
    pick = [a[chosen] for a in case.state_0], [a[chosen] for a in case.d_state_n]
    d_outputs = case.batch.with_values(case.d_output)
    return case._replace(
        batch=case.batch.permute(chosen),
        state_0=case.cell.state_type(*pick[0]),
        d_state_n=case.cell.state_type(*pick[1]),
        d_output=d_outputs.permute(chosen).values,
    )


def of_sequences(case: Case, results: Results) -> Results:
    """Results that belong to single sequences, without the parameter gradients."""
    return {n: a for n, a in results.items() if n.removeprefix("d_") not in case.parameters}


# --- length 0, empty batches ---------------------------------------------------------------------


@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("unroll", BUILT_IN)
@pytest.mark.parametrize("cell", CELLS, ids=str)
def test_a_sequence_of_length_0_is_the_identity_on_its_state(
    cell: Any, unroll: str, reverse: bool
) -> None:
    case = make_case(cell, reverse=reverse)
    results = run_case(case, unroll)
    for name in cell.state_names:
        assert np.array_equal(results[f"{name}_n"][1], getattr(case.state_0, name)[1])
        assert np.array_equal(results[f"d_{name}_0"][1], getattr(case.d_state_n, name)[1])


@pytest.mark.parametrize("unroll", BUILT_IN)
@pytest.mark.parametrize("cell", CELLS, ids=str)
@pytest.mark.parametrize("lengths", [[], [0], [0, 0, 0]], ids=str)
def test_batches_without_a_step(cell: Any, unroll: str, lengths: list[int]) -> None:
    case = make_case(cell, "float32", lengths)
    run = rr.forward(cell, case.parameters, case.batch, case.state_0, unroll=unroll)
    assert run.output.values.shape == (0, cell.output_size)
    assert run.output.lengths.tolist() == lengths
    gradients = rr.backward(run.tape, d_state_n=case.d_state_n)
    assert gradients.input.values.shape == (0, 3)
    assert not gradients.parameters.flatten().any()
    pairs = zip(case.state_0, run.state_n, case.d_state_n, gradients.state_0, strict=True)
    for initial, final, d_final, d_initial in pairs:
        assert np.array_equal(initial, final)
        assert np.array_equal(d_final, d_initial)
        assert not np.shares_memory(initial, final)
        assert not np.shares_memory(d_final, d_initial)
    assert run.plan.computed_steps == run.plan.sequential_steps == run.plan.padded_steps == 0


# --- records -------------------------------------------------------------------------------------


@pytest.mark.parametrize("unroll", BUILT_IN)
@pytest.mark.parametrize("cell", CELLS, ids=str)
def test_results_have_the_shapes_dtypes_and_records_promised(cell: Any, unroll: str) -> None:
    for dtype in ("float32", "float64", "longdouble"):
        case = make_case(cell, dtype)
        run = rr.forward(cell, case.parameters, case.batch, case.state_0, unroll=unroll)
        assert isinstance(run, rr.Run)
        assert type(run.state_n) is cell.state_type
        assert run.output.values.shape == (12, cell.output_size)
        assert np.array_equal(run.output.lengths, case.batch.lengths)
        gradients = rr.backward(run.tape, case.d_output, case.d_state_n)
        assert isinstance(gradients, rr.Gradients)
        assert type(gradients.state_0) is cell.state_type
        assert list(gradients.parameters) == list(case.parameters)
        assert gradients.input.values.shape == (12, 3)
        for result, meant in zip((*run.state_n, *gradients.state_0), (*case.state_0,) * 2,
                                 strict=True):  # fmt: skip
            assert result.shape == meant.shape
        every = [run.output.values, *run.state_n, gradients.input.values, *gradients.state_0]
        assert {a.dtype for a in [*every, *gradients.parameters.values()]} == {np.dtype(dtype)}


@pytest.mark.parametrize("unroll", BUILT_IN)
def test_h_n_is_the_last_output_and_in_reverse_the_first(unroll: str) -> None:
    for reverse, last in ((False, -1), (True, 0)):
        case = make_case(rr.GRU(3, 5), reverse=reverse)
        run = rr.forward(
            case.cell, case.parameters, case.batch, case.state_0, reverse=reverse, unroll=unroll
        )
        for b in (0, 2, 3):
            assert np.array_equal(run.state_n.h[b], run.output[b][last])


@pytest.mark.parametrize("unroll", BUILT_IN)
def test_a_tape_survives_pickling(unroll: str) -> None:
    case = make_case(rr.LSTM(3, 5, proj_size=2))
    run = rr.forward(case.cell, case.parameters, case.batch, case.state_0, unroll=unroll)
    tape = pickle.loads(pickle.dumps(run.tape))
    gradients = [rr.backward(t, case.d_output, case.d_state_n) for t in (run.tape, tape)]
    assert gradients[0].parameters == gradients[1].parameters
    assert gradients[0].input == gradients[1].input


# --- plans ---------------------------------------------------------------------------------------

PLANS = [
    # lengths, unroll, sequential steps, computed steps
    ([4, 0, 7, 1], rr.PerSequence(), 12, 12),
    ([4, 0, 7, 1], rr.Masked(), 7, 28),
    ([4, 0, 7, 1], rr.Packed(), 7, 12),
    ([4, 0, 7, 1], rr.Lanes(1), 12, 12),
    ([4, 0, 7, 1], rr.Lanes(2), 7, 12),
    ([4, 0, 7, 1], rr.Lanes(9), 7, 12),
    ([4, 0, 7, 1], rr.Bucketed(), 12, 12),  # four buckets hold one length each
    ([4, 0, 7, 1], rr.Bucketed([]), 7, 28),
    ([4, 0, 7, 1], rr.Bucketed([4]), 8, 16),  # 0 and 1 in one bucket, 4 and 7 in the other
    ([4, 0, 7, 1], rr.Bucketed([5]), 11, 19),
    ([4, 0, 7, 1], rr.Bucketed(num_buckets=1), 7, 28),
    ([5, 5, 5], rr.Masked(), 5, 15),
    ([5, 5, 5], rr.Packed(), 5, 15),
    ([5, 5, 5], rr.Lanes(2), 10, 15),
]


@pytest.mark.parametrize(("lengths", "unroll", "sequential", "computed"), PLANS, ids=str)
def test_plans_count_what_is_computed(
    lengths: list[int], unroll: Any, sequential: int, computed: int
) -> None:
    case = make_case(rr.GRU(3, 5), lengths=lengths)
    plan = rr.forward(case.cell, case.parameters, case.batch, unroll=unroll).plan
    assert plan.unroll == unroll.name
    assert plan.real_steps == sum(lengths)
    assert (plan.sequential_steps, plan.computed_steps) == (sequential, computed)
    assert plan.padded_steps == computed - sum(lengths)


def test_plans_tell_what_was_chosen() -> None:
    case = make_case(rr.GRU(3, 5))

    def choices(unroll: Any) -> Any:
        return rr.forward(case.cell, case.parameters, case.batch, unroll=unroll).plan.choices

    assert choices(rr.Lanes(2)) == {"lanes": 2}
    assert choices(rr.Bucketed([4])) == {"boundaries": [4], "buckets": 2}
    assert choices("bucketed")["buckets"] == 4
    assert choices("lanes")["lanes"] in (2, 3)
    assert choices("masked") == choices("packed") == choices("per_sequence") == {}


# --- bits ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("cell", CELLS, ids=str)
def test_per_sequence_gives_a_sequence_its_bits_wherever_it_stands(
    cell: Any, dtype: str, reverse: bool
) -> None:
    case = make_case(cell, dtype, reverse=reverse)
    together = of_sequences(case, run_case(case, "per_sequence"))
    for chosen in ([0], [1], [2], [3], [3, 1, 0, 2], [2, 2, 0]):
        part = take(case, chosen)
        offsets = case.batch.offsets
        rows = np.concatenate([np.arange(offsets[b], offsets[b + 1]) for b in chosen])
        for name, array in of_sequences(part, run_case(part, "per_sequence")).items():
            where = rows if name in ("output", "d_input") else chosen
            assert array.tobytes() == together[name][where].tobytes(), name


def test_per_sequence_does_not_see_what_its_neighbours_hold() -> None:
    case = make_case(rr.LSTM(3, 5), "float32")
    expected = run_case(case, "per_sequence")
    values = case.batch.values.copy()
    values[4:11] = np.nan  # sequence 2
    got = run_case(case._replace(batch=case.batch.with_values(values)), "per_sequence")
    for name in ("output", "d_input"):
        assert got[name][:4].tobytes() == expected[name][:4].tobytes()
        assert got[name][11:].tobytes() == expected[name][11:].tobytes()
    for name in ("h_n", "c_n", "d_h_0", "d_c_0"):
        others = [0, 1, 3]
        assert got[name][others].tobytes() == expected[name][others].tobytes()
    assert np.isnan(got["d_W_ih"]).any()


BITS = """
import hashlib, sys, numpy as np, refrnn as rr
rng = np.random.default_rng(0)
batch = rr.RaggedBatch(rng.normal(size=(70, 64)), [40, 0, 30])
digest = hashlib.sha256()
for cell in (rr.RNN(64, 96), rr.LSTM(64, 96, proj_size=64), rr.GRU(64, 96)):
    for dtype in ("float32", "float64"):
        params = cell.init_parameters(rng, dtype)
        values = batch.with_values(batch.values.astype(dtype))
        run = rr.forward(cell, params, values, unroll="per_sequence")
        gradients = rr.backward(run.tape, np.ones((70, cell.output_size), dtype))
        digest.update(run.output.values.tobytes() + gradients.parameters.flatten().tobytes())
        digest.update(gradients.input.values.tobytes())
print(digest.hexdigest())
"""


def test_per_sequence_has_the_same_bits_for_any_number_of_blas_threads() -> None:
    root = str(Path(rr.__file__).parents[1])
    digests = []
    for threads in ("1", "2"):
        environment = {**os.environ, "OPENBLAS_NUM_THREADS": threads, "PYTHONPATH": root}
        command = [sys.executable, "-c", BITS]
        done = subprocess.run(
            command, env=environment, capture_output=True, text=True, check=True, timeout=120
        )
        digests.append(done.stdout)
    assert digests[0] == digests[1]
    assert len(digests[0].strip()) == 64


# --- dtypes --------------------------------------------------------------------------------------


@pytest.mark.parametrize("unroll", BUILT_IN)
@pytest.mark.parametrize("cell", CELLS, ids=str)
def test_longdouble_is_more_accurate_than_float64(cell: Any, unroll: str) -> None:
    case = make_case(cell)
    wide = case.astype("longdouble")
    truth, other = run_case(wide, "per_sequence"), run_case(wide, unroll)
    narrow = run_case(case, unroll)
    errors = []
    for name, exact in truth.items():
        size = np.abs(exact).max()
        errors.append([np.abs(a[name] - exact).max() / size for a in (other, narrow)])
    gain = np.finfo(np.float64).eps / np.finfo(np.longdouble).eps  # 2048 on x86-64; 1 on Windows
    assert max(e[0] for e in errors) < 1e-13 / gain
    if gain > 1:
        assert max(e[0] for e in errors) < max(e[1] for e in errors) / 50


@pytest.mark.parametrize("unroll", BUILT_IN)
@pytest.mark.parametrize("cell", CELLS, ids=str)
def test_a_complex_run_continues_the_real_one_and_has_no_backward(cell: Any, unroll: str) -> None:
    case = make_case(cell)
    real = rr.forward(cell, case.parameters, case.batch, case.state_0, unroll=unroll)
    direction = np.random.default_rng(5).normal(size=(12, 3))
    run = rr.forward(
        cell,
        case.parameters.astype("complex128"),
        case.batch.with_values(case.batch.values + 1e-30j * direction),
        cell.state_type(*(a + 0j for a in case.state_0)),
        unroll=unroll,
    )
    assert np.allclose(run.output.values.real, real.output.values, rtol=1e-12, atol=1e-15)
    gradient = rr.backward(real.tape, case.d_output).input.values
    slope = (run.output.values.imag / 1e-30 * case.d_output).sum()
    assert slope == pytest.approx((gradient * direction).sum(), rel=1e-12)
    with pytest.raises(TypeError, match=r"tape has dtype complex128, .* complex is forward only"):
        rr.backward(run.tape)


# --- the floating-point state of the caller ------------------------------------------------------


@pytest.mark.parametrize("unroll", BUILT_IN)
@pytest.mark.parametrize("cell", CELLS, ids=str)
def test_overflow_underflow_and_nan_neither_warn_nor_raise(cell: Any, unroll: str) -> None:
    case = make_case(cell, "float32")
    huge = case.batch.with_values(case.batch.values * np.float32(1e30))
    nan = case.batch.with_values(np.full_like(case.batch.values, np.nan))
    for batch in (huge, nan):
        extreme = case._replace(batch=batch)
        with np.errstate(all="ignore"):
            expected = run_case(extreme, unroll)
        with np.errstate(all="raise"):
            got = run_case(extreme, unroll)
            settings = np.geterr()
        assert set(settings.values()) == {"raise"}  # the caller's, and left alone
        assert all(got[n].tobytes() == expected[n].tobytes() for n in got)


@pytest.mark.parametrize("unroll", BUILT_IN)
def test_the_callers_settings_survive_an_error(unroll: str) -> None:
    case = make_case(rr.RNN(3, 5))
    with np.errstate(over="raise", under="warn", invalid="print", divide="ignore"):
        before = np.geterr()
        with pytest.raises(ValueError, match="d_output has shape"):
            run_case(case._replace(d_output=np.ones((1, 1))), unroll)
        assert np.geterr() == before


# --- one argument at a time ----------------------------------------------------------------------


@pytest.mark.parametrize("unroll", BUILT_IN)
def test_missing_states_and_cotangents_are_zeros(unroll: str) -> None:
    case = make_case(rr.LSTM(3, 5))
    zero = case.cell.zero_state(4)
    absent = run_case(case._replace(state_0=None, d_output=None), unroll)
    zeros = run_case(case._replace(state_0=zero, d_output=np.zeros((12, 5))), unroll)
    assert all(absent[n].tobytes() == zeros[n].tobytes() for n in zeros)
    half = case._replace(d_state_n=(None, case.d_state_n.c))
    whole = case._replace(d_state_n=(zero.h, case.d_state_n.c))
    run = rr.forward(case.cell, case.parameters, case.batch, case.state_0, unroll=unroll)
    parts = [rr.backward(run.tape, case.d_output, c.d_state_n) for c in (half, whole)]
    assert parts[0].parameters == parts[1].parameters
    assert parts[0].input == parts[1].input


def test_lanes_is_the_default() -> None:
    case = make_case(rr.RNN(3, 5))
    assert rr.forward(case.cell, case.parameters, case.batch).plan.unroll == "lanes"


@pytest.mark.parametrize("unroll", [*BUILT_IN, rr.Masked(np.nan), rr.Bucketed([3], None, np.inf)])
def test_reverse_is_another_result_and_an_unroll_object_can_be_used_again(unroll: Any) -> None:
    case = make_case(rr.GRU(3, 5))
    forward, again = run_case(case, unroll), run_case(case, unroll)
    backward = run_case(case._replace(reverse=True), unroll)
    assert all(forward[n].tobytes() == again[n].tobytes() for n in forward)
    assert not np.allclose(forward["output"], backward["output"])
    assert np.isfinite(backward["d_W_hh"]).all()


class OnDevice:
    """An array in the memory of a device."""

    def __init__(self, shape: tuple[int, ...]) -> None:
        self.__cuda_array_interface__ = {
            "shape": shape, "typestr": "<f8", "data": (0, False), "version": 3,
        }  # fmt: skip


@pytest.mark.parametrize("unroll", ["lanes", "per_sequence"])
def test_states_and_cotangents_on_a_device_are_refused_on_the_host(unroll: str) -> None:
    batch = rr.RaggedBatch.from_sequences([np.ones((2, 3)), np.ones((1, 3))])
    cell = rr.GRU(3, 4)
    params = cell.init_parameters(np.random.default_rng(0))
    words = f"has type OnDevice in device memory, expected a NumPy array: unroll '{unroll}'"
    with pytest.raises(TypeError, match=re.escape(f"state_0.h {words}")):
        rr.forward(cell, params, batch, (OnDevice((2, 4)),), unroll=unroll)
    run = rr.forward(cell, params, batch, unroll=unroll)
    with pytest.raises(TypeError, match=re.escape(f"d_output {words}")):
        rr.backward(run.tape, OnDevice((3, 4)))
    with pytest.raises(TypeError, match=re.escape(f"d_state_n.h {words}")):
        rr.backward(run.tape, None, (OnDevice((2, 4)),))
