"""Correct programs are not reported, whatever the schedule, and do what they should.

``correct.cu`` has the kernels. Run as ``pycuda_programs.py`` is.
"""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from .launches import Job, Launch, Outcome, Source, compile_all, run_all

FILE = Path(__file__).parent / "correct.cu"
KERNELS = {
    name: (int(grid), int(block))
    for grid, block, name in re.findall(
        r"// <<<(\d+), (\d+)>>>.*\nextern \"C\" __global__ void (\w+)", FILE.read_text()
    )
}
SEEDS = 20 if os.environ.get("HYPOTHESIS_PROFILE") == "nightly" else 2
SCHEDULES = [("post-dominator", 0), ("lowest-pc", 0)]
SCHEDULES += [("adversarial", seed) for seed in range(SEEDS)]
SIZE = 6400 * 4


@pytest.fixture(scope="module")
def outcomes(tmp_path_factory: Any) -> dict[Any, list[Outcome]]:
    source = Source(FILE, "sm_86")
    cubin = compile_all([source], tmp_path_factory.mktemp("correct"))[source]
    zeros = {"out": np.zeros(SIZE // 4, np.int32), "counts": np.zeros(16, np.uint32)}
    jobs = [
        Job(cubin, {"out": SIZE, "counts": 64},
            (Launch(name, (grid,), (block,), ("out", "counts"), uploads=zeros),), ("out",))
        for name, (grid, block) in KERNELS.items()
    ]  # fmt: skip
    return run_all(
        {
            (schedule, seed): (
                jobs,
                {
                    "SOFTCUDA_CHECK": "all",
                    "SOFTCUDA_SCHEDULE": schedule,
                    "SOFTCUDA_SEED": str(seed),
                },
            )
            for schedule, seed in SCHEDULES
        }
    )


def test_every_kernel_of_the_file_is_run() -> None:
    assert len(KERNELS) == FILE.read_text().count("__global__")


@pytest.mark.parametrize("name", KERNELS)
def test_a_correct_program_is_not_reported(outcomes: dict[Any, list[Outcome]], name: str) -> None:
    grid, block = KERNELS[name]
    for setting, of_all in outcomes.items():
        outcome = of_all[list(KERNELS).index(name)]
        assert outcome.report == "", setting
        assert outcome.error == "", setting
        out = np.frombuffer(outcome.results["out"], np.int32)[: grid * block]
        assert out.tolist() == [1] * (grid * block), setting
