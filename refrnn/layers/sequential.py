"""Sequential: layers one after the other, run and walked back as one."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

import numpy as np

from ..parameters import CellParameters
from ..types import Array
from .base import Layer, LayerRun, check_tape

__all__ = ["Sequential", "SequentialGradients", "SequentialTape"]


class SequentialTape(NamedTuple):
    """What :meth:`Sequential.backward` needs.

    Attributes
    ----------
    model : Sequential
    runs : tuple
        What each layer's ``forward`` gave: ``runs[1].state_n``, ``runs[0].tape.mask``.
    """

    model: Sequential
    runs: tuple[Any, ...]

    @property
    def dtype(self) -> np.dtype[Any]:
        """The dtype of the run."""
        dtype: np.dtype[Any] = self.runs[0].tape.dtype
        return dtype


class SequentialGradients(NamedTuple):
    """Result of :meth:`Sequential.backward`; new arrays.

    Attributes
    ----------
    parameters : CellParameters
        Of every layer, under the names of :meth:`Sequential.parameter_shapes`.
    input : RaggedBatch or ndarray
        Of the kind and shape of the input.
    layers : tuple
        What each layer's ``backward`` gave: ``layers[1].state_0``.
    """

    parameters: CellParameters
    input: Any
    layers: tuple[Any, ...]


class Sequential(Layer):
    """A chain: the output of each layer is the input of the next.

    Parameters
    ----------
    layers : iterable of Layer
        At least one. Another Sequential is a layer, too.

    Raises
    ------
    TypeError
        If an element is no layer.
    ValueError
        If there is none, or a layer takes another number of features than the one before gives.

    Notes
    -----
    The parameters of all layers are one flat record: those of layer i are named ``"i.name"``
    (``"1.W_ih_l0"``), and :meth:`split` gives the record of each layer.

    Examples
    --------
    >>> import numpy as np, refrnn as rr
    >>> from refrnn.layers import Dense, Masking, Recurrent, Sequential
    >>> model = Sequential(
    ...     [Masking(), Recurrent(rr.LSTM(12, 64), return_sequences=False), Dense(64, 9)]
    ... )
    >>> params = model.init_parameters(np.random.default_rng(0))
    >>> logits, tape = model.forward(params, np.ones((5, 29, 12)))
    >>> logits.shape, model.backward(tape, np.ones((5, 9))).parameters["2.W"].shape
    ((5, 9), (9, 64))
    """

    layers: tuple[Layer, ...]

    def __init__(self, layers: Iterable[Layer]) -> None:
        self.layers = tuple(layers)
        if not self.layers:
            raise ValueError("layers has length 0, expected at least one layer")
        for i, layer in enumerate(self.layers):
            if not isinstance(layer, Layer):
                raise TypeError(f"layers[{i}] has type {type(layer).__name__}, expected a Layer")
        features = None
        for i, layer in enumerate(self.layers):
            if None not in (features, layer.input_size) and layer.input_size != features:
                raise ValueError(
                    f"layers[{i}] has input_size {layer.input_size}, expected the output_size of "
                    f"the layer before = {features}"
                )
            features = layer.output_size if layer.output_size is not None else features
        self.output_size = features
        sizes = (layer.input_size for layer in self.layers)
        self.input_size = next((size for size in sizes if size is not None), None)

    # --- parameters --------------------------------------------------------------------------

    def parameter_shapes(self) -> dict[str, tuple[int, ...]]:
        """Name ("index.name") and shape of every parameter, in order."""
        return {
            f"{i}.{name}": shape
            for i, layer in enumerate(self.layers)
            for name, shape in layer.parameter_shapes().items()
        }

    def init_parameters(self, rng: np.random.Generator, dtype: Any = "float64") -> CellParameters:
        """Draw the parameters of every layer, first to last.

        Parameters
        ----------
        rng : numpy.random.Generator
        dtype : dtype
            float32, float64 or longdouble; drawn in float64 and rounded.

        Returns
        -------
        CellParameters
        """
        return self.join([layer.init_parameters(rng, dtype) for layer in self.layers])

    def split(self, params: Mapping[str, Any]) -> tuple[CellParameters, ...]:
        """The record of each layer, under the layer's own names; the inverse of :meth:`join`."""
        record = self.check_parameters(params)
        return tuple(
            CellParameters({name: record[f"{i}.{name}"] for name in layer.parameter_shapes()})
            for i, layer in enumerate(self.layers)
        )

    def join(self, records: Iterable[Mapping[str, Any]]) -> CellParameters:
        """One record of the records of each layer, or of gradients in their place.

        Parameters
        ----------
        records : iterable of CellParameters or mapping of str to ndarray
            One a layer.

        Raises
        ------
        TypeError, ValueError
            If a record is missing, or does not fit its layer.
        """
        given = tuple(records)
        if len(given) != len(self.layers):
            raise ValueError(
                f"records has length {len(given)}, expected one for each of {len(self.layers)} "
                "layers"
            )
        arrays: dict[str, Array] = {}
        for i, (layer, record) in enumerate(zip(self.layers, given, strict=True)):
            checked = layer.check_parameters(record)
            arrays.update({f"{i}.{name}": array for name, array in checked.items()})
        return CellParameters(arrays)

    def load_parameters(self, path: str | os.PathLike[str]) -> CellParameters:
        """Read what ``params.save(path)`` wrote, and check that it fits this model.

        Raises
        ------
        ValueError
            If the file is no refrnn parameter file, is of a version this one cannot read, or has
            other names or shapes.
        """
        return self.check_parameters(CellParameters.load(path))

    # --- running -----------------------------------------------------------------------------

    def forward(
        self,
        params: Mapping[str, Any],
        x: Any,
        arguments: Mapping[int, Mapping[str, Any]] | None = None,
    ) -> LayerRun:
        """Run every layer on the output of the one before.

        Parameters
        ----------
        params : CellParameters or mapping of str to ndarray
        x : RaggedBatch or array_like
            What the first layer takes.
        arguments : mapping of int to mapping of str to object, optional
            What a layer takes beside its input, by index: ``{1: {"unroll": "packed"}}``.

        Returns
        -------
        LayerRun
            ``output`` of the last layer; ``tape.runs`` has what each layer gave.

        Raises
        ------
        TypeError, ValueError
            As the layer that finds fault raises it, or if `arguments` names no layer.
        """
        own = self.split(params)
        extra = _check_arguments(arguments, len(self.layers))
        runs: list[Any] = []
        for i, (layer, record) in enumerate(zip(self.layers, own, strict=True)):
            runs.append(layer.forward(record, x, **extra.get(i, {})))
            x = runs[-1].output
        return LayerRun(x, SequentialTape(self, tuple(runs)))

    def backward(
        self,
        tape: SequentialTape,
        d_output: Any = None,
        arguments: Mapping[int, Mapping[str, Any]] | None = None,
    ) -> SequentialGradients:
        """Pull a cotangent of the output back through every layer.

        Parameters
        ----------
        tape : SequentialTape
        d_output : RaggedBatch or ndarray of the output's shape, optional
            Zero if None.
        arguments : mapping of int to mapping of str to object, optional
            Further cotangents, by layer: ``{1: {"d_state_n": (d_h_n, d_c_n)}}``.

        Returns
        -------
        SequentialGradients

        Raises
        ------
        TypeError, ValueError
            As the layer that finds fault raises it, or if `arguments` names no layer.
        """
        check_tape(tape, SequentialTape)
        model = tape.model
        extra = _check_arguments(arguments, len(model.layers))
        gradients: list[Any] = []
        for i in reversed(range(len(model.layers))):
            own = extra.get(i, {})
            gradients.append(model.layers[i].backward(tape.runs[i].tape, d_output, **own))
            d_output = gradients[-1].input
        gradients.reverse()
        joined = model.join([gradient.parameters for gradient in gradients])
        return SequentialGradients(joined, d_output, tuple(gradients))

    def __repr__(self) -> str:
        return f"Sequential([{', '.join(map(repr, self.layers))}])"


def _check_arguments(
    arguments: Mapping[int, Mapping[str, Any]] | None, count: int
) -> Mapping[int, Mapping[str, Any]]:
    """Arguments by layer, each index a layer's."""
    if arguments is None:
        return {}
    for index in arguments:
        if index not in range(count):
            raise ValueError(
                f"arguments has index {index!r}, expected that of a layer, 0 <= index < {count}"
            )
    return arguments
