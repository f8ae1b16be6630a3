"""The CUDA parts run on softcuda, unless this machine has a driver of its own."""

from __future__ import annotations

import ctypes

from refrnn_accel import softcuda

try:
    ctypes.CDLL("libcuda.so.1")
except OSError:
    softcuda.activate()
