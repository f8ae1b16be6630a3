"""The reference's rows as the padded arrays that most frameworks return."""

from __future__ import annotations

import numpy as np

from ..types import Array, IntArray
from .network import Results
from .problem import Problem
from .semantics import Semantics
from .subject import Expected

__all__ = ["expected_d_input", "expected_output", "reversed_rows"]


def expected_output(
    results: Results,
    problem: Problem,
    semantics: Semantics,
    *,
    batch_first: bool = True,
    backwards: bool = False,
) -> Expected:
    """The outputs as a padded array.

    Parameters
    ----------
    results : Results
    problem : Problem
    semantics : Semantics
        What stands in the padding: zeros, the last valid output, the state h, or anything.
    batch_first : bool
        (B, T, R) instead of (T, B, R).
    backwards : bool
        Whether the padding is passed by a run from the last step to the first, so that what is
        repeated there is the valid output after it. The array is in the order of time all the same.

    Returns
    -------
    Expected

    Raises
    ------
    NotImplementedError
        If the padding holds the state, and the output is not that of the last run or of the last
        two side by side.
    """
    padded = _padded(results.output, problem)
    compared = None
    if results.at_padding is not None and results.at_padding.output is not None:
        padded = np.where(problem.mask[:, :, None], padded, results.at_padding.output)
    elif semantics.padded_output in ("repeat", "state"):
        first = np.zeros((len(padded), padded.shape[2]), padded.dtype)
        if semantics.padded_output == "state":
            first = _initial_output(problem, padded.shape[2])
        padded = _repeated(padded, problem, first, backwards)
    if semantics.padded_output == "any":
        compared = np.broadcast_to(problem.mask[:, :, None], padded.shape)
    return _laid_out(padded, compared, batch_first)


def expected_d_input(results: Results, problem: Problem, *, batch_first: bool = True) -> Expected:
    """The gradient of the padded input: exactly 0 in the padding, but for what steps it.

    Parameters
    ----------
    results : Results
    problem : Problem
    batch_first : bool
        (B, T, I) instead of (T, B, I).

    Returns
    -------
    Expected
    """
    padded = _padded(results.d_input, problem)
    if results.at_padding is not None and results.at_padding.d_input is not None:
        padded = np.where(problem.mask[:, :, None], padded, results.at_padding.d_input)
    return _laid_out(padded, None, batch_first)


def reversed_rows(lengths: IntArray) -> IntArray:
    """Row numbers that turn each sequence round within its own length.

    Parameters
    ----------
    lengths : ndarray of int64, shape (B,)

    Returns
    -------
    ndarray of int64, shape (N,)
        Its own inverse.
    """
    ends = np.cumsum(lengths)
    return np.repeat(2 * ends - lengths - 1, lengths) - np.arange(int(lengths.sum()))


def _padded(rows: Array, problem: Problem) -> Array:
    """Rows at their places in a (B, T, F) array, zeros elsewhere."""
    padded = np.zeros((*problem.mask.shape, rows.shape[1]), rows.dtype)
    padded[problem.mask] = rows
    return padded


def _repeated(padded: Array, problem: Problem, first: Array, backwards: bool) -> Array:
    """Every padded step filled with the last valid one before it; `first` where there is none."""
    mask = problem.mask
    if backwards:
        padded, mask = padded[:, ::-1], mask[:, ::-1]
    steps = np.where(mask, np.arange(problem.num_steps), -1)
    last = np.maximum.accumulate(steps, axis=1)
    filled: Array = np.take_along_axis(padded, np.maximum(last, 0)[:, :, None], axis=1)
    filled = np.where(last[:, :, None] >= 0, filled, first[:, None, :])
    return filled[:, ::-1] if backwards else filled


def _initial_output(problem: Problem, features: int) -> Array:
    """h_0 of the runs that the output is made of: the last one, or the last two side by side."""
    for runs in (problem.state_0[-1:], problem.state_0[-2:]):
        h_0 = np.concatenate([state[0] for state in runs], axis=1)
        if h_0.shape[1] == features:
            return h_0
    raise NotImplementedError


def _laid_out(array: Array, compared: Array | None, batch_first: bool) -> Expected:
    if batch_first:
        return Expected(array, compared)
    turned = None if compared is None else compared.swapaxes(0, 1)
    return Expected(array.swapaxes(0, 1), turned)
