"""Time an unroll of refrnn. Imported in the process that runs it."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any

import numpy as np

from ..comparison import Case, run_case
from ..types import Array
from ..unroll import Unroll, backward, forward

__all__ = ["UnrollRunner", "prepare"]


class UnrollRunner:
    """A case and an unroll; every call goes through the public functions, checks included.

    Parameters
    ----------
    case : Case
    unroll : Unroll
    """

    def __init__(self, case: Case, unroll: Unroll) -> None:
        self._case = case
        self._unroll = unroll

    def forward(self) -> Any:
        """Forward as a caller gets it, the tape included."""
        case = self._case
        return forward(
            case.cell, case.parameters, case.batch, reverse=case.reverse, unroll=self._unroll
        )

    def forward_backward(self) -> Any:
        """Forward, then every gradient."""
        return backward(self.forward().tape, self._case.d_output)

    def results(self) -> Mapping[str, Array]:
        """Every result and gradient."""
        return run_case(self._case, self._unroll)

    def facts(self) -> Mapping[str, Any]:
        """What the plan of a run says."""
        plan = self.forward().plan
        return {
            "computed_steps": plan.computed_steps,
            "choices": {name: str(value) for name, value in plan.choices.items()},
            "versions": {"numpy": np.__version__},
        }


def prepare(case: Case, unroll: Unroll, threads: int) -> UnrollRunner | str:
    """A runner, or the reason why this unroll does not run this case.

    An unroll that can be told the number of its threads by an attribute ``num_threads``, and was
    not, is told it here.
    """
    if getattr(unroll, "num_threads", threads) is None:
        unroll = copy.copy(unroll)
        unroll.num_threads = threads  # type: ignore[attr-defined]
    reason = unroll.supports(case.cell, case.dtype, reverse=case.reverse)
    return reason or UnrollRunner(case, unroll)
