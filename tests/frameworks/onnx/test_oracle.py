"""ONNX under the oracle: ONNX Runtime, the reference evaluator, and backends with planted bugs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import helper, numpy_helper

import refrnn as rr
from refrnn.errors import UnsupportedCase
from refrnn.oracle import Report, Status, adapt, check, standard_problem
from refrnn.oracle.adapters.onnx import modules
from refrnn.oracle.onnx import RefrnnBackend

RNN = ("X", "W", "R", "B", "sequence_lens", "initial_h")
LSTM = (*RNN, "initial_c")
NODES = dict(modules())
EMPTY = "the final state of a sequence of length 0 is zero, not the initial state"
LENGTHS = "with lengths ignored, padding stepped like data,"
# what has no padding, so that what else is ignored shows alone
FULL = ("all_equal", "single_row", "one_sequence")


def node(operator: str = "LSTM", inputs: Sequence[str] = LSTM, **attributes: Any) -> Any:
    slots = [name for name in inputs if operator == "LSTM" or name not in ("initial_c", "P")]
    return helper.make_node(operator, slots, ["Y"], hidden_size=5, **attributes)


def check_on(names: Sequence[str], subject: Any, semantics: Any = None, **options: Any) -> Report:
    adapted = adapt(subject, **options)
    problems = [standard_problem(name, adapted.network, adapted.dtype) for name in names]
    return check(adapted, problems, semantics=semantics)


def said(report: Report) -> dict[str, tuple[tuple[str, ...], tuple[str, ...]]]:
    """Tensors and problems of each failure, by its words."""
    return {f.words: (f.tensors, f.problems) for f in report.failures}


# --- (a) what is right ---------------------------------------------------------------------------


@pytest.mark.parametrize("name", NODES)
def test_onnx_runtime_is_right_but_where_it_has_nothing_to_do(name: str) -> None:
    report = check(NODES[name])
    ended = {
        "RNN": (),
        "GRU": ("all_empty", "empty_batch"),
        "LSTM": ("empty_batch",),
    }[NODES[name].op_type]
    assert tuple(p for f in report.failures for p in f.problems) == ended
    for failure in report.failures:
        assert failure.tensors == ("",)
        assert "ends the process by signal 6" in failure.words
    assert {f.words for f in report.deliberate} == {EMPTY}
    states = {"Y_h", "Y_c"} if NODES[name].op_type == "LSTM" else {"Y_h"}
    assert set(report.deliberate[0].tensors) == states
    for tensor in ("Y", *states):
        assert report.worst(tensor).deviation.in_tolerances < 0.1


@pytest.mark.parametrize("name", NODES)
def test_our_own_backend_needs_no_profile(name: str) -> None:
    report = check(NODES[name], runtime=RefrnnBackend, semantics="refrnn")
    assert report.ok, report
    assert report.deliberate == ()


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("direction", ["forward", "bidirectional"])
def test_layout_1_and_float64_on_our_backend(direction: str, dtype: str) -> None:
    subject = node(layout=1, direction=direction)
    names = ("length_0_and_1", "strided", "last_state", "extra_padding")
    report = check_on(names, subject, "refrnn", runtime=RefrnnBackend, dtype=dtype)
    assert report.ok, report
    assert report.dtype == dtype
    tight = 1e-14 if dtype == "float64" else 1e-5
    assert all(report.worst(t).deviation.normwise < tight for t in ("Y", "Y_h", "Y_c"))


def test_gradients_are_never_counted_as_passed() -> None:
    report = check_on(["all_equal"], node(inputs=(*LSTM, "P")))
    assert report.ok
    (finding,) = report.unchecked
    names = ("X", "W", "R", "B", "P", "initial_h", "initial_c")
    assert finding.tensors == tuple(f"d_{name}" for name in names)
    assert [e.tensor for e in report.entries if e.status is Status.OK] == ["Y", "Y_h", "Y_c"]


def test_the_reference_evaluator_is_right_where_there_is_no_padding() -> None:
    for operator in ("RNN", "GRU", "LSTM"):
        options: Any = {"runtime": "reference", "dtype": "float64", "semantics": "refrnn"}
        report = check_on(FULL, node(operator, direction="bidirectional"), **options)
        assert report.ok, report
        assert report.worst("Y").deviation.normwise < 1e-14


def test_a_users_batch() -> None:
    rng = np.random.default_rng(5)
    sequences = [rng.normal(size=(n, 7)).astype(np.float32) for n in (4, 0, 9)]
    batch = rr.RaggedBatch.from_sequences(sequences)
    report = check(node("GRU"), batch, input_size=7)
    assert report.ok
    assert report.problems == ("batch",)
    assert [f.words for f in report.deliberate] == [EMPTY]
    with pytest.raises(TypeError, match="batch has dtype float64, expected float32"):
        check(node("GRU"), batch.with_values(batch.values.astype(np.float64)), input_size=7)


# --- what is on purpose --------------------------------------------------------------------------


def test_the_law_says_what_onnx_runtime_does_with_length_0() -> None:
    report = check_on(["length_0_and_1", "nan_padding"], node(), semantics="refrnn")
    ((words, where),) = said(report).items()
    assert words.startswith(f"with the rule that {EMPTY} it agrees to ")
    assert where == (("Y_h", "Y_c"), ("length_0_and_1", "nan_padding"))


def shut_gates() -> Any:
    """An LSTM whose input and forget gates are at s(-18) or so: its state is nearly 0."""
    rng = np.random.default_rng(0)
    weights = {
        "W": rng.uniform(-0.1, 0.1, (1, 20, 3)).astype(np.float32),
        "R": rng.uniform(-0.1, 0.1, (1, 20, 5)).astype(np.float32),
        "B": np.zeros((1, 40), np.float32),
    }
    weights["B"][0, :5] = weights["B"][0, 10:15] = -18
    return weights


def test_the_absolute_error_of_onnx_runtimes_sigmoid_is_on_purpose_and_measured() -> None:
    report = check_on(["all_equal"], node(), weights=shut_gates())
    (finding,) = report.deliberate
    assert finding.words.startswith("activations are approximations, right to an absolute error")
    assert finding.tensors == ("Y", "Y_h", "Y_c")
    worst = report.worst("Y_c").deviation
    assert abs(worst.got - worst.expected) < 1e-7
    assert worst.normwise > 0.1  # no digit of it is right
    assert worst.in_tolerances < 0.2
    assert not report.failures
    # by the law it is wrong, and what is exact to the last place needs no such profile
    assert not check_on(["all_equal"], node(), "refrnn", weights=shut_gates()).ok
    ours: Any = {"weights": shut_gates(), "runtime": RefrnnBackend, "semantics": "refrnn"}
    assert check_on(["all_equal"], node(), **ours).ok


def test_what_is_granted_to_activations_is_no_blank_cheque() -> None:
    def off(outputs: list[Any], lengths: Any) -> list[Any]:
        return [a + np.float32(1e-5) for a in outputs]

    options: Any = {"weights": shut_gates(), "runtime": planted(outputs=off)}
    report = check_on(["all_equal"], node(), **options)
    assert {f.tensors for f in report.failures} == {("Y", "Y_h", "Y_c")} or len(report.failures) > 1


# --- (b) what the reference evaluator ignores ----------------------------------------------------


def test_it_ignores_lengths() -> None:
    report = check_on(["unsorted", "extra_padding"], node(), runtime="reference")
    ((words, where),) = said(report).items()
    assert words.startswith(f"{LENGTHS} it agrees to ")
    assert where == (("Y", "Y_h", "Y_c"), ("unsorted", "extra_padding"))


@pytest.mark.parametrize(
    ("attributes", "words"),
    [
        ({"clip": 0.5}, "with gate_clip ignored it agrees to "),
        ({"input_forget": 1}, "with input_forget ignored, the forget gate not coupled, it agrees"),
        (
            {"activations": ["Sigmoid", "Relu", "Tanh"]},
            "with activations ignored, the default ones used, it agrees to ",
        ),
    ],
)
def test_it_ignores(attributes: dict[str, Any], words: str) -> None:
    subject = node(inputs=(*LSTM, "P"), **attributes)
    report = check_on(FULL[:1], subject, runtime="reference")
    ((found, where),) = said(report).items()
    assert found.startswith(words)
    assert where == (("Y", "Y_h", "Y_c"), ("all_equal",))


def test_it_ignores_all_of_it_at_once() -> None:
    subject = node(clip=0.5, input_forget=1, activations=["Sigmoid", "Relu", "Tanh"])
    report = check_on(["unsorted"], subject, runtime="reference")
    ((found, where),) = said(report).items()
    assert found.startswith(
        "with lengths ignored, padding stepped like data and gate_clip ignored and input_forget "
        "ignored, the forget gate not coupled and activations ignored, the default ones used,"
    )
    assert where[0] == ("Y", "Y_h", "Y_c")


def test_it_lets_nan_out_of_the_padding_and_has_no_relu() -> None:
    report = check_on(["nan_padding"], node("GRU"), runtime="reference")
    assert all("NaN of the padding leaks into it" in f.words for f in report.failures)
    report = check_on(["all_equal"], node("RNN", activations=["Relu"]), runtime="reference")
    assert [f.words for f in report.failures] == [
        "crashed: RuntimeError: Unknown activation function 'Relu'."
    ]


# --- (c) planted bugs ----------------------------------------------------------------------------


def planted(
    weights: Callable[[dict[str, Any]], dict[str, Any]] | None = None,
    inputs: Callable[[dict[str, Any]], dict[str, Any]] | None = None,
    outputs: Callable[[list[Any], Any], Any] | None = None,
) -> Any:
    """A backend that is right but for what is changed."""

    class Planted:
        def __init__(self, model: Any) -> None:
            self.names = [value.name for value in model.graph.input]
            if weights is not None:
                copy = onnx.ModelProto()
                copy.CopyFrom(model)
                model, graph = copy, copy.graph
                own = {t.name: numpy_helper.to_array(t) for t in graph.initializer}
                del graph.initializer[:]
                changed = weights(own).items()
                graph.initializer.extend(numpy_helper.from_array(a, n) for n, a in changed)
            self.right = RefrnnBackend.prepare(model)

        @classmethod
        def prepare(cls, model: Any) -> Any:
            return cls(model)

        def run(self, given: Sequence[Any]) -> Any:
            named = dict(zip(self.names, given, strict=True))
            changed = named if inputs is None else inputs(dict(named))
            results = list(self.right.run(list(changed.values())))
            T, B = named["X"].shape[:2]
            lengths = named.get("sequence_lens", np.full(B, T, np.int32))
            return results if outputs is None else outputs(results, lengths)

    return Planted


def blocks(order: Sequence[int]) -> Callable[[dict[str, Any]], dict[str, Any]]:
    """Weights of an LSTM of 5 units with their gates in another order."""

    def changed(own: dict[str, Any]) -> dict[str, Any]:
        rows = np.concatenate([np.arange(5 * k, 5 * k + 5) for k in order])
        both = np.concatenate([rows, rows + 20])
        return {"W": own["W"][:, rows], "R": own["R"][:, rows], "B": own["B"][:, both]}

    return changed


def bias_doubled(own: dict[str, Any]) -> dict[str, Any]:
    B = own["B"].copy()
    B[:, : B.shape[1] // 2] *= 2
    return {**own, "B": B}


def R_transposed(own: dict[str, Any]) -> dict[str, Any]:
    D = len(own["R"])
    return {**own, "R": own["R"].reshape(D, -1, 5, 5).swapaxes(2, 3).reshape(D, -1, 5).copy()}


def full_lengths(given: dict[str, Any]) -> dict[str, Any]:
    lengths = np.full(given["X"].shape[1], len(given["X"]), np.int32)
    return {n: lengths if n == "sequence_lens" else a for n, a in given.items()}


def no_initial(given: dict[str, Any]) -> dict[str, Any]:
    return {n: a * 0 if n.startswith("initial") else a for n, a in given.items()}


def masked(outputs: list[Any], lengths: Any) -> list[Any]:
    """Y is zero in the padding."""
    T = len(outputs[0])
    real = (np.arange(T)[:, None] < lengths)[:, None, :, None]
    return [np.where(real, outputs[0], np.float32(0)), *outputs[1:]]


def in_order(outputs: list[Any], lengths: Any) -> list[Any]:
    order = np.argsort(-lengths, kind="stable")
    return [outputs[0], *(a[:, order] for a in outputs[1:])]


PLANTED: dict[str, tuple[Any, Any, str, tuple[str, ...]]] = {
    "gates swapped": (
        node(),
        planted(weights=blocks([0, 1, 3, 2])),
        "with the forget and cell gate rows swapped it agrees",
        ("Y", "Y_h", "Y_c"),
    ),
    "PyTorch's order of gates": (
        node(),
        planted(weights=blocks([0, 2, 3, 1])),
        "with gate rows in the order ",
        ("Y", "Y_h", "Y_c"),
    ),
    "bias doubled": (
        node("GRU"),
        planted(weights=bias_doubled),
        "with b_ih added twice it agrees",
        ("Y", "Y_h"),
    ),
    "R transposed": (
        node("RNN"),
        planted(weights=R_transposed),
        "with W_hh transposed it agrees",
        ("Y", "Y_h"),
    ),
    "final state from padding": (
        node(),
        planted(inputs=full_lengths, outputs=masked),
        "with the final state taken from the padding it agrees",
        ("Y_h", "Y_c"),
    ),
    "lengths ignored": (
        node("GRU", direction="bidirectional"),
        planted(inputs=full_lengths),
        f"{LENGTHS} it agrees",
        ("Y", "Y_h"),
    ),
    "padding put out": (
        node(),
        planted(outputs=lambda o, lengths: [np.where(o[0] == 0, np.float32(3), o[0]), *o[1:]]),
        "with the rule that outputs in the padding are left as they come it agrees",
        ("Y",),
    ),
    "reverse from the padding": (
        node("GRU", direction="reverse"),
        planted(inputs=full_lengths, outputs=masked),
        "with the reverse direction started in the padding, not at the last valid step, it agrees",
        ("Y", "Y_h"),
    ),
    "Y in the order of processing": (
        node("RNN", direction="reverse"),
        planted(outputs=lambda o, lengths: [o[0][::-1].copy(), o[1]]),
        "along axis 0 its rows are those of the reference in the order [8, 7, 6",
        ("Y",),
    ),
    "directions exchanged": (
        node("GRU", direction="bidirectional"),
        planted(outputs=lambda o, lengths: [o[0][:, ::-1].copy(), o[1]]),
        "along axis 1 its rows are those of the reference in the order [1, 0]",
        ("Y",),
    ),
    "Y_h and Y_c exchanged": (
        node(),
        planted(outputs=lambda o, lengths: [o[0], o[2], o[1]]),
        "with h_n and c_n in each other's place it agrees",
        ("Y_h", "Y_c"),
    ),
    "Y_h twice": (
        node(),
        planted(outputs=lambda o, lengths: [o[0], o[1], o[1].copy()]),
        "with h_n given back as c_n too it agrees",
        ("Y_c",),
    ),
    "initial state ignored": (
        node(),
        planted(inputs=no_initial),
        "with initial states ignored it agrees",
        ("Y", "Y_h", "Y_c"),
    ),
    "not put back": (
        node(),
        planted(outputs=in_order),
        "with final states left in the order of sorted sequences it agrees",
        ("Y_h", "Y_c"),
    ),
    "rows of the batch exchanged": (
        node("GRU"),
        planted(outputs=lambda o, lengths: [o[0], o[1][:, [1, 0, *range(2, o[1].shape[1])]]]),
        "along axis 1 its rows are those of the reference in the order [1, 0, 2",
        ("Y_h",),
    ),
}


@pytest.mark.parametrize("name", PLANTED)
def test_planted_bugs_are_found_and_named(name: str) -> None:
    subject, backend, words, tensors = PLANTED[name]
    report = check_on(["unsorted"], subject, runtime=backend)
    (finding,) = report.failures
    assert finding.tensors == tensors
    assert finding.words.startswith(words)


def test_only_the_reverse_direction_starts_in_the_padding() -> None:
    class Half:
        def __init__(self, model: Any) -> None:
            self.right = RefrnnBackend.prepare(model)
            self.stepped = planted(inputs=full_lengths, outputs=masked).prepare(model)

        @classmethod
        def prepare(cls, model: Any) -> Any:
            return cls(model)

        def run(self, given: Any) -> Any:
            right, stepped = self.right.run(given), self.stepped.run(given)
            Y = np.stack([right[0][:, 0], stepped[0][:, 1]], axis=1)
            return [Y, np.stack([right[1][0], stepped[1][1]])]

    subject = node("GRU", direction="bidirectional")
    (finding,) = check_on(["unsorted"], subject, "refrnn", runtime=Half).failures
    assert finding.tensors == ("Y", "Y_h")
    assert finding.words.startswith(
        "with the reverse direction started in the padding, not at the last valid step, it agrees"
    )


def test_one_wrong_entry_of_float64_is_found() -> None:
    def off(outputs: list[Any], lengths: Any) -> list[Any]:
        outputs[2] = outputs[2].copy()
        outputs[2][0, 1, 3] *= 1.001
        return outputs

    options: Any = {"runtime": planted(outputs=off), "dtype": "float64"}
    (finding,) = check_on(["all_equal"], node(), **options).failures
    assert finding.tensors == ("Y_c",)
    assert finding.words.startswith("1 of 20 elements differ")


# --- (d) what is no result at all ----------------------------------------------------------------


@pytest.mark.parametrize(
    ("outputs", "words"),
    [
        (
            lambda o, lengths: o[:2],
            "crashed: ValueError: the outputs are 2, expected 3 (Y, Y_h, Y_c)",
        ),
        (lambda o, lengths: None, "crashed: ValueError: the outputs are NoneType, expected 3"),
        (lambda o, lengths: [o[0].swapaxes(1, 2), *o[1:]], "it has shape (4, 4, 1, 5), expected"),
        (lambda o, lengths: [o[0].astype(np.float64), *o[1:]], "it has dtype float64, expected"),
        (lambda o, lengths: [o[0].tolist(), *o[1:]], "it has type list, expected an ndarray"),
        (
            lambda o, lengths: [o[0] * np.float32(np.nan), *o[1:]],
            "80 of 80 elements are not finite",
        ),
        (lambda o, lengths: 1 / 0, "crashed: ZeroDivisionError: division by zero"),
    ],
)
def test_what_is_no_result_is_a_finding(outputs: Any, words: str) -> None:
    report = check_on(["all_equal"], node(), runtime=planted(outputs=outputs))
    (finding,) = report.failures
    assert finding.words.startswith(words)


def test_a_backend_that_prepares_nothing_is_a_finding() -> None:
    class Refuses:
        @classmethod
        def prepare(cls, model: Any) -> Any:
            raise RuntimeError("no")

    report = check_on(["all_equal"], node(), runtime=Refuses)
    assert [f.words for f in report.failures] == ["crashed: RuntimeError: no"]


# --- models, weights and what is refused ---------------------------------------------------------


def model(subject: Any, extra: Sequence[Any] = (), omit: Sequence[str] = ()) -> Any:
    """A model as exporters make them: weights inside, the node among others."""
    rng = np.random.default_rng(2)
    shapes = {"W": (1, 15, 4), "R": (1, 15, 5), "B": (1, 30)}
    tensors = [
        numpy_helper.from_array(rng.normal(size=s).astype(np.float32) / 2, f"weights.{n}")
        for n, s in shapes.items()
        if n not in omit
    ]
    named = onnx.NodeProto()
    named.CopyFrom(subject)
    named.name = "gru"
    del named.input[:], named.output[:]
    named.input.extend(["turned", "weights.W", "weights.R", "weights.B"])
    named.output.extend(["", "last"])
    turn = helper.make_node("Transpose", ["x"], ["turned"], perm=[1, 0, 2])
    value = helper.make_tensor_value_info
    graph = helper.make_graph(
        [turn, named, *extra],
        "graph",
        [value("x", onnx.TensorProto.FLOAT, ["B", "T", 4])],
        [value("last", onnx.TensorProto.FLOAT, [1, "B", 5])],
        tensors,
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def test_a_model_and_its_path(tmp_path: Path) -> None:
    made = model(node("GRU", linear_before_reset=1))
    before = made.SerializeToString()
    onnx.save(made, tmp_path / "gru.onnx")
    reports = [
        check_on(["unsorted"], one)
        for one in (made, tmp_path / "gru.onnx", str(tmp_path / "gru.onnx"))
    ]
    assert all(r.ok for r in reports)
    assert reports[0].title.startswith("ONNX GRU(linear_before_reset=1) 'gru' run by ONNX Runtime")
    assert "GRU(4, 5)" in reports[0].network
    assert reports[0] == reports[1] == reports[2]
    assert made.SerializeToString() == before


def test_weights_are_those_of_the_model() -> None:
    made = model(node("GRU"))
    parameters = adapt(made).parameters()[0]
    W = numpy_helper.to_array(made.graph.initializer[0])[0]
    assert np.array_equal(parameters["W_ih"][5:10], W[:5])  # z: ONNX' first, our second


@pytest.mark.parametrize(
    ("subject", "options", "error", "message"),
    [
        (model(node("GRU")), {"opset": 17}, TypeError, "opset is given, expected none: the model"),
        (model(node("GRU")), {"dtype": "float64"}, TypeError, "dtype is given, expected none"),
        (
            model(node("GRU"), omit=["R"]),
            {},
            UnsupportedCase,
            "R is 'weights.R' of the graph, expected an initializer",
        ),
        (
            model(node("GRU"), [node("GRU")]),
            {},
            UnsupportedCase,
            "the model has 2 nodes of RNN, GRU, LSTM, expected one",
        ),
        (helper.make_node("Identity", ["x"], ["y"]), {}, UnsupportedCase, "operator Identity"),
        (helper.make_node("Conv", ["x"], ["y"]), {}, UnsupportedCase, "operator Conv"),
        (
            helper.make_node("RNN", RNN, ["Y"]),
            {},
            ValueError,
            "the node has no hidden_size, expected it where weights are not given",
        ),
        (node(clip=-1.0), {}, ValueError, "clip has value -1.0, expected"),
        (
            node(),
            {"weights": {"W": np.zeros((1, 20, 3), np.float32)}},
            ValueError,
            "weights has names ['W'], expected ['B', 'R', 'W'] as the node",
        ),
        (node(), {"weights": shut_gates(), "dtype": "float32"}, TypeError, "dtype is given"),
        (node(), {"weights": [1]}, TypeError, "weights has type list, expected a mapping"),
        (node(), {"dtype": "float64"}, UnsupportedCase, "does not run the node in float64"),
        (node(layout=1), {}, UnsupportedCase, "Batchwise recurrent operations (layout == 1)"),
        (node(), {"dtype": "float16"}, TypeError, "float16"),
        (node(), {"runtime": "tvm"}, ValueError, "runtime has value 'tvm', expected onnxruntime"),
        (node(), {"runtime": 3}, TypeError, "runtime has type int, expected a name or a Backend"),
        (node(), {"packed": True}, TypeError, "packed"),
        ("gru.pt", {}, TypeError, "subject has type str"),
        (
            node(
                direction="bidirectional",
                activations=["Sigmoid", "Tanh", "Tanh", "HardSigmoid", "Tanh", "Tanh"],
            ),
            {},
            UnsupportedCase,
            "different activations in its two directions",
        ),
    ],
)
def test_what_cannot_be_put_to_the_reference_is_refused(
    subject: Any, options: dict[str, Any], error: type[Exception], message: str
) -> None:
    with pytest.raises(error) as raised:
        adapt(subject, **options)
    assert message in str(raised.value)


def test_a_session_does_not_show_its_weights() -> None:
    import onnxruntime

    session = onnxruntime.InferenceSession(
        model(node("GRU")).SerializeToString(), providers=["CPUExecutionProvider"]
    )
    with pytest.raises(TypeError, match="expected a NodeProto, a ModelProto or the path"):
        adapt(session)


def test_holes_cannot_be_said_with_lengths() -> None:
    report = check_on(["holes"], node())
    assert [f.words for f in report.unchecked] == [
        "sequence_lens says how many steps are real, not which"
    ]
    assert not report.ok  # nothing was checked
