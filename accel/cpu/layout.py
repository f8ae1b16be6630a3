"""Where the kernels keep the gates of a unit: the order of a row of pre-activations.

The kernels compute a vector of units at a time, and want its gates side by side. Groups of units
are as wide as the widest vectors, for all instruction sets, so that all add in the same order.
``src/cells.h`` says the same to the kernels.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from refrnn.activations import activation
from refrnn.cells import GRU, RNN
from refrnn.types import Array, IntArray
from refrnn.unroll.base import AnyCell

__all__ = ["Layout"]

_KINDS = ("RnnTanh", "RnnRelu", "Lstm", "GruResetAfter", "GruResetBefore")  # as src/kernels.h
_GROUP_BYTES = 64


class Layout(NamedTuple):
    """Sizes and order of the rows that kernels of a cell read and write.

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

    def rows(self) -> IntArray:
        """For each row of W_ih, its column in a row of pre-activations: shape (gates * H,)."""
        unit = np.arange(self.hidden_size)
        if self.gates == 3:
            r, z = (self._interleaved(unit, gate, 2) + self.units for gate in range(2))
            return np.concatenate([r, z, unit])
        return np.concatenate([self._interleaved(unit, g, self.gates) for g in range(self.gates)])

    def hidden_rows(self) -> IntArray:
        """For each row of W_hh, its column in a row of cotangents."""
        rows = self.rows()
        if self.has_q:
            rows[2 * self.hidden_size :] += 3 * self.units
        return rows

    def _interleaved(self, unit: IntArray, gate: int, gates: int) -> IntArray:
        made: Array = (unit // self.group * gates + gate) * self.group + unit % self.group
        return made
