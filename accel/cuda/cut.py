"""How W_hh is cut among the blocks of a team and their threads, as ``kernels/slice.cuh`` has it."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from refrnn.types import Array

from .known_cuts import CutKey
from .sources import Defines

__all__ = ["Cut", "KernelCell", "chains_of", "columns_of"]


class KernelCell(NamedTuple):
    """What the kernels call a cell, and what they keep of a step of it.

    Attributes
    ----------
    name : str
        The class of ``kernels/cells.cuh``.
    gates : int
        Gates whose rows W_hh has.
    cotangents : int
        Blocks of H columns that backward leaves.
    phases : int
        Products with W_hh a step, one after the other.
    has_c, has_q : bool
        Whether a step has a cell state, and what the reset gate multiplies.
    """

    name: str
    gates: int
    cotangents: int
    phases: int = 1
    has_c: bool = False
    has_q: bool = False


def columns_of(hidden_size: int) -> int:
    """H rounded up to what the kernels' chains of vectors need."""
    multiple = 32 if hidden_size <= 256 else 128
    return -(-hidden_size // multiple) * multiple


def chains_of(columns: int) -> int:
    """Sums that a product with a row is made of: the size of the state alone fixes it."""
    return 8 if columns <= 256 else 32


class Cut(NamedTuple):
    """One way of cutting W_hh; the parameters of ``Slice``.

    Attributes
    ----------
    cell : KernelCell
    dtype : dtype
        float32 or float64.
    columns : int
        H rounded up: :func:`columns_of`.
    units : int
        Units whose rows a block has.
    split : int
        Threads of a unit.
    held : int
        Vectors of 16 bytes of each gate that a thread has in registers; the rest of its piece is
        in shared memory.
    blocks : int
        Of a team.
    exchange : {"Alone", "Tagged", "Clustered"}
        How they tell each other what they have computed.
    """

    cell: KernelCell
    dtype: np.dtype[Any]
    columns: int
    units: int
    split: int
    held: int
    blocks: int
    exchange: str

    @property
    def source(self) -> str:
        """The file in ``kernels`` that is compiled."""
        return "recurrence.cu"

    @property
    def threads(self) -> int:
        """Of a block."""
        return self.units * self.split

    @property
    def vector_size(self) -> int:
        """Numbers in 16 bytes."""
        return 16 // self.dtype.itemsize

    @property
    def chains(self) -> int:
        """Sums that a product with a row is made of."""
        return chains_of(self.columns)

    @property
    def vectors(self) -> int:
        """Of a gate, of a thread."""
        return self.columns // (self.split * self.vector_size)

    @property
    def key(self) -> CutKey:
        """The cut but for what registers hold."""
        number = {4: "float", 8: "double"}[self.dtype.itemsize]
        return CutKey(
            self.cell.name, number, self.columns, self.units, self.split, self.blocks, self.exchange
        )

    def defines(self) -> Defines:
        """What ``kernels/recurrence.cu`` is compiled with."""
        return self.key.defines(self.held)

    def shared_bytes(self, lanes: int) -> int:
        """Bytes of shared memory of a block with this many lanes, whichever way it steps them."""
        ticket = 16 if self.exchange == "Tagged" else 0
        return max(self.forward_bytes(lanes), self.backward_bytes(lanes)) + ticket

    def shared_weights(self) -> int:
        """Bytes of shared memory for what registers do not hold of W_hh."""
        return (self.vectors - self.held) * self.cell.gates * self.threads * 16

    def forward_bytes(self, lanes: int) -> int:
        """Bytes of shared memory of a block that steps this many lanes forward."""
        size, cell = self.dtype.itemsize, self.cell
        states = (1 + cell.phases) * self.columns * size
        rows = 2 * self.units * (cell.gates + 1 + (cell.has_c or cell.has_q)) * size
        own = self.threads * (cell.gates > 1) * size
        return self.shared_weights() + lanes * (states + rows + own + 4 * _CURSOR)

    def backward_bytes(self, lanes: int) -> int:
        """Bytes of shared memory of a block that steps this many lanes back."""
        size, cell = self.dtype.itemsize, self.cell
        sums = 2 * self._term_rows(self.threads // 32, self.columns)
        received = 0
        if self.exchange == "Clustered":
            received = 2 * self._term_rows(self.blocks, self.units)
        rows = 2 * self.units * (cell.gates + 1 + (cell.gates > 1) + cell.has_q) * size
        own = self.threads * (3 if cell.has_c else 1) * size
        return self.shared_weights() + lanes * (sums + rows + own + 4 * _CURSOR + received)

    def _term_rows(self, count: int, row: int) -> int:
        """Bytes of ``TermRows`` of kernels/vectors.cuh."""
        leaves = 1 << (count - 1).bit_length()
        parts, banks = min(leaves, self.split), 128 // self.dtype.itemsize
        gap = (banks // parts - leaves // parts * row) % banks
        return (leaves * row + parts * gap) * self.dtype.itemsize

    def slot_bytes(self, teams: int, lanes: int) -> int:
        """Bytes of global memory through which the blocks of all teams exchange, either way."""
        if self.exchange != "Tagged":
            return 0
        rows = self.blocks  # backward; forward needs one
        return teams * 4 * lanes * rows * self.columns * 2 * self.dtype.itemsize

    def pack(self, W_hh: Array) -> Array:
        """W_hh in the order in which the threads take it.

        Parameters
        ----------
        W_hh : ndarray of shape (gates * H, H)

        Returns
        -------
        ndarray of shape (blocks, vectors, gates, threads, vector_size)
            Zero where there is no such unit or column.
        """
        H, gates = W_hh.shape[1], self.cell.gates
        whole = np.zeros((gates, self.blocks * self.units, self.columns), self.dtype)
        whole[:, :H, :H] = W_hh.reshape(gates, H, H)
        chains_of_thread = self.chains // self.split
        cut = whole.reshape(
            gates, self.blocks, self.units, -1, self.split, chains_of_thread, self.vector_size
        )
        g, block, unit, position, part, chain, v = range(7)
        return np.ascontiguousarray(cut.transpose(block, chain, position, g, unit, part, v))


_CURSOR = 32  # sizeof(Cursor)
