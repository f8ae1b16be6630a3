"""The canonical order of summation, element by element, with the fma of the C library."""

from __future__ import annotations

import ctypes
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]
CHUNK = 1024

_libm = ctypes.CDLL("libm.so.6")
_fma: dict[str, Any] = {}
for _name, _code, _type in (("fmaf", "f", ctypes.c_float), ("fma", "d", ctypes.c_double)):
    _function = getattr(_libm, _name)
    _function.restype, _function.argtypes = _type, [_type] * 3
    _fma[_code] = np.frompyfunc(_function, 3, 1)


def product(a: Array, b: Array) -> Array:
    """``a . b``: every element is one chain over k in increasing order."""
    sums = np.zeros((a.shape[0], b.shape[1]), a.dtype)
    for k in range(a.shape[1]):
        sums = _fma[a.dtype.char](a[:, k, None], b[None, k], sums).astype(a.dtype)
    return sums


def weight_gradient(d_a: Array, x: Array) -> Array:
    """``d_a^T . x`` by chunks of rows."""
    total = product(d_a[:CHUNK].T, x[:CHUNK])
    for row in range(CHUNK, len(x), CHUNK):
        total = total + product(d_a[row : row + CHUNK].T, x[row : row + CHUNK])
    return total


def row_sums(matrix: Array) -> Array:
    """The sum of the rows by chunks of rows."""
    chunks = []
    for row in range(0, max(1, len(matrix)), CHUNK):
        total = np.zeros(matrix.shape[1], matrix.dtype)
        for one in matrix[row : row + CHUNK]:
            total = total + one
        chunks.append(total)
    total = chunks[0]
    for chunk in chunks[1:]:
        total = total + chunk
    return total


def previous_rows(y: Array, h_0: Array, lengths: list[int], direction: int) -> Array:
    """The state before each row."""
    before = []
    for sequence, length in enumerate(lengths):
        begin = sum(lengths[:sequence])
        rows = list(y[begin : begin + length][::direction])
        before += [h_0[sequence], *rows[:-1]][:length][::direction]
    return np.array(before).reshape(y.shape).astype(y.dtype)
