"""The ONNX operators in NumPy: against the equations one step at a time, and the complex step."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import numpy as np
import pytest
from hypothesis import assume, find, given
from hypothesis import strategies as st

import refrnn as rr
from refrnn.gradcheck import check_gradients
from refrnn.oracle import onnx as operators
from refrnn.oracle.onnx import cases, gradient, gru, lstm, rnn

from ..adjoint import adjoint_errors
from .onnx_calls import Call, by_equations, calls, deviations, transposed

BY_NAME: dict[str, Any] = {"RNN": rnn, "GRU": gru, "LSTM": lstm}
OUTPUTS = {"RNN": ("Y", "Y_h"), "GRU": ("Y", "Y_h"), "LSTM": ("Y", "Y_h", "Y_c")}


def run(call: Call, **options: Any) -> dict[str, Any]:
    """The outputs by name."""
    outputs = BY_NAME[call.operator](**call.inputs, **call.attributes, **options)
    return dict(zip(OUTPUTS[call.operator], outputs, strict=True))


def draw_cotangents(call: Call, seed: int = 0) -> dict[str, Any]:
    """Random ones, NaN where Y is padding."""
    rng = np.random.default_rng(seed)
    like = run(call)
    d = {name: rng.normal(size=a.shape).astype(a.dtype) for name, a in like.items()}
    for b, n in enumerate(call.lengths):
        if call.batch_first:
            d["Y"][b, n:] = np.nan
        else:
            d["Y"][n:, :, b] = np.nan
    return d


def same(a: dict[str, Any], b: dict[str, Any]) -> bool:
    return set(a) == set(b) and all(np.array_equal(a[n], b[n]) for n in a)


def example_call(operator: str = "LSTM", dtype: str = "float64", **attributes: Any) -> Call:
    """Three sequences of lengths 3, 0 and 1 in 4 steps, every input given, both directions."""
    rng = np.random.default_rng(1)
    G, T, B, I, H, D = {"RNN": 1, "GRU": 3, "LSTM": 4}[operator], 4, 3, 2, 5, 2  # noqa: E741
    shapes = {
        "X": (T, B, I),
        "W": (D, G * H, I),
        "R": (D, G * H, H),
        "B": (D, 2 * G * H),
        "initial_h": (D, B, H),
    }
    if operator == "LSTM":
        shapes.update(initial_c=(D, B, H), P=(D, 3 * H))
    inputs: dict[str, Any] = {n: rng.uniform(-1, 1, s).astype(dtype) for n, s in shapes.items()}
    inputs["sequence_lens"] = np.array([3, 0, 1], np.int32)
    functions = {"RNN": ("Tanh",), "GRU": ("Sigmoid", "Tanh")}.get(
        operator, ("Sigmoid", "Tanh", "Tanh")
    )
    spelt = tuple((name, 0.0, 0.0) for name in functions)
    return Call(operator, inputs, {"direction": "bidirectional", **attributes}, (spelt, spelt))


# --- forward ---------------------------------------------------------------------------------


@given(calls())
def test_outputs_are_those_of_the_equations(call: Call) -> None:
    got = run(call)
    assert all(a.dtype == call.inputs["X"].dtype for a in got.values())
    wrong = [d for d in deviations(call, got) if not d.ok]
    assert not wrong, "; ".join(map(str, wrong))


@pytest.mark.parametrize("operator", sorted(BY_NAME))
def test_the_equations_see_a_wrong_weight(operator: str) -> None:
    call = example_call(operator)
    inputs = {**call.inputs, "R": call.inputs["R"].copy()}
    inputs["R"][1, -1, -1] *= 1 + 1e-9
    got = run(call._replace(inputs=inputs))
    assert any(not d.ok for d in deviations(call, got))


REACHED: dict[str, Any] = {
    "length 0 with a state": lambda c: 0 in c.lengths and "initial_h" in c.inputs,
    "no lengths": lambda c: "sequence_lens" not in c.inputs,
    "two directions": lambda c: c.batch_first and c.attributes["direction"] == "bidirectional",
    "coupled peepholes": lambda c: c.attributes.get("input_forget") == 1 and "P" in c.inputs,
    "reset after": lambda c: c.attributes.get("linear_before_reset") == 1 and "B" in c.inputs,
    "clip and beta": lambda c: {"clip", "activation_beta"} <= set(c.attributes),
    "defaults": lambda c: "activations" in c.attributes and "activation_alpha" not in c.attributes,
}


@pytest.mark.parametrize("what", REACHED)
def test_every_option_is_drawn(what: str) -> None:
    assert REACHED[what](find(calls(), REACHED[what]))


@given(calls(layouts=(0,)))
def test_layout_1_is_layout_0_transposed(call: Call) -> None:
    ours, theirs = run(call), run(transposed(call))
    assert np.array_equal(theirs["Y"], ours["Y"].transpose(2, 0, 1, 3))
    for name in OUTPUTS[call.operator][1:]:
        assert np.array_equal(theirs[name], ours[name].swapaxes(0, 1))
    d = draw_cotangents(call)
    d_there = {n: a.transpose(2, 0, 1, 3) if n == "Y" else a.swapaxes(0, 1) for n, a in d.items()}
    there = transposed(call)
    ours = gradient(call.operator, call.inputs, d, **call.attributes)
    theirs = gradient(there.operator, there.inputs, d_there, **there.attributes)
    back = transposed(there._replace(inputs={**there.inputs, **theirs}))
    assert same(ours, back.arrays())


@given(calls())
def test_padding_reaches_nothing_and_is_zero(call: Call) -> None:
    clean = {**call.inputs, "X": np.nan_to_num(call.inputs["X"])}
    got = run(call)
    assert same(got, run(call._replace(inputs=clean)))
    Y = got["Y"] if call.batch_first else got["Y"].transpose(2, 0, 1, 3)
    for b, n in enumerate(call.lengths):
        assert (Y[b, n:] == 0).all()


@given(calls())
def test_empty_sequences_keep_their_state_or_lose_it(call: Call) -> None:
    empty = np.array(call.lengths) == 0
    assume(empty.any())
    kept, lost = run(call), run(call, zero_state_on_empty=True)
    assert np.array_equal(kept["Y"], lost["Y"])
    for letter in [name[2:] for name in kept if name != "Y"]:
        initial = call.inputs.get(f"initial_{letter}", np.zeros_like(kept[f"Y_{letter}"]))
        at = (empty,) if call.batch_first else (slice(None), empty)
        assert np.array_equal(kept[f"Y_{letter}"][at], initial[at])
        assert (lost[f"Y_{letter}"][at] == 0).all()
        rest = (~empty,) if call.batch_first else (slice(None), ~empty)
        assert np.array_equal(kept[f"Y_{letter}"][rest], lost[f"Y_{letter}"][rest])


@given(calls(), st.sampled_from(["per_sequence", "masked", "bucketed", "packed"]))
def test_every_unroll_gives_the_operator(call: Call, unroll: str) -> None:
    wrong = [d for d in deviations(call, run(call, unroll=unroll)) if not d.ok]
    assert not wrong, "; ".join(map(str, wrong))


@pytest.mark.parametrize("shape", [(0, 3, 2), (4, 0, 2)], ids=["no steps", "no sequences"])
@pytest.mark.parametrize("operator", sorted(BY_NAME))
def test_nothing_to_do_is_done(operator: str, shape: tuple[int, ...]) -> None:
    call = example_call(operator)
    inputs = {"X": np.zeros(shape), "W": call.inputs["W"], "R": call.inputs["R"]}
    outputs = BY_NAME[operator](**inputs, direction="bidirectional")
    assert outputs[0].shape == (shape[0], 2, shape[1], 5)
    assert all(a.shape == (2, shape[1], 5) for a in outputs[1:])
    assert not any(a.any() for a in outputs)


def test_numbers_go_in_order_to_the_activations_that_take_them() -> None:
    X, W, R = np.array([[[-1.0]]]), np.ones((2, 1, 1)), np.zeros((2, 1, 1))

    def Y(names: list[str], **numbers: Any) -> list[float]:
        both = rnn(X, W, R, direction="bidirectional", activations=names, **numbers)[0]
        return list(both.ravel())

    assert Y(["Relu", "LeakyRelu"], activation_alpha=[0.5]) == [0.0, -0.5]
    assert Y(["leakyrelu", "ELU"], activation_alpha=[0.5]) == [-0.5, np.expm1(-1.0)]
    assert Y(["LeakyRelu", "LeakyRelu"]) == [-0.01, -0.01]
    assert Y(["Affine", "HardSigmoid"], activation_alpha=[2.0, 0.25]) == [-2.0, 0.25]
    numbers = {"activation_alpha": [2.0, 3.0], "activation_beta": [0.5]}
    assert Y(["Affine", "ThresholdedRelu"], **numbers) == [-1.5, 0.0]


def test_the_threshold_of_thresholded_relu_is_1_and_stays_below() -> None:
    X, W, R = np.array([0.5, 1.0, 1.5]).reshape(1, 3, 1), np.ones((1, 1, 1)), np.zeros((1, 1, 1))
    assert list(rnn(X, W, R, activations=["ThresholdedRelu"])[0].ravel()) == [0, 0, 1.5]


def test_the_written_out_default_of_rnn_goes_with_one_direction() -> None:
    X, W, R = np.ones((2, 1, 1)), np.ones((1, 1, 1)), np.ones((1, 1, 1))
    default = rnn(X, W, R)[0]
    assert np.array_equal(default, rnn(X, W, R, activations=["Tanh", "Tanh"])[0])
    with pytest.raises(ValueError, match="activations has 2 names, expected 1"):
        rnn(X, W, R, activations=["Relu", "Tanh"])


# --- gradient --------------------------------------------------------------------------------


@given(calls(dtype="float64"))
def test_gradient_is_that_of_the_equations(call: Call) -> None:
    cotangents = draw_cotangents(call)
    gradients = gradient(call.operator, call.inputs, cotangents, **call.attributes)
    read = {name: np.nan_to_num(a) for name, a in cotangents.items()}
    errors = adjoint_errors(
        lambda moved: by_equations(call, dict(moved)), call.arrays(), read, gradients
    )
    assert max(errors.values()) < 1e-11, errors


@pytest.mark.parametrize("operator", sorted(BY_NAME))
@pytest.mark.parametrize("zero_state", [False, True])
def test_gradient_is_that_of_finite_differences(operator: str, zero_state: bool) -> None:
    call = example_call(operator)
    cotangents = {n: np.nan_to_num(a) for n, a in draw_cotangents(call).items()}
    options = {**call.attributes, "zero_state_on_empty": zero_state}
    gradients = gradient(operator, call.inputs, cotangents, **options)
    rng = np.random.default_rng(3)
    for name, array in call.arrays().items():
        v = rng.choice([-1.0, 1.0], array.shape)
        sides = []
        for step in (1e-6, -1e-6):
            outputs = BY_NAME[operator](**{**call.inputs, name: array + step * v}, **options)
            named = zip(OUTPUTS[operator], outputs, strict=True)
            sides.append(sum(float(np.vdot(cotangents[n], a)) for n, a in named))
        difference = (sides[0] - sides[1]) / 2e-6
        assert difference == pytest.approx(np.vdot(gradients[name], v), rel=1e-7, abs=1e-8), name
    lost = gradients["initial_h"][:, 1]
    expected = np.zeros_like(lost) if zero_state else cotangents["Y_h"][:, 1]
    assert np.array_equal(lost, expected)


def test_gradient_has_what_was_given_and_zeros_where_nothing_is_used() -> None:
    call = example_call("LSTM", input_forget=1)
    d = gradient("LSTM", call.inputs, draw_cotangents(call), **call.attributes)
    assert {n: a.shape for n, a in d.items()} == {n: a.shape for n, a in call.arrays().items()}
    assert not d["X"][3:].any()
    assert not d["W"][:, 10:15].any()
    assert not d["R"][:, 10:15].any()
    assert not d["B"][:, 10:15].any()
    assert not d["P"][:, 10:15].any()
    assert d["P"][:, :10].all()
    few = {name: call.inputs[name] for name in ("X", "W", "R")}
    assert set(gradient("LSTM", few, {}, **call.attributes)) == {"X", "W", "R"}
    assert not any(a.any() for a in gradient("LSTM", few, {"Y": None}, **call.attributes).values())


def test_cases_carry_an_operator_to_the_gradient_check() -> None:
    call = example_call("GRU", clip=0.5)
    rng = np.random.default_rng(0)
    for case in cases("GRU", call.inputs, **call.attributes):
        size = (case.batch.total_steps, 5)
        checks = check_gradients(case._replace(d_output=rng.normal(size=size)))
        assert all(check.ok for check in checks)


def test_inputs_stay_and_outputs_are_new() -> None:
    call = example_call("LSTM")
    before = {name: a.copy() for name, a in call.inputs.items()}
    for a in call.inputs.values():
        a.flags.writeable = False
    outputs = run(call)
    outputs.update(gradient("LSTM", call.inputs, draw_cotangents(call), **call.attributes))
    assert same(before, call.inputs)
    for a in outputs.values():
        assert a.flags.writeable
        assert not any(np.shares_memory(a, given) for given in call.inputs.values())


# --- errors ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changed", "error", "message"),
    [
        (
            {"X": np.zeros((4, 3))},
            ValueError,
            r"X has shape \(4, 3\), expected \(seq_length, batch",
        ),
        (
            {"X": np.zeros((4, 3, 2), np.float16)},
            TypeError,
            "X has dtype float16, expected float32",
        ),
        ({"X": np.zeros((4, 3, 2), complex)}, TypeError, "X has dtype complex128, expected"),
        ({"W": np.zeros((2, 15, 2))}, ValueError, r"W has shape .* 4\*hidden_size, input_size\) ="),
        ({"W": np.zeros((1, 20, 2))}, ValueError, r"W has shape .*num_directions.*\(2, 20, 2\)"),
        ({"W": np.zeros((2, 20, 2), np.float32)}, TypeError, "W has dtype float32, .* as X"),
        ({"R": np.zeros((2, 20, 4))}, ValueError, "W has shape"),
        ({"R": np.zeros((20, 5))}, ValueError, "R has shape"),
        ({"B": np.zeros((2, 20))}, ValueError, r"B has shape .*8\*hidden_size\) = \(2, 40\)"),
        ({"P": np.zeros((2, 20))}, ValueError, r"P has shape .*3\*hidden_size\) = \(2, 15\)"),
        ({"initial_h": np.zeros((3, 2, 5))}, ValueError, "initial_h has shape"),
        ({"initial_c": np.zeros((2, 3))}, ValueError, "initial_c has shape"),
        ({"W": None}, ValueError, "W has no value"),
        ({"sequence_lens": [3, 0, 5]}, ValueError, r"sequence_lens\[2\] has value 5, .* T = 4"),
        ({"sequence_lens": [3, -1, 1]}, ValueError, r"sequence_lens\[1\] has value -1"),
        ({"sequence_lens": [3, 0]}, ValueError, r"sequence_lens has shape \(2,\)"),
        ({"sequence_lens": np.array([3, 0, 1])}, TypeError, "has dtype int64, expected int32"),
        ({"sequence_lens": [3.0, 0, 1]}, TypeError, "sequence_lens has dtype float64"),
    ],
)
def test_wrong_inputs_are_refused(changed: Any, error: type[Exception], message: str) -> None:
    call = example_call("LSTM")
    with pytest.raises(error, match=message):
        lstm(**{**call.inputs, **changed}, **call.attributes)


@pytest.mark.parametrize(
    ("changed", "error", "message"),
    [
        ({"direction": "backward"}, ValueError, "direction has value 'backward', expected one of"),
        ({"direction": 2}, TypeError, "direction has type int"),
        ({"layout": 2}, ValueError, "layout has value 2, expected 0 or 1"),
        ({"layout": True}, TypeError, "layout has type bool"),
        ({"input_forget": 2}, ValueError, "input_forget has value 2"),
        ({"clip": 0.0}, ValueError, "clip has value 0.0, expected a finite number > 0"),
        ({"clip": -1.0}, ValueError, "clip has value -1.0"),
        ({"hidden_size": 4}, ValueError, "W has shape"),
        ({"hidden_size": 0}, ValueError, "hidden_size has value 0"),
        ({"activations": ["Tanh"] * 3}, ValueError, "has 3 names, expected 3 for each of 2"),
        ({"activations": ["Gelu"] * 6}, ValueError, "activation has name 'Gelu', expected one of"),
        ({"activations": "Tanh"}, TypeError, "activations has type str, expected a list"),
        ({"activation_alpha": [1.0]}, ValueError, "alpha has 1 numbers, expected at most 0"),
        (
            {"activations": ["Elu"] * 6, "activation_alpha": [0.5] * 7},
            ValueError,
            "alpha has 7 numbers, expected at most 6",
        ),
        ({"activations": ["ScaledTanh"] * 6}, ValueError, "alpha has no number for ScaledTanh"),
        (
            {"activations": ["ScaledTanh"] * 6, "activation_alpha": [0.5] * 6},
            ValueError,
            "beta has no number for ScaledTanh",
        ),
        ({"zero_state_on_empty": 1}, TypeError, "zero_state_on_empty has type int"),
        ({"unroll": "nonsense"}, ValueError, "unroll has name 'nonsense'"),
    ],
)
def test_wrong_attributes_are_refused(changed: Any, error: type[Exception], message: str) -> None:
    call = example_call("LSTM")
    with pytest.raises(error, match=message):
        lstm(**call.inputs, **{**call.attributes, **changed})


@pytest.mark.parametrize(
    ("arguments", "attributes", "error", "message"),
    [
        (("LSTMP", {}, {}), {}, ValueError, "operator has value 'LSTMP'"),
        ((3, {}, {}), {}, TypeError, "operator has type int"),
        (("GRU", {"P": np.ones(1)}, {}), {}, TypeError, "GRU has no input P"),
        (("GRU", [], {}), {}, TypeError, "inputs has type list"),
        (("GRU", None, {}), {"input_forget": 1}, TypeError, "GRU has no attribute input_forget"),
        (("GRU", None, []), {}, TypeError, "cotangents has type list"),
        (("GRU", None, {"Y_c": np.ones(1)}), {}, TypeError, "cotangents has 'Y_c'"),
        (("GRU", None, {"Y": np.ones((4, 3, 5))}), {}, ValueError, "cotangent of Y has shape"),
        (
            ("GRU", None, {"Y_h": np.ones((2, 3, 5), np.float32)}),
            {},
            TypeError,
            "cotangent of Y_h has dtype float32, expected float64",
        ),
    ],
)
def test_wrong_arguments_of_gradient_are_refused(
    arguments: Any, attributes: Any, error: type[Exception], message: str
) -> None:
    call = example_call("GRU")
    operator, inputs, cotangents = arguments
    given = call.inputs if inputs is None else inputs
    with pytest.raises(error, match=message):
        gradient(operator, given, cotangents, **call.attributes, **attributes)


def test_onnx_is_not_imported_before_the_backend_is_asked_for() -> None:
    script = (
        "import sys, numpy as np, refrnn.oracle.onnx as o\n"
        "o.rnn(np.ones((1, 1, 1)), np.ones((1, 1, 1)), np.ones((1, 1, 1)))\n"
        "assert 'RefrnnBackend' in dir(o) and 'onnx' not in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", script], check=True)
    with pytest.raises(AttributeError, match="no attribute 'backened'"):
        _ = operators.backened


def test_float32_stays_float32_and_longer_sequences_do_not_disturb() -> None:
    call = example_call("LSTM", dtype="float32")
    alone = {
        name: a[:, 2:] if name in ("X", "initial_h", "initial_c") else a
        for name, a in call.inputs.items()
    }
    alone["sequence_lens"] = call.inputs["sequence_lens"][2:]
    together = run(call, unroll=rr.PerSequence())
    for name, array in run(call._replace(inputs=alone), unroll="per_sequence").items():
        assert array.dtype == np.float32
        assert np.array_equal(array, together[name][..., 2:, :])
