"""What stands below the tables: what the columns mean, and what is wrong with the numbers."""

from __future__ import annotations

from collections.abc import Sequence

from .contestants import PEERS
from .results import Measured, Result, Status

__all__ = ["GLOSSARY", "flag_notes", "memory_notes", "thread_notes", "untimed"]

GLOSSARY = """\
ms: median wall time of one call; quartiles: half of the samples lie between them; of peer: time
over that of the fastest peer, below 1 is faster; us/step: per real step; cpu ms: of all threads;
matmul: the rate of the products that real steps need, over that of the large product; kept:
samples; dropped: samples that something else on the machine disturbed; padded: row steps computed
for nothing. An unroll's forward checks its arguments and writes the tape for backward; a peer's
forward runs without a graph, on input that was packed or padded before. Backward computes the
gradients of the input and of every parameter, from a cotangent of every output."""

_MEMORY = """\
peak MB: how far the process grew during one call, what it was given not included; of needed: over
the results and the tape that the reference keeps with its copy of the input; of equal: time per
real step over that of sequences of equal length."""


def memory_notes(measured: Measured) -> list[str]:
    """What the columns about memory and equal lengths mean, and whose memory nobody can tell.

    Parameters
    ----------
    measured : Measured
    """
    peaks = [(r.contestant.name, r.facts.get("peak_bytes", {})) for r in measured.results]
    silent = sorted({name for name, peak in peaks if None in peak.values()})
    if not silent:
        return [_MEMORY]
    return [
        f"{_MEMORY} That of {', '.join(silent)}\ncannot be told: memory is kept from call to "
        "call, or the results are too small to be seen."
    ]


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


def flag_notes(measured: Measured) -> list[str]:
    """What the exclamation marks mean, where there are any.

    Parameters
    ----------
    measured : Measured
    """
    summaries = [s for r in (*measured.results, *measured.dense) for s in r.summaries.values()]
    summaries += [p.summary for p in measured.products if p.summary is not None]
    if not any(s.doubtful for s in summaries):
        return []
    return [
        "! More samples were disturbed than not (where none was left, all were kept): do not "
        "trust these\n  times. CPU time of one thread is near its wall time on a machine left "
        "alone."
    ]


def untimed(measured: Measured, works: Sequence[str]) -> list[str]:
    """Who gave no timing, or a wrong result, each reason once.

    Parameters
    ----------
    measured : Measured
    works : sequence of str
        What was asked for.
    """
    lines: dict[str, None] = {}
    for result in (*measured.results, *measured.dense):
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
    for product in measured.products:
        if product.reason:
            lines[f"Not timed: matrix product of {product.library}: {product.reason}"] = None
    return list(lines)
