"""Calls of the ONNX operators as models, run by ONNX Runtime, and how far it may lie off."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
import onnxruntime
from onnx import helper

from refrnn.activations import Activation
from refrnn.comparison import Case
from refrnn.oracle.onnx import cases
from refrnn.unroll import forward

from ...oracle.onnx_calls import INPUTS, Call

OUTPUTS = {"RNN": ("Y", "Y_h"), "GRU": ("Y", "Y_h"), "LSTM": ("Y", "Y_h", "Y_c")}

_KINDS = {
    "float32": onnx.TensorProto.FLOAT,
    "float64": onnx.TensorProto.DOUBLE,
    "float16": onnx.TensorProto.FLOAT16,
    "int32": onnx.TensorProto.INT32,
}


def declare(name: str, array: Any) -> Any:
    """A graph's input of the shape and dtype of an array."""
    return helper.make_tensor_value_info(name, _KINDS[array.dtype.name], array.shape)


def make_node(call: Call) -> Any:
    """The node of a call; names of absent inputs are empty."""
    names = [name if name in call.inputs else "" for name in INPUTS[call.operator]]
    return helper.make_node(call.operator, names, OUTPUTS[call.operator], **call.attributes)


def make_model(
    nodes: Any, inputs: Any, outputs: Any, opset: int = 14, initializers: Any = (), ir: int = 8
) -> Any:
    """A model; `inputs` are arrays by name, `outputs` names: Y of four axes, states of three."""
    kind = next(a for n, a in inputs.items() if a.dtype.kind == "f").dtype.name
    graph = helper.make_graph(
        nodes,
        "graph",
        [declare(name, array) for name, array in inputs.items()],
        [
            helper.make_tensor_value_info(name, _KINDS[kind], [None] * (4 if name == "Y" else 3))
            for name in outputs
        ],
        list(initializers),
    )
    opsets = [helper.make_opsetid("", opset)]
    return helper.make_model(graph, opset_imports=opsets, ir_version=ir)


def model_of(call: Call, opset: int = 14) -> Any:
    """A model of the one node, whose inputs are all inputs of the graph."""
    return make_model([make_node(call)], call.inputs, OUTPUTS[call.operator], opset)


def run_onnx_runtime(call: Call) -> dict[str, Any]:
    """The outputs by name."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 4
    session = onnxruntime.InferenceSession(
        model_of(call).SerializeToString(), options, providers=["CPUExecutionProvider"]
    )
    return dict(zip(OUTPUTS[call.operator], session.run(None, call.inputs), strict=True))


class Approximate(Activation):
    """An activation whose values are off by up to one float32 ulp of 1, at random."""

    __slots__ = ("_rng",)

    def __init__(self, exact: Activation, rng: np.random.Generator) -> None:
        super().__init__(exact.name, exact.alpha, exact.beta)
        self._rng = rng

    def value(self, a: Any, out: Any = None) -> Any:
        y = super().value(a)
        y = y + np.finfo(np.float32).eps * self._rng.uniform(-1, 1, y.shape)
        if out is None:
            return y
        out[...] = y
        return out

    def complement(self, a: Any) -> Any:
        return 1 - self.value(a)


def allowances(call: Call) -> dict[str, float]:
    """What the approximations in ONNX Runtime's activations may add to the tolerance, an output.

    Its sigmoid and tanh are rational functions on a bounded range: 1.7e-7 and 3.2e-7 off at worst,
    and *absolutely*: sigmoid(-19) is 0, and a GRU reaches -1.0000005. The tolerance allows errors
    relative to the values that occur; where a gate is nearly shut and the whole output small, that
    is less than such an error. Added is 10 times the largest deviation of 8 runs of the definition
    in which these two are off by up to one ulp of 1, at random. Seen over 1250 calls with weights
    up to 20 times the usual: at most 0.2 of the sum, up to 1e9 of the tolerance alone; and with the
    usual weights at most 0.05 of the tolerance alone.
    """
    largest = dict.fromkeys(OUTPUTS[call.operator], 0.0)
    wide = {n: a if n == "sequence_lens" else a.astype(float) for n, a in call.inputs.items()}
    for case in cases(call.operator, wide, **call.attributes):
        exact = _outputs(case)
        for stream in np.random.default_rng(0).spawn(8):
            moved = _outputs(case._replace(cell=_approximate_cell(case, stream)))
            for name, a, b in zip(largest, exact, moved, strict=True):
                largest[name] = max(largest[name], float(np.abs(a - b).max(initial=0.0)))
    return {name: 10 * value for name, value in largest.items()}


def _outputs(case: Case) -> list[Any]:
    run = forward(case.cell, case.parameters, case.batch, case.state_0, reverse=case.reverse)
    return [run.output.values, *run.state_n]


def _approximate_cell(case: Case, rng: np.random.Generator) -> Any:
    """The cell with sigmoid and tanh replaced."""
    cell = case.cell
    options = {
        name: Approximate(value, rng)
        if isinstance(value, Activation) and value.name in ("sigmoid", "tanh")
        else value
        for name, value in cell.options().items()
    }
    return type(cell)(cell.input_size, cell.hidden_size, **options)
