"""Draw how a warp of eight lanes splits at a branch and comes together, under two schedules.

Writes docs/_static/softcuda_warp.svg. The order of the adversarial schedule is drawn from a seed,
by the rule that softcuda has: any split may go on, and they meet at a ``.sync`` instruction only.
"""

from __future__ import annotations

import random
import sys
from pathlib import Path

import matplotlib.pyplot as plt
from matplotlib.axes import Axes

TAKEN = {0, 1, 4, 6}  # the lanes for which the branch is taken
LANES = frozenset(range(8))
# What stands in the kernel: number -> text and the number that follows.
CODE = {0: ("bra", None), 1: ("A", 2), 2: ("A'", 4), 3: ("B", 4), 4: ("C", 5), 5: ("sync", None)}
COLOURS = {0: "#9c9c9c", 1: "#4e79a7", 2: "#4e79a7", 3: "#f28e2b", 4: "#59a14f", 5: "#e15759"}
JOIN, SYNC = 4, 5

Turn = tuple[int, frozenset[int]]  # an instruction, and the lanes that execute it


def post_dominator() -> list[Turn]:
    """Both ways one after the other; who comes to the join waits for the others there."""
    taken = frozenset(TAKEN)
    return [(0, LANES), (1, taken), (2, taken), (3, LANES - taken), (JOIN, LANES), (SYNC, LANES)]


def adversarial(seed: int) -> list[Turn]:
    """Any split may have its turn; they are together again where a ``.sync`` asks for it."""
    rng = random.Random(seed)
    turns: list[Turn] = [(0, LANES)]
    splits = {frozenset(TAKEN): 1, LANES - TAKEN: 3}
    while any(place != SYNC for place in splits.values()):
        lanes = rng.choice([lanes for lanes, place in splits.items() if place != SYNC])
        turns.append((splits[lanes], lanes))
        following = CODE[splits[lanes]][1]
        assert following is not None
        splits[lanes] = following
    return [*turns, (SYNC, LANES)]


def draw(ax: Axes, turns: list[Turn], title: str, top: float) -> None:
    """A row for each lane, a column for each turn."""
    ax.text(0, top - 0.5, title, size=11, weight="bold")
    for lane in sorted(LANES):
        ax.text(-0.2, top + lane + 0.5, f"lane {lane}", ha="right", va="center", size=8)
    for column, (place, lanes) in enumerate(turns):
        for lane in sorted(LANES):
            box = (column, top + lane)
            if lane in lanes:
                ax.add_patch(plt.Rectangle(box, 0.92, 0.88, color=COLOURS[place], lw=0))
                ax.text(
                    column + 0.46, top + lane + 0.47, CODE[place][0],
                    ha="center", va="center", color="white", size=8,
                )  # fmt: skip
            else:
                ax.add_patch(plt.Rectangle(box, 0.92, 0.88, fill=False, ec="#d8d8d8", lw=0.6))


def main() -> None:
    """Write the figure."""
    root = Path(__file__).parents[1]
    target = Path(sys.argv[1]) if len(sys.argv) > 1 else root / "_static" / "softcuda_warp.svg"
    plt.rcParams.update({"svg.fonttype": "path", "svg.hashsalt": "refrnn"})
    figure, ax = plt.subplots(figsize=(6.4, 6.4), layout="constrained")
    draw(ax, post_dominator(), "post-dominator: the two ways meet at C", 0)
    draw(ax, adversarial(5), "adversarial: they meet at the .sync, and not before", 10)
    ax.set(xlim=(-1.4, 8.4), ylim=(18.2, -1.2))
    ax.axis("off")
    figure.savefig(target, metadata={"Date": None} if target.suffix == ".svg" else None)


if __name__ == "__main__":
    main()
