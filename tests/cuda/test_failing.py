"""What fails on the device is an exception that names the launch, and the next launch works."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import numpy as np
import pytest
from refrnn_accel.cuda import CudaUnroll, recurrence
from refrnn_accel.cuda.context import use_context

from refrnn.comparison import run_case
from refrnn.errors import DeviceError
from refrnn.testing.holding import hold_bitwise

from .other_devices import environment, run_program
from .unroll_program import make_case

TEAM = {"variant": "team", "team": 3, "lanes": 1}
CASE = make_case("gru_reset_before", "float64", reverse=False)


class OneBlockLess:
    """A module of whose kernel called `name` the last block never starts."""

    def __init__(self, real: Any, name: str) -> None:
        self.real, self.name, self.origin = real, name, real.origin

    def function(self, name: str) -> Any:
        found = self.real.function(name)
        return Launching(found) if name == self.name else found


class Launching:
    """A kernel that is launched with one block less than was asked for."""

    def __init__(self, real: Any) -> None:
        self.real = real

    def __getattr__(self, name: str) -> Any:
        return getattr(self.real, name)

    def prepared_async_call(self, grid: tuple[int, int], *rest: Any, **more: Any) -> None:
        self.real.prepared_async_call((grid[0] - 1, grid[1]), *rest, **more)


@pytest.mark.parametrize("kernel", ["forward", "backward"])
@pytest.mark.parametrize("name", ["rnn_tanh", "lstm", "gru_reset_after", "gru_reset_before"])
def test_a_team_that_loses_a_block_fails_and_the_next_does_not(
    name: str, kernel: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    case = make_case(name, "float32", reverse=False)
    expected = run_case(case, CudaUnroll(**TEAM))
    load = recurrence.load_module
    with monkeypatch.context() as planted:
        planted.setattr(
            recurrence, "load_module", lambda *given: OneBlockLess(load(*given), kernel)
        )
        words = rf"{kernel} of team .*, 1 teams of 3 blocks, .*: a block has waited 0.05 s for"
        with pytest.raises(DeviceError, match=words):
            run_case(case, CudaUnroll(patience=0.05, **TEAM))
    hold_bitwise(run_case(case, CudaUnroll(**TEAM)), expected)


def test_tags_begin_anew_before_they_run_out() -> None:
    expected = run_case(CASE, CudaUnroll(**TEAM))
    with use_context() as context:
        meeting = context.cached("meeting", recurrence._Meeting)
    started = set()
    for left in range(1, 24):
        meeting._epoch = 2**32 - left
        hold_bitwise(run_case(CASE, CudaUnroll(**TEAM)), expected)
        started.add(meeting._epoch < 2**31)
    assert started == {True, False}


def test_slots_that_grow_and_are_shared_keep_no_stale_tag() -> None:
    """Launches of other sizes use the same slots, and forward and backward too."""
    small, large = (make_case(name, "float32", reverse=False) for name in ("rnn_tanh", "lstm"))
    plans = [(small, 1), (large, 3), (small, 2), (large, 1), (small, 1), (large, 3)]
    expected = [run_case(case, CudaUnroll(variant="block")) for case, _ in plans]
    for (case, lanes), good in zip(plans, expected, strict=True):
        for team in (2, 3):
            got = run_case(case, CudaUnroll(variant="team", team=team, lanes=lanes))
            hold_bitwise(got, good)


def test_other_work_goes_on_after_a_case_is_refused_on_the_device() -> None:
    from refrnn.errors import UnsupportedCase

    with pytest.raises(UnsupportedCase):
        run_case(CASE, CudaUnroll(variant="team", team=64))
    assert np.isfinite(run_case(CASE, CudaUnroll())["output"]).all()


FAULT = """
import sys
from refrnn_accel.cuda import CudaUnroll, recurrence
from refrnn.comparison import run_case
from refrnn.errors import DeviceError
from tests.cuda.unroll_program import make_case

_, variant, layout, pointer = sys.argv
arguments = recurrence.arguments

def planted(given, **values):
    if given is getattr(recurrence, layout):
        values[pointer] = 8
    return arguments(given, **values)

recurrence.arguments = planted
case = make_case("lstm", "float32", reverse=False)
for _ in range(2):  # the device is lost, and says so again
    try:
        run_case(case, CudaUnroll(variant=variant))
    except DeviceError as error:
        print(error)
"""


@pytest.mark.parametrize("variant", ["block", "team"])
@pytest.mark.parametrize(("layout", "pointer"), [("FORWARD", "y"), ("BACKWARD", "d_a")])
def test_a_fault_in_a_kernel_names_the_launch(variant: str, layout: str, pointer: str) -> None:
    done = run_program(FAULT, variant, layout, pointer)
    first, second = done.stdout.splitlines()
    assert first.startswith(f"{layout.lower()} of {variant} Lstm, ")
    assert "failed: " in first
    assert "softcuda's report is on standard error" in first
    assert "failed: " in second
    assert f"softcuda: out-of-bounds write in kernel {layout.lower()}" in done.stderr


def test_without_a_device_it_is_said_what_to_do() -> None:
    program = (
        "import numpy, refrnn, refrnn_accel.cuda\n"
        "refrnn_accel.cuda.CudaUnroll().supports(refrnn.RNN(2, 3), numpy.dtype('f'))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program],
        env={**environment(), "CUDA_VISIBLE_DEVICES": ""},
        capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    assert done.returncode == 1
    assert "DeviceError: " in done.stderr
    assert "on a machine without a GPU run the program under `softcuda run`" in done.stderr
