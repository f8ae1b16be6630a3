"""Mutants with other equations: options ignored, and terms that are missing or elsewhere."""

from __future__ import annotations

import functools
from typing import Any

import numpy as np

from ...activations import Activation, activation
from ...cells.base import clip
from ...comparison import Results
from ...types import Array
from .base import (
    Mutant,
    activation_slots,
    has,
    is_coupled,
    is_gru,
    is_lstm,
    is_single,
    option,
    overridden,
    remade,
    run,
    with_activation,
)

__all__ = ["MUTANTS"]

_GROUP = "equations"
_DEFAULT = {
    "gate_activation": "sigmoid",
    "activation": "tanh",
    "cell_activation": "tanh",
    "candidate_activation": "tanh",
    "output_activation": "tanh",
}
_IDENTITY = activation("affine", 1.0, 0.0)


def _other_option(case: Any, **options: Any) -> Results:
    return run(remade(case, **options))


def _default_activations(case: Any) -> Results:
    return run(remade(case, **{slot: _DEFAULT[slot] for slot in activation_slots(case.cell)}))


def _default_numbers(case: Any) -> Results:
    """The activations of these names with their default alpha and beta."""
    slots = activation_slots(case.cell)
    return run(remade(case, **{s: activation(getattr(case.cell, s).name) for s in slots}))


def _other_activations(case: Any) -> bool:
    slots = activation_slots(case.cell) if is_single(case) else ()
    return any(getattr(case.cell, slot) != activation(_DEFAULT[slot]) for slot in slots)


def _has_numbers(case: Any) -> bool:
    slots = activation_slots(case.cell) if is_single(case) else ()
    used = [getattr(case.cell, slot) for slot in slots]
    return any(f != Activation(f.name) for f in used)


def _swapped_activations(case: Any, a: str, b: str) -> Results:
    return run(remade(case, **{a: getattr(case.cell, b), b: getattr(case.cell, a)}))


def _reset_on_the_other_side(case: Any) -> Results:
    return run(remade(case, reset_after=not case.cell.reset_after))


def _without_output_activation(case: Any) -> Results:
    return run(with_activation(case, "output_activation", _IDENTITY))


def _clip_on_c(case: Any) -> Results:
    """The gate clip on the cell state, and on nothing else."""
    bound = case.cell.gate_clip
    return run(remade(case, gate_clip=None, coupled=False, cell_clip=bound))


class _Clipped:
    """An activation with a clip of its argument."""

    def __init__(self, f: Activation, bound: float) -> None:
        self.name, self.alpha, self.beta, self.complement = f.name, f.alpha, f.beta, f.complement
        self._f, self._bound = f, bound

    def value(self, a: Array, out: Array | None = None) -> Array:
        return self._f.value(clip(a, self._bound), out=out)

    def derivative(self, a: Array, y: Array) -> Array:
        inside: Array = np.abs(a) <= self._bound
        return self._f.derivative(clip(a, self._bound), y) * inside


def _clip_on_c_too(case: Any) -> Results:
    """The gate clip on every argument of an activation, c included (ONNX' text read literally)."""
    bound = case.cell.gate_clip
    eta = case.cell.output_activation

    return run(with_activation(case, "output_activation", _Clipped(eta, bound)))


def _clip_before_recurrence(case: Any) -> Results:
    """Only W_ih x + b is clipped; what the state adds comes after."""

    def project_input(self: Any, weights: Any, x: Any, tape: Any) -> None:
        kind.project_input(self, weights, x, tape)
        tape.a[...] = clip(tape.a, case.cell.gate_clip)

    cell = remade(case, gate_clip=None)
    kind = type(case.cell)
    return run(overridden(cell, project_input=project_input))


def _o_sees_old_c(case: Any) -> Results:
    """The output gate's peephole looks at c_prev."""

    def step(self: Any, weights: Any, tape: Any, prev: Any) -> Any:
        a_o = self._block(tape.a, self._o)
        a_o += weights.parameters["p_o"] * prev.c
        return kind.step(self, _without_p_o(weights), tape, prev)

    kind = type(case.cell)
    return run(overridden(case, step=step))


def _no_peephole_of_i_and_f(case: Any) -> Results:
    """The peepholes of i and f are left out of the gates."""

    def step(self: Any, weights: Any, tape: Any, prev: Any) -> Any:
        zero = {n: 0.0 * a if n in ("p_i", "p_f") else a for n, a in weights.parameters.items()}
        return kind.step(self, weights._replace(parameters=zero), tape, prev)

    kind = type(case.cell)
    return run(overridden(case, step=step))


def _without_p_o(weights: Any) -> Any:
    p = dict(weights.parameters)
    return weights._replace(parameters={**p, "p_o": np.zeros_like(p["p_o"])})


def _forget_is_input(case: Any) -> Results:
    """F = i instead of f = 1 - i."""
    return run(overridden(case, _forget=lambda self, tape: self._block(tape.gates, 0)))


def _forget_is_one(case: Any) -> Results:
    """Nothing is forgotten: input_forget read as "no forget gate"."""
    return run(overridden(case, _forget=lambda self, tape: np.ones_like(tape.c)))


def _cell_clip_on_result_only(case: Any) -> Results:
    """c_n is clipped; the state that is carried is not."""
    bound = case.cell.cell_clip
    results = run(remade(case, cell_clip=None))
    return {**results, "c_n": clip(results["c_n"], bound)}


def _cell_clip_on_output_only(case: Any) -> Results:
    """tanh(clip(c)) goes out; the state that is carried is not clipped."""
    bound, eta = case.cell.cell_clip, case.cell.output_activation

    return run(
        with_activation(remade(case, cell_clip=None), "output_activation", _Clipped(eta, bound))
    )


def _no_reset(case: Any) -> Results:
    """R = 1."""

    def step(self: Any, weights: Any, tape: Any, prev: Any) -> Any:
        self._block(tape.a, 0)[...] = 1e3  # s(1000) = 1, whatever is added
        return kind.step(self, weights, tape, prev)

    kind = type(case.cell)
    return run(overridden(case, step=step))


def _identity_candidate(case: Any, slot: str) -> Results:
    return run(with_activation(case, slot, _IDENTITY))


def _named(slot: str, value: str) -> Any:
    """A cell whose activation in this place has this name."""
    return lambda case: (
        is_single(case) and getattr(getattr(case.cell, slot, None), "name", "") == value
    )


def _plain_sigmoid_gru(case: Any) -> bool:
    return _named("gate_activation", "sigmoid")(case) and is_gru(case) and not case.cell.gate_clip


MUTANTS: list[Mutant] = [
    Mutant(
        "gate clip ignored",
        "clips nothing",
        _GROUP,
        option("gate_clip"),
        functools.partial(_other_option, gate_clip=None),
    ),
    Mutant(
        "clip before the recurrence",
        "clips W_ih x + b; what the state adds comes after",
        _GROUP,
        option("gate_clip"),
        _clip_before_recurrence,
    ),
    Mutant(
        "clip on c instead of the gates",
        "takes the gate clip for a clip of the cell state",
        _GROUP,
        lambda case: is_lstm(case) and case.cell.gate_clip and not case.cell.coupled,
        _clip_on_c,
    ),
    Mutant(
        "clip on c before the output activation too",
        "applies the gate clip to the argument of tanh(c) as well",
        _GROUP,
        lambda case: is_lstm(case) and case.cell.gate_clip,
        _clip_on_c_too,
    ),
    Mutant(
        "cell clip ignored",
        "does not clip c",
        _GROUP,
        option("cell_clip"),
        functools.partial(_other_option, cell_clip=None),
    ),
    Mutant(
        "cell clip on c_n only",
        "clips the final c, not the one it carries",
        _GROUP,
        option("cell_clip"),
        _cell_clip_on_result_only,
    ),
    Mutant(
        "cell clip on the output only",
        "clips c where it goes out, not the one it carries",
        _GROUP,
        option("cell_clip"),
        _cell_clip_on_output_only,
    ),
    Mutant("f = i", "coupled gates without the complement", _GROUP, is_coupled, _forget_is_input),
    Mutant("input_forget ignored", "coupled gates: f = 1", _GROUP, is_coupled, _forget_is_one),
    Mutant(
        "peephole of o sees the old c",
        "adds p_o c_prev instead of p_o c_t",
        _GROUP,
        has("p_o"),
        _o_sees_old_c,
    ),
    Mutant(
        "peepholes of i and f ignored forward",
        "leaves p_i and p_f out of the gates, not of the gradients",
        _GROUP,
        has("p_i"),
        _no_peephole_of_i_and_f,
    ),
    Mutant(
        "no output activation",
        "h = o c instead of o tanh(c)",
        _GROUP,
        is_lstm,
        _without_output_activation,
    ),
    Mutant(
        "no cell activation",
        "g = a_g",
        _GROUP,
        is_lstm,
        functools.partial(_identity_candidate, slot="cell_activation"),
    ),
    Mutant(
        "no candidate activation",
        "n = a_n",
        _GROUP,
        is_gru,
        functools.partial(_identity_candidate, slot="candidate_activation"),
    ),
    Mutant(
        "tanh for relu",
        "computes tanh where relu is asked for",
        _GROUP,
        _named("activation", "relu"),
        functools.partial(_other_option, activation="tanh"),
    ),
    Mutant(
        "activations ignored",
        "computes sigmoid and tanh whatever is asked for",
        _GROUP,
        _other_activations,
        _default_activations,
    ),
    Mutant(
        "alpha and beta ignored",
        "takes each activation's default numbers",
        _GROUP,
        _has_numbers,
        _default_numbers,
    ),
    Mutant(
        "activations g and h in each other's place",
        "applies the output activation to the candidate, and the candidate's to c",
        _GROUP,
        lambda case: is_lstm(case) and case.cell.cell_activation != case.cell.output_activation,
        functools.partial(_swapped_activations, a="cell_activation", b="output_activation"),
    ),
    Mutant(
        "activations f and g in each other's place",
        "applies the candidate's activation to the gates, and theirs to it",
        _GROUP,
        lambda case: is_gru(case),
        functools.partial(_swapped_activations, a="gate_activation", b="candidate_activation"),
    ),
    Mutant(
        "reset gate on the other side",
        "reset before for reset after, and after for before",
        _GROUP,
        is_gru,
        _reset_on_the_other_side,
    ),
    Mutant("reset gate ignored", "r = 1", _GROUP, _plain_sigmoid_gru, _no_reset),
]
