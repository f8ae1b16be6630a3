"""What is given to CudaUnroll is honoured or refused, and reported; contexts stay as they were."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from refrnn_accel.cuda import CudaUnroll, planner
from refrnn_accel.cuda.cells import kernel_cell
from refrnn_accel.cuda.context import driver, first_device
from refrnn_accel.cuda.recurrence import Recurrence

import refrnn as rr
from refrnn.comparison import Case, run_case
from refrnn.errors import UnsupportedCase
from refrnn.ragged import RaggedBatch
from refrnn.testing.holding import hold_bitwise

from .unroll_program import LENGTHS, make_case

CASE = make_case("lstm", "float32", reverse=False)
TEAM = {"variant": "team", "team": 3}


@pytest.fixture
def own_context() -> Iterator[Any]:
    """A context that the user has made, current."""
    made = driver().Device(0).make_context()
    yield made
    made.pop()
    made.detach()


def run_forward(case: Case, unroll: CudaUnroll, **changed: Any) -> Any:
    given = {"batch": case.batch, "state_0": case.state_0, **changed}
    return rr.forward(case.cell, case.parameters, **given, reverse=case.reverse, unroll=unroll)


# --- arguments ---


@pytest.mark.parametrize(
    ("arguments", "kind", "message"),
    [
        ({"variant": "blocks"}, ValueError, "variant has value 'blocks', expected one of None, "),
        ({"result": "gpu"}, ValueError, "result has value 'gpu', expected one of 'numpy', 'dev"),
        ({"stream": 0}, TypeError, "stream has type int, expected a pycuda.driver.Stream"),
        ({"team": 1}, ValueError, "team has value 1, expected an integer >= 2"),
        ({"team": 2.0}, TypeError, "team has "),
        ({"team": True}, TypeError, "team has "),
        ({"team": 2, "variant": "block"}, ValueError, "team has value 2 beside variant = 'block'"),
        ({"team": 2, "variant": "stream"}, ValueError, "team has value 2 beside variant = 'str"),
        ({"lanes": 0}, ValueError, "lanes has value 0, expected an integer >= 1"),
        ({"lanes": "2"}, TypeError, "lanes has "),
        ({"patience": 0.0}, ValueError, "patience has value 0"),
        ({"patience": float("inf")}, ValueError, "patience has value inf"),
        ({"patience": float("nan")}, ValueError, "patience has value nan"),
        ({"patience": "1"}, TypeError, "patience has "),
    ],
    ids=str,
)
def test_arguments_that_mean_nothing_are_refused(
    arguments: dict[str, Any], kind: type[Exception], message: str
) -> None:
    with pytest.raises(kind) as raised:
        CudaUnroll(**arguments)
    assert str(raised.value).startswith(message)


def refused(cell: Any, dtype: str, **arguments: Any) -> str:
    """Why a case is not supported: the same text by `supports` and as an exception."""
    unroll = CudaUnroll(**arguments)
    reason = unroll.supports(cell, np.dtype(dtype))
    assert reason is not None
    parameters = cell.init_parameters(np.random.default_rng(0), dtype)
    batch = RaggedBatch(np.zeros((2, cell.input_size), dtype), [2])
    with pytest.raises(UnsupportedCase) as raised:
        rr.forward(cell, parameters, batch, unroll=unroll)
    assert str(raised.value) == f"unroll 'cuda' cannot run {cell}: {reason}"
    return reason


def test_a_team_that_is_not_there_names_those_that_are() -> None:
    reason = refused(rr.LSTM(3, 37), "float32", variant="team", team=4)
    assert reason == "team has 2, 3, 5 blocks for H = 37, not 4"


def test_what_does_not_fit_a_block_names_the_bytes() -> None:
    most = first_device().shared_memory
    reason = refused(rr.LSTM(3, 200), "float64", variant="block")
    assert f"bytes of shared memory a block, and {first_device().name} has {most}" in reason
    assert int(reason.split(" takes ")[1].split()[0]) > most


def test_what_does_not_fit_another_device_names_its_numbers() -> None:
    here = first_device()._replace(architecture=86, multiprocessors=2, name="small")
    kernel, single = kernel_cell(rr.LSTM(3, 37)), np.dtype("float32")
    reason = planner.choose(kernel, single, 37, here, variant="team", team=5)
    assert isinstance(reason, str)
    assert reason.startswith("team of 5: small has 2 multiprocessors")
    reason = planner.choose(kernel, single, 37, here, variant="cluster", team=2)
    assert reason == "cluster of 2: clusters need compute capability 9.0, and small has 8.6"
    chosen = planner.choose(kernel, single, 37, here, variant="team", team=2)
    assert not isinstance(chosen, str)
    ones = np.ones(99, np.int64)
    refusal = planner.laid_out(*chosen, ones, 37, here, 99)
    assert isinstance(refusal, str)
    words, most = refusal.rsplit(" and ", 1)
    assert words == "99 lanes on 1 teams of 2 blocks are 99 a team,"
    assert 2 <= int(most.removesuffix(" fit")) <= 32
    dealt = planner.laid_out(*chosen, ones, 37, here)
    assert not isinstance(dealt, str)
    assert dealt.schedule.num_lanes == int(most.removesuffix(" fit"))


@pytest.mark.parametrize("cell", [rr.LSTM(2, 3, peepholes=True), rr.GRU(2, 3, gate_clip=1.0),
                                  rr.LSTM(2, 3, proj_size=2)], ids=str)  # fmt: skip
def test_options_that_the_kernels_lack_are_named(cell: Any) -> None:
    assert "its kernels have no " in refused(cell, "float32")


def test_the_plan_reports_what_was_done() -> None:
    plan = run_forward(CASE, CudaUnroll(lanes=2, **TEAM)).plan
    assert plan.unroll == "cuda"
    assert (plan.real_steps, plan.padded_steps) == (sum(LENGTHS), 0)
    assert plan.sequential_steps == 5  # of 3, 1, 4 and 1 on two lanes
    chosen = dict(plan.choices)
    assert chosen.pop("threads") == 64
    assert chosen == {"variant": "team", "team": 3, "teams": 2, "lanes": 2, "lanes_of_team": 1}


def test_as_many_lanes_as_were_asked_for() -> None:
    for lanes in (1, 2, 3):
        plan = run_forward(CASE, CudaUnroll(variant="block", lanes=lanes)).plan
        assert (plan.choices["variant"], plan.choices["lanes"]) == ("block", lanes)


# --- contexts and streams ---


def test_no_context_is_left_current() -> None:
    current = driver().Context.get_current
    assert current() is None
    expected = run_case(CASE, CudaUnroll(**TEAM))
    assert current() is None
    assert expected["output"].any()


@pytest.mark.usefixtures("own_context")
def test_a_users_context_and_stream_are_used() -> None:
    cuda = driver()
    before, stream = cuda.Context.get_current(), cuda.Stream()
    for way in ({"variant": "block"}, TEAM):
        expected = run_case(CASE, CudaUnroll(**way))
        hold_bitwise(run_case(CASE, CudaUnroll(stream=stream, **way)), expected)
        assert cuda.Context.get_current() == before


@pytest.mark.usefixtures("own_context")
def test_launches_are_put_into_the_stream(monkeypatch: pytest.MonkeyPatch) -> None:
    seen, launch = [], Recurrence._launch

    def noting(self: Recurrence, *arguments: Any) -> None:
        seen.append((arguments[0], arguments[-1]))
        launch(self, *arguments)

    monkeypatch.setattr(Recurrence, "_launch", noting)
    stream = driver().Stream()
    run_case(CASE, CudaUnroll(stream=stream))
    assert seen == [("forward", stream), ("backward", stream)]


def test_two_threads_with_streams_of_their_own_end_with_right_results() -> None:
    """Both launch teams, of which each would wait for ever for half of the other's blocks."""
    cases = [make_case(name, "float32", reverse=False) for name in ("lstm", "gru_reset_after")]
    expected = [run_case(case, CudaUnroll(variant="block")) for case in cases]
    got: dict[int, list[Any]] = {0: [], 1: []}
    start = threading.Barrier(2)

    def work(which: int) -> None:
        from refrnn_accel.cuda.context import use_context

        with use_context():
            stream = driver().Stream()
            start.wait()
            for _ in range(4):
                got[which].append(run_case(cases[which], CudaUnroll(stream=stream, **TEAM)))
            del stream

    threads = [threading.Thread(target=work, args=(which,)) for which in got]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for which, results in got.items():
        assert len(results) == 4
        for result in results:
            hold_bitwise(result, expected[which])


# --- arrays on the device ---


def on_host(array: Any) -> np.ndarray:
    """A copy of what says that it lies on the device."""
    interface = array.__cuda_array_interface__
    made = np.empty(interface["shape"], interface["typestr"])
    if made.size:
        driver().memcpy_dtoh(made, interface["data"][0])
    return made


@pytest.mark.usefixtures("own_context")
@pytest.mark.parametrize("name", ["lstm", "gru_reset_before"])
@pytest.mark.parametrize("way", [{"variant": "block"}, TEAM], ids=str)
def test_results_on_the_device_are_the_callers_own(name: str, way: dict[str, Any]) -> None:
    case = make_case(name, "float64", reverse=True)
    expected = run_case(case, CudaUnroll(**way))
    run = run_forward(case, CudaUnroll(result="device", **way))
    names = case.cell.state_names
    results = {"output": run.output.values}
    results |= {f"{n}_n": a for n, a in zip(names, run.state_n, strict=True)}
    hold_bitwise({n: on_host(a) for n, a in results.items()}, {n: expected[n] for n in results})
    for array in results.values():
        overwrite(array)
    for _ in range(2):  # neither what forward has given nor what backward has is the tape's
        found = rr.backward(run.tape, case.d_output, case.d_state_n)
        gradients = {"d_input": found.input.values}
        gradients |= {f"d_{n}_0": a for n, a in zip(names, found.state_0, strict=True)}
        got = {n: on_host(a) for n, a in gradients.items()}
        hold_bitwise(got, {n: expected[n] for n in gradients})
        parameters = {f"d_{n}": a for n, a in found.parameters.items()}
        hold_bitwise(parameters, {n: expected[n] for n in parameters})
        for array in gradients.values():
            overwrite(array)


def overwrite(array: Any) -> None:
    interface = array.__cuda_array_interface__
    nbytes = int(np.prod(interface["shape"])) * np.dtype(interface["typestr"]).itemsize
    driver().memset_d8(interface["data"][0], 0xFF, nbytes)  # NaN


class Lent:
    """An array of somebody's, of whom nothing is known but the interface."""

    def __init__(self, array: Any) -> None:
        self.kept = array

    @property
    def __cuda_array_interface__(self) -> dict[str, Any]:
        found: dict[str, Any] = self.kept.__cuda_array_interface__
        return found


@pytest.mark.usefixtures("own_context")
@pytest.mark.parametrize("wrap", [lambda array: array, Lent], ids=["GPUArray", "any"])
@pytest.mark.parametrize("order", ["C", "F"])
def test_inputs_on_the_device_are_taken_and_may_change_later(wrap: Any, order: str) -> None:
    from pycuda import gpuarray

    expected = run_case(CASE, CudaUnroll())
    theirs = gpuarray.to_gpu(np.asarray(CASE.batch.values, order=order))  # type: ignore[call-overload]
    run = run_forward(CASE, CudaUnroll(), batch=RaggedBatch(wrap(theirs), CASE.batch.lengths))
    hold_bitwise({"output": run.output.values}, {"output": expected["output"]})
    theirs.fill(np.float32(99))
    found = rr.backward(run.tape, CASE.d_output, CASE.d_state_n)
    for name in ("W_ih", "W_hh", "b_ih"):
        hold_bitwise({name: found.parameters[name]}, {name: expected[f"d_{name}"]})
    hold_bitwise({"d": found.input.values}, {"d": expected["d_input"]})
