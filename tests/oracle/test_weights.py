"""Layouts: exact inverses, exact adjoints, and the function that each framework documents."""

from __future__ import annotations

import itertools
import subprocess
import sys
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import refrnn as rr
from refrnn import CellParameters
from refrnn.comparison import Case, compare, reference, run_case
from refrnn.oracle.weights import (
    LAYOUTS,
    Layout,
    block_lstm,
    jax_flatten,
    jax_unflatten,
    onnx_stack,
    onnx_unstack,
)
from refrnn.types import Array

from . import foreign_steps as steps
from .agreement import Foreign, check, deviations, full_case, padded


class Variant(NamedTuple):
    """A cell of a layout: options that its arrays show, and options that they do not."""

    layout: Layout
    shown: Mapping[str, Any]
    given: Mapping[str, Any]

    def cell(self, input_size: int, hidden_size: int) -> Any:
        make = self.layout.cell_type
        return make(input_size, hidden_size, **{**self.shown, **self.given})

    def __str__(self) -> str:
        options = {**self.shown, **self.given}
        return f"{self.layout.name} {', '.join(f'{k}={v}' for k, v in options.items())}"


# What of each layout's options is drawn: those shown by names and shapes, and those not.
SHOWN: dict[str, dict[str, list[Any]]] = {
    "torch.RNN": {"biases": [2, 0]},
    "torch.LSTM": {"biases": [2, 0], "proj_size": [0, 2]},
    "torch.GRU": {"biases": [2, 0]},
    "keras.SimpleRNN": {"biases": [1, 0]},
    "keras.LSTM": {"biases": [1, 0]},
    "keras.GRU": {"biases": [2, 0]},
    "keras.GRU(reset_after=False)": {"biases": [1, 0]},
    "flax.linen.SimpleCell": {"biases": [1]},
    "flax.linen.LSTMCell": {"biases": [1]},
    "flax.linen.OptimizedLSTMCell": {"biases": [1]},
    "flax.linen.GRUCell": {"biases": [2]},
    "flax.nnx.SimpleCell": {"biases": [1]},
    "flax.nnx.LSTMCell": {"biases": [1]},
    "flax.nnx.OptimizedLSTMCell": {"biases": [1]},
    "flax.nnx.GRUCell": {"biases": [1]},
    "haiku.VanillaRNN": {"biases": [2, 1]},
    "haiku.LSTM": {"biases": [1]},
    "haiku.GRU": {"biases": [1]},
    "jax.experimental.rnn.lstm": {"biases": [2]},
    "onnx.RNN": {"biases": [2, 0]},
    "onnx.LSTM": {"biases": [2, 0], "peepholes": [False, True]},
    "onnx.GRU": {"biases": [2, 0]},
    "mlx.RNN": {"biases": [1, 0]},
    "mlx.LSTM": {"biases": [1, 0]},
    "mlx.GRU": {"biases": [2, 0]},
    "tf.BlockLSTM": {"biases": [1], "peepholes": [False, True]},
    "tf.BlockLSTMV2": {"biases": [1], "peepholes": [False, True]},
    "tf.GRUBlockCell": {"biases": [1]},
}
GIVEN: dict[str, dict[str, list[Any]]] = {
    "torch.RNN": {"activation": ["tanh", "relu"]},
    "keras.SimpleRNN": {"activation": ["softsign"]},
    "keras.GRU": {"gate_activation": ["hardsigmoid"]},
    "keras.GRU(reset_after=False)": {"reset_after": [False]},
    "haiku.VanillaRNN": {"activation": ["relu"]},
    "haiku.GRU": {"reset_after": [False]},
    "onnx.RNN": {"gate_clip": [None, 2.0]},
    "onnx.LSTM": {"coupled": [False, True], "output_activation": ["softsign"]},
    "onnx.GRU": {"reset_after": [False, True]},
    "tf.BlockLSTM": {"cell_clip": [None, 3.0]},
    "tf.BlockLSTMV2": {"cell_clip": [None, 0.5]},
    "tf.GRUBlockCell": {"reset_after": [False]},
}


def combinations(table: dict[str, list[Any]]) -> list[dict[str, Any]]:
    return [dict(zip(table, values, strict=True)) for values in itertools.product(*table.values())]


VARIANTS = [
    Variant(LAYOUTS[name], shown, given)
    for name, table in SHOWN.items()
    for shown in combinations(table)
    for given in combinations(GIVEN.get(name, {}))
]
FOLDING = {"flax.linen.GRUCell", "mlx.GRU"}

variants = st.sampled_from(VARIANTS)
sizes = st.tuples(st.integers(1, 4), st.integers(3, 5))
seeds = st.integers(0, 2**16)
dtypes = st.sampled_from(["float32", "float64", "longdouble"])


def test_every_layout_has_variants() -> None:
    assert set(SHOWN) == set(LAYOUTS)
    assert all(name == layout.name for name, layout in LAYOUTS.items())


# --- round trips and adjoints, in small integers and therefore exact ------------------------------


def whole_numbers(
    rng: np.random.Generator, shapes: Mapping[str, tuple[int, ...]], dtype: str = "float64"
) -> dict[str, Array]:
    return {n: rng.integers(-9, 10, shape).astype(dtype) for n, shape in shapes.items()}


def plus(first: Mapping[str, Array], second: Mapping[str, Array]) -> dict[str, Array]:
    return {name: first[name] + second[name] for name in first}


def minus(first: Mapping[str, Array], second: Mapping[str, Array]) -> dict[str, Array]:
    return {name: first[name] - second[name] for name in first}


def inner(first: Mapping[str, Array], second: Mapping[str, Array]) -> float:
    assert set(first) == set(second)
    return float(sum((first[name] * second[name]).sum() for name in first))


def same(first: Mapping[str, Array], second: Mapping[str, Array]) -> bool:
    return list(first) == list(second) and all(
        first[n].dtype == second[n].dtype and np.array_equal(first[n], second[n]) for n in first
    )


def used(variant: Variant, cell: Any, weights: dict[str, Array]) -> dict[str, Array]:
    """Weights with zeros where the framework does not use them: f of coupled gates."""
    if not variant.given.get("coupled"):
        return weights
    H = cell.hidden_size
    ignored = {"W": [2], "R": [2], "B": [2, 6], "P": [2]}
    for name, array in weights.items():
        for block in ignored[name]:
            array[block * H : (block + 1) * H] = 0
    return weights


@given(variants, sizes, seeds, dtypes)
def test_weights_go_to_refrnn_and_back(
    variant: Variant, size: tuple[int, int], seed: int, dtype: str
) -> None:
    cell, layout = variant.cell(*size), variant.layout
    weights = whole_numbers(np.random.default_rng(seed), layout.shapes(cell), dtype)
    weights = used(variant, cell, weights)
    assert layout.cell(weights, **variant.given) == cell
    parameters = layout.from_foreign(cell, weights)
    assert parameters == cell.check_parameters(parameters)
    back = layout.to_foreign(cell, parameters)
    assert same(back, weights)
    assert all(a.flags.c_contiguous and a.flags.writeable for a in back.values())


@given(variants, sizes, seeds, dtypes)
def test_parameters_go_to_the_framework_and_back(
    variant: Variant, size: tuple[int, int], seed: int, dtype: str
) -> None:
    cell, layout = variant.cell(*size), variant.layout
    drawn = whole_numbers(np.random.default_rng(seed), cell.parameter_shapes(), dtype)
    back = layout.from_foreign(cell, layout.to_foreign(cell, CellParameters(drawn)))
    if layout.name in FOLDING and cell.biases == 2:
        rows = 2 * cell.hidden_size  # of r and z
        drawn["b_ih"][:rows] += drawn["b_hh"][:rows]
        drawn["b_hh"][:rows] = 0
    assert back == CellParameters(drawn)


@given(variants, sizes, seeds)
def test_gradients_are_adjoint_to_weights(
    variant: Variant, size: tuple[int, int], seed: int
) -> None:
    cell, layout = variant.cell(*size), variant.layout
    rng = np.random.default_rng(seed)
    g, p, d_p = (CellParameters(whole_numbers(rng, cell.parameter_shapes())) for _ in range(3))
    d_w, w, gradient = (whole_numbers(rng, layout.shapes(cell)) for _ in range(3))
    moved = minus(layout.from_foreign(cell, plus(w, d_w)), layout.from_foreign(cell, w))
    assert inner(layout.gradient_to_foreign(cell, g), d_w) == inner(g, moved)
    moved = minus(layout.to_foreign(cell, plus(p, d_p)), layout.to_foreign(cell, p))
    assert inner(layout.gradient_from_foreign(cell, gradient), d_p) == inner(gradient, moved)


@pytest.mark.parametrize("variant", VARIANTS, ids=str)
def test_there_and_back_changes_no_result_and_no_gradient(variant: Variant) -> None:
    case = full_case(variant.cell(3, 4))
    cell, layout = case.cell, variant.layout
    folded = layout.from_foreign(cell, layout.to_foreign(cell, case.parameters))
    results = run_case(case._replace(parameters=folded), "packed")
    d_parameters = {n.removeprefix("d_"): a for n, a in results.items() if n[2:] in folded}
    there = layout.gradient_to_foreign(cell, CellParameters(d_parameters))
    back = layout.gradient_from_foreign(cell, there)
    results.update({f"d_{name}": array for name, array in back.items()})
    assert all(deviation.ok for deviation in compare(case, results))


# --- the function that each framework documents --------------------------------------------------

STEPS: list[tuple[str, dict[str, Any], steps.Step]] = [
    ("torch.RNN", {}, steps.torch_rnn),
    ("torch.LSTM", {}, steps.torch_lstm),
    ("torch.LSTM", {"biases": 0}, steps.torch_lstm),
    ("torch.LSTM", {"proj_size": 2}, steps.torch_lstm),
    ("torch.GRU", {}, steps.torch_gru),
    ("keras.SimpleRNN", {"biases": 1}, steps.keras_rnn),
    ("keras.LSTM", {"biases": 1}, steps.keras_lstm),
    ("keras.GRU", {}, steps.keras_gru),
    (
        "keras.GRU(reset_after=False)",
        {"biases": 1, "reset_after": False},
        steps.keras_gru_before,
    ),
    ("flax.linen.SimpleCell", {"biases": 1}, steps.linen_rnn),
    ("flax.linen.LSTMCell", {"biases": 1}, steps.linen_lstm),
    ("flax.linen.OptimizedLSTMCell", {"biases": 1}, steps.linen_lstm),
    ("flax.linen.GRUCell", {}, steps.linen_gru),
    ("flax.nnx.SimpleCell", {"biases": 1}, steps.nnx_rnn),
    ("flax.nnx.LSTMCell", {"biases": 1}, steps.nnx_lstm),
    ("flax.nnx.OptimizedLSTMCell", {"biases": 1}, steps.nnx_optimized_lstm),
    ("flax.nnx.GRUCell", {"biases": 1}, steps.nnx_gru),
    ("haiku.VanillaRNN", {"activation": "relu"}, steps.haiku_rnn),
    ("haiku.LSTM", {"biases": 1}, steps.haiku_lstm),
    ("haiku.GRU", {"biases": 1, "reset_after": False}, steps.haiku_gru),
    ("jax.experimental.rnn.lstm", {}, steps.jax_lstm),
    ("onnx.RNN", {}, steps.onnx_rnn),
    ("onnx.LSTM", {}, steps.onnx_lstm_with(input_forget=False)),
    ("onnx.LSTM", {"peepholes": True}, steps.onnx_lstm_with(input_forget=False)),
    ("onnx.LSTM", {"peepholes": True, "coupled": True}, steps.onnx_lstm_with(input_forget=True)),
    ("onnx.GRU", {"reset_after": False}, steps.onnx_gru_with(linear_before_reset=False)),
    ("onnx.GRU", {}, steps.onnx_gru_with(linear_before_reset=True)),
    ("mlx.RNN", {"biases": 1}, steps.mlx_rnn),
    ("mlx.LSTM", {"biases": 1}, steps.mlx_lstm),
    ("mlx.GRU", {}, steps.mlx_gru),
    ("tf.BlockLSTM", {"biases": 1}, steps.block_lstm_with("icfo", 1.0)),
    ("tf.BlockLSTM", {"biases": 1, "peepholes": True}, steps.block_lstm_with("icfo", 1.0)),
    ("tf.BlockLSTMV2", {"biases": 1, "peepholes": True}, steps.block_lstm_with("ifco", 0.0)),
    ("tf.GRUBlockCell", {"biases": 1, "reset_after": False}, steps.gru_block),
]


def walk(step: steps.Step, weights: Mapping[str, Array], case: Case) -> tuple[Array, Any]:
    """The outputs (T, B, R) and the final state of a step repeated over time."""
    x, _ = padded(case)
    state = tuple(case.state_0)
    outputs = []
    for x_t in x:
        state = step(weights, x_t, state)
        outputs.append(state[0])
    return np.stack(outputs), state


def complex_step(step: steps.Step, weights: dict[str, Array], case: Case) -> dict[str, Array]:
    """The gradient of every weight, one complex step each."""
    _, d_output = padded(case)
    gradients = {name: np.empty_like(array) for name, array in weights.items()}
    for name, array in weights.items():
        for index in np.ndindex(array.shape):
            stepped = array.astype(complex)
            stepped[index] += 1e-30j
            output, state = walk(step, {**weights, name: stepped}, case)
            loss = (output * d_output).sum()
            loss += sum((a * d).sum() for a, d in zip(state, case.d_state_n, strict=True))
            gradients[name][index] = loss.imag / 1e-30
    return gradients


def shown(value: Any) -> str:
    """A name that is the same in every process."""
    return str(getattr(value, "__name__", value))[:40]


@pytest.mark.parametrize(("name", "options", "step"), STEPS, ids=shown)
def test_results_and_gradients_are_those_of_the_documented_equations(
    name: str, options: dict[str, Any], step: steps.Step
) -> None:
    layout = LAYOUTS[name]
    case = full_case(layout.cell_type(2, 3, **options))
    weights = layout.to_foreign(case.cell, case.parameters)
    output, state = walk(step, weights, case)
    check(layout, case, Foreign(output, state, complex_step(step, weights, case)))


def test_every_layout_is_held_to_documented_equations() -> None:
    assert {name for name, _, _ in STEPS} == set(LAYOUTS)


def reordered(cell: Any, parameters: CellParameters, order: tuple[int, ...]) -> CellParameters:
    """Parameters whose gates are in another order."""

    def gates(name: str, array: Array) -> Array:
        if name.startswith("p_") or name == "W_hr":
            return array
        blocks = np.split(array, cell.num_gates)
        return np.concatenate([blocks[gate] for gate in order])

    return CellParameters({name: gates(name, array) for name, array in parameters.items()})


@pytest.mark.parametrize(("name", "options", "step"), STEPS, ids=shown)
def test_every_wrong_gate_order_is_found(
    name: str, options: dict[str, Any], step: steps.Step
) -> None:
    layout = LAYOUTS[name]
    case = full_case(layout.cell_type(2, 3, **options))
    truth = reference(case)
    right, *wrong = itertools.permutations(range(case.cell.num_gates))
    for order in (right, *wrong):
        parameters = reordered(case.cell, case.parameters, order)
        output, state = walk(step, layout.to_foreign(case.cell, parameters), case)
        got = Foreign(output, state, None)
        assert all(d.ok for d in deviations(layout, case, got, truth)) == (order == right)


@given(st.floats(-4, 4), seeds)
def test_a_forget_bias_is_added_and_taken_away(forget_bias: float, seed: int) -> None:
    layout = block_lstm(forget_bias)
    case = full_case(rr.LSTM(2, 3, biases=1), seed=seed)
    weights = layout.to_foreign(case.cell, case.parameters)
    output, state = walk(steps.block_lstm_with("icfo", forget_bias), weights, case)
    check(layout, case, Foreign(output, state, None))
    back = layout.from_foreign(case.cell, weights)
    np.testing.assert_allclose(back.b_ih, case.parameters.b_ih, rtol=0, atol=4 * 2.0**-52)


# --- what is refused ------------------------------------------------------------------------------

KERAS = LAYOUTS["keras.LSTM"]
LSTM = rr.LSTM(3, 4, biases=1)


def zeros(layout: Layout, cell: Any, dtype: str = "float64") -> dict[str, Any]:
    return {name: np.zeros(shape, dtype) for name, shape in layout.shapes(cell).items()}


@pytest.mark.parametrize(
    ("name", "cell", "message"),
    [
        ("torch.LSTM", rr.LSTM(3, 4, biases=1), "cell has biases = 1, expected 2 or 0 for torch"),
        ("torch.LSTM", rr.LSTM(3, 4, coupled=True), "coupled = True, expected False for torch"),
        ("torch.LSTM", rr.LSTM(3, 4, peepholes=True), "peepholes = True, expected False"),
        ("torch.GRU", rr.GRU(3, 4, reset_after=False), "reset_after = False, expected True"),
        ("keras.LSTM", rr.LSTM(3, 4, proj_size=2, biases=1), "proj_size = 2, expected 0 for keras"),
        (
            "keras.LSTM",
            rr.LSTM(3, 4, biases=1, cell_activation="relu"),
            "output_activation = .*tanh.*, expected the same for keras.LSTM",
        ),
        ("keras.GRU", rr.GRU(3, 4, biases=1), "biases = 1, expected 2 or 0 for keras.GRU"),
        ("haiku.GRU", rr.GRU(3, 4, biases=1), "reset_after = True, expected False for haiku.GRU"),
        ("haiku.VanillaRNN", rr.RNN(3, 4), r"activation = .*tanh.*, expected .*relu"),
        (
            "haiku.GRU",
            rr.GRU(3, 4, biases=1, reset_after=False, gate_activation="tanh"),
            "gate_activation = .*tanh.*, expected .*sigmoid",
        ),
        ("onnx.LSTM", rr.LSTM(3, 4, cell_clip=1.0), "cell_clip = 1.0, expected None for onnx"),
        ("flax.nnx.GRUCell", rr.GRU(3, 4), "biases = 2, expected 1 for flax.nnx.GRUCell"),
        ("tf.BlockLSTM", rr.LSTM(3, 4, biases=1, gate_clip=1.0), "gate_clip = 1.0, expected None"),
    ],
)
def test_a_cell_that_the_framework_lacks_is_refused(name: str, cell: Any, message: str) -> None:
    layout = LAYOUTS[name]
    parameters = cell.init_parameters(np.random.default_rng(0))
    for convert in (layout.to_foreign, layout.gradient_to_foreign, layout.from_foreign):
        with pytest.raises(ValueError, match=message):
            convert(cell, parameters)


def test_a_cell_of_another_type_is_refused() -> None:
    with pytest.raises(TypeError, match=r"cell has type GRU, expected LSTM for keras\.LSTM"):
        KERAS.shapes(rr.GRU(3, 4))


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"extra": np.zeros(1)}, ValueError, r"weights has names .*'extra'.*, expected \['bias'"),
        ({"kernel": np.zeros((16, 3))}, ValueError, r"weights\['kernel'\] has shape \(16, 3\), ex"),
        ({"bias": np.zeros(16, "float32")}, TypeError, r"weights\['bias'\] has dtype float32, exp"),
        ({"bias": np.zeros(16, "int64")}, TypeError, r"weights\['bias'\] has dtype int64, expecte"),
    ],
)
def test_wrong_weights_are_refused(
    change: dict[str, Any], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        KERAS.from_foreign(LSTM, {**zeros(KERAS, LSTM), **change})


def test_a_missing_array_is_refused_by_name() -> None:
    weights = zeros(KERAS, LSTM)
    del weights["bias"]
    with pytest.raises(ValueError, match=r"weights has names \['kernel', 'recurrent_kernel'\], ex"):
        KERAS.from_foreign(LSTM, weights)
    assert KERAS.cell(weights) == rr.LSTM(3, 4, biases=0)
    del weights["recurrent_kernel"]
    with pytest.raises(ValueError, match=r"weights has names \['kernel'\], expected \["):
        KERAS.cell(weights)
    with pytest.raises(ValueError, match=r"weights has names \[\], expected kernel, recurrent_ker"):
        KERAS.cell({})


def test_gradients_are_refused_by_their_own_name() -> None:
    parameters = LSTM.init_parameters(np.random.default_rng(0))
    fewer = {name: array for name, array in parameters.items() if name != "b_ih"}
    with pytest.raises(ValueError, match=r"gradient has names \['W_hh', 'W_ih'\], expected"):
        KERAS.gradient_to_foreign(LSTM, fewer)
    with pytest.raises(ValueError, match=r"parameters has names"):
        KERAS.to_foreign(LSTM, fewer)
    with pytest.raises(TypeError, match=r"gradient has type list, expected a mapping"):
        KERAS.gradient_from_foreign(LSTM, [])  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("change", "options", "error", "message"),
    [
        (
            {"kernel": np.zeros((3, 14))},
            {},
            ValueError,
            r"kernel'\] has shape \(3, 14\), expected 4",
        ),
        ({"kernel": np.zeros(3)}, {}, ValueError, r"kernel'\] has shape \(3,\), expected 2 axes"),
        ({"bias": np.zeros(12)}, {}, ValueError, r"bias'\] has shape \(12,\), expected the shape"),
        ({"bais": np.zeros(16)}, {}, ValueError, "weights has name 'bais', expected kernel, recu"),
        ({}, {"coupled": True}, ValueError, "cell has coupled = True, expected False for keras"),
        ({}, {"reset_after": True}, TypeError, "reset_after"),
        ({}, {"hidden_size": 5}, ValueError, r"has shape .*, expected the shape keras.LSTM and LS"),
    ],
)
def test_weights_of_no_cell_are_refused(
    change: dict[str, Any], options: dict[str, Any], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        KERAS.cell({**zeros(KERAS, LSTM), **change}, **options)


def test_no_weights_are_no_mapping() -> None:
    with pytest.raises(TypeError, match="weights has type list, expected a mapping of str to nda"):
        KERAS.cell([])  # type: ignore[arg-type]


def test_joined_matrices_must_have_a_column_for_every_input() -> None:
    with pytest.raises(
        ValueError, match=r"weights\['linear/w'\] has shape \(4, 16\), expected 1 b"
    ):
        LAYOUTS["haiku.LSTM"].cell({"linear/w": np.zeros((4, 16)), "linear/b": np.zeros(16)})


# --- what the weights do not show, as the framework has it by default -----------------------------


def test_defaults_are_those_of_the_framework() -> None:
    onnx = {"W": np.zeros((12, 2)), "R": np.zeros((12, 4))}
    assert LAYOUTS["onnx.GRU"].cell(onnx) == rr.GRU(2, 4, biases=0, reset_after=False)
    assert LAYOUTS["onnx.GRU"].cell(onnx, reset_after=True) == rr.GRU(2, 4, biases=0)
    block = {"w": np.zeros((6, 16)), "b": np.zeros(16)}
    assert LAYOUTS["tf.BlockLSTM"].cell(block) == rr.LSTM(2, 4, biases=1, cell_clip=3.0)
    assert LAYOUTS["tf.BlockLSTM"].cell(block, cell_clip=None) == rr.LSTM(2, 4, biases=1)
    assert LAYOUTS["tf.BlockLSTMV2"].cell(block) == rr.LSTM(2, 4, biases=1)


def test_nothing_aliases_what_it_was_made_of() -> None:
    for layout in (LAYOUTS["torch.RNN"], LAYOUTS["onnx.RNN"]):
        cell = rr.RNN(2, 2)
        parameters = cell.init_parameters(np.random.default_rng(0))
        kept = {name: array.copy() for name, array in parameters.items()}
        weights = layout.to_foreign(cell, parameters)
        again = layout.from_foreign(cell, weights)
        for array in weights.values():
            array[...] = np.nan
        assert same(parameters, kept)
        assert again == parameters


# --- several directions and layers ----------------------------------------------------------------


@given(st.integers(1, 2), sizes, st.booleans(), seeds, dtypes)
def test_directions_are_stacked_and_unstacked(
    count: int, size: tuple[int, int], peepholes: bool, seed: int, dtype: str
) -> None:
    layout = LAYOUTS["onnx.LSTM"]
    rng = np.random.default_rng(seed)
    shapes = layout.shapes(rr.LSTM(*size, peepholes=peepholes))
    directions = [whole_numbers(rng, shapes, dtype) for _ in range(count)]
    stacked = onnx_stack(directions)
    assert {name: array.shape for name, array in stacked.items()} == {
        name: (count, *shape) for name, shape in shapes.items()
    }
    for one, again in zip(directions, onnx_unstack(stacked), strict=True):
        assert same(one, again)


@given(st.integers(1, 3), st.booleans(), sizes, seeds, dtypes)
def test_pseudo_layers_are_flattened_and_unflattened(
    layers: int, bidirectional: bool, size: tuple[int, int], seed: int, dtype: str
) -> None:
    (I, H), D = size, 1 + bidirectional  # noqa: E741 - letters of the field
    rng = np.random.default_rng(seed)
    layout = LAYOUTS["jax.experimental.rnn.lstm"]
    given = [
        whole_numbers(rng, layout.shapes(rr.LSTM(I if k < D else D * H, H)), dtype)
        for k in range(layers * D)
    ]
    vector = jax_flatten(given)
    again = jax_unflatten(vector, I, H, num_layers=layers, bidirectional=bidirectional)
    assert len(again) == len(given)
    assert all(same(a, b) for a, b in zip(given, again, strict=True))
    written = [
        layer[n] for kinds in ("W_ih W_hh", "b_ih b_hh") for layer in given for n in kinds.split()
    ]
    assert np.array_equal(vector, np.concatenate([array.ravel() for array in written]))


def test_wrong_stacks_are_refused() -> None:
    one = {"W": np.zeros((12, 2)), "R": np.zeros((12, 3))}
    with pytest.raises(ValueError, match="directions has length 3, expected 1 or 2"):
        onnx_stack([one] * 3)
    with pytest.raises(TypeError, match="directions has type dict, expected a sequence"):
        onnx_stack(one)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match=r"directions\[1\] has names \['W'\], expected \['W', 'R'"):
        onnx_stack([one, {"W": one["W"]}])
    with pytest.raises(ValueError, match=r"directions\[1\]\['W'\] has shape \(12, 3\), expected"):
        onnx_stack([one, {**one, "W": np.zeros((12, 3))}])
    with pytest.raises(TypeError, match=r"directions\[1\]\['W'\] has dtype float32, expected"):
        onnx_stack([one, {**one, "W": np.zeros((12, 2), "float32")}])
    with pytest.raises(ValueError, match=r"weights\['R'\] has shape \(1, 2\), expected \(D, ...\)"):
        onnx_unstack({"W": np.zeros((2, 2)), "R": np.zeros((1, 2))})
    with pytest.raises(ValueError, match=r"weights\['W'\] has shape \(3, 2\), expected \(D, ...\)"):
        onnx_unstack({"W": np.zeros((3, 2))})


def test_wrong_pseudo_layers_are_refused() -> None:
    layout = LAYOUTS["jax.experimental.rnn.lstm"]
    one = {n: np.zeros(shape) for n, shape in layout.shapes(rr.LSTM(2, 3)).items()}
    with pytest.raises(ValueError, match="pseudo_layers has length 0, expected at least 1"):
        jax_flatten([])
    with pytest.raises(ValueError, match=r"pseudo_layers\[0\] has names \[\], expected \['W_ih'"):
        jax_flatten([{}])
    with pytest.raises(ValueError, match=r"\[1\]\['b_ih'\] has shape \(3,\), expected .* \(12,\)"):
        jax_flatten([one, {**one, "b_ih": np.zeros(3)}])
    with pytest.raises(TypeError, match=r"\[0\]\['b_ih'\] has dtype float32, expected float64"):
        jax_flatten([{**one, "b_ih": np.zeros(12, "float32")}])
    other = {n: np.zeros(shape) for n, shape in layout.shapes(rr.LSTM(2, 4)).items()}
    with pytest.raises(ValueError, match=r"pseudo_layers\[1\]\['W_hh'\] has shape \(16, 4\), exp"):
        jax_flatten([one, other])
    with pytest.raises(ValueError, match=r"vector has shape \(5,\), expected \(84,\)"):
        jax_unflatten(np.zeros(5), 2, 3)


# --- and without a framework ----------------------------------------------------------------------


def test_no_framework_is_loaded() -> None:
    program = (
        "import sys, refrnn.oracle.weights\n"
        "for name in ('torch', 'jax', 'flax', 'keras', 'tensorflow', 'onnx', 'mlx', 'haiku'):\n"
        "    assert name not in sys.modules, name\n"
    )
    subprocess.run([sys.executable, "-c", program], check=True, timeout=60)


@pytest.mark.parametrize("name", LAYOUTS)
def test_a_layout_prints_where_everything_is(name: str) -> None:
    layout = LAYOUTS[name]
    shown = str(layout).splitlines()
    assert shown[0] == name
    assert repr(layout) == f"<Layout {name}>"
    assert ("f + 1" in shown[-1]) == (name in ("haiku.LSTM", "tf.BlockLSTM"))
