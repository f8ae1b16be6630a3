"""A device: that of the machine, or else the one in software."""

from __future__ import annotations

import ctypes
from collections.abc import Iterator

import pytest
from refrnn_accel import softcuda

try:
    ctypes.CDLL("libcuda.so.1")
except OSError:
    softcuda.activate()


@pytest.fixture(scope="session")
def context() -> Iterator[None]:
    import pycuda.driver as cuda

    cuda.init()
    primary = cuda.Device(0).retain_primary_context()
    primary.push()
    yield
    primary.pop()
    primary.detach()
