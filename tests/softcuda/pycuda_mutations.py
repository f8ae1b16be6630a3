"""Kernels that use what the device checks, and what becomes of them if one piece is left out.

``mutations/*.cu`` hold a kernel each, with barriers, fences, tags, second buffers and tests of
bounds. ``KEEP(k)`` in the source is true but in mutant k, whose entry is ``<file>_<k>``. The kernel
as it is, mutant 0, gives the right numbers, the same bits under every schedule, and no report;
every mutant fails under one schedule at least of a few fixed ones. Run it as ``pycuda_programs.py``
is run.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest

from .launches import Job, Launch, Outcome, Source, compile_all, run_all

FOLDER = Path(__file__).parent / "mutations"
# One multiprocessor, so that not all blocks are resident; everything is looked for.
ALWAYS = {
    "SOFTCUDA_CHECK": "all",
    "SOFTCUDA_PATIENCE": "1000000",
    "SOFTCUDA_MULTIPROCESSORS": "1",
}
#: Schedules under which a mutant has to fail at least once.
FEW = {
    "post-dominator": {"SOFTCUDA_SCHEDULE": "post-dominator"},
    "lowest-pc": {"SOFTCUDA_SCHEDULE": "lowest-pc"},
    **{
        f"adversarial, seed {seed}": {
            "SOFTCUDA_SCHEDULE": "adversarial",
            "SOFTCUDA_SEED": str(seed),
        }
        for seed in range(3)
    },
}
SEEDS = 20 if os.environ.get("HYPOTHESIS_PROFILE") == "nightly" else 3
#: Settings under which a kernel as it is has to give the same bits.
ALL = {
    **FEW,
    **{
        f"adversarial, seed {seed}": {
            "SOFTCUDA_SCHEDULE": "adversarial",
            "SOFTCUDA_SEED": str(seed),
        }
        for seed in range(3, SEEDS)
    },
    "unchecked, 2 threads": {"SOFTCUDA_CHECK": "none", "SOFTCUDA_THREADS": "2"},
    "3 threads, 4 multiprocessors": {"SOFTCUDA_THREADS": "3", "SOFTCUDA_MULTIPROCESSORS": "4"},
    "2 threads, adversarial": {
        "SOFTCUDA_SCHEDULE": "adversarial",
        "SOFTCUDA_SEED": "7",
        "SOFTCUDA_THREADS": "2",
    },
}


class Program(NamedTuple):
    """What is launched, without the kernels' names, and the numbers that must come out."""

    buffers: dict[str, int]
    launches: tuple[Launch, ...]
    expected: dict[str, Any]
    capability: str = "86"


def program(
    shape: tuple[tuple[int, ...], tuple[int, ...]],
    launches: list[tuple[tuple[Any, ...], dict[str, Any]]],
    expected: dict[str, Any],
    capability: str = "86",
) -> Program:
    """A program of launches (arguments, arrays to upload before). Results begin as NaN."""
    grid, block = shape
    made, buffers = [], {}
    blank = {name: np.full_like(array, np.nan) for name, array in expected.items()}
    for arguments, uploads in launches:
        made.append(Launch("", grid, block, arguments, 0, {**blank, **uploads}))
        buffers.update({name: array.nbytes for name, array in made[-1].uploads.items()})
        blank = {}
    return Program(buffers, tuple(made), expected, capability)


def offsets(lengths: list[int]) -> Any:
    return np.concatenate([[0], np.cumsum(lengths)]).astype(np.int32)


def sigmoid(x: Any) -> Any:
    return 1 / (1 + np.exp(-x))


def tanh_rnn(inputs: Any, weights: Any, h_0: Any, starts: Any) -> Any:
    """The state after every step of sequences that lie one after the other."""
    y = np.empty(inputs.shape)
    for q in range(len(starts) - 1):
        h = h_0[q].astype(float)
        for n in range(starts[q], starts[q + 1]):
            h = y[n] = np.tanh(inputs[n] + weights.astype(float) @ h)
    return y.astype(inputs.dtype)


def lstm() -> Program:
    rng, H = np.random.default_rng(0), 40
    starts = offsets([3, 0, 5, 1, 4])
    gates = rng.normal(size=(starts[-1], H, 4)).astype(np.float32)
    weights = (rng.normal(size=(H, H, 4)) / H**0.5).astype(np.float32)
    h_0, c_0 = rng.uniform(-1, 1, size=(2, 5, H)).astype(np.float32)
    y = np.empty((starts[-1], H), np.float32)
    for q in range(5):
        h, c = h_0[q].astype(float), c_0[q].astype(float)
        for n in range(starts[q], starts[q + 1]):
            i, f, g, o = (gates[n] + np.einsum("jug,j->ug", weights.astype(float), h)).T
            c = sigmoid(f) * c + sigmoid(i) * np.tanh(g)
            h = y[n] = sigmoid(o) * np.tanh(c)
    arrays = {"gates": gates, "weights": weights, "h_0": h_0, "c_0": c_0, "offsets": starts}
    return program(((2,), (64,)), [((*arrays, np.int32(5), "y"), arrays)], {"y": y})


def reduction() -> Program:
    blocks, rng = 6, np.random.default_rng(1)
    first, second = rng.normal(size=(2, 2000))
    arrays = {"ticket": np.zeros(1, np.uint32), "partial": np.full(blocks, np.nan)}
    launches = [
        (("first", np.int32(2000), "partial", "ticket", "a"), {"first": first, **arrays}),
        (("second", np.int32(2000), "partial", "ticket", "b"), {"second": second}),
    ]
    expected = {"a": np.array([first.sum()]), "b": np.array([second.sum()])}
    return program(((blocks,), (128,)), launches, expected)


def team() -> Program:
    rng, H, teams = np.random.default_rng(2), 128, 2
    weights = (rng.normal(size=(H, H)) / H**0.5).astype(np.float32)
    slots, tickets = np.zeros((teams, 2, H), np.uint64), np.zeros(1, np.int32)
    launches, expected = [], {}
    epoch = 0
    # The first launch leaves its steps in the slots; the second is not to take them for its own.
    for name, lengths in (("a", [2, 0]), ("b", [2, 1, 1])):
        starts = offsets(lengths)
        inputs = rng.normal(size=(starts[-1], H)).astype(np.float32)
        h_0 = rng.uniform(-1, 1, size=(len(lengths), H)).astype(np.float32)
        arrays = {f"inputs_{name}": inputs, "weights": weights, f"h_{name}": h_0}
        arrays[f"offsets_{name}"] = starts
        arguments = (*arrays, np.int32(len(lengths)), "tickets", "slots", np.uint32(epoch), name)
        arrays["tickets"] = tickets
        if name == "a":
            arrays["slots"] = slots
        launches.append((arguments, arrays))
        expected[name] = tanh_rnn(inputs, weights, h_0, starts)
        epoch += int(starts[-1])
    return program(((4 * teams,), (64,)), launches, expected)


def pipeline() -> Program:
    rng, rows, columns = np.random.default_rng(3), 150, 150
    matrix = rng.normal(size=(rows, columns)).astype(np.float32)
    x = rng.normal(size=columns).astype(np.float32)
    arguments = ("matrix", "x", np.int32(rows), np.int32(columns), "y")
    expected = (matrix.astype(float) @ x).astype(np.float32)
    return program(((3,), (96,)), [(arguments, {"matrix": matrix, "x": x})], {"y": expected})


def gemm() -> Program:
    rng, rows, inner, columns = np.random.default_rng(4), 20, 19, 21
    A, B = rng.normal(size=(rows, inner)), rng.normal(size=(inner, columns))
    arguments = ("A", "B", "C", *np.array([rows, inner, columns], np.int32))
    return program(((3, 3), (8, 8)), [(arguments, {"A": A, "B": B})], {"C": A @ B})


def cluster() -> Program:
    rng, H, sequences, steps = np.random.default_rng(5), 56, 2, 4
    inputs = rng.normal(size=(sequences * steps, H)).astype(np.float32)
    weights = (rng.normal(size=(H, H)) / H**0.5).astype(np.float32)
    h_0 = rng.uniform(-1, 1, size=(sequences, H)).astype(np.float32)
    arrays = {"inputs": inputs, "weights": weights, "h_0": h_0}
    expected = {"y": tanh_rnn(inputs, weights, h_0, offsets([steps] * sequences))}
    launches = [((*arrays, np.int32(steps), "y"), arrays)]
    return program(((4 * sequences,), (64,)), launches, expected, "90")


def warp_sum() -> Program:
    values = np.random.default_rng(6).normal(size=49)
    arguments = ("values", np.int32(values.size), "total")
    return program(
        ((1,), (32,)), [(arguments, {"values": values})], {"total": np.array([values.sum()])}
    )


PROGRAMS: dict[str, Callable[[], Program]] = {
    made.__name__: made for made in (lstm, reduction, team, pipeline, gemm, cluster, warp_sum)
}
TEXTS = {name: (FOLDER / f"{name}.cu").read_text() for name in PROGRAMS}
MUTANTS = [
    (name, k)
    for name, text in TEXTS.items()
    for k in sorted({int(k) for k in re.findall(r"KEEP\((\d+)\)", text)})
]

# --- what is run ---

Outcomes = Mapping[tuple[str, int], dict[str, Outcome]]


@pytest.fixture(scope="module")
def programs() -> dict[str, Program]:
    return {name: make() for name, make in PROGRAMS.items()}


@pytest.fixture(scope="module")
def outcomes(programs: dict[str, Program], tmp_path_factory: pytest.TempPathFactory) -> Outcomes:
    """(kernel, mutant) -> setting -> outcome."""
    sources = {
        name: Source(FOLDER / f"{name}.cu", f"sm_{one.capability}")
        for name, one in programs.items()
    }
    cubins = compile_all(sources.values(), tmp_path_factory.mktemp("cubins"))
    tasks, keys = {}, {}
    for setting, variables in ALL.items():
        for capability in ("86", "90"):
            chosen = [
                (name, k)
                for name, k in [*((name, 0) for name in programs), *MUTANTS]
                if programs[name].capability == capability and (k == 0 or setting in FEW)
            ]
            jobs = [job(programs[name], name, k, cubins[sources[name]]) for name, k in chosen]
            settings = {**ALWAYS, **variables, "SOFTCUDA_COMPUTE_CAPABILITY": capability}
            keys[setting, capability], tasks[setting, capability] = chosen, (jobs, settings)
    result: dict[tuple[str, int], dict[str, Outcome]] = {}
    for key, found in run_all(tasks).items():
        for one, outcome in zip(keys[key], found, strict=True):
            result.setdefault(one, {})[key[0]] = outcome
    return result


def job(one: Program, name: str, k: int, cubin: Path) -> Job:
    launches = tuple(launch._replace(kernel=f"{name}_{k}") for launch in one.launches)
    return Job(cubin, one.buffers, launches, tuple(one.expected))


def failure(one: Program, outcome: Outcome) -> str:
    """What is wrong with an outcome; "" if nothing."""
    if outcome.error or outcome.report:
        return f"{outcome.error}\n{outcome.report}"
    for name, expected in one.expected.items():
        got = np.frombuffer(outcome.results[name], expected.dtype).reshape(expected.shape)
        allowed = 100 * np.finfo(expected.dtype).eps * np.abs(expected).max()
        worst = np.abs(got - expected).max()
        if not worst <= allowed:
            return f"{name} is wrong by {worst:g}, allowed {allowed:g}"
    return ""


# --- what must come out ---


@pytest.mark.parametrize("name", PROGRAMS)
def test_a_kernel_is_right_under_every_setting(
    programs: dict[str, Program], outcomes: Outcomes, name: str
) -> None:
    found = outcomes[name, 0]
    failures = {setting: failure(programs[name], outcome) for setting, outcome in found.items()}
    assert not any(failures.values()), "\n".join(f"{s}: {f}" for s, f in failures.items() if f)
    assert set(found) == set(ALL)
    bits = {tuple(sorted(outcome.results.items())) for outcome in found.values()}
    assert len(bits) == 1, "the same numbers, but not the same bits"


@pytest.mark.parametrize(("name", "k"), MUTANTS)
def test_a_mutant_fails_under_one_schedule(
    programs: dict[str, Program], outcomes: Outcomes, name: str, k: int
) -> None:
    lines = [line.strip() for line in TEXTS[name].splitlines() if f"KEEP({k})" in line]
    found = outcomes[name, k]
    assert set(found) == set(FEW)
    assert all(outcome.has_run for outcome in found.values()), found
    assert any(failure(programs[name], outcome) for outcome in found.values()), lines


@pytest.mark.parametrize("name", PROGRAMS)
def test_every_mutant_has_an_entry(name: str) -> None:
    entries = [int(k) for k in re.findall(r"\bENTRY\((\d+)\)", TEXTS[name])]
    assert entries == [0, *(k for of, k in MUTANTS if of == name)]
    assert entries == list(range(len(entries)))


def test_what_is_wrong_is_seen(programs: dict[str, Program]) -> None:
    one = programs["gemm"]
    right = one.expected["C"]
    assert failure(one, Outcome("", "", {"C": right.tobytes()})) == ""
    off_by_one = np.roll(right, 1)
    with_nan = np.where(right == right[2, 3], np.nan, right)
    rounded = right.astype(np.float32).astype(float)
    for wrong in (off_by_one, with_nan, rounded):
        assert "is wrong by" in failure(one, Outcome("", "", {"C": wrong.tobytes()}))
    assert failure(one, Outcome("", "softcuda: data race", {"C": right.tobytes()}))
