"""What is wrong in the gradients of a forward pass that is right."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import numpy as np

from ...ragged import RaggedBatch
from ...unroll import PerSequence, Tape, backward, forward
from ..evaluation import Setting, evaluate
from ..network import Results
from ..padded import reversed_rows
from .base import UNROLL, Mistakes, evaluated
from .gates import orders, permuted, unpermuted
from .states import zeroed
from .weights import transposed

__all__ = ["backward_only"]


def backward_only(setting: Setting) -> Mistakes:
    """What is wrong in gradients of a forward pass that is right."""
    cells = [setting.network.cell(run) for run in range(setting.network.num_runs)]
    for order, words in orders(setting.network):
        yield f"{words} in the backward pass", partial(_backward_permuted, setting, order)
    problem = setting.problem
    yield "the gradient not carried from step to step", lambda: _truncated(setting)
    no_final = tuple(type(s)(*map(np.zeros_like, s)) for s in problem.d_state_n)
    yield (
        "the cotangent of the final state ignored",
        evaluated(setting._replace(problem=problem._replace(d_state_n=no_final))),
    )
    letters = cells[0].state_names
    for part, letter in enumerate(letters if len(letters) > 1 else ()):
        without = problem._replace(d_state_n=zeroed(problem.d_state_n, part))
        words = f"the cotangent of {letter}_n ignored"
        yield words, evaluated(setting._replace(problem=without))
    if all(cell.output_size == cell.hidden_size for cell in cells):
        yield "W_hh transposed in the backward pass", partial(_backward_transposed, setting)
    no_output = np.zeros_like(problem.d_output)
    yield (
        "the cotangent of the outputs ignored",
        evaluated(setting._replace(problem=problem._replace(d_output=no_output))),
    )
    if getattr(cells[0], "cell_clip", None) is not None:
        yield "the derivative of cell_clip left out", evaluated(setting, _clip_forgotten)
    for order, words in orders(setting.network):
        yield f"{words} in the gradient", partial(_gradient_permuted, setting, order)


def _backward_permuted(setting: Setting, order: tuple[int, ...]) -> Results:
    """A backward pass that reads weights and writes gradients with the gates in another order."""

    def tapes(own: Sequence[Tape]) -> list[Tape]:
        return [t._replace(parameters=permuted(order, t.parameters, t.cell)) for t in own]

    return unpermuted(setting, evaluate(setting, UNROLL, tapes), order)


def _backward_transposed(setting: Setting) -> Results:
    """A backward pass that reads W_hh the wrong way round."""

    def tapes(own: Sequence[Tape]) -> list[Tape]:
        return [t._replace(parameters=transposed("W_hh", t.parameters, t.cell)) for t in own]

    return evaluate(setting, UNROLL, tapes)


def _gradient_permuted(setting: Setting, order: tuple[int, ...]) -> Results:
    """Gradients of the weights written with the gates in another order."""
    return unpermuted(setting, evaluate(setting, UNROLL), order)


def _truncated(setting: Setting) -> Results:
    """Every step differentiated as if the state before it were a constant.

    The steps become sequences of one step each, whose initial states are what the whole run had
    there. Of one layer and direction only.
    """
    problem, network = setting.problem, setting.network
    if network.num_runs > 1:
        raise NotImplementedError
    cell, busy = network.cells[0], problem.lengths > 0
    turned = reversed_rows(problem.lengths) if network.reverse[0] else slice(None)
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
    one = forward(cell, setting.parameters[0], steps, cell.state_type(*before), unroll=UNROLL)
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


def _clip_forgotten(tapes: Sequence[Tape]) -> list[Tape]:
    """Tapes that do not know where the cell state was clipped."""

    def forgotten(tape: Tape) -> Tape:
        steps = tape.saved.tape
        clipped = np.zeros_like(steps.clipped)
        return tape._replace(saved=tape.saved._replace(tape=steps._replace(clipped=clipped)))

    return [forgotten(tape) for tape in tapes]
