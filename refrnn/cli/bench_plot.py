"""The picture of ``refrnn bench --plot``; :mod:`refrnn.cli.bench` imports it when asked to draw."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import matplotlib as mpl
from matplotlib.backend_bases import FigureCanvasBase
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from ..bench import Result, Settings
from ..bench.ratios import best_peer

__all__ = ["check_format", "draw"]

_COLOURS = {"unroll": "#2a7f9e", "peer": "#b9b9b9"}
_DISTURBED: Any = {"hatch": "////", "edgecolor": "white"}


def check_format(path: Path) -> None:
    """Refuse a suffix that matplotlib cannot write.

    Raises
    ------
    ValueError
        With the suffixes that it can.
    """
    known = FigureCanvasBase.get_supported_filetypes()
    if path.suffix[1:].lower() not in known:
        raise ValueError(
            f"--plot has suffix {path.suffix!r}, expected one of .{', .'.join(sorted(known))}"
        )


def draw(results: Sequence[Result], settings: Settings, path: Path) -> None:
    """Draw the timings into a file: a row of panels a workload, a bar a contestant.

    Parameters
    ----------
    results : sequence of Result
    settings : Settings
    path : Path
        The suffix says the format. The file is overwritten.

    Raises
    ------
    OSError
        If the file cannot be written.
    """
    style: Any = {
        "font.size": 9,
        "axes.spines.top": False,
        "axes.spines.right": False,
        "hatch.linewidth": 0.6,
        "svg.hashsalt": "refrnn",
    }
    workloads = list(dict.fromkeys(r.workload for r in results))
    bars = len({r.contestant for r in results if r.summaries})
    with mpl.rc_context(style):
        height = len(workloads) * (1.0 + 0.3 * bars) + 0.6
        figure = Figure(figsize=(4.8 * len(settings.works), height), layout="constrained")
        panels: Any = figure.subplots(len(workloads), len(settings.works), squeeze=False)
        for row, workload in zip(panels, workloads, strict=True):
            here = [r for r in results if r.workload == workload]
            for axes, work in zip(row, settings.works, strict=True):
                _draw_panel(axes, here, work)
                axes.set_title(f"{workload.name}\n{work}", loc="left", weight="bold", fontsize=9)
        for axes in panels[-1]:
            axes.set_xlabel("ms, median and quartiles")
        _draw_legend(figure, results, settings)
        metadata = {"Date": None} if path.suffix == ".svg" else None
        figure.savefig(path, dpi=150, metadata=metadata)


def _draw_panel(axes: Any, results: Sequence[Result], work: str) -> None:
    """One kind of work on one workload."""
    timed = [r for r in results if work in r.summaries]
    best = best_peer(results, work)
    for place, result in enumerate(timed):
        summary = result.summaries[work]
        ms, low, high = (1e3 * s for s in (summary.median, summary.low, summary.high))
        marks = _DISTURBED if summary.doubtful else {}
        axes.barh(place, ms, height=0.7, color=_COLOURS[result.contestant.kind], **marks)
        axes.plot([low, high], [place, place], color="#222222", linewidth=1.2)
        ratio = "" if best is None else f"  {summary.median / best:.2f}x"
        digits = 0 if ms >= 100 else 1 if ms >= 10 else 2
        axes.annotate(
            f"{ms:.{digits}f}{ratio}", (max(ms, high), place), xytext=(4, 0),
            textcoords="offset points", va="center",
            bbox={"facecolor": "white", "edgecolor": "none", "pad": 1.0},
        )  # fmt: skip
    axes.set_yticks(range(len(timed)), [r.contestant.name for r in timed])
    axes.invert_yaxis()
    longest = max((1e3 * r.summaries[work].high for r in timed), default=1.0)
    axes.set_xlim(0, 1.3 * longest)
    if best is not None:
        axes.axvline(1e3 * best, color="#c0392b", linewidth=0.9, linestyle="--")


def _draw_legend(figure: Any, results: Sequence[Result], settings: Settings) -> None:
    """What colours and line mean, and under which conditions it was measured."""
    kinds = dict.fromkeys(r.contestant.kind for r in results if r.summaries)
    names = {"unroll": "refrnn", "peer": "peer"}
    handles: list[Any] = [Patch(color=_COLOURS[k], label=names[k]) for k in kinds]
    if "peer" in kinds:
        line = Line2D([], [], color="#c0392b", linewidth=0.9, linestyle="--")
        line.set_label("best peer (1x)")
        handles.append(line)
    if any(s.doubtful for r in results for s in r.summaries.values()):
        handles.append(Patch(facecolor="#777777", label="mostly disturbed", **_DISTURBED))
    first = next(iter(results)).workload
    title = f"{first.cell}, {first.dtype}, {settings.threads} thread(s)"
    figure.legend(handles=handles, title=title, loc="outside lower center", ncols=4, frameon=False)
