"""Draw how the CUDA kernel works: lanes over time, a team, and the exchange.

Writes docs/_static/cuda_lanes.svg, cuda_team.svg and cuda_exchange.svg. The lanes are those that
refrnn.lanes makes of the lengths below; nothing else is computed.
"""

from __future__ import annotations

from pathlib import Path

import matplotlib.pyplot as plt
from matplotlib.axes import Axes

from refrnn.lanes import LaneSchedule

LENGTHS = [9, 2, 4, 1, 6, 3, 2, 5, 1, 3]
COLOURS = ["#4e79a7", "#f28e2b", "#59a14f", "#e15759", "#b07aa1", "#76b7b2", "#edc948", "#9c755f"]
GREY = "#d8d8d8"


def box(
    ax: Axes, x: float, y: float, width: float, height: float, colour: str, text: str = ""
) -> None:
    """A filled box with a word in it."""
    ax.add_patch(plt.Rectangle((x, y), width, height, fc=colour, ec="white", lw=0.8))
    ax.text(x + width / 2, y + height / 2, text, ha="center", va="center", color="white", size=8)


def draw_lanes(ax: Axes) -> None:
    """Four lanes of two teams; the sequences of a lane stand one behind the other."""
    schedule = LaneSchedule.from_lengths(LENGTHS, lanes=4)
    for sequence, (lane, start) in enumerate(zip(schedule.lane, schedule.start, strict=True)):
        y = lane + 0.7 * (lane // 2)
        for step in range(LENGTHS[sequence]):
            name = f"{sequence}" if step == 0 else ""
            box(ax, start + step, y, 1, 0.9, COLOURS[sequence % len(COLOURS)], name)
    for lane in range(4):
        ax.text(-0.2, lane + 0.7 * (lane // 2) + 0.45, f"lane {lane}", ha="right", va="center")
    for team in range(2):
        ax.text(-2.3, 2.7 * team + 1, f"team {team}", ha="right", va="center", weight="bold")
    for step in range(schedule.num_steps + 1):
        ax.plot([step, step], [-0.15, 4.75], color=GREY, lw=0.6, zorder=0)
    ax.text(schedule.num_steps / 2, 5.1, "steps", ha="center", va="center")
    ax.set(xlim=(-4, schedule.num_steps + 0.2), ylim=(5.4, -0.4))


def draw_team(ax: Axes) -> None:
    """W_hh of a cell with four gates, cut among four blocks; one block's rows among threads."""
    for gate, name in enumerate("ifgo"):
        for block in range(4):
            box(ax, 0, 4.3 * gate + block, 6, 0.92, COLOURS[block])
        ax.text(-0.3, 4.3 * gate + 2, f"rows of gate {name}", ha="right", va="center")
    ax.text(3, -0.5, "W_hh: four blocks of a team", ha="center", weight="bold")
    ax.text(3, 17.4, "columns", ha="center")
    left, top = 8.2, 3.0
    for gate in range(4):
        for unit in range(3):
            for vector in range(8):
                shade = ("#2f4b6c", "#4e79a7", "#7ba1cc", "#a9c3e0")[vector // 2]
                box(ax, left + 0.8 * vector, top + 3.1 * gate + unit * 0.95, 0.76, 0.87, shade)
    ax.text(left + 3.2, top - 1.7, "the rows of one block", ha="center", weight="bold")
    ax.text(left + 3.2, top - 0.6, "a shade is a thread of the unit's four", ha="center", size=8)
    ax.text(left + 6.7, top + 1.4, "its units", va="center", size=8)
    ax.set(xlim=(-3.6, 17), ylim=(18, -1.5))


def draw_exchange(ax: Axes) -> None:
    """Two blocks and the two slots between them, over three steps."""
    for block in range(2):
        ax.text(-0.3, 4 * block + 0.5, f"block {block}", ha="right", va="center", weight="bold")
    for slot in range(2):
        ax.text(-0.3, 1.5 + slot + 0.3, f"slot {slot}", ha="right", va="center")
        ax.add_patch(plt.Rectangle((0, 1.5 + slot), 15, 0.75, fc="#f2f2f2", lw=0))
    late = (0.0, 0.9)
    for step in range(3):
        slot, colour = step % 2, COLOURS[step]
        ready = [5 * step + late[(block + step) % 2] for block in range(2)]
        for block, x in enumerate(ready):
            box(ax, x, 4 * block, 2.2, 1, colour, f"step {step}")
            here = (x + 2.3, 1.5 + slot + 0.37)
            ax.annotate(
                "", here, (x + 2.2, 1.0 if block == 0 else 4.0),
                arrowprops={"arrowstyle": "->", "color": colour},
            )  # fmt: skip
        begin = max(ready) + 2.4
        box(ax, begin - 1.0, 1.5 + slot + 0.06, 2.4, 0.62, colour, f"h, tag {step + 1}")
        for block in range(2):
            ax.annotate(
                "", (begin + 1.5, 1.0 if block == 0 else 4.0), (begin + 1.2, 1.5 + slot + 0.37),
                arrowprops={"arrowstyle": "->", "color": colour},
            )  # fmt: skip
    ax.set(xlim=(-2, 15.2), ylim=(5.3, -0.3))


def main() -> None:
    """Write the figures."""
    folder = Path(__file__).parents[1] / "_static"
    plt.rcParams.update({"svg.fonttype": "path", "svg.hashsalt": "refrnn", "font.size": 9})
    for name, draw, size in (
        ("lanes", draw_lanes, (6.4, 2.6)),
        ("team", draw_team, (6.4, 4.4)),
        ("exchange", draw_exchange, (6.4, 2.6)),
    ):
        figure, ax = plt.subplots(figsize=size, layout="constrained")
        draw(ax)
        ax.axis("off")
        figure.savefig(folder / f"cuda_{name}.svg", metadata={"Date": None})
        plt.close(figure)


if __name__ == "__main__":
    main()
