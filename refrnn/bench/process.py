"""The parent's end: start the process of a contestant, ask it, and notice when it dies."""

from __future__ import annotations

import json
import os
import queue
import subprocess
import sys
import tempfile
import threading
from types import TracebackType
from typing import IO, Any

__all__ = ["THREAD_VARIABLES", "Worker", "WorkerError", "environment"]

#: The environment variables by which thread pools are told their size before they start.
THREAD_VARIABLES = (
    "OPENBLAS_NUM_THREADS",
    "OMP_NUM_THREADS",
    "MKL_NUM_THREADS",
    "BLIS_NUM_THREADS",
    "VECLIB_MAXIMUM_THREADS",
    "NUMEXPR_NUM_THREADS",
    "NPROC",  # XLA, of which JAX is made: flags that name its pool change nothing
    "PJRT_NPROC",
)

# The same modules as in the parent, wherever they came from.
_START = (
    "import sys, json; sys.path[:] = json.loads(sys.argv.pop()); "
    "from refrnn.bench.worker import main; main()"
)


class WorkerError(RuntimeError):
    """A contestant raised an exception, died, or did not answer in time."""


def environment(threads: int) -> dict[str, str]:
    """The environment of a worker: that of this process, with the number of threads set.

    Parameters
    ----------
    threads : int
    """
    return {**os.environ, **dict.fromkeys(THREAD_VARIABLES, str(threads))}


class Worker:
    """A process that answers questions; leave its ``with`` block and it is gone.

    Parameters
    ----------
    threads : int
        Threads of its pools.
    timeout : float
        Seconds after which no answer is taken for a failure.
    code : str
        What the process runs; another one is of use to tests only.
    """

    def __init__(self, threads: int, *, timeout: float = 600.0, code: str = _START) -> None:
        self._timeout = timeout
        # A file, not a pipe: nobody has to read it for the process to go on.
        self._errors: IO[str] = tempfile.TemporaryFile(  # noqa: SIM115 - closed by close()
            "w+", encoding="utf-8", errors="replace"
        )
        self._process = subprocess.Popen(
            [sys.executable, "-c", code, json.dumps(sys.path)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            env=environment(threads),
            encoding="utf-8",
        )
        self._lines: queue.SimpleQueue[str] = queue.SimpleQueue()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def __enter__(self) -> Worker:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def ask(self, do: str, **question: Any) -> dict[str, Any]:
        """Put a question and wait for the answer.

        Parameters
        ----------
        do : str
            Which one; see :mod:`refrnn.bench.worker`.
        **question
            The rest of it: what JSON can hold.

        Raises
        ------
        WorkerError
            With one line that says what happened.
        """
        assert self._process.stdin is not None
        try:
            print(json.dumps({"do": do, **question}), file=self._process.stdin, flush=True)
        except OSError:  # a process that is gone
            raise WorkerError(self._last_words()) from None
        try:
            line = self._lines.get(timeout=self._timeout)
        except queue.Empty:
            raise WorkerError(f"no answer within {self._timeout:.0f} s") from None
        if not line.endswith("\n"):
            raise WorkerError(self._last_words())
        answer: dict[str, Any] = json.loads(line)
        if "error" in answer:
            raise WorkerError(" ".join(answer["error"].split()))
        return answer

    def close(self) -> None:
        """End the process, whatever it is doing, and free what belongs to it."""
        process = self._process
        if process.poll() is None:
            process.terminate()
        process.wait()
        self._reader.join()
        for stream in (process.stdin, process.stdout, self._errors):
            if stream is not None:
                try:
                    stream.close()
                except BrokenPipeError:  # what was not written yet has no reader any more
                    continue

    def _read(self) -> None:
        """Hand on every line; an empty one says that there will be no more."""
        assert self._process.stdout is not None
        for line in self._process.stdout:
            self._lines.put(line)
        self._lines.put("")

    def _last_words(self) -> str:
        """How the process ended, and the last line it wrote to standard error."""
        status = self._process.wait(timeout=self._timeout)
        how = f"exit status {status}" if status >= 0 else f"signal {-status}"
        self._errors.seek(0)
        lines = [line.strip() for line in self._errors.read().splitlines() if line.strip()]
        return f"the process ended with {how}" + (f": {lines[-1]}" if lines else "")
