"""From a call of an ONNX operator to refrnn's cells and cases, and with gradients back.

ONNX orders the gates i, o, f, c and z, r, h; refrnn i, f, g, o and r, z, n. A coupled LSTM
(``input_forget=1``) has no forget rows: ONNX' are left out, and their gradient is zero.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from ...cells import GRU, LSTM, RNN
from ...comparison import Case
from ...ragged import RaggedBatch
from ...types import Array
from ...unroll.base import AnyCell
from .attributes import find_operator
from .inputs import Call, check_call

__all__ = ["cases", "cases_of", "gradient_of_parameters"]

# place of each of refrnn's gates among ONNX'
_ORDERS: dict[str, tuple[int, ...]] = {"RNN": (0,), "GRU": (1, 0, 2), "LSTM": (0, 2, 3, 1)}
_COUPLED_ORDER = (0, 3, 1)
_PEEPHOLES = {"p_i": 0, "p_o": 1, "p_f": 2}


def cases(operator: str, inputs: Mapping[str, Any], **attributes: Any) -> tuple[Case, ...]:
    """An operator's run as cases of refrnn, one a direction.

    What takes a case then takes ONNX: :func:`refrnn.comparison.reference` says what the results
    are and how far rounding may move them, :func:`refrnn.gradcheck.check_gradients` checks.

    Parameters
    ----------
    operator : {"RNN", "GRU", "LSTM"}
    inputs : mapping of str to ndarray
        By ONNX' names; those that are None or absent are not given.
    **attributes
        As :func:`lstm`, :func:`gru` and :func:`rnn` take them.

    Returns
    -------
    tuple of Case
        Without cotangents. Parameters have refrnn's names and order of gates.

    Raises
    ------
    TypeError, ValueError
        As :func:`lstm`.

    Examples
    --------
    >>> import numpy as np
    >>> from refrnn.oracle.onnx import cases
    >>> weights = {"W": np.ones((2, 3, 2)), "R": np.ones((2, 3, 3))}
    >>> there, back = cases("RNN", {"X": np.ones((5, 4, 2)), **weights}, direction="bidirectional")
    >>> there.cell, back.reverse
    (RNN(2, 3, biases=0), True)
    """
    call = check_call(find_operator(operator), inputs, attributes)
    return cases_of(call)


def cases_of(call: Call) -> tuple[Case, ...]:
    """The cases of a checked call."""
    batch = RaggedBatch.from_padded(
        call.inputs["X"], call.lengths, batch_first=call.attributes.batch_first
    )
    return tuple(_case(call, direction, batch) for direction in range(len(call.attributes.reverse)))


def _case(call: Call, direction: int, batch: RaggedBatch) -> Case:
    """One direction."""
    cell = _cell(call, direction)
    named = {
        "W_ih": _to_refrnn(call, call.inputs["W"][direction]),
        "W_hh": _to_refrnn(call, call.inputs["R"][direction]),
    }
    if "B" in call.inputs:
        W_b, R_b = np.split(call.inputs["B"][direction], 2)
        named.update(b_ih=_to_refrnn(call, W_b), b_hh=_to_refrnn(call, R_b))
    if "P" in call.inputs:
        blocks = np.split(call.inputs["P"][direction], 3)
        names = set(cell.parameter_shapes())
        named.update({name: blocks[k] for name, k in _PEEPHOLES.items() if name in names})
    state_0 = []
    for letter in cell.state_names:
        array = call.inputs.get(f"initial_{letter}")
        shape = (call.lengths.size, call.hidden_size)
        state_0.append(
            np.zeros(shape, call.dtype) if array is None else call.states_of(array, direction)
        )
    return Case(
        cell,
        cell.check_parameters(named),
        batch,
        cell.state_type(*state_0),
        reverse=call.attributes.reverse[direction],
        name=f"{call.attributes.operator.name}, direction {direction}",
    )


def _cell(call: Call, direction: int) -> AnyCell:
    """The cell of one direction."""
    attributes, functions = call.attributes, call.attributes.activations[direction]
    sizes = (call.inputs["X"].shape[2], call.hidden_size)
    biases = 2 if "B" in call.inputs else 0
    if attributes.operator.name == "RNN":
        return RNN(*sizes, biases=biases, gate_clip=attributes.clip, activation=functions[0])
    if attributes.operator.name == "GRU":
        return GRU(
            *sizes,
            biases=biases,
            gate_clip=attributes.clip,
            reset_after=attributes.variant,
            gate_activation=functions[0],
            candidate_activation=functions[1],
        )
    return LSTM(
        *sizes,
        biases=biases,
        gate_clip=attributes.clip,
        peepholes="P" in call.inputs,
        coupled=attributes.variant,
        gate_activation=functions[0],
        cell_activation=functions[1],
        output_activation=functions[2],
    )


def gradient_of_parameters(call: Call, gradients: Mapping[str, Array]) -> dict[str, Array]:
    """The gradients of one direction's W, R, B and P from those of refrnn's parameters."""
    named = {name: _to_onnx(call, gradients[of]) for name, of in (("W", "W_ih"), ("R", "W_hh"))}
    if "B" in call.inputs:
        halves = [_to_onnx(call, gradients[name]) for name in ("b_ih", "b_hh")]
        named["B"] = np.concatenate(halves)
    if "P" in call.inputs:
        zero = np.zeros(call.hidden_size, call.dtype)  # of p_f, where the gates are coupled
        named["P"] = np.concatenate([gradients.get(name, zero) for name in _PEEPHOLES])
    return named


def _order(call: Call) -> tuple[int, ...]:
    """Place of each of the cell's gates among ONNX'."""
    name = call.attributes.operator.name
    return _COUPLED_ORDER if name == "LSTM" and call.attributes.variant else _ORDERS[name]


def _to_refrnn(call: Call, array: Array) -> Array:
    """The blocks of rows in refrnn's order."""
    blocks = array.reshape(call.attributes.operator.gates, call.hidden_size, *array.shape[1:])
    return blocks[list(_order(call))].reshape(-1, *array.shape[1:])


def _to_onnx(call: Call, array: Array) -> Array:
    """The blocks of rows in ONNX' order; zeros for those that refrnn has not."""
    tail = (call.hidden_size, *array.shape[1:])
    blocks = np.zeros((call.attributes.operator.gates, *tail), array.dtype)
    blocks[list(_order(call))] = array.reshape(len(_order(call)), *tail)
    return blocks.reshape(-1, *array.shape[1:])
