"""The rounds: every contestant in a process of its own, in turn, so that drift hits all alike."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from typing import Any

from . import matmul
from .contestants import Contestant
from .entries import Entry, ProductEntry
from .process import Worker
from .results import Measured, Settings
from .workloads import Workload

__all__ = ["run_bench"]


def run_bench(
    contestants: Sequence[Contestant],
    workloads: Sequence[Workload],
    settings: Settings,
    tell: Callable[[str, int, int], None] = lambda text, done, total: None,
) -> Measured:
    """Time every contestant on every workload.

    Before anything is timed, the results of each are held against those of ``packed``, by norm
    and random sum of every array within sqrt(eps): a fast wrong answer is no answer.

    Parameters
    ----------
    contestants : sequence of Contestant
    workloads : sequence of Workload
    settings : Settings
    tell : callable
        Is told what is being done, how many parts are done, and of how many.

    Returns
    -------
    Measured
        Workload by workload, contestants in their order.
    """
    everything = _with_dense(workloads) if settings.dense else list(workloads)
    entries = [Entry(c, w) for w in everything for c in contestants]
    present = [c for c in contestants if not c.missing]
    products = _products(workloads, settings)
    total = len(everything) * len(present) * (settings.rounds + 2)
    steps = _Steps(tell, total + len(products) * (settings.rounds + 1))
    expected = _expected(everything, settings.threads)
    with ExitStack() as stack:
        workers = {c: stack.enter_context(Worker(settings.threads)) for c in present}
        multipliers = [(p, stack.enter_context(Worker(settings.threads))) for p in products]
        timed = [(e, workers[e.contestant]) for e in entries if e.contestant in workers]
        for entry, worker in timed:
            steps(f"prepare {entry.contestant.name}, {entry.workload.name}")
            entry.prepare(worker, settings, expected[entry.workload])
        for product, worker in multipliers:
            steps(f"prepare {product.name}")
            product.prepare(worker, settings)
        for number in range(settings.rounds):
            for product, worker in _rotated(multipliers, number):
                steps(f"round {number + 1}, {product.name}")
                product.sample(worker, settings)
            for workload in everything:
                here = [(e, worker) for e, worker in timed if e.workload == workload]
                for entry, worker in _rotated(here, number):
                    steps(f"round {number + 1}, {entry.contestant.name}, {workload.name}")
                    entry.sample(worker, settings)
    for contestant in present:
        with Worker(settings.threads) as worker:
            for entry in entries:
                if entry.contestant == contestant:
                    steps(f"memory of {contestant.name}, {entry.workload.name}")
                    entry.weigh(worker, settings)
    results = [entry.result(settings.threads) for entry in entries]
    return Measured(
        [r for r in results if r.workload in workloads],
        [r for r in results if r.workload not in workloads],
        [product.result(settings.threads) for product in products],
    )


class _Steps:
    """Counts the parts that are done."""

    def __init__(self, tell: Callable[[str, int, int], None], total: int) -> None:
        self._tell, self._total, self._done = tell, total, 0

    def __call__(self, text: str) -> None:
        self._tell(text, self._done, self._total)
        self._done += 1


def _with_dense(workloads: Sequence[Workload]) -> list[Workload]:
    """Each workload, and next to it the one of equal lengths that it is compared with, all once."""
    pairs = [(w, w.dense) for w in workloads]
    return list(dict.fromkeys(w for pair in pairs for w in pair if w is not None))


def _products(workloads: Sequence[Workload], settings: Settings) -> list[ProductEntry]:
    """The matrix products to time: every library that is there, every dtype."""
    if not settings.matmul:
        return []
    dtypes = dict.fromkeys(w.dtype for w in workloads)
    libraries = matmul.installed()
    return [ProductEntry(name, settings.matmul, dtype) for dtype in dtypes for name in libraries]


def _rotated(items: Sequence[Any], number: int) -> list[Any]:
    """`items` from another one on each time: nobody always comes after the same one."""
    turn = number % max(len(items), 1)
    return [*items[turn:], *items[:turn]]


def _expected(workloads: Sequence[Workload], threads: int) -> dict[Workload, Any]:
    """What identifies the right results of each workload, from a process that is gone after."""
    packed = Contestant("packed", "unroll", "packed")
    with Worker(threads) as worker:
        return {
            w: worker.ask("prepare", contestant=list(packed), workload=list(w), threads=threads)[
                "prints"
            ]
            for w in workloads
        }
