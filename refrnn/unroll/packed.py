"""Packed: sort by length, the batch shrinks as sequences end; what PyTorch and cuDNN do."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..packing import sort_by_length
from ..types import IntArray
from .step_major import Schedule, StepMajor

__all__ = ["Packed"]


class Packed(StepMajor):
    """Step the whole batch at once, without the sequences that have ended.

    Every sequence is a lane of its own, longest first.

    Parameters
    ----------
    arithmetic : Arithmetic
        How matrix products are evaluated: NumPy's by default.
    """

    name = "packed"

    def _schedule(self, lengths: IntArray) -> tuple[Schedule, dict[str, Any]]:
        _, place, batch_sizes = sort_by_length(lengths)
        return Schedule(place, np.zeros_like(place), batch_sizes), {}
