"""Run a case two ways and say how far the results lie apart.

A :class:`Case` is everything that :func:`refrnn.forward` and :func:`refrnn.backward` take. The
reference is the ``per_sequence`` unroll in float64. Beside it a few runs in Monte Carlo arithmetic
(every matrix product perturbed at random, Parker 1997) measure how far rounding can move each
result of this very case: cancellation, saturation and the growth of errors over time included.
That gives the ``scale`` of :mod:`refrnn.tolerances`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

from .arithmetic import MonteCarlo
from .parameters import CellParameters
from .ragged import RaggedBatch
from .tolerances import Deviation, deviation
from .types import Array, IntArray
from .unroll import Gradients, Packed, PerSequence, Run, Unroll, backward, forward
from .unroll.base import AnyCell, State

__all__ = ["Case", "Reference", "Results", "compare", "reference", "run_case"]

#: Named result arrays: output, h_n, (c_n,) d_input, d_h_0, (d_c_0,) d_W_ih, ...
Results = dict[str, Array]

# The perturbation is far above float64's epsilon, and so small that it still acts linearly where
# errors grow by 1e11 on their way through time. Eight runs of uniform noise: that all of them
# leave a single number nearly unmoved has probability below 1e-9.
_UNIT = 2.0**-40
_RUNS = 8


class Case(NamedTuple):
    """One forward and backward run, without saying how time is walked.

    Attributes
    ----------
    cell : Cell
    parameters : CellParameters
    batch : RaggedBatch
    state_0, d_state_n : NamedTuple of ndarrays (B, size), or None for zeros
    d_output : ndarray of shape (N, R), or None for zeros
    reverse : bool
    name : str
        For messages.
    """

    cell: AnyCell
    parameters: CellParameters
    batch: RaggedBatch
    state_0: State = None
    d_output: Array | None = None
    d_state_n: State = None
    reverse: bool = False
    name: str = ""

    @property
    def dtype(self) -> np.dtype[Any]:
        """The dtype of the case: that of its batch."""
        return self.batch.dtype

    @property
    def values(self) -> Array:
        """The input rows, shape (N, I): those of the batch, read-only."""
        return self.batch.values

    @property
    def lengths(self) -> IntArray:
        """Steps of each sequence, int64, shape (B,): those of the batch, read-only."""
        return self.batch.lengths

    def astype(self, dtype: Any) -> Case:
        """The same case with every array converted."""

        def convert(state: State) -> State:
            return None if state is None else type(state)._make([a.astype(dtype) for a in state])

        return self._replace(
            parameters=self.parameters.astype(dtype),
            batch=self.batch.with_values(self.batch.values.astype(dtype)),
            state_0=convert(self.state_0),
            d_output=None if self.d_output is None else self.d_output.astype(dtype),
            d_state_n=convert(self.d_state_n),
        )


class Reference(NamedTuple):
    """The reference results of a case, and the scale of each for the tolerance formula."""

    results: Results
    scales: dict[str, float]


def run_case(case: Case, unroll: str | Unroll) -> Results:
    """Run a case forward and backward and name its results.

    Parameters
    ----------
    case : Case
    unroll : str or Unroll

    Returns
    -------
    dict of str to ndarray
        ``output`` (N, R), ``h_n`` and, for an LSTM, ``c_n`` (B, size), and the gradients
        ``d_input``, ``d_h_0``, ``d_c_0``, ``d_W_ih``, ...

    Raises
    ------
    TypeError
        If a result has another dtype than the case (dtype in is dtype out), or is of another kind:
        output and input gradient are a :class:`refrnn.RaggedBatch`, states a record of the cell.
    ValueError
        If the output or the gradient of the input has other lengths than the batch.
    """
    results = name_results(case, *run_both_ways(case, unroll))
    for name, array in results.items():
        if array.dtype != case.dtype:
            raise TypeError(f"{name} has dtype {array.dtype}, expected {case.dtype} as the batch")
    return results


def run_both_ways(case: Case, unroll: str | Unroll) -> tuple[Run, Gradients]:
    """Run a case forward and backward; nothing is said of what comes out."""
    run = forward(
        case.cell, case.parameters, case.batch, case.state_0, reverse=case.reverse, unroll=unroll
    )
    return run, backward(run.tape, case.d_output, case.d_state_n)


def name_results(case: Case, run: Run, gradients: Gradients) -> Results:
    """Name the results of a run, as :func:`run_case` does, whatever their dtypes and shapes.

    Raises
    ------
    TypeError, ValueError
        If a result is of another kind, or has other lengths, as in :func:`run_case`.
    """
    _check_kinds(case, run, gradients)
    names = case.cell.state_names
    results = {"output": run.output.values}
    results.update({f"{n}_n": a for n, a in zip(names, run.state_n, strict=True)})
    results["d_input"] = gradients.input.values
    results.update({f"d_{n}_0": a for n, a in zip(names, gradients.state_0, strict=True)})
    results.update({f"d_{n}": a for n, a in gradients.parameters.items()})
    return results


def _check_kinds(case: Case, run: Run, gradients: Gradients) -> None:
    """What numbers alone do not show: whose rows they are."""
    for name, batch in (("output", run.output), ("d_input", gradients.input)):
        if not isinstance(batch, RaggedBatch):
            raise TypeError(f"{name} has type {type(batch).__name__}, expected RaggedBatch")
        if not np.array_equal(batch.lengths, case.batch.lengths):
            raise ValueError(f"{name} has other lengths than the batch, expected the same")
    for name, state in (("state_n", run.state_n), ("d_state_0", gradients.state_0)):
        if not isinstance(state, case.cell.state_type):
            wanted = case.cell.state_type.__name__
            raise TypeError(f"{name} has type {type(state).__name__}, expected {wanted}")


def reference(case: Case, *, seed: int = 0) -> Reference:
    """The reference results of a case, and how far rounding can move them.

    Parameters
    ----------
    case : Case
        Of any real dtype; its numbers are taken as exact and run in float64, or in longdouble
        if that is what they are.
    seed : int
        Of the random perturbations.

    Returns
    -------
    Reference
        The scale of an array is its largest number plus the largest movement seen in eight
        perturbed runs, divided by the size of the perturbation.
    """
    wide = case.astype(np.result_type(case.dtype, np.float64))
    results = run_case(wide, PerSequence())
    scales = {name: float(np.abs(a).max(initial=0.0)) for name, a in results.items()}
    exact = run_case(wide, Packed())
    moved = dict.fromkeys(results, 0.0)
    for stream in np.random.default_rng(seed).spawn(_RUNS):
        noisy = run_case(wide, Packed(arithmetic=MonteCarlo(_UNIT, stream)))
        for name, array in noisy.items():
            movement = float(np.abs(array - exact[name]).max(initial=0.0))
            moved[name] = max(moved[name], movement)
    return Reference(results, {name: scales[name] + moved[name] / _UNIT for name in results})


def compare(
    case: Case, got: Mapping[str, Array] | str | Unroll, truth: Reference | None = None
) -> list[Deviation]:
    """Compare results with the reference, array by array.

    Parameters
    ----------
    case : Case
    got : mapping of str to ndarray, or str or Unroll
        Results under the names of :func:`run_case`, or an unroll to run the case with.
    truth : Reference, optional
        Of this case, where it is known already.

    Returns
    -------
    list of Deviation
        One an array, in the reference's order.

    Raises
    ------
    ValueError
        If an array is missing, is one too many, or has another shape.
    """
    results = got if isinstance(got, Mapping) else run_case(case, got)
    truth = reference(case) if truth is None else truth
    if set(results) != set(truth.results):
        raise ValueError(f"got has arrays {sorted(results)}, expected {sorted(truth.results)}")
    return [
        deviation(
            name,
            results[name],
            expected,
            scale=truth.scales[name],
            dtype=case.dtype,
            max_length=case.batch.max_length,
        )
        for name, expected in truth.results.items()
    ]
