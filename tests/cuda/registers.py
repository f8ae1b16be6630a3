"""What ptxas makes of the kernels: ``python -m tests.cuda.registers`` writes the table of the docs.

Of each cell, dtype and way some sizes of the state, for every architecture that they fit.
"""

from __future__ import annotations

import csv
import os
import re
import subprocess
import tempfile
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

import numpy as np
from refrnn_accel.cuda.cells import kernel_cell
from refrnn_accel.cuda.context import Device
from refrnn_accel.cuda.nvcc import find_nvcc
from refrnn_accel.cuda.planner import AnyCut, _cuts, _misfit
from refrnn_accel.cuda.sources import OPTIONS, PACKAGE, flags

import refrnn as rr

TABLE = Path(__file__).parents[2] / "docs" / "cuda_registers.csv"
#: Of each architecture, the shared memory that a block can have (CUDA C++ Programming Guide,
#: technical specifications per compute capability).
ARCHITECTURES = {
    75: 64 << 10, 80: 163 << 10, 86: 99 << 10, 89: 99 << 10, 90: 227 << 10, 100: 227 << 10,
    120: 99 << 10,
}  # fmt: skip
CELLS = {
    "RNN": rr.RNN(1, 1),
    "LSTM": rr.LSTM(1, 1),
    "GRU": rr.GRU(1, 1),
    "GRU, reset before": rr.GRU(1, 1, reset_after=False),
}
#: Variant, H, and blocks of a team.
SHAPES = (
    ("block", 32, 1),
    ("block", 128, 1),
    ("team", 256, 8),
    ("team", 1024, 128),
    ("cluster", 256, 8),
    ("stream", 256, 1),
    ("stream", 1024, 1),
)


class Row(NamedTuple):
    """A way of cutting W_hh, and what ptxas says of it."""

    cell: str
    dtype: str
    variant: str
    H: int
    blocks: int
    threads: int
    shared_forward: int
    shared_backward: int
    architecture: int
    registers_forward: int
    registers_backward: int
    spilled: int


def cuts() -> list[tuple[str, str, int, AnyCut]]:
    """Cell, variant, H and cut of every row but for the architecture."""
    found = []
    for name, cell in CELLS.items():
        for number in ("float32", "float64"):
            for variant, H, blocks in SHAPES:
                for cut in _cuts(variant, kernel_cell(cell), np.dtype(number), H):
                    if cut.blocks == blocks:
                        found.append((name, variant, H, cut))
                        break
    return found


def measured(architectures: Iterable[int], every: int = 1) -> list[Row]:
    """Compile for these architectures; of the cuts every so manieth."""
    jobs = [
        (*one, architecture)
        for one in cuts()[::every]
        for architecture in architectures
        if fits(one[3], architecture)
    ]
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        return list(pool.map(lambda job: _row(*job), jobs))


def fits(cut: AnyCut, architecture: int) -> bool:
    """Whether the planner would take a cut on a large device of an architecture."""
    device = Device("any", architecture, 132, ARCHITECTURES[architecture], 65536, False)
    return _misfit(cut, cut.blocks, device) is None


def _row(name: str, variant: str, H: int, cut: AnyCut, architecture: int) -> Row:
    with tempfile.TemporaryDirectory() as folder:
        done = subprocess.run(
            [str(find_nvcc()), *OPTIONS, f"-arch=sm_{architecture}", "-Xptxas=-v", "-cubin",
             "-o", f"{folder}/kernel.cubin", f"-I{PACKAGE.include}", *flags(cut.defines()),
             str(PACKAGE.kernels / cut.source)],
            capture_output=True, text=True, check=True,
        )  # fmt: skip
    counts = dict(
        re.findall(r"Compiling entry function '(\w+)'.*?Used (\d+) registers", done.stderr, re.S)
    )
    spilled = re.findall(r"(\d+) bytes (?:stack frame|spill stores|spill loads)", done.stderr)
    return Row(
        name, cut.dtype.name, variant, H, cut.blocks, cut.threads, cut.forward_bytes(1),
        cut.backward_bytes(1), architecture, int(counts["forward"]), int(counts["backward"]),
        sum(map(int, spilled)),
    )  # fmt: skip


def committed() -> list[Row]:
    """The rows of the table."""
    with TABLE.open(encoding="utf-8", newline="") as file:
        rows = list(csv.reader(file))[1:]
    texts = ("cell", "dtype", "variant")
    return [
        Row(*(v if n in texts else int(v) for n, v in zip(Row._fields, row, strict=True)))  # type: ignore[arg-type]
        for row in rows
    ]


def main() -> None:
    """Write the table."""
    with TABLE.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(Row._fields)
        writer.writerows(measured(ARCHITECTURES))


if __name__ == "__main__":
    main()
