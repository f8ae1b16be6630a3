"""The outcomes as one JSON object: everything the report says, and every single comparison."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from typing import Any

from ..cases import HARD_CASES
from ..tolerances import UNITS_PER_STEP, Deviation
from .loading import Candidate
from .running import VOWELS, Outcome, Selection

__all__ = ["FORMAT", "dump", "record"]

#: Name and version of the layout.
FORMAT = "refrnn check 1"


def record(
    outcomes: Sequence[Outcome],
    candidates: Sequence[Candidate],
    selection: Selection,
    *,
    environment: Mapping[str, Any],
    exit_status: int,
    seconds: float,
) -> dict[str, Any]:
    """What was run and what came of it, as values that JSON can hold.

    Parameters
    ----------
    outcomes : sequence of Outcome
    candidates : sequence of Candidate
    selection : Selection
    environment : mapping
        Versions and machine, as ``refrnn info --json`` prints them.
    exit_status : int
    seconds : float
        Of the whole run.

    Returns
    -------
    dict
        Keys ``format``, ``exit_status``, ``seconds``, ``environment``, ``tolerance``, ``cells``,
        ``dtypes``, ``cases``, ``unrolls`` and ``results``. A number that is not finite is one of
        the strings ``"nan"``, ``"inf"`` and ``"-inf"``.
    """
    cases: dict[str, Any] = {
        name: {"lengths": list(HARD_CASES[name].lengths), "about": HARD_CASES[name].about}
        for name in selection.cases
        if name != VOWELS
    }
    if VOWELS in selection.cases:
        cases[VOWELS] = {
            "about": "UCI Japanese Vowels, training split, standardised",
            "every": selection.every,
            "every_reversed": selection.every_reversed,
        }
    return {
        "format": FORMAT,
        "exit_status": exit_status,
        "seconds": round(seconds, 3),
        "environment": dict(environment),
        "tolerance": f"{UNITS_PER_STEP} * eps * max(1, T) * scale",
        "cells": list(selection.cells),
        "dtypes": list(selection.dtypes),
        "cases": cases,
        "unrolls": [
            {"name": c.name, "loaded": c.unroll is not None, "reason": c.reason or None}
            for c in candidates
        ],
        "results": [_result(outcome) for outcome in outcomes],
    }


def dump(recorded: Mapping[str, Any]) -> str:
    """`recorded` as text: standard JSON, one result a line."""
    results = ",\n    ".join(json.dumps(r, allow_nan=False) for r in recorded["results"])
    head = json.dumps({**recorded, "results": []}, indent=2, allow_nan=False)
    return head.replace(
        '"results": []', f'"results": [\n    {results}\n  ]' if results else '"results": []'
    )


def _result(outcome: Outcome) -> dict[str, Any]:
    return {
        "unroll": outcome.unroll,
        "cell": outcome.cell,
        "dtype": outcome.dtype,
        "direction": "reverse" if outcome.reverse else "forward",
        "case": outcome.case,
        "method": outcome.method,
        "status": outcome.status.value,
        "reason": outcome.reason or None,
        "real_steps": outcome.real_steps,
        "computed_steps": outcome.computed_steps,
        "padded_steps": outcome.computed_steps - outcome.real_steps,
        "seconds": round(outcome.seconds, 6),
        "tensors": [_tensor(d) for d in outcome.deviations],
    }


def _tensor(deviation: Deviation) -> dict[str, Any]:
    """One array: its worst element."""
    return {
        "name": deviation.name,
        "in_tolerances": _finite(deviation.in_tolerances),
        "normwise": _finite(deviation.normwise),
        "where": list(deviation.where),
        "got": _finite(deviation.got),
        "expected": _finite(deviation.expected),
        "tolerance": _finite(deviation.tolerance),
    }


def _finite(value: float) -> float | str:
    return value if math.isfinite(value) else str(value)
