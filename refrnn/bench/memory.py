"""How much memory a call needs: the growth of the process, beside what cannot be done without.

Other libraries do not report their buffers to ``tracemalloc``, so the process as a whole is looked
at: the most that was resident during one call, less what was resident before it. Linux alone can
set that high-water mark back.
"""

from __future__ import annotations

import ctypes
import gc
from collections.abc import Callable
from pathlib import Path

import numpy as np

from ..unroll.base import AnyCell

__all__ = ["give_memory_back", "needed_bytes", "peak_growth", "result_bytes"]

_PROC = Path("/proc/self")
_SLACK = 2**20
_ROUNDING = 0.9
_M_MMAP_THRESHOLD = -3


def give_memory_back() -> None:
    """Let the C library give back what was freed and what will be, where it is one that can.

    From now on glibc gets blocks of 64 KiB and more from the system and gives them back when they
    are freed, so that it is seen; by default it keeps more and more of them, which is faster.
    """
    try:
        library = ctypes.CDLL(None)
        library.mallopt(_M_MMAP_THRESHOLD, 2**16)
        library.malloc_trim(0)
    except (AttributeError, OSError, TypeError):
        return  # not glibc


def peak_growth(call: Callable[[], object], *, least: int) -> int | None:
    """Bytes by which the process grew, at most, while a call ran; None where nobody can tell.

    Parameters
    ----------
    call : callable
        Its result counts. Call it once before: code, thread pools and compilation are not meant.
    least : int
        Bytes that the result takes. A process that grew by less keeps memory from call to call,
        and what the call needs cannot be seen.

    Notes
    -----
    Call :func:`give_memory_back` before anything else, in a process in which nothing is timed.
    """
    gc.collect()
    give_memory_back()
    try:
        (_PROC / "clear_refs").write_text("5", encoding="ascii")  # sets VmHWM to VmRSS
        before = _status("VmRSS")
        if _status("VmHWM") > before + _SLACK:
            return None  # it was not set back
    except (OSError, LookupError):
        return None
    call()
    growth = _status("VmHWM") - before
    return growth if growth >= _ROUNDING * least else None


def result_bytes(cell: AnyCell, batch_size: int, steps: int, dtype: str, work: str) -> int:
    """Bytes of output and final state, and of the gradients of input and parameters.

    Parameters
    ----------
    cell : Cell
    batch_size, steps : int
        B and N.
    dtype : str
    work : {"forward", "forward+backward"}
        The gradients count for the latter only.
    """
    numbers = steps * cell.output_size + batch_size * sum(cell.state_sizes)
    if work == "forward+backward":
        numbers += steps * cell.input_size + _weights(cell)
    return numbers * np.dtype(dtype).itemsize


def needed_bytes(cell: AnyCell, batch_size: int, steps: int, dtype: str, work: str) -> int:
    """Bytes of the results, and of the tape that the reference writes with its copy of the input.

    Parameters
    ----------
    cell, batch_size, steps, dtype, work
        As of :func:`result_bytes`.

    Notes
    -----
    The tape is N rows of what a step of the cell saves; the copies are N*I numbers, the parameters
    and the initial state.
    """
    inputs = steps * cell.input_size + _weights(cell) + batch_size * sum(cell.state_sizes)
    tape = steps * sum(int(array.nbytes) for array in cell.new_tape(1, np.dtype(dtype)))
    results = result_bytes(cell, batch_size, steps, dtype, work)
    return results + tape + inputs * np.dtype(dtype).itemsize


def _weights(cell: AnyCell) -> int:
    """Numbers in all parameters."""
    return sum(int(np.prod(shape)) for shape in cell.parameter_shapes().values())


def _status(name: str) -> int:
    """Bytes that ``/proc/self/status`` has under this name."""
    for line in (_PROC / "status").read_text(encoding="ascii", errors="replace").splitlines():
        if line.startswith(f"{name}:"):
            return 1024 * int(line.split()[1])
    raise LookupError(name)
