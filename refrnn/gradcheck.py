"""Are the gradients right? Complex step, finite differences, and the dot-product test.

The complex step takes the derivative of the *forward* run alone, to the last digits: Im f(x + ihv)
/ h with h = 1e-30 has no cancellation (Squire & Trapp 1998). Against it stands the hand-written
backward run. Each argument is checked by itself: in one inner product over all of them a small
wrong gradient hides behind the large right ones.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from .comparison import Case, Reference, Results, reference, run_case
from .tolerances import tolerance
from .types import Array
from .unroll import Unroll, forward
from .validation import check_integer

__all__ = [
    "GradientCheck",
    "arguments",
    "check_gradients",
    "finite_difference",
    "jvp",
    "raise_if_wrong",
    "with_arguments",
]

_STEP = 1e-30


class GradientCheck(NamedTuple):
    """One argument in one direction v: the two sides of <d, J v> = <J^T d, v>.

    Attributes
    ----------
    argument : str
        ``input``, ``h_0``, ``c_0`` or a parameter's name.
    forward : float
        <d, J v>, by the complex step of the forward run.
    backward : float
        <J^T d, v>, by the backward run.
    allowed : float
        How far the two may lie apart: the tolerance of every entry of the gradient, times the sum
        of the absolute values of v, for either side.
    """

    argument: str
    forward: float
    backward: float
    allowed: float
    entry: tuple[int, ...] | None = None

    @property
    def in_tolerances(self) -> float:
        """The difference divided by what is allowed; above 1 is wrong, NaN counts as Inf."""
        error = abs(self.forward - self.backward)
        return error / self.allowed if np.isfinite(error) else float("inf")

    @property
    def ok(self) -> bool:
        """Whether the two sides agree."""
        return self.in_tolerances <= 1.0

    def __str__(self) -> str:
        what = f"<d_{self.argument}, v>"
        if self.entry is not None:
            what = f"d_{self.argument}[{', '.join(map(str, self.entry))}]"
        return (
            f"d_{self.argument} has {what} = {self.backward:.17g}, expected "
            f"{self.forward:.17g} by the complex step ({self.in_tolerances:.3g} tolerances)"
        )


def arguments(case: Case) -> Results:
    """The arrays a case can be differentiated by: ``input``, ``h_0``, (``c_0``,) parameters."""
    state = case.state_0
    if state is None:
        state = case.cell.zero_state(case.batch.batch_size, case.dtype)
    named: Results = {"input": case.batch.values}
    named.update({f"{n}_0": a for n, a in zip(case.cell.state_names, state, strict=True)})
    named.update(case.parameters)
    return named


def with_arguments(case: Case, values: Results) -> Case:
    """The case with the arrays of :func:`arguments` replaced, all of one dtype."""
    names = [f"{n}_0" for n in case.cell.state_names]
    return case._replace(
        batch=case.batch.with_values(values["input"]),
        state_0=case.cell.state_type(*(values[n] for n in names)),
        parameters=type(case.parameters)({n: values[n] for n in case.parameters}),
    )


def jvp(case: Case, tangent: Results, unroll: str | Unroll = "per_sequence") -> Results:
    """The directional derivative of all outputs, by the complex step.

    Parameters
    ----------
    case : Case
        In float64.
    tangent : dict of str to ndarray
        The direction: some or all of :func:`arguments`, each in its shape.
    unroll : str or Unroll

    Returns
    -------
    dict of str to ndarray
        The derivatives of ``output``, ``h_n`` and, for an LSTM, ``c_n``.

    References
    ----------
    .. [1] Squire & Trapp (1998), Using complex variables to estimate derivatives of real functions.
    """
    moved = {name: array.astype(np.complex128) for name, array in arguments(case).items()}
    for name, direction in tangent.items():
        moved[name] += 1j * _STEP * direction
    outputs = _outputs(with_arguments(case, moved), unroll)
    return {name: array.imag / _STEP for name, array in outputs.items()}


def finite_difference(
    case: Case, tangent: Results, unroll: str | Unroll = "per_sequence", *, step: float = 1e-6
) -> Results:
    """The directional derivative of all outputs, by central differences: 8 digits or so.

    Independent of complex arithmetic, and of use for unrolls that have none.

    Parameters
    ----------
    case, tangent, unroll
        As in :func:`jvp`.
    step : float
        How far to go to either side.

    Returns
    -------
    dict of str to ndarray
        As :func:`jvp`.
    """
    there, back = ({**arguments(case)}, {**arguments(case)})
    for name, direction in tangent.items():
        there[name] = there[name] + step * direction
        back[name] = back[name] - step * direction
    plus = _outputs(with_arguments(case, there), unroll)
    minus = _outputs(with_arguments(case, back), unroll)
    return {name: (plus[name] - minus[name]) / (2 * step) for name in plus}


def check_gradients(
    case: Case,
    unroll: str | Unroll = "per_sequence",
    *,
    directions: int | None = 2,
    seed: int = 0,
    truth: Reference | None = None,
) -> list[GradientCheck]:
    """Hold the backward run to the complex step of the definition, argument by argument.

    Parameters
    ----------
    case : Case
        Of any real dtype. The unroll runs in it, the complex step in double precision.
    unroll : str or Unroll
        Whose backward run to check. The forward derivative is always that of ``per_sequence``.
    directions : int or None
        Random directions for each argument. None takes one direction for each entry instead, which
        says where a gradient is wrong, at the price of a forward run an entry.
    seed : int
        Of the directions.
    truth : Reference, optional
        Of this case, where it is known already.

    Returns
    -------
    list of GradientCheck
        One an argument and direction; all should be ``ok``.

    Notes
    -----
    At a kink (relu at 0, a clip at its bound) the derivative is the one the law prescribes and the
    complex step takes the same side; a float32 run may land on the other side of a kink nearby.

    Examples
    --------
    >>> import refrnn as rr
    >>> from refrnn.cases import hard_case
    >>> from refrnn.gradcheck import check_gradients
    >>> checks = check_gradients(hard_case("length_0_and_1", rr.GRU(3, 5)), "lanes")
    >>> len(checks), all(check.ok for check in checks)
    (12, True)
    """
    if directions is not None:
        directions = check_integer(directions, "directions", minimum=1)
    wide = case.astype(np.float64)
    truth = reference(case) if truth is None else truth
    gradients = run_case(case, unroll)
    rng = np.random.default_rng(seed)
    checks = []
    for name, array in arguments(wide).items():
        scale, longest = truth.scales[f"d_{name}"], wide.batch.max_length
        allowed = sum(tolerance(dtype, longest, scale) for dtype in (case.dtype, np.float64))
        for entry, v in _directions(array, directions, rng):
            ahead = _inner(_cotangents(wide), jvp(wide, {name: v}))
            pulled_back = float(np.vdot(gradients[f"d_{name}"], v))
            budget = allowed * max(1.0, float(np.abs(v).sum()))
            checks.append(GradientCheck(name, ahead, pulled_back, budget, entry))
    return checks


def raise_if_wrong(checks: list[GradientCheck]) -> None:
    """Raise AssertionError with every argument whose gradient is wrong; return if there is none.

    Parameters
    ----------
    checks : list of GradientCheck
        As :func:`check_gradients` gives them.
    """
    wrong = [str(check) for check in checks if not check.ok]
    if wrong:
        raise AssertionError("; ".join(wrong))


def _directions(
    array: Array, count: int | None, rng: np.random.Generator
) -> Iterator[tuple[tuple[int, ...] | None, Array]]:
    """Random directions, no entry of them near 0; or every entry with its unit direction."""
    if count is None:
        for entry in np.ndindex(array.shape):
            v = np.zeros(array.shape)
            v[entry] = 1.0
            yield entry, v
        return
    for _ in range(count):
        yield None, rng.choice([-1.0, 1.0], array.shape) * rng.uniform(0.5, 1.5, array.shape)


def _outputs(case: Case, unroll: str | Unroll) -> Results:
    """The forward results of a case."""
    run = forward(
        case.cell, case.parameters, case.batch, case.state_0, reverse=case.reverse, unroll=unroll
    )
    states = zip(case.cell.state_names, run.state_n, strict=True)
    return {"output": run.output.values, **{f"{n}_n": a for n, a in states}}


def _cotangents(case: Case) -> Results:
    """The cotangents of a case under the names of the outputs they belong to; zeros left out."""
    named: Results = {} if case.d_output is None else {"output": case.d_output}
    parts: tuple[Array | None, ...] = case.d_state_n or ()
    names = [f"{n}_n" for n in case.cell.state_names][: len(parts)]
    named.update({n: a for n, a in zip(names, parts, strict=True) if a is not None})
    return named


def _inner(cotangent: Results, tangent: Results) -> float:
    """The inner product over all outputs."""
    return float(sum(np.vdot(array, tangent[name]) for name, array in cotangent.items()))
