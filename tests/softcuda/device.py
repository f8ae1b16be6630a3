"""The driver API by ctypes: no PyCUDA and no nvcc, only PTX written by hand."""

from __future__ import annotations

import ctypes
from pathlib import Path
from typing import Any

import numpy as np
from refrnn_accel.softcuda import library

HEADER = ".version 8.0\n.target sm_80\n.address_size 64\n"


class CudaError(Exception):
    """A call of the driver that did not return 0; `code` is what it returned."""

    def __init__(self, call: str, code: int, log: str = "") -> None:
        super().__init__(f"{call} returned {code} {log}".strip())
        self.code, self.log = code, log


class Device:
    """One context on the device; a fault stays in it.

    `path` is that of a copy of the library, which is a device of its own: it reads its settings
    when it starts.
    """

    def __init__(self, path: Path | None = None) -> None:
        self._cuda = ctypes.CDLL(str(path or library()))
        self._context = ctypes.c_void_p()
        self.call("cuInit", 0)
        self.call("cuCtxCreate_v4", ctypes.byref(self._context), None, 0, 0)

    def close(self) -> None:
        self.call("cuCtxDestroy_v2", self._context)

    def status(self, name: str, *args: Any) -> int:
        return int(getattr(self._cuda, name)(*args))

    def call(self, name: str, *args: Any) -> None:
        code = self.status(name, *args)
        if code:
            raise CudaError(name, code)

    def load(self, image: str | bytes) -> ctypes.c_void_p:
        """A module of PTX or another image; on failure the error has the loader's log."""
        data = image.encode() if isinstance(image, str) else image
        module, log = ctypes.c_void_p(), ctypes.create_string_buffer(4096)
        options = (ctypes.c_int * 2)(5, 6)  # the error log's buffer and its size
        values = (ctypes.c_void_p * 2)(ctypes.addressof(log), 4096)
        code = self.status(
            "cuModuleLoadDataEx", ctypes.byref(module), data + b"\0", 2, options, values
        )
        if code:
            raise CudaError("cuModuleLoadDataEx", code, log.value.decode())
        return module

    def upload(self, array: Any) -> int:
        """Memory on the device with these numbers: its address."""
        array = np.ascontiguousarray(array)
        address = ctypes.c_uint64()
        self.call("cuMemAlloc_v2", ctypes.byref(address), ctypes.c_size_t(array.nbytes))
        self.call(
            "cuMemcpyHtoD_v2", address, array.ctypes.data_as(ctypes.c_void_p),
            ctypes.c_size_t(array.nbytes),
        )  # fmt: skip
        return address.value

    def download(self, address: int, like: Any) -> Any:
        array = np.empty_like(like)
        self.call(
            "cuMemcpyDtoH_v2", array.ctypes.data_as(ctypes.c_void_p), ctypes.c_uint64(address),
            ctypes.c_size_t(array.nbytes),
        )  # fmt: skip
        return array

    def launch(
        self, module: ctypes.c_void_p, name: str, *args: Any, grid: int = 1, block: int = 32,
        shared: int = 0,
    ) -> int:  # fmt: skip
        """Launch and wait; what the wait returns."""
        function = ctypes.c_void_p()
        self.call("cuModuleGetFunction", ctypes.byref(function), module, name.encode())
        kept = [
            arg if isinstance(arg, ctypes._SimpleCData) else ctypes.c_uint64(arg) for arg in args
        ]
        pointers = (ctypes.c_void_p * max(1, len(kept)))(*(ctypes.addressof(k) for k in kept))
        self.call("cuLaunchKernel", function, grid, 1, 1, block, 1, 1, shared, None, pointers, None)
        return self.status("cuCtxSynchronize")

    def profile(self) -> dict[str, dict[str, Any]]:
        import json

        self._cuda.softcuda_profile.restype = ctypes.c_char_p
        kernels = json.loads(self._cuda.softcuda_profile())["kernels"]
        return {kernel["name"]: kernel for kernel in kernels}

    def reset(self) -> None:
        self._cuda.softcuda_reset()


def entry(body: str, *, params: int = 1, name: str = "k", extra: str = "") -> str:
    """A module with one kernel of 64-bit parameters; each is a pointer in %rd<k>.

    Registers: %p, %h (16 bits), %r, %f, %fd and %rd, twenty of each; %r0 is the thread's number in
    the grid, %rd10 four times it and %rd11 eight times it.
    """
    parameters = ", ".join(f".param .u64 p{k}" for k in range(params))
    loads = "".join(f"ld.param.u64 %rd{k}, [p{k}];\n" for k in range(params))
    return f"""{HEADER}{extra}
.visible .entry {name}({parameters})
{{
.reg .pred %p<20>; .reg .b16 %h<20>; .reg .b32 %r<20>; .reg .f32 %f<20>; .reg .f64 %fd<20>;
.reg .b64 %rd<20>;
{loads}
mov.u32 %r0, %tid.x;
mov.u32 %r1, %ctaid.x;
mov.u32 %r2, %ntid.x;
mad.lo.s32 %r0, %r1, %r2, %r0;
mul.wide.u32 %rd10, %r0, 4;
mul.wide.u32 %rd11, %r0, 8;
{body}
ret;
}}
"""
