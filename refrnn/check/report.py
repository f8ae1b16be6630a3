"""Lay the outcomes out as text of at most 100 columns: by cell, by tensor, and in summary."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from ..tolerances import Deviation
from .loading import Candidate
from .running import VOWELS, Outcome, Selection, Status

__all__ = ["WIDTH", "explain", "failures", "report"]

#: Columns of the report.
WIDTH = 100

_NAME = 19
_NOTE = (
    "tol: the worst error in tolerances, above 1 is wrong. normwise: the worst error divided by\n"
    "the largest number of its array. padded: row steps that forward computes for nothing."
)
_STAR = "* the definition itself: its gradients are held to complex steps of its own forward pass."


def report(
    outcomes: Sequence[Outcome],
    candidates: Sequence[Candidate],
    selection: Selection,
    *,
    rule: str = "-",
    device: str = "auto",
) -> str:
    """The whole report.

    Parameters
    ----------
    outcomes : sequence of Outcome
    candidates : sequence of Candidate
        With those that could not be loaded.
    selection : Selection
    rule : str
        The character lines are drawn with.
    device : str
        What ``--device`` was, for the commands that repeat a failure.

    Returns
    -------
    str
        Ends with the verdict; no line is longer than :data:`WIDTH`, but for messages.
    """
    dtypes = [d for d in ("float64", "float32") if any(o.dtype == d for o in outcomes)]
    names = list(dict.fromkeys(o.unroll for o in outcomes))
    parts = [_data(selection), _NOTE]
    parts.append(_by_cell(outcomes, names, dtypes, rule))
    parts.append(_by_tensor(outcomes, names, dtypes, rule))
    parts.append(_summary(outcomes, names, candidates, rule))
    notes = _not_offered(outcomes)
    if notes:
        parts.append("\n".join(["Not offered, and not counted as passed:", *notes]))
    failed = failures(outcomes, candidates, device=device)
    if failed:
        parts.append("\n".join(failed))
    return "\n\n".join(parts)


def explain(outcome: Outcome) -> str:
    """One outcome in words: which unroll, cell, dtype, direction and case, and what is wrong."""
    direction = "reverse" if outcome.reverse else "forward"
    where = f"{outcome.cell}, {outcome.dtype}, {direction}, {outcome.case}"
    if outcome.status in (Status.CRASHED, Status.NOT_OFFERED):
        return f"{outcome.unroll}: {where}: {outcome.status.value}: {outcome.reason}"
    by = "" if outcome.method == "comparison" else f" by {outcome.method}"
    return f"{outcome.unroll}: {where}{by}: {outcome.worst}"


def failures(
    outcomes: Sequence[Outcome], candidates: Sequence[Candidate], *, device: str = "auto"
) -> list[str]:
    """For each unroll that failed: how often, its worst element, its first crash, how to repeat it.

    Parameters
    ----------
    outcomes : sequence of Outcome
    candidates : sequence of Candidate
    device : str, optional
        What ``--device`` was.
    """
    where = "" if device == "auto" else f" --device {device}"
    specs = {c.name: c.spec for c in candidates}
    lines = []
    for name in dict.fromkeys(o.unroll for o in outcomes if o.failed):
        bad = [o for o in outcomes if o.unroll == name and o.failed]
        crashed = [o for o in bad if o.status is Status.CRASHED]
        wrong = [o for o in bad if o.status is Status.OUT_OF_TOLERANCE]
        lines.append(f"FAILED {name}: {len(wrong)} runs out of tolerance, {len(crashed)} crashed")
        if wrong:
            lines.append(f"  worst  {explain(max(wrong, key=_tolerances))}")
        if crashed:
            lines.append(f"  first  {explain(crashed[0])}")
        shown = max(wrong, key=_tolerances) if wrong else crashed[0]
        lines.append(
            f"  again  refrnn check --unroll {specs.get(name, name)} --cell {shown.cell} "
            f"--dtype {shown.dtype} --case {shown.case}{where}"
        )
    return lines


def _data(selection: Selection) -> str:
    """What was run on."""
    hard = len([c for c in selection.cases if c != VOWELS])
    lines = [f"Cells: {len(selection.cells)}, forward and reverse. Cases: {hard} hard ragged ones"]
    if VOWELS in selection.cases:
        lines[0] += ", and Japanese Vowels, standardised:"
        used = [-(-270 // every) for every in (selection.every, selection.every_reversed)]
        lines.append(
            f"of the 270 utterances of the training split {used[0]} forward and {used[1]} reverse, "
            "for complex steps 9."
        )
    else:
        lines[0] += "."
    return "\n".join(lines)


def _by_cell(
    outcomes: Sequence[Outcome], names: Sequence[str], dtypes: Sequence[str], rule: str
) -> str:
    """A block a cell, a row an unroll, the worst of each dtype."""
    groups = "".join(f"{dtype:^28}" for dtype in dtypes)
    heads = "".join(f"{'tol':>8} {'normwise':>8} {'tensor':<9} " for _ in dtypes)
    lines = [
        f"{'':{_NAME}}{groups}".rstrip(),
        f"{'By cell':{_NAME}}{heads}{'padded':>9} {'time':>9}",
        rule * WIDTH,
    ]
    for cell in dict.fromkeys(o.cell for o in outcomes):
        lines.append(cell)
        for name in names:
            rows = [o for o in outcomes if (o.cell, o.unroll) == (cell, name)]
            if rows:
                lines.append(_cell_row(name, rows, dtypes))
    if any(o.method == "complex step" for o in outcomes):
        lines += [rule * WIDTH, _STAR]
    return "\n".join(lines)


def _cell_row(name: str, rows: Sequence[Outcome], dtypes: Sequence[str]) -> str:
    text = f"  {_fit(name, _NAME - 3):<{_NAME - 2}}"
    for dtype in dtypes:
        text += _cell_entry([o for o in rows if o.dtype == dtype])
    padded = sum(o.computed_steps - o.real_steps for o in rows)
    return text + f"{padded:>9,} {_time(rows):>9}"


def _cell_entry(rows: Sequence[Outcome]) -> str:
    """28 columns: the worst of the runs of one unroll, cell and dtype."""
    if any(o.status is Status.CRASHED for o in rows):
        return f"{'crashed':>8} {'':19}"
    worst = max(_all_deviations(rows), key=lambda d: d.in_tolerances, default=None)
    if worst is None:
        return f"{'not offered' if rows else '':>17} {'':10}"
    star = "*" if rows[0].method == "complex step" else ""
    normwise = max(d.normwise for d in _all_deviations(rows))
    return f"{_number(worst.in_tolerances):>8} {normwise:>8.1e} {_fit(worst.name + star, 9):<9} "


def _by_tensor(
    outcomes: Sequence[Outcome], names: Sequence[str], dtypes: Sequence[str], rule: str
) -> str:
    """A block a dtype, a row a tensor: tolerances and normwise error of 5 unrolls side by side."""
    blocks = []
    for dtype in dtypes:
        rows = [o for o in outcomes if o.dtype == dtype and o.deviations]
        shown = [n for n in names if any(o.unroll == n for o in rows)]
        tensors = sorted(  # results before gradients
            dict.fromkeys(d.name for d in _all_deviations(rows)), key=lambda n: n.startswith("d_")
        )
        for start in range(0, len(shown), 5):
            columns = {n: [o for o in rows if o.unroll == n] for n in shown[start : start + 5]}
            heads = [_fit(n + _star(found), 15) for n, found in columns.items()]
            lines = [f"{f'By tensor, {dtype}':{_NAME}} " + "".join(f"{h:>16}" for h in heads)]
            lines.append(rule * WIDTH)
            for tensor in tensors:
                entries = "".join(_tensor_entry(found, tensor) for found in columns.values())
                lines.append(f"  {tensor:<{_NAME - 2}} {entries}".rstrip())
            blocks.append("\n".join(lines))
    return "\n\n".join(blocks)


def _tensor_entry(rows: Sequence[Outcome], tensor: str) -> str:
    """16 columns: tolerances and normwise error."""
    found = [d for d in _all_deviations(rows) if d.name == tensor]
    if not found:
        return " " * 16
    worst = max(d.in_tolerances for d in found)
    return f"{_number(worst):>8}{max(d.normwise for d in found):>8.0e}"


def _summary(
    outcomes: Sequence[Outcome], names: Sequence[str], candidates: Sequence[Candidate], rule: str
) -> str:
    """A line an unroll: verdict, runs, worst error and where, padding, time."""
    lines = [
        f"{'Summary':<{_NAME}}{'verdict':<12}{'runs':>8}{'tol':>9}  {'in':<24}"
        f"{'f64 norm':>9}{'padded':>8}{'time':>9}",
        rule * WIDTH,
    ]
    for name in names:
        for method in ("complex step", "comparison"):
            rows = [o for o in outcomes if (o.unroll, o.method) == (name, method)]
            if rows:
                lines.append(_summary_row(name + _star(rows), rows))
    for candidate in candidates:
        if candidate.unroll is None:
            lines.append(f"  {candidate.name}: cannot be loaded: {candidate.reason}")
    return "\n".join(lines)


def _summary_row(label: str, rows: Sequence[Outcome]) -> str:
    ran = [o for o in rows if o.status is not Status.NOT_OFFERED]
    verdict = "FAILED" if any(o.failed for o in rows) else "ok" if ran else "not offered"
    tol = where = normwise = ""
    compared = [o for o in ran if o.deviations]
    if compared:
        outcome = max(compared, key=_tolerances)
        tol = _number(_tolerances(outcome))
        where = f"{outcome.cell} {outcome.worst.name if outcome.worst else ''}"
        wide = _all_deviations(o for o in compared if o.dtype == "float64")
        normwise = f"{max(d.normwise for d in wide):.1e}" if wide else ""
    computed = sum(o.computed_steps for o in ran)
    padded = 1 - sum(o.real_steps for o in ran) / computed if computed else 0.0
    return (
        f"  {_fit(label, _NAME - 3):<{_NAME - 2}}{verdict:<12}{f'{len(ran)}/{len(rows)}':>8}"
        f"{tol:>9}  {_fit(where, 24):<24}{normwise:>9}{padded:>8.0%}{_time(rows):>9}"
    )


def _star(rows: Sequence[Outcome]) -> str:
    """The mark of rows that are the definition's complex step."""
    return " *" if all(o.method == "complex step" for o in rows) else ""


def _not_offered(outcomes: Sequence[Outcome]) -> list[str]:
    """A line for each unroll and reason."""
    counts: dict[tuple[str, str], list[Outcome]] = {}
    for outcome in outcomes:
        if outcome.status is Status.NOT_OFFERED:
            counts.setdefault((outcome.unroll, outcome.reason), []).append(outcome)
    return [
        f"  {name}: {len(found)} runs ({_named(o.cell for o in found)}; "
        f"{_named(o.dtype for o in found)}): {reason}"
        for (name, reason), found in counts.items()
    ]


def _named(names: Iterable[str]) -> str:
    """Different names, the first three of them."""
    different = list(dict.fromkeys(names))
    more = f" and {len(different) - 3} more" if len(different) > 3 else ""
    return ", ".join(different[:3]) + more


def _all_deviations(rows: Iterable[Outcome]) -> list[Deviation]:
    return [d for o in rows for d in o.deviations]


def _tolerances(outcome: Outcome) -> float:
    return max((d.in_tolerances for d in outcome.deviations), default=0.0)


def _number(value: float) -> str:
    """Two digits, in at most 7 columns."""
    return f"{value:.1e}" if value != 0 and not 1e-3 <= value < 1e4 else f"{value:.2g}"


def _time(rows: Iterable[Outcome]) -> str:
    return f"{sum(o.seconds for o in rows):,.2f} s"


def _fit(text: str, width: int) -> str:
    """`text`, its end cut where it is too long."""
    return text if len(text) <= width else text[: width - 2] + ".."
