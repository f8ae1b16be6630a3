"""Dense: y = f(x W^T + b), for every step of a ragged batch or every row of an array."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

from ..activations import Activation
from ..activations import activation as look_up
from ..parameters import CellParameters
from ..ragged import RaggedBatch
from ..types import Array, IntArray
from ..validation import check_bool, check_dtype, check_integer
from .base import Layer, LayerGradients, LayerRun, check_cotangent, check_rows, check_tape

__all__ = ["Dense", "DenseTape"]


class DenseTape(NamedTuple):
    """What :meth:`Dense.backward` needs; treat it as opaque.

    Attributes
    ----------
    layer : Dense
    parameters : CellParameters
    x : ndarray of shape (N, F) or (B, F)
    a : ndarray of shape (N, U) or (B, U)
        The pre-activation.
    lengths : ndarray of int64, shape (B,), or None
        None where x is an array.
    """

    layer: Dense
    parameters: CellParameters
    x: Array
    a: Array
    lengths: IntArray | None

    @property
    def dtype(self) -> np.dtype[Any]:
        """The dtype of the run."""
        return self.a.dtype


class Dense(Layer):
    """A fully connected layer.

    Parameters
    ----------
    input_size : int
        F, features of an input row.
    output_size : int
        U, features of an output row.
    bias : bool
        Whether b is added.
    activation : str or Activation, optional
        f, from :mod:`refrnn.activations`; none by default.

    Raises
    ------
    TypeError, ValueError
        If a size is no integer >= 1 or the activation is unknown.

    Notes
    -----
    Parameters: ``W`` (U, F) and ``b`` (U,), as ``weight`` and ``bias`` of ``torch.nn.Linear``.

    Examples
    --------
    >>> import numpy as np
    >>> from refrnn.layers import Dense
    >>> layer = Dense(3, 2, activation="tanh")
    >>> params = layer.init_parameters(np.random.default_rng(0))
    >>> y, tape = layer.forward(params, np.ones((4, 3)))
    >>> y.shape, layer.backward(tape, np.ones((4, 2))).input.shape
    ((4, 2), (4, 3))
    """

    input_size: int
    output_size: int
    bias: bool
    activation: Activation | None

    def __init__(
        self,
        input_size: int,
        output_size: int,
        *,
        bias: bool = True,
        activation: str | Activation | None = None,
    ) -> None:
        self.input_size = check_integer(input_size, "input_size", minimum=1)
        self.output_size = check_integer(output_size, "output_size", minimum=1)
        self.bias = check_bool(bias, "bias")
        self.activation = None if activation is None else look_up(activation)

    def parameter_shapes(self) -> dict[str, tuple[int, ...]]:
        """Name and shape of every parameter, in order."""
        shapes: dict[str, tuple[int, ...]] = {"W": (self.output_size, self.input_size)}
        if self.bias:
            shapes["b"] = (self.output_size,)
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

    def forward(self, params: Mapping[str, Any], x: Any) -> LayerRun:
        """Compute f(x W^T + b).

        Parameters
        ----------
        params : CellParameters or mapping of str to ndarray
        x : RaggedBatch with F features, or array_like of shape (B, F)
            In the dtype of the parameters; complex runs forward only.

        Returns
        -------
        LayerRun
            ``output`` is what x is, RaggedBatch or array, with U features.

        Raises
        ------
        TypeError, ValueError
            If a kind, dtype, name or shape is wrong. Nothing was computed.
        """
        record = self.check_parameters(params)
        rows = check_rows(x, record, self.input_size)
        with np.errstate(all="ignore"):  # NaN and Inf pass through
            a: Array = rows @ record["W"].T
            if self.bias:
                a += record["b"]
            y = a.copy() if self.activation is None else self.activation.value(a)
        if isinstance(x, RaggedBatch):
            tape = DenseTape(self, record, rows.copy(order="C"), a, x.lengths)
            return LayerRun(x.with_values(y), tape)
        return LayerRun(y, DenseTape(self, record, rows.copy(order="C"), a, None))

    def backward(self, tape: DenseTape, d_output: Any = None) -> LayerGradients:
        """Pull a cotangent of the output back.

        Parameters
        ----------
        tape : DenseTape
            Of a forward run; may be used any number of times.
        d_output : RaggedBatch or ndarray of the output's shape, optional
            Zero if None.

        Returns
        -------
        LayerGradients
            ``parameters``, and ``input``, which is what x was, RaggedBatch or array.

        Raises
        ------
        TypeError, ValueError
            If the cotangent's kind, shape or dtype disagrees, or the run was complex.
        """
        check_tape(tape, DenseTape)
        layer = tape.layer
        d_a = check_cotangent(d_output, tape.a.shape, tape.a.dtype, tape.lengths)
        with np.errstate(all="ignore"):
            if layer.activation is not None:
                y = layer.activation.value(tape.a)
                d_a = d_a * layer.activation.derivative(tape.a, y)
            gradients = {"W": d_a.T @ tape.x}
            if layer.bias:
                gradients["b"] = d_a.sum(axis=0)
            d_x = d_a @ tape.parameters["W"]
        d_input = d_x if tape.lengths is None else RaggedBatch(d_x, tape.lengths)
        return LayerGradients(CellParameters(gradients), d_input)

    def __repr__(self) -> str:
        shown = "" if self.bias else ", bias=False"
        shown += "" if self.activation is None else f", activation={self.activation.name!r}"
        return f"Dense({self.input_size}, {self.output_size}{shown})"
