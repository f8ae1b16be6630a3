"""The ONNX backend: onnx' own tests, unmodified; ONNX Runtime; and what is refused."""

from __future__ import annotations

import unittest
import warnings
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from hypothesis import given
from hypothesis import strategies as st
from onnx import helper, numpy_helper
from onnx.backend.base import Backend
from onnx.backend.test import BackendTest
from onnx.backend.test.loader import load_model_tests
from onnx.backend.test.runner import Runner
from onnx.reference import ReferenceEvaluator

import refrnn as rr
from refrnn.oracle.onnx import RefrnnBackend, gru, lstm, rnn

from ...oracle.onnx_calls import INPUTS, Call, calls, deviations, transposed
from .runtime import (
    OUTPUTS,
    allowances,
    make_model,
    make_node,
    model_of,
    run_onnx_runtime,
)

NODE_TESTS = [
    "test_gru_batchwise",
    "test_gru_bidirectional",
    "test_gru_defaults",
    "test_gru_reverse",
    "test_gru_seq_length",
    "test_gru_with_initial_bias",
    "test_lstm_batchwise",
    "test_lstm_bidirectional",
    "test_lstm_defaults",
    "test_lstm_reverse",
    "test_lstm_with_initial_bias",
    "test_lstm_with_peepholes",
    "test_rnn_seq_length",
    "test_simple_rnn_batchwise",
    "test_simple_rnn_bidirectional",
    "test_simple_rnn_defaults",
    "test_simple_rnn_reverse",
    "test_simple_rnn_with_initial_bias",
]
BY_NAME: dict[str, Any] = {"RNN": rnn, "GRU": gru, "LSTM": lstm}


# --- the tests of onnx -----------------------------------------------------------------------


@pytest.fixture(scope="module")
def node_tests() -> dict[str, Any]:
    """Every node test of onnx by name; some warn of overflow while they are made."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return {case.name: case for case in load_model_tests(kind="node")}


@pytest.mark.parametrize("name", NODE_TESTS)
def test_a_node_test_of_onnx_passes(node_tests: dict[str, Any], name: str) -> None:
    case = node_tests[name]
    assert RefrnnBackend.is_compatible(case.model)
    prepared = RefrnnBackend.prepare(case.model)
    assert len(case.data_sets) == 1
    for inputs, expected in case.data_sets:  # number, shapes, dtypes, then values
        got = prepared.run(inputs)
        assert len(got) == len(expected)
        Runner.assert_similar_outputs(expected, got, rtol=case.rtol, atol=case.atol)


def test_there_are_no_other_node_tests_of_these_operators(node_tests: dict[str, Any]) -> None:
    found = [
        name
        for name, case in node_tests.items()
        if any(node.op_type in BY_NAME for node in case.model.graph.node)
    ]
    assert sorted(found) == NODE_TESTS


def test_the_runner_of_onnx_is_satisfied() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        runner = BackendTest(RefrnnBackend, __name__)
    for name in NODE_TESTS:
        runner.include(f"^{name}_")
    result = unittest.TestResult()
    runner.test_suite.run(result)
    assert result.wasSuccessful()
    assert result.testsRun - len(result.skipped) == len(NODE_TESTS)  # the CPU; CUDA is skipped


def test_every_other_node_test_is_refused_by_name_or_passes(node_tests: dict[str, Any]) -> None:
    passed = set()
    for name in set(node_tests) - set(NODE_TESTS):
        case = node_tests[name]
        if not RefrnnBackend.is_compatible(case.model):  # UnsupportedCase, and nothing else
            continue
        for inputs, expected in case.data_sets:
            got = RefrnnBackend.run_model(case.model, inputs)
            Runner.assert_similar_outputs(expected, got, rtol=case.rtol, atol=case.atol)
        passed.add(name)
    assert "test_identity" in passed
    kinds = {node.op_type for name in passed for node in node_tests[name].model.graph.node}
    assert kinds == {"Identity"}


# --- ONNX Runtime ----------------------------------------------------------------------------

# Of these it takes other defaults: see refrnn.oracle.onnx.operators.
SAME_DEFAULTS = ("LeakyRelu", "HardSigmoid", "Elu")
SATURATING = {"Sigmoid", "Tanh"}


@st.composite
def runtime_calls(draw: st.DrawFn) -> Call:
    """What ONNX Runtime runs, float32 in layout 0; where all saturates, with large weights too."""
    call = draw(calls(dtype="float32", layouts=(0,), without_numbers=SAME_DEFAULTS))
    if {name for functions in call.functions for name, _, _ in functions} <= SATURATING:
        gain = np.float32(draw(st.sampled_from([1, 4, 20])))
        large = {name: gain * call.inputs[name] for name in ("W", "R")}
        call = call._replace(inputs={**call.inputs, **large})
    return call


def expected_outputs(call: Call) -> dict[str, Any]:
    """By refrnn in float64."""
    wide = {n: a if n == "sequence_lens" else a.astype(float) for n, a in call.inputs.items()}
    options = {"zero_state_on_empty": True, "unroll": "per_sequence"}
    outputs = BY_NAME[call.operator](**wide, **call.attributes, **options)
    return dict(zip(OUTPUTS[call.operator], outputs, strict=True))


def errors_of(call: Call, got: dict[str, Any], *, approximate: bool) -> dict[str, float]:
    """The errors in units of what is allowed, an output."""
    more = allowances(call) if approximate else dict.fromkeys(got, 0.0)
    return {
        d.name: d.in_tolerances * d.tolerance / (d.tolerance + more[d.name])
        for d in deviations(call, got, expected_outputs(call))
    }


@given(runtime_calls())
def test_onnx_runtime_and_the_backend_agree_with_the_definition(call: Call) -> None:
    got = run_onnx_runtime(call)
    errors = errors_of(call, got, approximate=True)
    assert max(errors.values()) <= 1, errors
    prepared = RefrnnBackend.prepare(model_of(call), zero_state_on_empty=True)
    ours = dict(zip(OUTPUTS[call.operator], prepared.run(list(call.inputs.values())), strict=True))
    for name, array in ours.items():
        assert (array.dtype, array.shape) == (got[name].dtype, got[name].shape)
    errors = errors_of(call, ours, approximate=False)
    assert max(errors.values()) <= 1, errors


def full_call(operator: str, dtype: str = "float32", **attributes: Any) -> Call:
    """Every input given, lengths 5, 2 and 3 of 5 steps, two directions."""
    rng = np.random.default_rng(1)
    sizes = {"X": (5, 3, 2), "initial_h": (2, 3, 4), "initial_c": (2, 3, 4), "P": (2, 12)}
    rows = {"RNN": 4, "GRU": 12, "LSTM": 16}[operator]
    sizes.update(W=(2, rows, 2), R=(2, rows, 4), B=(2, 2 * rows))
    inputs: dict[str, Any] = {
        name: np.array([5, 2, 3], np.int32)
        if name == "sequence_lens"
        else rng.uniform(-1, 1, sizes[name]).astype(dtype)
        for name in INPUTS[operator]
    }
    names = {"RNN": ["Tanh"], "GRU": ["Sigmoid", "Tanh"], "LSTM": ["Sigmoid", "Tanh", "Tanh"]}
    functions = tuple((name, 0.0, 0.0) for name in names[operator])
    attributes = {"hidden_size": 4, "direction": "bidirectional", **attributes}
    return Call(operator, inputs, attributes, (functions, functions))


def swapped(call: Call, name: str, gates: tuple[int, int]) -> Call:
    """With the blocks of two gates exchanged in one input."""
    H = call.inputs["R"].shape[2]
    blocks = np.split(call.inputs[name], call.inputs[name].shape[1] // H, axis=1)
    a, b = gates
    blocks[a], blocks[b] = blocks[b], blocks[a]
    return call._replace(inputs={**call.inputs, name: np.concatenate(blocks, axis=1)})


@pytest.mark.parametrize(
    ("operator", "name", "gates"),
    [
        ("GRU", "W", (0, 1)),
        ("GRU", "R", (1, 2)),
        ("GRU", "B", (2, 5)),
        ("LSTM", "W", (0, 1)),
        ("LSTM", "R", (1, 2)),
        ("LSTM", "B", (2, 3)),
        ("LSTM", "P", (1, 2)),
    ],
)
def test_the_comparison_sees_gates_in_another_order(
    operator: str, name: str, gates: tuple[int, int]
) -> None:
    call = full_call(operator, **({"linear_before_reset": 1} if operator == "GRU" else {}))
    right = errors_of(call, run_onnx_runtime(call), approximate=True)
    wrong = errors_of(call, run_onnx_runtime(swapped(call, name, gates)), approximate=True)
    assert max(right.values()) <= 1 < max(wrong.values())


def one_unit(activations: list[str], **attributes: Any) -> Call:
    """RNN with h = f(x), for three x at once: -0.5, 0.5 and 2."""
    inputs = {
        "X": np.array([-0.5, 0.5, 2.0], np.float32).reshape(1, 3, 1),
        "W": np.ones((1, 1, 1), np.float32),
        "R": np.zeros((1, 1, 1), np.float32),
    }
    attributes = {"hidden_size": 1, "activations": activations, **attributes}
    return Call("RNN", inputs, attributes, ())


@pytest.mark.parametrize(
    ("activation", "theirs", "ours"),
    [
        ("ThresholdedRelu", [0, 0.5, 2], [0, 0, 2]),
        ("Affine", [0, 0, 0], [-0.5, 0.5, 2]),
        ("ScaledTanh", [0, 0, 0], "activation_alpha has no number for ScaledTanh"),
    ],
)
def test_onnx_runtime_has_other_defaults_of_alpha_and_beta(
    activation: str, theirs: Any, ours: Any
) -> None:
    call = one_unit([activation])
    assert list(run_onnx_runtime(call)["Y"].ravel()) == theirs
    if isinstance(ours, str):
        with pytest.raises(ValueError, match=ours):
            RefrnnBackend.prepare(model_of(call))
    else:
        Y, _ = RefrnnBackend.run_model(model_of(call), call.inputs)
        assert list(Y.ravel()) == ours


def test_onnx_runtime_ignores_numbers_left_over() -> None:
    call = one_unit(["Relu"], activation_alpha=[0.5])
    assert list(run_onnx_runtime(call)["Y"].ravel()) == [0, 0.5, 2]
    with pytest.raises(ValueError, match="activation_alpha has 1 numbers, expected at most 0"):
        RefrnnBackend.prepare(model_of(call))


def test_onnx_runtime_drops_the_state_of_an_empty_sequence() -> None:
    call = full_call("LSTM")
    call.inputs["sequence_lens"][0] = 0
    _, Y_h, Y_c = run_onnx_runtime(call).values()
    assert not Y_h[:, 0].any()
    assert not Y_c[:, 0].any()
    kept = RefrnnBackend.run_model(model_of(call), call.inputs)
    assert np.array_equal(kept["Y_h"][:, 0], call.inputs["initial_h"][:, 0])
    lost = RefrnnBackend.run_model(model_of(call), call.inputs, zero_state_on_empty=True)
    assert not lost["Y_c"][:, 0].any()


# --- what onnx.reference does not look at ----------------------------------------------------

IGNORED: list[tuple[str, str, Any]] = [
    *((operator, "sequence_lens", None) for operator in BY_NAME),
    *((operator, "clip", 0.125) for operator in BY_NAME),
    ("LSTM", "input_forget", 1),
    ("LSTM", "activations", ["HardSigmoid", "Softsign", "Softsign"] * 2),
    ("GRU", "activations", ["HardSigmoid", "Softsign"] * 2),
]


@pytest.mark.parametrize(("operator", "what", "value"), IGNORED)
def test_onnx_reference_ignores(operator: str, what: str, value: Any) -> None:
    without = full_call(operator)
    lengths = without.inputs.pop("sequence_lens")
    if what == "sequence_lens":
        lengths[-1] -= 1
        given = without._replace(inputs={**without.inputs, "sequence_lens": lengths})
    else:
        given = without._replace(attributes={**without.attributes, what: value})

    def by(run: Any) -> list[Any]:
        return [run(model_of(call), call.inputs) for call in (without, given)]

    before, after = by(lambda model, inputs: ReferenceEvaluator(model).run(None, inputs))
    assert all(np.array_equal(a, b) for a, b in zip(before, after, strict=True))
    before, after = by(RefrnnBackend.run_model)
    assert not any(np.array_equal(a, b) for a, b in zip(before, after, strict=True))


@pytest.mark.parametrize("layout", [0, 1])
@pytest.mark.parametrize(
    ("operator", "attributes"),
    [("RNN", {}), ("GRU", {}), ("GRU", {"linear_before_reset": 1}), ("LSTM", {})],
)
def test_onnx_reference_agrees_in_what_it_looks_at(
    operator: str, attributes: dict[str, Any], layout: int
) -> None:
    call = full_call(operator, "float64", **attributes)
    del call.inputs["sequence_lens"]
    if layout == 1:
        call = transposed(call)
    theirs = ReferenceEvaluator(model_of(call)).run(None, call.inputs)
    got = dict(zip(OUTPUTS[operator], theirs, strict=True))
    expected = RefrnnBackend.run_model(model_of(call), call.inputs, unroll="per_sequence")
    named = {name: expected[name] for name in OUTPUTS[operator]}
    assert all(d.ok for d in deviations(call, got, named))


def test_onnx_reference_refuses_relu_in_rnn() -> None:
    model = model_of(one_unit(["Relu"]))
    with pytest.raises(RuntimeError, match="Unknown activation function 'Relu'"):
        ReferenceEvaluator(model)
    assert RefrnnBackend.is_compatible(model)


# --- models ----------------------------------------------------------------------------------


def chained(dtype: str = "float32") -> tuple[Any, dict[str, Any]]:
    """An encoder whose last state, through Identity, a decoder starts from; weights inside."""
    rng = np.random.default_rng(0)

    def draw(*shape: int) -> Any:
        return rng.uniform(-1, 1, shape).astype(dtype)

    inside = {
        "W1": draw(1, 16, 3),
        "R1": draw(1, 16, 4),
        "W2": draw(1, 12, 2),
        "R2": draw(1, 12, 4),
    }
    inputs = {"X1": draw(5, 3, 3), "lengths": np.array([5, 2, 3], np.int32), "X2": draw(2, 3, 2)}
    nodes = [
        helper.make_node(
            "LSTM", ["X1", "W1", "R1", "", "lengths"], ["", "", "c"], hidden_size=4, clip=0.5
        ),
        helper.make_node("Identity", ["c"], ["c_copy"]),
        helper.make_node(
            "GRU",
            ["X2", "W2", "R2", "", "", "c_copy"],
            ["Y", "Y_h"],
            hidden_size=4,
            linear_before_reset=1,
        ),
    ]
    initializers = [numpy_helper.from_array(array, name) for name, array in inside.items()]
    model = make_model(nodes, inputs, ["Y", "Y_h", "c"], initializers=initializers)
    _, _, c = lstm(inputs["X1"], inside["W1"], inside["R1"], None, inputs["lengths"], clip=0.5)
    Y, Y_h = gru(inputs["X2"], inside["W2"], inside["R2"], initial_h=c, linear_before_reset=1)
    return model, {"inputs": inputs, "outputs": {"Y": Y, "Y_h": Y_h, "c": c}}


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_nodes_may_be_chained_and_hold_their_weights(dtype: str) -> None:
    model, known = chained(dtype)
    prepared = RefrnnBackend.prepare(model, unroll=rr.Lanes())
    got = prepared.run(list(known["inputs"].values()))
    for k, (name, array) in enumerate(known["outputs"].items()):
        assert got[k].dtype == array.dtype
        assert np.array_equal(got[k], array)
        assert got[name] is got[k]
    again = prepared.run(known["inputs"])
    assert all(np.array_equal(a, b) for a, b in zip(got, again, strict=True))
    if dtype == "float32":
        session = onnxruntime.InferenceSession(model.SerializeToString())
        for a, b in zip(session.run(None, known["inputs"]), got, strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6)


def test_an_initializer_that_is_an_input_may_be_given() -> None:
    call = full_call("GRU", "float64")
    R = numpy_helper.from_array(call.inputs["R"], "R")
    model = make_model([make_node(call)], call.inputs, ["Y", "Y_h"], initializers=[R])
    rest = {name: a for name, a in call.inputs.items() if name != "R"}
    Y, _ = RefrnnBackend.run_model(model, list(rest.values()))
    assert np.array_equal(Y, RefrnnBackend.run_model(model, call.inputs)["Y"])
    other, _ = RefrnnBackend.run_model(model, {**call.inputs, "R": -call.inputs["R"]})
    assert not np.array_equal(Y, other)


@pytest.mark.parametrize("opset", [7, 13, 14, 21, 22, 23, onnx.defs.onnx_opset_version()])
@pytest.mark.parametrize("operator", sorted(BY_NAME))
def test_opsets_from_7_on(operator: str, opset: int) -> None:
    call = full_call(operator, "float64")
    got = RefrnnBackend.run_model(model_of(call, opset), call.inputs)
    expected = BY_NAME[operator](**call.inputs, **call.attributes)
    assert all(np.array_equal(a, b) for a, b in zip(got, expected, strict=True))


@pytest.mark.parametrize("operator", sorted(BY_NAME))
def test_layout_exists_since_opset_14(operator: str) -> None:
    call = full_call(operator, layout=0)
    assert len(RefrnnBackend.run_model(model_of(call, 14), call.inputs)) >= 2
    with pytest.raises(onnx.checker.ValidationError, match="layout"):
        RefrnnBackend.prepare(model_of(call, 13))


def test_a_node_may_be_run_alone() -> None:
    call = full_call("LSTM", "float64")
    expected = lstm(**call.inputs, **call.attributes)
    info = [(a.dtype, a.shape) for a in expected]
    node = make_node(call)
    for inputs in (call.inputs, list(call.inputs.values())):
        got = RefrnnBackend.run_node(node, inputs, outputs_info=info, opset_version=14)
        assert all(np.array_equal(a, b) for a, b in zip(got, expected, strict=True))
    with pytest.raises(ValueError, match="outputs_info has"):
        RefrnnBackend.run_node(node, call.inputs, outputs_info=info[:2])
    with pytest.raises(ValueError, match="inputs has 2 arrays, expected 8"):
        RefrnnBackend.run_node(node, [call.inputs["X"], call.inputs["W"]])
    with pytest.raises(rr.UnsupportedCase, match="of version 1"):
        RefrnnBackend.run_node(node, call.inputs, opset_version=6)


def test_it_is_a_backend_for_the_cpu() -> None:
    assert issubclass(RefrnnBackend, Backend)
    assert RefrnnBackend.supports_device("CPU")
    assert RefrnnBackend.supports_device("CPU:0")
    assert not RefrnnBackend.supports_device("CUDA")
    with pytest.raises(rr.UnsupportedCase, match="device has value 'CUDA'"):
        RefrnnBackend.prepare(chained()[0], "CUDA")


# --- what is refused -------------------------------------------------------------------------


def other_model(change: str) -> Any:
    """A model that is valid ONNX, and not for this backend."""
    call = full_call("GRU")
    model = model_of(call)
    graph = model.graph
    if change == "operator":
        graph.node.append(helper.make_node("Squeeze", ["Y"], ["Z"]))
    elif change == "domain":
        graph.node.append(helper.make_node("GRU", ["Y"], ["Z"], domain="com.example"))
        model.opset_import.append(helper.make_opsetid("com.example", 1))
    elif change == "no opset":
        del model.opset_import[:]
        model.opset_import.append(helper.make_opsetid("com.example", 1))
        graph.node[0].domain = "com.example"
    elif change == "float16":
        half = {
            n: a if a.dtype.kind == "i" else a.astype("float16") for n, a in call.inputs.items()
        }
        model = model_of(call._replace(inputs=half))
    elif change == "float16 inside":
        half = call.inputs["W"].astype("float16")
        graph.initializer.append(numpy_helper.from_array(half, "unused"))
    elif change == "sparse":
        values = numpy_helper.from_array(np.ones(1, np.float32), "sparse")
        indices = numpy_helper.from_array(np.zeros(1, np.int64), "indices")
        graph.sparse_initializer.append(helper.make_sparse_tensor(values, indices, [2]))
    elif change == "sequence":
        kind = helper.make_sequence_type_proto(helper.make_tensor_type_proto(1, None))
        graph.input.append(helper.make_value_info("list", kind))
    return model


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            "operator",
            "model has a node of operator Squeeze, expected only Identity, RNN, GRU, LSTM",
        ),
        ("domain", r"operator com\.example\.GRU"),
        ("no opset", "model has no opset of ONNX itself"),
        ("float16", "input 'X' has dtype float16"),
        ("float16 inside", "initializer 'unused' has dtype float16"),
        ("sparse", "model has sparse initializers"),
        ("sequence", "input 'list' has sequence_type, expected a tensor"),
    ],
)
def test_what_is_not_for_this_backend_is_refused_by_name(change: str, message: str) -> None:
    model = other_model(change)
    with pytest.raises(rr.UnsupportedCase, match=message):
        RefrnnBackend.prepare(model)
    assert not RefrnnBackend.is_compatible(model)


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"X1": None}, TypeError, "X1 has type NoneType, expected a NumPy array"),
        ({"X1": np.zeros((5, 3, 3))}, TypeError, "X1 has dtype float64, expected float32"),
        ({"X1": np.zeros((5, 3, 4), "f")}, ValueError, r"X1 has shape .*, expected \(5, 3, 3\)"),
        ({"lengths": np.array([5, 6, 0], "i")}, ValueError, r"sequence_lens\[1\] has value 6"),
        ({"Q": np.zeros(1, "f")}, ValueError, "inputs has 'Q', expected X1, lengths, X2"),
    ],
)
def test_wrong_inputs_are_refused(change: Any, error: type[Exception], message: str) -> None:
    model, known = chained()
    with pytest.raises(error, match=message):
        RefrnnBackend.run_model(model, {**known["inputs"], **change})


def test_wrong_arguments_are_refused() -> None:
    model, known = chained()
    prepared = RefrnnBackend.prepare(model)
    with pytest.raises(ValueError, match="inputs has no 'X1'"):
        prepared.run({})
    with pytest.raises(ValueError, match=r"inputs has 1 arrays, expected 3 \(X1, lengths, X2\)"):
        prepared.run([known["inputs"]["X1"]])
    with pytest.raises(TypeError, match="inputs has type ndarray"):
        prepared.run(known["inputs"]["X1"])
    with pytest.raises(TypeError, match="run has an unknown argument 'threads'"):
        prepared.run(known["inputs"], threads=2)
    with pytest.raises(TypeError, match="prepare has an unknown argument 'threads'"):
        RefrnnBackend.prepare(model, threads=2)
    with pytest.raises(TypeError, match="run_node has an unknown argument 'threads'"):
        RefrnnBackend.run_node(model.graph.node[0], known["inputs"], threads=2)
    with pytest.raises(TypeError, match=r"model has type bytes, expected onnx\.ModelProto"):
        RefrnnBackend.prepare(model.SerializeToString())
    with pytest.raises(TypeError, match="zero_state_on_empty has type int"):
        RefrnnBackend.prepare(model, zero_state_on_empty=1)
    with pytest.raises(ValueError, match="clip has value -1"):
        RefrnnBackend.prepare(model_of(full_call("RNN", clip=-1.0)))
    with pytest.raises(onnx.checker.ValidationError):
        RefrnnBackend.prepare(onnx.ModelProto())
