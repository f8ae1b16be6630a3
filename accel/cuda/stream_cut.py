"""W_hh that is read at every step, as ``kernels/stream.cuh`` has it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

from refrnn.types import Array

from .cut import KernelCell, chains_of, columns_of

__all__ = ["StreamCut"]


class StreamCut(NamedTuple):
    """One block steps a few lanes and reads all of W_hh at every step: for any size of the state.

    It has the attributes and methods of :class:`Cut` with which a launch is made.

    Attributes
    ----------
    cell : KernelCell
    dtype : dtype
        float32 or float64.
    columns : int
        H rounded up: :func:`columns_of`.
    lanes : {1, 2, 4}
        Of a block, at most: what is read of W_hh serves all of them.
    """

    cell: KernelCell
    dtype: np.dtype[Any]
    columns: int
    lanes: int

    @property
    def source(self) -> str:
        """The file in ``kernels`` that is compiled."""
        return "stream.cu"

    @property
    def threads(self) -> int:
        """Of a block."""
        return _WARPS * 32

    @property
    def blocks(self) -> int:
        """Of a team."""
        return 1

    @property
    def exchange(self) -> str:
        """A block has nobody to tell."""
        return "Alone"

    @property
    def vector_size(self) -> int:
        """Numbers in 16 bytes."""
        return 16 // self.dtype.itemsize

    @property
    def chains(self) -> int:
        """Sums that a product with a row is made of."""
        return chains_of(self.columns)

    def defines(self) -> Mapping[str, str]:
        """What ``kernels/stream.cu`` is compiled with: one module serves many sizes."""
        return {
            "REFRNN_CELL": self.cell.name,
            "REFRNN_NUMBER": {4: "float", 8: "double"}[self.dtype.itemsize],
            "REFRNN_CHAINS": str(self.chains),
            "REFRNN_LANES": str(self.lanes),
        }

    def shared_bytes(self, lanes: int) -> int:
        """Bytes of shared memory of a block with this many lanes, whichever way it steps them."""
        return max(self.forward_bytes(lanes), self.backward_bytes(lanes))

    def forward_bytes(self, lanes: int) -> int:
        """Bytes of shared memory of a block that steps this many lanes forward."""
        self._check(lanes)
        staged = min(self.columns * self.dtype.itemsize, _STAGED // self.lanes)
        return self.lanes * (staged + 2 * _PLACE)

    def backward_bytes(self, lanes: int) -> int:
        """Bytes of shared memory of a block that steps this many lanes back."""
        self._check(lanes)
        gates, size = self.cell.gates, self.dtype.itemsize
        leaf = 32 if gates <= 2 else 16
        sums = 2 * _WARPS * 32 * 16
        cotangents = _WARPS * leaf * (1 << (gates - 1).bit_length()) * size
        rounds = -(-self.columns // (leaf * _WARPS))
        values = -(-32 * self.vector_size * self.lanes // self.threads)  # of a thread
        digits = rounds.bit_length() * values * self.threads * size
        return self.lanes * (sums + cotangents + 2 * _PLACE) + digits

    def slot_bytes(self, teams: int, lanes: int) -> int:
        """Bytes of global memory through which the blocks of all teams exchange: none."""
        return 0

    def pack(self, W_hh: Array) -> Array:
        """W_hh in the order in which the threads read it.

        Parameters
        ----------
        W_hh : ndarray of shape (gates * H, H)

        Returns
        -------
        ndarray of shape (groups, positions, gates, 32, vector_size)
            A group is the units that a warp reads at once, 4 or 1; zero where there is no such unit
            or column.

        Raises
        ------
        ValueError
            If :attr:`columns` is not that of H.
        """
        H, gates = W_hh.shape[1], self.cell.gates
        if columns_of(H) != self.columns:
            raise ValueError(f"H = {H} has {columns_of(H)} columns, this cut has {self.columns}")
        whole = np.zeros((gates, -(-H // _BATCH) * _BATCH, self.columns), self.dtype)
        whole[:, :H, :H] = W_hh.reshape(gates, H, H)
        units = 32 // self.chains
        cut = whole.reshape(gates, -1, units, self.columns // (self.chains * self.vector_size),
                            self.chains, self.vector_size)  # fmt: skip
        g, group, unit, position, chain, v = range(6)
        packed = cut.transpose(group, position, g, unit, chain, v)
        return np.ascontiguousarray(packed).reshape(*packed.shape[:3], 32, self.vector_size)

    def _check(self, lanes: int) -> None:
        if not 1 <= lanes <= self.lanes:
            raise ValueError(f"a block of this cut has 1 to {self.lanes} lanes, not {lanes}")


_WARPS = 8
_BATCH = 8  # units are rounded up to
_STAGED = 32768  # bytes of states in shared memory, of all lanes
_PLACE = 40  # sizeof(Place)
