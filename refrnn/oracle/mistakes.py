"""The classic mistakes, each as what the reference would give if it made it.

A mistake is tried by computing the problem with it and comparing: where a module disagrees with the
reference and agrees with a mistake to rounding, that is what it does. Mistakes of the whole
function come first, forward and backward in agreement; then those of the backward pass alone; then
those of one result.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any, NamedTuple

import numpy as np

from ..cells import GRU, LSTM
from ..parameters import CellParameters
from ..ragged import RaggedBatch
from ..types import Array, IntArray
from ..unroll import Packed, PerSequence, Tape, backward, forward
from ..unroll.base import AnyCell, State
from .evaluation import Setting, evaluate, stretched
from .network import Network, Results
from .semantics import WORDS, Semantics

__all__ = ["Mistake", "mistakes"]

_UNROLL = Packed()

#: What a gate's rows are called in words, in the order of :class:`refrnn.LSTM` and GRU.
_GATES = {
    ("lstm", 4): ("input", "forget", "cell", "output"),
    ("lstm", 3): ("input", "cell", "output"),
    ("gru", 3): ("reset", "update", "new"),
}


class Mistake(NamedTuple):
    """One thing that goes wrong.

    Attributes
    ----------
    words : str
        Completes the sentence "with ... it agrees".
    results : callable
        Computes the results with the mistake in them.
    semantics : Semantics
        How those results are laid out.
    """

    words: str
    results: Callable[[], Results]
    semantics: Semantics


def mistakes(setting: Setting) -> Iterator[Mistake]:
    """Every mistake that can be made in a setting, the simplest first.

    Parameters
    ----------
    setting : Setting
        Of float64.
    """
    meant = setting.semantics
    for field_words in _SEMANTICS:
        field, answer = field_words
        if getattr(meant, field) != answer:
            other = meant._replace(**{field: answer})  # type: ignore[arg-type]
            results = _evaluated(setting._replace(semantics=other))
            words = WORDS.get(field_words, _LAWFUL[field])
            yield Mistake(f"the rule that {words}", results, other)
    for words, compute in _whole(setting):
        yield Mistake(words, compute, meant)
    for words, compute in _backward_only(setting):
        yield Mistake(words, compute, meant)


_SEMANTICS = (
    ("empty", "identity"),
    ("empty", "zeros"),
    ("empty", "padding"),
    ("padded_output", "zero"),
    ("padded_output", "repeat"),
    ("padded_output", "state"),
    ("padded_output", "any"),  # last: it agrees with everything that is right elsewhere
)
_LAWFUL = {
    "empty": "the final state of a sequence of length 0 is its initial state",
    "padded_output": "outputs in the padding are zero",
}

_Change = Callable[[CellParameters, AnyCell], CellParameters]
_Mistakes = Iterator[tuple[str, Callable[[], Results]]]


def _evaluated(
    setting: Setting, tapes: Callable[[Sequence[Tape]], Sequence[Tape]] | None = None
) -> Callable[[], Results]:
    """A computation for later."""
    return lambda: evaluate(setting, _UNROLL, tapes)


# --- the whole function --------------------------------------------------------------------------


def _whole(setting: Setting) -> _Mistakes:
    """What is wrong forward and backward alike."""
    yield from _gate_orders(setting)
    yield from _biases(setting)
    yield from _weights(setting)
    yield from _times(setting)
    yield from _states(setting)
    yield from _equations(setting)


def _gate_orders(setting: Setting) -> _Mistakes:
    """Every other order of the gates."""
    for order, words in _orders(setting.network):
        inverse = np.argsort(order)
        yield (
            words,
            _with_parameters(setting, partial(_permuted, order), partial(_permuted, inverse)),
        )


def _biases(setting: Setting) -> _Mistakes:
    """A bias that is added twice, or not at all."""
    names = [name for name in ("b_ih", "b_hh") if name in setting.parameters[0]]
    for name in names:
        yield f"{name} added twice", _scaled(setting, (name,), 2.0)
        yield f"{name} left out", _scaled(setting, (name,), 0.0)
    if len(names) == 2:
        yield "both biases left out", _scaled(setting, names, 0.0)
        yield "both biases added twice", _scaled(setting, names, 2.0)


def _weights(setting: Setting) -> _Mistakes:
    """A matrix whose blocks are transposed, where they are square."""
    for name in ("W_hh", "W_ih"):
        blocks = [p[name].shape[0] // c.num_gates == p[name].shape[1] for p, c in _runs(setting)]
        if all(blocks):
            change = partial(_transposed, name)
            yield f"{name} transposed", _with_parameters(setting, change, change)


def _times(setting: Setting) -> _Mistakes:
    """Lengths that are not kept."""
    problem = setting.problem
    if not problem.mask.all():
        for padding, what in ((None, "padding"), (np.zeros_like(problem.padding), "zero padding")):
            stepped = partial(_padded, setting, padding)
            yield f"lengths ignored, {what} stepped like data,", stepped
            if setting.network.reverse[-1]:
                yield (
                    f"the reverse direction started in the {what}, not at the last valid step,",
                    partial(_reverse_from_padding, setting, padding),
                )
            if not setting.network.reverse[0]:
                yield f"the final state taken from the {what}", partial(_hidden, stepped)
        yield "the final state read at the last padded step", partial(_final_state_zero, setting)
    flipped = tuple(not reverse for reverse in setting.network.reverse)
    if len(flipped) == 1:
        other = Network(setting.network.cells, flipped)
        yield "the direction of time turned round", _evaluated(setting._replace(network=other))
    order = np.argsort(-problem.lengths, kind="stable")
    if not np.array_equal(order, np.arange(len(order))):
        yield (
            "final states left in the order of sorted sequences",
            partial(_in_order, setting, order),
        )


def _states(setting: Setting) -> _Mistakes:
    """Initial states that are not used, or used for each other."""
    problem = setting.problem
    if not problem.default_state:
        zeros = tuple(type(s)(*map(np.zeros_like, s)) for s in problem.state_0)
        ignored = setting._replace(problem=problem._replace(state_0=zeros))
        yield "initial states ignored", lambda: _no_initial(evaluate(ignored, _UNROLL))
    if all(len(s) == 2 and s[0].shape == s[1].shape for s in problem.state_0):
        swap = setting._replace(problem=problem._replace(state_0=_exchanged(problem.state_0)))
        yield "h_0 and c_0 in each other's place", lambda: _swapped_back(evaluate(swap, _UNROLL))
        other = setting._replace(problem=problem._replace(d_state_n=_exchanged(problem.d_state_n)))
        yield "h_n and c_n in each other's place", lambda: _finals_swapped(evaluate(other, _UNROLL))
        yield "h_n given back as c_n too", partial(_hidden_twice, setting)


def _equations(setting: Setting) -> _Mistakes:
    """Another cell than the one that is meant."""
    if _is_mixed(setting.network):
        return
    cell = setting.network.cells[0]
    options = cell.options()
    others: list[tuple[str, dict[str, Any]]] = []
    if isinstance(cell, GRU):
        where = "before" if cell.reset_after else "after"
        others.append(
            (f"the reset gate {where} the matrix product", {"reset_after": where == "after"})
        )
    for name in ("gate_clip", "cell_clip"):
        if options.get(name) is not None:
            others.append((f"{name} ignored", {name: None}))
    defaults = {n: v for n, v in type(cell)._DEFAULTS.items() if n.endswith("activation")}
    changed = {n: v for n, v in defaults.items() if options[n] != v}
    if changed:
        others.append(("activations ignored, the default ones used,", changed))
    gates = type(cell)._DEFAULTS.get("gate_activation")
    if gates is not None and options["gate_activation"] == gates:
        others.append(("hard sigmoid gates", {"gate_activation": "hardsigmoid"}))
    for words, option in others:
        yield words, _evaluated(setting._replace(network=_other_options(setting.network, option)))
    if isinstance(cell, LSTM) and not cell.coupled and cell.biases:
        change = _with_parameters(setting, _forget_plus_one, lambda gradient, cell: gradient)
        yield "1 added to the forget gate", change
    if isinstance(cell, GRU):
        yield "z and 1 - z in each other's place", _with_parameters(setting, _flipped_z, _flipped_z)


# --- the backward pass alone ---------------------------------------------------------------------


def _backward_only(setting: Setting) -> _Mistakes:
    """What is wrong in gradients of a forward pass that is right."""
    cells = [setting.network.cell(run) for run in range(setting.network.num_runs)]
    for order, words in _orders(setting.network):
        yield f"{words} in the backward pass", partial(_backward_permuted, setting, order)
    problem = setting.problem
    yield "the gradient not carried from step to step", lambda: _truncated(setting)
    no_final = tuple(type(s)(*map(np.zeros_like, s)) for s in problem.d_state_n)
    yield (
        "the cotangent of the final state ignored",
        _evaluated(setting._replace(problem=problem._replace(d_state_n=no_final))),
    )
    no_output = np.zeros_like(problem.d_output)
    yield (
        "the cotangent of the outputs ignored",
        _evaluated(setting._replace(problem=problem._replace(d_output=no_output))),
    )
    if getattr(cells[0], "cell_clip", None) is not None:
        yield "the derivative of cell_clip left out", _evaluated(setting, _clip_forgotten)
    for order, words in _orders(setting.network):
        yield f"{words} in the gradient alone", partial(_gradient_permuted, setting, order)


def _backward_permuted(setting: Setting, order: tuple[int, ...]) -> Results:
    """A backward pass that reads weights and writes gradients with the gates in another order."""

    def tapes(own: Sequence[Tape]) -> list[Tape]:
        return [t._replace(parameters=_permuted(order, t.parameters, t.cell)) for t in own]

    return _unpermuted(setting, evaluate(setting, _UNROLL, tapes), order)


def _gradient_permuted(setting: Setting, order: tuple[int, ...]) -> Results:
    """Gradients of the weights written with the gates in another order."""
    return _unpermuted(setting, evaluate(setting, _UNROLL), order)


def _truncated(setting: Setting) -> Results:
    """Every step differentiated as if the state before it were a constant.

    The steps become sequences of one step each, whose initial states are what the whole run had
    there. Of one layer and direction only.
    """
    problem, network = setting.problem, setting.network
    if network.num_runs > 1:
        raise NotImplementedError
    cell, busy = network.cells[0], problem.lengths > 0
    turned = _turned(problem.lengths) if network.reverse[0] else slice(None)
    batch = problem.batch.with_values(problem.batch.values[turned])
    run = forward(cell, setting.parameters[0], batch, problem.state_0[0], unroll=PerSequence())
    first, last = batch.offsets[:-1][busy], batch.offsets[1:][busy] - 1
    before, d_after = [], []
    parts = zip(
        cell.states(run.tape.saved.tape), problem.state_0[0], problem.d_state_n[0], strict=True
    )
    for after, initial, d_final in parts:
        shifted, d_last = np.roll(after, 1, axis=0), np.zeros_like(after)
        shifted[first], d_last[last] = initial[busy], d_final[busy]
        before.append(shifted)
        d_after.append(d_last)
    steps = RaggedBatch(batch.values, np.ones(batch.total_steps, np.int64))
    one = forward(cell, setting.parameters[0], steps, cell.state_type(*before), unroll=_UNROLL)
    gradients = backward(one.tape, problem.d_output[turned], cell.state_type(*d_after))
    d_state_0 = type(problem.d_state_n[0])._make([a.copy() for a in problem.d_state_n[0]])
    for d_initial, d_before in zip(d_state_0, gradients.state_0, strict=True):
        d_initial[busy] = d_before[first]
    return Results(
        run.output.values[turned],
        (run.state_n,),
        gradients.input.values[turned],
        (d_state_0,),
        (gradients.parameters,),
    )


def _turned(lengths: IntArray) -> IntArray:
    """Row numbers that turn each sequence round within its own length."""
    ends = np.cumsum(lengths)
    return np.repeat(2 * ends - lengths - 1, lengths) - np.arange(int(lengths.sum()))


def _clip_forgotten(tapes: Sequence[Tape]) -> list[Tape]:
    """Tapes that do not know where the cell state was clipped."""

    def forgotten(tape: Tape) -> Tape:
        steps = tape.saved.tape
        clipped = np.zeros_like(steps.clipped)
        return tape._replace(saved=tape.saved._replace(tape=steps._replace(clipped=clipped)))

    return [forgotten(tape) for tape in tapes]


# --- pieces --------------------------------------------------------------------------------------


def _runs(setting: Setting) -> list[tuple[CellParameters, AnyCell]]:
    """Parameters and cell of every run."""
    network = setting.network
    return [(p, network.cell(run)) for run, p in enumerate(setting.parameters)]


def _is_mixed(network: Network) -> bool:
    """Whether the layers have cells of different types."""
    return len({type(cell) for cell in network.cells}) > 1


def _orders(network: Network) -> list[tuple[tuple[int, ...], str]]:
    """Every wrong order of the cells' gates with its words, exchanges of two first."""
    cell = network.cells[0]
    names = _GATES.get((type(cell).__name__.lower(), cell.num_gates))
    if names is None or _is_mixed(network):
        return []
    right = tuple(range(cell.num_gates))
    orders = []
    for order in itertools.permutations(right):
        moved = [gate for gate in right if order[gate] != gate]
        if len(moved) == 2:
            words = f"the {names[moved[0]]} and {names[moved[1]]} gate rows swapped"
            orders.append((2, order, words))
        elif moved:
            shown = ", ".join(names[gate] for gate in order)
            orders.append((len(moved), order, f"gate rows in the order {shown}"))
    return [(order, words) for _, order, words in sorted(orders, key=lambda o: o[0])]


def _permuted(
    order: Sequence[int] | IntArray, parameters: CellParameters, cell: AnyCell
) -> CellParameters:
    """Parameters whose gate k is gate ``order[k]`` of these."""
    H = cell.hidden_size
    rows = np.concatenate([np.arange(gate * H, (gate + 1) * H) for gate in order])
    gated = ("W_ih", "W_hh", "b_ih", "b_hh")
    return CellParameters({n: a[rows] if n in gated else a for n, a in parameters.items()})


def _unpermuted(setting: Setting, results: Results, order: Sequence[int]) -> Results:
    """Results with the rows of the weights' gradients where the weights' own rows stand."""
    inverse = np.argsort(order)
    cells = [cell for _, cell in _runs(setting)]
    gradients = zip(results.d_parameters, cells, strict=True)
    return results._replace(d_parameters=tuple(_permuted(inverse, g, c) for g, c in gradients))


def _with_parameters(setting: Setting, change: _Change, pull: _Change) -> Callable[[], Results]:
    """The setting with changed parameters, and the gradient of the parameters as they were.

    `pull` is the adjoint of `change`.
    """

    def compute() -> Results:
        runs = _runs(setting)
        changed = tuple(change(p, c) for p, c in runs)
        results = evaluate(setting._replace(parameters=changed), _UNROLL)
        gradients = zip(results.d_parameters, runs, strict=True)
        return results._replace(d_parameters=tuple(pull(g, c) for g, (_, c) in gradients))

    return compute


def _scaled(setting: Setting, names: Sequence[str], factor: float) -> Callable[[], Results]:
    """Some parameters times a factor."""

    def scaled(parameters: CellParameters, cell: AnyCell) -> CellParameters:
        return CellParameters({n: factor * a if n in names else a for n, a in parameters.items()})

    return _with_parameters(setting, scaled, scaled)


def _transposed(name: str, parameters: CellParameters, cell: AnyCell) -> CellParameters:
    """One matrix with the block of every gate transposed."""
    blocks = np.split(parameters[name], cell.num_gates)
    return CellParameters({**parameters, name: np.concatenate([b.T for b in blocks])})


def _flipped_z(parameters: CellParameters, cell: AnyCell) -> CellParameters:
    """The rows of z negated: then z is 1 - z."""
    H = cell.hidden_size
    sign = np.ones(3 * H)
    sign[H : 2 * H] = -1
    return CellParameters(
        {n: a * (sign[:, None] if a.ndim == 2 else sign) for n, a in parameters.items()}
    )


def _forget_plus_one(parameters: CellParameters, cell: AnyCell) -> CellParameters:
    """A forget bias that is added at run time."""
    H = cell.hidden_size
    b_ih = parameters["b_ih"].copy()
    b_ih[H : 2 * H] += 1
    return CellParameters({**parameters, "b_ih": b_ih})


def _other_options(network: Network, options: dict[str, Any]) -> Network:
    """The same network of cells with other options."""
    cells = [
        type(c)(c.input_size, c.hidden_size, **{**c.options(), **options}) for c in network.cells
    ]
    return Network(cells, network.reverse, network.merge)


def _padded(setting: Setting, padding: Array | None) -> Results:
    """Every step of the padded array stepped, with what the problem has in its padding, or this."""
    problem = setting.problem
    given = problem if padding is None else problem._replace(padding=padding)
    results = stretched(setting._replace(problem=given), np.ones_like(problem.mask), _UNROLL)
    if padding is None or results.at_padding is None:
        return results
    return results._replace(at_padding=results.at_padding._replace(d_input=None))


def _hidden(stepped: Callable[[], Results]) -> Results:
    """Results of stepping the padding whose outputs there are not shown; the gradients are."""
    results = stepped()
    assert results.at_padding is not None
    return results._replace(at_padding=results.at_padding._replace(output=None))


def _final_state_zero(setting: Setting) -> Results:
    """A final h that is read from the outputs at the last padded step, where there is a zero."""
    problem = setting.problem
    short = ~problem.mask[:, -1:]

    def unread(states: Sequence[State]) -> tuple[State, ...]:
        return tuple(s._replace(h=np.where(short, 0, s.h)) for s in states)

    changed = problem._replace(d_state_n=unread(problem.d_state_n))
    results = evaluate(setting._replace(problem=changed), _UNROLL)
    return results._replace(state_n=unread(results.state_n))


def _reverse_from_padding(setting: Setting, padding: Array | None) -> Results:
    """The reverse run steps the padding first; the forward run keeps its lengths.

    With two directions this is worked out for one layer whose outputs stand side by side.
    """
    network = setting.network
    if network.num_directions == 1:
        return _hidden(partial(_padded, setting, padding))
    if len(network.cells) > 1 or network.merge != "concat":
        raise NotImplementedError
    right = evaluate(_one_direction(setting, 0), _UNROLL)
    wrong = _hidden(partial(_padded, _one_direction(setting, 1), padding))
    return Results(
        np.concatenate([right.output, wrong.output], axis=1),
        right.state_n + wrong.state_n,
        right.d_input + wrong.d_input,
        right.d_state_0 + wrong.d_state_0,
        right.d_parameters + wrong.d_parameters,
        wrong.at_padding,
    )


def _one_direction(setting: Setting, number: int) -> Setting:
    """One of the two directions of a layer by itself."""
    network, problem = setting.network, setting.problem
    one = slice(number, number + 1)
    return setting._replace(
        network=Network(network.cells, network.reverse[one]),
        parameters=setting.parameters[one],
        problem=problem._replace(
            state_0=problem.state_0[one],
            d_state_n=problem.d_state_n[one],
            d_output=np.split(problem.d_output, 2, axis=1)[number],
        ),
    )


def _no_initial(results: Results) -> Results:
    """Nothing reaches an initial state that is not used."""
    zeros = tuple(type(s)(*map(np.zeros_like, s)) for s in results.d_state_0)
    return results._replace(d_state_0=zeros)


def _swapped_back(results: Results) -> Results:
    """Gradients of two states that took each other's place."""
    return results._replace(d_state_0=_exchanged(results.d_state_0))


def _finals_swapped(results: Results) -> Results:
    """Final states that took each other's place."""
    return results._replace(state_n=_exchanged(results.state_n))


def _hidden_twice(setting: Setting) -> Results:
    """The final h in both places, where the cotangents of both then go."""
    problem = setting.problem
    both = tuple(type(s)(s[0] + s[1], np.zeros_like(s[1])) for s in problem.d_state_n)
    results = evaluate(setting._replace(problem=problem._replace(d_state_n=both)), _UNROLL)
    return results._replace(state_n=tuple(type(s)(s[0], s[0]) for s in results.state_n))


def _exchanged(states: Sequence[State]) -> tuple[State, ...]:
    """States with h in the place of c, and c in that of h."""
    return tuple(type(s)._make([s[1], s[0]]) for s in states)


def _in_order(setting: Setting, order: IntArray) -> Results:
    """Final states that stay in the order that the sequences were sorted to."""
    problem = setting.problem
    inverse = np.argsort(order)

    def moved(states: Sequence[State], rows: IntArray) -> tuple[State, ...]:
        return tuple(type(s)._make([a[rows] for a in s]) for s in states)

    changed = problem._replace(d_state_n=moved(problem.d_state_n, inverse))
    results = evaluate(setting._replace(problem=changed), _UNROLL)
    return results._replace(state_n=moved(results.state_n, order))
