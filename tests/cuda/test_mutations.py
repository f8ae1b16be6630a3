"""Leaving out any single barrier, fence, tag or test of bounds of the kernels is noticed."""

from __future__ import annotations

import os
import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest
from refrnn_accel.cuda.sources import PACKAGE

from .mutants import EQUIVALENT, Mutant, mutants
from .mutation_program import PROGRAMS

ROOT = Path(__file__).parents[2]
FILES = sorted(
    path.name
    for path in PACKAGE.kernels.glob("*.cuh")
    if path.name not in ("products.cuh", "row_sums.cuh")  # held by tests/cuda/test_products.py
)
#: In which order programs are tried: what is most likely to notice comes first.
FIRST = {
    "exchange.cuh": ["team", "team, double", "cluster"],
    **{name: [one for one in PROGRAMS if "stream" in one] for name in FILES if "stream" in name},
}
SCHEDULES = [("post-dominator", 0), ("lowest-pc", 0), *(("adversarial", k) for k in range(6))]
FEW = SCHEDULES[::3]
IS_NIGHTLY = os.environ.get("HYPOTHESIS_PROFILE") == "nightly"
#: For every change a few of them, of every file: each takes some seconds, and who survives minutes.
MUTANTS = list(mutants(tuple(FILES)))
CHOSEN = MUTANTS if IS_NIGHTLY else MUTANTS[:: len(MUTANTS) // 8]


def run(folder: str, name: str, schedule: str, seed: int) -> str:
    """What the program prints, or an empty text if it failed or something was reported."""
    settings = {
        "SOFTCUDA_CHECK": "all",
        "SOFTCUDA_COMPUTE_CAPABILITY": str(PROGRAMS[name].capability),
        "SOFTCUDA_MULTIPROCESSORS": str(PROGRAMS[name].multiprocessors),
        "SOFTCUDA_PATIENCE": "2000000",
        "SOFTCUDA_BUDGET": "200000000",
        "SOFTCUDA_PTXAS": "",
        "SOFTCUDA_SCHEDULE": schedule,
        "SOFTCUDA_SEED": str(seed),
    }
    done = subprocess.run(
        [sys.executable, "-m", "tests.cuda.mutation_program", folder, name],
        cwd=ROOT, env={**os.environ, **settings}, capture_output=True, text=True, check=False,
        timeout=300,
    )  # fmt: skip
    is_clean = done.returncode == 0 and "softcuda:" not in done.stderr
    return done.stdout if is_clean else ""


@cache
def expected(name: str) -> str:
    """What the kernels as they are give."""
    printed = run("-", name, "post-dominator", 0)
    assert printed, name
    return printed


def survives(folder: Path, mutant: Mutant) -> bool:
    """Whether all programs, under all schedules, give the same bits and no report."""
    first = FIRST.get(mutant.file, [])
    for schedule, seed in SCHEDULES:
        for name in [*first, *(name for name in PROGRAMS if name not in first)]:
            if run(str(folder), name, schedule, seed) != expected(name):
                return False
    return True


@pytest.mark.parametrize("mutant", CHOSEN, ids=lambda mutant: mutant.name)
def test_a_mutant_is_noticed(mutant: Mutant, tmp_path: Path) -> None:
    reason = EQUIVALENT.get((mutant.file, *mutant.text))
    mutant.write(tmp_path)
    assert survives(tmp_path, mutant) == (reason is not None), f"{mutant.text}: {reason}"


def test_every_equivalent_one_is_there() -> None:
    assert {(one.file, *one.text) for one in MUTANTS} >= set(EQUIVALENT)


@pytest.mark.parametrize("name", PROGRAMS)
def test_no_schedule_changes_a_bit(name: str) -> None:
    for schedule, seed in SCHEDULES if IS_NIGHTLY else FEW:
        assert run("-", name, schedule, seed) == expected(name)
