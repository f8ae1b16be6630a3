"""The oracle on JAX: any function, and the LSTM of jax.experimental.rnn."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.experimental import rnn

import refrnn as rr
from refrnn.errors import UnsupportedCase
from refrnn.oracle import adapt, check
from refrnn.oracle.adapters.jax import function, modules
from refrnn.oracle.adapters.jax import lstm as lstm_subject

from .functions import checked, lstm, off_by_a_thousandth, with_mistake, words

CELL = rr.LSTM(3, 5)
SIZES = {"input_size": 3, "hidden_size": 5}


def subject(f: Any = lstm, **options: Any) -> Any:
    return function(f, **{"cell": CELL, "told": "mask", "compiled": True, **options})


# --- what is right -------------------------------------------------------------------------------


def test_a_right_function_agrees_in_every_problem() -> None:
    report = check(subject())
    report.raise_if_failed()
    assert not report.unchecked
    assert not report.deliberate
    assert len(report.problems) == 14


def test_a_right_function_agrees_in_float64_and_the_configuration_stays() -> None:
    assert not jax.config.jax_enable_x64
    report = checked(subject(dtype="float64"), "unsorted", "saturating", "nan_padding")
    report.raise_if_failed()
    assert not jax.config.jax_enable_x64
    assert max(report.worst(t).deviation.normwise for t in report.tensors) < 1e-13


def test_float64_is_left_on_where_it_was_on() -> None:
    with jax.enable_x64(True):
        checked(subject(dtype="float64"), "single_row").raise_if_failed()
        checked(subject(), "single_row").raise_if_failed()
        assert jax.config.jax_enable_x64


def test_layouts_and_directions_of_a_function() -> None:
    def time_major(p: Any, x: Any, mask: Any, state_0: Any) -> Any:
        y, state_n = lstm(p, x.swapaxes(0, 1), mask.T, state_0)
        return y.swapaxes(0, 1), state_n

    def told_lengths(p: Any, x: Any, lengths: Any, state_0: Any) -> Any:
        assert lengths.dtype == jnp.int32
        return lstm(p, x, jnp.arange(x.shape[1]) < lengths[:, None], state_0)

    checked(subject(time_major, batch_first=False), "unsorted").raise_if_failed()
    report = checked(subject(told_lengths, told="lengths"), "unsorted", "holes")
    report.raise_if_failed()
    assert [f.words for f in report.unchecked] == ["lengths say nothing of holes"]
    turned = subject(with_mistake(turned="within"), reverse=True)
    checked(turned, "unsorted").raise_if_failed()


def test_a_function_of_one_state_may_return_it_bare() -> None:
    def elman(p: Any, x: Any, mask: Any, state_0: Any) -> Any:
        def step(h: Any, now: Any) -> Any:
            x_t, real = now
            new = jnp.tanh(x_t @ p["W_ih"].T + p["b_ih"] + h @ p["W_hh"].T + p["b_hh"])
            kept = jnp.where(real[:, None], new, h)
            return kept, jnp.where(real[:, None], new, 0)

        x = jnp.where(mask[:, :, None], x, 0)
        h_n, y = jax.lax.scan(step, state_0.h, (x.swapaxes(0, 1), mask.T))
        return y.swapaxes(0, 1), h_n

    checked(subject(elman, cell=rr.RNN(3, 4)), "unsorted", "holes").raise_if_failed()


def test_functions_that_jax_made_find_their_adapter() -> None:
    problem = "one_sequence"
    for made in (jax.jit(lstm), jax.custom_jvp(lstm)):
        adapted = adapt(made, cell=CELL, told="mask")
        assert "as LSTM(3, 5)" in adapted.title
    checked(adapt(jax.jit(lstm), cell=CELL, told="mask"), problem).raise_if_failed()
    assert "lstm_ref" in adapt(rnn.lstm_ref, **SIZES).title


def test_a_users_batch_and_weights() -> None:
    rng = np.random.default_rng(3)
    sequences = [rng.normal(size=(n, 3)).astype(np.float32) for n in (2, 0, 7)]
    parameters = CELL.init_parameters(rng, "float32")
    own = subject(parameters=parameters)
    report = check(own, rr.RaggedBatch.from_sequences(sequences))
    report.raise_if_failed()
    assert report.problems == ("batch",)
    assert np.array_equal(own.parameters()[0].W_hh, parameters.W_hh)


# --- lstm_ref ------------------------------------------------------------------------------------


def test_lstm_ref_fails_where_it_is_known_to() -> None:
    report = check(rnn.lstm_ref, **SIZES)
    found = words(report)
    crashes = {problem: said for (problem, tensor), said in found.items() if not tensor}
    assert list(crashes) == ["all_empty"]
    assert "crashed: TypeError: Slice size at index 0 in gather" in crashes["all_empty"]
    leaks = {tensor: said for (problem, tensor), said in found.items() if tensor}
    assert {problem for problem, tensor in found if tensor} == {"nan_padding"}
    weights = {f"d_{name}[0]" for name in ("W_ih", "W_hh", "b_ih", "b_hh")}
    assert set(leaks) == weights | {"h_n", "c_n", "d_x", "d_h_0", "d_c_0"}
    assert all(said.startswith("the NaN of the padding leaks into it") for said in leaks.values())
    assert "(20 of 20 elements)" in leaks["d_b_ih[0]"]
    (deliberate,) = report.deliberate
    assert "sequence of length 0 is the state after its padding" in deliberate.words
    assert set(deliberate.problems) == {"length_0_and_1", "long_and_short", "strided", "last_state"}


def test_refrnns_semantics_forgive_nothing() -> None:
    problem = "length_0_and_1"
    own = lstm_subject(**SIZES)
    report = check(own, [rr.oracle.standard_problem(problem, own.network)], semantics="refrnn")
    assert not report.ok
    assert all("the state after its padding" in said for said in words(report).values())


@pytest.mark.parametrize("name", ["lstm_ref stacked", "lstm_ref float64"])
def test_lstm_ref_agrees_with_every_option(name: str) -> None:
    checked(dict(modules())[name], "unsorted", "length_0_and_1").raise_if_failed()


def test_lstm_takes_one_vector_and_needs_a_gpu() -> None:
    def as_cudnn(x: Any, h_0: Any, c_0: Any, weights: Any, lengths: Any, *sizes: Any) -> Any:
        inputs, hidden, layers, _, both = sizes
        unpacked = rnn.unpack_lstm_weights(weights, inputs, hidden, layers, both)
        return rnn.lstm_ref(x, h_0, c_0, *unpacked, lengths, *sizes)

    size = rnn.get_num_params_in_lstm(3, 5, 2, True)
    vector = np.random.default_rng(0).uniform(-1, 1, size).astype(np.float32)
    shape: dict[str, Any] = {"num_layers": 2, "bidirectional": True, **SIZES}
    own = lstm_subject(as_cudnn, flat=True, weights=vector, **shape)
    report = checked(own, "unsorted")
    report.raise_if_failed()
    assert "d_weights" in report.tensors
    assert report.network.count("LSTM") == 2
    with pytest.raises(UnsupportedCase, match="runs on cuDNN, and JAX has backend cpu"):
        adapt(rnn.lstm, **SIZES)


# --- planted bugs --------------------------------------------------------------------------------

H = CELL.hidden_size


def transposed(parameters: dict[str, Any]) -> dict[str, Any]:
    blocks = jnp.split(parameters["W_hh"], 4)
    return {**parameters, "W_hh": jnp.concatenate([block.T for block in blocks])}


def constant(state: Any) -> Any:
    return jax.lax.stop_gradient(state)


def swapped_rows(result: Any) -> Any:
    y, (h, c) = result
    order = jnp.arange(y.shape[0])[::-1]
    return y, (h[order], c[order])


BUGS = {
    "gates": ({"gates": (0, 2, 1, 3)}, "unsorted", "output", "forget and cell gate rows swapped"),
    "bias": ({"bias": 2.0}, "unsorted", "output", "both biases added twice"),
    "transposed": ({"change": transposed}, "unsorted", "output", "W_hh transposed"),
    "padding": (
        {"carry": "stepped", "clean": False},
        "unsorted",
        "h_n",
        "the final state taken from the padding",
    ),
    "leak": (
        {"clean": False},
        "nan_padding",
        "d_W_hh",
        "the NaN of the padding leaks into it",
    ),
    "h_0": ({"start": constant}, "unsorted", "d_h_0", "zero everywhere: the gradient is dropped"),
    "rows": ({"end": swapped_rows}, "all_equal", "h_n", "its rows are those of the reference"),
}


@pytest.mark.parametrize(("mistake", "problem", "tensor", "said"), BUGS.values(), ids=BUGS)
def test_a_planted_bug_is_found_and_named(
    mistake: dict[str, Any], problem: str, tensor: str, said: str
) -> None:
    found = words(checked(subject(with_mistake(**mistake)), problem))
    assert said in found[problem, tensor]


def test_only_what_is_wrong_is_said_to_be() -> None:
    found = words(checked(subject(with_mistake(start=constant)), "unsorted"))
    assert set(found) == {("unsorted", "d_h_0"), ("unsorted", "d_c_0")}


def test_a_reverse_direction_that_starts_in_the_padding_is_named() -> None:
    wrong = subject(with_mistake(turned="whole", clean=False), reverse=True)
    found = words(checked(wrong, "unsorted"))
    assert "padding" in found["unsorted", "output"]


def test_one_entry_of_a_float64_gradient_that_is_a_thousandth_wrong() -> None:
    def distorted(parameters: dict[str, Any]) -> dict[str, Any]:
        return {**parameters, "W_hh": off_by_a_thousandth(parameters["W_hh"])}

    wrong = subject(with_mistake(change=distorted), dtype="float64")
    found = words(checked(wrong, "unsorted"))
    assert found == {
        ("unsorted", "d_W_hh"): f"1 of {4 * H * H} elements differs, and no mistake that was tried "
        "explains it"
    }


# --- subjects that go wrong ----------------------------------------------------------------------


def crash(result: Any) -> Any:
    raise RuntimeError("out of order")


ODD = {
    "crash": (crash, "", "crashed: RuntimeError: out of order"),
    "shape": (
        lambda r: (r[0][:, :, :-1], r[1]),
        "output",
        "it has shape (4, 4, 4), expected (4, 4, 5)",
    ),
    "dtype": (
        lambda r: (r[0].astype(jnp.float16), r[1]),
        "output",
        "it has dtype float16, expected float32",
    ),
    "integers": (
        lambda r: (r[0].astype(jnp.int32), r[1]),
        "output",
        "it has dtype int32, expected float32",
    ),
    "count": (lambda r: (r[0], r[1][:1]), "", "state_n has 1 arrays, expected 2"),
    "no pair": (lambda r: r[0], "", "expected a pair"),
}


@pytest.mark.parametrize(("end", "tensor", "said"), ODD.values(), ids=ODD)
def test_what_goes_wrong_is_a_finding(end: Any, tensor: str, said: str) -> None:
    report = checked(subject(with_mistake(end=end)), "all_equal")
    assert not report.ok
    assert said in words(report)["all_equal", tensor]


def test_gradients_in_another_dtype_are_a_finding() -> None:
    def half(parameters: dict[str, Any]) -> dict[str, Any]:
        return {n: a.astype(jnp.float32) for n, a in parameters.items()}

    wrong = subject(with_mistake(change=half), dtype="float64")
    found = words(checked(wrong, "all_equal"))
    assert "it has the accuracy of float32, not of float64" in set(found.values())


@pytest.mark.parametrize(
    ("options", "error", "said"),
    [
        ({"told": "both"}, ValueError, "told has value 'both', expected 'lengths' or 'mask'"),
        ({"dtype": "float16"}, UnsupportedCase, "expected float32 or float64"),
        ({"batch_first": 1}, TypeError, "batch_first has type int"),
        ({"packed": True}, TypeError, "packed"),
    ],
)
def test_options_are_honoured_or_rejected(options: Any, error: Any, said: str) -> None:
    with pytest.raises(error, match=said):
        adapt(jax.jit(lstm), cell=CELL, **options)


def test_what_is_no_function_is_refused() -> None:
    with pytest.raises(TypeError, match="expected a function of JAX"):
        adapt(jax.ShapeDtypeStruct((1,), jnp.float32), cell=CELL)
