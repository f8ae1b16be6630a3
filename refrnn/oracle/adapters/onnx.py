"""ONNX: nodes and models of RNN, GRU and LSTM, run by ONNX Runtime or by whatever runs ONNX.

The node is run alone, in a model of its own with the weights as initializers. ONNX defines no
gradient, so that gradients are never offered.
"""

from __future__ import annotations

import itertools
import os
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from ...cells import LSTM
from ...comparison import Case
from ...errors import UnsupportedCase
from ...parameters import CellParameters
from ...types import Array
from ...unroll import Packed
from ...unroll.base import AnyCell, State
from ...validation import check_dtype, check_integer
from ..evaluation import Setting, evaluate, stretched
from ..mistakes import Mistake
from ..network import Network, Results
from ..onnx import cases
from ..onnx.attributes import OPERATORS, Operator
from ..padded import expected_d_input, expected_output
from ..problem import Problem
from ..semantics import PROFILES, Semantics
from ..subject import Expected, Subject
from ..weights import LAYOUTS, onnx_stack
from .onnx_runtimes import Runtime, runtime

__all__ = ["adapt", "modules"]

# The opset in which the three operators changed last.
_OPSET = 22
_INPUT_SIZE = 3
_WEIGHTS = ("W", "R", "B", "P")


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
        Of a node alone: ``W``, ``R``, and ``B`` and ``P`` if it has them, in ONNX' layout. Drawn
        if None, uniform in +-2/sqrt(H), those that the node names.
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
    node = _read(subject, {name: value for name, value in own.items() if value is not None})
    return _NodeSubject(node, _runtime_of(runtime))


def modules() -> Iterator[tuple[str, Any]]:
    """Nodes with every option, one by one: what ``refrnn check onnx`` runs."""
    from onnx.helper import make_node

    lstm = ("X", "W", "R", "B", "sequence_lens", "initial_h", "initial_c")
    hard = ["HardSigmoid", "Softsign", "Elu"]
    for name, inputs, attributes in (
        ("RNN", lstm[:6], {}),
        ("RNN Relu", lstm[:6], {"activations": ["Relu"]}),
        ("RNN bidirectional", lstm[:6], {"direction": "bidirectional", "activations": ["Tanh"] * 2}),
        ("GRU", lstm[:6], {}),
        ("GRU linear_before_reset", lstm[:6], {"linear_before_reset": 1}),
        ("GRU clip", lstm[:6], {"clip": 1.0, "direction": "reverse"}),
        ("GRU bidirectional", lstm[:6], {"direction": "bidirectional"}),
        ("LSTM", lstm, {}),
        ("LSTM without bias", ("X", "W", "R", "", *lstm[4:]), {}),
        ("LSTM peepholes", (*lstm, "P"), {}),
        ("LSTM clip", lstm, {"clip": 1.0}),
        ("LSTM input_forget", (*lstm, "P"), {"input_forget": 1}),
        ("LSTM activations", lstm, {"activations": hard, "activation_alpha": [0.3]}),
        ("LSTM reverse", lstm, {"direction": "reverse"}),
        ("LSTM bidirectional", lstm, {"direction": "bidirectional"}),
    ):
        yield name, make_node(name.split()[0], inputs, ["Y"], hidden_size=5, **attributes)


def _runtime_of(chosen: Any) -> Runtime:
    """The argument that has the function's name."""
    return runtime(chosen)


# --- reading -------------------------------------------------------------------------------------


class _Node(NamedTuple):
    """A node with its weights."""

    proto: Any
    operator: Operator
    attributes: dict[str, Any]
    weights: dict[str, Array]
    opset: int
    ir_version: int


def _read(subject: Any, own: dict[str, Any]) -> _Node:
    """A node, from wherever it is."""
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
        arrays = _checked(weights)
    version = onnx.helper.find_min_ir_version_for([onnx.helper.make_opsetid("", opset)])
    return _Node(subject, operator, attributes, arrays, opset, version)


def _read_node(proto: Any, opset: int) -> tuple[Operator, dict[str, Any]]:
    """Operator and checked attributes of a node."""
    from ..onnx.graph import read_node

    step = read_node(proto, opset)
    if step.operator not in OPERATORS:
        raise UnsupportedCase(
            f"the node has operator {step.operator}, expected one of {', '.join(OPERATORS)}"
        )
    return OPERATORS[step.operator], step.attributes


def _read_model(model: Any) -> _Node:
    """The one recurrent node of a model."""
    import onnx

    found = [node for node in model.graph.node if node.op_type in OPERATORS]
    if len(found) != 1:
        raise UnsupportedCase(
            f"the model has {len(found)} nodes of {', '.join(OPERATORS)}, expected one"
        )
    (proto,) = found
    opset = next(o.version for o in model.opset_import if o.domain in ("", "ai.onnx"))
    operator, attributes = _read_node(proto, opset)
    tensors = {tensor.name: tensor for tensor in model.graph.initializer}
    weights = {}
    for slot, name in zip(operator.inputs, proto.input, strict=False):
        if slot in _WEIGHTS and name:
            if name not in tensors:
                raise UnsupportedCase(f"{slot} is {name!r} of the graph, expected an initializer")
            weights[slot] = onnx.numpy_helper.to_array(tensors[name])
    return _Node(proto, operator, attributes, weights, opset, model.ir_version)


def _checked(weights: Any) -> dict[str, Array]:
    """Weights that were given; their shapes are checked with the node's."""
    if not isinstance(weights, Mapping):
        kind = type(weights).__name__
        raise TypeError(f"weights has type {kind}, expected a mapping of str to ndarray")
    for name in weights:
        if name not in _WEIGHTS:
            raise ValueError(f"weights has name {name!r}, expected some of {', '.join(_WEIGHTS)}")
    return {name: np.array(array) for name, array in weights.items() if array is not None}


def _drawn(
    proto: Any,
    operator: Operator,
    attributes: Mapping[str, Any],
    input_size: int = _INPUT_SIZE,
    dtype: Any = "float32",
) -> dict[str, Array]:
    """Weights for the inputs that a node names, uniform in +-2/sqrt(H)."""
    if "hidden_size" not in attributes:
        raise ValueError("the node has no hidden_size, expected it where weights are not given")
    H, G = attributes["hidden_size"], operator.gates
    D = 2 if attributes.get("direction") == "bidirectional" else 1
    I = check_integer(input_size, "input_size", minimum=1)  # noqa: E741
    target = check_dtype(dtype, "dtype", complex_allowed=False)
    named = {slot for slot, name in zip(operator.inputs, proto.input, strict=False) if name}
    shapes = {"W": (D, G * H, I), "R": (D, G * H, H), "B": (D, 2 * G * H), "P": (D, 3 * H)}
    rng = np.random.default_rng(0)
    bound = 2.0 / H**0.5
    drawn = {n: rng.uniform(-bound, bound, shape).astype(target) for n, shape in shapes.items()}
    return {n: a for n, a in drawn.items() if n in ("W", "R") or n in named}


# --- the subject ---------------------------------------------------------------------------------


class _NodeSubject:
    """A node with its weights and what runs it."""

    semantics = PROFILES["onnx"]

    def __init__(self, node: _Node, runs: Runtime) -> None:
        self._node = node
        self._runtime = runs
        directions = _directions(node)
        if len({case.cell for case in directions}) > 1:
            raise UnsupportedCase(
                "the node has different activations in its two directions, expected the same: "
                "the reference has one cell a layer"
            )
        self.network = Network([directions[0].cell], tuple(case.reverse for case in directions))
        self._parameters = tuple(case.parameters for case in directions)
        self.dtype = node.weights["W"].dtype
        self._batch_first = node.attributes.get("layout", 0) == 1
        one = np.zeros((1, 1, self.network.input_size), self.dtype)
        runs.check(self._model(()), {"X": one})

    @property
    def title(self) -> str:
        """Operator and attributes, and what runs it."""
        given = {n: v for n, v in self._node.attributes.items() if n != "hidden_size"}
        shown = ", ".join(f"{name}={value}" for name, value in given.items())
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
        named["d_X"] = expected_d_input(results, problem, semantics, batch_first=self._batch_first)
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
        return _ignored(setting, self._uncoupled())

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
        return tuple(c.parameters for c in _directions(self._node._replace(attributes=attributes)))


def _directions(node: _Node) -> tuple[Case, ...]:
    """A case of each direction, of one step; this checks the weights."""
    if "W" not in node.weights or node.weights["W"].ndim != 3:
        has = node.weights["W"].shape if "W" in node.weights else "no W"
        raise ValueError(f"weights has {has}, expected W of shape (D, G*H, I)")
    W = node.weights["W"]
    X = np.zeros((1, 1, W.shape[2]), W.dtype)
    return cases(node.operator.name, {"X": X, **node.weights}, **node.attributes)


# --- what runtimes ignore ------------------------------------------------------------------------


def _ignored(
    setting: Setting, uncoupled: tuple[CellParameters, ...] | None
) -> Iterator[Mistake]:
    """Every set of ignored options that the mistakes known to all subjects do not have."""
    cell = setting.network.cells[0]
    options = cell.options()
    kinds: dict[str, dict[str, Any]] = {}
    if options["gate_clip"] is not None:
        kinds["gate_clip"] = {"gate_clip": None}
    if uncoupled is not None:
        kinds["input_forget"] = {"coupled": False}
    defaults = {n: v for n, v in type(cell)._DEFAULTS.items() if n.endswith("activation")}
    changed = {n: v for n, v in defaults.items() if options[n] != v}
    if changed:
        kinds["activations"] = changed
    padded = (False,) if setting.problem.mask.all() else (False, True)
    for number, lengths in itertools.product(range(len(kinds) + 1), padded):
        for names in itertools.combinations(kinds, number):
            if names == ("input_forget",) or number + lengths > 1:
                other = {key: v for name in names for key, v in kinds[name].items()}
                weights = uncoupled if "input_forget" in names else None
                yield _mistake(setting, names, other, weights, lengths)


def _mistake(
    setting: Setting,
    names: Sequence[str],
    options: Mapping[str, Any],
    weights: tuple[CellParameters, ...] | None,
    lengths: bool,
) -> Mistake:
    """Some options ignored, and lengths too."""
    said = {
        "gate_clip": "gate_clip ignored",
        "input_forget": "input_forget ignored, the forget gate not coupled",
        "activations": "activations ignored, the default ones used",
    }
    words = ["lengths ignored, padding stepped like data"] * lengths + [said[n] for n in names]
    (cell,) = setting.network.cells
    other = type(cell)(cell.input_size, cell.hidden_size, **{**cell.options(), **options})
    meant = setting.semantics
    changed = setting._replace(network=Network([other], setting.network.reverse))
    if weights is not None:
        changed = changed._replace(parameters=tuple(p.astype(np.float64) for p in weights))

    def results() -> Results:
        everywhere = np.ones_like(setting.problem.mask)
        found = (
            stretched(changed, everywhere, Packed()) if lengths else evaluate(changed, Packed())
        )
        return found if weights is None else _without_forget(found, other)

    if lengths:  # what is stepped like data is put out like data
        meant = meant._replace(padded_output="any")
    return Mistake(f"{' and '.join(words)},", results, meant)


def _without_forget(results: Results, cell: AnyCell) -> Results:
    """Gradients without the rows of the forget gate."""
    assert isinstance(cell, LSTM)
    H = cell.hidden_size

    def cut(name: str, array: Array) -> Array:
        gated = name in ("W_ih", "W_hh", "b_ih", "b_hh")
        return np.concatenate([array[:H], array[2 * H :]]) if gated else array

    return results._replace(
        d_parameters=tuple(
            CellParameters({n: cut(n, a) for n, a in g.items() if n != "p_f"})
            for g in results.d_parameters
        )
    )
