"""Launches in processes of their own: the device reads its settings once a process.

:func:`run` starts a process, which loads kernels that were compiled before by PyCUDA's compiler,
launches them by PyCUDA, each job in a context of its own (a fault stays in its context), and
tells what PyCUDA raised, what the device reported, and what is in memory then.
"""

from __future__ import annotations

import io
import os
import pickle
import resource
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from refrnn_accel import softcuda

__all__ = ["Job", "Launch", "Outcome", "Source", "compile_all", "run", "run_all"]

_ROOT = Path(__file__).parents[2]
_SECONDS = 150  # of one process, before it counts as hung
_MOST_BYTES = 3 << 30  # of its address space: what runs away may not take the machine along


class Source(NamedTuple):
    """What to compile; ``arch`` as nvcc spells it: ``sm_86``."""

    path: Path
    arch: str
    options: tuple[str, ...] = ()


class Launch(NamedTuple):
    """A launch, and what happens to memory before it.

    ``arguments``: the name of a buffer, a NumPy number, or an array, which stays where it is: its
    address on the host is passed.
    """

    kernel: str
    grid: tuple[int, ...]
    block: tuple[int, ...]
    arguments: tuple[Any, ...]
    shared: int = 0
    uploads: Mapping[str, Any] = {}
    frees: tuple[str, ...] = ()


class Job(NamedTuple):
    """Launches in one context, up to the first that fails; ``buffers`` in bytes."""

    cubin: Path
    buffers: Mapping[str, int]
    launches: tuple[Launch, ...]
    results: tuple[str, ...] = ()


class Outcome(NamedTuple):
    """What PyCUDA raised ("" if nothing), what stood on standard error, and memory at the end.

    ``has_run``: False if the module was not loaded, or if the process did not survive.
    """

    error: str
    report: str
    results: Mapping[str, bytes]
    has_run: bool = True


def compile_all(sources: Iterable[Source], folder: Path) -> dict[Source, Path]:
    """Compile with PyCUDA's compiler, which remembers what it has compiled before."""
    softcuda.activate()
    from pycuda.compiler import compile

    def one(number: int, source: Source) -> Path:
        # A recursion is not a mistake.
        flags = ["-lineinfo", "-Xptxas", "-suppress-stack-size-warning", *source.options]
        text = source.path.read_text()
        cubin = folder / f"{number}-{source.path.stem}.cubin"
        cubin.write_bytes(compile(text, options=flags, arch=source.arch, no_extern_c=True))
        return cubin

    todo = list(sources)
    with ThreadPoolExecutor(len(os.sched_getaffinity(0))) as pool:
        return dict(zip(todo, pool.map(one, range(len(todo)), todo), strict=True))


def run_all(
    tasks: Mapping[Any, tuple[Sequence[Job], Mapping[str, str]]],
) -> dict[Any, list[Outcome]]:
    """:func:`run` each (jobs, settings), as many at a time as there are cores."""
    with ThreadPoolExecutor(len(os.sched_getaffinity(0))) as pool:
        outcomes = pool.map(lambda task: run(*task), tasks.values())
        return dict(zip(tasks, outcomes, strict=True))


def run(jobs: Sequence[Job], settings: Mapping[str, str]) -> list[Outcome]:
    """The outcome of each job. A job that ends the process is said to have; the rest still run."""
    outcomes: list[Outcome] = []
    while len(outcomes) < len(jobs):
        program = (
            f"import sys; sys.path.append({os.fspath(_ROOT)!r})\n"
            "from tests.softcuda.launches import _serve; _serve()"
        )
        done = subprocess.run(
            [sys.executable, "-c", program],
            input=pickle.dumps(jobs[len(outcomes) :]), capture_output=True,
            env={**os.environ, **settings}, timeout=_SECONDS, check=False,
        )  # fmt: skip
        before = len(outcomes)
        outcomes += _unpickled(done.stdout)
        if len(outcomes) < len(jobs):
            text = done.stderr.decode(errors="replace")
            if len(outcomes) == before and "Traceback" in text:
                raise RuntimeError(text)
            outcomes.append(Outcome(f"the process ended with {done.returncode}", text, {}, False))
    return outcomes


def _unpickled(data: bytes) -> list[Outcome]:
    found, stream = [], io.BytesIO(data)
    while stream.tell() < len(data):
        found.append(Outcome(*pickle.load(stream)))
    return found


# --- the other process ---


def _serve() -> None:
    """Read jobs from standard input, write an outcome for each to standard output."""
    resource.setrlimit(resource.RLIMIT_AS, (_MOST_BYTES, _MOST_BYTES))
    softcuda.activate()
    import pycuda.driver as cuda

    jobs = pickle.load(sys.stdin.buffer)
    cuda.init()
    sys.stderr = os.fdopen(os.dup(2), "w")
    with tempfile.TemporaryFile() as log:
        os.dup2(log.fileno(), 2)
        for job in jobs:
            context = cuda.Device(0).make_context()
            error, results, has_run = _execute(cuda, context, Job(*job))
            log.seek(0)
            report = log.read().decode(errors="replace")
            context.pop()
            del context  # what PyCUDA says about memory of a context with a fault is not asked for
            log.seek(0)
            log.truncate()
            pickle.dump((error, report, results, has_run), sys.stdout.buffer)
            sys.stdout.buffer.flush()


def _execute(cuda: Any, context: Any, job: Job) -> tuple[str, dict[str, bytes], bool]:
    try:
        module = cuda.module_from_file(os.fspath(job.cubin))
    except cuda.Error as error:
        return str(error), {}, False
    try:
        buffers = {name: cuda.mem_alloc(size) for name, size in job.buffers.items()}
        for launch in job.launches:
            for name, array in launch.uploads.items():
                cuda.memcpy_htod(buffers[name], array)
            for name in launch.frees:
                buffers[name].free()
            module.get_function(launch.kernel)(
                *(_argument(buffers, one) for one in launch.arguments),
                grid=launch.grid, block=(*launch.block, 1, 1)[:3], shared=launch.shared,
            )  # fmt: skip
            context.synchronize()
        results = {}
        for name in job.results:
            array = np.empty(job.buffers[name], np.uint8)
            cuda.memcpy_dtoh(array, buffers[name])
            results[name] = array.tobytes()
    except cuda.Error as error:
        return str(error), {}, True
    return "", results, True


def _argument(buffers: Mapping[str, Any], argument: Any) -> Any:
    if isinstance(argument, str):
        # Memory that was freed is an address like any other.
        return np.uintp(int(buffers[argument]))
    if isinstance(argument, np.ndarray):
        return np.uintp(argument.ctypes.data)
    return argument
