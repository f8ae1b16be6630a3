"""ONNX: nodes and models of RNN, GRU and LSTM, run by ONNX Runtime or by whatever runs ONNX.

The node is run alone, in a model of its own with the weights as initializers. ONNX defines no
gradient, so that gradients are never offered.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from ...errors import UnsupportedCase
from ...parameters import CellParameters
from ...types import Array
from ...unroll.base import State
from ..evaluation import Setting
from ..mistakes import Mistake
from ..network import Network, Results
from ..padded import expected_d_input, expected_output
from ..problem import Problem
from ..semantics import Semantics
from ..subject import Expected, Subject
from ..weights import LAYOUTS, onnx_stack
from .onnx_mistakes import ignored
from .onnx_nodes import Node, directions, read
from .onnx_runtimes import Runtime, find_runtime

__all__ = ["adapt", "modules"]


def adapt(
    subject: Any,
    *,
    runtime: Any = "onnxruntime",
    weights: Mapping[str, Any] | None = None,
    input_size: int | None = None,
    dtype: Any = None,
    opset: int | None = None,
) -> Subject:
    """A subject of a recurrent node of ONNX.

    Parameters
    ----------
    subject : onnx.NodeProto, onnx.ModelProto, str or path
        A node of RNN, GRU or LSTM, or a model with one, whose initializers are the weights. The
        node's attributes are kept; it is taken out of the model and run alone, all its outputs
        named, and sequence_lens, initial_h and initial_c connected.
    runtime : {"onnxruntime", "reference"} or a Backend
        ONNX Runtime on the CPU, ``onnx.reference.ReferenceEvaluator``, or a class with
        ``prepare(model)`` as ``onnx.backend.base.Backend`` has it.
    weights : mapping of str to ndarray, optional
        Of a node alone, in ONNX' layout: those of ``W``, ``R``, ``B`` and ``P`` that the node
        names. Drawn if None, uniform in +-2/sqrt(H), in half of that for an RNN whose states are
        not bounded.
    input_size : int, optional
        Of a node whose weights are drawn; 3 if None.
    dtype : dtype, optional
        Of a node whose weights are drawn: float32, or float64, which ONNX Runtime does not have.
    opset : int, optional
        Of a node alone; 22 if None, the version in which the operators changed last.

    Returns
    -------
    Subject

    Raises
    ------
    TypeError
        If it is not of these types, or an option is given to a subject that has its own.
    ValueError
        If an attribute or a weight is wrong, or the node has no hidden_size for weights to draw.
    UnsupportedCase
        If the model has not exactly one recurrent node or a weight is no initializer, the two
        directions have different activations, or the runtime does not run the node at all.
    """
    own = {"weights": weights, "input_size": input_size, "dtype": dtype, "opset": opset}
    node = read(subject, {name: value for name, value in own.items() if value is not None})
    return _NodeSubject(node, find_runtime(runtime))


def modules() -> Iterator[tuple[str, Any]]:
    """Nodes with every option, one by one: what ``refrnn check onnx`` runs."""
    from onnx.helper import make_node

    rnn = ("X", "W", "R", "B", "sequence_lens", "initial_h")
    lstm = (*rnn, "initial_c")
    both = {"direction": "bidirectional"}
    hard = {"activations": ["HardSigmoid", "Softsign", "Elu"], "activation_alpha": [0.3]}
    options: tuple[tuple[str, tuple[str, ...], dict[str, Any]], ...] = (
        ("RNN", rnn, {}),
        ("RNN Relu", rnn, {"activations": ["Relu"]}),
        ("RNN bidirectional", rnn, {"activations": ["Tanh", "Tanh"], **both}),
        ("GRU", rnn, {}),
        ("GRU linear_before_reset", rnn, {"linear_before_reset": 1}),
        ("GRU clip", rnn, {"clip": 1.0, "direction": "reverse"}),
        ("GRU bidirectional", rnn, both),
        ("LSTM", lstm, {}),
        ("LSTM without bias", ("X", "W", "R", "", *lstm[4:]), {}),
        ("LSTM peepholes", (*lstm, "P"), {}),
        ("LSTM clip", lstm, {"clip": 1.0}),
        ("LSTM input_forget", (*lstm, "P"), {"input_forget": 1}),
        ("LSTM activations", lstm, hard),
        ("LSTM reverse", lstm, {"direction": "reverse"}),
        ("LSTM bidirectional", lstm, both),
    )
    for name, inputs, attributes in options:
        yield name, make_node(name.split()[0], inputs, ["Y"], hidden_size=5, **attributes)


class _NodeSubject:
    """A node with its weights and what runs it."""

    def __init__(self, node: Node, runs: Runtime) -> None:
        self._node = node
        self._runtime = runs
        self.semantics = runs.semantics
        both = directions(node)
        if len({case.cell for case in both}) > 1:
            raise UnsupportedCase(
                "the node has different activations in its two directions, expected the same: "
                "the reference has one cell a layer"
            )
        self.network = Network([both[0].cell], tuple(case.reverse for case in both))
        self._parameters = tuple(case.parameters for case in both)
        self.dtype = node.weights["W"].dtype
        self._batch_first = node.attributes.get("layout", 0) == 1
        one = np.zeros((1, 1, self.network.input_size), self.dtype)
        runs.check(self._model(()), {"X": one})

    @property
    def title(self) -> str:
        """Operator and attributes, and what runs it."""
        given = {n: v for n, v in self._node.attributes.items() if n != "hidden_size"}
        shown = ", ".join(f"{name}={_shown(value)}" for name, value in given.items())
        name = f" {self._node.proto.name!r}" if self._node.proto.name else ""
        return f"ONNX {self._node.operator.name}({shown}){name} run by {self._runtime.title}"

    def parameters(self) -> tuple[CellParameters, ...]:
        """The weights of each direction."""
        return self._parameters

    def supports(self, problem: Problem) -> str | None:
        """Everything that lengths can say."""
        if problem.has_holes:
            return "sequence_lens says how many steps are real, not which"
        return None

    def run(self, problem: Problem) -> Mapping[str, Any]:
        """Run the model; what can be left out is, where it means the same."""
        inputs: dict[str, Array] = {"X": problem.padded_input(self._batch_first)}
        if not problem.mask.all():
            inputs["sequence_lens"] = problem.lengths.astype(np.int32)
        if not problem.default_state:
            inputs.update(self._named("initial_{}", problem.state_0))
        outputs = self._runtime.run(self._model(tuple(inputs)[1:]), inputs)
        names = self._node.operator.outputs
        if not isinstance(outputs, (list, tuple)) or len(outputs) != len(names):
            has = len(outputs) if isinstance(outputs, (list, tuple)) else type(outputs).__name__
            raise ValueError(f"the outputs are {has}, expected {len(names)} ({', '.join(names)})")
        return dict(zip(names, outputs, strict=True))

    def present(
        self, results: Results, problem: Problem, semantics: Semantics
    ) -> Mapping[str, Expected]:
        """ONNX' names and layouts."""
        named = {"Y": self._output(expected_output(results, problem, semantics, batch_first=False))}
        finals = self._named("Y_{}", results.state_n)
        named.update({name: Expected(array) for name, array in finals.items()})
        named["d_X"] = expected_d_input(results, problem, batch_first=self._batch_first)
        layout = LAYOUTS[f"onnx.{self._node.operator.name}"]
        weights = [
            layout.gradient_to_foreign(self.network.cells[0], g) for g in results.d_parameters
        ]
        named.update({f"d_{n}": Expected(a) for n, a in onnx_stack(weights).items()})
        if not problem.default_state:
            first = self._named("d_initial_{}", results.d_state_0)
            named.update({name: Expected(array) for name, array in first.items()})
        return named

    def mistakes(self, setting: Setting) -> Iterator[Mistake]:
        """Inputs and attributes that are ignored, several at once."""
        return ignored(setting, self._uncoupled())

    def _named(self, form: str, states: Sequence[State]) -> dict[str, Array]:
        """States by run as (D, B, H) arrays, or (B, D, H)."""
        axis = 1 if self._batch_first else 0
        letters = self.network.cells[0].state_names
        arrays = [np.stack(parts, axis=axis) for parts in zip(*states, strict=True)]
        return {form.format(n): a for n, a in zip(letters, arrays, strict=True)}

    def _output(self, steps: Expected) -> Expected:
        """(T, B, D*H) as (T, D, B, H), or (B, T, D, H)."""
        D = self.network.num_directions
        order = (1, 0, 2, 3) if self._batch_first else (0, 2, 1, 3)

        def laid_out(array: Array) -> Array:
            split = array.reshape(*array.shape[:2], D, -1 if array.size else self._hidden_size)
            return np.transpose(split, order)

        compared = None if steps.compared is None else laid_out(steps.compared)
        return Expected(laid_out(steps.array), compared)

    @property
    def _hidden_size(self) -> int:
        return self.network.cells[0].hidden_size

    def _model(self, connected: Sequence[str]) -> Any:
        """A model of the node alone, with some of its optional inputs."""
        from onnx import NodeProto, TensorProto, helper, numpy_helper

        operator, node = self._node.operator, NodeProto()
        node.CopyFrom(self._node.proto)
        del node.input[:], node.output[:]
        there = {"X", *self._node.weights, *connected}
        node.input.extend(name if name in there else "" for name in operator.inputs)
        while not node.input[-1]:
            del node.input[-1]
        node.output.extend(operator.outputs)
        kind = helper.np_dtype_to_tensor_dtype(self.dtype)
        ranks = {"sequence_lens": 1, "Y": 4}
        kinds = {"sequence_lens": TensorProto.INT32}
        inputs = [
            helper.make_tensor_value_info(n, kinds.get(n, kind), [None] * ranks.get(n, 3))
            for n in ("X", *connected)
        ]
        outputs = [
            helper.make_tensor_value_info(n, kind, [None] * ranks.get(n, 3))
            for n in operator.outputs
        ]
        weights = [numpy_helper.from_array(a, n) for n, a in self._node.weights.items()]
        graph = helper.make_graph([node], "recurrent", inputs, outputs, weights)
        return helper.make_model(
            graph,
            opset_imports=[helper.make_opsetid("", self._node.opset)],
            ir_version=self._node.ir_version,
        )

    def _uncoupled(self) -> tuple[CellParameters, ...] | None:
        """All rows of the weights, where the node has forget rows that it is not to use."""
        if not getattr(self.network.cells[0], "coupled", False):
            return None
        attributes = {**self._node.attributes, "input_forget": 0}
        return tuple(c.parameters for c in directions(self._node._replace(attributes=attributes)))


def _shown(value: Any) -> str:
    """An attribute; its floats have been float32."""
    if isinstance(value, list):
        return f"[{', '.join(map(_shown, value))}]"
    return f"{value:.6g}" if isinstance(value, float) else str(value)
