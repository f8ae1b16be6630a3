"""Losses: against the definition in long numbers, and what masks and weights mean."""

from __future__ import annotations

from typing import Any

import mpmath
import numpy as np
import pytest

import refrnn as rr
from refrnn.losses import mean_squared_error, softmax_cross_entropy

from .adjoint import adjoint_errors

REDUCTIONS = ("mean", "sum", "none")


def probabilities(rng: np.random.Generator, shape: tuple[int, ...]) -> Any:
    q = rng.random(shape)
    return q / q.sum(axis=-1, keepdims=True)


def exact_cross_entropy(z: Any, target: int) -> tuple[float, list[float]]:
    """Value and gradient of one row, from the definition, in long numbers."""
    with mpmath.workdps(700):  # a loss of exp(-1400) is 1 + exp(-1400) in the sum
        e = [mpmath.exp(mpmath.mpf(float(a))) for a in z]
        p = [x / mpmath.fsum(e) for x in e]
        value = float(-mpmath.log(p[target]))
        return value, [float(a - (k == target)) for k, a in enumerate(p)]


@pytest.mark.parametrize(
    "z",
    [
        [0.0, 0.0, 0.0],
        [1.0, -2.0, 0.5],
        [40.0, 0.0, -3.0],
        [0.0, 40.0, 39.0],
        [700.0, -700.0, 0.0],
        [1e5, 1e5 - 1, -1e5],
    ],
)
@pytest.mark.parametrize("target", [0, 1, 2])
def test_cross_entropy_keeps_all_its_digits(z: list[float], target: int) -> None:
    loss = softmax_cross_entropy([z], [target], reduction="sum")
    value, gradient = exact_cross_entropy(z, target)
    np.testing.assert_allclose(float(loss.value), value, rtol=1e-14, atol=0)
    np.testing.assert_allclose(loss.gradient[0], gradient, rtol=1e-14, atol=1e-300)


def test_numpy_masks_are_refused_not_dropped() -> None:
    logits, hidden = np.zeros((3, 2)), np.ma.array([0, 1, 0], mask=[0, 1, 0])
    with pytest.raises(TypeError, match="targets has type MaskedArray"):
        softmax_cross_entropy(logits, hidden, reduction="mean")
    with pytest.raises(TypeError, match="mask has type MaskedArray"):
        softmax_cross_entropy(logits, [0, 1, 0], reduction="mean", mask=hidden == 0)
    with pytest.raises(ValueError, match="reduction has value array"):
        softmax_cross_entropy(logits, [0, 1, 0], reduction=np.array(["mean", "sum"]))  # type: ignore[arg-type]


def test_cross_entropy_of_equal_logits_is_log_c() -> None:
    loss = softmax_cross_entropy(np.zeros((4, 9), np.float32), [0, 3, 8, 1], reduction="mean")
    assert loss.value == np.float32(np.log(9))
    assert loss.value.dtype == loss.gradient.dtype == np.float32


def test_a_class_with_logit_minus_infinity_is_impossible() -> None:
    z = np.array([[0.0, -np.inf, 0.0]])
    loss = softmax_cross_entropy(z, [0], reduction="mean")
    assert float(loss.value) == pytest.approx(np.log(2), rel=1e-15)
    assert loss.gradient.tolist() == [[-0.5, 0.0, 0.5]]
    impossible = softmax_cross_entropy(z, [1], reduction="mean")
    assert np.isposinf(impossible.value)
    assert impossible.gradient.tolist() == [[0.5, -1.0, 0.5]]


@pytest.mark.parametrize("loss", [softmax_cross_entropy, mean_squared_error])
@pytest.mark.parametrize("reduction", REDUCTIONS)
@pytest.mark.parametrize("shape", [(6, 4), (3, 2, 4)])
def test_gradients_match_the_complex_step(loss: Any, reduction: str, shape: Any) -> None:
    rng = np.random.default_rng(0)
    x, target = rng.normal(size=shape) * 5, probabilities(rng, shape)
    options = {
        "reduction": reduction,
        "weights": rng.random(shape[:-1]),
        "mask": rng.random(shape[:-1]) < 0.7,
    }
    got = loss(x, target, **options)
    # of the rows' own losses the gradient is that of their sum
    errors = adjoint_errors(
        lambda named: {"value": loss(named["x"], target, **options).value},
        {"x": x},
        {"value": np.ones(np.shape(got.value))},
        {"x": got.gradient},
    )
    assert errors["x"] < 1e-15


@pytest.mark.parametrize("loss", [softmax_cross_entropy, mean_squared_error])
def test_reductions_are_sums_of_the_rows_losses(loss: Any) -> None:
    rng = np.random.default_rng(1)
    x, target = rng.normal(size=(5, 3)), probabilities(rng, (5, 3))
    weights = np.array([1.0, 0.5, 2.0, 0.0, 3.0])
    plain = loss(x, target, reduction="none")
    each = loss(x, target, reduction="none", weights=weights)
    total = loss(x, target, reduction="sum", weights=weights)
    mean = loss(x, target, reduction="mean", weights=weights)
    np.testing.assert_allclose(each.value, weights * plain.value, rtol=1e-15)
    np.testing.assert_allclose(total.value, (weights * plain.value).sum(), rtol=1e-15)
    np.testing.assert_allclose(mean.value, total.value / weights.sum(), rtol=1e-15)
    np.testing.assert_allclose(mean.gradient, total.gradient / weights.sum(), rtol=1e-14)
    np.testing.assert_array_equal(total.gradient, each.gradient)
    unweighted = loss(x, target, reduction="mean")
    np.testing.assert_allclose(unweighted.value, plain.value.mean(), rtol=1e-15)


def test_mean_squared_error_is_the_mean_of_all_elements() -> None:
    rng = np.random.default_rng(2)
    y, t = rng.normal(size=(2, 4, 3)), rng.normal(size=(2, 4, 3))
    loss = mean_squared_error(y, t, reduction="mean")
    np.testing.assert_allclose(loss.value, np.mean((y - t) ** 2), rtol=1e-15)
    np.testing.assert_allclose(loss.gradient, 2 * (y - t) / y.size, rtol=1e-14)
    rows = mean_squared_error(y, t, reduction="none").value
    np.testing.assert_allclose(rows, np.mean((y - t) ** 2, axis=-1), rtol=1e-15)


def test_class_numbers_are_probabilities_of_one() -> None:
    rng = np.random.default_rng(3)
    z, classes = rng.normal(size=(4, 5)), np.array([0, 4, 2, 2], np.uint8)
    by_number = softmax_cross_entropy(z, classes, reduction="mean")
    by_row = softmax_cross_entropy(z, np.eye(5)[classes], reduction="mean")
    assert by_number.value == by_row.value
    np.testing.assert_array_equal(by_number.gradient, by_row.gradient)


@pytest.mark.parametrize("loss", [softmax_cross_entropy, mean_squared_error])
@pytest.mark.parametrize("reduction", REDUCTIONS)
def test_rows_that_do_not_count_reach_nothing(loss: Any, reduction: str) -> None:
    rng = np.random.default_rng(4)
    x, target = rng.normal(size=(6, 3)), probabilities(rng, (6, 3))
    weights = rng.random(6) + 0.5
    mask = np.array([True, False, True, True, False, True])
    few = loss(x[mask], target[mask], reduction=reduction, weights=weights[mask])
    for array in (x, target, weights):
        array[~mask] = np.nan
    got = loss(x, target, reduction=reduction, weights=weights, mask=mask)
    np.testing.assert_array_equal(got.gradient[mask], few.gradient)
    assert (got.gradient[~mask] == 0).all()
    value = got.value[mask] if reduction == "none" else got.value
    np.testing.assert_array_equal(value, few.value)
    weights[~mask] = 0
    same = loss(x, target, reduction=reduction, weights=weights)  # weight 0 masks, too
    np.testing.assert_array_equal(same.gradient, got.gradient)


def test_class_numbers_of_masked_rows_may_be_anything() -> None:
    z = np.array([[1.0, 2.0], [np.nan, 0.0]])
    loss = softmax_cross_entropy(z, [1, -100], mask=[True, False], reduction="mean")
    assert loss.value == softmax_cross_entropy(z[:1], [1], reduction="mean").value


def test_nan_in_a_row_that_counts_shows() -> None:
    z = np.array([[1.0, 2.0], [np.nan, 0.0]])
    loss = softmax_cross_entropy(z, [1, 0], reduction="none")
    assert np.isfinite(loss.value[0])
    assert np.isnan(loss.value[1])
    assert np.isnan(softmax_cross_entropy(z, [1, 0], reduction="mean").value)


@pytest.mark.parametrize("loss", [softmax_cross_entropy, mean_squared_error])
def test_without_rows_the_loss_is_zero(loss: Any) -> None:
    for x, mask in ((np.zeros((0, 3)), None), (np.full((2, 3), np.nan), [False, False])):
        got = loss(x, np.zeros(x.shape), reduction="mean", mask=mask)
        assert got.value == 0
        assert got.gradient.shape == x.shape
        assert not got.gradient.any()
    assert softmax_cross_entropy(np.zeros((0, 3)), [], reduction="sum").value == 0


@pytest.mark.parametrize("loss", [softmax_cross_entropy, mean_squared_error])
def test_steps_of_a_ragged_batch_equal_masked_steps_of_a_padded_array(loss: Any) -> None:
    rng = np.random.default_rng(5)
    batch = rr.RaggedBatch(rng.normal(size=(6, 3)), [2, 0, 4])
    target = batch.with_values(probabilities(rng, (6, 3)))
    ragged = loss(batch, target, reduction="mean")
    assert isinstance(ragged.gradient, rr.RaggedBatch)
    padded = loss(
        batch.to_padded(padding_value=np.nan),
        target.to_padded(),
        mask=rr.padding.sequence_mask(batch.lengths),
        reduction="mean",
    )
    np.testing.assert_allclose(padded.value, ragged.value, rtol=1e-15)
    np.testing.assert_array_equal(padded.gradient, ragged.gradient.to_padded())
    rows = loss(batch, target.values, reduction="mean")
    assert rows.value == ragged.value


def test_inputs_are_not_changed() -> None:
    rng = np.random.default_rng(6)
    x, target, weights = rng.normal(size=(5, 3)), probabilities(rng, (5, 3)), rng.random(5)
    given = [array.copy() for array in (x, target, weights)]
    for loss in (softmax_cross_entropy, mean_squared_error):
        loss(x, target, weights=weights, reduction="mean")
    for array, copy in zip((x, target, weights), given, strict=True):
        np.testing.assert_array_equal(array, copy)


Z = np.zeros((2, 3))
Q = np.full((2, 3), 1 / 3)


@pytest.mark.parametrize(
    ("targets", "options", "error", "message"),
    [
        ([0, 1], {"reduction": "average"}, ValueError, "reduction has value 'average'"),
        ([0, 3], {}, ValueError, r"targets\[1\] has value 3, expected a class 0 <= target < C = 3"),
        ([-1, 0], {}, ValueError, r"targets\[0\] has value -1"),
        ([0], {}, ValueError, r"targets has shape \(1,\), expected .* = \(2,\)"),
        ([0.0, 1.0], {}, ValueError, r"targets has shape \(2,\), expected class numbers \(2,\) or"),
        ([True, False], {}, TypeError, "targets has dtype bool"),
        (Q.astype("f4"), {}, TypeError, "targets has dtype float32, expected float64"),
        (Q[:, :2], {}, ValueError, r"targets has shape \(2, 2\)"),
        (Q * [[1], [2]], {}, ValueError, r"targets\[1\] has values .* add up to 1"),
        ([[1.5, -0.5, 0.0]] * 2, {}, ValueError, r"targets\[0\] has values"),
        ([[np.nan, 0.0, 1.0]] * 2, {}, ValueError, r"targets\[0\] has values"),
        (rr.RaggedBatch(Q, [2]), {}, ValueError, r"targets has lengths \[2\]"),
        ([0, 1], {"mask": [1, 0]}, TypeError, "mask has dtype int64, expected bool"),
        ([0, 1], {"mask": [True]}, ValueError, r"mask has shape \(1,\)"),
        ([0, 1], {"weights": [1.0]}, ValueError, r"weights has shape \(1,\)"),
        ([0, 1], {"weights": [1, 1]}, TypeError, "weights has dtype int64"),
        ([0, 1], {"weights": np.ones(2, "f4")}, TypeError, "weights has dtype float32"),
        ([0, 1], {"weights": [1.0, -1.0]}, ValueError, r"weights\[1\] has value -1.0"),
        ([0, 1], {"weights": [np.nan, 1.0]}, ValueError, r"weights\[0\] has value nan"),
        ([0, 1], {"weights": [np.inf, 1.0]}, ValueError, r"weights\[0\] has value inf"),
    ],
)
def test_bad_arguments_are_named(
    targets: Any, options: dict[str, Any], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        softmax_cross_entropy(Z, targets, **{"reduction": "mean", **options})


@pytest.mark.parametrize(
    ("x", "error", "message"),
    [
        (np.zeros(3), ValueError, r"has shape \(3,\), expected"),
        (np.zeros((2, 3), int), TypeError, "has dtype int64"),
        ([[1.0], [1.0, 2.0]], ValueError, "has rows of different lengths"),
        (np.zeros((2, 3), "f2"), TypeError, "has dtype float16"),
        (np.zeros((2, 0)), ValueError, r"has shape \(2, 0\), expected at least one feature"),
    ],
)
def test_bad_inputs_are_named(x: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match="logits " + message):
        softmax_cross_entropy(x, [0, 1], reduction="mean")
    with pytest.raises(error, match="prediction " + message):
        mean_squared_error(x, Q, reduction="mean")
    with pytest.raises(ValueError, match="target has shape"):
        mean_squared_error(Q, Q[:1], reduction="mean")


def test_the_reduction_must_be_named() -> None:
    with pytest.raises(TypeError, match="reduction"):
        softmax_cross_entropy(Z, [0, 1])  # type: ignore[call-arg]
