"""Lengths that are not kept, and time that is walked the wrong way."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

import numpy as np

from ...types import Array
from ...unroll.base import State
from ..evaluation import Setting, evaluate, stretched
from ..network import Network, Results
from .base import UNROLL, Mistakes, evaluated

__all__ = ["times"]


def times(setting: Setting) -> Mistakes:
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
                words = f"the final state taken from the {what}, its gradient from the right one,"
                yield words, partial(_state_alone, setting, stepped)
        yield "the final state read at the last padded step", partial(_final_state_zero, setting)
    flipped = tuple(not reverse for reverse in setting.network.reverse)
    if len(flipped) == 1:
        other = Network(setting.network.cells, flipped)
        yield "the direction of time turned round", evaluated(setting._replace(network=other))


def _padded(setting: Setting, padding: Array | None) -> Results:
    """Every step of the padded array stepped, with what the problem has in its padding, or this."""
    problem = setting.problem
    given = problem if padding is None else problem._replace(padding=padding)
    results = stretched(setting._replace(problem=given), np.ones_like(problem.mask), UNROLL)
    if padding is None or results.at_padding is None:
        return results
    return results._replace(at_padding=results.at_padding._replace(d_input=None))


def _hidden(stepped: Callable[[], Results]) -> Results:
    """Results of stepping the padding whose outputs there are not shown; the gradients are."""
    results = stepped()
    assert results.at_padding is not None
    return results._replace(at_padding=results.at_padding._replace(output=None))


def _state_alone(setting: Setting, stepped: Callable[[], Results]) -> Results:
    """The final states of stepping the padding; everything else as it should be."""
    return evaluate(setting, UNROLL)._replace(state_n=stepped().state_n)


def _final_state_zero(setting: Setting) -> Results:
    """A final h that is read from the outputs at the last padded step, where there is a zero."""
    problem = setting.problem
    short = ~problem.mask[:, -1:]

    def unread(states: Sequence[State]) -> tuple[State, ...]:
        return tuple(s._replace(h=np.where(short, 0, s.h)) for s in states)

    changed = problem._replace(d_state_n=unread(problem.d_state_n))
    results = evaluate(setting._replace(problem=changed), UNROLL)
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
    right = evaluate(_one_direction(setting, 0), UNROLL)
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
