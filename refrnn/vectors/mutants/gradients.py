"""Mutants that are right forward and wrong backward: in what is given, returned or summed."""

from __future__ import annotations

import functools
from typing import Any

import numpy as np

from ...comparison import Case, Results
from ...types import Array
from .base import (
    Mutant,
    WrongDerivative,
    activation_slots,
    both,
    has,
    is_gru,
    is_lstm,
    is_single,
    overridden,
    run,
    with_activation,
)

__all__ = ["MUTANTS"]

_GROUP = "gradients"


# --- results that are missing, scaled or not taken in ------------------------------------------


def _zeroed(case: Case, *names: str) -> Results:
    results = run(case)
    return {n: np.zeros_like(a) if n in names else a for n, a in results.items()}


def _averaged(case: Case, over: str) -> Results:
    """Parameter gradients divided by the number of sequences, or of steps."""
    count = len(case.batch) if over == "sequences" else case.batch.total_steps
    results = run(case)
    return {**results, **{f"d_{n}": results[f"d_{n}"] / count for n in case.parameters}}


def _ignored(case: Case, *names: str) -> Results:
    """Cotangents taken for zero."""
    if names == ("d_output",):
        return run(case._replace(d_output=None))
    zero = {n[2]: np.zeros_like(getattr(case.d_state_n, n[2])) for n in names}
    return run(case._replace(d_state_n=case.d_state_n._replace(**zero)))


def _last_row_ignored(case: Case) -> Results:
    """d_output of the last step stepped is overwritten by d_h_n, not added to it."""
    assert case.d_output is not None
    d_output, offsets = case.d_output.copy(), case.batch.offsets
    steps = case.batch.lengths > 0
    rows = offsets[:-1][steps] if case.reverse else offsets[1:][steps] - 1
    d_output[rows] = 0.0
    return run(case._replace(d_output=d_output))


def _first_step_without_h_0(case: Case) -> Results:
    """d_W_hh lacks the first steps, as if every sequence began at h = 0."""
    first = case.state_0.h

    def parameter_gradients(self: Any, weights: Any, tape: Any, prev: Any, d: Any, x: Array) -> Any:
        is_first = (prev.h[:, None, :] == first[None]).all(axis=2).any(axis=1)
        h = np.where(is_first[:, None], 0.0, prev.h)
        right = kind.parameter_gradients(self, weights, tape, prev, d, x)
        wrong = kind.parameter_gradients(self, weights, tape, prev._replace(h=h), d, x)
        return {**right, "W_hh": wrong["W_hh"]}

    kind = type(case.cell)
    return run(overridden(case, parameter_gradients=parameter_gradients))


# --- derivatives of activations ----------------------------------------------------------------


def _no_derivative(case: Case, slot: str) -> Results:
    """The derivative of an activation is 1."""
    f = getattr(case.cell, slot)
    return run(with_activation(case, slot, WrongDerivative(f, lambda a, y: np.ones_like(y))))


def _sigmoids_for(case: Case) -> Results:
    """Y (1 - y) as the derivative of every activation."""
    for slot in activation_slots(case.cell):
        f = WrongDerivative(getattr(case.cell, slot), lambda a, y: y * (1.0 - y))
        case = with_activation(case, slot, f)
    return run(case)


def _at_output(case: Case) -> Results:
    """1 - tanh(y)^2: the derivative at the output, not at the pre-activation."""
    for slot in activation_slots(case.cell):
        right = getattr(case.cell, slot)
        wrong = WrongDerivative(right, lambda a, y, f=right: f.derivative(y, f.value(y)))  # type: ignore[misc]
        case = with_activation(case, slot, wrong)
    return run(case)


# --- sums of the parameter gradients -----------------------------------------------------------


def _sums(case: Case, wrong: Any) -> Results:
    """``wrong(cell, right, weights, tape, prev, d_tape, x)`` are the parameter gradients."""
    kind = type(case.cell)

    def parameter_gradients(self: Any, *arguments: Any) -> Any:
        return wrong(self, functools.partial(kind.parameter_gradients, self), *arguments)

    return run(overridden(case, parameter_gradients=parameter_gradients))


def _from_new_state(case: Case, letter: str, *names: str) -> Results:
    """Gradients of these parameters from the state after the step instead of before."""

    def wrong(cell: Any, right: Any, weights: Any, tape: Any, prev: Any, d: Any, x: Array) -> Any:
        after = prev._replace(**{letter: getattr(cell.states(tape), letter)})
        other = right(weights, tape, after, d, x)
        return {**right(weights, tape, prev, d, x), **{n: other[n] for n in names if n in other}}

    return _sums(case, wrong)


def _p_o_from_old_c(case: Case) -> Results:
    """d_p_o from c_prev."""

    def wrong(cell: Any, right: Any, weights: Any, tape: Any, prev: Any, d: Any, x: Array) -> Any:
        other = right(weights, tape._replace(c=prev.c), prev, d, x)
        return {**right(weights, tape, prev, d, x), "p_o": other["p_o"]}

    return _sums(case, wrong)


def _without_reset(case: Case, name: str) -> Results:
    """The gradient of the block n lacks the factor r."""

    def wrong(cell: Any, right: Any, weights: Any, tape: Any, prev: Any, d: Any, x: Array) -> Any:
        gradients = right(weights, tape, prev, d, x)
        plain = cell._sums(weights, d.a, prev.h, x)[name]
        return {**gradients, name: plain}

    return _sums(case, wrong)


def _w_hr_from_c(case: Case) -> Results:
    """d_W_hr from eta(c), without the output gate."""

    def wrong(cell: Any, right: Any, weights: Any, tape: Any, prev: Any, d: Any, x: Array) -> Any:
        gates = tape.gates.copy()
        cell._block(gates, cell.num_gates - 1)[...] = 1.0
        other = right(weights, tape._replace(gates=gates), prev, d, x)
        return {**right(weights, tape, prev, d, x), "W_hr": other["W_hr"]}

    return _sums(case, wrong)


# --- the list ----------------------------------------------------------------------------------


def _steps(case: Any) -> bool:
    return is_single(case) and case.batch.total_steps > 0


def _given(name: str) -> Any:
    return lambda case: is_single(case) and getattr(case, name) is not None and len(case.batch) > 0


def _reset(after: bool) -> Any:
    return lambda case: is_gru(case) and case.cell.reset_after == after


def _slot(slot: str) -> Any:
    return lambda case: _steps(case) and slot in activation_slots(case.cell)


def _m(name: str, about: str, applies: Any, how: Any, /, *args: Any, **options: Any) -> Mutant:
    run_it = (lambda case: how(case, *args, **options)) if args or options else how
    return Mutant(name, about, _GROUP, applies, run_it)


MUTANTS: list[Mutant] = [
    _m("d_h_0 missing", "returns zeros", is_single, _zeroed, "d_h_0"),
    _m("d_c_0 missing", "returns zeros", is_lstm, _zeroed, "d_c_0"),
    _m("d_b_hh missing", "returns zeros", has("b_hh"), _zeroed, "d_b_hh"),
    _m("d_input missing", "returns zeros", is_single, _zeroed, "d_input"),
    _m("d_W_hr missing", "returns zeros", has("W_hr"), _zeroed, "d_W_hr"),
    _m(
        "mean over sequences",
        "divides parameter gradients by B",
        lambda c: _steps(c) and len(c.batch) > 1,
        _averaged,
        over="sequences",
    ),
    _m(
        "mean over steps",
        "divides parameter gradients by N",
        lambda c: _steps(c) and c.batch.total_steps > 1,
        _averaged,
        over="steps",
    ),
    _m(
        "d_output ignored",
        "takes it for zero",
        both(_given("d_output"), _steps),
        _ignored,
        "d_output",
    ),
    _m("d_h_n ignored", "takes it for zero", _given("d_state_n"), _ignored, "d_h_n"),
    _m("d_c_n ignored", "takes it for zero", both(is_lstm, _given("d_state_n")), _ignored, "d_c_n"),
    _m(
        "d_h_n overwrites d_output",
        "does not add the two at the last step",
        both(_given("d_output"), _steps),
        _last_row_ignored,
    ),
    _m(
        "d_W_hh without h_0",
        "leaves the first steps out of d_W_hh",
        both(_given("state_0"), _steps),
        _first_step_without_h_0,
    ),
    *(
        _m(
            f"{slot.replace('_', ' ')} without derivative",
            "takes it for 1",
            _slot(slot),
            _no_derivative,
            slot,
        )
        for slot in (
            "activation",
            "gate_activation",
            "cell_activation",
            "candidate_activation",
            "output_activation",
        )
    ),
    _m(
        "the sigmoid's derivative everywhere",
        "y (1 - y) for every activation",
        _steps,
        _sigmoids_for,
    ),
    _m("derivative at the output", "f'(y) for f'(a)", _steps, _at_output),
    _m(
        "d_W_hh from the new h",
        "sums d_a h_t instead of d_a h_prev",
        _steps,
        _from_new_state,
        "h",
        "W_hh",
    ),
    _m(
        "d_p_i and d_p_f from the new c",
        "sums d_a c_t instead of d_a c_prev",
        both(has("p_i"), _steps),
        _from_new_state,
        "c",
        "p_i",
        "p_f",
    ),
    _m(
        "d_p_o from the old c",
        "sums d_a c_prev instead of d_a c_t",
        both(has("p_o"), _steps),
        _p_o_from_old_c,
    ),
    _m(
        "d_b_hh without r",
        "d_b_hh of n is d_b_ih of n",
        both(_reset(after=True), has("b_hh"), _steps),
        _without_reset,
        "b_hh",
    ),
    _m(
        "d_W_hh without r",
        "d_W_hh of n lacks the reset gate",
        both(is_gru, _steps),
        _without_reset,
        "W_hh",
    ),
    _m(
        "d_W_hr without o",
        "sums d_h eta(c) instead of d_h m",
        both(has("W_hr"), _steps),
        _w_hr_from_c,
    ),
]
