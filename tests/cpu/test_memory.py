"""The kernels need no more memory than the reference with its tape, packed weights counted.

NumPy reports its buffers to tracemalloc; what the kernels allocate by themselves does not appear
there and is counted by its formula.
"""

from __future__ import annotations

import gc
import tracemalloc
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from refrnn_accel.cpu import CythonUnroll
from refrnn_accel.cpu.layout import Layout

import refrnn as rr
from refrnn.unroll.base import AnyCell, Unroll

from ..kernel_cells import CELLS

LENGTHS = [7, 0, 300, 120, 1, 190, 300, 50, 400, 500]
N = sum(LENGTHS)


def peak(call: Callable[[], Any]) -> tuple[int, Any]:
    """Bytes allocated at once, at most, on top of what was there before; and the result."""
    gc.collect()
    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        tracemalloc.reset_peak()
        result = call()
        return tracemalloc.get_traced_memory()[1] - before, result
    finally:
        tracemalloc.stop()


def peaks(cell: AnyCell, unroll: Unroll) -> int:
    """Of forward, and of backward on top of what forward left, together."""
    rng = np.random.default_rng(0)
    parameters = cell.init_parameters(rng, "float32")
    values = rng.standard_normal((N, cell.input_size)).astype(np.float32)
    batch, d_output = rr.RaggedBatch(values, np.array(LENGTHS)), np.ones((N, cell.hidden_size))
    cotangent = d_output.astype(np.float32)
    forward, run = peak(lambda: rr.forward(cell, parameters, batch, unroll=unroll))
    backward, _ = peak(lambda: rr.backward(run.tape, cotangent))
    return forward + backward


@pytest.mark.parametrize("hidden_size", [64, 128])
@pytest.mark.parametrize("name", CELLS)
def test_no_more_memory_than_the_reference(name: str, hidden_size: int) -> None:
    cell = CELLS[name](hidden_size, hidden_size)
    for unroll in (rr.Packed(), CythonUnroll()):
        peaks(cell, unroll)  # imports and caches are not meant
    layout = Layout.of(cell, np.dtype(np.float32))
    packed = 2 * 4 * layout.gates * layout.units * (hidden_size + hidden_size)
    assert peaks(cell, CythonUnroll()) + packed <= peaks(cell, rr.Packed())
