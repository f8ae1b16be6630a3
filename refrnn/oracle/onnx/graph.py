"""Reading ONNX models: the nodes this backend runs, and what a graph takes and gives.

Importing this module imports ``onnx``.
"""

from __future__ import annotations

import importlib
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from ...errors import UnsupportedCase
from ...types import Array
from ...unroll import Unroll
from .attributes import OPERATORS, check_attributes
from .running import run_operator

__all__ = ["Graph", "Step", "pair", "read_model", "read_node"]

_onnx: Any = importlib.import_module("onnx")

#: Versions of the operators, as of the opset since which they are.
VERSIONS = (7, 14, 22)

_DEFAULT_DOMAIN = ("", "ai.onnx")
_DTYPES = tuple(np.dtype(kind) for kind in (np.float32, np.float64, np.int32))


class Step(NamedTuple):
    """A node. Names are empty where an optional input or output is absent."""

    operator: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    attributes: dict[str, Any]

    def run(
        self, values: Mapping[str, Array], zero_state_on_empty: bool, unroll: Unroll
    ) -> dict[str, Array]:
        """The outputs that have a name, by it."""
        if self.operator == "Identity":
            return {self.outputs[0]: values[self.inputs[0]].copy()}
        operator = OPERATORS[self.operator]
        named = zip(operator.inputs, self.inputs, strict=False)
        inputs = {slot: values[name] for slot, name in named if name}
        results = run_operator(operator, inputs, self.attributes, zero_state_on_empty, unroll)
        return {n: array for n, array in zip(self.outputs, results, strict=False) if n}


class Declared(NamedTuple):
    """What a graph says of an input: dtype, and sizes, None where they are free."""

    dtype: np.dtype[Any]
    shape: tuple[int | None, ...] | None

    def check(self, value: Any, name: str) -> Array:
        """`value` if it is what is declared."""
        if not isinstance(value, np.ndarray):
            raise TypeError(f"{name} has type {type(value).__name__}, expected a NumPy array")
        if value.dtype.newbyteorder("=") != self.dtype:
            raise TypeError(f"{name} has dtype {value.dtype}, expected {self.dtype}")
        if self.shape is not None and (
            value.ndim != len(self.shape)
            or any(size not in (None, n) for size, n in zip(self.shape, value.shape, strict=True))
        ):
            shown = ", ".join("?" if size is None else str(size) for size in self.shape)
            raise ValueError(f"{name} has shape {value.shape}, expected ({shown})")
        return value


class Graph(NamedTuple):
    """A model whose nodes are all known.

    Attributes
    ----------
    steps : tuple of Step
        In an order in which they can run.
    inputs : dict of str to Declared
        Those that are no initializer, in order.
    initializers : dict of str to ndarray
    overridable : dict of str to Declared
        The initializers that are inputs too.
    outputs : tuple of str
    """

    steps: tuple[Step, ...]
    inputs: dict[str, Declared]
    initializers: dict[str, Array]
    overridable: dict[str, Declared]
    outputs: tuple[str, ...]

    def bind(self, inputs: Any) -> dict[str, Array]:
        """Values by name: the initializers and the inputs, checked."""
        given = inputs if isinstance(inputs, Mapping) else pair(list(self.inputs), inputs)
        missing = [name for name in self.inputs if name not in given]
        if missing:
            raise ValueError(f"inputs has no {missing[0]!r}, expected {', '.join(self.inputs)}")
        declared = {**self.inputs, **self.overridable}
        values = dict(self.initializers)
        for name, value in given.items():
            if name not in declared:
                raise ValueError(f"inputs has {name!r}, expected {', '.join(self.inputs)}")
            values[name] = declared[name].check(value, name)
        return values

    def run(self, inputs: Any, zero_state_on_empty: bool, unroll: Unroll) -> dict[str, Array]:
        """The outputs of the graph by name."""
        values = self.bind(inputs)
        for step in self.steps:
            values.update(step.run(values, zero_state_on_empty, unroll))
        return {name: values[name].copy() for name in self.outputs}


def pair(names: Sequence[str], inputs: Any) -> dict[str, Any]:
    """Values given in order, by name."""
    if not isinstance(inputs, Sequence) or isinstance(inputs, (str, bytes)):
        raise TypeError(f"inputs has type {type(inputs).__name__}, expected a list or a mapping")
    if len(inputs) != len(names):
        expected = f"{len(names)} ({', '.join(names)})"
        raise ValueError(f"inputs has {len(inputs)} arrays, expected {expected}")
    return dict(zip(names, inputs, strict=True))


def read_model(model: Any) -> Graph:
    """The graph of a valid model.

    Raises
    ------
    TypeError, ValueError
        If an attribute of a node is wrong.
    UnsupportedCase
        If the model has anything else than recurrent operators, Identity and initializers.
    """
    versions = {o.domain: o.version for o in model.opset_import}
    opset = next((versions[d] for d in _DEFAULT_DOMAIN if d in versions), None)
    if opset is None:
        raise UnsupportedCase("model has no opset of ONNX itself, expected one from 7 on")
    graph = model.graph
    if graph.sparse_initializer:
        raise UnsupportedCase("model has sparse initializers, expected dense ones")
    initializers = {tensor.name: _read_tensor(tensor) for tensor in graph.initializer}
    declared = {value.name: _declared(value) for value in graph.input}
    return Graph(
        tuple(read_node(node, opset) for node in graph.node),
        {name: d for name, d in declared.items() if name not in initializers},
        initializers,
        {name: d for name, d in declared.items() if name in initializers},
        tuple(value.name for value in graph.output),
    )


def read_node(node: Any, opset: int) -> Step:
    """A node as a step; its attributes are checked.

    Raises
    ------
    TypeError, ValueError
        If an attribute is wrong.
    UnsupportedCase
        If it is of another operator, or of a version that is not known here.
    """
    known = ("Identity", *OPERATORS)
    if node.domain not in _DEFAULT_DOMAIN or node.op_type not in known:
        name = f"{node.domain}.{node.op_type}" if node.domain else node.op_type
        raise UnsupportedCase(
            f"model has a node of operator {name}, expected only {', '.join(known)}"
        )
    attributes = {a.name: _read_attribute(a) for a in node.attribute}
    if node.op_type in OPERATORS:
        version = _onnx.defs.get_schema(node.op_type, opset, "").since_version
        if version not in VERSIONS:
            raise UnsupportedCase(
                f"model has {node.op_type} of version {version} (opset {opset}), expected one of "
                f"{', '.join(map(str, VERSIONS))}"
            )
        check_attributes(OPERATORS[node.op_type], attributes)
    return Step(node.op_type, tuple(node.input), tuple(node.output), attributes)


def _read_attribute(attribute: Any) -> Any:
    """Its value, text as str."""
    value = _onnx.helper.get_attribute_value(attribute)
    if isinstance(value, bytes):
        return value.decode()
    if isinstance(value, Iterable):
        return [item.decode() if isinstance(item, bytes) else item for item in value]
    return value


def _read_tensor(tensor: Any) -> Array:
    """An initializer, if the model itself holds it."""
    if tensor.data_location == _onnx.TensorProto.EXTERNAL:
        raise UnsupportedCase(
            f"initializer {tensor.name!r} has its data in another file, expected it in the model"
        )
    array: Array = _onnx.numpy_helper.to_array(tensor)
    _check_kind(array.dtype, f"initializer {tensor.name!r}")
    return array


def _declared(value: Any) -> Declared:
    """What a graph says of an input."""
    if not value.type.HasField("tensor_type"):
        kind = value.type.WhichOneof("value")
        raise UnsupportedCase(f"input {value.name!r} has {kind}, expected a tensor")
    tensor = value.type.tensor_type
    dtype = np.dtype(_onnx.helper.tensor_dtype_to_np_dtype(tensor.elem_type))
    _check_kind(dtype, f"input {value.name!r}")
    if not tensor.HasField("shape"):
        return Declared(dtype, None)
    sizes = [d.dim_value if d.HasField("dim_value") else None for d in tensor.shape.dim]
    return Declared(dtype, tuple(sizes))


def _check_kind(dtype: np.dtype[Any], name: str) -> None:
    """Refuse what no operator here can take, float16 and bfloat16 among them."""
    if dtype not in _DTYPES:
        raise UnsupportedCase(f"{name} has dtype {dtype}, expected float32, float64 or int32")
