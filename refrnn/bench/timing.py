"""Take samples of a call, tell the disturbed ones, and sum up the rest."""

from __future__ import annotations

import gc
import statistics
import time
from collections.abc import Callable, Sequence
from typing import NamedTuple

__all__ = ["Sample", "Summary", "geometric_mean", "is_disturbed", "sample", "summarise"]

#: Longer samples are not made of several calls: process clocks may tick in steps of 10 ms.
SHORTEST_SAMPLE = 0.02

_LEAST_SHARE = 0.9
_TYPICAL_SHARE = 0.85
_MOST_SHARE = 1.1


class Sample(NamedTuple):
    """One measurement.

    Attributes
    ----------
    wall : float
        Seconds of one call: the mean over the calls of the sample.
    cpu : float
        CPU seconds that all threads of the process took for it.
    """

    wall: float
    cpu: float

    @property
    def busy(self) -> float:
        """Threads that were kept busy on average: CPU time over wall time."""
        return self.cpu / self.wall


class Summary(NamedTuple):
    """Samples summed up.

    Attributes
    ----------
    median, low, high, minimum : float
        Wall seconds: median, quartiles and minimum of the samples that were kept.
    cpu : float
        Median CPU seconds.
    kept, dropped : int
        How many samples were kept, and how many were disturbed.
    all_disturbed : bool
        No sample was undisturbed: then all were kept, and the numbers are not to be trusted.
    """

    median: float
    low: float
    high: float
    minimum: float
    cpu: float
    kept: int
    dropped: int
    all_disturbed: bool

    @property
    def doubtful(self) -> bool:
        """More samples were disturbed than not: what is left is what chance left."""
        return self.all_disturbed or self.dropped > self.kept


def calls_per_sample(seconds: float) -> int:
    """How many calls of this duration make a sample that is long enough to be timed."""
    return max(1, min(10_000, round(SHORTEST_SAMPLE / max(seconds, 1e-9))))


def sample(
    call: Callable[[], object], *, calls: int, seconds: float, least: int = 2
) -> list[Sample]:
    """Time a call again and again, garbage collection held back, after one sample to warm up.

    It goes on for up to four times as long while not enough samples look undisturbed.

    Parameters
    ----------
    call : callable
        Its result is dropped inside the timing: giving memory back is part of the work.
    calls : int
        Calls of one sample.
    seconds : float
        When to stop, once there are enough.
    least : int
        Samples to take however long they are.

    Returns
    -------
    list of Sample
    """
    gc.collect()
    gc.disable()
    try:
        _one(call, calls)
        start = time.perf_counter()
        taken: list[Sample] = []
        good = 0
        while len(taken) < least or time.perf_counter() - start < seconds * (
            1 if good >= least else 4
        ):
            taken.append(_one(call, calls))
            good += taken[-1].busy >= _LEAST_SHARE
    finally:
        gc.enable()
    return taken


def _one(call: Callable[[], object], calls: int) -> Sample:
    cpu, wall = time.process_time(), time.perf_counter()
    for _ in range(calls):
        call()
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    return Sample(max(wall, 1e-9) / calls, cpu / calls)


def is_disturbed(taken: Sample, typical_busy: float, threads: int) -> bool:
    """Whether something else on the machine got in the way, or more threads ran than were given.

    Parameters
    ----------
    taken : Sample
    typical_busy : float
        The upper quartile of :attr:`Sample.busy` of the samples it belongs with.
    threads : int
        Threads the contestant was given.

    Notes
    -----
    Work that waits for nothing keeps at least one thread busy, so below 0.9 a core was taken away.
    How many of several threads are busy depends on the work: there, below 0.85 of what is typical
    for this very work is too little. Above 1.1 times the given threads is too much for any.
    """
    least = max(_LEAST_SHARE, _TYPICAL_SHARE * typical_busy)
    return not least <= taken.busy <= _MOST_SHARE * threads


def summarise(samples: Sequence[Sample], threads: int) -> Summary:
    """Drop the disturbed samples and describe the others.

    Parameters
    ----------
    samples : sequence of Sample
        Of one contestant, workload and pass, from all rounds; at least one.
    threads : int
        Threads the contestant was given.

    Raises
    ------
    ValueError
        If there is no sample.
    """
    if not samples:
        raise ValueError("samples has no sample, expected at least one")
    _, _, typical = quartiles([s.busy for s in samples])
    good = [s for s in samples if not is_disturbed(s, typical, threads)]
    kept = good or list(samples)
    walls = sorted(s.wall for s in kept)
    low, median, high = quartiles(walls)
    return Summary(
        median,
        low,
        high,
        walls[0],
        statistics.median(s.cpu for s in kept),
        len(kept),
        len(samples) - len(good),
        not good,
    )


def quartiles(values: Sequence[float]) -> tuple[float, float, float]:
    """Lower quartile, median and upper quartile, interpolated; at least one value."""
    if len(values) == 1:
        return values[0], values[0], values[0]
    low, median, high = statistics.quantiles(values, n=4, method="inclusive")
    return low, median, high


def geometric_mean(values: Sequence[float]) -> float:
    """The geometric mean of positive numbers: what ratios are averaged by."""
    return statistics.geometric_mean(values)
