"""Products of NumPy arrays on the device: what is between rows and behind the end is watched."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import refrnn_accel.cuda
from numpy.typing import DTypeLike, NDArray
from refrnn_accel.cuda.products import Launch, Matrix, Products, Scratch

Array = NDArray[Any]
KERNELS = Path(refrnn_accel.cuda.__file__).parent / "kernels"


def load() -> Any:
    """The module, in the current context."""
    from pycuda.compiler import DEFAULT_NVCC_FLAGS, SourceModule

    return SourceModule(
        '#include "products.cu"\n',
        no_extern_c=True,
        options=[*DEFAULT_NVCC_FLAGS, "-std=c++17", "-fmad=false"],
        include_dirs=[str(KERNELS)],
    )


class DeviceMatrix:
    """An array on the device whose rows are ``gap`` elements further apart than they are long."""

    def __init__(self, array: Array, gap: int = 0) -> None:
        import pycuda.driver as cuda

        self.shape, self.gap = array.shape, gap
        rows, columns = array.shape
        self.host = np.full((rows + 1, columns + gap), np.nan, array.dtype)
        self.host[:rows, :columns] = array
        self.memory = cuda.mem_alloc(max(1, self.host.nbytes))
        if self.host.size:
            cuda.memcpy_htod(self.memory, self.host)
        self.matrix = Matrix(int(self.memory), rows, columns, columns + gap if gap else None)

    def get(self) -> Array:
        """What is there now; nothing beside it may have changed."""
        import pycuda.driver as cuda

        now = np.empty_like(self.host)
        if now.size:
            cuda.memcpy_dtoh(now, self.memory)
        rows, columns = self.shape
        result = now[:rows, :columns].copy()
        now[:rows, :columns] = np.nan
        assert np.isnan(now).all()
        return result


class DeviceProducts:
    """The products of NumPy arrays.

    ``gap``: elements between rows of every matrix, and as many as make a row a multiple of
    ``unit``; ``most``: bytes of scratch memory; ``launches`` are those so far.
    """

    def __init__(
        self, module: Any, dtype: DTypeLike, gap: int = 0, most: int | None = None, unit: int = 1
    ) -> None:
        self.products = Products(module, dtype)
        self.plan = self.products.launches
        self.dtype, self.gap, self.most, self.unit = np.dtype(dtype), gap, most, unit
        self.launches: list[Launch] = []

    def gates(self, x: Array, w: Array, bias: Array | None) -> Array:
        a, b, out = self._put(x), self._put(w), self._out(len(x), len(w))
        vector = None if bias is None else self._put(bias[None])
        arguments = (a.matrix, b.matrix, None if vector is None else vector.matrix.pointer)
        self.products.gates(*arguments, out.matrix, None)
        self.launches += self.plan.gates(*arguments, out.matrix)
        return out.get()

    def input_gradient(self, d_a: Array, w: Array) -> Array:
        a, b, out = self._put(d_a), self._put(w), self._out(len(d_a), w.shape[1])
        self.products.input_gradient(a.matrix, b.matrix, out.matrix, None)
        self.launches += self.plan.input_gradient(a.matrix, b.matrix, out.matrix)
        return out.get()

    def weight_gradient(self, d_a: Array, x: Array) -> Array:
        a, b, out = self._put(d_a), self._put(x), self._out(d_a.shape[1], x.shape[1])
        memory, scratch = self._scratch(len(x), out.matrix)
        self.products.weight_gradient(a.matrix, b.matrix, out.matrix, scratch, None)
        self.launches += self.plan.weight_gradient(a.matrix, b.matrix, out.matrix, scratch)
        del memory
        return out.get()

    def row_sums(self, d_a: Array) -> Array:
        a, out = self._put(d_a), self._out(1, d_a.shape[1])
        memory, scratch = self._scratch(len(d_a), out.matrix)
        self.products.row_sums(a.matrix, out.matrix.pointer, scratch, None)
        self.launches += self.plan.row_sums(a.matrix, out.matrix.pointer, scratch)
        del memory
        return out.get()[0]

    def previous_rows(self, y: Array, h_0: Array, lengths: list[int], direction: int) -> Array:
        import pycuda.driver as cuda

        a, b, out = self._put(y), self._put(h_0), self._out(*y.shape)
        offsets = cuda.to_device(np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64))
        arguments = (a.matrix, b.matrix, int(offsets), direction, out.matrix)
        self.products.previous_rows(*arguments, None)
        with_rows = sum(length > 0 for length in lengths)
        self.launches += self.plan.previous_rows(*arguments, with_rows)
        return out.get()

    def _put(self, array: Array) -> DeviceMatrix:
        gap = self.gap + -array.shape[1] % self.unit
        return DeviceMatrix(array.astype(self.dtype), gap)

    def _out(self, rows: int, columns: int) -> DeviceMatrix:
        return self._put(np.full((rows, columns), np.nan))

    def _scratch(self, rows: int, out: Matrix) -> tuple[Any, Scratch]:
        import pycuda.driver as cuda

        size = self.plan.scratch_bytes(rows, out, self.most)
        memory = cuda.mem_alloc(max(1, size))
        return memory, Scratch(int(memory), size)
