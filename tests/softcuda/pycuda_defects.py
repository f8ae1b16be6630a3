"""Kernels with one defect each, and their twins without: what is reported, and where.

``defects/*.cu`` hold the kernels. The line above one says which kind of report it must give and how
it is launched; what it is given follows from the names of its parameters; ``// HERE`` marks lines
that a report may name. Compiled with ``DEFECT=1`` each must be reported, under every schedule (or
under the one that its line names); compiled with ``DEFECT=0`` none may be. Run it as
``pycuda_programs.py`` is run.
"""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest

from .launches import Job, Launch, Outcome, Source, compile_all, run_all

FOLDER = Path(__file__).parent / "defects"
#: kind of report -> what PyCUDA must raise.
KINDS = {
    "out-of-bounds read": "an illegal memory access was encountered",
    "out-of-bounds write": "an illegal memory access was encountered",
    "out-of-bounds atomic": "an illegal memory access was encountered",
    "misaligned address": "misaligned address",
    "use after free": "an illegal memory access was encountered",
    "bad free": "an illegal memory access was encountered",
    "uninitialised read": "unspecified launch failure",
    "data race": "unspecified launch failure",
    "barrier divergence": "unspecified launch failure",
    "missing lanes": "unspecified launch failure",
    "bad barrier": "an illegal instruction was encountered",
    "deadlock": "the launch timed out and was terminated",
    "stack overflow": "an illegal memory access was encountered",
    "trap": "unspecified launch failure",
    "assertion failed": "device-side assert triggered",
    "invalid program counter": "invalid program counter",
    "branch out of range": "an illegal instruction was encountered",
    "exited block": "unspecified launch failure",
}
SEEDS = 20 if os.environ.get("HYPOTHESIS_PROFILE") == "nightly" else 2
SETTINGS = {
    "post-dominator": {"SOFTCUDA_SCHEDULE": "post-dominator"},
    "lowest-pc": {"SOFTCUDA_SCHEDULE": "lowest-pc"},
    **{
        f"adversarial, seed {seed}": {
            "SOFTCUDA_SCHEDULE": "adversarial",
            "SOFTCUDA_SEED": str(seed),
        }
        for seed in range(SEEDS)
    },
}
ALWAYS = {"SOFTCUDA_CHECK": "all", "SOFTCUDA_PATIENCE": "1000000"}

# --- what the files say ---


class Kernel(NamedTuple):
    """A kernel of a file.

    ``lines``: those marked; ``in_header``: NVIDIA's headers may be named; ``schedule``: the only
    one under which the defect shows, or "".
    """

    file: Path
    name: str
    kind: str
    grid: tuple[int, ...]
    block: tuple[int, ...]
    shared: int
    parameters: tuple[str, ...]
    lines: frozenset[int]
    in_header: bool
    schedule: str = ""

    @property
    def capability(self) -> str:
        return "90" if "__cluster_dims__" in self.file.read_text() else "86"


_HEAD = re.compile(
    r"^// (?P<kind>[a-z -]+) <<<(?P<grid>[\dx]+), (?P<block>[\dx]+)(?:, (?P<shared>\d+))?>>>"
    r"(?: under (?P<schedule>[a-z-]+))?\n"
    r"(?://.*\n)*"
    r'extern "C" __global__ void (?:__cluster_dims__\(\d+\) )?(?P<name>\w+)\((?P<parameters>.*?)\) '
    r"\{\n(?P<body>(?:.*\n)*?)\}\n",
    re.MULTILINE,
)


def marked(text: str, first_line: int) -> frozenset[int]:
    """The lines of a text that are marked."""
    return frozenset(n for n, line in enumerate(text.split("\n"), first_line) if "// HERE" in line)


def kernels(file: Path) -> list[Kernel]:
    """The kernels of a file; what is marked outside of all kernels holds for each."""
    text = file.read_text()
    found = list(_HEAD.finditer(text))
    assert len(found) == text.count("__global__"), f"a kernel of {file.name} has no head"
    of_kernels = [marked(m["body"], text.count("\n", 0, m.start("body")) + 1) for m in found]
    of_all = marked(text, 1).difference(*of_kernels)
    return [
        Kernel(
            file,
            m["name"],
            m["kind"],
            tuple(int(n) for n in m["grid"].split("x")),
            tuple(int(n) for n in m["block"].split("x")),
            int(m["shared"] or 0),
            tuple(re.findall(r"(\w+)(?:,|$)", m["parameters"])),
            lines | of_all,
            "// HERE (in a header)" in m["body"],
            m["schedule"] or "",
        )
        for m, lines in zip(found, of_kernels, strict=True)
    ]


CORPUS = {k.name: k for file in sorted(FOLDER.glob("*.cu")) for k in kernels(file)}

# --- what is run ---

COUNT = 256  # elements of a buffer
DATA, ZEROS = np.arange(COUNT, dtype=np.int32), np.zeros(COUNT, np.int32)


def job(kernel: Kernel, is_defect: bool, cubin: Path) -> Job:
    """The launch of a kernel; of a twin two, as the second must not remember the first."""
    buffers: dict[str, int] = {}
    uploads: dict[str, Any] = {}
    frees: tuple[str, ...] = ()
    arguments: list[Any] = []
    for name in kernel.parameters:
        if is_defect and name in ("host", "null"):
            arguments.append({"host": DATA, "null": np.uintp(0)}[name])
            continue
        arguments.append(name)
        buffers[name] = DATA.nbytes
        if name != "fresh":
            uploads[name] = ZEROS if name == "zeros" else DATA
        if is_defect and name == "freed":
            frees = ("freed",)
    one = Launch(
        kernel.name, kernel.grid, kernel.block, tuple(arguments), kernel.shared, uploads, frees
    )
    return Job(cubin, buffers, (one,) if is_defect else (one, one))


Outcomes = dict[tuple[str, bool], dict[str, Outcome]]


def source(kernel: Kernel, is_defect: bool) -> Source:
    return Source(kernel.file, f"sm_{kernel.capability}", (f"-DDEFECT={int(is_defect)}",))


@pytest.fixture(scope="module")
def outcomes(tmp_path_factory: pytest.TempPathFactory) -> Outcomes:
    """(kernel, is it the defect) -> setting -> outcome."""
    variants = [(kernel, is_defect) for kernel in CORPUS.values() for is_defect in (True, False)]
    cubins = compile_all({source(*v) for v in variants}, tmp_path_factory.mktemp("cubins"))
    tasks, keys = {}, {}
    for capability in sorted({kernel.capability for kernel in CORPUS.values()}):
        chosen = [v for v in variants if v[0].capability == capability]
        jobs = [job(*v, cubins[source(*v)]) for v in chosen]
        for setting, variables in SETTINGS.items():
            key = capability, setting
            keys[key] = [(kernel.name, is_defect) for kernel, is_defect in chosen]
            tasks[key] = jobs, {**ALWAYS, **variables, "SOFTCUDA_COMPUTE_CAPABILITY": capability}
    result: Outcomes = {}
    for key, found in run_all(tasks).items():
        for variant, outcome in zip(keys[key], found, strict=True):
            result.setdefault(variant, {})[key[1]] = outcome
    return result


# --- what must come out ---


def mistakes(kernel: Kernel, outcome: Outcome) -> list[str]:
    """What is wrong with the report of a defect."""
    wrong = []
    if not outcome.error.endswith(f": {KINDS[kernel.kind]}"):
        wrong.append(f"PyCUDA raised {outcome.error!r}, expected {KINDS[kernel.kind]!r}")
    kinds = re.findall(r"^softcuda: (.+) in kernel (\w+)", outcome.report, re.MULTILINE)
    if not kinds or any(one != (kernel.kind, kernel.name) for one in kinds):
        wrong.append(f"reported: {kinds}, expected {kernel.kind} in {kernel.name}")
    places = re.findall(r"([\w.+-]+\.(?:cu|h|hpp)):(\d+)", outcome.report)
    if kernel.kind == "data race" and len(places) < 2:
        wrong.append("a race is between two accesses, of which both are to be named")
    if not re.search(r"^  at \S+:\d+ by thread \(\d+,\d+,\d+\) of block \(", outcome.report, re.M):
        wrong.append("no place is named")
    for file, line in places:
        is_marked = file == "kernel.cu" and int(line) in kernel.lines
        if not is_marked and not (kernel.in_header and not file.endswith(".cu")):
            wrong.append(f"{file}:{line} is named, expected a line of {sorted(kernel.lines)}")
    return wrong


def told(problems: dict[str, Any]) -> str:
    """Problems by setting, as text."""
    return "\n".join(f"{setting}: {problem}" for setting, problem in problems.items())


@pytest.mark.parametrize("name", CORPUS)
def test_a_defect_is_reported_under_every_schedule(outcomes: Outcomes, name: str) -> None:
    problems = {
        setting: (wrong, outcome.report)
        for setting, outcome in outcomes[name, True].items()
        if CORPUS[name].schedule in ("", setting)
        if (wrong := mistakes(CORPUS[name], outcome))
    }
    assert not problems, told(problems)


@pytest.mark.parametrize("name", CORPUS)
def test_its_twin_is_not(outcomes: Outcomes, name: str) -> None:
    problems = {
        setting: outcome
        for setting, outcome in outcomes[name, False].items()
        if outcome.error or outcome.report
    }
    assert not problems, told(problems)


def test_every_kind_of_report_has_defects() -> None:
    assert {k.kind for k in CORPUS.values()} == set(KINDS)
    assert all(k.lines for k in CORPUS.values())


_REPORT = """\
softcuda: data race in kernel k
  at kernel.cu:{} by thread (1,0,0) of block (0,0,0)
  write of 4 bytes; read at kernel.cu:{} by thread (0,0,0)
"""


@pytest.mark.parametrize(
    ("error", "report", "count"),
    [
        ("cuCtxSynchronize failed: unspecified launch failure", _REPORT.format(3, 5), 0),
        ("cuCtxSynchronize failed: misaligned address", _REPORT.format(3, 5), 1),
        ("", _REPORT.format(3, 5), 1),
        ("cuCtxSynchronize failed: unspecified launch failure", _REPORT.format(3, 4), 1),
        ("cuCtxSynchronize failed: unspecified launch failure", _REPORT.format(4, 5), 1),
        (
            "cuCtxSynchronize failed: unspecified launch failure",
            _REPORT.format(3, 5).replace("race", "rice"),
            1,
        ),
        (
            "cuCtxSynchronize failed: unspecified launch failure",
            _REPORT.format(3, 5).split("; read")[0],
            1,
        ),
        ("cuCtxSynchronize failed: unspecified launch failure", "", 3),
        ("", "", 4),
    ],
)
def test_what_is_reported_wrongly_is_seen(error: str, report: str, count: int) -> None:
    kernel = Kernel(FOLDER, "k", "data race", (1,), (1,), 0, (), frozenset({3, 5}), False)
    assert len(mistakes(kernel, Outcome(error, report, {}))) == count
