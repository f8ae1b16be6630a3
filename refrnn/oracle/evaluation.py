"""What a network makes of a problem, under the law or under somebody's semantics."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

from ..parameters import CellParameters
from ..ragged import RaggedBatch
from ..types import Array, BoolArray
from ..unroll import PerSequence, Tape, Unroll
from ..unroll.base import State
from .network import AtPadding, Network, Results
from .problem import Problem
from .semantics import LAW, Semantics

__all__ = ["Setting", "evaluate", "stretched"]


class Setting(NamedTuple):
    """A network with its parameters, and a problem for it.

    Attributes
    ----------
    network : Network
    parameters : tuple of L*D CellParameters
    problem : Problem
    semantics : Semantics
    """

    network: Network
    parameters: tuple[CellParameters, ...]
    problem: Problem
    semantics: Semantics = LAW


def evaluate(
    setting: Setting,
    unroll: str | Unroll | None = None,
    tapes: Callable[[Sequence[Tape]], Sequence[Tape]] | None = None,
) -> Results:
    """Run a problem forward and backward.

    Parameters
    ----------
    setting : Setting
    unroll : str or Unroll, optional
        The definition, ``per_sequence``, if None.
    tapes : callable, optional
        Changes the tapes between forward and backward: see :meth:`Network.backward`.

    Returns
    -------
    Results
    """
    problem, meant = setting.problem, setting.semantics
    empty = problem.lengths == 0
    if meant.empty == "padding" and empty.any():
        mask = problem.mask | empty[:, None]
        masked = meant.padded_output == "zero"  # above the lowest layer the padding is zeros then
        lawful = setting._replace(semantics=meant.lawful("empty"))
        return stretched(lawful, mask, unroll, masked=masked)
    return _evaluated(setting, unroll, tapes)


def _evaluated(
    setting: Setting,
    unroll: str | Unroll | None,
    tapes: Callable[[Sequence[Tape]], Sequence[Tape]] | None = None,
    silent: BoolArray | None = None,
) -> Results:
    """Run a problem as it stands."""
    network, parameters, problem, meant = setting
    empty = problem.lengths == 0
    walk = PerSequence() if unroll is None else unroll
    run = network.forward(parameters, problem.batch, problem.state_0, walk, silent)
    changed = None if tapes is None else tapes(run.tapes)
    results = network.backward(run, problem.d_output, problem.d_state_n, changed, silent)
    if meant.empty == "zeros":
        results = results._replace(
            state_n=_zeroed(results.state_n, empty), d_state_0=_zeroed(results.d_state_0, empty)
        )
    return results


def stretched(
    setting: Setting,
    mask: BoolArray,
    unroll: str | Unroll | None = None,
    *,
    masked: bool = False,
) -> Results:
    """Run a problem as if the padded steps in `mask` were real ones.

    Parameters
    ----------
    setting : Setting
    mask : ndarray of bool, shape (B, T)
        At least the problem's own mask.
    unroll : str or Unroll, optional
    masked : bool
        Whether every layer puts out zeros at those steps.

    Returns
    -------
    Results
        With the outputs and input gradients of padded steps in ``at_padding``.
    """
    problem = setting.problem
    real = problem.mask[mask]
    d_output = np.zeros((real.size, problem.d_output.shape[1]), problem.dtype)
    d_output[real] = problem.d_output
    longer = problem._replace(
        batch=RaggedBatch(problem.padded_input()[mask], mask.sum(axis=1)),
        d_output=d_output,
        mask=mask,
    )
    results = _evaluated(setting._replace(problem=longer), unroll, silent=~real if masked else None)
    output = np.zeros((*mask.shape, results.output.shape[1]), problem.dtype)
    d_input = np.zeros((*mask.shape, results.d_input.shape[1]), problem.dtype)
    output[mask], d_input[mask] = results.output, results.d_input
    return results._replace(
        output=results.output[real],
        d_input=results.d_input[real],
        at_padding=AtPadding(None if masked else output, d_input),
    )


def _zeroed(states: Sequence[State], rows: Array) -> tuple[State, ...]:
    """States with zeros in some rows, as new arrays."""

    def zeroed(array: Array) -> Any:
        return np.where(rows[:, None], array.dtype.type(0), array)

    return tuple(type(state)._make([zeroed(a) for a in state]) for state in states)
