"""Cells: one step and its adjoint, next to each other, a cell a file."""

from __future__ import annotations

from .base import Cell
from .gru import GRU, GRUState
from .lstm import LSTM, LSTMState
from .rnn import RNN, RNNState

__all__ = ["GRU", "LSTM", "RNN", "Cell", "GRUState", "LSTMState", "RNNState"]
