"""Dense: y = f(x W^T + b), for every step of a ragged batch or for every row of an array."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

from ..activations import Activation, activation
from ..parameters import CellParameters
from ..ragged import RaggedBatch
from ..types import Array, IntArray
from ..validation import check_array, check_bool, check_dtype, check_integer, check_shape
from .base import (
    LayerGradients,
    check_input_dtype,
    check_tape,
    cotangent_rows,
    named_parameters,
)

__all__ = ["Dense", "DenseTape"]


class DenseTape(NamedTuple):
    """What :meth:`Dense.backward` needs; treat it as opaque."""

    layer: Dense
    parameters: CellParameters
    x: Array
    a: Array
    lengths: IntArray | None


class Dense:
    """A fully connected layer.

    Parameters
    ----------
    input_size : int
        F, features of an input row.
    units : int
        U, features of an output row.
    activation : str or Activation, optional
        f, from :mod:`refrnn.activations`; none by default.
    bias : bool
        Whether b is added.

    Notes
    -----
    Parameters: ``W`` (U, F) and ``b`` (U,), as in ``torch.nn.Linear``.

    Examples
    --------
    >>> import numpy as np, refrnn as rr
    >>> layer = rr.layers.Dense(3, 2, activation="tanh")
    >>> parameters = layer.init_parameters(np.random.default_rng(0))
    >>> y, tape = layer.forward(parameters, np.ones((4, 3)))
    >>> y.shape, layer.backward(tape, np.ones((4, 2))).input.shape
    ((4, 2), (4, 3))
    """

    __slots__ = ("activation", "bias", "input_size", "units")

    input_size: int
    units: int
    activation: Activation | None
    bias: bool

    def __init__(
        self,
        input_size: int,
        units: int,
        *,
        activation: str | Activation | None = None,
        bias: bool = True,
    ) -> None:
        self.input_size = check_integer(input_size, "input_size", minimum=1)
        self.units = check_integer(units, "units", minimum=1)
        self.activation = None if activation is None else _activation(activation)
        self.bias = check_bool(bias, "bias")

    def parameter_shapes(self) -> dict[str, tuple[int, ...]]:
        """Name and shape of every parameter, in order."""
        shapes: dict[str, tuple[int, ...]] = {"W": (self.units, self.input_size)}
        if self.bias:
            shapes["b"] = (self.units,)
        return shapes

    def init_parameters(self, rng: np.random.Generator, dtype: Any = "float64") -> CellParameters:
        """Draw parameters uniformly from +-1 / sqrt(input_size), PyTorch's way.

        Parameters
        ----------
        rng : numpy.random.Generator
        dtype : dtype
            float32, float64 or longdouble; drawn in float64 and rounded.

        Returns
        -------
        CellParameters
        """
        target = check_dtype(dtype, "dtype", complex_allowed=False)
        bound = self.input_size**-0.5
        shapes = self.parameter_shapes()
        drawn = {name: rng.uniform(-bound, bound, shape) for name, shape in shapes.items()}
        return CellParameters({name: array.astype(target) for name, array in drawn.items()})

    def check_parameters(self, parameters: Mapping[str, Any]) -> CellParameters:
        """`parameters` as a record with exactly this layer's names, order and shapes.

        Raises
        ------
        TypeError
            If it is no mapping of floating-point arrays of one dtype.
        ValueError
            If a name is missing, unknown, or has another shape.
        """
        shapes = self.parameter_shapes()
        named = named_parameters(parameters, shapes, self)
        record = CellParameters({name: named[name] for name in shapes})
        for name, shape in shapes.items():
            check_shape(record[name], f"parameters.{name}", shape, f"the shape {self} needs")
        return record

    def forward(self, parameters: Mapping[str, Any], x: Any) -> tuple[Any, DenseTape]:
        """Compute f(x W^T + b).

        Parameters
        ----------
        parameters : CellParameters or mapping of str to ndarray
        x : RaggedBatch with F features, or array_like of shape (B, F)
            In the dtype of the parameters; complex ones run forward only.

        Returns
        -------
        y : RaggedBatch with U features, or ndarray of shape (B, U)
            The kind of `x`.
        tape : DenseTape
            For :meth:`backward`.

        Raises
        ------
        TypeError, ValueError
            If a kind, dtype, name or shape is wrong. Nothing was computed.
        """
        record = self.check_parameters(parameters)
        ragged = isinstance(x, RaggedBatch)
        rows = check_array(
            x.values if ragged else x, "x", ndim=2, rule=f"(B, F) with F = {self.input_size}"
        )
        check_shape(rows, "x", (rows.shape[0], self.input_size), "(rows, input_size)")
        check_input_dtype(rows, record)
        with np.errstate(all="ignore"):  # NaN and Inf pass through
            a = rows @ record["W"].T
            if self.bias:
                a += record["b"]
            y = a.copy() if self.activation is None else self.activation.value(a)
        lengths = x.lengths if ragged else None
        tape = DenseTape(self, record, rows.copy(order="C"), a, lengths)
        return (x.with_values(y) if ragged else y), tape

    def backward(self, tape: DenseTape, d_y: Any = None) -> LayerGradients:
        """Pull a cotangent of y back.

        Parameters
        ----------
        tape : DenseTape
            Of this layer's forward run.
        d_y : RaggedBatch or ndarray (N, U), or ndarray (B, U), optional
            Cotangent of y; zero if None.

        Returns
        -------
        LayerGradients
            ``parameters``, and ``input`` of the kind of x.

        Raises
        ------
        TypeError, ValueError
            If the cotangent's kind, shape or dtype disagrees, or the run was complex.
        """
        check_tape(tape, DenseTape)
        if tape.a.dtype.kind == "c":
            raise TypeError(
                f"tape has dtype {tape.a.dtype}, expected a real one: complex is forward only"
            )
        layer = tape.layer
        d_a = cotangent_rows(d_y, (tape.a.shape[0], layer.units), tape.a.dtype, tape.lengths)
        with np.errstate(all="ignore"):
            if layer.activation is not None:
                d_a = d_a * layer.activation.derivative(tape.a, layer.activation.value(tape.a))
            gradients = {"W": d_a.T @ tape.x}
            if layer.bias:
                gradients["b"] = d_a.sum(axis=0)
            d_x = d_a @ tape.parameters["W"]
        d_input = d_x if tape.lengths is None else RaggedBatch(d_x, tape.lengths)
        return LayerGradients(CellParameters(gradients), d_input)

    def __repr__(self) -> str:
        shown = "" if self.activation is None else f", activation={self.activation.name!r}"
        shown += "" if self.bias else ", bias=False"
        return f"Dense({self.input_size}, {self.units}{shown})"


def _activation(name: str | Activation) -> Activation:
    """The activation; under a name that the constructor's argument does not hide."""
    return activation(name)
