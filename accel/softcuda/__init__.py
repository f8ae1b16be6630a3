"""softcuda: a CUDA device in software.

A ``libcuda.so.1`` that executes PTX on the CPU. Unmodified PyCUDA and what nvcc made run on it, on
a machine without a GPU: functional emulation of PTX, not a GPU; no SASS, no timing. What runs out
of bounds, misaligned, into a divergent barrier or into a deadlock is reported with the kernel, the
line, the block and the thread, and fails with the error that a GPU would give.

In a program, before PyCUDA is imported::

    from refrnn_accel import softcuda
    softcuda.activate()

Around a program, like valgrind: ``softcuda run python program.py``.
"""

from __future__ import annotations

from .build import BuildError, library
from .device import Profile, activate, profile

__all__ = ["BuildError", "Profile", "activate", "library", "profile"]
