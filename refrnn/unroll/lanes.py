"""Lanes: every lane runs sequences back to back; no padding and a nearly full batch each step."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..arithmetic import BLAS, Arithmetic
from ..lanes import LaneSchedule
from ..parameters import CellParameters
from ..ragged import RaggedBatch
from ..types import Array
from ..validation import check_integer
from .base import AnyCell, Gradients, Plan, Run, State, Tape
from .step_major import Schedule, walk_back, walk_forward

__all__ = ["Lanes"]


class Lanes:
    """Dynamic unrolling on a fixed number of lanes.

    A lane that finishes a sequence takes the next one at once; its state is reset to that
    sequence's initial state (:class:`refrnn.lanes.LaneSchedule`).

    Parameters
    ----------
    lanes : int, optional
        S; by default the number that makes steps times the price of a step smallest.
    arithmetic : Arithmetic
        How matrix products are evaluated: NumPy's by default.
    """

    name = "lanes"

    def __init__(self, lanes: int | None = None, *, arithmetic: Arithmetic = BLAS) -> None:
        self.lanes = None if lanes is None else check_integer(lanes, "lanes", minimum=1)
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
        plan = LaneSchedule.from_lengths(batch.lengths, lanes=self.lanes)
        schedule = Schedule(plan.lane, plan.start, plan.batch_sizes)
        output, state_n, saved = walk_forward(
            cell, parameters, self._arithmetic, batch, state_0, reverse, schedule
        )
        N = batch.total_steps
        return Run(
            batch.with_values(output),
            state_n,
            Tape(self, cell, parameters, batch.lengths, reverse, batch.dtype, saved),
            Plan(self.name, plan.num_steps, N, N, {"lanes": plan.num_lanes}),
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
