"""Which cells the kernels have, what they call them, and what they cannot do."""

from __future__ import annotations

from typing import Any

import numpy as np

from refrnn.activations import activation
from refrnn.cells import GRU, LSTM, RNN
from refrnn.parameters import CellParameters
from refrnn.types import Array
from refrnn.unroll.base import AnyCell

from .cut import KernelCell

__all__ = ["KERNEL_CELLS", "hidden_bias", "input_bias", "kernel_cell", "unsupported"]

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
#: Options that the kernels have both or all values of.
_FREE = {"biases", "reset_after", "activation"}


def unsupported(cell: AnyCell, dtype: np.dtype[Any]) -> str | None:
    """Why the kernels do not have a cell or a dtype; None if they have.

    Parameters
    ----------
    cell : RNN, LSTM or GRU
    dtype : dtype

    Returns
    -------
    str or None
    """
    if dtype not in (np.float32, np.float64):
        return f"it computes in float32 and float64, not {dtype}"
    if type(cell) not in (RNN, LSTM, GRU):
        return f"it has no kernel of {type(cell).__name__}"
    make: Any = type(cell)
    plain = make(cell.input_size, cell.hidden_size).options()
    for name, value in cell.options().items():
        if name not in _FREE and value != plain[name]:
            return f"its kernels have no {name} = {value!r}"
    if isinstance(cell, RNN) and cell.activation not in _RNN:
        return f"its kernels of RNN have tanh and relu, not {cell.activation!r}"
    return None


def kernel_cell(cell: AnyCell) -> KernelCell:
    """The kernels' name and sizes of a cell that is not :func:`unsupported`."""
    if isinstance(cell, RNN):
        return _RNN[cell.activation]
    return _GRU[cell.reset_after] if isinstance(cell, GRU) else _LSTM


def input_bias(cell: AnyCell, parameters: CellParameters) -> Array | None:
    """What is added to W_ih x: all biases but that which GRU's reset gate multiplies."""
    if not cell.biases:
        return None
    bias: Array = parameters["b_ih"].copy()
    if cell.biases == 2:
        end = 2 * cell.hidden_size if kernel_cell(cell).has_q else len(bias)
        bias[:end] += parameters["b_hh"][:end]
    return bias


def hidden_bias(cell: AnyCell, parameters: CellParameters) -> Array:
    """What is added to W_hn h before GRU's reset gate multiplies it, shape (H,)."""
    if cell.biases < 2:
        return np.zeros(cell.hidden_size, parameters.dtype)
    bias: Array = parameters["b_hh"][2 * cell.hidden_size :]
    return bias
