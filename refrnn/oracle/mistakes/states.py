"""Initial and final states that are ignored, or in each other's place."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import numpy as np

from ...types import IntArray
from ...unroll.base import State
from ..evaluation import Setting, evaluate
from ..network import Results
from .base import UNROLL, Mistakes

__all__ = ["states", "zeroed"]


def states(setting: Setting) -> Mistakes:
    """Initial states that are not used, or used for each other."""
    problem = setting.problem
    if not problem.default_state:
        zeros = tuple(type(s)(*map(np.zeros_like, s)) for s in problem.state_0)
        ignored = setting._replace(problem=problem._replace(state_0=zeros))
        yield "initial states ignored", lambda: _no_initial(evaluate(ignored, UNROLL))
        letters = setting.network.cells[0].state_names
        for part, letter in enumerate(letters if len(letters) > 1 else ()):
            yield f"{letter}_0 ignored", partial(_one_ignored, setting, part)
    if all(len(s) == 2 and s[0].shape == s[1].shape for s in problem.state_0):
        swap = setting._replace(problem=problem._replace(state_0=_exchanged(problem.state_0)))
        yield "h_0 and c_0 in each other's place", lambda: _swapped_back(evaluate(swap, UNROLL))
        other = setting._replace(problem=problem._replace(d_state_n=_exchanged(problem.d_state_n)))
        yield "h_n and c_n in each other's place", lambda: _finals_swapped(evaluate(other, UNROLL))
        yield "h_n given back as c_n too", partial(_hidden_twice, setting)
    order = np.argsort(-problem.lengths, kind="stable")
    if not np.array_equal(order, np.arange(len(order))):
        words = "final states left in the order of sorted sequences"
        yield words, partial(_in_order, setting, order)


def _no_initial(results: Results) -> Results:
    """Nothing reaches an initial state that is not used."""
    zeros = tuple(type(s)(*map(np.zeros_like, s)) for s in results.d_state_0)
    return results._replace(d_state_0=zeros)


def _one_ignored(setting: Setting, part: int) -> Results:
    """One of the two arrays of every initial state counted as zeros."""
    problem = setting.problem
    changed = problem._replace(state_0=zeroed(problem.state_0, part))
    results = evaluate(setting._replace(problem=changed), UNROLL)
    return results._replace(d_state_0=zeroed(results.d_state_0, part))


def zeroed(states: Sequence[State], part: int) -> tuple[State, ...]:
    """States with one of their arrays zero."""
    return tuple(
        type(s)._make([np.zeros_like(a) if k == part else a for k, a in enumerate(s)])
        for s in states
    )


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
    results = evaluate(setting._replace(problem=problem._replace(d_state_n=both)), UNROLL)
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
    results = evaluate(setting._replace(problem=changed), UNROLL)
    return results._replace(state_n=moved(results.state_n, order))
