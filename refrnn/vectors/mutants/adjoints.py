"""Mutants that are right forward and wrong in the adjoint of a step."""

from __future__ import annotations

import functools
from typing import Any

import numpy as np

from ...cells import LSTM
from ...comparison import Case, Results
from ...types import Array
from .base import (
    Mutant,
    both,
    has,
    is_coupled,
    is_gru,
    is_lstm,
    is_plain_lstm,
    is_single,
    option,
    overridden,
    run,
)

__all__ = ["MUTANTS"]

_GROUP = "gradients"


# --- the step's adjoint ------------------------------------------------------------------------


def _backward(case: Case, wrong: Any) -> Results:
    """``wrong(cell, right, weights, tape, prev, d_state, d_tape)`` is the step's adjoint."""
    kind = type(case.cell)

    def step_backward(self: Any, *arguments: Any) -> Any:
        return wrong(self, functools.partial(kind.step_backward, self), *arguments)

    return run(overridden(case, step_backward=step_backward))


def _not_carried(case: Case, letter: str) -> Results:
    """Truncated after every step: this part of the state hands no cotangent back."""

    def wrong(cell: Any, right: Any, *arguments: Any) -> Any:
        d_prev = right(*arguments)
        return d_prev._replace(**{letter: np.zeros_like(getattr(d_prev, letter))})

    return _backward(case, wrong)


def _d_c_dropped(case: Case) -> Results:
    """The step takes no cotangent of c, only of h."""

    def wrong(
        cell: Any, right: Any, weights: Any, tape: Any, prev: Any, d: Any, d_tape: Any
    ) -> Any:
        return right(weights, tape, prev, d._replace(c=np.zeros_like(d.c)), d_tape)

    return _backward(case, wrong)


def _without_parameter(case: Case, name: str) -> Results:
    """The adjoint of a step lacks the terms with a parameter."""

    def wrong(cell: Any, right: Any, weights: Any, *rest: Any) -> Any:
        p = dict(weights.parameters)
        return right(weights._replace(parameters={**p, name: np.zeros_like(p[name])}), *rest)

    return _backward(case, wrong)


def _transposed_back(case: Case) -> Results:
    """d_h_prev = W_hh d_a, each gate's block transposed."""
    H = case.cell.hidden_size

    def wrong(cell: Any, right: Any, weights: Any, *rest: Any) -> Any:
        p = dict(weights.parameters)
        turned = p["W_hh"].reshape(-1, H, H).swapaxes(1, 2).reshape(-1, H)
        return right(weights._replace(parameters={**p, "W_hh": turned}), *rest)

    return _backward(case, wrong)


def _gate_without_gradient(case: Case, gate: int) -> Results:
    """The cotangent of one gate's pre-activation is zero."""

    def wrong(
        cell: Any, right: Any, weights: Any, tape: Any, prev: Any, d: Any, d_tape: Any
    ) -> Any:
        d_prev = right(weights, tape, prev, d, d_tape)
        block = cell._block(d_tape.a, gate)
        own = np.zeros_like(d_tape.a)
        cell._block(own, gate)[...] = block
        lost = own @ weights.parameters["W_hh"]
        block[...] = 0.0
        return d_prev._replace(h=d_prev.h - lost)

    return _backward(case, wrong)


def _gru_z_path(case: Case) -> Results:
    """d_h_prev lacks z d_h."""

    def wrong(
        cell: Any, right: Any, weights: Any, tape: Any, prev: Any, d: Any, d_tape: Any
    ) -> Any:
        d_prev = right(weights, tape, prev, d, d_tape)
        return d_prev._replace(h=d_prev.h - d.h * cell._block(tape.gates, 1))

    return _backward(case, wrong)


def _forget_path(case: Case) -> Results:
    """d_c_prev is d_c: the forget gate is missing."""

    def wrong(
        cell: Any, right: Any, weights: Any, tape: Any, prev: Any, d: Any, d_tape: Any
    ) -> Any:
        cell.__dict__["forgets"] = False
        d_prev = right(weights, tape, prev, d, d_tape)
        return d_prev

    return _backward(overridden(case, _forget=_forget_once), wrong)


def _forget_once(self: Any, tape: Any) -> Any:
    """F forward, 1 backward."""
    if self.__dict__.get("forgets", True):
        return LSTM._forget(self, tape)
    return np.ones_like(tape.c)


def _unclipped(case: Case) -> Results:
    """The derivative of the gate clip is 1 everywhere."""

    def _pull_back(self: Any, f: Any, a: Array, y: Array, d_y: Array, d_a: Array) -> None:
        np.multiply(d_y, f.derivative(self._clipped(a), y), out=d_a)

    return run(overridden(case, _pull_back=_pull_back))


def _derivative_unclipped_argument(case: Case) -> Results:
    """The derivative of the activation at the pre-activation before the clip."""

    def _pull_back(self: Any, f: Any, a: Array, y: Array, d_y: Array, d_a: Array) -> None:
        np.multiply(d_y, f.derivative(a, f.value(a)), out=d_a)

    return run(overridden(case, _pull_back=_pull_back))


def _cell_unclipped(case: Case) -> Results:
    """The derivative of the cell clip is 1 everywhere."""

    def wrong(cell: Any, right: Any, weights: Any, tape: Any, *rest: Any) -> Any:
        return right(weights, tape._replace(clipped=np.zeros_like(tape.clipped)), *rest)

    return _backward(case, wrong)


def _coupled_without_f(case: Case) -> Results:
    """d_i lacks -d_f: the forget gate counts as a constant."""

    def _input_forget_backward(self: Any, tape: Any, c_prev: Array, d_c: Array, d_a: Array) -> None:
        kind._input_forget_backward(self, tape, np.zeros_like(c_prev), d_c, d_a)

    kind: Any = type(case.cell)
    return run(overridden(case, _input_forget_backward=_input_forget_backward))


# --- the list ----------------------------------------------------------------------------------


def _steps(case: Any) -> bool:
    return is_single(case) and case.batch.total_steps > 0


def _square(case: Any) -> bool:
    return _steps(case) and case.cell.output_size == case.cell.hidden_size


def _m(name: str, about: str, applies: Any, how: Any, /, *args: Any, **options: Any) -> Mutant:
    run_it = (lambda case: how(case, *args, **options)) if args or options else how
    return Mutant(name, about, _GROUP, applies, run_it)


_LSTM_GATES = (("input", 0), ("forget", 1), ("cell", 2), ("output", 3))
_GRU_GATES = (("reset", 0), ("update", 1), ("candidate", 2))

MUTANTS: list[Mutant] = [
    _m(
        "no gradient through h",
        "cuts backpropagation after every step, for h",
        _steps,
        _not_carried,
        "h",
    ),
    _m(
        "no gradient through c",
        "cuts backpropagation after every step, for c",
        both(is_lstm, _steps),
        _not_carried,
        "c",
    ),
    _m(
        "d_c of the step after dropped",
        "a step takes the cotangent of h alone",
        both(is_lstm, _steps),
        _d_c_dropped,
    ),
    _m("d_c not multiplied by f", "hands d_c on as it is", both(is_lstm, _steps), _forget_path),
    *(
        _m(
            f"{name} not in the adjoint of the step",
            f"leaves {name} out of d_c",
            both(has(name), _steps),
            _without_parameter,
            name,
        )
        for name in ("p_i", "p_f", "p_o")
    ),
    _m("W_hh transposed backward", "d_h_prev = W_hh d_a", _square, _transposed_back),
    *(
        _m(
            f"no gradient of the {name} gate (LSTM)",
            "its d_a is zero",
            both(is_plain_lstm, _steps),
            _gate_without_gradient,
            gate,
        )
        for name, gate in _LSTM_GATES
    ),
    *(
        _m(
            f"no gradient of the {name} gate (GRU)",
            "its d_a is zero",
            both(is_gru, _steps),
            _gate_without_gradient,
            gate,
        )
        for name, gate in _GRU_GATES
    ),
    _m("d_h through z missing", "d_h_prev lacks z d_h", both(is_gru, _steps), _gru_z_path),
    _m(
        "gate clip without derivative",
        "takes the derivative of the clip for 1",
        both(option("gate_clip"), _steps),
        _unclipped,
    ),
    _m(
        "activation's derivative before the clip",
        "f'(a) for f'(clip(a)), and 1 for the derivative of the clip",
        both(option("gate_clip"), _steps),
        _derivative_unclipped_argument,
    ),
    _m(
        "cell clip without derivative",
        "takes the derivative of the clip for 1",
        both(option("cell_clip"), _steps),
        _cell_unclipped,
    ),
    _m("coupled gate without d_f", "d_i lacks -d_f", both(is_coupled, _steps), _coupled_without_f),
]
