"""Long short-term memory: equations L1 to L6 of the notation page and their adjoints."""

from __future__ import annotations

from typing import Any, ClassVar, NamedTuple

import numpy as np

from ..activations import Activation, activation
from ..types import Array, BoolArray
from ..validation import check_bool, check_integer, check_positive_float
from .base import Cell, Weights, clip

__all__ = ["LSTM", "LSTMState"]


class LSTMState(NamedTuple):
    """State of :class:`LSTM`: ``h``, shape (B, H) or (B, projection), and ``c``, shape (B, H)."""

    h: Array
    c: Array


class LSTMTape(NamedTuple):
    """What a step saves, a row a step.

    ``a`` and ``gates`` (n, G*H): pre-activations and their activations; ``c`` and ``out_c``
    (n, H): the cell state after the clip, and h(c) of it; ``h`` (n, R): the state;
    ``clipped`` bool (n, H): where the cell clip acted, (n, 0) without one.
    """

    a: Array
    gates: Array
    c: Array
    out_c: Array
    h: Array
    clipped: BoolArray


class LSTMCotangents(NamedTuple):
    """What the adjoint leaves: ``a`` (n, G*H); ``h`` (n, P) for the projection, else (n, 0)."""

    a: Array
    h: Array


class LSTM(Cell[LSTMState, LSTMTape]):
    """Long short-term memory, with the options that frameworks and ONNX define.

    Parameters
    ----------
    input_size, hidden_size : int
        I and H.
    biases : {2, 1, 0}
        ``b_ih`` and ``b_hh``, ``b_ih`` alone, or none.
    peepholes : bool
        The gates see the cell state: i and f the one before the step, o the new one.
    proj_size : int
        P: the state h is projected to P < H features by ``W_hr``; 0 means no projection.
    coupled : bool
        One gate for both: f = 1 - i (ONNX ``input_forget``). The forget rows are absent.
    cell_clip : float, optional
        Clip the cell state to +-cell_clip after its update (TensorFlow ``cell_clip``).
    gate_clip : float, optional
        Clip every pre-activation to +-gate_clip (ONNX ``clip``).
    gate_activation, cell_activation, output_activation : str or Activation
        ONNX's f, g and h: of the gates i, f, o; of the cell gate g; of c on its way out.

    Raises
    ------
    ValueError
        If a size or bound is out of range, or options are combined that no framework defines
        (gate clip with cell clip or projection, cell clip with coupled gates).

    Notes
    -----
    Parameters: ``W_ih`` (G*H, I), ``W_hh`` (G*H, R), ``b_ih`` and ``b_hh`` (G*H,), gates in the
    order i, f, g, o (i, g, o when coupled, so G = 3), ``p_i``, ``p_f``, ``p_o`` (H,), ``W_hr``
    (P, H); R is P or H. Equations (L1) to (L6) and their adjoints: :doc:`/notation`. [1]_ [2]_

    References
    ----------
    .. [1] Hochreiter & Schmidhuber (1997); Gers, Schmidhuber & Cummins (2000) for the forget gate;
       Gers & Schmidhuber (2000) for peepholes; Sak, Senior & Beaufays (2014) for the projection;
       Greff et al. (2017) for the coupled gate.
    .. [2] Gate order, names and projection as in ``torch.nn.LSTM``.

    Examples
    --------
    >>> from refrnn import LSTM
    >>> cell = LSTM(input_size=3, hidden_size=5, peepholes=True)
    >>> cell.parameter_shapes()["W_ih"], cell.state_names
    ((20, 3), ('h', 'c'))
    """

    state_type = LSTMState
    _DEFAULTS: ClassVar = {
        "biases": 2,
        "peepholes": False,
        "proj_size": 0,
        "coupled": False,
        "cell_clip": None,
        "gate_clip": None,
        "gate_activation": activation("sigmoid"),
        "cell_activation": activation("tanh"),
        "output_activation": activation("tanh"),
    }

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        *,
        biases: int = 2,
        peepholes: bool = False,
        proj_size: int = 0,
        coupled: bool = False,
        cell_clip: float | None = None,
        gate_clip: float | None = None,
        gate_activation: str | Activation = "sigmoid",
        cell_activation: str | Activation = "tanh",
        output_activation: str | Activation = "tanh",
    ) -> None:
        super().__init__(input_size, hidden_size, biases=biases, gate_clip=gate_clip)
        self.peepholes = check_bool(peepholes, "peepholes")
        self.proj_size = check_integer(proj_size, "proj_size", minimum=0)
        if self.proj_size >= self.hidden_size:
            raise ValueError(
                f"proj_size has value {proj_size}, expected less than hidden_size = {hidden_size}"
            )
        self.coupled = check_bool(coupled, "coupled")
        self.cell_clip = None if cell_clip is None else check_positive_float(cell_clip, "cell_clip")
        self._check_combination()
        self.gate_activation = activation(gate_activation)
        self.cell_activation = activation(cell_activation)
        self.output_activation = activation(output_activation)
        # gate numbers: i, f, g, o, or i, g, o
        self.num_gates = 3 if self.coupled else 4
        self._g = self.num_gates - 2
        self._o = self.num_gates - 1

    def _check_combination(self) -> None:
        """Refuse options together that no framework gives a meaning together."""
        rule = "None: no framework defines the two together"
        if self.gate_clip is not None and self.proj_size:
            raise ValueError(
                f"gate_clip has value {self.gate_clip} beside proj_size, expected {rule}"
            )
        for other in ("gate_clip", "coupled"):
            if self.cell_clip is not None and getattr(self, other) not in (None, False):
                raise ValueError(
                    f"cell_clip has value {self.cell_clip} beside {other}, expected {rule}"
                )

    def options(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in self._DEFAULTS}

    @property
    def output_size(self) -> int:
        return self.proj_size or self.hidden_size

    @property
    def state_sizes(self) -> tuple[int, ...]:
        return (self.output_size, self.hidden_size)

    def parameter_shapes(self) -> dict[str, tuple[int, ...]]:
        shapes = super().parameter_shapes()
        if self.peepholes:
            names = ("p_i", "p_o") if self.coupled else ("p_i", "p_f", "p_o")
            shapes.update(dict.fromkeys(names, (self.hidden_size,)))
        if self.proj_size:
            shapes["W_hr"] = (self.proj_size, self.hidden_size)
        return shapes

    def new_tape(self, rows: int, dtype: np.dtype[Any]) -> LSTMTape:
        gates, H = (rows, self.num_gates * self.hidden_size), self.hidden_size
        return LSTMTape(
            a=np.empty(gates, dtype),
            gates=np.empty(gates, dtype),
            c=np.empty((rows, H), dtype),
            out_c=np.empty((rows, H), dtype),
            h=np.empty((rows, self.output_size), dtype),
            clipped=np.empty((rows, 0 if self.cell_clip is None else H), np.bool_),
        )

    def new_cotangents(self, rows: int, dtype: np.dtype[Any]) -> LSTMCotangents:
        width = self.num_gates * self.hidden_size
        return LSTMCotangents(
            np.empty((rows, width), dtype), np.empty((rows, self.proj_size), dtype)
        )

    def states(self, tape: LSTMTape) -> LSTMState:
        return LSTMState(tape.h, tape.c)

    def step(self, weights: Weights, tape: LSTMTape, prev: LSTMState) -> LSTMState:
        p, product = weights.parameters, weights.arithmetic.product
        a, gates, c = tape.a, tape.gates, tape.c
        a += product(prev.h, weights.transposed["W_hh"])  # L1
        if self.peepholes:
            self._block(a, 0)[...] += p["p_i"] * prev.c
            if not self.coupled:
                self._block(a, 1)[...] += p["p_f"] * prev.c
        # i, f and o in one call on contiguous rows, g overwritten after: fast. A peephole makes o
        # wait for c.
        ready = self._g if self.peepholes else self.num_gates
        self._activate(
            weights, self.gate_activation, self._block(a, 0, ready), self._block(gates, 0, ready)
        )  # L2, L5
        g = self._block(gates, self._g)
        self._activate(weights, self.cell_activation, self._block(a, self._g), g)  # L3
        np.multiply(self._forget(tape), prev.c, out=c)  # L4
        c += self._block(gates, 0) * g
        if self.cell_clip is not None:
            np.greater(np.abs(c.real), self.cell_clip, out=tape.clipped)
            c[...] = clip(c, self.cell_clip)
        o = self._block(gates, self._o)
        if self.peepholes:
            a_o = self._block(a, self._o)
            a_o += p["p_o"] * c
            self._activate(weights, self.gate_activation, a_o, o)  # L5
        weights.arithmetic.rounded(c)
        self.output_activation.value(c, out=tape.out_c)
        weights.arithmetic.rounded(tape.out_c)
        if self.proj_size:
            product(o * tape.out_c, weights.transposed["W_hr"], out=tape.h)  # L6
        else:
            np.multiply(o, tape.out_c, out=tape.h)  # L6
        return LSTMState(tape.h, c)

    def step_backward(
        self,
        weights: Weights,
        tape: LSTMTape,
        prev: LSTMState,
        d_state: LSTMState,
        d_tape: LSTMCotangents,
    ) -> LSTMState:
        p, product = weights.parameters, weights.arithmetic.product
        a, gates, d_a = tape.a, tape.gates, d_tape.a
        d_m = d_state.h  # cotangent of o * h(c)
        if self.proj_size:
            d_tape.h[...] = d_state.h
            d_m = product(d_state.h, p["W_hr"])  # L6'
        o, a_o, d_a_o = (self._block(array, self._o) for array in (gates, a, d_a))
        self._pull_back(self.gate_activation, a_o, o, d_m * tape.out_c, d_a_o)  # L6', L5'
        d_c = self.output_activation.derivative(tape.c, tape.out_c)
        d_c *= o
        d_c *= d_m
        d_c += d_state.c
        if self.peepholes:
            d_c += d_a_o * p["p_o"]
        if self.cell_clip is not None:
            d_c[tape.clipped] = 0
        d_c_prev = d_c * self._forget(tape)  # L4'
        self._input_forget_backward(tape, prev.c, d_c, d_a)
        g, a_g, d_a_g = (self._block(array, self._g) for array in (gates, a, d_a))
        self._pull_back(self.cell_activation, a_g, g, d_c * self._block(gates, 0), d_a_g)  # L3'
        if self.peepholes:
            d_c_prev += self._block(d_a, 0) * p["p_i"]
            if not self.coupled:
                d_c_prev += self._block(d_a, 1) * p["p_f"]
        return LSTMState(product(d_a, p["W_hh"]), d_c_prev)  # L1'

    def _forget(self, tape: LSTMTape) -> Array:
        """The forget gate: block 1, or the complement of the input gate where they are coupled."""
        if not self.coupled:
            return self._block(tape.gates, 1)
        return self.gate_activation.complement(self._clipped(self._block(tape.a, 0)))

    def _input_forget_backward(self, tape: LSTMTape, c_prev: Array, d_c: Array, d_a: Array) -> None:
        """L4' and L2' of the gates i and f: the cotangents of their pre-activations into `d_a`."""
        a, gates = tape.a, tape.gates
        g = self._block(gates, self._g)
        if self.coupled:
            d_i = d_c * (g - c_prev)  # c = (1 - i) c_prev + i g
            blocks = 1
        else:
            d_i = np.empty((len(d_c), 2 * self.hidden_size), d_c.dtype)
            np.multiply(d_c, g, out=self._block(d_i, 0))
            np.multiply(d_c, c_prev, out=self._block(d_i, 1))
            blocks = 2
        y, a_i, d_a_i = (self._block(array, 0, blocks) for array in (gates, a, d_a))
        self._pull_back(self.gate_activation, a_i, y, d_i, d_a_i)

    def parameter_gradients(
        self,
        weights: Weights,
        tape: LSTMTape,
        prev: LSTMState,
        d_tape: LSTMCotangents,
        x: Array,
    ) -> dict[str, Array]:
        gradients = self._sums(weights, d_tape.a, prev.h, x)
        arithmetic = weights.arithmetic
        if self.peepholes:
            gradients["p_i"] = arithmetic.sum_rows(self._block(d_tape.a, 0) * prev.c)
            if not self.coupled:
                gradients["p_f"] = arithmetic.sum_rows(self._block(d_tape.a, 1) * prev.c)
            gradients["p_o"] = arithmetic.sum_rows(self._block(d_tape.a, self._o) * tape.c)
        if self.proj_size:
            m = self._block(tape.gates, self._o) * tape.out_c
            gradients["W_hr"] = arithmetic.product(d_tape.h.T, m)
        return gradients
