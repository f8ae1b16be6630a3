"""Layers: against a definition written sequence by sequence, and against the complex step."""

from __future__ import annotations

import inspect
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import refrnn as rr
from refrnn.activations import ACTIVATION_NAMES
from refrnn.layers import (
    Dense,
    Layer,
    Masking,
    Recurrent,
    Sequential,
    draw_dropout_mask,
)

from .adjoint import adjoint_errors

LENGTHS = (4, 0, 2, 5, 1)
CELLS = [
    rr.RNN(3, 4),
    rr.LSTM(3, 4, peepholes=True, proj_size=2),
    rr.LSTM(3, 4, coupled=True, biases=1),
    rr.GRU(3, 4, reset_after=False),
]
UNROLLS = ("per_sequence", "masked", "bucketed", "packed", "lanes")
STACKS = [  # layers, bidirectional, return_sequences
    (1, False, False),
    (1, True, True),
    (2, True, False),
    (3, False, True),
]


def ragged(rng: np.random.Generator, features: int = 3, lengths: Any = LENGTHS) -> rr.RaggedBatch:
    """A float64 batch of random rows."""
    return rr.RaggedBatch(rng.normal(size=(sum(lengths), features)), lengths)


def random_state(rng: np.random.Generator, like: Any) -> Any:
    """A state of random numbers in the shapes of another."""
    return type(like)._make([rng.normal(size=a.shape) for a in like])


def state_names(layer: Recurrent, suffix: str) -> list[str]:
    return [f"{letter}_{suffix}" for letter in layer.cell.state_names]


# --- Recurrent -----------------------------------------------------------------------------------


def stack_by_definition(
    layer: Recurrent, params: Any, x: rr.RaggedBatch, state_0: Any, masks: list[Any]
) -> tuple[list[Any], Any]:
    """Sequence by sequence, layer by layer; the reverse cell is fed the sequence turned round."""
    D = 2 if layer.bidirectional else 1
    state_n = type(state_0)._make([a.copy() for a in state_0])
    outputs = []
    for b, (start, sequence) in enumerate(zip(x.offsets, x, strict=False)):
        rows = sequence
        for i in range(layer.num_layers):
            sides = []
            for d in range(D):
                cell = layer.cell if i == 0 else layer.cells[1]
                suffix = f"_l{i}" + ("_reverse" if d else "")
                own = {name: params[name + suffix] for name in cell.parameter_shapes()}
                alone = rr.RaggedBatch.from_sequences([rows[::-1] if d else rows])
                initial = type(state_0)._make([a[i * D + d, b : b + 1] for a in state_0])
                run = rr.forward(cell, own, alone, initial, unroll="per_sequence")
                sides.append(run.output[0][::-1] if d else run.output[0])
                for final, part in zip(state_n, run.state_n, strict=True):
                    final[i * D + d, b] = part[0]
            rows = np.concatenate(sides, axis=1)
            if i < layer.num_layers - 1:
                rows = rows * masks[i][start : start + len(rows)]
        outputs.append(rows)
    return outputs, state_n


@pytest.mark.parametrize("cell", CELLS, ids=repr)
@pytest.mark.parametrize("unroll", UNROLLS)
def test_a_stack_is_its_definition(cell: Any, unroll: str) -> None:
    rng = np.random.default_rng(1)
    layer = Recurrent(cell, 3, bidirectional=True)
    x = ragged(rng)
    params = layer.init_parameters(rng)
    state_0 = random_state(rng, layer.zero_state(x.batch_size))
    masks = layer.draw_dropout_masks(rng, 0.4, x.total_steps)
    outputs, state_n = stack_by_definition(layer, params, x, state_0, masks)
    run = layer.forward(params, x, state_0, dropout_masks=masks, unroll=unroll)
    assert run.output.lengths.tolist() == list(LENGTHS)
    for got, expected in zip(run.output, outputs, strict=True):
        np.testing.assert_allclose(got, expected, rtol=0, atol=1e-14)
    for got, expected in zip(run.state_n, state_n, strict=True):
        np.testing.assert_allclose(got, expected, rtol=0, atol=1e-14)
    last = Recurrent(cell, 3, bidirectional=True, return_sequences=False)
    features = last.forward(params, x, state_0, dropout_masks=masks, unroll=unroll).output
    assert features.shape == (len(LENGTHS), 2 * cell.output_size)
    np.testing.assert_array_equal(features, np.concatenate(run.state_n.h[-2:], axis=1))


@pytest.mark.parametrize("cell", CELLS, ids=repr)
@pytest.mark.parametrize(("num_layers", "bidirectional", "return_sequences"), STACKS)
def test_every_gradient_of_a_stack(
    cell: Any, num_layers: int, bidirectional: bool, return_sequences: bool
) -> None:
    rng = np.random.default_rng(2)
    layer = Recurrent(
        cell, num_layers, bidirectional=bidirectional, return_sequences=return_sequences
    )
    x = ragged(rng)
    params = layer.init_parameters(rng)
    state_0 = random_state(rng, layer.zero_state(x.batch_size))
    masks = layer.draw_dropout_masks(rng, 0.3, x.total_steps)
    initial, final = state_names(layer, "0"), state_names(layer, "n")

    def function(named: Any) -> dict[str, Any]:
        state = type(state_0)._make([named[n] for n in initial])
        dtype = named["input"].dtype
        run = layer.forward(
            {n: named[n] for n in params},
            x.with_values(named["input"]),
            state,
            dropout_masks=[m.astype(dtype) for m in masks],
        )
        output = run.output.values if return_sequences else run.output
        return {"output": output, **dict(zip(final, run.state_n, strict=True))}

    arguments = {**params, "input": x.values, **dict(zip(initial, state_0, strict=True))}
    d = {name: rng.normal(size=a.shape) for name, a in function(arguments).items()}
    run = layer.forward(params, x, state_0, dropout_masks=masks)
    d_state_n = type(state_0)._make([d[n] for n in final])
    got = layer.backward(run.tape, d["output"], d_state_n)
    gradients = {
        **got.parameters,
        "input": got.input.values,
        **dict(zip(initial, got.state_0, strict=True)),
    }
    errors = adjoint_errors(function, arguments, d, gradients)
    assert max(errors.values()) < 1e-13, errors


def test_unrolls_agree_on_the_gradients_of_a_stack() -> None:
    rng = np.random.default_rng(3)
    layer = Recurrent(rr.GRU(3, 4), 2, bidirectional=True)
    x, params = ragged(rng), layer.init_parameters(rng)
    d_output = x.with_values(rng.normal(size=(x.total_steps, 8)))
    results = []
    for unroll in UNROLLS:
        gradients = layer.backward(layer.forward(params, x, unroll=unroll).tape, d_output)
        results.append(np.append(gradients.parameters.flatten(), gradients.input.values))
    for result in results[1:]:
        np.testing.assert_allclose(result, results[0], rtol=0, atol=1e-14)


@pytest.mark.parametrize("bidirectional", [False, True])
def test_features_of_no_sequences(bidirectional: bool) -> None:
    layer = Recurrent(rr.LSTM(4, 3), 2, bidirectional=bidirectional, return_sequences=False)
    params = layer.init_parameters(np.random.default_rng(0))
    run = layer.forward(params, rr.RaggedBatch(np.zeros((0, 4)), []))
    assert run.output.shape == (0, layer.output_size)
    for d_output in (None, run.output):
        gradients = layer.backward(run.tape, d_output)
        assert gradients.input.values.shape == (0, 4)
        assert not gradients.parameters.flatten().any()


def test_a_sequence_of_no_steps_has_its_initial_state_as_features() -> None:
    rng = np.random.default_rng(4)
    layer = Recurrent(rr.LSTM(3, 4), 2, bidirectional=True, return_sequences=False)
    x, params = ragged(rng), layer.init_parameters(rng)
    state_0 = random_state(rng, layer.zero_state(x.batch_size))
    run = layer.forward(params, x, state_0)
    empty = LENGTHS.index(0)
    np.testing.assert_array_equal(run.output[empty], np.concatenate(state_0.h[-2:, empty]))
    d_output = rng.normal(size=run.output.shape)
    d_h_0 = layer.backward(run.tape, d_output).state_0.h
    np.testing.assert_array_equal(d_h_0[-2:, empty].ravel(), d_output[empty])
    assert not d_h_0[:2, empty].any()


def test_parameters_are_named_as_in_pytorch() -> None:
    layer = Recurrent(rr.GRU(3, 4), 2, bidirectional=True)
    names = [
        f"{name}_l{i}{side}"
        for i in range(2)
        for side in ("", "_reverse")
        for name in ("W_ih", "W_hh", "b_ih", "b_hh")
    ]
    assert list(layer.parameter_shapes()) == names
    assert layer.parameter_shapes()["W_ih_l1"] == (12, 8)
    params = layer.init_parameters(np.random.default_rng(0), "float32")
    assert params.dtype == np.float32
    assert {n: a.shape for n, a in params.items()} == layer.parameter_shapes()
    wide = layer.init_parameters(np.random.default_rng(0))
    assert params == wide.astype("float32")


@pytest.mark.parametrize("lengths", [(), (0, 0)])
def test_batches_without_sequences_or_steps(lengths: tuple[int, ...]) -> None:
    layer = Recurrent(rr.LSTM(3, 4), 2, bidirectional=True)
    params = layer.init_parameters(np.random.default_rng(0))
    x = rr.RaggedBatch(np.zeros((0, 3)), np.array(lengths, np.int64))
    run = layer.forward(
        params, x, dropout_masks=layer.draw_dropout_masks(np.random.default_rng(0), 0.5, 0)
    )
    assert run.output.values.shape == (0, 8)
    assert run.state_n.c.shape == (4, len(lengths), 4)
    gradients = layer.backward(run.tape)
    assert gradients.input.values.shape == (0, 3)
    assert not gradients.parameters.flatten().any()


def test_nan_in_one_sequence_stays_there() -> None:
    rng = np.random.default_rng(5)
    layer = Recurrent(rr.LSTM(3, 4), 2, bidirectional=True)
    params, x = layer.init_parameters(rng), ragged(rng)
    values = x.values.copy()
    values[x.offsets[2]] = np.nan
    clean, spoilt = layer.forward(params, x), layer.forward(params, x.with_values(values))
    ones = np.ones((x.total_steps, 8))
    d_clean, d_spoilt = layer.backward(clean.tape, ones), layer.backward(spoilt.tape, ones)
    for b in (0, 1, 3, 4):
        np.testing.assert_allclose(spoilt.output[b], clean.output[b], rtol=0, atol=1e-15)
        np.testing.assert_allclose(d_spoilt.input[b], d_clean.input[b], rtol=0, atol=1e-15)
    assert np.isnan(spoilt.output[2]).all()
    assert np.isnan(d_spoilt.parameters.W_ih_l0).any()


def test_arguments_may_change_after_forward_and_are_not_changed() -> None:
    rng = np.random.default_rng(6)
    layer = Recurrent(rr.LSTM(3, 4), 2)
    values, params = rng.normal(size=(12, 3)), layer.init_parameters(rng)
    arrays = {name: array.copy() for name, array in params.items()}
    state_0 = random_state(rng, layer.zero_state(5))
    masks = layer.draw_dropout_masks(rng, 0.5, 12)
    d_output, d_state_n = rng.normal(size=(12, 4)), random_state(rng, state_0)
    given = [values, *arrays.values(), *state_0, *masks, d_output, *d_state_n]
    before = [array.copy() for array in given]
    run = layer.forward(arrays, rr.RaggedBatch(values, LENGTHS), state_0, dropout_masks=masks)
    first = layer.backward(run.tape, d_output, d_state_n)
    for array, copy in zip(given, before, strict=True):
        np.testing.assert_array_equal(array, copy)
    for array in given[: -1 - len(d_state_n)]:
        array[...] = np.nan
    second = layer.backward(run.tape, d_output, d_state_n)
    assert first.parameters == second.parameters
    assert first.input == second.input


# --- dropout -------------------------------------------------------------------------------------


def test_a_dropout_mask_is_zero_or_the_inverse_of_what_is_kept() -> None:
    mask = draw_dropout_mask(np.random.default_rng(0), 0.2, (100, 100), "float32")
    assert mask.dtype == np.float32
    assert np.unique(mask).tolist() == [0.0, 1.25]
    assert abs(mask.mean() - 1) < 0.02
    assert (draw_dropout_mask(np.random.default_rng(0), 0.0, (3, 2)) == 1).all()
    wide = draw_dropout_mask(np.random.default_rng(0), 0.2, (100, 100))
    np.testing.assert_array_equal(wide == 0, mask == 0)


def test_masks_are_drawn_for_the_gaps_between_layers() -> None:
    layer = Recurrent(rr.GRU(3, 4), 3, bidirectional=True)
    masks = layer.draw_dropout_masks(np.random.default_rng(0), 0.5, 12)
    assert [mask.shape for mask in masks] == [(12, 8), (12, 8)]
    assert (masks[0] != masks[1]).any()
    again = layer.draw_dropout_masks(np.random.default_rng(0), 0.5, 12)
    np.testing.assert_array_equal(masks, again)
    single = Recurrent(rr.GRU(3, 4))
    assert single.draw_dropout_masks(np.random.default_rng(0), 0.5, 12) == []


def test_a_layer_whose_output_is_dropped_gets_no_gradient() -> None:
    rng = np.random.default_rng(7)
    layer = Recurrent(rr.GRU(3, 4), 2)
    params, x = layer.init_parameters(rng), ragged(rng)
    run = layer.forward(params, x, dropout_masks=[np.zeros((12, 4))])
    gradients = layer.backward(run.tape, np.ones((12, 4)))
    assert not gradients.input.values.any()
    assert not gradients.parameters.W_hh_l0.any()
    assert gradients.parameters.W_hh_l1.any()
    whole = layer.forward(params, x, dropout_masks=[np.ones((12, 4))])
    assert whole.output == layer.forward(params, x).output


# --- Dense ---------------------------------------------------------------------------------------


def test_dense_is_its_definition_for_rows_and_for_arrays() -> None:
    rng = np.random.default_rng(8)
    layer = Dense(3, 2, activation="tanh")
    params, x = layer.init_parameters(rng), ragged(rng)
    expected = [
        [np.tanh(w @ row + b) for w, b in zip(params.W, params.b, strict=True)] for row in x.values
    ]
    ragged_run, array_run = layer.forward(params, x), layer.forward(params, x.values)
    assert ragged_run.output.lengths.tolist() == list(LENGTHS)
    np.testing.assert_allclose(ragged_run.output.values, expected, rtol=0, atol=1e-15)
    np.testing.assert_array_equal(array_run.output, ragged_run.output.values)
    d = rng.normal(size=(12, 2))
    d_ragged, d_array = layer.backward(ragged_run.tape, d), layer.backward(array_run.tape, d)
    assert d_ragged.parameters == d_array.parameters
    assert d_ragged.input == x.with_values(d_array.input)


@pytest.mark.parametrize("name", [None, *ACTIVATION_NAMES])
@pytest.mark.parametrize("bias", [True, False])
def test_every_gradient_of_dense(name: str | None, bias: bool) -> None:
    rng = np.random.default_rng(9)
    layer = Dense(3, 2, bias=bias, activation=name)
    params, x = layer.init_parameters(rng), rng.normal(size=(5, 3))
    assert list(params) == (["W", "b"] if bias else ["W"])

    def function(named: Any) -> dict[str, Any]:
        return {"output": layer.forward({n: named[n] for n in params}, named["x"]).output}

    y, tape = layer.forward(params, x)
    d = rng.normal(size=y.shape)
    got = layer.backward(tape, d)
    errors = adjoint_errors(
        function, {**params, "x": x}, {"output": d}, {**got.parameters, "x": got.input}
    )
    assert max(errors.values()) < 1e-14, errors


def test_dense_tape_does_not_see_later_changes() -> None:
    rng = np.random.default_rng(10)
    layer = Dense(3, 2)
    params, x = layer.init_parameters(rng), rng.normal(size=(5, 3))
    y, tape = layer.forward(params, x)
    assert not np.shares_memory(y, tape.a)
    before = layer.backward(tape, np.ones((5, 2)))
    x[...], y[...] = np.nan, np.nan
    assert layer.backward(tape, np.ones((5, 2))).parameters == before.parameters


# --- Masking -------------------------------------------------------------------------------------


def test_masking_leaves_out_steps_at_which_all_features_have_the_value() -> None:
    x = np.array([[[1, 2], [7, 7], [7, 3]], [[7, 7], [7, 7], [7, 7]]], np.float32)
    batch, tape = Masking(7).forward({}, x)
    assert batch.dtype == np.float32
    assert [s.tolist() for s in batch] == [[[1, 2], [7, 3]], []]
    d_x = Masking(7).backward(tape, np.array([[1, 2], [3, 4]], np.float32)).input
    assert d_x.tolist() == [[[1, 2], [0, 0], [3, 4]], [[0, 0]] * 3]
    time_major, tape = Masking(7, batch_first=False).forward({}, x.swapaxes(0, 1))
    assert time_major == batch
    d_time_major = Masking(7, batch_first=False).backward(tape, batch).input
    assert d_time_major.shape == (3, 2, 2)
    np.testing.assert_array_equal(d_time_major[2, 0], [7, 3])


def test_masking_puts_gradients_back_in_either_layout() -> None:
    x = np.random.default_rng(0).normal(size=(3, 4, 2))
    x[0, 1] = x[2, 3] = 0
    for batch_first in (True, False):
        layer = Masking(batch_first=batch_first)
        batch, tape = layer.forward({}, x)
        np.testing.assert_array_equal(layer.backward(tape, batch).input, x)


def test_masking_with_nan_and_with_values_the_dtype_cannot_hold() -> None:
    x = np.array([[[np.nan, np.nan], [np.nan, 1.0], [0.1, 0.1]]], np.float32)
    assert Masking(float("nan")).forward({}, x).output.lengths.tolist() == [2]
    assert Masking(0.0).forward({}, x).output.lengths.tolist() == [3]
    assert Masking(0.1).forward({}, x).output.lengths.tolist() == [2]  # as float32
    assert Masking(float("inf")).forward({}, np.full((1, 2, 1), np.inf)).output.total_steps == 0
    with pytest.raises(ValueError, match=r"mask_value has value 1e\+300"):
        Masking(1e300).forward({}, x)


def test_masked_steps_reach_nothing() -> None:
    rng = np.random.default_rng(11)
    model = Sequential([Masking(np.nan), Recurrent(rr.GRU(3, 4)), Dense(4, 2)])
    params = model.init_parameters(rng)
    x = rng.normal(size=(2, 5, 3))
    x[0, 3:] = x[1, 1] = np.nan
    y, tape = model.forward(params, x)
    assert y.lengths.tolist() == [3, 4]
    gradients = model.backward(tape, np.ones((7, 2)))
    assert np.isfinite(gradients.parameters.flatten()).all()
    assert (gradients.input[np.isnan(x)] == 0).all()
    assert (gradients.input[~np.isnan(x)] != 0).all()


# --- Sequential ----------------------------------------------------------------------------------


def chain() -> Sequential:
    """Every kind of layer, one of them nested."""
    return Sequential(
        [
            Masking(),
            Recurrent(rr.LSTM(3, 4), 2),
            Sequential([Dense(4, 5, activation="tanh")]),
            Recurrent(rr.RNN(5, 3), bidirectional=True, return_sequences=False),
            Dense(6, 2),
        ]
    )


def padded_input(rng: np.random.Generator) -> Any:
    x = rng.normal(size=(3, 6, 3))
    x[0, 2:4] = x[1, 5:] = x[2] = 0
    return x


def test_every_gradient_of_a_chain() -> None:
    rng = np.random.default_rng(12)
    model = chain()
    params, x = model.init_parameters(rng), padded_input(rng)
    real = (x != 0).any(axis=2, keepdims=True)
    masks = model.layers[1].draw_dropout_masks(rng, 0.5, int(real.sum()))  # type: ignore[attr-defined]
    h_0, d_h_n = rng.normal(size=(2, 3, 3)), rng.normal(size=(2, 3, 3))

    def function(named: Any) -> dict[str, Any]:
        dtype = named["x"].dtype
        options: dict[int, dict[str, Any]] = {
            1: {"dropout_masks": [m.astype(dtype) for m in masks], "unroll": "packed"},
            3: {"state_0": (named["h_0"],)},
        }
        x_real = np.where(real, named["x"], 0)
        run = model.forward({n: named[n] for n in params}, x_real, options)
        return {"y": run.output, "h_n": run.tape.runs[3].state_n.h}

    given: dict[int, dict[str, Any]] = {1: {"dropout_masks": masks}, 3: {"state_0": (h_0,)}}
    y, tape = model.forward(params, x, given)
    d_y = rng.normal(size=y.shape)
    got = model.backward(tape, d_y, {3: {"d_state_n": (d_h_n,)}})
    gradients = {**got.parameters, "x": got.input, "h_0": got.layers[3].state_0.h}
    errors = adjoint_errors(
        function, {**params, "x": x, "h_0": h_0}, {"y": d_y, "h_n": d_h_n}, gradients
    )
    assert max(errors.values()) < 1e-13, errors


def test_parameters_split_join_flatten_and_come_back() -> None:
    model = chain()
    params = model.init_parameters(np.random.default_rng(0))
    assert "2.0.W" in params
    assert "1.W_hh_l1" in params
    records = model.split(params)
    assert [len(r) for r in records] == [0, 8, 2, 8, 2]
    assert model.join(records) == params
    assert params.unflatten(params.flatten()) == params
    shuffled = dict(reversed(list(params.items())))
    assert model.check_parameters(shuffled) == params


def test_parameters_are_saved_and_loaded_without_pickle(tmp_path: Path) -> None:
    model = chain()
    params = model.init_parameters(np.random.default_rng(0), "float32")
    params.save(tmp_path / "model.npz")
    loaded = model.load_parameters(tmp_path / "model.npz")
    assert loaded == params
    assert loaded.dtype == np.float32
    with pytest.raises(ValueError, match=r"params has names .* expected"):
        Sequential([Dense(3, 2)]).load_parameters(tmp_path / "model.npz")
    other: dict[str, Any] = {"0.W": np.ones((2, 3)), "0.b": np.ones(2)}
    np.savez(tmp_path / "other.npz", **other)
    with pytest.raises(ValueError, match="format tag"):
        Sequential([Dense(3, 2)]).load_parameters(tmp_path / "other.npz")


def test_a_chain_passes_state_and_unroll_to_the_layer_they_are_for() -> None:
    rng = np.random.default_rng(13)
    model = Sequential([Recurrent(rr.GRU(3, 4)), Dense(4, 2)])
    params, x = model.init_parameters(rng), ragged(rng)
    run = model.forward(params, x, {0: {"unroll": "per_sequence"}})
    assert run.tape.runs[0].tape.tapes[0].unroll.name == "per_sequence"
    with pytest.raises(TypeError, match="unexpected keyword"):
        model.forward(params, x, {1: {"unroll": "packed"}})


# --- what is refused -----------------------------------------------------------------------------

STACK = Recurrent(rr.LSTM(3, 4), 2)
PARAMS = STACK.init_parameters(np.random.default_rng(0))
X = ragged(np.random.default_rng(0))
CHAIN = Sequential([Dense(3, 2)])
CHAIN_PARAMS = CHAIN.init_parameters(np.random.default_rng(0))
TAPE = STACK.forward(PARAMS, X).tape
LAST_TAPE = Recurrent(rr.LSTM(3, 4), 2, return_sequences=False).forward(PARAMS, X).tape
STATE = np.zeros((2, 5, 4))


class Refuses(rr.Packed):
    """An unroll that runs no second layer."""

    def supports(self, cell: Any, dtype: Any, *, reverse: bool = False) -> str | None:
        return "too wide" if cell.input_size > 3 else None

    def forward(self, *arguments: Any) -> Any:
        raise AssertionError("no work may be done")


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: Recurrent(3), TypeError, "cell has type int, expected RNN"),  # type: ignore[arg-type]
        (lambda: Recurrent(rr.RNN(2, 2), 0), ValueError, "num_layers has value 0"),
        (lambda: Recurrent(rr.RNN(2, 2), bidirectional=1), TypeError, "bidirectional has type"),  # type: ignore[arg-type]
        (lambda: STACK.forward(PARAMS, X.values), TypeError, "x has type ndarray"),  # type: ignore[arg-type]
        (lambda: STACK.forward({}, X), ValueError, r"params has names \[\]"),
        (lambda: STACK.forward([], X), TypeError, "params has type list"),  # type: ignore[arg-type]
        (
            lambda: STACK.forward({**PARAMS, "b_hh_l1": np.zeros(4)}, X),
            ValueError,
            r"params.b_hh_l1 has shape \(4,\), expected .* \(16,\)",
        ),
        (lambda: STACK.forward(PARAMS.astype("f4"), X), TypeError, "x has dtype float64, expected"),
        (
            lambda: STACK.forward(PARAMS, ragged(np.random.default_rng(0), 2)),
            ValueError,
            "x has 2 features, expected input_size = 3",
        ),
        (lambda: STACK.forward(PARAMS, X, STATE), TypeError, "state_0 has type ndarray"),
        (lambda: STACK.forward(PARAMS, X, (STATE,)), TypeError, "state_0 has 1 parts"),
        (
            lambda: STACK.forward(PARAMS, X, (STATE, STATE[:1])),
            ValueError,
            r"state_0.c has shape \(1, 5, 4\), expected \(L\*D, B, size\) = \(2, 5, 4\)",
        ),
        (
            lambda: STACK.forward(PARAMS, X, (STATE.astype("f4"), None)),
            TypeError,
            "state_0.h has dtype float32",
        ),
        (lambda: STACK.forward(PARAMS, X, unroll="fast"), ValueError, "unroll"),
        (lambda: STACK.forward(PARAMS, X, unroll=Refuses()), rr.UnsupportedCase, "too wide"),
        (
            lambda: STACK.forward(PARAMS, X, dropout_masks=[]),
            ValueError,
            "dropout_masks has length 0, expected num_layers - 1 = 1",
        ),
        (
            lambda: STACK.forward(PARAMS, X, dropout_masks=np.ones((1, 12, 4))),  # type: ignore[arg-type]
            TypeError,
            "dropout_masks has type ndarray",
        ),
        (
            lambda: STACK.forward(PARAMS, X, dropout_masks=[np.ones((12, 8))]),
            ValueError,
            r"dropout_masks\[0\] has shape \(12, 8\), expected \(N, D\*R\) = \(12, 4\)",
        ),
        (
            lambda: STACK.forward(PARAMS, X, dropout_masks=[np.ones((12, 4), "f4")]),
            TypeError,
            r"dropout_masks\[0\] has dtype float32",
        ),
        (
            lambda: STACK.draw_dropout_masks(np.random.default_rng(0), 1.0, 3),
            ValueError,
            "p has value 1.0",
        ),
        (
            lambda: STACK.draw_dropout_masks(np.random.default_rng(0), True, 3),
            TypeError,
            "p has type bool",
        ),
        (lambda: STACK.backward(None), TypeError, "tape has type NoneType"),  # type: ignore[arg-type]
        (lambda: STACK.backward(TAPE, np.ones((12, 5))), ValueError, "d_output has shape"),
        (lambda: STACK.backward(TAPE, np.ones((12, 4), "f4")), TypeError, "d_output has dtype"),
        (
            lambda: STACK.backward(TAPE, rr.RaggedBatch(np.ones((12, 4)), [12])),
            ValueError,
            r"d_output has lengths \[12\], expected those of the run",
        ),
        (
            lambda: STACK.backward(LAST_TAPE, X.with_values(np.ones((12, 4)))),
            TypeError,
            "d_output has type RaggedBatch, expected an array",
        ),
        (
            lambda: STACK.backward(TAPE, None, (STATE, STATE[0])),
            ValueError,
            "d_state_n.c has shape",
        ),
        (
            lambda: STACK.backward(
                STACK.forward(PARAMS.astype(complex), X.with_values(X.values + 0j)).tape
            ),
            TypeError,
            "tape has dtype complex128",
        ),
        (lambda: Dense(0, 2), ValueError, "input_size has value 0"),
        (lambda: Dense(2, 2, activation="swish"), ValueError, "activation has name 'swish'"),
        (lambda: Dense(3, 2).forward(CHAIN_PARAMS, X), ValueError, "for Dense"),
        (
            lambda: Dense(3, 2, bias=False).forward({"W": np.ones((2, 3))}, np.ones((4, 4))),
            ValueError,
            "x has 4 features, expected input_size = 3",
        ),
        (
            lambda: Dense(3, 2, bias=False).forward({"W": np.ones((2, 3))}, np.ones(3)),
            ValueError,
            r"x has shape \(3,\), expected \(B, F\)",
        ),
        (lambda: Masking("0"), TypeError, "mask_value has type str"),  # type: ignore[arg-type]
        (lambda: Masking().forward({}, np.ones((2, 3))), ValueError, r"expected \(B, T, F\)"),
        (lambda: Masking().forward({}, np.ones((2, 3, 1), int)), TypeError, "x has dtype int"),
        (lambda: Masking().forward({"W": 1}, np.ones((2, 3, 1))), ValueError, "for Masking"),
        (lambda: Sequential([]), ValueError, "layers has length 0"),
        (lambda: Sequential([Dense(2, 2), 3]), TypeError, r"layers\[1\] has type int"),  # type: ignore[list-item]
        (
            lambda: Sequential([Dense(2, 3), Masking(), Dense(4, 2)]),
            ValueError,
            r"layers\[2\] has input_size 4, expected the output_size of the layer before = 3",
        ),
        (
            lambda: CHAIN.forward(CHAIN_PARAMS, X, {1: {}}),
            ValueError,
            "arguments has index 1, expected that of a layer",
        ),
        (lambda: CHAIN.join([]), ValueError, "records has length 0"),
    ],
)
def test_bad_arguments_are_named(call: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        call()


@pytest.mark.parametrize("layer", [Masking(), Dense(3, 2), STACK, CHAIN], ids=repr)
def test_every_layer_keeps_the_protocol(layer: Layer) -> None:
    assert list(inspect.signature(layer.forward).parameters)[:2] == ["params", "x"]
    assert list(inspect.signature(layer.backward).parameters)[:2] == ["tape", "d_output"]
    params = layer.init_parameters(np.random.default_rng(0), "float32")
    assert {n: a.shape for n, a in params.items()} == layer.parameter_shapes()
    assert repr(layer).startswith(type(layer).__name__)
