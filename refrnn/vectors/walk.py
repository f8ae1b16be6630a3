"""The walk through ragged time for numbers of any kind: equations U1 to U3 and their adjoints.

The cells' own steps, on :class:`~refrnn.vectors.portable.Portable` arrays. The unrolls check and
convert to the dtypes that users have; here the elements may be decimals.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np

from ..cells.base import tape_rows
from ..layers import Recurrent
from ..types import Array, IntArray
from ..unroll.base import AnyCell, State
from .portable import Portable

__all__ = ["Problem", "Walked", "runs_of", "walk", "walk_stack"]


class Problem(NamedTuple):
    """What is run, every array of one kind of numbers.

    Attributes
    ----------
    parameters : dict of str to ndarray
    x : ndarray of shape (N, I)
    lengths : ndarray of int64, shape (B,)
    state_0, d_state_n : tuple of ndarrays (B, size), or (L*D, B, size) of a stack
    d_output : ndarray of shape (N, R), or (N, D*R)
    """

    parameters: Mapping[str, Array]
    x: Array
    lengths: IntArray
    state_0: State
    d_output: Array
    d_state_n: State

    def converted(self, convert: Callable[[Array], Array]) -> Problem:
        """The same with another kind of numbers."""
        return self._replace(
            parameters={name: convert(array) for name, array in self.parameters.items()},
            x=convert(self.x),
            state_0=_map(convert, self.state_0),
            d_output=convert(self.d_output),
            d_state_n=_map(convert, self.d_state_n),
        )

    def repeated(self, times: int) -> Problem:
        """A batch of `times` copies of the batch, one after the other."""

        def rows(array: Array) -> Array:
            return np.concatenate([array] * times, axis=-2)

        return self._replace(
            x=rows(self.x),
            lengths=np.tile(self.lengths, times),
            state_0=_map(rows, self.state_0),
            d_output=rows(self.d_output),
            d_state_n=_map(rows, self.d_state_n),
        )


class Walked(NamedTuple):
    """Results; `d_parameters` has one record a copy of the batch."""

    output: Array
    state_n: State
    d_input: Array
    d_state_0: State
    d_parameters: list[dict[str, Array]]


class _Steps(NamedTuple):
    """Which sequences are alive at a step, and where its rows are.

    `order`: row of the batch, step after step; `ranges`: first and last of a step; `alive`:
    sequences of a step; `copy_of_row`: which copy of the batch a row in this order belongs to.
    """

    order: IntArray
    ranges: list[tuple[int, int]]
    alive: list[IntArray]
    copy_of_row: IntArray


class _Ran(NamedTuple):
    """A forward run, and what its backward needs."""

    output: Array
    state_n: State
    weights: Any
    steps: _Steps
    x: Array
    tape: Any
    prev: Any


def walk(
    cell: AnyCell, problem: Problem, arithmetic: Any, *, reverse: bool = False, copies: int = 1
) -> Walked:
    """Run a cell forward and backward.

    Parameters
    ----------
    cell : Cell
    problem : Problem
        Of portable arrays.
    arithmetic : Arithmetic
    reverse : bool
    copies : int
        How many equal parts the batch has; parameter gradients are summed in each.
    """
    ran = _forward(cell, problem, arithmetic, reverse, copies)
    d_input, d_state_0, d_parameters = _backward(
        cell, ran, problem.d_output, problem.d_state_n, copies
    )
    return Walked(ran.output, ran.state_n, d_input, d_state_0, d_parameters)


def walk_stack(layer: Recurrent, problem: Problem, arithmetic: Any, *, copies: int = 1) -> Walked:
    """Run a stack forward and backward, as :class:`refrnn.layers.Recurrent` does.

    Parameters
    ----------
    layer : Recurrent
    problem, arithmetic, copies
        As in :func:`walk`; states are (L*D, B, size).
    """
    D, runs = layer.num_directions, runs_of(layer)
    ran: list[_Ran] = []
    x = problem.x
    for k, (cell, suffix) in enumerate(runs):
        own = {name: problem.parameters[name + suffix] for name in cell.parameter_shapes()}
        one = problem._replace(parameters=own, x=x, state_0=_map(_part(k), problem.state_0))
        ran.append(_forward(cell, one, arithmetic, k % D == 1, copies))
        if k % D == D - 1:
            x = np.concatenate([r.output for r in ran[-D:]], axis=1)
    d_y, d_states = problem.d_output, [problem.d_state_n] * len(runs)
    d_parameters: list[dict[str, Array]] = [{} for _ in range(copies)]
    for i in reversed(range(layer.num_layers)):
        d_x = []
        for k in range(i * D, (i + 1) * D):
            R, final = runs[k][0].output_size, _map(_part(k), problem.d_state_n)
            own_d = d_y[:, (k % D) * R : (k % D + 1) * R]
            d_input, d_states[k], d_own = _backward(runs[k][0], ran[k], own_d, final, copies)
            d_x.append(d_input)
            for total, gradients in zip(d_parameters, d_own, strict=True):
                total.update({name + runs[k][1]: a for name, a in gradients.items()})
        d_y = d_x[0] if D == 1 else d_x[0] + d_x[1]
    return Walked(x, _stack([r.state_n for r in ran]), d_y, _stack(d_states), d_parameters)


def runs_of(layer: Recurrent) -> list[tuple[AnyCell, str]]:
    """Cell and suffix of its parameters of every run of a stack, index layer * D + direction."""
    directions = ("", "_reverse")[: layer.num_directions]
    return [(cell, f"_l{i}{d}") for i, cell in enumerate(layer.cells) for d in directions]


def _forward(cell: AnyCell, problem: Problem, arithmetic: Any, reverse: bool, copies: int) -> _Ran:
    steps = _steps(problem.lengths, reverse, copies)
    parameters: Any = problem.parameters
    weights = cell.weights(parameters, arithmetic)
    x, N = problem.x[steps.order], len(steps.order)
    tape = _portable(cell.new_tape(N, x.dtype))
    cell.project_input(weights, x, tape)
    state = _map(np.copy, problem.state_0)
    prevs = [_rows(state, np.zeros(0, np.int64))]
    for (start, stop), alive in zip(steps.ranges, steps.alive, strict=True):
        prev = _rows(state, alive)
        new = cell.step(weights, tape_rows(tape, start, stop), prev)
        for whole, part in zip(state, new, strict=True):
            whole[alive] = part
        prevs.append(prev)
    prev = type(state)._make([np.concatenate(parts) for parts in zip(*prevs, strict=True)])
    output = np.empty_like(cell.states(tape).h)
    output[steps.order] = cell.states(tape).h
    return _Ran(output, state, weights, steps, x, tape, prev)


def _backward(
    cell: AnyCell, ran: _Ran, d_output: Array, d_state_n: State, copies: int
) -> tuple[Array, State, list[dict[str, Array]]]:
    steps, weights = ran.steps, ran.weights
    d_rows = _portable(cell.new_cotangents(len(steps.order), ran.x.dtype))
    d_state, d_output = _map(np.copy, d_state_n), d_output[steps.order]
    for (start, stop), alive in reversed(list(zip(steps.ranges, steps.alive, strict=True))):
        d_own = _rows(d_state, alive)
        d_own = d_own._replace(h=d_own.h + d_output[start:stop])
        at = [tape_rows(record, start, stop) for record in (ran.tape, ran.prev, d_rows)]
        d_prev = cell.step_backward(weights, at[0], at[1], d_own, at[2])
        for whole, part in zip(d_state, d_prev, strict=True):
            whole[alive] = part
    d_input = np.empty_like(ran.x)
    d_input[steps.order] = cell.input_gradient(weights, d_rows)
    gradients = []
    for copy in range(copies):
        own = steps.copy_of_row == copy
        tape, prev, d_tape = (_rows(record, own) for record in (ran.tape, ran.prev, d_rows))
        gradients.append(cell.parameter_gradients(weights, tape, prev, d_tape, ran.x[own]))
    return d_input, d_state, gradients


def _steps(lengths: IntArray, reverse: bool, copies: int) -> _Steps:
    first = np.cumsum(lengths) - lengths
    alive = [np.flatnonzero(lengths > t) for t in range(lengths.max(initial=0))]
    rows = [first[b] + (lengths[b] - 1 - t if reverse else t) for t, b in enumerate(alive)]
    ends = np.cumsum([len(b) for b in alive], dtype=np.int64).tolist()
    ranges = list(zip([0, *ends[:-1]], ends, strict=True)) if ends else []
    empty = np.zeros(0, np.int64)
    sequences = np.concatenate([empty, *alive])
    return _Steps(
        np.concatenate([empty, *rows]),
        ranges,
        alive,
        sequences // max(1, len(lengths) // copies),
    )


def _map(convert: Callable[[Array], Array], state: State) -> Any:
    return type(state)._make([convert(array) for array in state])


def _rows(record: Any, index: Any) -> Any:
    """Copies of some rows of every array."""
    return _map(lambda array: array[index], record)


def _part(k: int) -> Callable[[Array], Array]:
    return lambda array: array[k]


def _stack(states: list[State]) -> State:
    return type(states[0])._make([np.stack(parts) for parts in zip(*states, strict=True)])


def _portable(record: Any) -> Any:
    """Arrays just made, as portable ones; masks stay what they are."""
    return _map(lambda a: a if a.dtype == bool else a.view(Portable), record)
