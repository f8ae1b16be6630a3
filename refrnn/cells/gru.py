"""The gated recurrent unit: equations G1 to G4 of the notation page and their adjoints."""

from __future__ import annotations

from typing import Any, ClassVar, NamedTuple

import numpy as np

from ..activations import Activation, activation
from ..parameters import CellParameters
from ..types import Array
from ..validation import check_bool
from .base import Cell, Weights

__all__ = ["GRU", "GRUState"]

_R, _Z, _N = 0, 1, 2  # gate order


class GRUState(NamedTuple):
    """State of :class:`GRU`: ``h``, shape (B, H)."""

    h: Array


class GRUTape(NamedTuple):
    """What a step saves, a row a step.

    ``a`` and ``gates`` (n, 3H): pre-activations and activations of r, z, n; ``q`` (n, H): what r
    multiplies, W_hn h_prev + b_hn, (n, 0) for reset_before; ``h`` (n, H): the state.
    """

    a: Array
    gates: Array
    q: Array
    h: Array


class GRUCotangents(NamedTuple):
    """What the adjoint leaves: ``a`` (n, 3H), the cotangents of the pre-activations."""

    a: Array


class GRU(Cell[GRUState, GRUTape]):
    """Gated recurrent unit, in both places where the reset gate is found.

    Parameters
    ----------
    input_size, hidden_size : int
        I and H.
    reset_after : bool
        True (PyTorch, cuDNN, Keras' default; ONNX ``linear_before_reset=1``): r multiplies
        ``W_hn h + b_hn``. False (Cho et al. v3, ONNX' default): r multiplies ``h``.
    biases : {2, 1, 0}
        ``b_ih`` and ``b_hh``, ``b_ih`` alone, or none.
    gate_clip : float, optional
        Clip every pre-activation to +-gate_clip (ONNX ``clip``); that of n after the reset.
    gate_activation, candidate_activation : str or Activation
        ONNX's f (of r and z) and g (of n).

    Notes
    -----
    Parameters: ``W_ih`` (3H, I), ``W_hh`` (3H, H), ``b_ih`` and ``b_hh`` (3H,), gates in the order
    r, z, n. The update is h = z h_prev + (1 - z) n, with 1 - z computed as a complement. Equations
    (G1) to (G4) and their adjoints: :doc:`/notation`. [1]_

    References
    ----------
    .. [1] Cho et al. (2014); gate order and names as in ``torch.nn.GRU``.

    Examples
    --------
    >>> from refrnn import GRU
    >>> GRU(3, 5, reset_after=False)
    GRU(3, 5, reset_after=False)
    """

    num_gates = 3
    state_type = GRUState
    _DEFAULTS: ClassVar = {
        "reset_after": True,
        "biases": 2,
        "gate_clip": None,
        "gate_activation": activation("sigmoid"),
        "candidate_activation": activation("tanh"),
    }

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        *,
        reset_after: bool = True,
        biases: int = 2,
        gate_clip: float | None = None,
        gate_activation: str | Activation = "sigmoid",
        candidate_activation: str | Activation = "tanh",
    ) -> None:
        super().__init__(input_size, hidden_size, biases=biases, gate_clip=gate_clip)
        self.reset_after = check_bool(reset_after, "reset_after")
        self.gate_activation = activation(gate_activation)
        self.candidate_activation = activation(candidate_activation)

    def options(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in self._DEFAULTS}

    def _bias(self, parameters: CellParameters) -> Array | None:
        """The biases that add up before the activation: all but b_hn where r multiplies it."""
        if self.biases < 2 or not self.reset_after:
            return super()._bias(parameters)
        bias = parameters["b_ih"].copy()
        bias[: 2 * self.hidden_size] += parameters["b_hh"][: 2 * self.hidden_size]
        return bias

    def new_tape(self, rows: int, dtype: np.dtype[Any]) -> GRUTape:
        gates, H = (rows, 3 * self.hidden_size), self.hidden_size
        return GRUTape(
            a=np.empty(gates, dtype),
            gates=np.empty(gates, dtype),
            q=np.empty((rows, H if self.reset_after else 0), dtype),
            h=np.empty((rows, H), dtype),
        )

    def new_cotangents(self, rows: int, dtype: np.dtype[Any]) -> GRUCotangents:
        return GRUCotangents(np.empty((rows, 3 * self.hidden_size), dtype))

    def states(self, tape: GRUTape) -> GRUState:
        return GRUState(tape.h)

    def step(self, weights: Weights, tape: GRUTape, prev: GRUState) -> GRUState:
        product, H = weights.arithmetic.product, self.hidden_size
        a, gates, h_prev = tape.a, tape.gates, prev.h
        a_rz, a_n = self._block(a, _R, 2), self._block(a, _N)
        r, z, n = (self._block(gates, gate) for gate in (_R, _Z, _N))
        if self.reset_after:
            recurrent = product(h_prev, weights.transposed["W_hh"])
            a_rz += self._block(recurrent, _R, 2)  # G1
            tape.q[...] = self._block(recurrent, _N)
            if self.biases == 2:
                tape.q[...] += weights.parameters["b_hh"][2 * H :]
        else:
            a_rz += product(h_prev, weights.transposed["W_hh"][:, : 2 * H])  # G1
        self._activate(weights, self.gate_activation, a_rz, self._block(gates, _R, 2))  # G2
        a_n += (
            r * tape.q
            if self.reset_after
            else product(r * h_prev, weights.transposed["W_hh"][:, 2 * H :])
        )
        self._activate(weights, self.candidate_activation, a_n, n)  # G3
        np.multiply(z, h_prev, out=tape.h)  # G4
        tape.h[...] += self._one_minus_z(a) * n
        weights.arithmetic.rounded(tape.h)
        return GRUState(tape.h)

    def step_backward(
        self,
        weights: Weights,
        tape: GRUTape,
        prev: GRUState,
        d_state: GRUState,
        d_tape: GRUCotangents,
    ) -> GRUState:
        product, W_hh, H = weights.arithmetic.product, weights.parameters["W_hh"], self.hidden_size
        a, gates, d_a, d_h = tape.a, tape.gates, d_tape.a, d_state.h
        a_r, a_z, a_n = (self._block(a, gate) for gate in (_R, _Z, _N))
        r, z, n = (self._block(gates, gate) for gate in (_R, _Z, _N))
        d_a_r, d_a_z, d_a_n = (self._block(d_a, gate) for gate in (_R, _Z, _N))
        d_h_prev = d_h * z  # G4'
        self._pull_back(self.gate_activation, a_z, z, d_h * (prev.h - n), d_a_z)  # G4', G2'
        d_n = d_h * self._one_minus_z(a)
        self._pull_back(self.candidate_activation, a_n, n, d_n, d_a_n)  # G3'
        if self.reset_after:
            self._pull_back(self.gate_activation, a_r, r, d_a_n * tape.q, d_a_r)  # G2'
            d_h_prev += product(self._recurrent_cotangent(tape, d_tape), W_hh)  # G1'
        else:
            d_r_h = product(d_a_n, W_hh[2 * H :])  # cotangent of r * h_prev
            d_h_prev += d_r_h * r
            self._pull_back(self.gate_activation, a_r, r, d_r_h * prev.h, d_a_r)  # G2'
            d_h_prev += product(self._block(d_a, _R, 2), W_hh[: 2 * H])  # G1'
        return GRUState(d_h_prev)

    def _one_minus_z(self, a: Array) -> Array:
        """1 - z from the pre-activation: exact where z is all but 1."""
        return self.gate_activation.complement(self._clipped(self._block(a, _Z)))

    def _recurrent_cotangent(self, tape: GRUTape, d_tape: GRUCotangents) -> Array:
        """Cotangent of W_hh h_prev + b_hh in reset_after: n's block reaches it through r."""
        d_recurrent = d_tape.a.copy()
        d_n = self._block(d_recurrent, _N)
        d_n *= self._block(tape.gates, _R)
        return d_recurrent

    def parameter_gradients(
        self, weights: Weights, tape: GRUTape, prev: GRUState, d_tape: GRUCotangents, x: Array
    ) -> dict[str, Array]:
        arithmetic = weights.arithmetic
        gradients = self._sums(weights, d_tape.a, prev.h, x)
        if self.reset_after:
            d_recurrent = self._recurrent_cotangent(tape, d_tape)
            gradients["W_hh"] = arithmetic.product(d_recurrent.T, prev.h)
            if self.biases == 2:
                gradients["b_hh"] = arithmetic.sum_rows(d_recurrent)
        else:
            d_a_n, r = self._block(d_tape.a, _N), self._block(tape.gates, _R)
            gradients["W_hh"][2 * self.hidden_size :] = arithmetic.product(d_a_n.T, r * prev.h)
        return gradients
