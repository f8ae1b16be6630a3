"""The reference's rows as the padded arrays that most frameworks return."""

from __future__ import annotations

import numpy as np

from ..types import Array
from .network import Results
from .problem import Problem
from .semantics import Semantics
from .subject import Expected

__all__ = ["expected_d_input", "expected_output"]


def expected_output(
    results: Results, problem: Problem, semantics: Semantics, *, batch_first: bool = True
) -> Expected:
    """The outputs as a padded array.

    Parameters
    ----------
    results : Results
    problem : Problem
    semantics : Semantics
        What stands in the padding: zeros, the last valid output, or anything.
    batch_first : bool
        (B, T, R) instead of (T, B, R).

    Returns
    -------
    Expected
    """
    padded = _padded(results.output, problem)
    compared = None
    if results.at_padding is not None and results.at_padding.output is not None:
        padded = np.where(problem.mask[:, :, None], padded, results.at_padding.output)
    elif semantics.padded_output == "repeat":
        padded = _repeated(padded, problem)
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


def _padded(rows: Array, problem: Problem) -> Array:
    """Rows at their places in a (B, T, F) array, zeros elsewhere."""
    padded = np.zeros((*problem.mask.shape, rows.shape[1]), rows.dtype)
    padded[problem.mask] = rows
    return padded


def _repeated(padded: Array, problem: Problem) -> Array:
    """Every padded step filled with the last valid one before it; zeros where there is none."""
    steps = np.where(problem.mask, np.arange(problem.num_steps), -1)
    last = np.maximum.accumulate(steps, axis=1)
    filled: Array = np.take_along_axis(padded, np.maximum(last, 0)[:, :, None], axis=1)
    return np.where(last[:, :, None] >= 0, filled, 0).astype(padded.dtype, copy=False)


def _laid_out(array: Array, compared: Array | None, batch_first: bool) -> Expected:
    if batch_first:
        return Expected(array, compared)
    turned = None if compared is None else compared.swapaxes(0, 1)
    return Expected(array.swapaxes(0, 1), turned)
