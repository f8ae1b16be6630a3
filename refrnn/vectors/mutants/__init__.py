"""Wrong implementations, and which cases tell them from right ones.

A corpus is worth what it can tell apart. Every mutant here is an error that somebody made, or could
make: it is run on every case that has what it gets wrong, and killed by those that it fails.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import numpy as np

from ..record import VectorCase
from . import adjoints, equations, gradients, parameters, ragged, stacks
from .base import Mutant

__all__ = ["MUTANTS", "Mutant", "cover", "kills", "worst"]

#: A mutant is killed where it is off by more than this many tolerances. Of all pairs of mutant and
#: case none lies between 1 and 2.5, and correct code is off by at most 0.04: so the verdict is the
#: same on every machine.
CLEARLY = 2.0

#: Every mutant.
MUTANTS: tuple[Mutant, ...] = (
    *parameters.MUTANTS,
    *equations.MUTANTS,
    *ragged.MUTANTS,
    *gradients.MUTANTS,
    *adjoints.MUTANTS,
    *stacks.MUTANTS,
)


def kills(
    cases: Iterable[VectorCase], tell: Callable[[str, int], None] = lambda name, done: None
) -> list[dict[str, Any]]:
    """Run every mutant on every case it applies to.

    Parameters
    ----------
    cases : iterable of VectorCase
    tell : callable
        Told each mutant's name and how many were run before it.

    Returns
    -------
    list of dict
        For each mutant ``name``, ``about``, ``group``, ``applies_to``, the number of cases, and
        ``killed_by``, the names of those that find it: in float64 an array is off by
        more than twice its tolerance.
    """
    prepared = [(case, case.case()) for case in cases]
    found = []
    for done, mutant in enumerate(MUTANTS):
        tell(mutant.name, done)
        applicable = [(case, inner) for case, inner in prepared if mutant.applies(inner)]
        killed = [case.name for case, inner in applicable if worst(mutant, case, inner) > CLEARLY]
        found.append(
            {
                "name": mutant.name,
                "about": mutant.about,
                "group": mutant.group,
                "applies_to": len(applicable),
                "killed_by": killed,
            }
        )
    return found


def cover(found: Iterable[dict[str, Any]]) -> list[str]:
    """A few cases that kill together every mutant that is killed at all.

    Parameters
    ----------
    found : iterable of dict
        What :func:`kills` returns.

    Returns
    -------
    list of str
        Names of cases: always the one that kills most of what is left, the first by name among
        equals.
    """
    left = {m["name"]: set(m["killed_by"]) for m in found if m["killed_by"]}
    chosen = []
    while left:
        counts: dict[str, int] = {}
        for killers in left.values():
            for case in killers:
                counts[case] = counts.get(case, 0) + 1
        best = min(counts, key=lambda case: (-counts[case], case))
        chosen.append(best)
        left = {name: killers for name, killers in left.items() if best not in killers}
    return chosen


def worst(mutant: Mutant, case: VectorCase, inner: Any = None) -> float:
    """The largest error of a mutant on a case, in tolerances.

    Parameters
    ----------
    mutant : Mutant
    case : VectorCase
        One that it applies to.
    inner : Case or StackCase, optional
        ``case.case()``, where it is known already.
    """
    with np.errstate(all="ignore"):
        results = mutant.run(case.case() if inner is None else inner)
    return max(d.in_tolerances for d in case.compare(results))
