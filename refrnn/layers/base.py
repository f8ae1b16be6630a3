"""What every layer is: sizes and options, a forward run that leaves a tape, and its adjoint."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

from ..parameters import CellParameters
from ..ragged import RaggedBatch
from ..types import Array, IntArray
from ..validation import check_array, check_shape

__all__ = ["Layer", "LayerGradients", "LayerRun"]


class LayerRun(NamedTuple):
    """Result of a layer's ``forward``: ``y, tape = layer.forward(params, x)``.

    Attributes
    ----------
    output : RaggedBatch or ndarray
    tape : NamedTuple
        For ``layer.backward``; treat it as opaque.
    """

    output: Any
    tape: Any


class LayerGradients(NamedTuple):
    """Result of a layer's ``backward``; new arrays.

    Attributes
    ----------
    parameters : CellParameters
        Of every parameter, summed over all rows, under the parameter's name.
    input : RaggedBatch or ndarray
        Of the kind and shape of the input.
    """

    parameters: CellParameters
    input: Any


class Layer(ABC):
    """A layer is sizes and options; parameters, states, masks and tapes are handed in and out.

    Attributes
    ----------
    input_size, output_size : int or None
        Features of a row that goes in and of one that comes out; None for any number.
    """

    input_size: int | None
    output_size: int | None

    @abstractmethod
    def parameter_shapes(self) -> dict[str, tuple[int, ...]]:
        """Name and shape of every parameter, in order."""

    @abstractmethod
    def init_parameters(self, rng: np.random.Generator, dtype: Any = "float64") -> CellParameters:
        """Draw parameters.

        Parameters
        ----------
        rng : numpy.random.Generator
        dtype : dtype
            float32, float64 or longdouble. Numbers are drawn in float64 and rounded, so the same
            generator gives the same parameters in every dtype.

        Returns
        -------
        CellParameters
        """

    @abstractmethod
    def forward(self, params: Any, x: Any, *args: Any, **kwargs: Any) -> Any:
        """Run the layer: ``output`` and ``tape``. No argument is changed or aliased."""

    @abstractmethod
    def backward(self, tape: Any, d_output: Any = None, *args: Any, **kwargs: Any) -> Any:
        """Pull a cotangent of the output back: ``parameters``, ``input``. None is zero."""

    def check_parameters(self, params: Mapping[str, Any]) -> CellParameters:
        """`params` as a record with exactly this layer's names, order and shapes.

        Raises
        ------
        TypeError
            If it is no mapping of floating-point arrays of one dtype.
        ValueError
            If a name is missing, unknown, or has another shape.
        """
        if not isinstance(params, Mapping):
            raise TypeError(
                f"params has type {type(params).__name__}, expected a mapping of arrays"
            )
        shapes = self.parameter_shapes()
        if set(params) != set(shapes):
            raise ValueError(
                f"params has names {sorted(params)}, expected {sorted(shapes)} for {self}"
            )
        if not isinstance(params, CellParameters) or list(params) != list(shapes):
            params = CellParameters({name: params[name] for name in shapes})
        for name, shape in shapes.items():
            check_shape(params[name], f"params.{name}", shape, f"the shape {self} needs")
        return params


def check_tape(tape: Any, kind: type[Any]) -> None:
    """Raise TypeError unless `tape` is a real one of this kind."""
    if not isinstance(tape, kind):
        raise TypeError(f"tape has type {type(tape).__name__}, expected {kind.__name__}")
    dtype: np.dtype[Any] = tape.dtype
    if dtype.kind == "c":
        raise TypeError(f"tape has dtype {dtype}, expected a real one: complex is forward only")


def check_rows(x: Any, params: CellParameters, features: int) -> Array:
    """The rows of a RaggedBatch or of an array (B, F), in the dtype of the parameters."""
    values = x.values if isinstance(x, RaggedBatch) else x
    rows = check_array(values, "x", ndim=2, rule=f"(B, F) with F = {features}, or a RaggedBatch")
    if rows.shape[1] != features:
        raise ValueError(f"x has {rows.shape[1]} features, expected input_size = {features}")
    if rows.dtype != params.dtype:
        raise TypeError(f"x has dtype {rows.dtype}, expected {params.dtype} as params")
    return rows


def check_cotangent(
    d_output: Any, shape: tuple[int, int], dtype: np.dtype[Any], lengths: IntArray | None
) -> Array:
    """A cotangent as an array of `shape`: zeros for None, the rows of a RaggedBatch.

    `lengths` is None where the output was an array, so that a RaggedBatch is out of place.
    """
    if d_output is None:
        return np.zeros(shape, dtype)
    if isinstance(d_output, RaggedBatch):
        if lengths is None:
            raise TypeError("d_output has type RaggedBatch, expected an array as the output is one")
        if not np.array_equal(d_output.lengths, lengths):
            raise ValueError(
                f"d_output has lengths {d_output.lengths.tolist()}, expected those of the run = "
                f"{lengths.tolist()}"
            )
        d_output = d_output.values
    array = check_array(d_output, "d_output", ndim=2, rule=f"the shape of the output = {shape}")
    check_shape(array, "d_output", shape, "the shape of the output")
    if array.dtype != dtype:
        raise TypeError(f"d_output has dtype {array.dtype}, expected {dtype} as the run")
    return array
