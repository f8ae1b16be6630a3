"""Lay the timings out as text of at most 100 columns."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from .machine import setting_notes
from .matmul import Product
from .memory import needed_bytes
from .notes import GLOSSARY, flag_notes, memory_notes, thread_notes, untimed
from .ratios import best_peer, dense_ratio, matmul_share, overall_ratios
from .results import Measured, Result, Settings, Status
from .workloads import Workload

__all__ = ["report"]

_NAME = 18


def report(
    measured: Measured, settings: Settings, machine: Mapping[str, Any], *, rule: str = "-"
) -> str:
    """The whole report.

    Parameters
    ----------
    measured : Measured
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
    parts[0] += _products(measured.products)
    also = False
    for workload in dict.fromkeys(r.workload for r in measured.results):
        here = [r for r in measured.results if r.workload == workload]
        parts.append(_about(workload))
        parts += [_table(here, work, measured.products, rule) for work in settings.works]
        more = _more(here, measured, settings, rule)
        parts += more
        also = also or bool(more)
    parts += _overall(measured.results, settings, rule)
    parts += [GLOSSARY, *(memory_notes(measured) if also else [])]
    timed = [*measured.results, *measured.dense]
    notes = [*setting_notes(machine), *thread_notes(timed, settings.threads), *flag_notes(measured)]
    for lines in (notes, untimed(measured, settings.works)):
        if lines:
            parts.append("\n".join(lines))
    return "\n\n".join(parts)


def _products(products: Sequence[Product]) -> str:
    """A line a dtype: how fast large matrices are multiplied here."""
    lines = ""
    for size, dtype in dict.fromkeys((p.size, p.dtype) for p in products):
        shown = [
            f"{p.library} {p.rate / 1e9:,.1f} GFLOP/s{'!' * p.summary.doubtful}"
            for p in products
            if p.dtype == dtype and p.rate is not None and p.summary is not None
        ]
        if shown:
            lines += f"\nProduct of {size} x {size} matrices, {dtype}: {', '.join(shown)}."
    return lines


def _about(workload: Workload) -> str:
    lengths = workload.lengths
    return (
        f"{workload.name}: {workload.cell}, {workload.dtype}, I = {workload.input_size}, "
        f"H = {workload.hidden_size},\n{lengths.size:,} sequences of {lengths.min():,} to "
        f"{lengths.max():,} steps, {lengths.sum():,} in all"
    )


def _table(results: Sequence[Result], work: str, products: Sequence[Product], rule: str) -> str:
    """One kind of work on one workload."""
    head = (
        f"{work:<{_NAME}}{'ms':>9} {'quartiles':>17} {'of peer':>7} {'us/step':>8} {'cpu ms':>8} "
        f"{'matmul':>6} {'kept':>4} {'dropped':>7} {'padded':>8}"
    )
    lines = [head, rule * len(head)]
    best = best_peer(results, work)
    lines += [_row(r, work, best, products) for r in results if work in r.summaries]
    return "\n".join(lines)


def _row(result: Result, work: str, best: float | None, products: Sequence[Product]) -> str:
    summary, steps = result.summaries[work], int(result.workload.lengths.sum())
    ratio = None if best is None else summary.median / best
    spread = f"{_ms(summary.low)} - {_ms(summary.high)}"
    share = matmul_share(result, products, work)
    percent = "-" if share is None else f"{100 * share:.1f}%"
    padded = result.facts["computed_steps"] - steps
    doubtful = summary.doubtful or result.status is Status.DIFFERS
    return (
        f"{_label(result, doubtful)}{_ms(summary.median):>9} {spread:>17} {_ratio(ratio):>7} "
        f"{1e6 * summary.median / steps:>8.3g} {_ms(summary.cpu):>8} {percent:>6} "
        f"{summary.kept:>4} {summary.dropped:>7} {padded:>8,}"
    )


def _more(
    results: Sequence[Result], measured: Measured, settings: Settings, rule: str
) -> list[str]:
    """Memory, and the ratio to equal lengths, of one workload: a table, where either is known."""
    others = [*measured.results, *measured.dense]
    rows = []
    for result in results:
        if not result.summaries:
            continue
        cells = [_memory(result, w) + (dense_ratio(result, others, w),) for w in settings.works]
        if any(value is not None for cell in cells for value in cell):
            shown = [
                f"{'-' if peak is None else f'{peak / 1e6:,.1f}':>10} {_ratio(needed):>10} "
                f"{_ratio(dense):>9}"
                for peak, needed, dense in cells
            ]
            rows.append(_label(result) + "  ".join(shown))
    if not rows:
        return []
    columns = f"{'peak MB':>10} {'of needed':>10} {'of equal':>9}"
    above = "  ".join(f"{work:>{len(columns)}}" for work in settings.works)
    head = " " * _NAME + "  ".join(columns for _ in settings.works)
    dense = results[0].workload.dense
    if settings.dense and dense is not None:
        rows.append(f"  of equal: {dense.name}")
    return ["\n".join([" " * _NAME + above, head, rule * len(head), *rows])]


def _memory(result: Result, work: str) -> tuple[int | None, float | None]:
    """The peak of a call in bytes, and over what is needed."""
    peak = result.facts.get("peak_bytes", {}).get(work)
    if peak is None:
        return None, None
    workload = result.workload
    steps = int(workload.lengths.sum())
    sizes = workload.make_cell(), workload.batch_size, steps, workload.dtype
    return peak, peak / needed_bytes(*sizes, work)


def _overall(results: Sequence[Result], settings: Settings, rule: str) -> list[str]:
    """A table a kind of work, where there are several workloads."""
    number = len({r.workload for r in results})
    if number < 2:
        return []
    tables = []
    for work in settings.works:
        head = f"{work:<{_NAME}}{'mean':>9} {'worst':>7}  of {number} workloads"
        rows = [
            f"{_padded(name, overall.doubtful)}{overall.mean:>9.2f} {overall.worst:>7.2f}  "
            f"{overall.where}"
            for name, overall in overall_ratios(results, work).items()
        ]
        if rows:
            tables.append("\n".join([head, rule * max(map(len, [head, *rows])), *rows]))
    title = "Time over that of the fastest peer: geometric mean, and the worst"
    return [title, *tables] if tables else []


def _label(result: Result, doubtful: bool = False) -> str:
    """The name of a contestant, as wide as its column."""
    return _padded(result.contestant.name, doubtful)


def _padded(name: str, doubtful: bool) -> str:
    shown = name if len(name) <= _NAME - 3 else name[: _NAME - 5] + ".."
    return f"  {shown + '!' * doubtful:<{_NAME - 2}}"


def _ratio(value: float | None) -> str:
    return "-" if value is None else f"{value:.2f}"


def _ms(seconds: float) -> str:
    """Milliseconds with three or more digits."""
    ms = 1e3 * seconds
    return f"{ms:.0f}" if ms >= 1000 else f"{ms:.1f}" if ms >= 10 else f"{ms:.3g}"
