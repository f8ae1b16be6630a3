"""Keras 3: SimpleRNN, LSTM, GRU, RNN of their cells, stacked or not, and Bidirectional.

The layer is called as its users call it, with a padded batch and a mask, on the backend that Keras
was imported with (``KERAS_BACKEND``). It is called with ``training=False``, so that dropout does
nothing, and nothing of it is changed. A fresh layer has biases of zero, with which a mistake in a
bias shows in the gradients alone: give it random ones.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from ...activations import Activation
from ...errors import UnsupportedCase
from ...parameters import CellParameters
from ...types import Array, BoolArray
from ...validation import check_integer
from ..evaluation import Setting
from ..mistakes import Mistake
from ..network import Network, Results
from ..padded import expected_d_input, expected_output
from ..problem import Problem
from ..semantics import PROFILES, Semantics
from ..subject import Expected, Subject
from .keras_gradients import Call, differentiate
from .keras_layers import Chosen, structure_of
from .keras_mistakes import zeros_in_time_order

__all__ = ["adapt", "modules"]

#: Backends whose float64 is float32 in Keras: keras.backend.result_type maps one to the other.
_NARROW = ("jax", "torch")
_MEANS = {"sum": 1.0, "ave": 0.5}


def adapt(
    layer: Any,
    *,
    input_size: int | None = None,
    activation: str | Activation | None = None,
    recurrent_activation: str | Activation | None = None,
) -> Subject:
    """A subject of a recurrent layer of Keras.

    Parameters
    ----------
    layer : keras.layers.RNN, keras.layers.Bidirectional, or a cell
        An object of SimpleRNN, LSTM or GRU, RNN of the cells of these (a list of cells is stacked),
        a subclass, or Bidirectional of one. A cell is put into an RNN.
    input_size : int, optional
        Builds a layer that was not called before, for this many features.
    activation, recurrent_activation : str or refrnn Activation, optional
        What the layer's own functions are, where they are none of Keras's activations by name.

    Returns
    -------
    Subject
        Profile ``keras``: outputs in the padding repeat the last valid one, or are zero with
        ``zero_output_for_mask`` and in Bidirectional; on JAX and PyTorch float64 is float32.

    Raises
    ------
    TypeError
        If it is no recurrent layer, or has no such activation.
    ValueError
        If it is not built and `input_size` is None, or it is built for another size.
    UnsupportedCase
        If it is stateful, its dtype is neither float32 nor float64, or its cell, an activation or a
        combination of arguments has no equations in the reference.
    """
    import keras

    cells = (keras.layers.SimpleRNNCell, keras.layers.LSTMCell, keras.layers.GRUCell)
    if isinstance(layer, (*cells, keras.layers.StackedRNNCells)):
        layer = keras.layers.RNN(
            layer, return_sequences=True, return_state=True, dtype=layer.dtype_policy
        )
        if layer.cell.built and input_size is None:
            first = getattr(layer.cell, "cells", [layer.cell])[0]
            input_size = first.kernel.shape[0]
    if not isinstance(layer, (keras.layers.RNN, keras.layers.Bidirectional)):
        raise TypeError(
            f"subject has type {type(layer).__name__}, expected a keras.layers.RNN (SimpleRNN, "
            "LSTM, GRU), Bidirectional, or a cell"
        )
    if not layer.built:
        if input_size is None:
            raise ValueError("input_size is None, expected a number: the layer is not built")
        layer.build((None, None, check_integer(input_size, "input_size", minimum=1)))
    subject = _Layer(layer, Chosen(activation, recurrent_activation))
    if input_size not in (None, subject.network.input_size):
        raise ValueError(
            f"input_size has value {input_size}, expected {subject.network.input_size}: the layer "
            "is built"
        )
    return subject


class _Layer:
    """A recurrent layer."""

    def __init__(self, layer: Any, chosen: Chosen) -> None:
        import keras

        names = {layer.compute_dtype, layer.variable_dtype}
        if names not in ({"float32"}, {"float64"}):
            has = layer.dtype_policy.name
            raise UnsupportedCase(f"the layer has dtype {has}, expected float32 or float64")
        self._layer = layer
        self._backend = keras.backend.backend()
        self._structure = structure_of(layer, chosen)
        self.network: Network = self._structure.network
        self.dtype: np.dtype[Any] = np.dtype(layer.compute_dtype)
        self.semantics: Semantics = PROFILES["keras"]
        if self._structure.zero_output:
            self.semantics = self.semantics.lawful("padded_output")
        if self.dtype == np.float64 and self._backend in _NARROW:
            self.semantics = self.semantics._replace(float64="float32")

    @property
    def title(self) -> str:
        """Its class, its arguments that are not the default, and the backend."""
        import keras

        layer = self._layer
        inner = getattr(layer, "forward_layer", layer)
        own = [f"{name}={getattr(inner, name)}" for name in _SHOWN if getattr(inner, name, False)]
        if inner is not layer:
            own = [type(inner).__name__, f"merge_mode={layer.merge_mode!r}", *own]
        return (
            f"keras {keras.__version__} {type(layer).__name__}({', '.join(own)}) on {self._backend}"
        )

    def parameters(self) -> tuple[CellParameters, ...]:
        """The weights, by run."""
        return tuple(place.parameters().astype(self.dtype) for place in self._structure.places)

    def supports(self, problem: Problem) -> str | None:
        """Everything: a mask may have holes, and rows without a step."""
        return None

    # --- cotangents --------------------------------------------------------------------------

    def restrict(self, problem: Problem) -> Problem:
        """Without the cotangents of what the layer does not return.

        A layer that returns the last output alone puts out h of its last runs, so that the
        cotangent of that is one of the final state.
        """
        own = self._structure
        if own.return_sequences and own.return_state:
            return problem
        d_state_n = list(problem.d_state_n)
        if not own.return_state:
            d_state_n = [type(s)(*map(np.zeros_like, s)) for s in d_state_n]
        if own.return_sequences:
            return problem._replace(d_state_n=tuple(d_state_n))
        if not own.return_state:
            parts = self._to_last(problem, self._d_last(problem))
            d_state_n[-len(parts) :] = [
                state._replace(h=part)
                for state, part in zip(d_state_n[-len(parts) :], parts, strict=True)
            ]
        return problem._replace(
            d_output=np.zeros_like(problem.d_output), d_state_n=tuple(d_state_n)
        )

    def _there(self, problem: Problem) -> BoolArray:
        """Which sequences have a last output: not one of length 0, and none that is set to zero."""
        own = self._structure
        if own.zero_output and problem.num_steps:
            there: BoolArray = problem.mask[:, 0 if own.go_backwards else -1]
        else:
            there = problem.lengths > 0
        return there

    def _d_last(self, problem: Problem) -> Array:
        """A cotangent for the last output, zero where there is none."""
        tops = [state.h for state in problem.d_state_n[-self.network.num_directions :]]
        drawn: Array
        if self.network.merge in _MEANS:
            drawn = tops[0] / tops[0].dtype.type(_MEANS[self.network.merge])
        else:
            drawn = np.concatenate(tops, axis=1)
        drawn[~self._there(problem)] = 0
        return drawn

    def _to_last(self, problem: Problem, d_last: Array) -> list[Array]:
        """What the cotangent of the last output is for h of each of the last runs."""
        D = self.network.num_directions
        if self.network.merge in _MEANS:
            return [d_last * d_last.dtype.type(_MEANS[self.network.merge])] * D
        return np.split(d_last, D, axis=1)

    def _cotangents(self, problem: Problem) -> list[Array]:
        """One for each array that the layer returns."""
        own = self._structure
        states = [list(state) for state in problem.d_state_n]
        if own.return_sequences:
            d_output = problem.padded_cotangent()
            d_output = d_output[:, ::-1] if own.go_backwards else d_output
        else:
            d_output = self._d_last(problem)
            if own.return_state:  # the rest of h's cotangent comes by the state
                parts = self._to_last(problem, d_output)
                for state, part in zip(states[-len(parts) :], parts, strict=True):
                    state[0] = state[0] - part
        outputs = [d_output] if own.merge is not None else np.split(d_output, 2, axis=-1)
        flat = [array for state in states for array in state]
        return [*outputs, *(flat if own.return_state else [])]

    def mistakes(self, setting: Setting) -> Iterator[Mistake]:
        """Zeros at the wrong steps, where outputs of a run backwards are set to zero."""
        own = self._structure
        return iter(()) if not own.zero_output else zeros_in_time_order(setting)

    # --- running -----------------------------------------------------------------------------

    def run(self, problem: Problem) -> Mapping[str, Any]:
        """Call the layer and differentiate."""
        variables = {n: v for place in self._structure.places for n, v in place.variables().items()}
        states: Any = [list(state) for state in problem.state_0]
        if not self._structure.nested:
            states = [array for state in states for array in state]
        found = differentiate(
            Call(
                self._layer,
                list(variables.values()),
                problem.padded_input(),
                None if problem.mask.all() else problem.mask,
                None if problem.default_state else states,
                self._cotangents(problem),
            )
        )
        named = dict(zip([*self._output_names, *self._final_names], found.outputs, strict=True))
        named["d_sequences"] = found.d_x
        if not problem.default_state:
            initial = self._state_names("d_{}initial_state_{}")
            named.update(zip(initial, found.d_states, strict=True))
        d_names = [f"d_{name}" for name in variables]
        return {**named, **dict(zip(d_names, found.d_variables, strict=True))}

    @property
    def _output_names(self) -> list[str]:
        return ["output"] if self._structure.merge is not None else ["output[0]", "output[1]"]

    @property
    def _final_names(self) -> list[str]:
        return self._state_names("{}state_{}") if self._structure.return_state else []

    def _state_names(self, form: str) -> list[str]:
        """Names of all states, run by run."""
        return [
            form.format(place.prefix, letter)
            for place in self._structure.places
            for letter in place.cell.state_names
        ]

    # --- the reference in the layer's words --------------------------------------------------

    def present(
        self, results: Results, problem: Problem, semantics: Semantics
    ) -> Mapping[str, Expected]:
        """Keras's names; padded arrays (B, T, size), in the order in which the layer steps."""
        own = self._structure
        shown = self._sequences if own.return_sequences else self._last
        named = dict(zip(self._output_names, shown(results, problem, semantics), strict=True))
        if own.return_state:
            flat = [Expected(array) for state in results.state_n for array in state]
            named.update(zip(self._final_names, flat, strict=True))
        named["d_sequences"] = expected_d_input(results, problem)
        if not problem.default_state:
            flat = [Expected(array) for state in results.d_state_0 for array in state]
            named.update(zip(self._state_names("d_{}initial_state_{}"), flat, strict=True))
        for place, gradient in zip(own.places, results.d_parameters, strict=True):
            named.update({n: Expected(a) for n, a in place.gradient(gradient).items()})
        return named

    def _sequences(
        self, results: Results, problem: Problem, semantics: Semantics
    ) -> list[Expected]:
        """The outputs of all steps."""
        own = self._structure
        if self.network.num_directions == 1:
            shown = expected_output(results, problem, semantics, backwards=own.go_backwards)
            return [_turned(shown) if own.go_backwards else shown]
        if self.network.merge != "concat":
            if semantics.padded_output in ("repeat", "state"):  # of two outputs that are not known
                raise NotImplementedError
            return [expected_output(results, problem, semantics)]
        halves = [
            expected_output(
                half, problem._replace(state_0=(state,)), semantics, backwards=backwards
            )
            for half, state, backwards in zip(
                _halves(results), problem.state_0, (False, True), strict=True
            )
        ]
        return halves if own.merge is None else [_joined(halves)]

    def _last(self, results: Results, problem: Problem, semantics: Semantics) -> list[Expected]:
        """The outputs of the last steps: h of the last runs, and what is in place of none."""
        there = self._there(problem)[:, None]
        count = self.network.num_directions
        runs = zip(results.state_n[-count:], problem.state_0[-count:], strict=True)
        parts = []
        for state, first in runs:
            absent = np.zeros_like(state.h)
            if semantics.padded_output == "state":
                absent = np.where((problem.lengths > 0)[:, None], absent, first.h)
            compared = np.broadcast_to(there, state.h.shape)
            seen = compared if semantics.padded_output == "any" else None
            parts.append(Expected(np.where(there, state.h, absent), seen))
        if self.network.merge in _MEANS:
            total = _MEANS[self.network.merge] * (parts[0].array + parts[1].array)
            return [Expected(total, parts[0].compared)]
        return parts if self._structure.merge is None else [_joined(parts)]


_SHOWN = ("units", "return_sequences", "return_state", "go_backwards", "unroll")


def _turned(shown: Expected) -> Expected:
    """In the order in which a layer that goes backwards steps."""
    compared = None if shown.compared is None else shown.compared[:, ::-1]
    return Expected(shown.array[:, ::-1], compared)


def _halves(results: Results) -> list[Results]:
    """Results with the outputs of one direction each."""
    outputs = np.split(results.output, 2, axis=1)
    padding = results.at_padding
    if padding is None or padding.output is None:
        return [results._replace(output=output) for output in outputs]
    stepped = np.split(padding.output, 2, axis=2)
    return [
        results._replace(output=output, at_padding=padding._replace(output=there))
        for output, there in zip(outputs, stepped, strict=True)
    ]


def _joined(parts: list[Expected]) -> Expected:
    """Side by side."""
    compared = [part.compared for part in parts if part.compared is not None]
    return Expected(
        np.concatenate([part.array for part in parts], axis=-1),
        np.concatenate(compared, axis=-1) if compared else None,
    )


def modules() -> Iterator[tuple[str, Any]]:
    """Keras's recurrent layers, one of each kind and option: what ``refrnn check keras`` runs.

    Their weights are drawn from a fixed seed, biases too.
    """
    from keras import layers

    both = {"return_sequences": True, "return_state": True}
    yield "SimpleRNN", _drawn(layers.SimpleRNN(5, **both))
    yield "SimpleRNN relu", _drawn(layers.SimpleRNN(5, activation="relu", **both))
    yield "LSTM", _drawn(layers.LSTM(5, **both))
    yield "LSTM last output", _drawn(layers.LSTM(5))
    yield "LSTM backwards", _drawn(layers.LSTM(5, go_backwards=True, **both))
    yield "LSTM zeros", _drawn(layers.LSTM(5, zero_output_for_mask=True, **both))
    yield "LSTM unrolled", _drawn(layers.LSTM(5, unroll=True, **both))
    zeros = {"unroll": True, "zero_output_for_mask": True, **both}
    yield "LSTM unrolled zeros", _drawn(layers.LSTM(5, **zeros))
    turned = {"unroll": True, "go_backwards": True, **both}
    yield "LSTM unrolled backwards", _drawn(layers.LSTM(5, **turned))
    turned = {**zeros, "go_backwards": True}
    yield "LSTM unrolled backwards zeros", _drawn(layers.LSTM(5, **turned))
    inner = layers.LSTM(4, unroll=True, **both)
    yield "Bidirectional unrolled", _drawn(layers.Bidirectional(inner))
    yield "LSTM hard", _drawn(layers.LSTM(5, recurrent_activation="hard_sigmoid", **both))
    yield "LSTM without bias", _drawn(layers.LSTM(5, use_bias=False, **both))
    yield "LSTM float64", _drawn(layers.LSTM(5, dtype="float64", **both))
    yield "SimpleRNN float64", _drawn(layers.SimpleRNN(5, dtype="float64", **both))
    yield "GRU", _drawn(layers.GRU(5, **both))
    yield "GRU reset before", _drawn(layers.GRU(5, reset_after=False, **both))
    yield "GRU float64", _drawn(layers.GRU(5, dtype="float64", **both))
    yield "stacked cells", _drawn(layers.RNN([layers.LSTMCell(4), layers.GRUCell(5)], **both))
    for merge in ("concat", "sum", "mul", "ave", None):
        inner = layers.LSTM(4, **both)
        yield f"Bidirectional {merge}", _drawn(layers.Bidirectional(inner, merge_mode=merge))


def _drawn(layer: Any) -> Any:
    """The layer built for 3 features, its weights uniform in +-2/sqrt(H)."""
    layer.build((None, None, 3))
    rng = np.random.default_rng(0)
    for variable in layer.trainable_variables:
        bound = 2.0 / np.sqrt(5)
        variable.assign(rng.uniform(-bound, bound, tuple(variable.shape)))
    return layer
