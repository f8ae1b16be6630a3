"""Optimizers: against their formulas number by number, and as pure functions."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

import refrnn as rr
from refrnn.optimizers import SGD, Adam, AdamState, clip_grad_norm

PARAMS = rr.CellParameters({"W": np.array([[1.0, -2.0]]), "b": np.array([0.5])})
OPTIMIZERS = [SGD(0.1), SGD(0.1, momentum=0.9), SGD(0.1, momentum=0.9, nesterov=True), Adam(0.1)]


def random_gradients(steps: int) -> list[rr.CellParameters]:
    rng = np.random.default_rng(0)
    return [
        PARAMS.unflatten(rng.normal(size=3) * 10.0 ** rng.integers(-3, 3)) for _ in range(steps)
    ]


def run(optimizer: Any, gradients: list[rr.CellParameters]) -> Any:
    params, state = PARAMS, optimizer.init(PARAMS)
    for gradient in gradients:
        params, state = optimizer.update(gradient, state, params)
    return params.flatten()


@pytest.mark.parametrize("momentum", [0.0, 0.9])
@pytest.mark.parametrize("nesterov", [False, True])
def test_sgd_is_its_formula(momentum: float, nesterov: bool) -> None:
    if nesterov and not momentum:
        with pytest.raises(ValueError, match="nesterov has value True"):
            SGD(0.1, nesterov=True)
        return
    gradients = random_gradients(5)
    expected = PARAMS.flatten().tolist()
    for k in range(3):
        velocity = 0.0
        for gradient in gradients:
            g = float(gradient.flatten()[k])
            velocity = momentum * velocity + g
            expected[k] -= 0.1 * (g + momentum * velocity if nesterov else velocity)
    got = run(SGD(0.1, momentum=momentum, nesterov=nesterov), gradients)
    np.testing.assert_allclose(got, expected, rtol=1e-14)


def test_adam_is_its_formula() -> None:
    gradients = random_gradients(6)
    expected = PARAMS.flatten().tolist()
    for k in range(3):
        m = v = 0.0
        for t, gradient in enumerate(gradients, start=1):
            g = float(gradient.flatten()[k])
            m = 0.8 * m + 0.2 * g
            v = 0.95 * v + 0.05 * g * g
            root = math.sqrt(v / (1 - 0.95**t))
            expected[k] -= 0.01 * (m / (1 - 0.8**t)) / (root + 1e-3)
    got = run(Adam(0.01, beta_1=0.8, beta_2=0.95, epsilon=1e-3), gradients)
    np.testing.assert_allclose(got, expected, rtol=1e-14)


def test_adams_first_step_is_the_learning_rate_whatever_the_gradient() -> None:
    adam = Adam(0.01)
    gradients = PARAMS.unflatten([1e-3, -1e3, 5.0])
    params, state = adam.update(gradients, adam.init(PARAMS), PARAMS)
    moved = params.flatten() - PARAMS.flatten()
    np.testing.assert_allclose(moved, [-0.01, 0.01, -0.01], rtol=1e-4)
    assert state.step == 1
    assert isinstance(state, AdamState)


@pytest.mark.parametrize("optimizer", OPTIMIZERS, ids=repr)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_an_update_is_a_pure_function(optimizer: Any, dtype: str) -> None:
    params, gradients = PARAMS.astype(dtype), PARAMS.astype(dtype)
    state = optimizer.init(params)
    first = optimizer.update(gradients, state, params)
    second = optimizer.update(gradients, state, params)
    assert first.params == second.params
    assert first.params.dtype == np.dtype(dtype)
    assert params == PARAMS.astype(dtype)
    assert not any(a.any() for a in optimizer.init(params)[-1].values()) if state else True
    again = optimizer.update(gradients, first.state, first.params)
    assert again.params != first.params


@pytest.mark.parametrize("optimizer", OPTIMIZERS, ids=repr)
def test_the_order_of_names_is_that_of_the_parameters(optimizer: Any) -> None:
    shuffled = dict(reversed(list(PARAMS.items())))
    state = optimizer.init(PARAMS)
    expected = optimizer.update(PARAMS, state, PARAMS).params
    assert optimizer.update(shuffled, state, PARAMS).params == expected
    assert list(expected) == ["W", "b"]


@pytest.mark.parametrize("optimizer", OPTIMIZERS, ids=repr)
def test_a_bowl_is_descended(optimizer: Any) -> None:
    params, state = PARAMS, optimizer.init(PARAMS)
    for _ in range(400):
        params, state = optimizer.update(params, state, params)  # gradient of |p|^2 / 2
    assert np.abs(params.flatten()).max() < 1e-3


def test_a_schedule_is_another_optimizer_with_the_same_state() -> None:
    gradients = random_gradients(2)
    params, state = Adam(0.1).update(gradients[0], Adam(0.1).init(PARAMS), PARAMS)
    slow = Adam(0.01).update(gradients[1], state, params).params.flatten() - params.flatten()
    fast = Adam(0.1).update(gradients[1], state, params).params.flatten() - params.flatten()
    np.testing.assert_allclose(10 * slow, fast, rtol=1e-12)


def test_nan_in_a_gradient_shows_in_its_parameter_alone() -> None:
    gradients = PARAMS.unflatten([np.nan, 1.0, 1.0])
    for optimizer in OPTIMIZERS:
        params = optimizer.update(gradients, optimizer.init(PARAMS), PARAMS).params  # type: ignore[attr-defined]
        assert np.isnan(params.flatten()).tolist() == [True, False, False]


# --- clip_grad_norm ------------------------------------------------------------------------------


def test_clipping_keeps_the_direction_and_bounds_the_norm() -> None:
    norm, clipped = clip_grad_norm(PARAMS, 0.5)
    assert norm == pytest.approx(math.sqrt(1 + 4 + 0.25), rel=1e-15)
    vector = clipped.flatten()
    assert np.linalg.norm(vector) == pytest.approx(0.5, rel=1e-15)
    np.testing.assert_allclose(vector * norm / 0.5, PARAMS.flatten(), rtol=1e-15)
    assert clip_grad_norm(PARAMS, 3.0).gradients == PARAMS


def test_norms_that_would_overflow_or_vanish() -> None:
    huge = rr.CellParameters({"w": np.array([3e30, 4e30], np.float32)})
    norm, clipped = clip_grad_norm(huge, 5.0)
    assert norm == pytest.approx(5e30, rel=1e-6)
    np.testing.assert_allclose(clipped.w, [3.0, 4.0], rtol=1e-6)
    assert clipped.dtype == np.float32
    assert clip_grad_norm({"w": np.array([3e-30, 4e-30], "f4")}, 1.0).norm == pytest.approx(5e-30)
    assert clip_grad_norm({"w": np.zeros(3)}, 1.0).norm == 0.0
    assert clip_grad_norm({}, 1.0).norm == 0.0


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_a_norm_that_is_not_finite_scales_nothing(bad: float) -> None:
    norm, gradients = clip_grad_norm({"w": np.array([bad, 100.0])}, 1.0)
    assert not math.isfinite(norm)
    np.testing.assert_array_equal(gradients.w, [bad, 100.0])


ADAM, SGD_ = Adam(), SGD(0.1)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: SGD(0.0), ValueError, "learning_rate has value 0.0"),
        (lambda: SGD("1"), TypeError, "learning_rate has type str"),  # type: ignore[arg-type]
        (lambda: SGD(0.1, momentum=1.0), ValueError, "momentum has value 1.0"),
        (lambda: SGD(0.1, momentum=True), TypeError, "momentum has type bool"),
        (lambda: Adam(beta_1=-0.1), ValueError, "beta_1 has value -0.1"),
        (lambda: Adam(beta_2=float("nan")), ValueError, "beta_2 has value nan"),
        (lambda: Adam(epsilon=0.0), ValueError, "epsilon has value 0.0"),
        (lambda: ADAM.init([]), TypeError, "params has type list"),  # type: ignore[arg-type]
        (
            lambda: ADAM.update({"W": np.ones((1, 2))}, ADAM.init(PARAMS), PARAMS),
            ValueError,
            r"gradients has names \['W'\], expected those of params = \['W', 'b'\]",
        ),
        (
            lambda: ADAM.update({**PARAMS, "b": np.ones(2)}, ADAM.init(PARAMS), PARAMS),
            ValueError,
            r"gradients.b has shape \(2,\), expected the shape of the parameter = \(1,\)",
        ),
        (
            lambda: ADAM.update(PARAMS.astype("f4"), ADAM.init(PARAMS), PARAMS),
            TypeError,
            "gradients has dtype float32, expected float64 as params",
        ),
        (
            lambda: ADAM.update(PARAMS, SGD_.init(PARAMS), PARAMS),  # type: ignore[arg-type]
            TypeError,
            "state has type SGDState, expected the AdamState",
        ),
        (
            lambda: SGD_.update(PARAMS, SGD_.init({"w": np.ones(3)}), PARAMS),
            ValueError,
            r"state.velocity has names \['w'\]",
        ),
        (lambda: clip_grad_norm(PARAMS, -1.0), ValueError, "max_norm has value -1.0"),
        (lambda: clip_grad_norm(np.ones(3), 1.0), TypeError, "gradients has type ndarray"),  # type: ignore[arg-type]
    ],
)
def test_bad_arguments_are_named(call: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        call()
