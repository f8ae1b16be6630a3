"""Keras 3 on TensorFlow, and TensorFlow's raw operators, with converted weights."""

from __future__ import annotations

import os

os.environ.setdefault("KERAS_BACKEND", "tensorflow")  # float64 is float64 on this one alone

from collections.abc import Mapping
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf

import refrnn as rr
from refrnn.comparison import Case
from refrnn.oracle.weights import LAYOUTS, block_lstm

from ...oracle.agreement import Foreign, check, full_case, padded

LAYERS = [
    ("keras.SimpleRNN", {}, rr.RNN(3, 4, biases=1)),
    ("keras.SimpleRNN", {"activation": "relu"}, rr.RNN(3, 4, biases=0, activation="relu")),
    ("keras.LSTM", {}, rr.LSTM(3, 4, biases=1)),
    ("keras.LSTM", {}, rr.LSTM(3, 4, biases=0)),
    (
        "keras.LSTM",
        {"activation": "softsign"},
        rr.LSTM(3, 4, biases=1, cell_activation="softsign", output_activation="softsign"),
    ),
    ("keras.GRU", {}, rr.GRU(3, 4)),
    ("keras.GRU", {}, rr.GRU(3, 4, biases=0)),
    ("keras.GRU", {"activation": "softsign"}, rr.GRU(3, 4, candidate_activation="softsign")),
    (
        "keras.GRU(reset_after=False)",
        {"reset_after": False},
        rr.GRU(3, 4, biases=1, reset_after=False),
    ),
    (
        "keras.GRU(reset_after=False)",
        {"reset_after": False},
        rr.GRU(3, 4, biases=0, reset_after=False),
    ),
]


def layer(name: str, options: Mapping[str, Any], cell: Any, dtype: str) -> Any:
    kind = name.removeprefix("keras.").partition("(")[0]
    made = getattr(keras.layers, kind)(
        cell.hidden_size,
        use_bias=cell.biases > 0,
        return_sequences=True,
        return_state=True,
        dtype=dtype,
        **options,
    )
    made.build((None, None, cell.input_size))
    return made


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(("name", "options", "cell"), LAYERS, ids=str)
def test_keras_computes_what_refrnn_does(
    name: str, options: dict[str, Any], cell: Any, dtype: str
) -> None:
    layout, case = LAYOUTS[name], full_case(cell, dtype)
    made = layer(name, options, cell, dtype)
    variables = {variable.name: variable for variable in made.weights}
    weights = layout.to_foreign(cell, case.parameters)
    assert {n: tuple(v.shape) for n, v in variables.items()} == layout.shapes(cell)
    for n, variable in variables.items():
        variable.assign(weights[n])
    x, d_output = (array.swapaxes(0, 1) for array in padded(case))
    with tf.GradientTape() as tape:
        output, *state = made(tf.constant(x), initial_state=list(map(tf.constant, case.state_0)))
        loss = tf.reduce_sum(output * d_output)
        for array, cotangent in zip(state, case.d_state_n, strict=True):
            loss += tf.reduce_sum(array * cotangent)
    gradients = tape.gradient(loss, [variable.value for variable in variables.values()])
    got = {n: np.asarray(g) for n, g in zip(variables, gradients, strict=True)}
    states = [np.asarray(array) for array in state]
    check(layout, case, Foreign(np.asarray(output).swapaxes(0, 1), states, got))


# --- raw operators, which compute in float32 ------------------------------------------------------


BLOCKS = [
    ("BlockLSTM", rr.LSTM(3, 4, biases=1), {"forget_bias": 1.0}),
    ("BlockLSTM", rr.LSTM(3, 4, biases=1, peepholes=True), {"forget_bias": 1.0}),
    ("BlockLSTM", rr.LSTM(3, 4, biases=1, peepholes=True), {"forget_bias": -0.5}),
    ("BlockLSTM", rr.LSTM(3, 4, biases=1, cell_clip=0.5), {"forget_bias": 1.0}),
    ("BlockLSTMV2", rr.LSTM(3, 4, biases=1), {}),
    ("BlockLSTMV2", rr.LSTM(3, 4, biases=1, peepholes=True), {}),
    ("BlockLSTMV2", rr.LSTM(3, 4, biases=1, cell_clip=0.5), {}),
]


def block(name: str, case: Case, options: Mapping[str, Any]) -> Any:
    """The operator over all steps, as a function of its weights."""
    cell = case.cell
    x, _ = padded(case)
    h_0, c_0 = map(tf.constant, case.state_0)
    absent = {f"wc{gate}": tf.zeros(cell.hidden_size) for gate in "ifo"}

    def run(given: Mapping[str, Any]) -> Any:
        results = getattr(tf.raw_ops, name)(
            seq_len_max=tf.constant(len(x), tf.int64),
            x=tf.constant(x),
            cs_prev=c_0,
            h_prev=h_0,
            **{**absent, **given},
            cell_clip=-1.0 if cell.cell_clip is None else cell.cell_clip,
            use_peephole=cell.peepholes,
            **options,
        )
        return results.h, (results.h[-1], results.cs[-1])

    return run


@pytest.mark.parametrize(("name", "cell", "options"), BLOCKS, ids=str)
def test_block_lstm_computes_what_refrnn_does(
    name: str, cell: Any, options: dict[str, Any]
) -> None:
    layout = block_lstm(**options) if options else LAYOUTS[f"tf.{name}"]
    case = full_case(cell, "float32")
    weights = layout.to_foreign(cell, case.parameters)
    output, state = block(name, case, options)({n: tf.constant(a) for n, a in weights.items()})
    check(layout, case, Foreign(output.numpy(), [array.numpy() for array in state], None))


@pytest.mark.parametrize(("name", "cell", "options"), BLOCKS[:3], ids=str)
def test_gradients_of_block_lstm_are_those_of_refrnn(
    name: str, cell: Any, options: dict[str, Any]
) -> None:
    layout = block_lstm(**options)
    case = full_case(cell, "float32")
    weights = layout.to_foreign(cell, case.parameters)
    _, d_output = padded(case)
    given = {n: tf.constant(array) for n, array in weights.items()}
    with tf.GradientTape() as tape:
        tape.watch(list(given.values()))
        output, state = block(name, case, options)(given)
        loss = tf.reduce_sum(output * d_output)
        for array, cotangent in zip(state, case.d_state_n, strict=True):
            loss += tf.reduce_sum(array * cotangent)
    gradients = {n: array.numpy() for n, array in tape.gradient(loss, given).items()}
    got = Foreign(output.numpy(), [array.numpy() for array in state], gradients)
    check(layout, case, got)


@pytest.mark.parametrize("peepholes", [False, True])
def test_gradients_of_block_lstm_v2_are_those_of_refrnn(peepholes: bool) -> None:
    """BlockLSTMGradV2 itself: TensorFlow's tape takes the gradient of the first version for it."""
    layout, cell = LAYOUTS["tf.BlockLSTMV2"], rr.LSTM(3, 4, biases=1, peepholes=peepholes)
    case = full_case(cell, "float32")
    x, d_output = padded(case)
    h_0, c_0 = case.state_0
    zero = np.zeros(4, "float32")
    weights = layout.to_foreign(cell, case.parameters)
    given = {
        "wci": zero,
        "wcf": zero,
        "wco": zero,
        **weights,
        "seq_len_max": np.int64(len(x)),
        "x": x,
        "cs_prev": c_0,
        "h_prev": h_0,
        "use_peephole": peepholes,
    }
    kept = tf.raw_ops.BlockLSTMV2(**given, cell_clip=-1.0)._asdict()
    d_c = np.zeros_like(d_output)
    d_c[-1] = case.d_state_n.c
    d_h = d_output.copy()
    d_h[-1] += case.d_state_n.h
    d = tf.raw_ops.BlockLSTMGradV2(**given, **kept, cs_grad=d_c, h_grad=d_h)
    gradients = {n: getattr(d, f"{n}_grad").numpy() for n in weights}
    state = [kept["h"][-1].numpy(), kept["cs"][-1].numpy()]
    check(layout, case, Foreign(kept["h"].numpy(), state, gradients))


def test_gru_block_and_its_gradient_compute_what_refrnn_does() -> None:
    """GRUBlockCellGrad gives the cotangents of the pre-activations; it is not on any tape."""
    layout, cell = LAYOUTS["tf.GRUBlockCell"], rr.GRU(3, 4, biases=1, reset_after=False)
    case = full_case(cell, "float32")
    x, d_output = padded(case)
    weights = layout.to_foreign(cell, case.parameters)
    given = {n: tf.constant(array) for n, array in weights.items()}
    states, steps = [tf.constant(case.state_0[0])], []
    for x_t in x:
        steps.append(tf.raw_ops.GRUBlockCell(x=tf.constant(x_t), h_prev=states[-1], **given))
        states.append(steps[-1].h)
    gradients = {n: np.zeros_like(array) for n, array in weights.items()}
    d_h = case.d_state_n[0]
    for x_t, d_t, h_prev, step in reversed(list(zip(x, d_output, states[:-1], steps, strict=True))):
        kept = {"r": step.r, "u": step.u, "c": step.c}
        d = tf.raw_ops.GRUBlockCellGrad(x=x_t, h_prev=h_prev, d_h=d_h + d_t, **kept, **given)
        d_h = d.d_h_prev.numpy()
        gradients["w_ru"] += np.hstack([x_t, h_prev]).T @ d.d_r_bar_u_bar.numpy()
        gradients["w_c"] += np.hstack([x_t, h_prev * step.r]).T @ d.d_c_bar.numpy()
        gradients["b_ru"] += d.d_r_bar_u_bar.numpy().sum(axis=0)
        gradients["b_c"] += d.d_c_bar.numpy().sum(axis=0)
    check(layout, case, Foreign(tf.stack(states[1:]).numpy(), [states[-1].numpy()], gradients))
