"""flax.linen, flax.nnx, dm-haiku and jax.experimental.rnn with converted weights.

Each framework's cell is stepped over time by ``jax.lax.scan``, and differentiated by ``jax.grad``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import flax.linen as nn
import haiku as hk
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from flax.traverse_util import flatten_dict, unflatten_dict
from jax.experimental import rnn as experimental_rnn

import refrnn as rr
from refrnn.comparison import Case
from refrnn.oracle.weights import LAYOUTS, jax_flatten, jax_unflatten
from refrnn.types import Array

from ...oracle.agreement import Foreign, check, full_case, padded

#: A step: weights by name, x (B, I) and the state (h,) or (h, c) to the state after it.
Step = Callable[[Mapping[str, Any], Any, tuple[Any, ...]], tuple[Any, ...]]


@pytest.fixture(autouse=True)
def _float64() -> Iterator[None]:
    """What NumPy computes in, for these tests alone."""
    before = jax.config.read("jax_enable_x64")
    jax.config.update("jax_enable_x64", True)
    yield
    jax.config.update("jax_enable_x64", before)


def differentiate(case: Case, weights: Mapping[str, Array], step: Step) -> Foreign:
    """Outputs, final state and the gradient of every weight."""
    x, d_output = (jnp.asarray(array) for array in padded(case))

    def walk(given: Any) -> Any:
        def scanned(state: Any, x_t: Any) -> Any:
            after = step(given, x_t, state)
            return after, after[0]

        state, output = jax.lax.scan(scanned, tuple(map(jnp.asarray, case.state_0)), x)
        loss = (output * d_output).sum()
        loss += sum((a * d).sum() for a, d in zip(state, case.d_state_n, strict=True))
        return loss, (output, state)

    given = {name: jnp.asarray(array) for name, array in weights.items()}
    gradients, (output, state) = jax.jit(jax.grad(walk, has_aux=True))(given)
    return Foreign(
        np.asarray(output),
        [np.asarray(array) for array in state],
        {name: np.asarray(array) for name, array in gradients.items()},
    )


def carried(state: tuple[Any, ...]) -> Any:
    """A carry of flax: h, or (c, h)."""
    return state[::-1] if len(state) == 2 else state[0]


def uncarried(carry: Any) -> tuple[Any, ...]:
    return carry[::-1] if isinstance(carry, tuple) else (carry,)


def linen_step(name: str, cell: Any) -> Step:
    module = getattr(nn, name)(cell.hidden_size)

    def step(weights: Mapping[str, Any], x: Any, state: tuple[Any, ...]) -> tuple[Any, ...]:
        carry, _ = module.apply({"params": unflatten_dict(weights, sep="/")}, carried(state), x)
        return uncarried(carry)

    return step


def nnx_step(name: str, cell: Any) -> Step:
    module = getattr(nnx, name)(
        cell.input_size,
        cell.hidden_size,
        dtype=jnp.float64,
        param_dtype=jnp.float64,
        rngs=nnx.Rngs(0),
    )
    graph, variables, rest = nnx.split(module, nnx.Param, ...)
    flat = {"/".join(path): variable for path, variable in nnx.to_flat_state(variables)}

    def step(weights: Mapping[str, Any], x: Any, state: tuple[Any, ...]) -> tuple[Any, ...]:
        assert {n: v.shape for n, v in flat.items()} == {n: w.shape for n, w in weights.items()}
        filled = nnx.from_flat_state(
            {tuple(n.split("/")): flat[n].replace(w) for n, w in weights.items()}
        )
        carry, _ = nnx.merge(graph, filled, rest)(carried(state), x)
        return uncarried(carry)

    return step


def haiku_step(name: str, cell: Any) -> Step:
    options = {"double_bias": cell.biases == 2} if name == "VanillaRNN" else {}

    def call(x: Any, state: Any) -> Any:
        return getattr(hk, name)(cell.hidden_size, name="cell", **options)(x, state)

    transformed = hk.without_apply_rng(hk.transform(call))

    def step(weights: Mapping[str, Any], x: Any, state: tuple[Any, ...]) -> tuple[Any, ...]:
        nested: dict[str, Any] = {}
        for path, array in weights.items():
            *module, array_name = f"cell/{path}".split("/")
            nested.setdefault("/".join(module), {})[array_name] = array
        before = hk.LSTMState(*state) if len(state) == 2 else state[0]
        _, after = transformed.apply(nested, x, before)
        return tuple(after) if len(state) == 2 else (after,)

    return step


MAKERS = {"flax.linen": linen_step, "flax.nnx": nnx_step, "haiku": haiku_step}

CELLS = [
    ("flax.linen", "SimpleCell", rr.RNN(3, 4, biases=1)),
    ("flax.linen", "LSTMCell", rr.LSTM(3, 4, biases=1)),
    ("flax.linen", "OptimizedLSTMCell", rr.LSTM(3, 4, biases=1)),
    ("flax.linen", "GRUCell", rr.GRU(3, 4)),
    ("flax.nnx", "SimpleCell", rr.RNN(3, 4, biases=1)),
    ("flax.nnx", "LSTMCell", rr.LSTM(3, 4, biases=1)),
    ("flax.nnx", "OptimizedLSTMCell", rr.LSTM(3, 4, biases=1)),
    ("flax.nnx", "GRUCell", rr.GRU(3, 4, biases=1)),
    ("haiku", "VanillaRNN", rr.RNN(3, 4, activation="relu")),
    ("haiku", "VanillaRNN", rr.RNN(3, 4, activation="relu", biases=1)),
    ("haiku", "LSTM", rr.LSTM(3, 4, biases=1)),
    ("haiku", "GRU", rr.GRU(3, 4, biases=1, reset_after=False)),
]


@pytest.mark.parametrize(("framework", "name", "cell"), CELLS, ids=str)
def test_the_framework_computes_what_refrnn_does(framework: str, name: str, cell: Any) -> None:
    layout = LAYOUTS[f"{framework}.{name}"]
    case = full_case(cell)
    weights = layout.to_foreign(cell, case.parameters)
    check(layout, case, differentiate(case, weights, MAKERS[framework](name, cell)))


@pytest.mark.parametrize("name", ["SimpleCell", "LSTMCell", "OptimizedLSTMCell", "GRUCell"])
def test_linen_makes_arrays_of_these_names_and_shapes(name: str) -> None:
    module = getattr(nn, name)(4)
    x, key = jnp.zeros((2, 3)), jax.random.key(0)
    made = module.init(key, module.initialize_carry(key, x.shape), x)["params"]
    flat = flatten_dict(made, sep="/")
    cell = LAYOUTS[f"flax.linen.{name}"].cell({n: np.asarray(a) for n, a in flat.items()})
    assert (cell.input_size, cell.hidden_size) == (3, 4)


@pytest.mark.parametrize(
    ("name", "cell"), [(name, cell) for framework, name, cell in CELLS if framework == "haiku"]
)
def test_haiku_makes_arrays_of_these_names_and_shapes(name: str, cell: Any) -> None:
    options = {"double_bias": cell.biases == 2} if name == "VanillaRNN" else {}

    def call(x: Any) -> Any:
        core = getattr(hk, name)(4, name="cell", **options)
        return core(x, core.initial_state(2))

    made = hk.transform(call).init(jax.random.key(0), jnp.zeros((2, 3)))
    flat = {
        f"{module}/{array}".removeprefix("cell/"): value.shape
        for module, arrays in made.items()
        for array, value in arrays.items()
    }
    assert flat == LAYOUTS[f"haiku.{name}"].shapes(cell)


def lstm_ref(case: Case, vector: Any) -> tuple[Any, Any, Any]:
    """JAX's reference LSTM, of which the parameters are one vector; (B, T, R) and (1, B, H)."""
    x, _ = padded(case)
    arguments = (jnp.asarray(array)[None] for array in case.state_0)
    lengths = jnp.asarray(case.batch.lengths, jnp.int32)
    sizes = (case.cell.input_size, case.cell.hidden_size, 1)
    weights = experimental_rnn.unpack_lstm_weights(vector, *sizes, False)
    y, h_n, c_n = experimental_rnn.lstm_ref(
        jnp.asarray(x).swapaxes(0, 1),
        *arguments,
        *weights,
        lengths,
        *sizes,
        dropout=0.0,
        bidirectional=False,
    )
    return y.swapaxes(0, 1), h_n[0], c_n[0]


def test_jax_takes_and_differentiates_the_flat_vector() -> None:
    layout = LAYOUTS["jax.experimental.rnn.lstm"]
    case = full_case(rr.LSTM(3, 4))
    _, d_output = padded(case)
    vector = jax_flatten([layout.to_foreign(case.cell, case.parameters)])
    assert vector.size == experimental_rnn.get_num_params_in_lstm(3, 4, 1, False)

    def loss(numbers: Any) -> Any:
        y, *state = lstm_ref(case, numbers)
        total = (y * d_output).sum()
        total += sum((a * d).sum() for a, d in zip(state, case.d_state_n, strict=True))
        return total, (y, state)

    gradient, (y, state) = jax.jit(jax.grad(loss, has_aux=True))(jnp.asarray(vector))
    (gradients,) = jax_unflatten(np.asarray(gradient), 3, 4)
    got = Foreign(np.asarray(y), [np.asarray(array) for array in state], gradients)
    check(layout, case, got)


@pytest.mark.parametrize("bidirectional", [False, True])
def test_jax_unpacks_several_layers_as_they_were_packed(bidirectional: bool) -> None:
    D, layout = 1 + bidirectional, LAYOUTS["jax.experimental.rnn.lstm"]
    cells = [rr.LSTM(3 if k < D else 4 * D, 4) for k in range(2 * D)]
    rng = np.random.default_rng(0)
    layers = [layout.to_foreign(cell, cell.init_parameters(rng)) for cell in cells]
    vector = jnp.asarray(jax_flatten(layers))
    kinds = experimental_rnn.unpack_lstm_weights(vector, 3, 4, 2, bidirectional)
    for name, kind in zip(("W_ih", "W_hh", "b_ih", "b_hh"), kinds, strict=True):
        for k, layer in enumerate(layers):
            np.testing.assert_array_equal(kind[k], layer[name])
