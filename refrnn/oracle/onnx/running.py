"""Running an ONNX operator forward and backward, every direction of it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from ...ragged import RaggedBatch
from ...types import Array
from ...unroll import Run, Unroll, backward, forward
from ...validation import check_bool, check_shape
from .attributes import Operator, find_operator
from .conversion import cases_of, gradient_of_parameters
from .inputs import Call, check_call, check_float

__all__ = ["gradient", "run_operator"]


def run_operator(
    operator: Operator,
    inputs: Mapping[str, Any],
    attributes: Mapping[str, Any],
    zero_state_on_empty: bool = False,
    unroll: str | Unroll = "lanes",
) -> tuple[Array, ...]:
    """Check and run an operator; its outputs in ONNX' order. See :func:`lstm`."""
    zero_state = check_bool(zero_state_on_empty, "zero_state_on_empty")
    call = check_call(operator, inputs, attributes)
    runs = _run(call, unroll)
    batch_first = call.attributes.batch_first
    steps = [run.output.to_padded(batch_first, max_length=call.max_length) for run in runs]
    outputs = [np.stack(steps, axis=2 if batch_first else 1)]
    for letter, _ in enumerate(operator.outputs[1:]):
        states = [run.state_n[letter].copy() for run in runs]
        if zero_state:
            for state in states:
                state[call.lengths == 0] = 0
        outputs.append(np.stack(states, axis=1 if batch_first else 0))
    return tuple(outputs)


def gradient(
    operator: str,
    inputs: Mapping[str, Any],
    cotangents: Mapping[str, Any],
    *,
    zero_state_on_empty: bool = False,
    unroll: str | Unroll = "lanes",
    **attributes: Any,
) -> dict[str, Array]:
    """The gradient of an operator, by hand-written backpropagation through time.

    ONNX defines none; it is the derivative of the operator as :func:`lstm` runs it. For kinks see
    :func:`refrnn.activations.activation`; at the bound of a clip the derivative is 1.

    Parameters
    ----------
    operator : {"RNN", "GRU", "LSTM"}
    inputs : mapping of str to ndarray
        By ONNX' names; those that are None or absent are not given.
    cotangents : mapping of str to ndarray
        Of some or all of ``Y``, ``Y_h`` and ``Y_c``, in their shapes; zero where None or absent.
        Whatever that of Y holds at padding reaches nothing.
    zero_state_on_empty, unroll
        As in :func:`lstm`.
    **attributes
        As :func:`lstm`, :func:`gru` and :func:`rnn` take them.

    Returns
    -------
    dict of str to ndarray
        The gradient of every input that was given but ``sequence_lens``, by its name and in its
        shape: exactly 0 at padding, and for the forget rows that ``input_forget=1`` leaves unused.
        With length 0 that of initial_h is the cotangent of Y_h, or 0 by `zero_state_on_empty`.

    Raises
    ------
    TypeError, ValueError
        As :func:`lstm`; or if a cotangent is unknown, or has not its output's shape and dtype.

    Examples
    --------
    >>> import numpy as np
    >>> from refrnn.oracle.onnx import gradient
    >>> inputs = {"X": np.ones((3, 2, 4)), "W": np.full((1, 5, 4), 0.1), "R": np.zeros((1, 5, 5))}
    >>> d = gradient("RNN", inputs | {"sequence_lens": [3, 1]}, {"Y": np.ones((3, 1, 2, 5))})
    >>> d["X"][:, :, 0].round(3)
    array([[0.428, 0.428],
           [0.428, 0.   ],
           [0.428, 0.   ]])
    """
    found = find_operator(operator)
    zero_state = check_bool(zero_state_on_empty, "zero_state_on_empty")
    call = check_call(found, inputs, attributes)
    given = _check_cotangents(call, cotangents)
    d_inputs = {name: np.zeros_like(array) for name, array in call.inputs.items()}
    for direction, run in enumerate(_run(call, unroll)):
        d_output, d_state_n = _cotangents_of(call, given, direction, zero_state)
        gradients = backward(run.tape, d_output, d_state_n)
        for name, array in gradient_of_parameters(call, gradients.parameters).items():
            d_inputs[name][direction] = array
        d_inputs["X"] += gradients.input.to_padded(
            call.attributes.batch_first, max_length=call.max_length
        )
        for letter, array in zip(run.tape.cell.state_names, gradients.state_0, strict=True):
            if f"initial_{letter}" in d_inputs:
                call.states_of(d_inputs[f"initial_{letter}"], direction)[...] = array
    return d_inputs


def _run(call: Call, unroll: str | Unroll) -> list[Run]:
    """Every direction."""
    return [
        forward(c.cell, c.parameters, c.batch, c.state_0, reverse=c.reverse, unroll=unroll)
        for c in cases_of(call)
    ]


def _check_cotangents(call: Call, cotangents: Mapping[str, Any]) -> dict[str, Array]:
    """Those that are given, each in the shape and dtype of its output."""
    if not isinstance(cotangents, Mapping):
        kind = type(cotangents).__name__
        raise TypeError(f"cotangents has type {kind}, expected a mapping of arrays")
    outputs = call.attributes.operator.outputs
    unknown = sorted(set(cotangents) - set(outputs))
    if unknown:
        raise TypeError(f"cotangents has {unknown[0]!r}, expected some of {', '.join(outputs)}")
    checked = {}
    for name in outputs:
        if cotangents.get(name) is None:
            continue
        label = f"cotangent of {name}"
        array = checked[name] = check_float(cotangents[name], label)
        if array.dtype != call.dtype:
            raise TypeError(f"{label} has dtype {array.dtype}, expected {call.dtype} as X")
        shape = call.output_shape if name == "Y" else call.state_shape
        check_shape(array, label, shape, f"that of {name}")
    return checked


def _cotangents_of(
    call: Call, given: Mapping[str, Array], direction: int, zero_state: bool
) -> tuple[RaggedBatch | None, tuple[Array | None, ...]]:
    """The cotangents of one direction, as :func:`refrnn.backward` takes them."""
    d_output = None
    if "Y" in given:
        d_output = RaggedBatch.from_padded(
            call.steps_of(given["Y"], direction), call.lengths, call.attributes.batch_first
        )
    d_state: list[Array | None] = []
    for name in call.attributes.operator.outputs[1:]:
        array = given.get(name)
        d_state.append(None if array is None else call.states_of(array, direction).copy())
        if zero_state and d_state[-1] is not None:
            d_state[-1][call.lengths == 0] = 0
    return d_output, tuple(d_state)
