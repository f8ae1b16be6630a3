"""Cases made of cases: sequences chosen, put back, turned round; and which rows are whose."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..comparison import Case, Results
from ..ragged import RaggedBatch
from ..types import Array, IntArray

__all__ = ["is_parameter", "rows_of", "scatter", "take", "turn"]


def is_parameter(case: Case, name: str) -> bool:
    """Whether the result of this name is the gradient of a parameter."""
    return name.removeprefix("d_") in case.parameters


def rows_of(case: Case, name: str, chosen: IntArray) -> IntArray:
    """Which rows of a result belong to the chosen sequences, in their order.

    Parameters
    ----------
    case : Case
    name : str
        Of a result that has rows: not of the gradient of a parameter.
    chosen : ndarray of int64
        Sequence numbers.
    """
    if name not in ("output", "d_input"):
        return chosen
    starts = case.batch.offsets
    ranges = [np.arange(starts[b], starts[b + 1]) for b in chosen]
    return np.concatenate([np.zeros(0, np.int64), *ranges])


def take(case: Case, chosen: IntArray) -> Case:
    """The case of the chosen sequences alone, in that order."""

    def pick(state: Any) -> Any:
        return None if state is None else type(state)._make([a[chosen] for a in state])

    rows = rows_of(case, "output", chosen)
    return case._replace(
        batch=case.batch.permute(chosen),
        d_output=None if case.d_output is None else case.d_output[rows],
        state_0=pick(case.state_0),
        d_state_n=pick(case.d_state_n),
    )


def scatter(case: Case, chosen: IntArray, part: Results, into: Results) -> None:
    """Write the results of ``take(case, chosen)`` to their rows in `into`, **in place**.

    Gradients of parameters, which have no rows, are left alone.
    """
    for name, array in part.items():
        if not is_parameter(case, name):
            into[name][rows_of(case, name, chosen)] = array


def turn(values: Array, lengths: IntArray) -> Array:
    """Every sequence of flat rows reversed within its own length; a new array."""
    empty = np.zeros((0, values.shape[1]), values.dtype)
    return np.concatenate([empty, *(rows[::-1] for rows in RaggedBatch(values, lengths))])
