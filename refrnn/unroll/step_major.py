"""The walk that packed and lanes share: the rows of a step lie next to each other.

Rows are stored step after step. Within a step, row j belongs to lane j, and the lanes still busy
at a step are the first ones, so every step is a contiguous range of rows and nothing of size B*T
exists. In *packed* order every sequence is a lane of its own, longest first; with a lane schedule
a lane runs several sequences back to back and its state is reset where one begins.
"""

from __future__ import annotations

import itertools
from abc import ABC, abstractmethod
from typing import Any, NamedTuple

import numpy as np

from ..arithmetic import BLAS, Arithmetic
from ..cells.base import tape_rows
from ..padding import row_coordinates
from ..parameters import CellParameters
from ..ragged import RaggedBatch
from ..types import Array, IntArray
from .base import AnyCell, Gradients, NumpyUnroll, Plan, Run, State, Tape, gather

__all__ = ["Schedule", "StepMajor"]


class Schedule(NamedTuple):
    """Where every sequence runs.

    Attributes
    ----------
    lane : ndarray of int64, shape (B,)
        The lane of each sequence; of no meaning at length 0.
    start : ndarray of int64, shape (B,)
        The step at which each sequence begins.
    batch_sizes : ndarray of int64, shape (steps,)
        Busy lanes at each step; never rises.
    """

    lane: IntArray
    start: IntArray
    batch_sizes: IntArray


class _Saved(NamedTuple):
    """What the walk back needs; rows in step-major order."""

    schedule: Schedule
    x: Array
    tape: Any
    state_0: State


class _Layout(NamedTuple):
    """Row numbers derived from a schedule.

    ``place`` (N,): at which step-major row each row of the batch stands; ``before`` (N,): at which
    one the step before stands (anything at a first step); ``step_rows`` (steps + 1,): where each
    step's rows begin; ``sequences``: those of length > 0 by first row; ``first`` and ``last``:
    their first and last step-major rows; ``begins`` (steps + 1,): how many of them have begun
    before each step.
    """

    place: IntArray
    before: IntArray
    step_rows: list[int]
    sequences: IntArray
    first: IntArray
    last: IntArray
    begins: list[int]


def _layout(schedule: Schedule, lengths: IntArray, reverse: bool) -> _Layout:
    """Derive the row numbers."""
    step_rows = np.concatenate([np.zeros(1, np.int64), np.cumsum(schedule.batch_sizes)])
    sequence, step = row_coordinates(lengths)
    if reverse:
        step = lengths[sequence] - 1 - step
    at, lane = schedule.start[sequence] + step, schedule.lane[sequence]
    place = step_rows[at] + lane
    before = np.empty_like(place)
    before[place] = step_rows[np.maximum(at - 1, 0)] + lane
    busy = np.flatnonzero(lengths)
    first = step_rows[schedule.start[busy]] + schedule.lane[busy]
    order = np.argsort(first)
    busy, first = busy[order], first[order]
    last = step_rows[schedule.start[busy] + lengths[busy] - 1] + schedule.lane[busy]
    begins = np.searchsorted(first, step_rows)
    return _Layout(place, before, step_rows.tolist(), busy, first, last, begins.tolist())


class StepMajor(NumpyUnroll, ABC):
    """An unroll that is a schedule of sequences on lanes.

    Parameters
    ----------
    arithmetic : Arithmetic
        How matrix products are evaluated: NumPy's by default.
    """

    def __init__(self, *, arithmetic: Arithmetic = BLAS) -> None:
        if not hasattr(arithmetic, "product"):
            raise TypeError(
                f"arithmetic has type {type(arithmetic).__name__}, expected one of "
                "refrnn.arithmetic"
            )
        self._arithmetic = arithmetic

    @abstractmethod
    def _schedule(self, lengths: IntArray) -> tuple[Schedule, dict[str, Any]]:
        """Where every sequence runs, and what of it the plan should tell."""

    def forward(
        self,
        cell: AnyCell,
        parameters: CellParameters,
        batch: RaggedBatch,
        state_0: State,
        reverse: bool,
    ) -> Run:
        schedule, choices = self._schedule(batch.lengths)
        layout = _layout(schedule, batch.lengths, reverse)
        weights = cell.weights(parameters, self._arithmetic)
        N = batch.total_steps
        x = np.empty(batch.values.shape, batch.dtype)
        x[layout.place] = batch.values
        tape = cell.new_tape(N, batch.dtype)
        cell.project_input(weights, x, tape)
        state: State = None  # of the lanes after the step before
        for t, (start, stop) in enumerate(itertools.pairwise(layout.step_rows)):
            prev = _enter(layout, t, state, state_0, stop - start)
            state = cell.step(weights, tape_rows(tape, start, stop), prev)
        after = cell.states(tape)
        state_n = type(state_0)._make([array.copy() for array in state_0])
        for final, rows in zip(state_n, after, strict=True):
            final[layout.sequences] = rows[layout.last]
        saved = _Saved(schedule, x, tape, state_0)
        return Run(
            batch.with_values(after.h[layout.place]),
            state_n,
            Tape(self, cell, parameters, batch.lengths, reverse, batch.dtype, saved),
            Plan(self.name, schedule.batch_sizes.size, N, N, choices),
        )

    def backward(self, tape: Tape, d_output: Array, d_state_n: State) -> Gradients:
        cell, saved = tape.cell, tape.saved
        layout = _layout(saved.schedule, tape.lengths, tape.reverse)
        weights = cell.weights(tape.parameters, self._arithmetic)
        prev = _states_before(cell, layout, saved)
        d_after = _direct_cotangents(layout, d_output, d_state_n)
        d_tape = cell.new_cotangents(len(saved.x), tape.dtype)
        d_state_0 = type(d_state_n)._make([array.copy() for array in d_state_n])
        d_carry: State = None  # cotangent of the state between step t and step t + 1
        for t in reversed(range(len(layout.step_rows) - 1)):
            start, stop = layout.step_rows[t], layout.step_rows[t + 1]
            d_state = tape_rows(d_after, start, stop)
            if d_carry is not None:
                for direct, carried in zip(d_state, d_carry, strict=True):
                    direct[: len(carried)] += carried
            d_carry = cell.step_backward(
                weights,
                tape_rows(saved.tape, start, stop),
                tape_rows(prev, start, stop),
                d_state,
                tape_rows(d_tape, start, stop),
            )
            _leave(layout, t, d_carry, d_state_0)
        d_x = cell.input_gradient(weights, d_tape)[layout.place]
        gradients = cell.parameter_gradients(weights, saved.tape, prev, d_tape, saved.x)
        return Gradients(CellParameters(gradients), RaggedBatch(d_x, tape.lengths), d_state_0)


def _enter(layout: _Layout, t: int, state: State, state_0: State, busy: int) -> State:
    """The state before step t of the busy lanes: a lane whose sequence begins takes its state_0."""
    begin, end = layout.begins[t], layout.begins[t + 1]
    if begin == end:
        return tape_rows(state, 0, busy)
    sequences = layout.sequences[begin:end]
    if end - begin == busy:  # all of them, lane by lane
        return gather(state_0, sequences)
    lanes = layout.first[begin:end] - layout.step_rows[t]
    prev = type(state_0)._make([array[:busy].copy() for array in state])
    for lane_state, initial in zip(prev, state_0, strict=True):
        lane_state[lanes] = initial[sequences]
    return prev


def _states_before(cell: AnyCell, layout: _Layout, saved: _Saved) -> State:
    """The state before each row's step, shape (N, size)."""
    prev = gather(cell.states(saved.tape), layout.before)
    for before, initial in zip(prev, saved.state_0, strict=True):
        before[layout.first] = initial[layout.sequences]
    return prev


def _direct_cotangents(layout: _Layout, d_output: Array, d_state_n: State) -> State:
    """What reaches each row's state from outside: its output, and at a last step state_n."""
    d_after = type(d_state_n)._make(
        [np.zeros((len(d_output), array.shape[1]), array.dtype) for array in d_state_n]
    )
    d_after.h[layout.place] = d_output
    for direct, d_final in zip(d_after, d_state_n, strict=True):
        direct[layout.last] += d_final[layout.sequences]
    return d_after


def _leave(layout: _Layout, t: int, d_carry: State, d_state_0: State) -> None:
    """Hand the cotangent of sequences that begin at step t to state_0; clear it on their lanes."""
    begin, end = layout.begins[t], layout.begins[t + 1]
    if begin == end:
        return
    lanes = layout.first[begin:end] - layout.step_rows[t]
    for carried, initial in zip(d_carry, d_state_0, strict=True):
        initial[layout.sequences[begin:end]] = carried[lanes]
        carried[lanes] = 0
