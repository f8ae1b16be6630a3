"""What the kernels cost, exactly: nothing is padded or passes twice, no bank is wanted twice."""

from __future__ import annotations

import fcntl
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from refrnn_accel.cuda.costs import LIMITS, Cost

from . import costs_program

NAMES = [costs_program.name(case) for case in costs_program.cases()]
EXACT = {
    "steps", "rounds", "bytes of W_hh", "exchanged bytes, stored", "exchanged bytes, loaded",
    "remote wavefronts", "operations", "bytes loaded", "bytes stored",
}  # fmt: skip


def run(*arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    """Run a program of Python where no device is taken yet."""
    environment = {**os.environ, "SOFTCUDA_PTXAS": "", **variables}
    return subprocess.run(
        [sys.executable, *arguments], capture_output=True, text=True, env=environment, check=False
    )


@pytest.fixture(scope="module")
def counted(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What the program has counted: once for all processes of a run, since it takes a minute."""
    folder = tmp_path_factory.getbasetemp()
    folder = folder.parent if "PYTEST_XDIST_WORKER" in os.environ else folder
    made = folder / "costs.json"
    with (folder / "costs.lock").open("w", encoding="utf-8") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not made.exists():
            done = run(str(Path(costs_program.__file__)))
            assert done.returncode == 0, done.stderr
            made.write_text(done.stdout, encoding="utf-8")
    found: dict[str, Any] = json.loads(made.read_text(encoding="utf-8"))
    return found


@pytest.mark.parametrize("name", NAMES)
def test_costs_are_what_they_must_be(counted: dict[str, Any], name: str) -> None:
    case = counted["cases"][name]
    assert case["steps"] >= 2000
    assert [cost for cost in case["costs"] if not cost["holds"]] == []


@pytest.mark.parametrize("name", NAMES)
def test_every_cost_is_there(counted: dict[str, Any], name: str) -> None:
    found = {(cost["kernel"], cost["what"]) for cost in counted["cases"][name]["costs"]}
    for kernel in ("forward", "backward"):
        expected = {"steps", "rounds", "bytes of W_hh", *LIMITS}
        if "-stream" in name:  # which reads W_hh at every step
            expected -= {"bytes of W_hh", "bytes, no exchange"}
        if "-team" in name:
            expected |= {"exchanged bytes, stored", "exchanged bytes, loaded"}
        if "-cluster" in name:
            expected |= {"remote wavefronts"}
        assert {what for one, what in found if one == kernel} == expected
    products = {kernel for kernel, what in found if what == "operations"}
    assert {name.split("_")[1] for name in products} >= {"nt", "nn", "tn", "column", "shift"}


@pytest.mark.parametrize("name", NAMES)
def test_limits_are_those_that_were_set(counted: dict[str, Any], name: str) -> None:
    limits = {cost["what"]: cost["limit"] for cost in counted["cases"][name]["costs"]}
    expected = {"instructions a step": 1.05, "bytes, no exchange": 1.1, "wavefronts": 1.05}
    if "-stream" in name:
        del expected["bytes, no exchange"]
    assert {what: limit for what, limit in limits.items() if limit is not None} == expected
    assert {what for what, limit in limits.items() if limit is None} <= EXACT


@pytest.mark.parametrize("name", NAMES)
def test_no_bank_is_wanted_twice(counted: dict[str, Any], name: str) -> None:
    for cost in counted["cases"][name]["costs"]:
        if cost["what"] == "wavefronts":
            assert cost["counted"] == cost["expected"]


def test_all_laws_meet_all_variants() -> None:
    assert {(name.split("-")[2][:4], name.split("-")[-1]) for name in NAMES} >= {
        (variant, law) for variant in ("bloc", "clus", "team", "stre") for law in costs_program.LAWS
    }


@pytest.mark.parametrize("kernel", ["forward", "backward"])
def test_a_lane_makes_the_steps_of_its_sequences(counted: dict[str, Any], kernel: str) -> None:
    together, *rest = counted["lanes"][kernel]
    assert rest[:3] == rest[3:]
    assert together == sum(rest[:3])


@pytest.mark.parametrize("name", NAMES)
def test_predictions(counted: dict[str, Any], name: str) -> None:
    made = counted["cases"][name]["predictions"]
    gpus = {"H100"} if "-cluster" in name else {"A100", "H100", "RTX 4090"}
    assert {one["gpu"] for one in made} == gpus
    assert all(one["microseconds"] > 0 for one in made)
    if "float64" in name and "-block" in name:  # which has few units for double
        assert {one["bound"] for one in made if one["gpu"] == "RTX 4090"} == {"arithmetic"}


def test_a_cost_that_is_not_met() -> None:
    assert not Cost("forward", "steps", 10, 9).holds
    assert not Cost("forward", "steps", 9, 10).holds
    assert not Cost("forward", "wavefronts", 106, 100, 1.05).holds
    assert Cost("forward", "wavefronts", 105, 100, 1.05).holds
    assert Cost("forward", "steps", 0, 0).ratio == 1


def test_bench_prints_the_costs(tmp_path: Path) -> None:
    target = tmp_path / "costs.json"
    done = run(
        "-m", "refrnn", "bench", "--costs", "--workload", "equal-b4-t9-h64", "--json", str(target)
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    assert "prediction, not a measurement" in done.stdout
    record = json.loads(target.read_text())
    assert record["format"] == "refrnn bench costs 1"
    assert [case["variant"] for case in record["cases"]] == ["block", "cluster", "team", "stream"]
    assert all(cost["holds"] for case in record["cases"] for cost in case["costs"])


def test_bench_says_what_the_costs_need() -> None:
    without = "import sys; sys.modules['refrnn_accel'] = None; from refrnn.cli import main; "
    done = run("-c", f"{without}sys.exit(main(['bench', '--costs']))")
    assert done.returncode == 2
    assert "--costs needs refrnn_accel" in done.stderr


def test_bench_wants_whole_sectors() -> None:
    done = run("-m", "refrnn", "bench", "--costs", "--workload", "equal-b2-t3-h33")
    assert done.returncode == 2
    assert "hidden_size has value 33, expected a multiple of 32" in done.stderr
