"""Cells that the kernels have, and all ways of cutting W_hh that fit the device."""

from __future__ import annotations

from typing import Any

import numpy as np
from hypothesis import strategies as st
from refrnn_accel.cuda import CudaUnroll, planner
from refrnn_accel.cuda.cells import kernel_cell
from refrnn_accel.cuda.context import first_device

from refrnn.comparison import Case
from refrnn.testing.strategies import cases, lengths
from refrnn.unroll.base import AnyCell

from ..kernel_cells import CELLS

#: Clusters are there from compute capability 9.0 on; the others are always.
VARIANTS = [
    name for name in planner.VARIANTS if name != "cluster" or first_device().architecture >= 90
]

#: Few classes of sizes, each of which is a module for each way: up to 32, and up to 64.
HIDDEN_SIZES = (1, 5, 13, 20, 31, 33, 37, 50)

_MOST_BLOCKS = 64


def ways(cell: AnyCell, dtype: Any, variant: str | None = None) -> list[dict[str, Any]]:
    """Arguments of CudaUnroll for every way that fits: each variant, each size of a team."""
    kernel, device = kernel_cell(cell), first_device()
    found: list[dict[str, Any]] = []
    for name in VARIANTS if variant is None else (variant,):
        of_teams = range(2, _MOST_BLOCKS) if name in ("cluster", "team") else ()
        for team in (None, *of_teams):
            chosen = planner.choose(
                kernel, np.dtype(dtype), cell.hidden_size, device, variant=name, team=team
            )
            if not isinstance(chosen, str):
                found.append({"variant": name} if team is None else {"variant": name, "team": team})
    return found


def cells(
    name: str, hidden_sizes: st.SearchStrategy[int] | None = None
) -> st.SearchStrategy[AnyCell]:
    """A cell of :data:`CELLS`, of sizes that are multiples of nothing."""
    hidden = st.sampled_from(HIDDEN_SIZES) if hidden_sizes is None else hidden_sizes
    biases = st.sampled_from([2, 1, 0])
    return st.builds(
        lambda i, h, b: CELLS[name](i, h, biases=b), st.integers(1, 5), hidden, biases
    )  # fmt: skip


@st.composite
def unrolls_and_cases(
    draw: st.DrawFn, name: str, dtype: str | None = None, variant: str | None = None
) -> tuple[CudaUnroll, Case]:
    """A case that the kernels have, and a way that fits it, which gets few lanes or many."""
    made = draw(cases(cell=cells(name), dtype=dtype, batch_lengths=lengths(max_batch=6)))
    way = draw(st.sampled_from(ways(made.cell, made.dtype, variant)))
    lanes = draw(st.sampled_from([None, 1, 2, 3]))
    return CudaUnroll(lanes=lanes, **way), made
