"""A device: that of the machine, or else the one in software."""

from __future__ import annotations

import ctypes
import os
from collections.abc import Iterator

import pytest
from refrnn_accel import softcuda

try:
    ctypes.CDLL("libcuda.so.1")
except OSError:
    # As many multiprocessors as teams of many blocks need. Registers are asked of nobody: ptxas
    # takes longer than most tests.
    softcuda.activate(multiprocessors=int(os.environ.get("SOFTCUDA_MULTIPROCESSORS", "128")))
    os.environ["SOFTCUDA_PTXAS"] = ""


@pytest.fixture(scope="session")
def context() -> Iterator[None]:
    import pycuda.driver as cuda

    cuda.init()
    primary = cuda.Device(0).retain_primary_context()
    primary.push()
    yield
    primary.pop()
    primary.detach()
