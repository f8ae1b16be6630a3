"""Run unrolls on cells and cases, and keep what came of each run."""

from __future__ import annotations

import functools
import operator
import time
import zlib
from collections.abc import Callable, Sequence
from enum import Enum
from typing import Any, NamedTuple

import numpy as np

from ..cases import HARD_CASES, hard_case, make_cell, vowels_case
from ..comparison import Case, Reference, compare, reference, run_case
from ..errors import UnsupportedCase
from ..gradcheck import check_gradients
from ..tolerances import Deviation
from ..types import Array
from ..unroll import Gradients, PerSequence, Plan, Run, Tape, Unroll
from ..unroll.base import AnyCell, State
from .loading import Candidate

__all__ = ["VOWELS", "Outcome", "Selection", "Status", "run_checks"]

#: Name of the case that is real data.
VOWELS = "japanese_vowels"

# Odd and even sizes, and neither small enough to be lost in one vector register.
_HARD_SIZES = (3, 5)
_VOWELS_SIZES = (12, 16)
_DEFINITION_EVERY = 30  # nine utterances, one a speaker: a complex run for each argument is slow


class Status(Enum):
    """What came of a run."""

    OK = "ok"
    OUT_OF_TOLERANCE = "out of tolerance"
    CRASHED = "crashed"
    NOT_OFFERED = "not offered"


class Selection(NamedTuple):
    """What to run.

    Attributes
    ----------
    cells, dtypes, cases : tuple of str
    every, every_reversed : int
        Of the 270 utterances of Japanese Vowels, take each `every`-th, forward and reverse.
    """

    cells: tuple[str, ...]
    dtypes: tuple[str, ...]
    cases: tuple[str, ...] = (*HARD_CASES, VOWELS)
    every: int = 1
    every_reversed: int = 3


class Outcome(NamedTuple):
    """What came of one unroll on one case.

    Attributes
    ----------
    unroll, cell, dtype, case : str
    reverse : bool
    method : str
        ``"comparison"`` with the definition, or ``"complex step"`` of the definition itself.
    status : Status
    reason : str
        Why it crashed or was not offered.
    deviations : tuple of Deviation
        One a result array; empty where there are no results.
    real_steps, computed_steps : int
    seconds : float
        Forward and backward, once.
    """

    unroll: str
    cell: str
    dtype: str
    case: str
    reverse: bool
    method: str
    status: Status
    reason: str
    deviations: tuple[Deviation, ...]
    real_steps: int
    computed_steps: int
    seconds: float

    @property
    def worst(self) -> Deviation | None:
        """The deviation of most tolerances; None where there are no results."""
        return max(self.deviations, key=lambda d: d.in_tolerances, default=None)

    @property
    def failed(self) -> bool:
        """Whether this outcome speaks against the unroll."""
        return self.status in (Status.OUT_OF_TOLERANCE, Status.CRASHED)


def run_checks(
    candidates: Sequence[Candidate],
    selection: Selection,
    tell: Callable[[str, int, int], None] = lambda text, done, total: None,
) -> list[Outcome]:
    """Run every candidate on everything selected.

    Parameters
    ----------
    candidates : sequence of Candidate
        Those without an unroll are passed over.
    selection : Selection
    tell : callable
        Told before each case what it is, how many cases are done, and of how many.

    Returns
    -------
    list of Outcome
        In the order cell, case, direction, dtype, unroll; for each cell, case and direction one
        more of ``per_sequence`` in float64, by complex step.
    """
    unrolls = {c.name: c.unroll for c in candidates if c.unroll is not None}
    plan = [
        (cell, case, reverse)
        for cell in selection.cells
        for case in selection.cases
        for reverse in (False, True)
    ]
    outcomes: list[Outcome] = []
    for done, (cell, case, reverse) in enumerate(plan):
        tell(f"{cell} {'reverse ' if reverse else ''}{case}", done, len(plan))
        small = _build(cell, case, "float64", reverse, _DEFINITION_EVERY)
        try:
            truth = reference(small)
            outcomes.append(_definition(cell, small, truth))
        except Exception as error:  # then nothing can be said about this case
            outcomes.append(_no_definition(cell, small, error))
            continue
        for dtype in selection.dtypes:
            every = selection.every_reversed if reverse else selection.every
            build = functools.partial(_build, cell, case, dtype, reverse, every)
            shared = dtype == "float64" and case != VOWELS  # the small case is all of it
            outcomes += _compared(cell, build, truth if shared else reference(build()), unrolls)
    return outcomes


def _compared(
    cell: str, build: Callable[[], Case], truth: Reference, unrolls: dict[str, Unroll]
) -> list[Outcome]:
    """Every unroll on one case, built anew for each: none sees what another wrote into it."""
    outcomes = []
    for name, unroll in unrolls.items():
        case = build()
        if not (type(unroll) is PerSequence and case.dtype == np.float64):  # that is the truth
            outcomes.append(_outcome(name, unroll, cell, case, truth))
    return outcomes


def _build(cell: str, case: str, dtype: str, reverse: bool, every: int) -> Case:
    if case == VOWELS:
        return vowels_case(make_cell(cell, *_VOWELS_SIZES), dtype, reverse=reverse, every=every)
    return hard_case(case, make_cell(cell, *_HARD_SIZES), dtype, reverse=reverse)


def _definition(cell: str, case: Case, truth: Reference) -> Outcome:
    """Hold the gradients of the definition to the complex step, argument by argument."""
    start = time.perf_counter()
    checks = check_gradients(case, directions=1, truth=truth)
    deviations = []
    for check in checks:
        gradient = truth.results[f"d_{check.argument}"]
        largest = max(abs(check.forward), float(np.abs(gradient).max(initial=0.0)))
        error = abs(check.backward - check.forward)
        deviations.append(
            Deviation(
                f"d_{check.argument}",
                check.in_tolerances,
                error / largest if largest > 0 else error,
                (),
                check.backward,
                check.forward,
                check.allowed,
            )
        )
    return _definition_outcome(cell, case, deviations, time.perf_counter() - start)


def _definition_outcome(
    cell: str, case: Case, deviations: list[Deviation], seconds: float
) -> Outcome:
    steps = case.batch.total_steps
    return Outcome(
        PerSequence.name,
        cell,
        "float64",
        case.name,
        case.reverse,
        "complex step",
        Status.OK if all(d.ok for d in deviations) else Status.OUT_OF_TOLERANCE,
        "",
        tuple(deviations),
        steps,
        steps,
        seconds,
    )


def _no_definition(cell: str, case: Case, error: Exception) -> Outcome:
    """The definition itself crashed."""
    reason = f"{type(error).__name__}: {_one_line(error)}"
    outcome = _definition_outcome(cell, case, [], 0.0)
    return outcome._replace(status=Status.CRASHED, reason=reason)


class _Watched:
    """An unroll that remembers the plan of its last run."""

    def __init__(self, unroll: Unroll) -> None:
        self._unroll = unroll
        self.name = unroll.name
        self.plan: Plan | None = None

    def supports(self, cell: AnyCell, dtype: np.dtype[Any], *, reverse: bool = False) -> str | None:
        return self._unroll.supports(cell, dtype, reverse=reverse)

    def forward(
        self, cell: AnyCell, parameters: Any, batch: Any, state_0: State, reverse: bool
    ) -> Run:
        run = self._unroll.forward(cell, parameters, batch, state_0, reverse)
        plan = run.plan
        self.plan = plan._replace(computed_steps=operator.index(plan.computed_steps))
        return run

    def backward(self, tape: Tape, d_output: Array, d_state_n: State) -> Gradients:
        return self._unroll.backward(tape, d_output, d_state_n)


def _outcome(name: str, unroll: Unroll, cell: str, case: Case, truth: Reference) -> Outcome:
    """Run one unroll on one case; nothing it raises gets out."""
    watched = _Watched(unroll)
    deviations: tuple[Deviation, ...] = ()
    before = _fingerprint(case)
    start = time.perf_counter()
    try:
        reason = unroll.supports(case.cell, case.dtype, reverse=case.reverse) or ""
        status = Status.NOT_OFFERED
        if not reason:
            results = run_case(case, watched)
            if _fingerprint(case) != before:
                raise ValueError("an argument has other numbers after the run, expected the same")
            deviations = tuple(compare(case, results, truth))
            right = all(d.ok for d in deviations)
            status = Status.OK if right else Status.OUT_OF_TOLERANCE
    except UnsupportedCase as error:
        status, reason = Status.NOT_OFFERED, _one_line(error)
    except (Exception, SystemExit) as error:  # a crash is a finding about the unroll, not ours
        status, reason = Status.CRASHED, f"{type(error).__name__}: {_one_line(error)}"
    seconds = time.perf_counter() - start
    steps = case.batch.total_steps
    return Outcome(
        name,
        cell,
        str(case.dtype),
        case.name,
        case.reverse,
        "comparison",
        status,
        reason,
        deviations,
        steps,
        steps if watched.plan is None else watched.plan.computed_steps,
        seconds,
    )


def _fingerprint(case: Case) -> int:
    """A checksum of every number of a case."""
    arrays = [case.batch.values, *case.parameters.values(), *(case.state_0 or ())]
    arrays += [] if case.d_output is None else [case.d_output]
    arrays += case.d_state_n or ()
    checksum = 0
    for array in arrays:
        checksum = zlib.crc32(array.tobytes(), checksum)
    return checksum


def _one_line(error: BaseException) -> str:
    """What an exception says, in one line."""
    return " ".join(str(error).split()) or "no message"
