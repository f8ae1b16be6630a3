"""The oracle on flax.linen: RNN, Bidirectional and the cells."""

from __future__ import annotations

from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import refrnn as rr
from refrnn.errors import UnsupportedCase
from refrnn.oracle import adapt, check
from refrnn.oracle.adapters.flax import modules
from refrnn.oracle.weights import LAYOUTS

from .functions import checked, off_by_a_thousandth, words

H = 5
EMPTY = "the final state of a sequence of length 0 is the state after its padding"
UNMASKED = "outputs in the padding are left as they come"


def rnn(cell: Any = None, **options: Any) -> nn.RNN:
    return nn.RNN(nn.OptimizedLSTMCell(H) if cell is None else cell, **options)


# --- what flax does ------------------------------------------------------------------------------


def test_an_rnn_fails_where_it_is_known_to() -> None:
    report = check(rnn(), input_size=3)
    found = words(report)
    assert {problem for problem, tensor in found if not tensor} == {"all_empty"}
    assert "Slice size at index 0 in gather op is out of range" in found.pop(("all_empty", ""))
    assert {problem for problem, tensor in found} == {"nan_padding"}
    names = {tensor for _, tensor in found}
    kernels = {f"d_cell/{side}{gate}/kernel" for side in "ih" for gate in "ifgo"}
    biases = {f"d_cell/h{gate}/bias" for gate in "ifgo"}
    states = {f"{form}.{letter}" for form in ("carry", "d_initial_carry") for letter in "ch"}
    assert names == kernels | biases | states | {"d_inputs"}
    assert all(said.startswith("the NaN of the padding leaks into it") for said in found.values())
    said = {part for f in report.deliberate for part in f.words.split("; ")}
    assert {part.split(",")[0] for part in said} == {EMPTY, UNMASKED}
    (outputs,) = [f for f in report.deliberate if "outputs" in f.tensors]
    assert outputs.words == UNMASKED
    assert "nan_padding" in outputs.problems


@pytest.mark.parametrize("name", [n for n, _ in modules() if n.startswith("linen")])
def test_modules_agree_on_ragged_batches(name: str) -> None:
    report = checked(dict(modules())[name], "unsorted")
    report.raise_if_failed()
    assert not report.unchecked


def test_empty_sequences_are_what_the_profile_says() -> None:
    module = nn.Bidirectional(rnn(nn.GRUCell(H)), rnn(nn.GRUCell(H)))
    report = checked(adapt(module, input_size=3), "length_0_and_1")
    report.raise_if_failed()
    assert any(f.words.startswith(EMPTY) for f in report.deliberate)


def test_a_cell_agrees_with_the_law() -> None:
    own = adapt(nn.LSTMCell(H), input_size=3)
    report = checked(own, "length_0_and_1", "nan_padding", "last_state")
    report.raise_if_failed()
    assert not report.deliberate
    assert "d_ii/kernel" in report.tensors


@pytest.mark.parametrize(("merge", "name"), [(jnp.add, "sum"), (jnp.multiply, "mul")])
def test_directions_are_merged(merge: Any, name: str) -> None:
    module = nn.Bidirectional(rnn(nn.SimpleCell(H)), rnn(nn.SimpleCell(H)), merge_fn=merge)
    own = adapt(module, input_size=3)
    assert own.network.merge == name
    checked(own, "unsorted").raise_if_failed()


def test_activations_are_read() -> None:
    cell = nn.GRUCell(H, gate_fn=jax.nn.hard_sigmoid, activation_fn=jax.nn.softplus)
    own = adapt(rnn(cell), input_size=3)
    assert own.network.cells[0].candidate_activation.name == "softplus"
    checked(own, "unsorted").raise_if_failed()


def test_variables_and_a_users_batch() -> None:
    module = rnn(nn.GRUCell(H))
    variables = module.init(jax.random.key(1), jnp.ones((1, 1, 3)))
    kept = jax.tree.map(np.array, variables)
    rng = np.random.default_rng(0)
    batch = rr.RaggedBatch.from_sequences(
        [rng.normal(size=(n, 3)).astype(np.float32) for n in (3, 5)]
    )
    report = check(module, batch, variables=variables)
    report.raise_if_failed()
    own = adapt(module, variables=variables)
    given = LAYOUTS["flax.linen.GRUCell"].to_foreign(own.network.cells[0], own.parameters()[0])
    assert np.array_equal(given["ir/kernel"], kept["params"]["cell"]["ir"]["kernel"])
    assert jax.tree.all(jax.tree.map(np.array_equal, variables, kept))


def test_without_lengths_only_what_has_no_padding_is_checked() -> None:
    own = adapt(rnn(), input_size=3, seq_lengths=False, compiled=False)
    report = checked(own, "unsorted", "one_sequence")
    report.raise_if_failed()
    assert [f.problems for f in report.unchecked] == [("unsorted",)]


# --- planted bugs --------------------------------------------------------------------------------


class Cell(nn.LSTMCell):
    """A right cell in one matrix, unless `mistake` names one; its weights are those of LSTMCell."""

    mistake: str = ""

    @nn.compact
    def __call__(self, carry: Any, inputs: Any) -> Any:
        c, h = carry
        sides: dict[str, Any] = {}
        for side, width, bias in (("i", inputs.shape[-1], False), ("h", H, True)):
            for gate in "ifgo":
                sides[side + gate] = Dense(width, H, bias, self.mistake, name=side + gate)
        x = {g: sides["i" + g](inputs) for g in "ifgo"}
        a = {g: x[g] + sides["h" + g](h) for g in "ifgo"}
        if self.mistake == "gates":
            a["i"], a["o"] = a["o"], a["i"]
        c = nn.sigmoid(a["f"]) * c + nn.sigmoid(a["i"]) * jnp.tanh(a["g"])
        h = nn.sigmoid(a["o"]) * jnp.tanh(c)
        return (c, h), h


class Dense(nn.Module):
    """One matrix, and a bias; wrong as `mistake` says."""

    width: int
    features: int
    use_bias: bool
    mistake: str

    @nn.compact
    def __call__(self, a: Any) -> Any:
        shape = (self.width, self.features)
        kernel = self.param("kernel", nn.initializers.zeros, shape, a.dtype)
        if self.mistake == "transposed" and self.use_bias:
            kernel = kernel.T
        if self.mistake == "a thousandth" and self.name == "hg":
            kernel = off_by_a_thousandth(kernel)
        if not self.use_bias:
            return a @ kernel
        bias = self.param("bias", nn.initializers.zeros, (self.features,), a.dtype)
        return a @ kernel + (2 * bias if self.mistake == "bias" else bias)


class Layer(nn.RNN):
    """An RNN with a mistake."""

    mistake: str = ""

    def __call__(self, inputs: Any, *, seq_lengths: Any = None, **given: Any) -> Any:
        if seq_lengths is None:  # while the variables are initialised
            return super().__call__(inputs, **given)
        if self.mistake == "crash":
            raise RuntimeError("out of order")
        if self.mistake == "no lengths":
            seq_lengths = None
        if self.mistake == "no h_0":
            given["initial_carry"] = jax.lax.stop_gradient(given["initial_carry"])
        carry, outputs = super().__call__(inputs, seq_lengths=seq_lengths, **given)
        if self.mistake == "rows":
            carry = jax.tree.map(lambda a: a[::-1], carry)
        if self.mistake == "shape":
            outputs = outputs[:, :, 1:]
        if self.mistake == "dtype":
            outputs = outputs.astype(jnp.bfloat16)
        if self.mistake == "count":
            carry = carry[:1]
        if self.mistake == "no carry":
            return outputs
        return carry, outputs


def test_the_cell_that_bugs_are_planted_in_is_right() -> None:
    checked(adapt(rnn(Cell(H)), input_size=3), "unsorted").raise_if_failed()


@pytest.mark.parametrize(
    ("mistake", "said"),
    [
        ("gates", "the input and output gate rows swapped"),
        ("bias", "b_ih added twice"),
        ("transposed", "W_hh transposed"),
    ],
)
def test_a_wrong_cell_is_found_and_named(mistake: str, said: str) -> None:
    found = words(checked(adapt(rnn(Cell(H, mistake=mistake)), input_size=3), "unsorted"))
    assert said in found["unsorted", "outputs"]
    assert said in found["unsorted", "d_cell/hg/kernel"]


def test_one_entry_of_a_float64_gradient_that_is_a_thousandth_wrong() -> None:
    cell = Cell(H, mistake="a thousandth", param_dtype=jnp.float64)
    own = adapt(rnn(cell), input_size=3)
    assert own.dtype == np.float64
    found = words(checked(own, "unsorted"))
    assert set(found) == {("unsorted", "d_cell/hg/kernel")}
    assert found["unsorted", "d_cell/hg/kernel"].startswith("1 of 25 elements differ")
    assert not jax.config.jax_enable_x64


@pytest.mark.parametrize(
    ("mistake", "problem", "tensor", "said"),
    [
        ("no lengths", "unsorted", "carry.h", "lengths ignored, padding stepped like data,"),
        ("no h_0", "unsorted", "d_initial_carry.c", "zero everywhere: the gradient is dropped"),
        ("rows", "all_equal", "carry.c", "those of the reference in the order [3, 2, 1, 0]"),
        ("crash", "all_equal", "", "crashed: RuntimeError: out of order"),
        ("shape", "all_equal", "outputs", "it has shape (4, 4, 4), expected (4, 4, 5)"),
        ("dtype", "all_equal", "outputs", "it has dtype bfloat16, expected float32"),
        ("count", "all_equal", "", "the carry has 1 arrays, expected 2"),
        ("no carry", "all_equal", "", "expected (carry, outputs)"),
    ],
)
def test_a_wrong_layer_is_found_and_named(
    mistake: str, problem: str, tensor: str, said: str
) -> None:
    module = Layer(nn.OptimizedLSTMCell(H), mistake=mistake)
    found = words(checked(adapt(module, input_size=3), problem))
    assert said in found[problem, tensor]


def test_a_reverse_direction_that_is_not_kept_within_its_lengths_is_named() -> None:
    module = Layer(nn.OptimizedLSTMCell(H), mistake="no lengths", reverse=True, keep_order=True)
    found = words(checked(adapt(module, input_size=3), "unsorted"))
    assert "padding" in found["unsorted", "outputs"]


# --- what is refused -----------------------------------------------------------------------------


def test_what_cannot_be_checked_is_refused_with_the_reason() -> None:
    shared = rnn()
    cases: list[tuple[Any, dict[str, Any], type[Exception], str]] = [
        (rnn(), {}, TypeError, "input_size is missing"),
        (nn.Dense(3), {"input_size": 3}, TypeError, "expected a module like flax's RNN"),
        (rnn(nn.MGUCell(H)), {"input_size": 3}, UnsupportedCase, "has type MGUCell"),
        (rnn(nn.SimpleCell(H, residual=True)), {"input_size": 3}, UnsupportedCase, "residual"),
        (rnn(nn.GRUCell(H, gate_fn=nn.gelu)), {"input_size": 3}, UnsupportedCase, "gate_fn has"),
        (nn.Bidirectional(shared, shared), {"input_size": 3}, UnsupportedCase, "same weights"),
        (rnn(nn.GRUCell(H, dtype=jnp.bfloat16)), {"input_size": 3}, UnsupportedCase, "bfloat16"),
        (nn.GRUCell(H), {"input_size": 3, "seq_lengths": False}, TypeError, "a cell takes steps"),
        (rnn(), {"variables": {"state": {}}}, ValueError, "expected params among them"),
        (rnn(), {"input_size": 3, "packed": True}, TypeError, "packed"),
    ]
    for module, options, error, said in cases:
        with pytest.raises(error, match=said):
            adapt(module, **options)
