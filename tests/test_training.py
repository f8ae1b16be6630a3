"""Training on real data: the same bits every time, the same updates whatever walks the time."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

import refrnn as rr
from refrnn.datasets import japanese_vowels
from refrnn.layers import Recurrent

EXAMPLE = Path(__file__).parents[1] / "docs" / "examples" / "japanese_vowels.py"


@pytest.fixture(scope="module")
def example() -> ModuleType:
    """The example of the documentation, as a module."""
    spec = importlib.util.spec_from_file_location("example_japanese_vowels", EXAMPLE)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def examples_of(example: ModuleType, dtype: str = "float32") -> tuple[Any, Any]:
    train, test = japanese_vowels("train"), japanese_vowels("test")
    scaling = example.Scaling.of(train.batch)
    return (
        scaling.examples(train.batch, train.labels, dtype),
        scaling.examples(test.batch, test.labels, dtype),
    )


def test_a_short_training_learns_and_gives_the_same_bits_again(example: ModuleType) -> None:
    train, test = examples_of(example)
    model, settings = example.classifier(12, 9), example.Settings(epochs=5)
    losses: list[float] = []
    params = example.train(
        model, train, settings, 0, watch=lambda epoch, loss, params: losses.append(loss)
    )
    again = example.train(model, train, settings, 0)
    assert params == again
    assert params != example.train(model, train, settings._replace(epochs=1), 1)
    assert len(losses) == 5
    assert losses[-1] < 0.3 * losses[0]
    accuracy, _ = example.evaluate(model, params, test)
    assert accuracy > 0.85  # guessing: 0.11


def test_masking_finds_the_real_steps_of_the_data(example: ModuleType) -> None:
    train, test = examples_of(example)
    for data, part in ((japanese_vowels("train"), train), (japanese_vowels("test"), test)):
        batch = example.classifier(12, 9).layers[0].forward({}, part.padded).output
        np.testing.assert_array_equal(batch.lengths, data.batch.lengths)


def test_twenty_updates_are_the_same_with_every_unroll(example: ModuleType) -> None:
    train, _ = examples_of(example, "float64")
    model, settings = example.classifier(12, 9), example.Settings(batch_size=8)
    start = model.init_parameters(np.random.default_rng(0)).flatten()
    vectors = {
        unroll: example.train(model, train, settings, 0, unroll=unroll, max_updates=20).flatten()
        for unroll in ("per_sequence", "masked", "bucketed", "packed", "lanes")
    }
    reference = vectors.pop("per_sequence")
    assert np.abs(reference - start).max() > 0.01
    for unroll, vector in vectors.items():
        assert np.abs(vector - reference).max() <= 1e-10, unroll


# --- carried state -------------------------------------------------------------------------------


def windows(layer: Recurrent, params: Any, x: rr.RaggedBatch, width: int) -> tuple[Any, Any]:
    """Run window after window with the carried state."""
    runs, state = [], None
    for start in range(0, x.max_length, width):
        runs.append(layer.forward(params, x.slice_time(start, start + width), state))
        state = runs[-1].state_n
    return runs, state


@pytest.mark.parametrize("cell", [rr.LSTM(3, 4), rr.GRU(3, 4)], ids=repr)
def test_windows_with_the_state_carried_both_ways_are_one_run(cell: Any) -> None:
    rng = np.random.default_rng(0)
    layer = Recurrent(cell, 2)
    params = layer.init_parameters(rng)
    x = rr.RaggedBatch(rng.normal(size=(17, 3)), [9, 0, 1, 7])
    d = x.with_values(rng.normal(size=(17, 4)))
    whole = layer.forward(params, x)
    expected = layer.backward(whole.tape, d)
    runs, state_n = windows(layer, params, x, 3)
    for got, final in zip(state_n, whole.state_n, strict=True):
        np.testing.assert_allclose(got, final, rtol=0, atol=1e-15)
    total, d_state = np.zeros(params.flatten().size), None
    d_windows: list[rr.RaggedBatch] = []
    for i in reversed(range(len(runs))):
        gradients = layer.backward(runs[i].tape, d.slice_time(3 * i, 3 * i + 3), d_state)
        total += gradients.parameters.flatten()
        d_windows.insert(0, gradients.input)
        d_state = gradients.state_0
    np.testing.assert_allclose(total, expected.parameters.flatten(), rtol=0, atol=1e-13)
    d_input = [np.concatenate(parts) for parts in zip(*d_windows, strict=True)]
    np.testing.assert_allclose(np.concatenate(d_input), expected.input.values, rtol=0, atol=1e-14)


def test_cutting_the_carried_cotangent_truncates_the_gradient() -> None:
    rng = np.random.default_rng(1)
    layer = Recurrent(rr.LSTM(3, 4))
    params = layer.init_parameters(rng)
    x = rr.RaggedBatch(rng.normal(size=(8, 3)), [8])
    runs, _ = windows(layer, params, x, 4)
    d_last = np.ones((4, 4))
    second = layer.backward(runs[1].tape, d_last)
    first_cut = layer.backward(runs[0].tape)
    first_carried = layer.backward(runs[0].tape, None, second.state_0)
    # truncated: the carried state counts as a constant, as if it were given
    constant = layer.forward(params, x.slice_time(4, 8), runs[0].state_n)
    assert second.parameters == layer.backward(constant.tape, d_last).parameters
    assert not first_cut.parameters.flatten().any()
    assert not first_cut.input.values.any()
    # full: the same as one run whose loss sees the last four steps
    whole = layer.backward(
        layer.forward(params, x).tape, np.repeat([[0.0], [1.0]], 4, axis=0) * np.ones(4)
    )
    full = second.parameters.flatten() + first_carried.parameters.flatten()
    np.testing.assert_allclose(full, whole.parameters.flatten(), rtol=0, atol=1e-14)
    assert np.abs(first_carried.parameters.flatten()).max() > 1e-3
