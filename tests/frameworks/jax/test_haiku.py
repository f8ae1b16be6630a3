"""The oracle on dm-haiku: its cores and unrolls."""

from __future__ import annotations

from typing import Any

import haiku as hk
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import refrnn as rr
from refrnn.errors import UnsupportedCase
from refrnn.oracle import adapt, check
from refrnn.oracle.adapters.haiku import core, modules

from .functions import checked, off_by_a_thousandth, words

H = 5


def test_a_core_agrees_with_the_law_in_every_problem() -> None:
    report = check(core(lambda: hk.GRU(H), input_size=3))
    report.raise_if_failed()
    assert not report.deliberate
    assert [f.problems for f in report.unchecked] == [("holes",)]


@pytest.mark.parametrize("name", [name for name, _ in modules()])
def test_cores_agree_on_ragged_batches(name: str) -> None:
    report = checked(dict(modules())[name], "all_equal", "extra_padding")
    report.raise_if_failed()
    assert not report.unchecked


def test_lengths_of_zero_and_default_states() -> None:
    own = core(lambda: hk.LSTM(H), input_size=3)
    checked(own, "length_0_and_1", "last_state", "empty_batch").raise_if_failed()


def test_a_static_unroll_of_no_step_is_a_finding() -> None:
    found = words(checked(core(lambda: hk.GRU(H), input_size=3, unroll="static"), "all_empty"))
    assert "crashed: TypeError: map() missing" in found["all_empty", ""]


def test_a_transformed_function_and_a_users_batch() -> None:
    net = hk.transform(
        lambda x, state: hk.dynamic_unroll(hk.LSTM(H), x, state, time_major=False, reverse=True)
    )
    zeros = hk.LSTMState(jnp.zeros((1, H)), jnp.zeros((1, H)))
    params = net.init(jax.random.key(0), jnp.zeros((1, 1, 3)), zeros)
    options = {"params": params, "time_major": False, "reverse": True}
    rng = np.random.default_rng(0)
    sequences = [rng.normal(size=(n, 3)).astype(np.float32) for n in (4, 2, 4)]
    report = check(net, rr.RaggedBatch.from_sequences(sequences), **options)
    report.raise_if_failed()
    assert "d_lstm/linear/w" in report.tensors
    # the bias of f that haiku adds at run time
    assert np.array_equal(adapt(net, **options).parameters()[0].b_ih[H : 2 * H], np.ones(H))
    checked(adapt(net, seed=0, **options), "all_equal").raise_if_failed()


# --- planted bugs --------------------------------------------------------------------------------


class Core(hk.LSTM):
    """A right LSTM, unless `mistake` names a mistake."""

    def __init__(self, hidden_size: int, mistake: str = "") -> None:
        super().__init__(hidden_size, name="lstm")
        self._mistake = mistake

    def __call__(self, inputs: Any, prev_state: Any) -> Any:
        mistake = self._mistake
        if mistake == "crash":
            raise RuntimeError("out of order")
        x_and_h = jnp.concatenate([inputs, prev_state.hidden], axis=-1)
        i, g, f, o = jnp.split(Linear(4 * H, mistake)(x_and_h), 4, axis=-1)
        if mistake == "gates":
            i, o = o, i
        f = jax.nn.sigmoid(f if mistake == "no forget bias" else f + 1)
        c = f * prev_state.cell + jax.nn.sigmoid(i) * jnp.tanh(g)
        h = jax.nn.sigmoid(o) * jnp.tanh(c)
        if mistake == "shape":
            return h[..., 1:], hk.LSTMState(h, c)
        if mistake == "dtype":
            return h.astype(jnp.float16), hk.LSTMState(h, c)
        if mistake == "rows":
            return h[::-1], hk.LSTMState(h, c)
        return h, hk.LSTMState(h, c)


class Linear(hk.Module):
    """hk.Linear under its name."""

    def __init__(self, size: int, mistake: str) -> None:
        super().__init__(name="linear")
        self._size = size
        self._mistake = mistake

    def __call__(self, a: Any) -> Any:
        w = hk.get_parameter("w", (a.shape[-1], self._size), a.dtype, jnp.zeros)
        b = hk.get_parameter("b", (self._size,), a.dtype, jnp.zeros)
        if self._mistake == "a thousandth":
            w = off_by_a_thousandth(w)
        if self._mistake == "transposed":
            blocks = [k.T for k in jnp.split(w[-H:], 4, axis=1)]
            w = jnp.concatenate([w[:-H], jnp.concatenate(blocks, axis=1)])
        return a @ w + (2 * b if self._mistake == "bias" else b)


@pytest.mark.parametrize(
    ("mistake", "tensor", "said"),
    [
        ("gates", "output", "the input and output gate rows swapped"),
        ("transposed", "output", "W_hh transposed"),
        ("bias", "d_lstm/linear/b", "linear/b added twice"),
        ("no forget bias", "output", "the 1 that is added to the forget gate left out"),
        ("rows", "output", "along axis 0 its rows are those of the reference in the order [12"),
        ("crash", "", "crashed: RuntimeError: out of order"),
        ("shape", "output", "it has shape (16, 4), expected (16, 5)"),
        ("dtype", "output", "it has dtype float16, expected float32"),
    ],
)
def test_a_planted_bug_is_found_and_named(mistake: str, tensor: str, said: str) -> None:
    weights = core(lambda: hk.LSTM(H), input_size=3)._own_weights()
    params = {"lstm/linear": {name[-1]: array for name, array in weights.items()}}
    own = core(lambda: Core(H, mistake), input_size=3, params=params)
    found = words(checked(own, "all_equal"))
    assert said in found["all_equal", tensor]


def test_the_core_that_bugs_are_planted_in_is_right() -> None:
    checked(core(lambda: Core(H), input_size=3), "all_equal").raise_if_failed()


def test_one_entry_of_a_float64_gradient_that_is_a_thousandth_wrong() -> None:
    own = core(lambda: Core(H, "a thousandth"), input_size=3, dtype="float64")
    found = words(checked(own, "one_sequence"))
    assert set(found) == {("one_sequence", "d_lstm/linear/w")}
    assert found["one_sequence", "d_lstm/linear/w"].startswith("1 of 160 elements differs")
    assert not jax.config.jax_enable_x64


@pytest.mark.parametrize(
    ("options", "error", "said"),
    [
        ({"unroll": "fast"}, ValueError, "unroll has value 'fast', expected 'dynamic' or 'static'"),
        ({"unroll": "static", "reverse": True}, ValueError, "reverse has value True"),
        ({"dtype": "float16"}, UnsupportedCase, "expected float32 or float64"),
        ({"params": {"lstm": {"w": np.zeros(3)}}}, TypeError, "expected those of one"),
        ({"packed": True}, TypeError, "packed"),
    ],
)
def test_options_are_honoured_or_rejected(options: Any, error: Any, said: str) -> None:
    with pytest.raises(error, match=said):
        core(lambda: hk.LSTM(H), **{"input_size": 3, **options})


def test_what_is_not_a_core_is_refused() -> None:
    with pytest.raises(TypeError, match=r"expected those of one hk\.VanillaRNN, LSTM or GRU"):
        core(lambda: hk.IdentityCore(), input_size=3)
    with_state = hk.transform_with_state(lambda x, state: (x, state))
    with pytest.raises(TypeError, match=r"TransformedWithState, expected an hk\.Transformed"):
        adapt(with_state, params={})
