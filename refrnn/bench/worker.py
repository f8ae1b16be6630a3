"""The process of one contestant: it answers questions, one JSON object a line.

Questions are read from standard input and answered on what standard output was at the start;
whatever a library prints meanwhile goes to standard error, where it cannot be taken for an answer.

================================================================== ==============================
``{"do": "prepare", "contestant": [...], "workload": [...],``       ``{"unsupported": reason}`` or
``"threads": 2}``                                                  ``{"facts": {...}, "prints":``
                                                                   ``{...}, "calls": {...}}``
``{"do": "sample", "workload": name, "work": "forward",``          ``{"samples": [[wall, cpu],``
``"seconds": 0.5}``                                                ``...]}``
``{"do": "memory", "contestant": [...], "workload": [...],``        ``{"bytes": {"forward": 123}}``
``"threads": 2, "works": ["forward"]}``
``{"do": "matmul", "library": "numpy", "size": 2048,``             ``{"calls": 1}``
``"dtype": "float32", "threads": 2}``
``{"do": "quit"}``                                                 none: the process ends
================================================================== ==============================

A product of matrices is then sampled as the work "matmul" of the workload "matmul". Memory is asked
for in a process in which nothing is timed: see :mod:`refrnn.bench.memory`.

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
from .matmul import make_product
from .memory import give_memory_back, peak_growth, result_bytes
from .timing import calls_per_sample, sample
from .workloads import Workload

__all__ = ["WORKS", "fingerprint", "main", "serve"]

#: What can be timed.
WORKS = ("forward", "forward+backward")


#: Calls by workload and kind of work.
_Held = dict[str, dict[str, Callable[[], object]]]


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
    held: _Held = {}
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
    held: _Held, contestant: list[str], workload: list[Any], threads: int
) -> dict[str, Any]:
    """Hold a workload: warm it up, compute what identifies its results, find how long it takes."""
    work = Workload(*workload)
    prepared = prepare(Contestant(*contestant), work.make(), threads)
    if isinstance(prepared, str):
        return {"unsupported": prepared}
    prints = {name: fingerprint(array) for name, array in prepared.results().items()}
    facts = {**prepared.facts(), "pools": _pools()}
    held[work.name] = _calls(prepared)
    numbers = {name: _number(call) for name, call in held[work.name].items()}
    return {"facts": facts, "prints": prints, "calls": numbers}


def _matmul(held: _Held, library: str, size: int, dtype: str, threads: int) -> dict[str, Any]:
    """Hold a product of square matrices."""
    call = make_product(library, size, dtype, threads)
    held["matmul"] = {"matmul": call}
    return {"calls": _number(call)}


def _sample(held: _Held, workload: str, work: str, calls: int, seconds: float) -> dict[str, Any]:
    """Take samples of one kind of work on a workload that is held."""
    taken = sample(held[workload][work], calls=calls, seconds=seconds)
    return {"samples": [list(one) for one in taken]}


def _memory(
    held: _Held, contestant: list[str], workload: list[Any], threads: int, works: list[str]
) -> dict[str, Any]:
    """The growth of this process during one call of each kind, after one that is not looked at."""
    give_memory_back()
    work = Workload(*workload)
    case = work.make()
    prepared = prepare(Contestant(*contestant), case, threads, weighed=True)
    assert not isinstance(prepared, str)  # it has been timed
    sizes = case.cell, work.batch_size, case.batch.total_steps, work.dtype
    grown = {}
    for name, call in _calls(prepared).items():
        if name in works:
            call()
            grown[name] = peak_growth(call, least=result_bytes(*sizes, name))
    return {"bytes": grown}


_ANSWERS: dict[str, Callable[..., dict[str, Any]]] = {
    "prepare": _prepare,
    "matmul": _matmul,
    "sample": _sample,
    "memory": _memory,
}


def _calls(prepared: Prepared) -> dict[str, Callable[[], object]]:
    """What it can do, by kind of work."""
    calls = {"forward": prepared.forward, "forward+backward": prepared.forward_backward}
    lacks = prepared.facts().get("lacks", {})
    return {name: call for name, call in calls.items() if name not in lacks}


def _number(call: Callable[[], object]) -> int:
    """Calls of one sample, after a call to warm up."""
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
