"""The process of one contestant: it answers questions, one JSON object a line.

Questions are read from standard input and answered on what standard output was at the start;
whatever a library prints meanwhile goes to standard error, where it cannot be taken for an answer.

================================================================== ==============================
``{"do": "prepare", "contestant": [...], "workload": [...],``       ``{"unsupported": reason}`` or
``"threads": 2}``                                                  ``{"facts": {...}, "prints":``
                                                                   ``{...}, "calls": {...}}``
``{"do": "sample", "workload": name, "work": "forward",``          ``{"samples": [[wall, cpu],``
``"seconds": 0.5}``                                                ``...]}``
``{"do": "quit"}``                                                 none: the process ends
================================================================== ==============================

An exception is answered by ``{"error": "Type: message", "traceback": "..."}``.
"""

from __future__ import annotations

import json
import math
import os
import signal
import sys
import time
import traceback
from collections.abc import Callable
from typing import IO, Any

import numpy as np

from ..types import Array
from .contestants import Contestant, Prepared, prepare
from .timing import calls_per_sample, sample
from .workloads import Workload

__all__ = ["WORKS", "fingerprint", "main", "serve"]

#: What can be timed.
WORKS = ("forward", "forward+backward")


def main() -> None:
    """Answer the questions on standard input until it ends."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent gets Ctrl-C, too, and ends this
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    with answers:
        serve(sys.stdin, answers)


def serve(questions: IO[str], answers: IO[str]) -> None:
    """Answer one question a line.

    Parameters
    ----------
    questions, answers : text streams
    """
    held: dict[str, Prepared] = {}
    for line in questions:
        question = json.loads(line)
        if question["do"] == "quit":
            return
        try:
            answer = _ANSWERS[question.pop("do")](held, **question)
        except Exception as error:  # whatever a contestant raises is the answer
            answer = {
                "error": f"{type(error).__name__}: {error}",
                "traceback": traceback.format_exc(),
            }
        print(json.dumps(answer, allow_nan=False), file=answers, flush=True)


def _prepare(
    held: dict[str, Prepared], contestant: list[str], workload: list[Any], threads: int
) -> dict[str, Any]:
    """Hold a workload: warm it up, compute what identifies its results, find how long it takes."""
    work = Workload(*workload)
    prepared = prepare(Contestant(*contestant), work.make(), threads)
    if isinstance(prepared, str):
        return {"unsupported": prepared}
    held[work.name] = prepared
    prints = {name: fingerprint(array) for name, array in prepared.results().items()}
    facts = {**prepared.facts(), "pools": _pools()}
    calls = {n: _calls(prepared, n) for n in WORKS if n not in facts.get("lacks", {})}
    return {"facts": facts, "prints": prints, "calls": calls}


def _sample(
    held: dict[str, Prepared], workload: str, work: str, calls: int, seconds: float
) -> dict[str, Any]:
    """Take samples of one kind of work on a workload that is held."""
    taken = sample(_call(held[workload], work), calls=calls, seconds=seconds)
    return {"samples": [list(one) for one in taken]}


_ANSWERS: dict[str, Callable[..., dict[str, Any]]] = {"prepare": _prepare, "sample": _sample}


def _call(prepared: Prepared, work: str) -> Callable[[], object]:
    return {"forward": prepared.forward, "forward+backward": prepared.forward_backward}[work]


def _calls(prepared: Prepared, work: str) -> int:
    """Calls of one sample, after a call to warm up."""
    call = _call(prepared, work)
    call()
    start = time.perf_counter()
    call()
    return calls_per_sample(time.perf_counter() - start)


def fingerprint(array: Array) -> list[float] | None:
    """Two numbers by which equal results are known in another process: norm and a random sum.

    Parameters
    ----------
    array : ndarray

    Returns
    -------
    list of float or None
        The Euclidean norm, and the scalar product with fixed random numbers in +-1 divided by the
        square root of the size, in float64; None where that is not finite.
    """
    flat = array.astype(np.float64).ravel()
    direction = np.random.default_rng(1).uniform(-1.0, 1.0, flat.size)
    numbers = [float(np.linalg.norm(flat)), float(flat @ direction)]
    return numbers if all(math.isfinite(n) for n in numbers) else None


def _pools() -> list[dict[str, Any]] | None:
    """Thread pools of this process as threadpoolctl sees them; None where it is not installed."""
    try:
        from threadpoolctl import threadpool_info
    except ModuleNotFoundError:
        return None
    shown = ("user_api", "internal_api", "version", "num_threads", "architecture")
    return [{key: pool[key] for key in shown if key in pool} for pool in threadpool_info()]
