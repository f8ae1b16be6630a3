"""Digests of the bits of many results: ``python -m tests.cpu.digests INSTRUCTION_SET``.

Machines are compared by what this prints, which has a line for each cell and dtype.
"""

from __future__ import annotations

import hashlib
import sys

import numpy as np
from refrnn_accel.cpu import CythonUnroll

import refrnn as rr

from ..kernel_cells import CELLS, DTYPES

#: Input and hidden sizes, and lengths.
SHAPES = (
    (3, 5, [3, 0, 5, 1, 2, 4]),
    (17, 40, [30, 1, 1, 7, 9, 0, 22]),
    (33, 70, [12, 3]),
)


def drawn(rng: np.random.Generator, shape: tuple[int, ...], dtype: str) -> np.ndarray:
    """Numbers in [-1, 1) that are the same on every machine: no logarithm goes into them."""
    return (rng.integers(-(2**20), 2**20, shape) / 2**20).astype(dtype)


def digest(name: str, dtype: str, unroll: CythonUnroll) -> str:
    """Of everything that forward and backward give, in both directions."""
    made = hashlib.sha256()
    rng = np.random.default_rng(1)
    for input_size, hidden_size, lengths in SHAPES:
        cell = CELLS[name](input_size, hidden_size)
        shapes = cell.parameter_shapes().items()
        parameters = {key: drawn(rng, shape, dtype) / 4 for key, shape in shapes}
        batch = rr.RaggedBatch(drawn(rng, (sum(lengths), input_size), dtype), lengths)
        d_output = drawn(rng, (sum(lengths), hidden_size), dtype)
        for reverse in (False, True):
            run = rr.forward(cell, parameters, batch, unroll=unroll, reverse=reverse)
            gradients = rr.backward(run.tape, d_output)
            for array in (
                run.output.values, *run.state_n, gradients.input.values, *gradients.state_0,
                *gradients.parameters.values(),
            ):  # fmt: skip
                made.update(array.tobytes())
    return made.hexdigest()


if __name__ == "__main__":
    with_threads = CythonUnroll(num_threads=2, instruction_set=sys.argv[1])
    for cell_name in CELLS:
        for dtype in DTYPES:
            found = digest(cell_name, dtype, with_threads)
            sys.stdout.write(f"{cell_name} {dtype} {found}\n")
