"""What every layer is: sizes and options, a forward run that leaves a tape, its adjoint."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple, Protocol

import numpy as np

from ..ragged import RaggedBatch
from ..types import Array, IntArray
from ..validation import check_array, check_shape

__all__ = ["Layer", "LayerGradients"]


class LayerGradients(NamedTuple):
    """What ``backward`` of a layer without state gives.

    Attributes
    ----------
    parameters : CellParameters
        Under the parameters' names.
    input : RaggedBatch or ndarray
        Of the kind and shape of the input.
    """

    parameters: Any
    input: Any


class Layer(Protocol):
    """A layer holds options and no arrays; parameters and tapes are handed in and out.

    What a layer takes beyond its input (initial states, dropout masks) are keyword arguments of
    its ``forward``, and cotangents of further results keyword arguments of its ``backward``.
    """

    def parameter_shapes(self) -> dict[str, Any]:
        """Name and shape of every parameter, in order; nested where the parameters are."""
        ...

    def init_parameters(self, rng: np.random.Generator, dtype: Any = "float64") -> Any:
        """Draw parameters; the same generator gives the same weights in every dtype."""
        ...

    def check_parameters(self, parameters: Mapping[str, Any]) -> Any:
        """`parameters` as a record with exactly this layer's names, order and shapes."""
        ...

    def forward(self, parameters: Any, x: Any) -> tuple[Any, Any]:
        """Result and tape; neither aliases an argument, and no argument is changed."""
        ...

    def backward(self, tape: Any, d_y: Any = None) -> Any:
        """A record with at least ``parameters`` and ``input``; None as a cotangent is zero."""
        ...


def check_tape(tape: Any, kind: type[Any]) -> None:
    """Raise TypeError unless the tape was made by this kind of layer."""
    if not isinstance(tape, kind):
        raise TypeError(
            f"tape has type {type(tape).__name__}, expected the {kind.__name__} of forward"
        )


def check_input_dtype(x: Any, parameters: Any) -> None:
    """Raise TypeError unless input and parameters have one dtype."""
    if x.dtype != parameters.dtype:
        raise TypeError(f"x has dtype {x.dtype}, expected {parameters.dtype} as parameters")


def cotangent_rows(
    d_y: Any, shape: tuple[int, int], dtype: np.dtype[Any], lengths: IntArray | None
) -> Array:
    """A cotangent as an array of `shape`: zeros for None, the rows of a RaggedBatch.

    `lengths` is None where the result was an array and a RaggedBatch is out of place.
    """
    if d_y is None:
        return np.zeros(shape, dtype)
    if isinstance(d_y, RaggedBatch):
        if lengths is None:
            raise TypeError("d_y has type RaggedBatch, expected an array as the result was one")
        if not np.array_equal(d_y.lengths, lengths):
            raise ValueError(
                f"d_y has lengths {d_y.lengths.tolist()}, expected those of the run = "
                f"{lengths.tolist()}"
            )
        d_y = d_y.values
    array = check_array(d_y, "d_y", ndim=2, rule=f"the shape of the result = {shape}")
    check_shape(array, "d_y", shape, "the shape of the result")
    if array.dtype != dtype:
        raise TypeError(f"d_y has dtype {array.dtype}, expected {dtype} as the run")
    return array


def named_parameters(
    parameters: Any, shapes: dict[str, tuple[int, ...]], layer: object
) -> Mapping[str, Any]:
    """`parameters` if it is a mapping of exactly these names; shapes are not looked at."""
    if not isinstance(parameters, Mapping):
        raise TypeError(
            f"parameters has type {type(parameters).__name__}, expected a mapping of arrays"
        )
    if set(parameters) != set(shapes):
        raise ValueError(
            f"parameters has names {sorted(parameters)}, expected {sorted(shapes)} for {layer}"
        )
    return parameters
