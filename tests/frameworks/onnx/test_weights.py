"""ONNX' operators with converted weights, in ONNX Runtime and in ONNX' own evaluator.

Neither has gradients: those are held to the documented equations in tests/oracle.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper
from onnx.reference import ReferenceEvaluator

import refrnn as rr
from refrnn.comparison import Case
from refrnn.oracle.weights import LAYOUTS, onnx_stack
from refrnn.types import Array

from ...oracle.agreement import Foreign, check, full_case, padded

PLAIN = [
    rr.RNN(3, 4),
    rr.RNN(3, 4, biases=0),
    rr.LSTM(3, 4),
    rr.LSTM(3, 4, peepholes=True),
    rr.GRU(3, 4, reset_after=False),
    rr.GRU(3, 4),
]
WITH_ATTRIBUTES = [
    rr.RNN(3, 4, activation="relu"),
    rr.LSTM(3, 4, coupled=True),
    rr.LSTM(3, 4, coupled=True, peepholes=True),
    rr.LSTM(3, 4, gate_clip=1.0),
    rr.LSTM(3, 4, cell_activation="softsign", output_activation="relu"),
    rr.GRU(3, 4, gate_clip=0.5),
    rr.GRU(3, 4, candidate_activation="softsign"),
]
NAMES = {"sigmoid": "Sigmoid", "tanh": "Tanh", "relu": "Relu", "softsign": "Softsign"}


def attributes(cell: Any) -> dict[str, Any]:
    slots = [name for name in cell.options() if name.endswith("activation")]
    chosen = {slot: NAMES[getattr(cell, slot).name] for slot in slots}
    found: dict[str, Any] = {"hidden_size": cell.hidden_size}
    if chosen != {slot: NAMES[type(cell)._DEFAULTS[slot].name] for slot in slots}:
        found["activations"] = list(chosen.values())
    if cell.gate_clip is not None:
        found["clip"] = cell.gate_clip
    if isinstance(cell, rr.GRU):
        found["linear_before_reset"] = int(cell.reset_after)
    if isinstance(cell, rr.LSTM) and cell.coupled:
        found["input_forget"] = 1
    return found


def model(cell: Any, inputs: Mapping[str, Array], **more: Any) -> Any:
    slots = ["X", "W", "R", "B", "sequence_lens", "initial_h", "initial_c", "P"]
    outputs = ["Y", *(f"Y_{letter}" for letter in cell.state_names)]
    given = [slot if slot in inputs else "" for slot in slots]
    while not given[-1]:
        given.pop()
    node = helper.make_node(type(cell).__name__, given, outputs, **attributes(cell), **more)
    kinds = {"float32": TensorProto.FLOAT, "float64": TensorProto.DOUBLE}
    graph = helper.make_graph(
        [node],
        "graph",
        [helper.make_tensor_value_info(n, kinds[a.dtype.name], a.shape) for n, a in inputs.items()],
        [
            helper.make_tensor_value_info(n, kinds[inputs["X"].dtype.name], axes)
            for n, axes in zip(outputs, ["TDBH", "DBH", "DBH"], strict=False)
        ],
    )
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 14)], ir_version=8)
    onnx.checker.check_model(made)
    return made


def feed(case: Case, weights: Mapping[str, Array]) -> dict[str, Array]:
    x, _ = padded(case)
    letters = case.cell.state_names
    states = {f"initial_{n}": a[None] for n, a in zip(letters, case.state_0, strict=True)}
    return {"X": x, **weights, **states}


def direction(results: list[Array], number: int) -> Foreign:
    y, *state = results
    return Foreign(y[:, number], [array[number] for array in state], None)


def run_onnx_runtime(made: Any, inputs: Mapping[str, Array]) -> list[Array]:
    session = onnxruntime.InferenceSession(
        made.SerializeToString(), providers=["CPUExecutionProvider"]
    )
    results: list[Array] = session.run(None, inputs)
    return results


@pytest.mark.parametrize("cell", [*PLAIN, *WITH_ATTRIBUTES], ids=str)
def test_onnx_runtime_computes_what_refrnn_does(cell: Any) -> None:
    layout = LAYOUTS[f"onnx.{type(cell).__name__}"]
    case = full_case(cell, "float32")
    inputs = feed(case, onnx_stack([layout.to_foreign(cell, case.parameters)]))
    results = run_onnx_runtime(model(cell, inputs), inputs)
    check(layout, case, direction(results, 0))


@pytest.mark.parametrize("cell", PLAIN, ids=str)
def test_onnx_own_evaluator_computes_what_refrnn_does(cell: Any) -> None:
    layout = LAYOUTS[f"onnx.{type(cell).__name__}"]
    case = full_case(cell, "float64")
    inputs = feed(case, onnx_stack([layout.to_foreign(cell, case.parameters)]))
    results = ReferenceEvaluator(model(cell, inputs)).run(None, inputs)
    check(layout, case, direction(results, 0))


@pytest.mark.parametrize("cell", PLAIN, ids=str)
def test_two_directions_are_stacked_as_onnx_has_them(cell: Any) -> None:
    layout = LAYOUTS[f"onnx.{type(cell).__name__}"]
    case = full_case(cell, "float32")
    other = cell.init_parameters(np.random.default_rng(1), "float32")
    cases = [case, case._replace(parameters=other, reverse=True)]
    weights = onnx_stack([layout.to_foreign(cell, one.parameters) for one in cases])
    inputs = feed(case, weights)
    inputs.update({n: np.repeat(a, 2, axis=0) for n, a in inputs.items() if n.startswith("init")})
    results = run_onnx_runtime(model(cell, inputs, direction="bidirectional"), inputs)
    for number, one in enumerate(cases):
        check(layout, one, direction(results, number))
