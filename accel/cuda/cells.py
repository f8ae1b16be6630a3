"""What the kernels call a cell."""

from __future__ import annotations

from refrnn.activations import activation
from refrnn.cells import GRU, RNN
from refrnn.unroll.base import AnyCell

from .cut import KernelCell

__all__ = ["KERNEL_CELLS", "kernel_cell"]

_RNN = {
    activation("tanh"): KernelCell("RnnTanh", 1, 1),
    activation("relu"): KernelCell("RnnRelu", 1, 1),
}
_LSTM = KernelCell("Lstm", 4, 4, has_c=True)
_GRU = {
    True: KernelCell("GruResetAfter", 3, 4, has_q=True),
    False: KernelCell("GruResetBefore", 3, 3, phases=2),
}
#: What the kernels have, by their name.
KERNEL_CELLS = {cell.name: cell for cell in (*_RNN.values(), _LSTM, *_GRU.values())}


def kernel_cell(cell: AnyCell) -> KernelCell:
    """The kernels' name and sizes of a cell that they have."""
    if isinstance(cell, RNN):
        return _RNN[cell.activation]
    return _GRU[cell.reset_after] if isinstance(cell, GRU) else _LSTM
