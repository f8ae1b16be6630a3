"""Results in the making: one asks its worker to prepare, then for samples, and holds what came."""

from __future__ import annotations

import time
from typing import Any

import numpy as np

from .contestants import Contestant
from .matmul import Product
from .process import Worker, WorkerError
from .results import Result, Settings, Status
from .timing import Sample, summarise
from .workloads import Workload

__all__ = ["Entry", "ProductEntry", "differences"]

# Thread pools spin for a while after their work, on cores that the next one needs. Seen: OpenBLAS
# for up to 32 ms, the OpenMP of PyTorch for 9 ms.
_PAUSE = 0.2


class Entry:
    """One contestant on one workload.

    Parameters
    ----------
    contestant : Contestant
    workload : Workload
    """

    def __init__(self, contestant: Contestant, workload: Workload) -> None:
        self.contestant = contestant
        self.workload = workload
        self._status = Status.TIMED
        self._reason = ""
        self._facts: dict[str, Any] = {}
        self._calls: dict[str, int] = {}
        self._samples: dict[str, list[Sample]] = {}
        if contestant.missing:
            self._fail(contestant.missing, Status.MISSING)

    def prepare(self, worker: Worker, settings: Settings, expected: dict[str, Any]) -> None:
        """Let the contestant get ready, and compare its results.

        Parameters
        ----------
        worker : Worker
        settings : Settings
        expected : dict
            The fingerprints of the right results, by array.
        """
        try:
            answer = worker.ask(
                "prepare",
                contestant=list(self.contestant),
                workload=list(self.workload),
                threads=settings.threads,
            )
        except WorkerError as error:
            self._fail(str(error))
            return
        if "unsupported" in answer:
            self._fail(answer["unsupported"], Status.NOT_OFFERED)
            return
        self._facts, self._calls = answer["facts"], answer["calls"]
        different = differences(answer["prints"], expected, self.workload.dtype)
        if different:
            self._status = Status.DIFFERS
            self._reason = f"results differ from those of packed: {', '.join(different)}"
        elif not self._works(settings):
            reasons = [f"{work}: {self._facts['lacks'][work]}" for work in settings.works]
            self._fail("; ".join(reasons), Status.NOT_OFFERED)

    def sample(self, worker: Worker, settings: Settings) -> None:
        """Take one turn: samples of every kind of work.

        Parameters
        ----------
        worker : Worker
        settings : Settings
        """
        for work in self._works(settings):
            time.sleep(_PAUSE)
            try:
                answer = worker.ask(
                    "sample",
                    workload=self.workload.name,
                    work=work,
                    calls=self._calls[work],
                    seconds=settings.seconds,
                )
            except WorkerError as error:
                self._fail(str(error))
                return
            self._samples.setdefault(work, []).extend(Sample(*s) for s in answer["samples"])

    def weigh(self, worker: Worker, settings: Settings) -> None:
        """Measure memory, in another process than the timings.

        Parameters
        ----------
        worker : Worker
        settings : Settings
        """
        works = self._works(settings)
        if not works:
            return
        try:
            self._facts["peak_bytes"] = worker.ask(
                "memory",
                contestant=list(self.contestant),
                workload=list(self.workload),
                threads=settings.threads,
                works=works,
            )["bytes"]
        except WorkerError as error:
            self._fail(str(error))

    def result(self, threads: int) -> Result:
        """What it came to.

        Parameters
        ----------
        threads : int
        """
        return Result(
            self.contestant,
            self.workload,
            self._status,
            self._reason,
            self._facts,
            self._samples,
            {w: summarise(s, threads) for w, s in self._samples.items()},
        )

    def _works(self, settings: Settings) -> list[str]:
        """What is to be done and can be."""
        if self._status not in (Status.TIMED, Status.DIFFERS):
            return []
        return [work for work in settings.works if work in self._calls]

    def _fail(self, reason: str, status: Status = Status.FAILED) -> None:
        """It goes no further; samples it gave before are not used."""
        self._status, self._reason, self._samples = status, reason, {}


class ProductEntry:
    """One library's product of square matrices.

    Parameters
    ----------
    library : str
        Of :data:`refrnn.bench.matmul.LIBRARIES`.
    size : int
    dtype : str
    """

    def __init__(self, library: str, size: int, dtype: str) -> None:
        self._product = Product(library, size, dtype, "", [], None)
        self._calls = 0

    @property
    def name(self) -> str:
        """What it is called while it runs."""
        return f"matrix product of {self._product.library}, {self._product.dtype}"

    def prepare(self, worker: Worker, settings: Settings) -> None:
        """Make the matrices.

        Parameters
        ----------
        worker : Worker
        settings : Settings
        """
        library, size, dtype, *_ = self._product
        answer = self._ask(
            worker, "matmul", library=library, size=size, dtype=dtype, threads=settings.threads
        )
        self._calls = answer.get("calls", 0)

    def sample(self, worker: Worker, settings: Settings) -> None:
        """Take one turn.

        Parameters
        ----------
        worker : Worker
        settings : Settings
        """
        if self._product.reason:
            return
        time.sleep(_PAUSE)
        asked = {"workload": "matmul", "work": "matmul", "calls": self._calls}
        answer = self._ask(worker, "sample", **asked, seconds=settings.seconds)
        self._product.samples.extend(Sample(*s) for s in answer.get("samples", ()))

    def result(self, threads: int) -> Product:
        """What it came to.

        Parameters
        ----------
        threads : int
        """
        if self._product.reason:
            return self._product._replace(samples=[])
        return self._product._replace(summary=summarise(self._product.samples, threads))

    def _ask(self, worker: Worker, do: str, **question: Any) -> dict[str, Any]:
        """The answer; nothing where there is an error, which is the reason from now on."""
        try:
            return worker.ask(do, **question)
        except WorkerError as error:
            self._product = self._product._replace(reason=str(error))
            return {}


def differences(got: dict[str, Any], expected: dict[str, Any], dtype: str) -> list[str]:
    """Names of the arrays whose norm or random sum lies elsewhere; those not given do not count.

    Parameters
    ----------
    got, expected : dict
        Fingerprints by array: see :func:`refrnn.bench.worker.fingerprint`.
    dtype : str
    """
    allowed = float(np.sqrt(np.finfo(dtype).eps))
    different = []
    for name, want in expected.items():
        have = got.get(name, want)
        if have is None or want is None:
            if have is not want:
                different.append(name)
            continue
        bound = allowed * max(want[0], float(np.finfo(dtype).tiny))
        if not all(abs(h - w) <= bound for h, w in zip(have, want, strict=True)):
            different.append(name)
    return different
