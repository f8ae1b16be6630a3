"""What tests of the driver API share: codes, a kernel, and calls in short."""

from __future__ import annotations

import ctypes
from ctypes import byref, c_int, c_uint, c_uint64, c_void_p
from enum import IntEnum
from typing import Any

import numpy as np

from .device import Device, entry


class Status(IntEnum):
    """What calls return, by the names of cuda.h."""

    SUCCESS = 0
    INVALID_VALUE = 1
    OUT_OF_MEMORY = 2
    INVALID_DEVICE = 101
    INVALID_IMAGE = 200
    INVALID_CONTEXT = 201
    UNSUPPORTED_LIMIT = 215
    FILE_NOT_FOUND = 301
    INVALID_HANDLE = 400
    NOT_FOUND = 500
    NOT_READY = 600
    ILLEGAL_ADDRESS = 700
    OUT_OF_RESOURCES = 701
    IS_DESTROYED = 709
    ALREADY_REGISTERED = 712
    NOT_REGISTERED = 713
    NOT_PERMITTED = 800
    NOT_SUPPORTED = 801
    INVALID_CLUSTER_SIZE = 912


#: Bodies of kernels for `entry`.
ADD_ONE = """
add.s64 %rd0, %rd0, %rd10;
ld.global.u32 %r4, [%rd0];
add.u32 %r4, %r4, 1;
st.global.u32 [%rd0], %r4;
"""
OUT_OF_BOUNDS = "st.global.u32 [%rd0+4096], %r0;"


def directive(text: str, body: str = ADD_ONE, **kwargs: Any) -> str:
    """A kernel with a directive of performance, or of clusters."""
    return entry(body, **kwargs).replace(")\n{", f")\n{text}\n{{", 1)


def number(device: Device, name: str, *args: Any, kind: Any = c_int) -> int:
    """What a call writes to its first argument."""
    value = kind()
    device.call(name, byref(value), *args)
    return int(value.value)


def handle(device: Device, name: str, *args: Any) -> c_void_p:
    """The handle that a call writes to its first argument."""
    made = c_void_p()
    device.call(name, byref(made), *args)
    return made


def function(device: Device, module: c_void_p, name: str = "k") -> c_void_p:
    return handle(device, "cuModuleGetFunction", module, name.encode())


class Parameters:
    """Pointers to the parameters of a kernel, all of 64 bits."""

    def __init__(self, *values: int) -> None:
        self._kept = [c_uint64(value) for value in values]
        addresses = (ctypes.addressof(one) for one in self._kept)
        self.pointers = (c_void_p * len(values))(*addresses)


def launch(
    device: Device, kernel: c_void_p, *values: int, grid: tuple[int, ...] = (1, 1, 1),
    block: tuple[int, ...] = (32, 1, 1), shared: int = 0, stream: Any = None,
) -> int:  # fmt: skip
    """What cuLaunchKernel returns; nothing is waited for."""
    sizes = [c_uint(size) for size in (*grid, *block, shared)]
    parameters = Parameters(*values)
    return device.status("cuLaunchKernel", kernel, *sizes, stream, parameters.pointers, None)


def zeros(device: Device, count: int = 4096) -> int:
    return device.upload(np.zeros(count, np.uint32))
