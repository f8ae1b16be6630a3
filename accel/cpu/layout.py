"""How long the rows of the kernels are.

The kernels compute a vector of units at a time, and want its gates side by side (``src/cells.h``
has the order). Groups of units are as wide as the widest vectors, for all instruction sets, so that
all add in the same order.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from refrnn.activations import activation
from refrnn.cells import GRU, RNN
from refrnn.unroll.base import AnyCell

__all__ = ["Layout"]

_KINDS = ("RnnTanh", "RnnRelu", "Lstm", "GruResetAfter", "GruResetBefore")  # as src/kernels.h
_GROUP_BYTES = 64


class Layout(NamedTuple):
    """Sizes of the rows that kernels of a cell read and write.

    Attributes
    ----------
    kind : int
        The cell's number in ``src/kernels.h``.
    hidden_size, units : int
        Units, and with those that fill the last group.
    gates, cotangents : int
        Of a unit, in a row of pre-activations and in one of their cotangents.
    group : int
        Units whose gates lie side by side.
    """

    kind: int
    hidden_size: int
    units: int
    gates: int
    cotangents: int
    group: int

    @classmethod
    def of(cls, cell: AnyCell, dtype: np.dtype[Any]) -> Layout:
        """The layout of a cell in a dtype."""
        if isinstance(cell, RNN):
            name, gates = ("RnnTanh" if cell.activation == activation("tanh") else "RnnRelu"), 1
        elif isinstance(cell, GRU):
            name, gates = ("GruResetAfter" if cell.reset_after else "GruResetBefore"), 3
        else:
            name, gates = "Lstm", 4
        group = _GROUP_BYTES // dtype.itemsize
        units = -(-cell.hidden_size // group) * group
        cotangents = 4 if name == "GruResetAfter" else gates
        return cls(_KINDS.index(name), cell.hidden_size, units, gates, cotangents, group)

    @property
    def itemsize(self) -> int:
        """Bytes of a number."""
        return _GROUP_BYTES // self.group

    @property
    def has_c(self) -> bool:
        """Whether the cell has a state c."""
        return _KINDS[self.kind] == "Lstm"

    @property
    def has_q(self) -> bool:
        """Whether the product of W_hn is kept apart from the pre-activation that it goes into."""
        return _KINDS[self.kind] == "GruResetAfter"

    @property
    def has_rh(self) -> bool:
        """Whether W_hn is multiplied with r h."""
        return _KINDS[self.kind] == "GruResetBefore"

    def padded(self, size: int) -> int:
        """A size rounded up to whole groups."""
        return -(-size // self.group) * self.group

    def tape(self, rows: int, input_size: int) -> dict[str, tuple[int, int]]:
        """Shapes of what forward leaves for backward, of so many rows."""
        shapes = {
            "x": (rows, input_size),
            "a": (rows, self.gates * self.units),
            "y": (rows, self.hidden_size),
        }
        if self.has_c:
            shapes["c"] = (rows, self.hidden_size)
        if self.has_q:
            shapes["q"] = (rows, self.units)
        return shapes

    def cotangents_of_rows(self, rows: int) -> dict[str, tuple[int, int]]:
        """Shapes of what backward has of so many rows, until it has their sums."""
        shapes = {"d_a": (rows, self.cotangents * self.units)}
        if self.has_rh:
            shapes["rh"] = (rows, self.hidden_size)
        return shapes
