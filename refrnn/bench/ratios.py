"""What is made of the times: ratios to the best peer, to equal lengths, and to a matrix product."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from .flops import work_flops
from .matmul import Product, best_rate
from .results import Result, Status
from .timing import geometric_mean
from .workloads import Workload

__all__ = [
    "Overall",
    "best_peer",
    "dense_ratio",
    "flops",
    "matmul_share",
    "mean_ratios",
    "overall_ratios",
]


class Overall(NamedTuple):
    """The ratios of one contestant to the best peer, over all workloads.

    Attributes
    ----------
    mean : float
        The geometric mean.
    worst : float
        The largest.
    where : str
        The workload of the largest.
    doubtful : bool
        Whether any of the times that went into them is.
    """

    mean: float
    worst: float
    where: str
    doubtful: bool


def best_peer(results: Sequence[Result], work: str) -> float | None:
    """Seconds of the fastest peer; None where no peer was timed, or gave wrong results.

    Parameters
    ----------
    results : sequence of Result
        Of one workload.
    work : str
    """
    fastest = _fastest(results, work)
    return None if fastest is None else fastest.summaries[work].median


def mean_ratios(results: Sequence[Result], work: str) -> dict[str, float]:
    """For each contestant, the geometric mean over all workloads of its time over the best peer's.

    Parameters
    ----------
    results : sequence of Result
    work : str

    Returns
    -------
    dict of str to float
        Only of those that were timed, with a peer beside them, on every workload.
    """
    return {name: overall.mean for name, overall in overall_ratios(results, work).items()}


def overall_ratios(results: Sequence[Result], work: str) -> dict[str, Overall]:
    """For each contestant, mean and worst over all workloads of its time over the best peer's.

    Parameters
    ----------
    results : sequence of Result
    work : str

    Returns
    -------
    dict of str to Overall
        Only of those that were timed, with a peer beside them, on every workload.
    """
    workloads = list(dict.fromkeys(r.workload for r in results))
    ratios: dict[str, list[tuple[float, str, bool]]] = {}
    for workload in workloads:
        here = [r for r in results if r.workload == workload]
        best = _fastest(here, work)
        if best is None:
            return {}
        for result in here:
            if work in result.summaries:
                ours, theirs = result.summaries[work], best.summaries[work]
                ratio = ours.median / theirs.median
                doubtful = ours.doubtful or theirs.doubtful
                found = ratios.setdefault(result.contestant.name, [])
                found.append((ratio, workload.name, doubtful))
    return {
        name: Overall(
            geometric_mean([ratio for ratio, _, _ in found]),
            *max(found)[:2],
            any(doubtful for _, _, doubtful in found),
        )
        for name, found in ratios.items()
        if len(found) == len(workloads)
    }


def dense_ratio(result: Result, others: Iterable[Result], work: str) -> float | None:
    """Time per real step over that of the same contestant on sequences of equal length.

    Parameters
    ----------
    result : Result
    others : iterable of Result
        Where to look for that of ``result.workload.dense``.
    work : str

    Returns
    -------
    float or None
        None where one of the two was not timed, or the lengths are equal.
    """
    wanted = result.contestant, result.workload.dense
    for other in others:
        timed = work in result.summaries and work in other.summaries
        if timed and (other.contestant, other.workload) == wanted:
            return _seconds_a_step(result, work) / _seconds_a_step(other, work)
    return None


def flops(workload: Workload, work: str) -> int:
    """The floating-point operations that a workload needs.

    Parameters
    ----------
    workload : Workload
    work : str
    """
    return work_flops(workload.make_cell(), int(workload.lengths.sum()), work)


def matmul_share(result: Result, products: Sequence[Product], work: str) -> float | None:
    """The rate at which the needed operations are done, over that of the best matrix product.

    Parameters
    ----------
    result : Result
        Timed for `work`.
    products : sequence of Product
    work : str

    Returns
    -------
    float or None
        None where no product was timed.
    """
    best = best_rate(products, result.workload.dtype)
    if best is None:
        return None
    return flops(result.workload, work) / result.summaries[work].median / best


def _fastest(results: Sequence[Result], work: str) -> Result | None:
    """The peer with the smallest median: disturbed or not, leaving one out would flatter others."""
    peers = [
        r
        for r in results
        if r.contestant.kind == "peer" and r.status is Status.TIMED and work in r.summaries
    ]
    return min(peers, key=lambda r: r.summaries[work].median, default=None)


def _seconds_a_step(result: Result, work: str) -> float:
    return result.summaries[work].median / int(result.workload.lengths.sum())
