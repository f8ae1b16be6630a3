"""Lanes: every lane runs sequences back to back; no padding and a nearly full batch each step."""

from __future__ import annotations

from typing import Any

from ..arithmetic import BLAS, Arithmetic
from ..lanes import LaneSchedule
from ..types import IntArray
from ..validation import check_integer
from .step_major import Schedule, StepMajor

__all__ = ["Lanes"]


class Lanes(StepMajor):
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
        super().__init__(arithmetic=arithmetic)
        self.lanes = None if lanes is None else check_integer(lanes, "lanes", minimum=1)

    def _schedule(self, lengths: IntArray) -> tuple[Schedule, dict[str, Any]]:
        plan = LaneSchedule.from_lengths(lengths, lanes=self.lanes)
        return Schedule(plan.lane, plan.start, plan.batch_sizes), {"lanes": plan.num_lanes}
