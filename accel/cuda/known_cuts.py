"""What the compiler said of the cuts of W_hh: a table that comes with the package.

``python -m refrnn_accel.cuda.registers --write`` makes it. Imported by ``setup.py`` too, before
anything is installed: nothing but the standard library.
"""

from __future__ import annotations

import csv
import functools
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from .sources import Defines

__all__ = ["ARCHITECTURES", "TABLE", "CutKey", "KnownCut", "known_cuts", "read"]

#: Bytes of shared memory that a block may have, by architecture.
ARCHITECTURES = {
    75: 65536, 80: 166912, 86: 101376, 89: 101376, 90: 232448, 100: 232448, 120: 101376,
}  # fmt: skip

#: The table.
TABLE = Path(__file__).with_name("registers.csv")


class CutKey(NamedTuple):
    """The parameters of ``kernels/recurrence.cu`` but for what registers hold.

    Attributes
    ----------
    cell : str
        A class of ``kernels/cells.cuh``.
    number : {"float", "double"}
    columns, units, split, blocks : int
        As of ``Cut``.
    exchange : {"Alone", "Clustered", "Tagged"}
    """

    cell: str
    number: str
    columns: int
    units: int
    split: int
    blocks: int
    exchange: str

    def defines(self, held: int) -> Defines:
        """What ``kernels/recurrence.cu`` is compiled with."""
        names = (f"REFRNN_{field.upper()}" for field in self._fields)
        defined = dict(zip(names, map(str, self), strict=True)) | {"REFRNN_HELD": str(held)}
        if self.exchange == "Clustered":
            defined["REFRNN_CLUSTER"] = "1"
        return defined


class KnownCut(NamedTuple):
    """One row of the table.

    Attributes
    ----------
    key : CutKey
    held : int
        As many vectors of each gate as registers hold without a spill on any architecture whose
        shared memory is large enough for the rest.
    vectors : int
        Of each gate, of a thread.
    forward_bytes, backward_bytes : int
        Shared memory with one lane.
    registers : mapping of int to str
        Of a thread, "forward/backward", by architecture; "" where the cut does not fit.
    """

    key: CutKey
    held: int
    vectors: int
    forward_bytes: int
    backward_bytes: int
    registers: Mapping[int, str]

    def cells(self) -> list[str]:
        """The row as text, in the order of :data:`HEADER`."""
        numbers = (self.held, self.vectors, self.forward_bytes, self.backward_bytes)
        registers = [self.registers[architecture] for architecture in ARCHITECTURES]
        return [*map(str, self.key), *map(str, numbers), *registers]


HEADER = (
    *CutKey._fields, "held", "vectors", "shared forward", "shared backward",
    *(f"sm_{architecture}" for architecture in ARCHITECTURES),
)  # fmt: skip


def read(table: Path = TABLE) -> list[KnownCut]:
    """The rows of a table.

    Parameters
    ----------
    table : Path

    Returns
    -------
    list of KnownCut
    """
    made = []
    with table.open(encoding="utf-8", newline="") as file:
        for row in list(csv.reader(file))[1:]:
            cell, number, *sizes, exchange = row[:7]
            columns, units, split, blocks = map(int, sizes)
            key = CutKey(cell, number, columns, units, split, blocks, exchange)
            registers = dict(zip(ARCHITECTURES, row[11:], strict=True))
            held, vectors, forward, backward = map(int, row[7:11])
            made.append(KnownCut(key, held, vectors, forward, backward, registers))
    return made


@functools.cache
def known_cuts() -> Mapping[CutKey, KnownCut]:
    """The rows of the package's table."""
    return {row.key: row for row in read()}
