"""Which cells kernels have, and which biases they add: the same for every accelerator."""

from __future__ import annotations

import functools
from typing import Any

import numpy as np

from refrnn.activations import activation
from refrnn.cells import GRU, LSTM, RNN
from refrnn.parameters import CellParameters
from refrnn.types import Array
from refrnn.unroll.base import AnyCell

__all__ = ["hidden_bias", "input_bias", "unsupported"]

_ACTIVATIONS = (activation("tanh"), activation("relu"))
#: Options that the kernels have both or all values of.
_FREE = {"biases", "reset_after", "activation"}


@functools.lru_cache(maxsize=64)
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
    if isinstance(cell, RNN) and cell.activation not in _ACTIVATIONS:
        return f"its kernels of RNN have tanh and relu, not {cell.activation!r}"
    return None


def input_bias(cell: AnyCell, parameters: CellParameters) -> Array | None:
    """What is added to W_ih x: all biases but that which GRU's reset gate multiplies."""
    if not cell.biases:
        return None
    bias: Array = parameters["b_ih"].copy()
    if cell.biases == 2:
        is_apart = isinstance(cell, GRU) and cell.reset_after
        end = 2 * cell.hidden_size if is_apart else len(bias)
        bias[:end] += parameters["b_hh"][:end]
    return bias


def hidden_bias(cell: AnyCell, parameters: CellParameters) -> Array:
    """What is added to W_hn h before GRU's reset gate multiplies it, shape (H,)."""
    if cell.biases < 2:
        return np.zeros(cell.hidden_size, parameters.dtype)
    bias: Array = parameters["b_hh"][2 * cell.hidden_size :]
    return bias
