"""The picture of ``refrnn lengths --plot``: the lengths, and every step of the four schemes.

The only room that imports matplotlib; :mod:`refrnn.cli.lengths` imports it when asked to draw.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.collections import PolyCollection
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from ..bucketing import SchemeCost, WasteReport, bucket_ids
from ..types import Array, IntArray

__all__ = ["draw"]

_PADDING: Any = {"facecolor": "#e3e3e3", "edgecolor": "#b5b5b5", "hatch": "////", "linewidth": 0.0}
_EDGE = "#c0392b"
# Above this many sequences a vector file would be larger than its picture.
_MOST_VECTORS = 500
_MOST_LABELS = 16


def draw(report: WasteReport, path: Path) -> None:
    """Draw the report into a file.

    The upper panel is the distribution of the lengths; its colours are the legend of the others.
    Below, each scheme is drawn to one scale, a row of the batch by a sequential step: coloured
    where a sequence takes a real step, hatched where a padded step is computed.

    Parameters
    ----------
    report : WasteReport
        Of at least one sequence.
    path : Path
        The suffix says the format. The file is overwritten; equal reports give equal SVG files
        (with one version of matplotlib).

    Raises
    ------
    OSError
        If the file cannot be written.
    ValueError
        If matplotlib cannot write this format.
    """
    settings: Any = {
        "font.size": 9,
        "axes.spines.top": False,
        "axes.spines.right": False,
        "hatch.linewidth": 0.4,
        "hatch.color": "#b5b5b5",
        "svg.hashsalt": "refrnn",
    }
    with mpl.rc_context(settings):
        figure = Figure(figsize=(10, 9), layout="constrained")
        parts: Any = figure.subfigures(2, 1, height_ratios=[1, 1.9])
        _draw_lengths(parts[0].subplots(), report)
        _draw_schemes(parts[1], report)
        metadata = {"Date": None} if path.suffix == ".svg" else None
        figure.savefig(path, dpi=150, metadata=metadata)


def _colours(lengths: IntArray | Array, longest: int) -> Any:
    """Colour lengths from short (dark) to long (bright)."""
    return mpl.colormaps["viridis"](0.05 + 0.85 * np.asarray(lengths) / max(longest, 1))


def _draw_lengths(axes: Any, report: WasteReport) -> None:
    """Draw histogram, cumulative share and bucket boundaries of the lengths."""
    lengths = report.lengths
    longest = int(lengths.max())
    width = max(1, -(-(longest + 1) // 60))
    counts = np.bincount(lengths // width)
    left = np.arange(counts.size) * width - 0.5
    axes.bar(
        left, counts, width, align="edge", linewidth=0, color=_colours(left + width / 2, longest)
    )
    axes.set(xlabel="length (steps)", ylabel="sequences", xlim=(-0.5, longest + 0.5 + width))
    axes.yaxis.get_major_locator().set_params(integer=True)
    share = axes.twinx()
    ascending = np.sort(lengths)
    steps = np.concatenate(([0.0], np.arange(1, lengths.size + 1) / lengths.size))
    share.step(
        np.concatenate((ascending[:1], ascending)), 100 * steps, color="#333333", linewidth=1.2
    )
    share.set(ylabel="sequences up to this length (%)", ylim=(0, 104))
    share.spines["right"].set_visible(True)
    inside = report.boundaries[report.boundaries <= longest]
    for number, edge in enumerate(inside.tolist()):
        label = "bucket boundary" if number == 0 else None
        axes.axvline(edge - 0.5, color=_EDGE, linestyle="--", linewidth=1, label=label)
        if inside.size > _MOST_LABELS:
            continue
        axes.annotate(
            str(edge), (edge - 0.5, 1.0), xycoords=("data", "axes fraction"), color=_EDGE,
            xytext=(0, 2), textcoords="offset points", ha="center", fontsize=8,
        )  # fmt: skip
    if inside.size:
        axes.legend(loc="center right", frameon=False)
    axes.set_title(
        f"{lengths.size:,} sequences, {int(lengths.sum()):,} steps",
        loc="left",
        pad=14,
        weight="bold",
    )


def _draw_schemes(figure: Any, report: WasteReport) -> None:
    """Draw the four schemes on axes of one scale, so that areas compare."""
    padded, bucketed, packed, lanes = figure.subplots(2, 2, sharex=True, sharey=True).flat
    places = (_in_order, _in_buckets, _by_length, _on_lanes)
    for axes, scheme, place in zip(
        (padded, bucketed, packed, lanes), report.schemes, places, strict=True
    ):
        first, row = place(report)
        _draw_scheme(axes, scheme, report.lengths, first, row)
    for axes in (packed, lanes):
        axes.set_xlabel("sequential step")
    for axes in (padded, packed):
        axes.set_ylabel("row of the batch")
    depth = max(scheme.sequential_depth for scheme in report.schemes)
    rows = max(int(scheme.batch_sizes.max(initial=0)) for scheme in report.schemes)
    padded.set(xlim=(0, max(depth, 1)), ylim=(max(rows, 1), 0))
    legend = [
        Patch(facecolor=_colours(np.array(0.4), 1), label="real step, coloured by length as above"),
        Patch(**_PADDING, label="padded step: computed for nothing"),
    ]
    figure.legend(handles=legend, loc="outside lower center", ncols=2, frameon=False)


def _draw_scheme(
    axes: Any, scheme: SchemeCost, lengths: IntArray, first: IntArray, row: IntArray
) -> None:
    """Draw what is computed, and over it each sequence at its first step and row."""
    axes.stairs(scheme.batch_sizes, np.arange(scheme.sequential_depth + 1), fill=True, **_PADDING)
    busy = lengths > 0
    left, top = first[busy].astype(float), row[busy].astype(float)
    right, bottom = left + lengths[busy], top + 1.0
    corners: Any = np.stack([left, top, right, top, right, bottom, left, bottom], axis=1)
    many = lengths.size > _MOST_VECTORS
    axes.add_collection(
        PolyCollection(
            corners.reshape(-1, 4, 2),
            facecolors=_colours(lengths[busy], int(lengths.max())),
            edgecolors="none" if many else "white",
            linewidths=0.0 if many else 0.3,
            rasterized=many,
        )
    )
    name = f"{scheme.name}, {scheme.detail}" if scheme.detail else scheme.name
    axes.set_title(f"{name}\n", loc="left", weight="bold")
    axes.annotate(
        f"{scheme.steps_computed:,} steps computed, {100 * scheme.useful_share:.1f} % useful, "
        f"depth {scheme.sequential_depth:,}",
        (0, 1), xycoords="axes fraction", xytext=(0, 4), textcoords="offset points",
    )  # fmt: skip


def _in_order(report: WasteReport) -> tuple[IntArray, IntArray]:
    """Place sequences as padded does: all from step 0, in their order."""
    return np.zeros_like(report.lengths), np.arange(report.lengths.size)


def _by_length(report: WasteReport) -> tuple[IntArray, IntArray]:
    """Place sequences as packed does: all from step 0, the longest first."""
    row = np.empty_like(report.lengths)
    row[np.argsort(-report.lengths, kind="stable")] = np.arange(report.lengths.size)
    return np.zeros_like(report.lengths), row


def _in_buckets(report: WasteReport) -> tuple[IntArray, IntArray]:
    """Place sequences as bucketed does: buckets one after another, inside in their order."""
    ids = bucket_ids(report.lengths, report.boundaries)
    first, row = np.zeros_like(ids), np.zeros_like(ids)
    step = 0
    for bucket in np.unique(ids).tolist():
        members = np.flatnonzero(ids == bucket)
        first[members], row[members] = step, np.arange(members.size)
        step += int(report.lengths[members].max())
    return first, row


def _on_lanes(report: WasteReport) -> tuple[IntArray, IntArray]:
    """Place sequences as the lane schedule does."""
    return report.schedule.start, report.schedule.lane
