"""Cells as records and as equations: options, sizes, and one step worked out with plain floats."""

from __future__ import annotations

import copy
import itertools
import math
import pickle
from typing import Any

import numpy as np
import pytest
from hypothesis import given

import refrnn as rr
from refrnn.activations import activation
from refrnn.testing.strategies import cells
from refrnn.unroll import BUILT_IN

# --- options, sizes, names -----------------------------------------------------------------------


@pytest.mark.parametrize("biases", [0, 1, 2])
@pytest.mark.parametrize(
    ("make", "gates"), [(rr.RNN, 1), (rr.LSTM, 4), (rr.GRU, 3)], ids=["RNN", "LSTM", "GRU"]
)
def test_shapes_of_the_plain_cells(make: Any, gates: int, biases: int) -> None:
    cell = make(3, 5, biases=biases)
    expected = {"W_ih": (gates * 5, 3), "W_hh": (gates * 5, 5)}
    expected.update(dict.fromkeys(("b_ih", "b_hh")[:biases], (gates * 5,)))
    assert cell.parameter_shapes() == expected
    assert list(cell.parameter_shapes()) == list(expected)
    assert (cell.num_gates, cell.output_size) == (gates, 5)


@pytest.mark.parametrize(
    ("peepholes", "proj_size", "coupled"),
    list(itertools.product([False, True], [0, 2], [False, True])),
)
def test_shapes_of_the_lstm(peepholes: bool, proj_size: int, coupled: bool) -> None:
    cell = rr.LSTM(3, 5, peepholes=peepholes, proj_size=proj_size, coupled=coupled)
    rows, size = (15 if coupled else 20), (proj_size or 5)
    expected = {"W_ih": (rows, 3), "W_hh": (rows, size), "b_ih": (rows,), "b_hh": (rows,)}
    if peepholes:
        expected.update({p: (5,) for p in ("p_i", "p_f", "p_o") if not (coupled and p == "p_f")})
    if proj_size:
        expected["W_hr"] = (2, 5)
    assert cell.parameter_shapes() == expected
    assert cell.num_gates == rows // 5
    assert cell.output_size == size
    assert cell.state_sizes == (size, 5)
    assert cell.state_names == ("h", "c")


def test_states() -> None:
    assert rr.RNN(3, 5).state_names == rr.GRU(3, 5).state_names == ("h",)
    assert rr.RNN(3, 5).state_sizes == rr.GRU(3, 5).state_sizes == (5,)
    state = rr.LSTM(3, 5, proj_size=2).zero_state(4, "float32")
    assert isinstance(state, rr.LSTMState)
    assert [a.shape for a in state] == [(4, 2), (4, 5)]
    assert all(a.dtype == np.float32 and not a.any() for a in state)


@given(cell=cells())
def test_initial_parameters_have_the_cells_shapes_and_bounds(cell: Any) -> None:
    params = cell.init_parameters(np.random.default_rng(0))
    assert {name: a.shape for name, a in params.items()} == cell.parameter_shapes()
    assert list(params) == list(cell.parameter_shapes())
    bound = cell.hidden_size**-0.5
    drawn = np.abs(params.flatten())
    assert 0 < drawn.min() <= drawn.max() <= bound
    wide = cell.init_parameters(np.random.default_rng(0), scale=10 * bound)
    assert np.allclose(wide.flatten(), 10 * params.flatten(), rtol=1e-12)


@pytest.mark.parametrize("dtype", ["float32", "float64", "longdouble"])
def test_one_generator_gives_the_same_weights_in_every_dtype(dtype: str) -> None:
    cell = rr.GRU(3, 5)
    params = cell.init_parameters(np.random.default_rng(0), dtype)
    assert params.dtype == np.dtype(dtype)
    assert params == cell.init_parameters(np.random.default_rng(0)).astype(dtype)


@pytest.mark.parametrize(
    ("change", "kind", "words"),
    [
        ({"dtype": "float16"}, TypeError, "dtype has dtype float16, expected float32"),
        ({"dtype": "complex128"}, TypeError, "dtype has dtype complex128, expected float32"),
        ({"dtype": None}, TypeError, "dtype has value None, expected float32"),
        ({"scale": 0}, ValueError, "scale has value 0.0, expected a finite number > 0"),
        ({"scale": -1.0}, ValueError, "scale has value -1.0, expected a finite number > 0"),
        ({"scale": "x"}, TypeError, "scale has type str, expected a number > 0"),
    ],
)
def test_bad_arguments_of_init(change: Any, kind: type[Exception], words: str) -> None:
    with pytest.raises(kind, match=words):
        rr.RNN(3, 5).init_parameters(np.random.default_rng(0), **change)


# --- records -------------------------------------------------------------------------------------


@given(cell=cells())
def test_equal_cells_are_interchangeable(cell: Any) -> None:
    for other in (copy.deepcopy(cell), pickle.loads(pickle.dumps(cell))):
        assert other == cell
        assert hash(other) == hash(cell)
        assert repr(other) == repr(cell)
    rebuilt = type(cell)(cell.input_size, cell.hidden_size, **cell.options())
    assert rebuilt == cell
    assert cell not in (None, "cell", 3)


NAMES = {"RNN": rr.RNN, "LSTM": rr.LSTM, "GRU": rr.GRU}


@pytest.mark.parametrize(
    "text",
    [
        "RNN(2, 3)",
        "RNN(2, 3, activation='relu', biases=0)",
        "LSTM(2, 3, peepholes=True, proj_size=2, coupled=True)",
        "LSTM(2, 3, cell_clip=0.5)",
        "LSTM(2, 3, biases=1, gate_clip=2.0, output_activation='softsign')",
        "GRU(2, 3, reset_after=False, gate_activation='hardsigmoid')",
    ],
)
def test_repr_is_what_was_written(text: str) -> None:
    assert repr(eval(text, dict(NAMES))) == text


def test_cells_that_differ_in_anything_are_unequal() -> None:
    different = [
        rr.RNN(2, 3),
        rr.RNN(3, 2),
        rr.GRU(2, 3),
        rr.GRU(2, 3, reset_after=False),
        rr.LSTM(2, 3),
        rr.LSTM(2, 3, peepholes=True),
        rr.LSTM(2, 3, proj_size=1),
        rr.LSTM(2, 3, proj_size=2),
        rr.LSTM(2, 3, coupled=True),
        rr.LSTM(2, 3, cell_clip=1.0),
        rr.LSTM(2, 3, gate_clip=1.0),
        rr.LSTM(2, 3, biases=1),
        rr.LSTM(2, 3, output_activation="relu"),
        rr.LSTM(2, 3, output_activation=activation("elu")),
        rr.LSTM(2, 3, output_activation=activation("elu", alpha=2.0)),
    ]
    for a, b in itertools.combinations(different, 2):
        assert a != b
    assert len(set(different)) == len(different)
    assert rr.RNN(2, 3) == rr.RNN(np.int64(2), np.uint8(3), activation="TANH")


# --- what is refused -----------------------------------------------------------------------------


@pytest.mark.parametrize("make", [rr.RNN, rr.LSTM, rr.GRU])
@pytest.mark.parametrize(
    ("sizes", "kind", "words"),
    [
        ((0, 1), ValueError, "input_size has value 0, expected an integer >= 1"),
        ((1, 0), ValueError, "hidden_size has value 0, expected an integer >= 1"),
        ((1, -2), ValueError, "hidden_size has value -2, expected an integer >= 1"),
        ((1.0, 1), TypeError, "input_size has type float, expected an integer >= 1"),
        ((1, True), TypeError, "hidden_size has type bool, expected an integer >= 1"),
        ((1, None), TypeError, "hidden_size has type NoneType, expected an integer >= 1"),
    ],
)
def test_bad_sizes(make: Any, sizes: Any, kind: type[Exception], words: str) -> None:
    with pytest.raises(kind, match=words):
        make(*sizes)


@pytest.mark.parametrize("make", [rr.RNN, rr.LSTM, rr.GRU])
@pytest.mark.parametrize(
    ("options", "kind", "words"),
    [
        ({"biases": 3}, ValueError, "biases has value 3, expected"),
        ({"biases": -1}, ValueError, "biases has value -1, expected"),
        ({"biases": True}, TypeError, "biases has type bool, expected"),
        ({"gate_clip": 0}, ValueError, "gate_clip has value 0.0, expected a finite number > 0"),
        ({"gate_clip": math.nan}, ValueError, "gate_clip has value nan, expected a finite numb"),
        ({"gate_clip": math.inf}, ValueError, "gate_clip has value inf, expected a finite numb"),
        ({"gate_clip": "1"}, TypeError, "gate_clip has type str, expected a number > 0"),
        ({"no_such_option": 1}, TypeError, "no_such_option"),
    ],
)
def test_bad_options_of_every_cell(
    make: Any, options: Any, kind: type[Exception], words: str
) -> None:
    with pytest.raises(kind, match=words):
        make(3, 5, **options)


@pytest.mark.parametrize(
    ("make", "options", "kind", "words"),
    [
        (rr.RNN, {"activation": "nope"}, ValueError, "activation has name 'nope', expected one"),
        (rr.GRU, {"reset_after": 1}, TypeError, "reset_after has type int, expected a bool"),
        (rr.GRU, {"gate_activation": "nope"}, ValueError, "activation has name 'nope', expect"),
        (rr.LSTM, {"peepholes": 1}, TypeError, "peepholes has type int, expected a bool"),
        (rr.LSTM, {"coupled": None}, TypeError, "coupled has type NoneType, expected a bool"),
        (rr.LSTM, {"proj_size": 5}, ValueError, "proj_size has value 5, expected less than hid"),
        (rr.LSTM, {"proj_size": -1}, ValueError, "proj_size has value -1, expected an integer"),
        (rr.LSTM, {"proj_size": 1.0}, TypeError, "proj_size has type float, expected an integer"),
        (rr.LSTM, {"cell_clip": -1}, ValueError, "cell_clip has value -1.0, expected a finite"),
    ],
)
def test_bad_options_of_one_cell(
    make: Any, options: Any, kind: type[Exception], words: str
) -> None:
    with pytest.raises(kind, match=words):
        make(3, 5, **options)


LSTM_OPTIONS: dict[str, Any] = {
    "peepholes": True,
    "proj_size": 2,
    "coupled": True,
    "cell_clip": 0.5,
    "gate_clip": 1.0,
}
FORBIDDEN = [{"gate_clip", "proj_size"}, {"gate_clip", "cell_clip"}, {"cell_clip", "coupled"}]


@pytest.mark.parametrize(
    "chosen",
    [c for n in range(6) for c in itertools.combinations(LSTM_OPTIONS, n)],
    ids=lambda c: "+".join(c) or "none",
)
def test_exactly_the_combinations_that_no_framework_defines_are_refused(chosen: Any) -> None:
    options = {name: LSTM_OPTIONS[name] for name in chosen}
    if any(pair <= set(chosen) for pair in FORBIDDEN):
        with pytest.raises(ValueError, match=r"has value .* beside .*, expected None: no framew"):
            rr.LSTM(3, 5, **options)
    else:
        assert rr.LSTM(3, 5, **options).options().items() >= options.items()


# --- one unit, worked out with plain floats ------------------------------------------------------

X = [0.5, -1.0]
H_0, C_0 = 0.25, -0.75


def sigmoid(a: float) -> float:
    return 1 / (1 + math.exp(-a))


def run_one(cell: Any, arrays: dict[str, Any], unroll: str, *, reverse: bool = False) -> Any:
    """Run one unit over X from (H_0, C_0) with a sequence of length 0 beside it."""
    batch = rr.RaggedBatch(np.array(X)[:, None], [2, 0])
    state = (np.array([[H_0], [9.0]]), np.array([[C_0], [8.0]]))[: len(cell.state_names)]
    params = {name: np.array(a, float).reshape(cell.parameter_shapes()[name]) for name, a in
              arrays.items()}  # fmt: skip
    return rr.forward(cell, params, batch, state, reverse=reverse, unroll=unroll)


def close(got: Any, expected: Any) -> bool:
    return np.allclose(np.ravel(got), expected, rtol=1e-14, atol=0)


@pytest.mark.parametrize("unroll", BUILT_IN)
@pytest.mark.parametrize("reverse", [False, True])
def test_rnn_by_hand(unroll: str, reverse: bool) -> None:
    arrays = {"W_ih": [2.0], "W_hh": [-0.5], "b_ih": [0.25], "b_hh": [0.125]}
    run = run_one(rr.RNN(1, 1), arrays, unroll, reverse=reverse)
    steps = X[::-1] if reverse else X
    h_1 = math.tanh(2.0 * steps[0] - 0.5 * H_0 + 0.375)
    h_2 = math.tanh(2.0 * steps[1] - 0.5 * h_1 + 0.375)
    assert close(run.output.values, [h_2, h_1] if reverse else [h_1, h_2])
    assert close(run.state_n.h, [h_2, 9.0])
    gradients = rr.backward(run.tape, d_state_n=(np.array([[1.0], [7.0]]),))
    d_a_2 = 1 - h_2**2
    d_a_1 = (1 - h_1**2) * -0.5 * d_a_2
    d_x = [2.0 * d_a_1, 2.0 * d_a_2]
    assert close(gradients.input.values, d_x[::-1] if reverse else d_x)
    assert close(gradients.state_0.h, [-0.5 * d_a_1, 7.0])
    assert close(gradients.parameters.W_hh, [d_a_1 * H_0 + d_a_2 * h_1])
    assert close(gradients.parameters.W_ih, [d_a_1 * steps[0] + d_a_2 * steps[1]])
    for name in ("b_ih", "b_hh"):
        assert close(gradients.parameters[name], [d_a_1 + d_a_2])


def test_relu_and_one_bias_by_hand() -> None:
    cell = rr.RNN(1, 1, activation="relu", biases=1)
    run = run_one(cell, {"W_ih": [2.0], "W_hh": [-0.5], "b_ih": [0.25]}, "lanes")
    assert run.output.values.ravel().tolist() == [1.125, 0.0]  # 1 - 0.125 + 0.25, and below 0
    gradients = rr.backward(run.tape, np.ones((2, 1)))
    assert gradients.input.values.ravel().tolist() == [2.0, 0.0]


@pytest.mark.parametrize("unroll", BUILT_IN)
def test_lstm_by_hand(unroll: str) -> None:
    W_ih, W_hh, b = [1.0, 2.0, 3.0, 4.0], [0.5, -0.5, 0.25, -0.25], [0.125, 0.25, 0.375, 0.5]
    arrays = {"W_ih": W_ih, "W_hh": W_hh, "b_ih": b, "b_hh": [1.0, 1.0, 1.0, 1.0]}
    run = run_one(rr.LSTM(1, 1), arrays, unroll)
    h, c, outputs = H_0, C_0, []
    for x in X:
        i, f, g, o = (w * x + u * h + v + 1 for w, u, v in zip(W_ih, W_hh, b, strict=True))
        c = sigmoid(f) * c + sigmoid(i) * math.tanh(g)
        h = sigmoid(o) * math.tanh(c)
        outputs.append(h)
    assert close(run.output.values, outputs)
    assert close(run.state_n.h, [h, 9.0])
    assert close(run.state_n.c, [c, 8.0])


@pytest.mark.parametrize("unroll", BUILT_IN)
@pytest.mark.parametrize("reset_after", [True, False])
def test_gru_by_hand(unroll: str, reset_after: bool) -> None:
    W_ih, W_hh, b_ih, b_hh = [1.0, 2.0, 3.0], [0.5, -0.5, 0.25], [0.125, 0.25, 0.375], [1, 2, 3]
    arrays = {"W_ih": W_ih, "W_hh": W_hh, "b_ih": b_ih, "b_hh": b_hh}
    run = run_one(rr.GRU(1, 1, reset_after=reset_after), arrays, unroll)
    h, outputs = H_0, []
    for x in X:
        r = sigmoid(1.0 * x + 0.5 * h + 0.125 + 1)
        z = sigmoid(2.0 * x - 0.5 * h + 0.25 + 2)
        inner = r * (0.25 * h + 3) if reset_after else 0.25 * (r * h) + 3
        n = math.tanh(3.0 * x + 0.375 + inner)
        h = (1 - z) * n + z * h
        outputs.append(h)
    assert close(run.output.values, outputs)
    assert close(run.state_n.h, [h, 9.0])


# --- saturation, clips, biases -------------------------------------------------------------------


@pytest.mark.parametrize("biases", [0, 1, 2])
@pytest.mark.parametrize("make", [rr.RNN, rr.LSTM, rr.GRU])
def test_fewer_biases_are_biases_of_zero(make: Any, biases: int) -> None:
    rng = np.random.default_rng(0)
    cell, full = make(2, 3, biases=biases), make(2, 3)
    params = cell.init_parameters(rng)
    zeros = {name: np.zeros(shape) for name, shape in full.parameter_shapes().items()}
    batch = rr.RaggedBatch(rng.normal(size=(5, 2)), [2, 3])
    runs = [
        rr.forward(c, p, batch, unroll="per_sequence")
        for c, p in ((cell, params), (full, {**zeros, **params}))
    ]
    assert np.allclose(runs[0].output.values, runs[1].output.values, rtol=1e-14)


def test_a_saturated_gate_keeps_its_derivative() -> None:
    cell = rr.RNN(1, 1, biases=0)
    run = run_one(cell, {"W_ih": [40.0], "W_hh": [0.0]}, "packed")
    gradient = rr.backward(run.tape, np.ones((2, 1))).input.values.ravel()
    assert run.output.values.ravel().tolist() == [1.0, -1.0]
    assert np.allclose(gradient, [40 / math.cosh(20) ** 2, 40 / math.cosh(40) ** 2], rtol=1e-14)


def test_the_derivative_at_the_bound_of_a_clip_is_one() -> None:
    arrays = {"W_ih": [1.0], "W_hh": [0.0]}
    for clip, expected in ((1.0, [1.0, 1.0]), (0.75, [1.0, 0.0])):  # X is 0.5 and -1
        cell = rr.RNN(1, 1, activation="affine", biases=0, gate_clip=clip)
        run = run_one(cell, arrays, "lanes")
        assert run.output.values.ravel().tolist() == [0.5, -min(clip, 1.0)]
        assert rr.backward(run.tape, np.ones((2, 1))).input.values.ravel().tolist() == expected
