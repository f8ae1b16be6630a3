"""Draw one batch five ways: list, padded, bucketed, packed, lanes.

Writes docs/_static/ragged.svg. Everything drawn is computed by refrnn from the same lengths.
"""

from __future__ import annotations

import sys
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes

from refrnn.bucketing import bucket_ids, optimal_boundaries
from refrnn.lanes import LaneSchedule
from refrnn.packing import sort_by_length

LENGTHS = np.array([3, 9, 1, 5, 2, 4])
COLOURS = ["#4e79a7", "#f28e2b", "#59a14f", "#e15759", "#b07aa1", "#76b7b2"]


class Panel:
    """A corner of the sheet with a title above and a note below; a step is a unit square."""

    def __init__(self, ax: Axes, x: float, y: float, title: str) -> None:
        self.ax, self.x, self.y = ax, x, y
        ax.text(x, y - 0.4, title, size=11, weight="bold")

    def sequence(self, b: int, row: int, start: int) -> None:
        """The steps of one sequence as numbered squares."""
        for step in range(LENGTHS[b]):
            self._square(row, start + step, color=COLOURS[b], lw=0)
            self.ax.text(
                self.x + start + step + 0.47,
                self.y + row + 0.47,
                f"{'abcdef'[b]}{step}",
                ha="center",
                va="center",
                color="white",
                size=8,
            )

    def padding(self, row: int, start: int, stop: int) -> None:
        """Steps that are computed for nothing."""
        for step in range(start, stop):
            self._square(row, step, fill=False, hatch="////", ec="#c4c4c4", lw=0.6)

    def note(self, rows: int, text: str) -> None:
        """What the panel costs."""
        self.ax.text(self.x, self.y + rows + 0.55, text, size=9, color="#444444")

    def _square(self, row: int, step: int, **style: object) -> None:
        place = (self.x + step, self.y + row)
        self.ax.add_patch(plt.Rectangle(place, 0.92, 0.88, **style))


def draw(ax: Axes) -> None:
    """Fill the sheet."""
    B, T, N = LENGTHS.size, int(LENGTHS.max()), int(LENGTHS.sum())
    truth = Panel(ax, 0, 0, "the batch")
    masked = Panel(ax, 12, 0, "masked")
    for b in range(B):
        truth.sequence(b, b, 0)
        masked.sequence(b, b, 0)
        masked.padding(b, LENGTHS[b], T)
    truth.note(B, f"{B} sequences, {N} steps")
    masked.note(B, f"{B * T} steps computed, {B * T - N} of them padding, depth {T}")

    packed = Panel(ax, 0, 9, "packed")
    for row, b in enumerate(sort_by_length(LENGTHS)[0]):
        packed.sequence(b, row, 0)
    packed.note(B, f"{N} computed, no padding, depth {T}; from {B} rows down to 1")

    bucketed = Panel(ax, 12, 9, "bucketed: two buckets, one after the other")
    ids = bucket_ids(LENGTHS, optimal_boundaries(LENGTHS, 2))
    start = computed = 0
    for bucket in np.unique(ids):
        members = np.flatnonzero(ids == bucket)
        longest = int(LENGTHS[members].max())
        for row, b in enumerate(members):
            bucketed.sequence(b, row, start)
            bucketed.padding(row, start + LENGTHS[b], start + longest)
        computed += longest * members.size
        start += longest
    rows = int(np.bincount(ids).max())
    bucketed.note(rows, f"{computed} computed, {computed - N} padding, depth {start}")

    plan = LaneSchedule.from_lengths(LENGTHS, lanes=3)
    lanes = Panel(ax, 12, 15.6, "lanes: three, each runs sequences back to back")
    for b in range(B):
        lanes.sequence(b, int(plan.lane[b]), int(plan.start[b]))
    lanes.note(
        plan.num_lanes, f"{N} computed, no padding, depth {plan.num_steps}; {plan.num_lanes} rows"
    )


def main() -> None:
    """Draw the figure."""
    plt.rcParams.update({"svg.fonttype": "path", "svg.hashsalt": "refrnn"})
    figure, ax = plt.subplots(figsize=(9.4, 7.4), layout="constrained")
    draw(ax)
    ax.set(xlim=(-0.3, 25.2), ylim=(19.6, -1.4), aspect="equal")
    ax.axis("off")
    target = (
        Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parents[1] / "_static/ragged.svg"
    )
    figure.savefig(target, metadata={"Date": None} if target.suffix == ".svg" else None)


if __name__ == "__main__":
    main()
