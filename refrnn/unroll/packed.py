"""Packed: sort by length, the batch shrinks as sequences end; what PyTorch and cuDNN do."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..arithmetic import BLAS, Arithmetic
from ..packing import sort_by_length
from ..parameters import CellParameters
from ..ragged import RaggedBatch
from ..types import Array
from .base import AnyCell, Gradients, Plan, Run, State, Tape
from .step_major import Schedule, walk_back, walk_forward

__all__ = ["Packed"]


class Packed:
    """Step the whole batch at once, without the sequences that have ended.

    Parameters
    ----------
    arithmetic : Arithmetic
        How matrix products are evaluated: NumPy's by default.
    """

    name = "packed"

    def __init__(self, *, arithmetic: Arithmetic = BLAS) -> None:
        self._arithmetic = arithmetic

    def supports(self, cell: AnyCell, dtype: np.dtype[Any], *, reverse: bool = False) -> str | None:
        """Everything is supported."""
        return None

    def forward(
        self,
        cell: AnyCell,
        parameters: CellParameters,
        batch: RaggedBatch,
        state_0: State,
        reverse: bool,
    ) -> Run:
        _, place, batch_sizes = sort_by_length(batch.lengths)
        schedule = Schedule(place, np.zeros_like(place), batch_sizes)
        output, state_n, saved = walk_forward(
            cell, parameters, self._arithmetic, batch, state_0, reverse, schedule
        )
        N = batch.total_steps
        return Run(
            batch.with_values(output),
            state_n,
            Tape(self, cell, parameters, batch.lengths, reverse, batch.dtype, saved),
            Plan(self.name, batch_sizes.size, N, N, {}),
        )

    def backward(self, tape: Tape, d_output: Array, d_state_n: State) -> Gradients:
        return walk_back(
            tape.cell,
            tape.parameters,
            self._arithmetic,
            tape.lengths,
            tape.reverse,
            tape.saved,
            d_output,
            d_state_n,
        )
