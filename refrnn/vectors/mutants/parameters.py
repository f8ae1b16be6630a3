"""Mutants that read parameters wrongly: order of gates, layout of matrices, biases."""

from __future__ import annotations

import functools
import itertools
from collections.abc import Sequence
from typing import Any

import numpy as np

from ...comparison import Case, Results
from ...types import Array, IntArray
from .base import (
    Mutant,
    Test,
    both,
    has,
    is_coupled,
    is_gru,
    is_plain_lstm,
    is_single,
    option,
    reindexed,
    remade,
    run,
    with_parameters,
)

__all__ = ["MUTANTS"]

_GROUP = "parameters"
_STACKED = ("W_ih", "W_hh", "b_ih", "b_hh")


def _gates(case: Case, order: Sequence[int]) -> Results:
    """Block k of every stack of gates is read from block order[k]."""
    index = {}
    for name in _STACKED:
        if name in case.parameters:
            numbers = _numbers(case, name)
            blocks = np.split(numbers, case.cell.num_gates)
            index[name] = np.concatenate([blocks[k] for k in order])
    return reindexed(case, index)


def _peepholes(case: Case, order: Sequence[str]) -> Results:
    """The peepholes under each other's names."""
    names = [name for name in case.parameters if name.startswith("p_")]
    results = run(
        with_parameters(case, {a: case.parameters[b] for a, b in zip(names, order, strict=True)})
    )
    moved = {f"d_{b}": results[f"d_{a}"] for a, b in zip(names, order, strict=True)}
    return {**results, **moved}


def _orders(kind: str, gates: str, applies: Test) -> list[Mutant]:
    """Every wrong order of the gates of a cell."""
    return [
        Mutant(
            f"{kind} gates in the order {' '.join(wrong)}",
            f"reads the blocks of {', '.join(gates)} as {', '.join(wrong)}",
            _GROUP,
            applies,
            # gate k stands at the place where the wrong order has it
            functools.partial(_gates, order=[wrong.index(g) for g in gates]),
        )
        for wrong in itertools.permutations(gates)
        if wrong != tuple(gates)
    ]


def _peephole_orders(names: tuple[str, ...], applies: Test) -> list[Mutant]:
    return [
        Mutant(
            f"peepholes in the order {' '.join(n[2:] for n in wrong)}"
            + (" (coupled)" if len(names) == 2 else ""),
            f"reads {', '.join(names)} as {', '.join(wrong)}",
            _GROUP,
            applies,
            functools.partial(_peepholes, order=wrong),
        )
        for wrong in itertools.permutations(names)
        if wrong != names
    ]


def _numbers(case: Case, name: str) -> IntArray:
    shape = case.parameters[name].shape
    return np.arange(np.prod(shape, dtype=np.int64)).reshape(shape)


def _column_major(case: Case, name: str) -> Results:
    shape = case.parameters[name].shape
    return reindexed(case, {name: _numbers(case, name).ravel().reshape(shape, order="F")})


def _transposed(case: Case) -> Results:
    H = case.cell.hidden_size
    blocks = _numbers(case, "W_hh").reshape(-1, H, H).swapaxes(1, 2)
    return reindexed(case, {"W_hh": blocks.reshape(-1, H)})


def _without(case: Case, name: str) -> Results:
    results = run(with_parameters(case, {name: np.zeros_like(case.parameters[name])}))
    return {**results, f"d_{name}": np.zeros_like(results[f"d_{name}"])}


def _no_peepholes(case: Case) -> Results:
    results = run(remade(case, peepholes=False))
    absent = {f"d_{n}": np.zeros_like(a) for n, a in case.parameters.items() if n[:2] == "p_"}
    return {**results, **absent}


def _forget_bias(case: Case) -> Results:
    bias, H = case.parameters["b_ih"].copy(), case.cell.hidden_size
    bias[H : 2 * H] += 1.0
    return run(with_parameters(case, {"b_ih": bias}))


def _merged(case: Case) -> Results:
    """One bias, their sum, where the reset gate multiplies b_hh alone."""
    b_ih, b_hh = case.parameters["b_ih"], case.parameters["b_hh"]
    results = run(with_parameters(case, {"b_ih": b_ih + b_hh, "b_hh": np.zeros_like(b_hh)}))
    return {**results, "d_b_hh": results["d_b_ih"].copy()}


def _swapped(case: Case) -> Results:
    """b_ih and b_hh in each other's place: seen only where they are not alike."""
    p = case.parameters
    results = run(with_parameters(case, {"b_ih": p["b_hh"], "b_hh": p["b_ih"]}))
    return {**results, "d_b_ih": results["d_b_hh"], "d_b_hh": results["d_b_ih"]}


def _twice(case: Case) -> Results:
    return run(with_parameters(case, {"b_ih": 2.0 * case.parameters["b_ih"]}))


def _z_flipped(case: Case) -> Results:
    """The convention h = (1 - z) h_prev + z n, its parameters not converted."""
    H, p = case.cell.hidden_size, case.parameters

    def flip(array: Array) -> Array:
        flipped = array.copy()
        flipped[H : 2 * H] *= -1.0
        return flipped

    results = run(with_parameters(case, {n: flip(a) for n, a in p.items()}))
    return {**results, **{f"d_{n}": flip(results[f"d_{n}"]) for n in p}}


def _sigmoid_gates(case: Any) -> bool:
    """Gates of which 1 - z is the gate of the negated parameters."""
    return is_gru(case) and case.cell.gate_activation.name == "sigmoid"


def _square(case: Any) -> bool:
    return is_single(case) and case.cell.output_size == case.cell.hidden_size


def _reset_after(case: Any) -> bool:
    return is_gru(case) and bool(case.cell.reset_after)


def _biased(case: Any) -> bool:
    return has("b_ih")(case)


MUTANTS: list[Mutant] = [
    *_orders("LSTM", "ifgo", is_plain_lstm),
    *_orders("coupled LSTM", "igo", is_coupled),
    *_orders("GRU", "rzn", is_gru),
    *_peephole_orders(("p_i", "p_f", "p_o"), both(option("peepholes"), is_plain_lstm)),
    *_peephole_orders(("p_i", "p_o"), both(option("peepholes"), is_coupled)),
    Mutant(
        "peepholes ignored", "leaves p_i, p_f, p_o out", _GROUP, option("peepholes"), _no_peepholes
    ),
    *(
        Mutant(
            f"{name} ignored",
            f"leaves {name} out; its gradient is zero",
            _GROUP,
            has(name),
            functools.partial(_without, name=name),
        )
        for name in ("p_i", "p_f", "p_o", "b_ih", "b_hh")
    ),
    Mutant("W_hh transposed", "reads each gate's W_hh transposed", _GROUP, _square, _transposed),
    *(
        Mutant(
            f"{name} column-major",
            f"reads {name} with the first index fastest",
            _GROUP,
            has(name),
            functools.partial(_column_major, name=name),
        )
        for name in ("W_ih", "W_hh", "W_hr")
    ),
    Mutant("b_ih counted twice", "adds b_ih a second time", _GROUP, _biased, _twice),
    Mutant(
        "1 added to the forget bias",
        "adds 1 to a_f at run time, as TensorFlow's forget_bias",
        _GROUP,
        both(is_plain_lstm, _biased),
        _forget_bias,
    ),
    Mutant(
        "GRU biases merged",
        "adds b_hh of n outside the reset product",
        _GROUP,
        both(_reset_after, has("b_hh")),
        _merged,
    ),
    Mutant(
        "GRU biases in each other's place",
        "takes b_ih for b_hh and b_hh for b_ih",
        _GROUP,
        both(_reset_after, has("b_hh")),
        _swapped,
    ),
    Mutant("z flipped", "h = (1 - z) h_prev + z n", _GROUP, _sigmoid_gates, _z_flipped),
]
