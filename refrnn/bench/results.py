"""What a run is told, and what comes out of it."""

from __future__ import annotations

import enum
from typing import Any, NamedTuple

from .contestants import Contestant
from .matmul import Product
from .timing import Sample, Summary
from .worker import WORKS
from .workloads import Workload

__all__ = ["Measured", "Result", "Settings", "Status"]


class Settings(NamedTuple):
    """How to measure.

    Attributes
    ----------
    threads : int
        Threads of each contestant.
    rounds : int
    seconds : float
        How long each contestant is sampled in a round, for each workload and kind of work.
    works : tuple of str
        Of ``refrnn.bench.WORKS``.
    dense : bool
        Time :attr:`Workload.dense` beside each ragged workload.
    matmul : int
        Rows and columns of the matrices whose product is timed in turn with the contestants; 0 for
        none.
    """

    threads: int
    rounds: int = 5
    seconds: float = 0.5
    works: tuple[str, ...] = WORKS
    dense: bool = False
    matmul: int = 0


class Status(enum.Enum):
    """What became of a contestant on a workload."""

    TIMED = "timed"
    NOT_OFFERED = "not offered"
    MISSING = "missing"
    FAILED = "failed"
    DIFFERS = "differs"


class Result(NamedTuple):
    """One contestant on one workload.

    Attributes
    ----------
    contestant : Contestant
    workload : Workload
    status : Status
        What differs was timed as well.
    reason : str
        Why it was not timed, or what differs.
    facts : dict
        What the contestant tells: computed steps, versions, thread pools; and ``peak_bytes`` by
        kind of work, None where that cannot be told.
    samples : dict of str to list of Sample
        By kind of work, from all rounds.
    summaries : dict of str to Summary
    """

    contestant: Contestant
    workload: Workload
    status: Status
    reason: str
    facts: dict[str, Any]
    samples: dict[str, list[Sample]]
    summaries: dict[str, Summary]


class Measured(NamedTuple):
    """Everything that was measured.

    Attributes
    ----------
    results : list of Result
        Workload by workload, contestants in their order.
    dense : list of Result
        The same on the workloads of equal lengths that were not asked for by name.
    products : list of Product
        The matrix product, by library and dtype.
    """

    results: list[Result]
    dense: list[Result]
    products: list[Product]
