"""Lay the timings out as text of at most 100 columns, and as one JSON object."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from .contestants import PEERS
from .machine import setting_notes
from .running import Result, Settings, Status
from .timing import geometric_mean
from .workloads import Workload

__all__ = ["FORMAT", "best_peer", "dump", "mean_ratios", "record", "report", "thread_notes"]

#: Name and version of the layout of the JSON.
FORMAT = "refrnn bench 1"

_NAME = 20
_NOTES = """\
ms: median wall time of one call; quartiles: half of the samples lie between them; of peer: time
over that of the fastest peer, below 1 is faster; us/step: per real step; cpu ms: of all threads;
kept: samples; dropped: samples that something else on the machine disturbed; padded: row steps
computed for nothing. An unroll's forward checks its arguments and writes the tape for backward; a
peer's forward runs without a graph, on input that was packed or padded before. Backward computes
the gradients of the input and of every parameter, from a cotangent of every output."""


def report(
    results: Sequence[Result], settings: Settings, machine: Mapping[str, Any], *, rule: str = "-"
) -> str:
    """The whole report.

    Parameters
    ----------
    results : sequence of Result
    settings : Settings
    machine : mapping
        As :func:`refrnn.bench.machine.machine_facts` gives it.
    rule : str
        The character lines are drawn with.

    Returns
    -------
    str
        No line is longer than 100 columns, but for reasons and settings.
    """
    threads = f"{settings.threads} thread" + "s" * (settings.threads != 1)
    parts = [
        f"{machine['processor']}, {machine['cores']} cores; {threads} for each, in a process of "
        f"its own; {settings.rounds} rounds."
    ]
    for workload in dict.fromkeys(r.workload for r in results):
        here = [r for r in results if r.workload == workload]
        parts.append(_about(workload))
        parts += [_table(here, work, rule) for work in settings.works]
    means = _means(results, settings)
    if means:
        parts.append(means)
    parts.append(_NOTES)
    notes = [*setting_notes(machine), *thread_notes(results, settings.threads), *_flags(results)]
    if notes:
        parts.append("\n".join(notes))
    untimed = _untimed(results, settings.works)
    if untimed:
        parts.append("\n".join(untimed))
    return "\n\n".join(parts)


def best_peer(results: Sequence[Result], work: str) -> float | None:
    """Seconds of the fastest peer; None where no peer was timed, or gave wrong results.

    Parameters
    ----------
    results : sequence of Result
        Of one workload.
    work : str
    """
    times = [
        r.summaries[work].median
        for r in results
        if r.contestant.kind == "peer" and r.status is Status.TIMED and work in r.summaries
    ]
    return min(times, default=None)  # disturbed or not: leaving one out would flatter the others


def mean_ratios(results: Sequence[Result], work: str) -> dict[str, float]:
    """For each contestant, the geometric mean over all workloads of its time over the best peer's.

    Parameters
    ----------
    results : sequence of Result
    work : str

    Returns
    -------
    dict of str to float
        Only of those that were timed, with a peer beside them, on every workload.
    """
    workloads = list(dict.fromkeys(r.workload for r in results))
    ratios: dict[str, list[float]] = {}
    for workload in workloads:
        here = [r for r in results if r.workload == workload]
        best = best_peer(here, work)
        if best is None:
            return {}
        for result in here:
            if work in result.summaries:
                ratio = result.summaries[work].median / best
                ratios.setdefault(result.contestant.name, []).append(ratio)
    return {n: geometric_mean(r) for n, r in ratios.items() if len(r) == len(workloads)}


def thread_notes(results: Sequence[Result], threads: int) -> list[str]:
    """Who did not use the number of threads that was asked for, and whether that is known.

    Parameters
    ----------
    results : sequence of Result
    threads : int
    """
    notes: dict[str, None] = {}
    for result in results:
        if not result.summaries:
            continue
        name, pools = result.contestant.name, result.facts.get("pools")
        said = [result.facts["threads"]] if "threads" in result.facts else []
        if pools is None and not said:
            text = "Without threadpoolctl (pip install 'refrnn[bench]') nobody can tell whether"
            notes[f"{text}\nNumPy's BLAS kept to the number of threads."] = None
        if result.contestant.kind == "peer" and not said:
            text = f"How many threads {name} had is not known: samples on more than were asked for"
            notes[f"{text}\nare among those dropped."] = None
        said += [pool["num_threads"] for pool in pools or () if pool["user_api"] == "blas"]
        wrong = [n for n in said if n != threads]
        if wrong:
            notes[f"{name} had a pool of {max(wrong)} threads, asked for were {threads}."] = None
    return list(notes)


def record(
    results: Sequence[Result],
    settings: Settings,
    machine: Mapping[str, Any],
    *,
    environment: Mapping[str, Any],
    exit_status: int,
) -> dict[str, Any]:
    """Everything as values that JSON can hold: seconds throughout, and every single sample.

    Parameters
    ----------
    results : sequence of Result
    settings : Settings
    machine : mapping
        As :func:`refrnn.bench.machine.machine_facts` gives it.
    environment : mapping
        Versions, as ``refrnn info --json`` prints them.
    exit_status : int

    Returns
    -------
    dict
        Keys ``format``, ``exit_status``, ``machine``, ``environment``, ``settings``,
        ``workloads``, ``mean_ratio_to_best_peer`` and ``results``.
    """
    workloads = dict.fromkeys(r.workload for r in results)
    return {
        "format": FORMAT,
        "exit_status": exit_status,
        "machine": dict(machine),
        "environment": dict(environment),
        "settings": settings._asdict(),
        "workloads": {w.name: {**w._asdict(), "lengths": w.lengths.tolist()} for w in workloads},
        "mean_ratio_to_best_peer": {w: mean_ratios(results, w) for w in settings.works},
        "results": [_result(r, results) for r in results],
    }


def dump(recorded: Mapping[str, Any]) -> str:
    """`recorded` as text: standard JSON.

    Parameters
    ----------
    recorded : mapping
    """
    return json.dumps(recorded, indent=1, allow_nan=False)


def _result(result: Result, results: Sequence[Result]) -> dict[str, Any]:
    here = [r for r in results if r.workload == result.workload]
    timings = {}
    for work, summary in result.summaries.items():
        best = best_peer(here, work)
        timings[work] = {
            **summary._asdict(),
            "ratio_to_best_peer": None if best is None else summary.median / best,
            "samples": [list(s) for s in result.samples[work]],
        }
    return {
        "workload": result.workload.name,
        "contestant": result.contestant.name,
        "kind": result.contestant.kind,
        "status": result.status.value,
        "reason": result.reason or None,
        "facts": result.facts,
        "timings": timings,
    }


def _about(workload: Workload) -> str:
    lengths = workload.lengths
    return (
        f"{workload.name}: {workload.cell}, {workload.dtype}, I = {workload.input_size}, "
        f"H = {workload.hidden_size},\n{lengths.size:,} sequences of {lengths.min():,} to "
        f"{lengths.max():,} steps, {lengths.sum():,} in all"
    )


def _table(results: Sequence[Result], work: str, rule: str) -> str:
    """One kind of work on one workload."""
    head = (
        f"{work:<{_NAME}}{'ms':>9} {'quartiles':>17} {'of peer':>8} {'us/step':>8} {'cpu ms':>9} "
        f"{'kept':>5} {'dropped':>7} {'padded':>9}"
    )
    lines = [head, rule * len(head)]
    best = best_peer(results, work)
    lines += [_row(r, work, best) for r in results if work in r.summaries]
    return "\n".join(lines)


def _row(result: Result, work: str, best: float | None) -> str:
    summary, steps = result.summaries[work], int(result.workload.lengths.sum())
    ratio = "-" if best is None else f"{summary.median / best:.2f}"
    spread = f"{_ms(summary.low)} - {_ms(summary.high)}"
    padded = result.facts["computed_steps"] - steps
    flag = "!" if summary.doubtful or result.status is Status.DIFFERS else ""
    name = result.contestant.name
    shown = name if len(name) <= _NAME - 3 else name[: _NAME - 5] + ".."
    return (
        f"  {shown + flag:<{_NAME - 2}}{_ms(summary.median):>9} {spread:>17} {ratio:>8} "
        f"{1e6 * summary.median / steps:>8.3g} {_ms(summary.cpu):>9} {summary.kept:>5} "
        f"{summary.dropped:>7} {padded:>9,}"
    )


def _ms(seconds: float) -> str:
    """Milliseconds with three or more digits."""
    ms = 1e3 * seconds
    return f"{ms:.0f}" if ms >= 1000 else f"{ms:.1f}" if ms >= 10 else f"{ms:.3g}"


def _means(results: Sequence[Result], settings: Settings) -> str:
    """One line a kind of work, where there are several workloads."""
    if len({r.workload for r in results}) < 2:
        return ""
    lines = []
    for work in settings.works:
        ratios = mean_ratios(results, work)
        if ratios:
            shown = ", ".join(f"{name} {ratio:.2f}" for name, ratio in ratios.items())
            lines.append(f"  {work}: {shown}")
    return "\n".join(["Geometric mean of 'of peer':", *lines]) if lines else ""


def _flags(results: Sequence[Result]) -> list[str]:
    """What the exclamation marks mean, where there are any."""
    notes = []
    if any(s.doubtful for r in results for s in r.summaries.values()):
        notes.append(
            "! More samples were disturbed than not (where none was left, all were kept): do not "
            "trust these\n  times. CPU time of one thread is near its wall time on a machine left "
            "alone."
        )
    return notes


def _untimed(results: Sequence[Result], works: Sequence[str]) -> list[str]:
    """Who gave no timing, or a wrong result, each reason once."""
    lines: dict[str, None] = {}
    for result in results:
        name, where = result.contestant.name, result.workload.name
        if result.status is Status.FAILED:
            lines[f"FAILED {name}, {where}: {result.reason}"] = None
        elif result.status is Status.DIFFERS:
            lines[f"WRONG {name}!, {where}: {result.reason}"] = None
        elif result.status is Status.NOT_OFFERED:
            lines[f"Not offered by {name}: {result.reason}"] = None
        elif result.status is Status.MISSING:
            about = f" ({PEERS[name].about})" if name in PEERS else ""
            lines[f"Not timed: {name}{about}: {result.reason}"] = None
        else:
            lacks = result.facts.get("lacks", {})
            said = [f"Not offered by {name}: {w}: {lacks[w]}" for w in works if w in lacks]
            lines.update(dict.fromkeys(said))
    return list(lines)
