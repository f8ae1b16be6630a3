"""Damaged modules: never a crash, a hang or silent success.

Under the nightly Hypothesis profile there are many more of them; `softcuda run
--sanitize=address,undefined pytest tests/softcuda/test_fuzzing.py` has the sanitizers look on.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from .device import CudaError, Device
from .fuzz.invalid import HEAD, TAIL, spoilt, statements

ROOT = Path(__file__).parents[2]
NIGHTLY = os.environ.get("HYPOTHESIS_PROFILE") == "nightly"
#: Small, so that a kernel that never ends does; and what is loaded stays small too.
LIMITS = {
    "SOFTCUDA_BUDGET": "100000",
    "SOFTCUDA_MEMORY_MB": "32",
    "SOFTCUDA_COMPUTE_CAPABILITY": "120",
    "SOFTCUDA_PTXAS": "",  # NVIDIA's compiler is not what is tried here, and takes its time
}


@pytest.mark.parametrize(
    ("kind", "seed", "count", "check"),
    [
        ("ptx", 0, 60_000 if NIGHTLY else 6_000, "none"),
        ("ptx", 1, 60_000 if NIGHTLY else 6_000, "all"),
        ("cubin", 2, 20_000 if NIGHTLY else 2_000, "none"),
        ("fatbin", 3, 20_000 if NIGHTLY else 2_000, "none"),
    ],
)
def test_damaged_modules_end_in_a_status(
    tmp_path: Path, kind: str, seed: int, count: int, check: str
) -> None:
    """Each is loaded and, if that succeeds, run; the process that does it lives to the end."""
    at = tmp_path / "at"
    command = ["-m", "tests.softcuda.fuzz.campaign", f"--kind={kind}", f"--seed={seed}"]
    done = subprocess.run(
        [sys.executable, *command, f"--count={count}", f"--at={at}"],
        cwd=ROOT,
        env={**os.environ, **LIMITS, "SOFTCUDA_CHECK": check},
        capture_output=True, text=True, errors="replace", check=False,
    )  # fmt: skip
    again = f"python {' '.join(command)} --only={int(at.read_text())}"
    how = f"signal {signal.Signals(-done.returncode).name}" if done.returncode < 0 else ""
    assert done.returncode == 0, f"{how}; again: {again}\n{done.stdout}\n{done.stderr[-3000:]}"
    outcomes = json.loads(done.stdout.splitlines()[-1])["outcomes"]
    assert sum(n for what, n in outcomes.items() if what.startswith("load")) == count
    # Enough get through each gate to say something of what is behind it.
    assert outcomes["load 0"] > count // 50
    assert outcomes["load 200" if kind == "fatbin" else "load 218"] > count // 50
    assert outcomes["run 0"] > count // 50
    if kind != "fatbin":
        assert outcomes["run 700"] + outcomes["run 716"] > count // 200


SPOILT = [(what, one) for statement in statements() for what, one in spoilt(statement)]


def test_the_corpus_has_statements_of_many_kinds(device: Device) -> None:
    """And each of them loads as it is, in the place where the spoilt ones will stand."""
    kinds = statements()
    assert len(kinds) > 400
    for statement in kinds:
        device.call("cuModuleUnload", device.load(f"{HEAD}{statement};\n{TAIL}"))


@pytest.mark.parametrize("what", sorted({what for what, _ in SPOILT}))
def test_no_statement_that_ptx_does_not_define_loads(device: Device, what: str) -> None:
    line = f"line {HEAD.count(chr(10)) + 1}:"
    logs = {one: refusal(device, one) for way, one in SPOILT if way == what}
    assert len(logs) > 100
    assert [one for one, log in logs.items() if line not in log] == []


def refusal(device: Device, statement: str) -> str:
    """The log of a load, empty where it succeeds."""
    try:
        device.load(f"{HEAD}{statement};\n{TAIL}")
    except CudaError as error:
        return error.log
    return ""
