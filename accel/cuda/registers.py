"""How many registers the kernels of the recurrence take, and how much of W_hh they can hold.

``python -m refrnn_accel.cuda.registers`` compiles every cut of the package's table for every
architecture whose shared memory is large enough, and what the planner chooses for further sizes of
the state if it is given some, and fails if one spills. With ``--write`` it looks for the largest
pieces of W_hh that spill nowhere and makes the table.
"""

from __future__ import annotations

import argparse
import csv
import itertools
import os
import re
import sys
import tempfile
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from .cells import KERNEL_CELLS
from .context import Device
from .cut import Cut
from .known_cuts import ARCHITECTURES, HEADER, TABLE, CutKey, KnownCut, known_cuts
from .nvcc import compile_source, find_nvcc, run
from .planner import AnyCut, choose, misfit, room, shapes
from .sources import PACKAGE, least_architecture

__all__ = ["Usage", "chosen", "cut_of", "fitting", "known", "measure", "representative"]

#: Of a device with each architecture, the smallest that is usual.
_MULTIPROCESSORS = {75: 40, 80: 108, 86: 82, 89: 128, 90: 132, 100: 148, 120: 170}
_DTYPES: tuple[np.dtype[Any], ...] = (np.dtype(np.float32), np.dtype(np.float64))
#: Registers beside the weights: fewer than most kernels need. The search begins here.
_LEAST_OTHERS = 55
#: Sizes of the state for which there are rows, by variant: in one block all that there are.
_SIZES = {
    "block": range(32, 257, 32),
    "cluster": (256,),
    "team": (256, 512, 1024),
}


class Usage(NamedTuple):
    """What ptxas says of a kernel.

    Attributes
    ----------
    registers : int
        Of a thread.
    spilled : int
        Bytes that it stores or loads because registers did not do.
    stack : int
        Bytes of local memory of a thread.
    """

    registers: int
    spilled: int
    stack: int

    @property
    def is_clean(self) -> bool:
        """Whether everything is in registers."""
        return self.spilled == self.stack == 0


def measure(cut: AnyCut, architectures: Iterable[int]) -> dict[int, dict[str, Usage]]:
    """What ptxas says of ``forward`` and ``backward`` of a cut.

    Parameters
    ----------
    cut : Cut or StreamCut
    architectures : iterable of int
        It stops after the first where something spills.

    Returns
    -------
    dict of int to dict of str to Usage
        By architecture and kernel.

    Raises
    ------
    BuildError
        If there is no nvcc, or it fails.
    """
    nvcc, defines, made = find_nvcc(), cut.defines(), {}
    with tempfile.TemporaryDirectory(prefix="refrnn-") as folder:
        ptx, cubin = Path(folder, "kernel.ptx"), Path(folder, "kernel.cubin")
        code = f"compute_{least_architecture(defines)}"
        compile_source(nvcc, PACKAGE, cut.source, defines, code, ptx)
        for architecture in architectures:
            options = ["-Xptxas", "-v", "--cubin", f"-arch=sm_{architecture}"]
            made[architecture] = _usages(run([str(nvcc), *options, "-o", str(cubin), str(ptx)]))
            if not all(usage.is_clean for usage in made[architecture].values()):
                break
    return made


def _usages(report: str) -> dict[str, Usage]:
    """The numbers of ``ptxas -v``, by kernel."""
    made = {}
    for part in report.split("Compiling entry function ")[1:]:
        name = part.split("'")[1]
        found = re.search(
            r"(\d+) bytes stack frame, (\d+) bytes spill stores, (\d+) bytes spill loads.*?"
            r"Used (\d+) registers",
            part,
            re.S,
        )
        if found is None:
            raise ValueError(f"ptxas said what cannot be read: {report}")
        stack, stores, loads, registers = map(int, found.groups())
        made[name] = Usage(registers, stores + loads, stack)
    return made


def fitting(cut: AnyCut) -> tuple[int, ...]:
    """The architectures on which a block of the cut has enough shared memory."""
    return tuple(
        number
        for number, nbytes in ARCHITECTURES.items()
        if cut.shared_bytes(1) <= nbytes and number >= least_architecture(cut.defines())
    )


def cut_of(key: CutKey, held: int) -> Cut:
    """The cut of a row of the table."""
    cell, number, *sizes, exchange = key
    dtype = np.dtype({"float": np.float32, "double": np.float64}[number])
    columns, units, split, blocks = sizes
    return Cut(KERNEL_CELLS[cell], dtype, columns, units, split, held, blocks, exchange)


def known(shape: Cut) -> KnownCut | None:
    """The row of a cut: what registers can hold is found by trying; None if then none fits."""
    for held in range(room(shape, _LEAST_OTHERS), -1, -1):
        cut = shape._replace(held=held)
        # The first where most things spill that spill anywhere.
        wanted = sorted(fitting(cut), key=lambda number: (number != 75, number != 120))
        found = measure(cut, tuple(wanted))
        if all(usage.is_clean for kernels in found.values() for usage in kernels.values()):
            return _row(cut, found) if found else None
    return None


def _row(cut: Cut, found: Mapping[int, Mapping[str, Usage]]) -> KnownCut:
    registers = dict.fromkeys(ARCHITECTURES, "")
    for number, kernels in found.items():
        registers[number] = f"{kernels['forward'].registers}/{kernels['backward'].registers}"
    return KnownCut(
        cut.key, cut.held, cut.vectors, cut.forward_bytes(1), cut.backward_bytes(1), registers
    )


def representative(rows: Mapping[CutKey, KnownCut | None]) -> dict[CutKey, Cut]:
    """What the planner chooses on some device for the sizes of the table.

    Parameters
    ----------
    rows : mapping of CutKey to KnownCut or None
        What is known; of other cuts what can be hoped for is supposed.

    Returns
    -------
    dict of CutKey to Cut
    """
    made = {}
    for variant, sizes in _SIZES.items():
        for cell, dtype, size in itertools.product(KERNEL_CELLS.values(), _DTYPES, sizes):
            for device in _devices():
                every = shapes(variant, cell, dtype, size)
                cuts = (_hoped(shape, rows) for shape in every if isinstance(shape, Cut))
                fits = (cut for cut in cuts if cut and misfit(cut, cut.blocks, device) is None)
                cut = next(fits, None)
                if cut is not None:
                    made[cut.key] = cut
    return made


def _hoped(shape: Cut, rows: Mapping[CutKey, KnownCut | None]) -> Cut | None:
    """A cut with what registers hold, as known or hoped; None if it is known to fit nowhere."""
    if shape.key not in rows:
        return shape._replace(held=room(shape, _LEAST_OTHERS))
    row = rows[shape.key]
    return None if row is None else shape._replace(held=row.held)


def chosen(sizes: Iterable[int]) -> list[Cut]:
    """What the planner chooses for states of these sizes, of each variant and architecture."""
    made = {}
    for size, variant, dtype in itertools.product(sizes, _SIZES, _DTYPES):
        for cell, device in itertools.product(KERNEL_CELLS.values(), _devices()):
            found = choose(cell, dtype, size, device, variant=variant)
            if not isinstance(found, str) and isinstance(found[1], Cut):
                made[found[1].key] = found[1]
    return list(made.values())


def _devices() -> list[Device]:
    return [
        Device(f"sm_{number}", number, _MULTIPROCESSORS[number], nbytes, 65536, False)
        for number, nbytes in ARCHITECTURES.items()
    ]


def _made(jobs: int) -> list[KnownCut]:
    """The rows of all cuts that the planner chooses, and of those that come up on the way."""
    rows: dict[CutKey, KnownCut | None] = {}
    with ThreadPoolExecutor(jobs) as pool:
        while True:
            wanted = representative(rows)
            new = [cut for key, cut in wanted.items() if key not in rows]
            if not new:
                return [row for key in wanted if (row := rows[key]) is not None]
            for cut, row in zip(new, pool.map(known, new), strict=True):
                rows[cut.key] = row
                print(*(row.cells() if row else (*cut.key, "does not fit")), flush=True)


def main(arguments: list[str] | None = None) -> int:
    """Run the command line."""
    parser = argparse.ArgumentParser(description=__doc__, prog="refrnn_accel.cuda.registers")
    parser.add_argument("sizes", type=int, nargs="*", help="further sizes of the state")
    parser.add_argument("--write", type=Path, nargs="?", const=TABLE, help="make the table anew")
    parser.add_argument("--jobs", type=int, default=os.cpu_count(), help="that run at once")
    options = parser.parse_args(arguments)
    if options.write is not None:
        rows = _made(options.jobs)
        with options.write.open("w", encoding="utf-8", newline="") as file:
            csv.writer(file, lineterminator="\n").writerows([HEADER, *(r.cells() for r in rows)])
        return 0
    cuts = [cut_of(row.key, row.held) for row in known_cuts().values()]
    return _check([*cuts, *chosen(options.sizes)], options.jobs)


def _check(cuts: list[Cut], jobs: int) -> int:
    """Print what cuts take; 1 if one spills."""
    status = 0
    with ThreadPoolExecutor(jobs) as pool:
        reports = pool.map(lambda cut: measure(cut, fitting(cut)), cuts)
        for cut, found in zip(cuts, reports, strict=True):
            for number, kernels in found.items():
                for kernel, usage in kernels.items():
                    verdict = "" if usage.is_clean else f"spills {usage.spilled}, {usage.stack}"
                    print(*cut.key, cut.held, f"sm_{number}", kernel, usage.registers, verdict)
                    status |= not usage.is_clean
    return status


if __name__ == "__main__":
    sys.exit(main())
