"""The definition: one sequence at a time, one step at a time, exactly its length.

Everything else is checked against this file. Products are summed in one fixed order
(:data:`refrnn.arithmetic.EINSUM`), so the bits of a sequence's results depend on that sequence
alone: not on its neighbours, its place in the batch, or the number of threads.
"""

from __future__ import annotations

import itertools
from typing import Any, NamedTuple

import numpy as np

from ..arithmetic import EINSUM
from ..cells.base import tape_rows
from ..parameters import CellParameters
from ..ragged import RaggedBatch
from ..types import Array
from .base import (
    AnyCell,
    Gradients,
    NumpyUnroll,
    Plan,
    Run,
    State,
    Tape,
    add_gradients,
    gather,
    zero_gradients,
)

__all__ = ["PerSequence"]


class _Saved(NamedTuple):
    """Rows sequence after sequence, each in the order it was stepped."""

    x: Array
    tape: Any
    state_0: State


class PerSequence(NumpyUnroll):
    """Step one sequence after the other: the reference all others are compared with."""

    name = "per_sequence"

    def forward(
        self,
        cell: AnyCell,
        parameters: CellParameters,
        batch: RaggedBatch,
        state_0: State,
        reverse: bool,
    ) -> Run:
        weights = cell.weights(parameters, EINSUM)
        x = _in_step_order(batch.values, batch, reverse)
        tape = cell.new_tape(batch.total_steps, batch.dtype)
        state_n = gather(state_0, slice(None))
        state_n = type(state_n)._make([array.copy() for array in state_n])
        for b, (start, stop) in enumerate(_ranges(batch)):
            rows = tape_rows(tape, start, stop)
            cell.project_input(weights, x[start:stop], rows)
            state = gather(state_0, slice(b, b + 1))
            for t in range(stop - start):
                state = cell.step(weights, tape_rows(rows, t, t + 1), state)
            for final, last in zip(state_n, state, strict=True):
                final[b] = last[0]
        output = _in_step_order(cell.states(tape).h, batch, reverse)
        saved = _Saved(x, tape, state_0)
        N = batch.total_steps
        return Run(
            batch.with_values(output),
            state_n,
            Tape(self, cell, parameters, batch.lengths, reverse, batch.dtype, saved),
            Plan(self.name, N, N, N, {}),
        )

    def backward(self, tape: Tape, d_output: Array, d_state_n: State) -> Gradients:
        cell, saved = tape.cell, tape.saved
        weights = cell.weights(tape.parameters, EINSUM)
        batch = RaggedBatch(saved.x, tape.lengths)
        d_output = _in_step_order(d_output, batch, tape.reverse)
        d_x = np.empty_like(saved.x)
        d_state_0 = type(d_state_n)._make([array.copy() for array in d_state_n])
        total = zero_gradients(cell, tape.dtype)
        for b, (start, stop) in enumerate(_ranges(batch)):
            if start == stop:
                continue  # no step: the state and its cotangent pass unchanged
            rows = tape_rows(saved.tape, start, stop)
            prev = _states_before(cell, rows, gather(saved.state_0, slice(b, b + 1)))
            d_rows = cell.new_cotangents(stop - start, tape.dtype)
            d_state = gather(d_state_n, slice(b, b + 1))
            for t in reversed(range(stop - start)):
                d_state = d_state._replace(h=d_state.h + d_output[start + t])
                d_state = cell.step_backward(
                    weights,
                    tape_rows(rows, t, t + 1),
                    tape_rows(prev, t, t + 1),
                    d_state,
                    tape_rows(d_rows, t, t + 1),
                )
            for first, d_first in zip(d_state_0, d_state, strict=True):
                first[b] = d_first[0]
            x = saved.x[start:stop]
            d_x[start:stop] = cell.input_gradient(weights, d_rows)
            add_gradients(total, cell.parameter_gradients(weights, rows, prev, d_rows, x))
        d_input = batch.with_values(_in_step_order(d_x, batch, tape.reverse))
        return Gradients(CellParameters(total), d_input, d_state_0)


def _ranges(batch: RaggedBatch) -> list[tuple[int, int]]:
    """First row and end of each sequence."""
    return list(itertools.pairwise(batch.offsets.tolist()))


def _in_step_order(values: Array, batch: RaggedBatch, reverse: bool) -> Array:
    """A copy of `values`, each sequence turned round within its own length where `reverse`."""
    copy = values.copy(order="C")
    if reverse:
        for start, stop in _ranges(batch):
            copy[start:stop] = values[start:stop][::-1]
    return copy


def _states_before(cell: AnyCell, rows: Any, first: State) -> State:
    """The state before each step of one sequence: the initial one, then each step's result."""
    after = cell.states(rows)
    joined = [np.concatenate([f, a[:-1]]) for f, a in zip(first, after, strict=True)]
    return type(first)._make(joined)
