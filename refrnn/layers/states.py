"""The states of a stack: one array of shape (L*D, B, size) for each letter of the cell's state."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..unroll.base import AnyCell, State
from ..validation import check_array, check_shape

__all__ = ["check_stacked_state", "stack_states", "state_of_run"]


def check_stacked_state(
    state: Any, name: str, cell: AnyCell, runs: int, batch_size: int, dtype: np.dtype[Any]
) -> State:
    """A full record of new arrays (runs, B, size); None, whole or in part, becomes zeros."""
    names = cell.state_names
    if state is None:
        state = (None,) * len(names)
    if not isinstance(state, tuple) or len(state) != len(names):
        has = f"{len(state)} parts" if isinstance(state, tuple) else f"type {type(state).__name__}"
        raise TypeError(f"{name} has {has}, expected a tuple ({', '.join(names)},)")
    parts = []
    for part, letter, size in zip(state, names, cell.state_sizes, strict=True):
        shape, label = (runs, batch_size, size), f"{name}.{letter}"
        if part is None:
            parts.append(np.zeros(shape, dtype))
            continue
        array = check_array(part, label, ndim=3, rule=f"(L*D, B, size) = {shape}")
        check_shape(array, label, shape, "(L*D, B, size)")
        if array.dtype != dtype:
            raise TypeError(f"{label} has dtype {array.dtype}, expected {dtype} as the batch")
        parts.append(array.copy(order="C"))
    return cell.state_type(*parts)


def state_of_run(state: State, index: int) -> State:
    """The state (B, size) of one run of the stack, as views."""
    return type(state)._make([array[index] for array in state])


def stack_states(states: list[State]) -> State:
    """The states of all runs as one record; new arrays."""
    return type(states[0])._make([np.stack(parts) for parts in zip(*states, strict=True)])
