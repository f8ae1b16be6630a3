"""Counts the costs of cases on softcuda and prints them as JSON.

A program of its own: the process of the tests may have a GPU.
"""

from __future__ import annotations

import json
import os
import sys
from typing import Any

import numpy as np
from refrnn_accel import softcuda

from refrnn.cases import make_cell
from refrnn.datasets import synthetic_lengths

#: Laws of length whose 64 sequences have 2,000 steps and more, with the longest length.
LAWS = {"uniform": 66, "lognormal": 150, "zipf": 90}
CELLS = ("rnn_tanh", "lstm", "gru_reset_after", "gru_reset_before")
DTYPES = ("float32", "float64")
#: Variant, team and hidden size: where a warp has eight units, and where it has four.
CUTS = (("block", None, 32), ("cluster", 2, 32), ("team", 4, 32), ("stream", None, 32))
#: Products of 32 chains.
LARGE = ("rnn_tanh", "float32", ("team", 6, 384), "uniform")


def cases() -> list[tuple[str, str, tuple[str, int | None, int], str]]:
    """Every cell, dtype and variant, the laws of length in turn."""
    laws = list(LAWS)
    every = [(cell, dtype, cut) for cell in CELLS for dtype in DTYPES for cut in CUTS]
    # Shifted by two from row to row of cuts, all pairs come up.
    made = [(*case, laws[(n + n // len(CUTS)) % 3]) for n, case in enumerate(every)]
    return [*made, LARGE]


def name(case: tuple[str, str, tuple[str, int | None, int], str]) -> str:
    """For people, and to find a case again."""
    cell, dtype, (variant, team, units), law = case
    return f"{cell}-{dtype}-{variant}{team or ''}-h{units}-{law}"


def _costs(case: tuple[str, str, tuple[str, int | None, int], str]) -> dict[str, Any]:
    from refrnn_accel.cuda.costs import costs
    from refrnn_accel.cuda.roofline import GPUS, predict

    cell, dtype, (variant, team, units), law = case
    lengths = synthetic_lengths(law, 64, LAWS[law], seed=0)
    found = costs(make_cell(cell, 32, units), dtype, lengths, variant=variant, team=team, lanes=7)
    made = [predict(found.counted, gpu, k) for gpu in GPUS for k in ("forward", "backward")]
    return {
        "steps": int(lengths.sum()),
        "lanes_of_team": found.counted.choice.lanes_of_team,
        "costs": [{**cost._asdict(), "holds": cost.holds} for cost in found.costs],
        "predictions": [one._asdict() for one in made if one is not None],
    }


def _lanes() -> dict[str, list[int]]:
    """Operations of lanes: of the sequences of each one alone, and of all of them together."""
    from refrnn_accel.cuda.counting import count

    cell = make_cell("lstm", 32, 32)
    lengths = synthetic_lengths("zipf", 20, 30, seed=1)
    together = count(cell, "float32", lengths, variant="block", lanes=3)
    lane = together.choice.schedule.lane
    alone = [
        count(cell, "float32", lengths[lane == n], variant="block", lanes=1).kernels
        for n in range(3)
    ]
    step = count(cell, "float32", [1], variant="block", lanes=1).kernels
    return {
        kernel: [
            together.kernels[kernel].flops,
            *(kernels[kernel].flops for kernels in alone),
            *(step[kernel].flops * int(np.sum(lengths[lane == n])) for n in range(3)),
        ]
        for kernel in ("forward", "backward")
    }


if __name__ == "__main__":
    os.environ["SOFTCUDA_PTXAS"] = ""  # registers are asked of nobody
    softcuda.activate(multiprocessors=128, compute_capability=90)
    found = {name(case): _costs(case) for case in cases()}
    sys.stdout.write(json.dumps({"cases": found, "lanes": _lanes()}))
