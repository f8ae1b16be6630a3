"""What every cell is: one step, its adjoint, and the sums that make parameter gradients.

A cell knows nothing of ragged time. It steps ``n`` rows at once, whichever rows an unroll gives
it, and writes what the adjoint needs into a *tape*: a NamedTuple of arrays with one row a step.
An unroll allocates one tape of N rows and hands the cell row ranges of it.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any, ClassVar, Generic, NamedTuple, TypeVar

import numpy as np

from ..activations import Activation
from ..arithmetic import Arithmetic
from ..parameters import CellParameters
from ..types import Array
from ..validation import check_dtype, check_integer, check_positive_float, check_shape

__all__ = ["Cell", "Weights", "tape_rows"]

#: A NamedTuple of the arrays that one step of a cell saves; its first field is ``a``.
TapeT = TypeVar("TapeT", bound=tuple[Any, ...])

#: A NamedTuple of state arrays, each (B, size).
StateT = TypeVar("StateT", bound=tuple[Any, ...])

Record = TypeVar("Record", bound=tuple[Any, ...])


class Weights(NamedTuple):
    """Parameters made ready for one forward or backward run; made by ``cell.weights``.

    Attributes
    ----------
    parameters : CellParameters
    arithmetic : Arithmetic
        How matrix products are evaluated.
    transposed : dict of str to ndarray
        The transpose of every matrix, C-contiguous.
    bias : ndarray of shape (G*H,) or None
        The biases that simply add up before the activation.
    """

    parameters: CellParameters
    arithmetic: Arithmetic
    transposed: dict[str, Array]
    bias: Array | None


def tape_rows(tape: Record, start: int, stop: int) -> Record:
    """Rows start..stop-1 of every array of a NamedTuple, as views."""
    return type(tape)._make([array[start:stop] for array in tape])  # type: ignore[attr-defined,no-any-return]


class Cell(ABC, Generic[StateT, TapeT]):
    """A recurrent cell: its equations and sizes, no weights.

    Parameters
    ----------
    input_size : int
        I, features of an input row.
    hidden_size : int
        H, units.
    biases : {2, 1, 0}
        Two biases as PyTorch has them (``b_ih`` and ``b_hh``), one (``b_ih``) or none.
    gate_clip : float, optional
        Clip every pre-activation to +-gate_clip (ONNX attribute ``clip``).

    Attributes
    ----------
    num_gates : int
        G, blocks of H rows in ``W_ih`` and ``W_hh``.
    output_size : int
        R, features of an output row: H, or the projection's size.
    state_names : tuple of str
        ``("h",)`` or ``("h", "c")``.
    """

    num_gates: int
    state_type: ClassVar[type[Any]]

    input_size: int
    hidden_size: int
    biases: int
    gate_clip: float | None

    def __init__(
        self, input_size: int, hidden_size: int, *, biases: int, gate_clip: float | None
    ) -> None:
        self.input_size = check_integer(input_size, "input_size", minimum=1)
        self.hidden_size = check_integer(hidden_size, "hidden_size", minimum=1)
        self.biases = check_integer(biases, "biases", minimum=0)
        if self.biases > 2:
            raise ValueError(f"biases has value {biases}, expected 0, 1 or 2")
        self.gate_clip = None if gate_clip is None else check_positive_float(gate_clip, "gate_clip")

    # --- sizes -------------------------------------------------------------------------------

    @property
    def output_size(self) -> int:
        """R, features of an output row."""
        return self.hidden_size

    @property
    def state_names(self) -> tuple[str, ...]:
        """Names of the state's arrays."""
        names: tuple[str, ...] = self.state_type._fields
        return names

    @property
    def state_sizes(self) -> tuple[int, ...]:
        """Features of each array of the state."""
        return (self.output_size,)

    def parameter_shapes(self) -> dict[str, tuple[int, ...]]:
        """Name and shape of every parameter, in order."""
        rows = self.num_gates * self.hidden_size
        shapes: dict[str, tuple[int, ...]] = {
            "W_ih": (rows, self.input_size),
            "W_hh": (rows, self.output_size),
        }
        for name in ("b_ih", "b_hh")[: self.biases]:
            shapes[name] = (rows,)
        return shapes

    def zero_state(self, batch_size: int, dtype: Any = np.float64) -> StateT:
        """A state of zeros, each array (batch_size, size)."""
        rows = check_integer(batch_size, "batch_size", minimum=0)
        target = check_dtype(dtype, "dtype")
        shapes = [(rows, size) for size in self.state_sizes]
        state: StateT = self.state_type(*(np.zeros(shape, target) for shape in shapes))
        return state

    # --- parameters --------------------------------------------------------------------------

    def init_parameters(
        self, rng: np.random.Generator, dtype: Any = "float64", scale: float | None = None
    ) -> CellParameters:
        """Draw parameters uniformly from +-scale, PyTorch's way.

        Parameters
        ----------
        rng : numpy.random.Generator
        dtype : dtype
            float32, float64 or longdouble. Numbers are drawn in float64 and rounded, so the same
            generator gives the same weights in every dtype.
        scale : float, optional
            1 / sqrt(hidden_size) by default, as in ``torch.nn.LSTM``.

        Returns
        -------
        CellParameters
        """
        target = check_dtype(dtype, "dtype", complex_allowed=False)
        if not isinstance(rng, np.random.Generator):
            raise TypeError(
                f"rng has type {type(rng).__name__}, expected a numpy.random.Generator "
                "(numpy.random.default_rng(seed) makes one)"
            )
        bound = self.hidden_size**-0.5 if scale is None else check_positive_float(scale, "scale")
        shapes = self.parameter_shapes()
        drawn = {name: rng.uniform(-bound, bound, shape) for name, shape in shapes.items()}
        return CellParameters({name: array.astype(target) for name, array in drawn.items()})

    def check_parameters(self, parameters: Mapping[str, Any]) -> CellParameters:
        """`parameters` as a record with exactly this cell's names, order and shapes.

        Raises
        ------
        TypeError
            If dtypes are mixed or not allowed, or `parameters` is no mapping.
        ValueError
            If a name is missing, unknown, or has another shape.
        """
        if not isinstance(parameters, Mapping):
            raise TypeError(
                f"params has type {type(parameters).__name__}, expected a mapping of arrays"
            )
        shapes = self.parameter_shapes()
        if set(parameters) != set(shapes):
            names = sorted(map(str, parameters))
            raise ValueError(f"params has names {names}, expected {sorted(shapes)} for {self}")
        if not isinstance(parameters, CellParameters) or list(parameters) != list(shapes):
            parameters = CellParameters({name: parameters[name] for name in shapes})
        for name, shape in shapes.items():
            if parameters[name].shape != shape:
                check_shape(parameters[name], f"params.{name}", shape, f"the shape {self} needs")
        return parameters

    def weights(self, parameters: CellParameters, arithmetic: Arithmetic) -> Weights:
        """Make checked parameters ready for a run."""
        transposed = {
            name: np.ascontiguousarray(array.T)
            for name, array in parameters.items()
            if array.ndim == 2
        }
        return Weights(parameters, arithmetic, transposed, self._bias(parameters))

    def _bias(self, parameters: CellParameters) -> Array | None:
        """The sum of the biases, exact for every gate that simply adds them."""
        if self.biases == 0:
            return None
        return parameters["b_ih"] + parameters["b_hh"] if self.biases == 2 else parameters["b_ih"]

    # --- one step ----------------------------------------------------------------------------

    @abstractmethod
    def new_tape(self, rows: int, dtype: np.dtype[Any]) -> TapeT:
        """A tape of `rows` rows, uninitialised."""

    def project_input(self, weights: Weights, x: Array, tape: TapeT) -> None:
        """Write ``W_ih x + bias`` of all rows into ``tape.a``: the part that needs no state."""
        weights.arithmetic.product_plus(x, weights.transposed["W_ih"], weights.bias, tape[0])

    @abstractmethod
    def step(self, weights: Weights, tape: TapeT, prev: StateT) -> StateT:
        """Step n rows: complete and activate ``tape.a``, fill the tape, return the new state.

        Parameters
        ----------
        weights : Weights
        tape : NamedTuple of ndarrays with n rows
            ``tape.a`` holds :meth:`project_input`; everything in it is **written**.
        prev : NamedTuple of ndarrays (n, size)
            The state before the step; not modified.

        Returns
        -------
        NamedTuple of ndarrays (n, size)
            The state after the step: views of the tape.
        """

    @abstractmethod
    def states(self, tape: TapeT) -> StateT:
        """The state after each row's step, as views of the tape."""

    # --- its adjoint -------------------------------------------------------------------------

    @abstractmethod
    def new_cotangents(self, rows: int, dtype: np.dtype[Any]) -> Any:
        """Room for what :meth:`step_backward` leaves for :meth:`parameter_gradients`."""

    @abstractmethod
    def step_backward(
        self, weights: Weights, tape: TapeT, prev: StateT, d_state: StateT, d_tape: Any
    ) -> StateT:
        """Pull a cotangent back through :meth:`step`.

        Parameters
        ----------
        weights : Weights
        tape : NamedTuple of ndarrays with n rows
            What :meth:`step` saved.
        prev : NamedTuple of ndarrays (n, size)
            The state before the step.
        d_state : NamedTuple of ndarrays (n, size)
            Cotangent of the state after the step; not modified.
        d_tape : NamedTuple of ndarrays with n rows
            Cotangents of the pre-activations: **written**.

        Returns
        -------
        NamedTuple of ndarrays (n, size)
            Cotangent of the state before the step: new arrays.
        """

    def input_gradient(self, weights: Weights, d_tape: Any) -> Array:
        """``d_x = d_a W_ih``, shape (n, I)."""
        return weights.arithmetic.product(d_tape.a, weights.parameters["W_ih"])

    @abstractmethod
    def parameter_gradients(
        self, weights: Weights, tape: TapeT, prev: StateT, d_tape: Any, x: Array
    ) -> dict[str, Array]:
        """Parameter gradients: each a sum over all rows of the tape.

        Parameters
        ----------
        weights : Weights
        tape, d_tape : NamedTuples of ndarrays with n rows
            What the steps saved and their adjoints left.
        prev : NamedTuple of ndarrays (n, size)
            The state before each row's step.
        x : ndarray of shape (n, I)
            The input rows, in the tape's order.

        Returns
        -------
        dict of str to ndarray
            The names and shapes of :meth:`parameter_shapes`; new arrays.
        """

    # --- pieces the cells share --------------------------------------------------------------

    def _block(self, array: Array, gate: int, count: int = 1) -> Array:
        """Columns of `count` gates from number `gate` on: a view of shape (n, count*H)."""
        return array[:, gate * self.hidden_size : (gate + count) * self.hidden_size]

    def _clipped(self, a: Array) -> Array:
        """The pre-activation after the gate clip; `a` itself where there is none."""
        return a if self.gate_clip is None else clip(a, self.gate_clip)

    def _activate(self, weights: Weights, f: Activation, a: Array, out: Array) -> None:
        """Write y = f(clip(a)) to `out`."""
        f.value(self._clipped(a), out=out)
        weights.arithmetic.rounded(out)

    def _pull_back(self, f: Activation, a: Array, y: Array, d_y: Array, d_a: Array) -> None:
        """Adjoint of :meth:`_activate`: d_a = d_y f'(clip(a)), 0 outside the clip's bounds."""
        np.multiply(d_y, f.derivative(self._clipped(a), y), out=d_a)
        if self.gate_clip is not None:
            d_a[np.abs(a) > self.gate_clip] = 0

    def _sums(self, weights: Weights, d_a: Array, prev_h: Array, x: Array) -> dict[str, Array]:
        """The gradients of W_ih, W_hh, b_ih and b_hh where every block of d_a is shared."""
        arithmetic = weights.arithmetic
        gradients = {
            "W_ih": arithmetic.product(d_a.T, x),
            "W_hh": arithmetic.product(d_a.T, prev_h),
        }
        if self.biases:
            gradients["b_ih"] = arithmetic.sum_rows(d_a)
        if self.biases == 2:
            gradients["b_hh"] = gradients["b_ih"].copy()
        return gradients

    # --- a record ----------------------------------------------------------------------------

    @abstractmethod
    def options(self) -> dict[str, Any]:
        """Every constructor argument but the two sizes, with its value."""

    def __eq__(self, other: object) -> bool:
        if type(self) is not type(other):
            return NotImplemented
        assert isinstance(other, Cell)
        return self._key() == other._key()

    def __hash__(self) -> int:
        return hash(self._key())

    def __setattr__(self, name: str, value: Any) -> None:
        if name in self.__dict__:
            raise AttributeError(f"{name} of {self} cannot be changed: make another cell")
        super().__setattr__(name, value)

    def _key(self) -> tuple[Any, ...]:
        """What two equal cells have in common."""
        return (self.input_size, self.hidden_size, *self.options().items())

    def __repr__(self) -> str:
        shown = "".join(
            f", {name}={_shown(value)}"
            for name, value in self.options().items()
            if value != self._DEFAULTS[name]
        )
        return f"{type(self).__name__}({self.input_size}, {self.hidden_size}{shown})"

    _DEFAULTS: ClassVar[dict[str, Any]]


def clip(a: Array, bound: float) -> Array:
    """`a` held within +-bound; outside, a complex number becomes the real bound."""
    if a.dtype.kind != "c":
        return np.clip(a, -bound, bound)
    return np.where(np.abs(a.real) <= bound, a, np.sign(a.real) * bound).astype(a.dtype, copy=False)


def _shown(option: Any) -> str:
    """An option as its constructor takes it; an activation by its name where that says it all."""
    if isinstance(option, Activation) and option == Activation(option.name):
        return repr(option.name)
    return repr(option)
