"""Inputs of the ONNX operators RNN, GRU and LSTM: checked, and found by direction and layout."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

from ...types import Array, IntArray
from ...validation import as_array, check_lengths, check_shape
from .attributes import Attributes, Operator, check_attributes

__all__ = ["Call", "check_call", "check_float"]

_FLOATS = (np.dtype(np.float32), np.dtype(np.float64))


class Call(NamedTuple):
    """Checked attributes and inputs of one run of an operator.

    Attributes
    ----------
    attributes : Attributes
        ``hidden_size`` is filled in.
    inputs : dict of str to ndarray
        Those that were given, but ``sequence_lens``; in the layout they came in.
    lengths : ndarray of int64 (B,)
    max_length : int
        T, the padded length.
    """

    attributes: Attributes
    inputs: dict[str, Array]
    lengths: IntArray
    max_length: int

    @property
    def hidden_size(self) -> int:
        """H."""
        size = self.attributes.hidden_size
        assert size is not None
        return size

    @property
    def dtype(self) -> np.dtype[Any]:
        """Of all its arrays."""
        return self.inputs["X"].dtype

    @property
    def state_shape(self) -> tuple[int, ...]:
        """Shape of initial_h, initial_c, Y_h and Y_c."""
        directions, batch = len(self.attributes.reverse), self.lengths.size
        first = (batch, directions) if self.attributes.batch_first else (directions, batch)
        return (*first, self.hidden_size)

    @property
    def output_shape(self) -> tuple[int, ...]:
        """Shape of Y."""
        T, B, D = self.max_length, self.lengths.size, len(self.attributes.reverse)
        return (
            (B, T, D, self.hidden_size)
            if self.attributes.batch_first
            else (T, D, B, self.hidden_size)
        )

    def states_of(self, array: Array, direction: int) -> Array:
        """Rows (B, H) of one direction of an array of :attr:`state_shape`."""
        rows: Array = array[:, direction] if self.attributes.batch_first else array[direction]
        return rows

    def steps_of(self, array: Array, direction: int) -> Array:
        """Steps (T, B, H) or (B, T, H) of one direction of an array of :attr:`output_shape`."""
        steps: Array = (
            array[:, :, direction] if self.attributes.batch_first else array[:, direction]
        )
        return steps


def check_call(
    operator: Operator, inputs: Mapping[str, Any], attributes: Mapping[str, Any]
) -> Call:
    """Check everything that an operator is given, against each other.

    Raises
    ------
    TypeError
        If a dtype is not float32 or float64, or not that of X; if sequence_lens is not int32; if
        an input or attribute is unknown or of the wrong kind.
    ValueError
        If a required input is missing, or a shape or number is wrong.
    """
    checked = check_attributes(operator, attributes)
    if not isinstance(inputs, Mapping):
        raise TypeError(f"inputs has type {type(inputs).__name__}, expected a mapping of arrays")
    unknown = sorted(set(inputs) - set(operator.inputs))
    if unknown:
        expected = ", ".join(operator.inputs)
        raise TypeError(f"{operator.name} has no input {unknown[0]}, expected {expected}")
    given = {name: value for name, value in inputs.items() if value is not None}
    missing = [name for name in ("X", "W", "R") if name not in given]
    if missing:
        raise ValueError(f"{missing[0]} has no value, expected an array: {operator.name} needs it")
    lengths = given.pop("sequence_lens", None)
    arrays = {name: check_float(given[name], name) for name in operator.inputs if name in given}
    for name, rank in (("X", 3), ("R", 3)):
        if arrays[name].ndim != rank:
            raise ValueError(
                f"{name} has shape {arrays[name].shape}, expected {_rule(name, checked)}"
            )
    if checked.hidden_size is None:
        checked = checked._replace(hidden_size=arrays["R"].shape[2])
    B, T = arrays["X"].shape[:2] if checked.batch_first else arrays["X"].shape[1::-1]
    every = np.full(B, T, np.int64)
    call = Call(checked, arrays, every if lengths is None else _check_lens(lengths, B, T), T)
    shapes = _shapes(call)
    for name, array in arrays.items():
        if array.dtype != call.dtype:
            raise TypeError(f"{name} has dtype {array.dtype}, expected {call.dtype} as X")
        check_shape(array, name, shapes[name], _rule(name, checked))
    return call


def check_float(value: Any, name: str) -> Array:
    """An array of float32 or float64 in the machine's byte order."""
    array = as_array(value, name, "an array of float32 or float64")
    if array.dtype.newbyteorder("=") not in _FLOATS:
        raise TypeError(f"{name} has dtype {array.dtype}, expected float32 or float64")
    return array.astype(array.dtype.newbyteorder("="), copy=False)


def _check_lens(value: Any, batch_size: int, steps: int) -> IntArray:
    """Lengths from sequence_lens: an int32 array, or a list of integers, which has no dtype."""
    if not isinstance(value, (list, tuple)):
        array = as_array(value, "sequence_lens", "int32 of shape (batch_size,)")
        if array.dtype.newbyteorder("=") != np.int32:
            raise TypeError(f"sequence_lens has dtype {array.dtype}, expected int32")
    lengths = check_lengths(value, name="sequence_lens")
    check_shape(lengths, "sequence_lens", (batch_size,), "(batch_size,)")
    return check_lengths(lengths, name="sequence_lens", maximum=steps)


def _shapes(call: Call) -> dict[str, tuple[int, ...]]:
    """The shape that each input must have."""
    D, G, H = len(call.attributes.reverse), call.attributes.operator.gates, call.hidden_size
    X = call.inputs["X"].shape
    return {
        "X": X,
        "W": (D, G * H, X[2]),
        "R": (D, G * H, H),
        "B": (D, 2 * G * H),
        "initial_h": call.state_shape,
        "initial_c": call.state_shape,
        "P": (D, 3 * H),
    }


def _rule(name: str, attributes: Attributes) -> str:
    """The shape of an input in the words of the specification."""
    gates = attributes.operator.gates
    rows = "hidden_size" if gates == 1 else f"{gates}*hidden_size"
    batch_first = attributes.batch_first
    steps = "batch_size, seq_length" if batch_first else "seq_length, batch_size"
    state = "batch_size, num_directions" if batch_first else "num_directions, batch_size"
    return {
        "X": f"({steps}, input_size)",
        "W": f"(num_directions, {rows}, input_size)",
        "R": f"(num_directions, {rows}, hidden_size)",
        "B": f"(num_directions, {2 * gates}*hidden_size)",
        "P": "(num_directions, 3*hidden_size)",
    }.get(name, f"({state}, hidden_size)")
