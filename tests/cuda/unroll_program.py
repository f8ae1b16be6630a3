"""Runs CudaUnroll on every cell and dtype in every way, and prints digests of the results' bits.

A program of its own, so that the device can be another one, checked or scheduled otherwise. Of
several ways the digests have to be equal, so that one for each cell and dtype is printed.
"""

from __future__ import annotations

import hashlib
import json
import sys

import numpy as np
from refrnn_accel.cuda import CudaUnroll

from refrnn.comparison import Case, run_case
from refrnn.ragged import RaggedBatch

from ..kernel_cells import CELLS, DTYPES
from .ways import ways

LENGTHS = (3, 0, 1, 4, 1)
HIDDEN_SIZE = 20


def make_case(name: str, dtype: str, *, reverse: bool) -> Case:
    """Numbers for everything."""
    rng = np.random.default_rng(len(name))
    cell = CELLS[name](3, HIDDEN_SIZE)

    def drawn(*shape: int) -> np.ndarray:
        return rng.uniform(-1, 1, shape).astype(dtype)

    def state() -> tuple[np.ndarray, ...]:
        return cell.state_type(*[drawn(len(LENGTHS), size) for size in cell.state_sizes])

    rows = sum(LENGTHS)
    return Case(
        cell, cell.init_parameters(rng, dtype), RaggedBatch(drawn(rows, 3), np.array(LENGTHS)),
        state(), drawn(rows, HIDDEN_SIZE), state(), reverse,
    )  # fmt: skip


def main() -> None:
    digests = {}
    for number, (name, dtype) in enumerate((n, d) for n in CELLS for d in DTYPES):
        case = make_case(name, dtype, reverse=number % 3 == 0)
        found = set()
        for which, way in enumerate(ways(case.cell, dtype)):
            lanes = (None, 2, 1)[(number + which) % 3]
            results = run_case(case, CudaUnroll(lanes=lanes, **way))
            digest = hashlib.sha256()
            for array in results.values():
                digest.update(array.tobytes())
            found.add(digest.hexdigest())
        assert len(found) == 1, f"{name} {dtype} has {len(found)} results"
        digests[f"{name} {dtype}"] = found.pop()
    json.dump(digests, sys.stdout)


if __name__ == "__main__":
    main()
