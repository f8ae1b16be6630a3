"""Masked: pad to the longest, step every row every time, keep the old state where it ended.

What Keras and TensorFlow do, and what shows the waste: B*T row steps are computed. Padding is
indexed out, never multiplied by a mask, so that NaN in a padded row reaches nothing.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from ..arithmetic import BLAS
from ..cells.base import tape_rows
from ..padding import row_coordinates, sequence_mask
from ..parameters import CellParameters
from ..ragged import RaggedBatch
from ..types import Array, IntArray
from ..validation import check_padding_value
from .base import AnyCell, Gradients, NumpyUnroll, Plan, Run, State, Tape

__all__ = ["Masked"]


class _Saved(NamedTuple):
    """Rows of all T*B padded steps, time-major; ``before`` the state before each."""

    x: Array
    tape: Any
    before: State


class Masked(NumpyUnroll):
    """Step a padded batch; a sequence that has ended keeps its state by index.

    Parameters
    ----------
    padding_value : float
        What padded input rows hold while they are stepped for nothing. No result depends on it;
        NaN is a good way to see that.
    """

    name = "masked"

    def __init__(self, padding_value: float = 0.0) -> None:
        self.padding_value = check_padding_value(padding_value)

    def forward(
        self,
        cell: AnyCell,
        parameters: CellParameters,
        batch: RaggedBatch,
        state_0: State,
        reverse: bool,
    ) -> Run:
        T, B = batch.max_length, batch.batch_size
        weights = cell.weights(parameters, BLAS)
        place = _places(batch.lengths, reverse)
        alive = sequence_mask(batch.lengths, T)
        x = np.full((T * B, batch.features), self.padding_value, batch.dtype)
        x[place] = batch.values
        tape = cell.new_tape(T * B, batch.dtype)
        cell.project_input(weights, x, tape)
        before = type(state_0)._make(
            [np.empty((T * B, array.shape[1]), array.dtype) for array in state_0]
        )
        state = type(state_0)._make([array.copy() for array in state_0])
        for t in range(T):
            start, stop = t * B, (t + 1) * B
            _write(tape_rows(before, start, stop), state)
            new = cell.step(weights, tape_rows(tape, start, stop), state)
            for kept, stepped in zip(state, new, strict=True):
                kept[alive[t]] = stepped[alive[t]]
        output = cell.states(tape).h[place]
        saved = _Saved(x, tape, before)
        return Run(
            batch.with_values(output),
            state,
            Tape(self, cell, parameters, batch.lengths, reverse, batch.dtype, saved),
            Plan(self.name, T, batch.total_steps, T * B, {}),
        )

    def backward(self, tape: Tape, d_output: Array, d_state_n: State) -> Gradients:
        cell, saved, lengths = tape.cell, tape.saved, tape.lengths
        T, B = int(lengths.max(initial=0)), lengths.size
        weights = cell.weights(tape.parameters, BLAS)
        place = _places(lengths, tape.reverse)
        alive = sequence_mask(lengths, T)
        d_outputs = np.zeros((T * B, cell.output_size), tape.dtype)
        d_outputs[place] = d_output
        d_tape = cell.new_cotangents(T * B, tape.dtype)
        d_state = type(d_state_n)._make([array.copy() for array in d_state_n])
        for t in reversed(range(T)):
            start, stop = t * B, (t + 1) * B
            d_state.h[...] += d_outputs[start:stop]
            d_new = cell.step_backward(
                weights,
                tape_rows(saved.tape, start, stop),
                tape_rows(saved.before, start, stop),
                d_state,
                tape_rows(d_tape, start, stop),
            )
            for d_kept, d_stepped in zip(d_state, d_new, strict=True):
                d_kept[alive[t]] = d_stepped[alive[t]]
        # only real rows go into the sums: 0 * NaN would be NaN
        rows = type(saved.tape)._make([array[place] for array in saved.tape])
        d_rows = type(d_tape)._make([array[place] for array in d_tape])
        prev = type(saved.before)._make([array[place] for array in saved.before])
        gradients = cell.parameter_gradients(weights, rows, prev, d_rows, saved.x[place])
        d_x = cell.input_gradient(weights, d_rows)
        return Gradients(CellParameters(gradients), RaggedBatch(d_x, lengths), d_state)


def _places(lengths: IntArray, reverse: bool) -> IntArray:
    """At which of the T*B time-major rows each row of the batch is stepped."""
    sequence, step = row_coordinates(lengths)
    if reverse:
        step = lengths[sequence] - 1 - step
    return step * lengths.size + sequence


def _write(target: State, source: State) -> None:
    """Copy every array of a state record."""
    for to, array in zip(target, source, strict=True):
        to[...] = array
