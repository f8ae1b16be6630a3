"""The oracle on flax.nnx: RNN, Bidirectional and the cells."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

import refrnn as rr
from refrnn.errors import UnsupportedCase
from refrnn.oracle import adapt, check
from refrnn.oracle.adapters.flax import modules
from refrnn.oracle.adapters.jax import function
from refrnn.oracle.weights import LAYOUTS

from .functions import checked, words

H = 5


def gru(seed: int = 0, **options: Any) -> nnx.GRUCell:
    normal = nnx.initializers.normal()
    return nnx.GRUCell(3, H, bias_init=normal, rngs=nnx.Rngs(seed), **options)


@pytest.mark.parametrize("name", [n for n, _ in modules() if n.startswith("nnx")])
def test_modules_agree_on_ragged_batches(name: str) -> None:
    report = checked(dict(modules())[name], "unsorted")
    report.raise_if_failed()
    assert not report.unchecked


def test_an_rnn_fails_where_it_is_known_to() -> None:
    report = check(nnx.RNN(gru()))
    found = words(report)
    assert {problem for problem, tensor in found if not tensor} == {"all_empty"}
    assert "Slice size at index 0 in gather" in found.pop(("all_empty", ""))
    assert {problem for problem, _ in found} == {"nan_padding"}
    weights = {"d_cell.dense_i.kernel", "d_cell.dense_i.bias", "d_cell.dense_h.kernel"}
    assert {t for _, t in found} == weights | {"carry", "d_initial_carry", "d_inputs"}
    assert all(said.startswith("the NaN of the padding leaks into it") for said in found.values())


def test_a_cell_agrees_with_the_law() -> None:
    report = checked(adapt(gru()), "length_0_and_1", "nan_padding", "last_state")
    report.raise_if_failed()
    assert not report.deliberate


def test_the_module_keeps_its_weights_and_its_random_state() -> None:
    module = nnx.RNN(gru())
    before = jax.tree.leaves(nnx.to_pure_dict(nnx.state(module, nnx.Not(nnx.RngKey))))
    own = adapt(module)
    report = checked(own, "last_state")  # without an initial carry: it draws one
    report.raise_if_failed()
    after = jax.tree.leaves(nnx.to_pure_dict(nnx.state(module, nnx.Not(nnx.RngKey))))
    assert all(map(np.array_equal, before, after))
    assert np.array_equal(own.parameters()[0].W_ih, np.asarray(module.cell.dense_i.kernel[...]).T)
    assert int(module.rngs.count[...]) == 0


def test_drawn_weights_show_what_is_done_with_a_bias() -> None:
    class TwoBiases(nnx.GRUCell):
        def __call__(self, carry: Any, inputs: Any) -> Any:
            self.dense_i.bias[...] = 2 * self.dense_i.bias[...]
            return super().__call__(carry, inputs)

    module = nnx.RNN(TwoBiases(3, H, rngs=nnx.Rngs(0)), reverse=True, keep_order=True)
    own = adapt(module, seed=1)
    assert own.parameters()[0].b_ih.all()
    assert not np.asarray(module.cell.dense_i.bias[...]).any()
    assert not checked(own, "single_row").ok


def test_a_gru_of_two_biases_does_not_fit_and_is_found_out() -> None:
    cell = rr.GRU(3, H)
    with pytest.raises(ValueError, match=r"cell has biases = 2, expected 1 for flax\.nnx\.GRUCell"):
        LAYOUTS["flax.nnx.GRUCell"].to_foreign(cell, cell.init_parameters(np.random.default_rng(0)))

    graph, state = nnx.split(gru())

    def as_documented(p: Any, x: Any, mask: Any, state_0: Any) -> Any:
        """b_hh has no place in the cell, although its documentation has b_hn."""
        weights = jax.tree.map(lambda a: a, state)
        weights["dense_i"]["kernel"] = nnx.Param(p["W_ih"].T)
        weights["dense_i"]["bias"] = nnx.Param(p["b_ih"])
        weights["dense_h"]["kernel"] = nnx.Param(p["W_hh"].T)
        own = nnx.merge(graph, weights, copy=True)
        outputs, h = [], state_0.h
        for t in range(x.shape[1]):
            h, y = own(h, x[:, t])
            outputs.append(y)
        return jnp.stack(outputs, axis=1), h

    found = words(checked(function(as_documented, cell=cell, told="mask"), "all_equal"))
    assert "b_hh left out" in found["all_equal", "output"]
    assert "b_hh left out" in found["all_equal", "d_W_hh"]


class WrongCell(nnx.OptimizedLSTMCell):
    """A cell with the mistake that `mistake` names."""

    mistake = ""

    def __call__(self, carry: Any, inputs: Any) -> Any:
        c, h = carry
        kernel, bias = self.dense_h.kernel[...], self.dense_h.bias[...]
        if self.mistake == "transposed":
            kernel = jnp.concatenate([k.T for k in jnp.split(kernel, 4, axis=1)], axis=1)
        a = inputs @ self.dense_i.kernel[...] + h @ kernel + bias
        i, f, g, o = jnp.split(a + bias if self.mistake == "bias" else a, 4, axis=-1)
        if self.mistake == "gates":
            f, g = g, f
        c = jax.nn.sigmoid(f) * c + jax.nn.sigmoid(i) * jnp.tanh(g)
        h = jax.nn.sigmoid(o) * jnp.tanh(c)
        return (c, h), h


@pytest.mark.parametrize(
    ("mistake", "said"),
    [
        ("", None),
        ("transposed", "W_hh transposed"),
        ("bias", "b_ih added twice"),
        ("gates", "the forget and cell gate rows swapped"),
    ],
)
def test_a_wrong_cell_is_found_and_named(mistake: str, said: str | None) -> None:
    cell = WrongCell(3, H, rngs=nnx.Rngs(0))
    cell.mistake = mistake
    found = words(checked(adapt(nnx.RNN(cell), seed=0), "unsorted"))
    assert bool(found) == bool(said)
    assert said is None or said in found["unsorted", "carry.h"]


def test_float64_weights_in_a_cell_that_computes_in_float32_are_a_finding() -> None:
    with jax.enable_x64(True):
        cell = nnx.SimpleCell(3, H, param_dtype=jnp.float64, rngs=nnx.Rngs(0))
    found = words(checked(adapt(nnx.RNN(cell), seed=0), "all_equal"))
    assert "scan" in found["all_equal", ""]


def test_what_cannot_be_checked_is_refused_with_the_reason() -> None:
    rnn = nnx.RNN(gru())
    with pytest.raises(TypeError, match="a module of nnx has its own"):
        adapt(rnn, input_size=3)
    with pytest.raises(UnsupportedCase, match="same weights in both directions"):
        adapt(nnx.Bidirectional(rnn, rnn))
    with pytest.raises(TypeError, match="expected a module like flax's RNN"):
        adapt(nnx.Linear(3, H, rngs=nnx.Rngs(0)))
    with pytest.raises(UnsupportedCase, match="bfloat16"):
        adapt(nnx.RNN(gru(dtype=jnp.bfloat16)))
