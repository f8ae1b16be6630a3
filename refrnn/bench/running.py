"""The rounds: every contestant in a process of its own, in turn, so that drift hits all alike."""

from __future__ import annotations

import enum
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from typing import Any, NamedTuple

import numpy as np

from .contestants import Contestant
from .process import Worker, WorkerError
from .timing import Sample, Summary, summarise
from .worker import WORKS
from .workloads import Workload

__all__ = ["Result", "Settings", "Status", "run_bench"]

# Thread pools spin for a while after their work, on cores that the next contestant needs. Seen:
# OpenBLAS for up to 32 ms, the OpenMP of PyTorch for 9 ms.
_PAUSE = 0.2


class Settings(NamedTuple):
    """How to measure.

    Attributes
    ----------
    threads : int
        Threads of each contestant.
    rounds : int
    seconds : float
        How long each contestant is sampled in a round, for each workload and kind of work.
    works : tuple of str
        Of ``refrnn.bench.WORKS``.
    """

    threads: int
    rounds: int = 5
    seconds: float = 0.5
    works: tuple[str, ...] = WORKS


class Status(enum.Enum):
    """What became of a contestant on a workload."""

    TIMED = "timed"
    NOT_OFFERED = "not offered"
    MISSING = "missing"
    FAILED = "failed"
    DIFFERS = "differs"


class Result(NamedTuple):
    """One contestant on one workload.

    Attributes
    ----------
    contestant : Contestant
    workload : Workload
    status : Status
        What differs was timed as well.
    reason : str
        Why it was not timed, or what differs.
    facts : dict
        What the contestant tells: computed steps, versions, thread pools.
    samples : dict of str to list of Sample
        By kind of work, from all rounds.
    summaries : dict of str to Summary
    """

    contestant: Contestant
    workload: Workload
    status: Status
    reason: str
    facts: dict[str, Any]
    samples: dict[str, list[Sample]]
    summaries: dict[str, Summary]


class _Entry:
    """A result in the making."""

    def __init__(self, contestant: Contestant, workload: Workload) -> None:
        self.contestant = contestant
        self.workload = workload
        self.status = Status.TIMED
        self.reason = ""
        self.facts: dict[str, Any] = {}
        self.calls: dict[str, int] = {}
        self.samples: dict[str, list[Sample]] = {}

    def fail(self, reason: str, status: Status = Status.FAILED) -> None:
        """It goes no further; samples it gave before are not used."""
        self.status, self.reason, self.samples = status, reason, {}

    def result(self, threads: int) -> Result:
        """What it came to."""
        summaries = {w: summarise(s, threads) for w, s in self.samples.items()}
        return Result(
            self.contestant,
            self.workload,
            self.status,
            self.reason,
            self.facts,
            self.samples,
            summaries,
        )


def run_bench(
    contestants: Sequence[Contestant],
    workloads: Sequence[Workload],
    settings: Settings,
    tell: Callable[[str, int, int], None] = lambda text, done, total: None,
) -> list[Result]:
    """Time every contestant on every workload.

    Before anything is timed, the results of each are held against those of ``packed``, by norm
    and random sum of every array within sqrt(eps): a fast wrong answer is no answer.

    Parameters
    ----------
    contestants : sequence of Contestant
    workloads : sequence of Workload
    settings : Settings
    tell : callable
        Is told what is being done, how many parts are done, and of how many.

    Returns
    -------
    list of Result
        Workload by workload, contestants in their order.
    """
    entries = [_Entry(c, w) for w in workloads for c in contestants]
    for entry in entries:
        if entry.contestant.missing:
            entry.fail(entry.contestant.missing, Status.MISSING)
    present = [c for c in contestants if not c.missing]
    steps = _Steps(tell, len(workloads) * len(present) * (settings.rounds + 1))
    expected = _expected(workloads, settings.threads)
    with ExitStack() as stack:
        workers = {c: stack.enter_context(Worker(settings.threads)) for c in present}
        for entry in entries:
            if entry.contestant in workers:
                steps(f"prepare {entry.contestant.name}, {entry.workload.name}")
                _prepare(entry, workers[entry.contestant], settings, expected)
        for number in range(settings.rounds):
            for workload in workloads:
                here = [e for e in entries if e.workload == workload and e.contestant in workers]
                turn = number % max(len(here), 1)  # nobody always comes after the same one
                for entry in here[turn:] + here[:turn]:
                    steps(f"round {number + 1}, {entry.contestant.name}, {workload.name}")
                    _sample(entry, workers[entry.contestant], settings)
    return [entry.result(settings.threads) for entry in entries]


class _Steps:
    """Counts the parts that are done."""

    def __init__(self, tell: Callable[[str, int, int], None], total: int) -> None:
        self._tell, self._total, self._done = tell, total, 0

    def __call__(self, text: str) -> None:
        self._tell(text, self._done, self._total)
        self._done += 1


def _expected(workloads: Sequence[Workload], threads: int) -> dict[str, Any]:
    """What identifies the right results of each workload, from a process that is gone after."""
    packed = Contestant("packed", "unroll", "packed")
    with Worker(threads) as worker:
        return {
            w.name: worker.ask(
                "prepare", contestant=list(packed), workload=list(w), threads=threads
            )["prints"]
            for w in workloads
        }


def _prepare(entry: _Entry, worker: Worker, settings: Settings, expected: dict[str, Any]) -> None:
    """Let the contestant get ready, and compare its results."""
    try:
        answer = worker.ask(
            "prepare",
            contestant=list(entry.contestant),
            workload=list(entry.workload),
            threads=settings.threads,
        )
    except WorkerError as error:
        entry.fail(str(error))
        return
    if "unsupported" in answer:
        entry.fail(answer["unsupported"], Status.NOT_OFFERED)
        return
    entry.facts, entry.calls = answer["facts"], answer["calls"]
    different = _differences(answer["prints"], expected[entry.workload.name], entry.workload.dtype)
    if different:
        entry.status = Status.DIFFERS
        entry.reason = f"results differ from those of packed: {', '.join(different)}"
    elif not any(work in entry.calls for work in settings.works):
        reasons = [f"{work}: {entry.facts['lacks'][work]}" for work in settings.works]
        entry.fail("; ".join(reasons), Status.NOT_OFFERED)


def _differences(got: dict[str, Any], expected: dict[str, Any], dtype: str) -> list[str]:
    """Names of the arrays whose norm or random sum lies elsewhere; those not given do not count."""
    allowed = float(np.sqrt(np.finfo(dtype).eps))
    different = []
    for name, want in expected.items():
        have = got.get(name, want)
        if have is None or want is None:
            if have is not want:
                different.append(name)
            continue
        bound = allowed * max(want[0], float(np.finfo(dtype).tiny))
        if not all(abs(h - w) <= bound for h, w in zip(have, want, strict=True)):
            different.append(name)
    return different


def _sample(entry: _Entry, worker: Worker, settings: Settings) -> None:
    """One turn of one contestant."""
    if entry.status not in (Status.TIMED, Status.DIFFERS):
        return
    for work in settings.works:
        if work not in entry.calls:
            continue
        time.sleep(_PAUSE)
        try:
            answer = worker.ask(
                "sample",
                workload=entry.workload.name,
                work=work,
                calls=entry.calls[work],
                seconds=settings.seconds,
            )
        except WorkerError as error:
            entry.fail(str(error))
            return
        entry.samples.setdefault(work, []).extend(Sample(*s) for s in answer["samples"])
