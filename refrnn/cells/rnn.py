"""The simple (Elman) recurrent cell: equations R1, R2 of the notation page and their adjoints."""

from __future__ import annotations

from typing import Any, ClassVar, NamedTuple

import numpy as np

from ..activations import Activation
from ..activations import activation as look_up
from ..types import Array
from .base import Cell, Weights

__all__ = ["RNN", "RNNState"]


class RNNState(NamedTuple):
    """State of :class:`RNN`: ``h``, shape (B, H)."""

    h: Array


class RNNTape(NamedTuple):
    """What a step saves: the pre-activation ``a`` and the state ``h``, each (n, H)."""

    a: Array
    h: Array


class RNNCotangents(NamedTuple):
    """What the adjoint leaves: ``a``, the cotangent of the pre-activation, (n, H)."""

    a: Array


class RNN(Cell[RNNState, RNNTape]):
    """h_t = f(W_ih x_t + b_ih + W_hh h_prev + b_hh).

    Parameters
    ----------
    input_size, hidden_size : int
        I and H.
    activation : str or Activation
        "tanh", "relu", or another of :data:`refrnn.activations.ACTIVATION_NAMES`.
    biases : {2, 1, 0}
        ``b_ih`` and ``b_hh``, ``b_ih`` alone, or none.
    gate_clip : float, optional
        Clip the pre-activation to +-gate_clip (ONNX attribute ``clip``).

    Notes
    -----
    Parameters: ``W_ih`` (H, I), ``W_hh`` (H, H), ``b_ih`` and ``b_hh`` (H,). Equations (R1), (R2)
    and their adjoints: :doc:`/notation`. [1]_

    References
    ----------
    .. [1] Elman (1990), Finding structure in time; parameters as in ``torch.nn.RNN``.

    Examples
    --------
    >>> from refrnn import RNN
    >>> RNN(3, 5, activation="relu")
    RNN(3, 5, activation='relu')
    """

    num_gates = 1
    state_type = RNNState
    _DEFAULTS: ClassVar = {"activation": look_up("tanh"), "biases": 2, "gate_clip": None}

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        *,
        activation: str | Activation = "tanh",
        biases: int = 2,
        gate_clip: float | None = None,
    ) -> None:
        super().__init__(input_size, hidden_size, biases=biases, gate_clip=gate_clip)
        self.activation = look_up(activation)

    def options(self) -> dict[str, Any]:
        return {
            "activation": self.activation,
            "biases": self.biases,
            "gate_clip": self.gate_clip,
        }

    def new_tape(self, rows: int, dtype: np.dtype[Any]) -> RNNTape:
        shape = (rows, self.hidden_size)
        return RNNTape(np.empty(shape, dtype), np.empty(shape, dtype))

    def new_cotangents(self, rows: int, dtype: np.dtype[Any]) -> RNNCotangents:
        return RNNCotangents(np.empty((rows, self.hidden_size), dtype))

    def states(self, tape: RNNTape) -> RNNState:
        return RNNState(tape.h)

    def step(self, weights: Weights, tape: RNNTape, prev: RNNState) -> RNNState:
        a = tape.a
        a += weights.arithmetic.product(prev.h, weights.transposed["W_hh"])  # R1
        self._activate(weights, self.activation, a, tape.h)  # R2
        return RNNState(tape.h)

    def step_backward(
        self,
        weights: Weights,
        tape: RNNTape,
        prev: RNNState,
        d_state: RNNState,
        d_tape: RNNCotangents,
    ) -> RNNState:
        self._pull_back(self.activation, tape.a, tape.h, d_state.h, d_tape.a)  # R2'
        d_h_prev = weights.arithmetic.product(d_tape.a, weights.parameters["W_hh"])  # R1'
        return RNNState(d_h_prev)

    def parameter_gradients(
        self, weights: Weights, tape: RNNTape, prev: RNNState, d_tape: RNNCotangents, x: Array
    ) -> dict[str, Array]:
        return self._sums(weights, d_tape.a, prev.h, x)
