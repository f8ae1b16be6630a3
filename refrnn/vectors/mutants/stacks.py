"""Mutants of stacks: order of layers, directions and features."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ...comparison import Results
from ...parameters import CellParameters
from ...ragged import RaggedBatch
from ...types import Array
from ...unroll import Packed
from ..record import StackCase, run_stack
from .base import Mutant, with_state

__all__ = ["MUTANTS"]

_GROUP = "stacks"
_RIGHT = Packed()


def _run(case: StackCase) -> Results:
    return run_stack(case, _RIGHT)


def _is_stack(case: Any) -> bool:
    return isinstance(case, StackCase)


def _two_ways(case: Any) -> bool:
    return isinstance(case, StackCase) and case.layer.bidirectional


def _layers(case: Any) -> bool:
    return isinstance(case, StackCase) and case.layer.num_layers > 1


def _deep_two_ways(case: Any) -> bool:
    return _two_ways(case) and _layers(case)


def _has_state(case: Any) -> bool:
    return isinstance(case, StackCase) and case.state_0 is not None


def _with(case: StackCase, changes: dict[str, Array]) -> StackCase:
    return case._replace(parameters=CellParameters({**case.parameters, **changes}))


def _states_reordered(case: StackCase, order: Sequence[int]) -> Results:
    """States in another order, coming in and going out, cotangents too."""
    index = list(order)
    back = np.argsort(index)
    moved = case._replace(
        state_0=with_state(case.state_0, lambda a: a[index]),
        d_state_n=with_state(case.d_state_n, lambda a: a[index]),
    )
    results = _run(moved)
    names = [f.format(n) for n in case.layer.cell.state_names for f in ("{}_n", "d_{}_0")]
    return {**results, **{name: results[name][back] for name in names}}


def _direction_major(case: StackCase) -> Results:
    """Index direction * L + layer instead of layer * D + direction."""
    L, D = case.layer.num_layers, case.layer.num_directions
    return _states_reordered(case, [d * L + layer for layer in range(L) for d in range(D)])


def _layers_backwards(case: StackCase) -> Results:
    """The last layer's states first."""
    L, D = case.layer.num_layers, case.layer.num_directions
    return _states_reordered(case, [k * D + d for k in reversed(range(L)) for d in range(D)])


def _halves(array: Array) -> Array:
    R = array.shape[1] // 2
    return np.concatenate([array[:, R:], array[:, :R]], axis=1)


def _reverse_first(case: StackCase) -> Results:
    """Features [reverse, forward] in the output."""
    results = _run(case)
    return {**results, "output": _halves(results["output"])}


def _reverse_first_between(case: StackCase) -> Results:
    """Features [reverse, forward] between the layers."""
    upper = [n for n in case.parameters if n.startswith("W_ih_l") and not n.startswith("W_ih_l0")]
    results = _run(_with(case, {n: _halves(case.parameters[n]) for n in upper}))
    return {**results, **{f"d_{n}": _halves(results[f"d_{n}"]) for n in upper}}


def _separate(case: StackCase) -> Results:
    """Two stacks, one a direction, joined at the end only."""
    changes = {}
    for name, array in case.parameters.items():
        if name.startswith("W_ih_l") and not name.startswith("W_ih_l0"):
            own = array.copy()
            R = own.shape[1] // 2
            own[:, slice(0, R) if name.endswith("_reverse") else slice(R, None)] = 0.0
            changes[name] = own
    return _run(_with(case, changes))


def _one_cell(case: StackCase) -> Results:
    """The forward direction's parameters for both."""
    p = case.parameters
    return _run(_with(case, {n: p[n.removesuffix("_reverse")] for n in p}))


def _state_of_first_layer(case: StackCase) -> Results:
    """Every layer begins in the first one's initial state."""
    D = case.layer.num_directions
    index = [k % D for k in range(case.layer.num_layers * D)]
    return _run(case._replace(state_0=with_state(case.state_0, lambda a: a[index])))


def _no_state_above(case: StackCase) -> Results:
    """Layers above the first begin at zero."""
    D = case.layer.num_directions

    def first_only(array: Array) -> Array:
        copy = array.copy()
        copy[D:] = 0.0
        return copy

    return _run(case._replace(state_0=with_state(case.state_0, first_only)))


def _padded(case: StackCase) -> Results:
    """Both directions run over the padding."""
    lengths, T = case.batch.lengths, case.batch.max_length
    all_steps = np.full_like(lengths, T)

    def stretched(rows: Array) -> RaggedBatch:
        return RaggedBatch.from_padded(RaggedBatch(rows, lengths).to_padded(), all_steps)

    d_output = None if case.d_output is None else stretched(case.d_output).values
    results = _run(case._replace(batch=stretched(case.batch.values), d_output=d_output))
    for name in ("output", "d_input"):
        padded = RaggedBatch(results[name], all_steps).to_padded()
        results[name] = RaggedBatch.from_padded(padded, lengths).values.copy()
    return results


def _not_turned_back(case: StackCase) -> Results:
    """The reverse half of the output in the order of processing."""
    results, batch = _run(case), case.batch
    output = results["output"].copy()
    R = output.shape[1] // 2
    for start, stop in zip(batch.offsets[:-1].tolist(), batch.offsets[1:].tolist(), strict=True):
        output[start:stop, R:] = output[start:stop, R:][::-1]
    return {**results, "output": output}


def _d_state_of_top_only(case: StackCase) -> Results:
    """d_state_n of the lower layers taken for zero."""
    D = case.layer.num_directions

    def top(array: Array) -> Array:
        copy = array.copy()
        copy[:-D] = 0.0
        return copy

    return _run(case._replace(d_state_n=with_state(case.d_state_n, top)))


def _d_input_of_one_direction(case: StackCase) -> Results:
    """d_input lacks what comes through the reverse direction of the first layer."""
    zero = {n: np.zeros_like(a) for n, a in case.parameters.items() if n == "W_ih_l0_reverse"}
    run = case.layer.forward(case.parameters, case.batch, case.state_0, unroll=_RIGHT)
    tapes = list(run.tape.tapes)
    tapes[1] = tapes[1]._replace(
        parameters=CellParameters(
            {
                n: zero["W_ih_l0_reverse"] if n == "W_ih" else a
                for n, a in tapes[1].parameters.items()
            }
        )
    )
    tape = run.tape._replace(tapes=tuple(tapes))
    gradients = case.layer.backward(tape, case.d_output, case.d_state_n)
    return {**_run(case), "d_input": gradients.input.values}


def _m(name: str, about: str, applies: Any, how: Any) -> Mutant:
    return Mutant(name, about, _GROUP, applies, how)


MUTANTS: list[Mutant] = [
    _m("states direction-major", "index direction * L + layer", _deep_two_ways, _direction_major),
    _m("states of the last layer first", "layers in reverse order", _layers, _layers_backwards),
    _m("features reverse first", "[reverse, forward] in the output", _two_ways, _reverse_first),
    _m(
        "features reverse first between layers",
        "[reverse, forward] as the input of a layer",
        _deep_two_ways,
        _reverse_first_between,
    ),
    _m(
        "two separate stacks",
        "joins the directions after the last layer only, as oneDNN",
        _deep_two_ways,
        _separate,
    ),
    _m(
        "one cell for both directions",
        "takes the forward parameters for the reverse direction",
        _two_ways,
        _one_cell,
    ),
    _m(
        "initial state of the first layer for all",
        "begins every layer in layer 0's",
        lambda c: _layers(c) and _has_state(c),
        _state_of_first_layer,
    ),
    _m(
        "initial state of upper layers ignored",
        "begins them at zero",
        lambda c: _layers(c) and _has_state(c),
        _no_state_above,
    ),
    _m("stack over padding", "runs every layer to the longest length", _is_stack, _padded),
    _m(
        "reverse half not turned back",
        "leaves it in the order of processing",
        _two_ways,
        _not_turned_back,
    ),
    _m(
        "d_state_n of the top layer only",
        "takes that of the layers below for zero",
        _layers,
        _d_state_of_top_only,
    ),
    _m(
        "d_input of the forward direction only",
        "lacks the reverse direction's part",
        _two_ways,
        _d_input_of_one_direction,
    ),
]
