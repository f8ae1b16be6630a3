"""Draw how the gradient fades with the distance from the loss, and what padding does to it.

Writes docs/_static/vanishing_gradient.svg. Every curve is a backward run of refrnn.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes

import refrnn as rr

SEQUENCES, FEATURES, HIDDEN = 100, 12, 64
REAL, PADDED = 30, 60  # steps of every sequence; steps it is padded to
FORGET_BIAS = 3.0

COLOURS = {"RNN": "#e15759", "GRU": "#59a14f", "LSTM": "#4e79a7", "LSTM, open": "#b07aa1"}


def cells(rng: np.random.Generator) -> dict[str, tuple[Any, Any]]:
    """Cells and their fresh parameters."""
    lstm = rr.LSTM(FEATURES, HIDDEN)
    made = {
        name: (cell, cell.init_parameters(rng))
        for name, cell in {
            "RNN": rr.RNN(FEATURES, HIDDEN),
            "GRU": rr.GRU(FEATURES, HIDDEN),
            "LSTM": lstm,
        }.items()
    }
    opened = dict(made["LSTM"][1])
    opened["b_ih"] = opened["b_ih"].copy()
    opened["b_ih"][HIDDEN : 2 * HIDDEN] += FORGET_BIAS  # gates in the order i, f, g, o
    made["LSTM, open"] = (lstm, rr.CellParameters(opened))
    return made


def gradient_norms(cell: Any, params: Any, batch: rr.RaggedBatch, d_h_n: Any) -> Any:
    """Norm of the gradient by each step's input, median over the sequences: one number a step."""
    run = rr.forward(cell, params, batch)
    parts = [d_h_n] + [None] * (len(cell.state_names) - 1)
    gradients = rr.backward(run.tape, d_state_n=tuple(parts))
    norms = np.linalg.norm(gradients.input.values, axis=1)
    return np.median(norms.reshape(SEQUENCES, -1), axis=0)


def end_label(ax: Axes, x: float, y: float, text: str, colour: str) -> None:
    """Name a curve at its end."""
    ax.annotate(
        text, (x, y), xytext=(5, 0), textcoords="offset points", color=colour, va="center", size=9
    )


def draw(left: Axes, right: Axes) -> None:
    """Fill both panels."""
    rng = np.random.default_rng(0)
    long = rr.RaggedBatch(rng.normal(size=(SEQUENCES * PADDED, FEATURES)), [PADDED] * SEQUENCES)
    real = long.slice_time(0, REAL)
    with_padding = rr.RaggedBatch.from_padded(
        real.to_padded(max_length=PADDED), [PADDED] * SEQUENCES
    )
    d_h_n = rng.normal(size=(SEQUENCES, HIDDEN))
    d_h_n /= np.linalg.norm(d_h_n, axis=1, keepdims=True)
    names = {"LSTM, open": f"LSTM,\n$b_f$ + {FORGET_BIAS:.0f}"}
    for name, (cell, params) in cells(rng).items():
        colour = COLOURS[name]
        norms = gradient_norms(cell, params, long, d_h_n)[::-1]
        left.semilogy(np.arange(PADDED), norms, color=colour, lw=1.8)
        end_label(left, PADDED - 1, norms[-1], names.get(name, name), colour)
        steps = np.arange(PADDED)
        masked = gradient_norms(cell, params, real, d_h_n)
        right.semilogy(steps[:REAL], masked, color=colour, lw=1.8)
        pushed = gradient_norms(cell, params, with_padding, d_h_n)
        right.semilogy(steps, pushed, color=colour, lw=1.6, ls=(0, (2, 1.5)))


def label(left: Axes, right: Axes) -> None:
    """Titles, axes, and what is what."""
    left.set_title("fading: the loss is at the last step", loc="left", size=10.5, weight="bold")
    left.set(xlabel="distance from the loss, in steps", xlim=(0, PADDED + 9))
    left.set_ylabel("norm of the gradient by the input of that step")
    right.set_title(
        f"padding: {REAL} real steps in an array of {PADDED}", loc="left", size=10.5, weight="bold"
    )
    right.set(xlabel="step", xlim=(0, PADDED))
    right.axvspan(REAL - 0.5, PADDED, color="#eeeeee", zorder=0)
    right.text((REAL + PADDED) / 2, 2e-17, "padding", ha="center", color="#666666", size=9.5)
    right.text(REAL / 2, 2e-17, "real steps", ha="center", color="#666666", size=9.5)
    grey = "#444444"
    right.plot([], [], color=grey, lw=1.8, label="masked: read out after the last real step")
    right.plot(
        [], [], color=grey, lw=1.6, ls=(0, (2, 1.5)), label="padding stepped: read out at the end"
    )
    right.legend(loc="upper left", frameon=False, fontsize=9, bbox_to_anchor=(0, 1.0))
    for ax in (left, right):
        ax.set(ylim=(1e-18, 1e2))
        ax.set_yticks(10.0 ** np.arange(-18, 3, 4))
        ax.grid(axis="y", color="#e4e4e4", lw=0.7)
        ax.set_axisbelow(True)
        ax.spines[["top", "right"]].set_visible(False)


def main() -> None:
    """Draw the figure."""
    plt.rcParams.update({"svg.fonttype": "path", "svg.hashsalt": "refrnn"})
    figure, (left, right) = plt.subplots(
        1, 2, figsize=(9.4, 4.2), sharey=True, layout="constrained"
    )
    draw(left, right)
    label(left, right)
    target = (
        Path(sys.argv[1])
        if len(sys.argv) > 1
        else Path(__file__).parents[1] / "_static/vanishing_gradient.svg"
    )
    figure.savefig(target, metadata={"Date": None} if target.suffix == ".svg" else None)


if __name__ == "__main__":
    main()
