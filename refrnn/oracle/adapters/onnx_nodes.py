"""Reading recurrent nodes of ONNX and their weights."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from ...comparison import Case
from ...errors import UnsupportedCase
from ...types import Array
from ...validation import check_dtype, check_integer
from ..onnx import cases
from ..onnx.attributes import OPERATORS, Operator

__all__ = ["Node", "directions", "read"]

# The opset in which the three operators changed last.
_OPSET = 22
_INPUT_SIZE = 3
_WEIGHTS = ("W", "R", "B", "P")
_BOUNDED = {"tanh", "sigmoid", "hardsigmoid", "softsign", "scaledtanh"}


class Node(NamedTuple):
    """A node with its weights.

    Attributes
    ----------
    proto : onnx.NodeProto
    operator : Operator
    attributes : dict of str to object
    weights : dict of str to ndarray
        ``W``, ``R`` and what else there is of ``B`` and ``P``, in ONNX' layout.
    opset, ir_version : int
    """

    proto: Any
    operator: Operator
    attributes: dict[str, Any]
    weights: dict[str, Array]
    opset: int
    ir_version: int


def read(subject: Any, own: dict[str, Any]) -> Node:
    """A node with its weights, from wherever they are; see :func:`adapt` of this adapter.

    Parameters
    ----------
    subject : onnx.NodeProto, onnx.ModelProto, str or path
    own : dict of str to object
        Those of `weights`, `input_size`, `dtype` and `opset` that were given.

    Returns
    -------
    Node
    """
    import onnx

    if isinstance(subject, (str, os.PathLike)):
        subject = onnx.load(subject)
    if isinstance(subject, onnx.ModelProto):
        if own:
            raise TypeError(f"{next(iter(own))} is given, expected none: the model has its own")
        return _read_model(subject)
    if not isinstance(subject, onnx.NodeProto):
        kind = type(subject).__name__
        raise TypeError(
            f"subject has type {kind}, expected a NodeProto, a ModelProto or the path of a model"
        )
    opset = check_integer(own.pop("opset", _OPSET), "opset", minimum=1)
    operator, attributes = _read_node(subject, opset)
    weights = own.pop("weights", None)
    if weights is None:
        arrays = _drawn(subject, operator, attributes, **own)
    elif own:
        raise TypeError(f"{next(iter(own))} is given, expected none: the weights have their own")
    else:
        arrays = _checked(weights, _named_weights(subject, operator))
    version = onnx.helper.find_min_ir_version_for([onnx.helper.make_opsetid("", opset)])
    return Node(subject, operator, attributes, arrays, opset, version)


def _read_node(proto: Any, opset: int) -> tuple[Operator, dict[str, Any]]:
    """Operator and checked attributes of a node."""
    from ..onnx.graph import read_node

    step = read_node(proto, opset)
    if step.operator not in OPERATORS:
        raise UnsupportedCase(
            f"the node has operator {step.operator}, expected one of {', '.join(OPERATORS)}"
        )
    return OPERATORS[step.operator], step.attributes


def _read_model(model: Any) -> Node:
    """The one recurrent node of a model."""
    import onnx

    found = [node for node in model.graph.node if node.op_type in OPERATORS]
    if len(found) != 1:
        raise UnsupportedCase(
            f"the model has {len(found)} nodes of {', '.join(OPERATORS)}, expected one"
        )
    (proto,) = found
    opset = next((o.version for o in model.opset_import if o.domain in ("", "ai.onnx")), None)
    if opset is None:
        raise UnsupportedCase("the model has no opset of ONNX itself, expected one from 7 on")
    operator, attributes = _read_node(proto, opset)
    tensors = {tensor.name: tensor for tensor in model.graph.initializer}
    weights = {}
    for slot, name in zip(operator.inputs, proto.input, strict=False):
        if slot in _WEIGHTS and name:
            if name not in tensors:
                raise UnsupportedCase(f"{slot} is {name!r} of the graph, expected an initializer")
            weights[slot] = onnx.numpy_helper.to_array(tensors[name])
    return Node(proto, operator, attributes, weights, opset, model.ir_version)


def _checked(weights: Any, names: Sequence[str]) -> dict[str, Array]:
    """Weights that were given; their shapes are checked with the node's attributes."""
    if not isinstance(weights, Mapping):
        kind = type(weights).__name__
        raise TypeError(f"weights has type {kind}, expected a mapping of str to ndarray")
    given = {name: np.array(array) for name, array in weights.items() if array is not None}
    if set(given) != set(names):
        raise ValueError(f"weights has names {sorted(given)}, expected {sorted(names)} as the node")
    return given


def _named_weights(proto: Any, operator: Operator) -> list[str]:
    """Which weights a node names."""
    slots = zip(operator.inputs, proto.input, strict=False)
    return [slot for slot, name in slots if slot in _WEIGHTS and name]


def _drawn(
    proto: Any,
    operator: Operator,
    attributes: Mapping[str, Any],
    input_size: int = _INPUT_SIZE,
    dtype: Any = "float32",
) -> dict[str, Array]:
    """Weights for the inputs that a node names, uniform in +-2/sqrt(H).

    Half of that where an RNN's states are not bounded: they would grow with every step, and the
    tolerance with them.
    """
    if "hidden_size" not in attributes:
        raise ValueError("the node has no hidden_size, expected it where weights are not given")
    H, G = attributes["hidden_size"], operator.gates
    D = 2 if attributes.get("direction") == "bidirectional" else 1
    I = check_integer(input_size, "input_size", minimum=1)  # noqa: E741
    target = check_dtype(dtype, "dtype", complex_allowed=False)
    shapes = {"W": (D, G * H, I), "R": (D, G * H, H), "B": (D, 2 * G * H), "P": (D, 3 * H)}
    rng = np.random.default_rng(0)
    functions = [name.lower() for name in attributes.get("activations", ())]
    grows = operator.name == "RNN" and not _BOUNDED.issuperset(functions)
    bound = (1.0 if grows else 2.0) / H**0.5
    drawn = {n: rng.uniform(-bound, bound, shape).astype(target) for n, shape in shapes.items()}
    return {name: drawn[name] for name in _named_weights(proto, operator)}


def directions(node: Node) -> tuple[Case, ...]:
    """A case of each direction, of one step; this checks the weights.

    Parameters
    ----------
    node : Node

    Returns
    -------
    tuple of Case

    Raises
    ------
    TypeError, ValueError
        If a weight is missing or has not the shape and dtype that the attributes want.
    """
    W = node.weights.get("W")
    if W is None or W.ndim != 3:
        has = "no value" if W is None else f"shape {W.shape}"
        raise ValueError(f"W has {has}, expected an array (num_directions, gates * H, input_size)")
    X = np.zeros((1, 1, W.shape[2]), W.dtype)
    return cases(node.operator.name, {"X": X, **node.weights}, **node.attributes)
