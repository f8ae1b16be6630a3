"""The table of activations as an interface: names, numbers, kinks, NaN and Inf, dtypes, out=.

Accuracy is test_mpmath_activations.py's.
"""

from __future__ import annotations

import copy
import pickle
from typing import Any

import numpy as np
import pytest

from refrnn.activations import ACTIVATION_NAMES, Activation, activation, sech2, sigmoid

DTYPES = ["float32", "float64", "longdouble", "complex64", "complex128"]
INF, NAN = np.inf, np.nan


def test_the_names_are_onnxs() -> None:
    assert set(ACTIVATION_NAMES) == {
        "relu", "tanh", "sigmoid", "affine", "leakyrelu", "thresholdedrelu", "scaledtanh",
        "hardsigmoid", "elu", "softsign", "softplus",
    }  # fmt: skip


@pytest.mark.parametrize("name", ACTIVATION_NAMES)
def test_upper_and_lower_case_are_the_same(name: str) -> None:
    assert activation(name.upper()) == activation(name)
    assert activation(name).name == name
    assert activation(activation(name)) == activation(name)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("gelu",), "activation has name 'gelu', expected one of"),
        (("",), "activation has name '', expected one of"),
        (("tanh", 1.0), "activation 'tanh' has alpha = 1.0, expected none"),
        (("elu", 1.0, 2.0), "activation 'elu' has beta = 2.0, expected none"),
        ((activation("elu"), 2.0), "activation has its own alpha and beta, expected none"),
    ],
)
def test_bad_names_and_numbers(arguments: Any, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        activation(*arguments)


def test_alpha_and_beta_are_kept_as_floats() -> None:
    given = activation("hardsigmoid", alpha=1, beta=np.float32(0.25))
    assert (given.alpha, given.beta) == (1.0, 0.25)
    assert type(given.alpha) is type(given.beta) is float
    assert (activation("tanh").alpha, activation("elu").beta) == (None, None)


def test_equality_hash_and_repr() -> None:
    a = activation("elu", alpha=2.0)
    assert a == activation("Elu", 2)
    assert hash(a) == hash(activation("Elu", 2))
    assert a != activation("elu")
    assert a != "elu"
    assert repr(a) == "activation('elu', alpha=2.0)"
    assert eval(repr(a), {"activation": activation}) == a


@pytest.mark.parametrize(
    "copied",
    [copy.copy, copy.deepcopy, lambda a: pickle.loads(pickle.dumps(a))],
    ids=["copy", "deepcopy", "pickle"],
)
@pytest.mark.parametrize("name", ACTIVATION_NAMES)
def test_a_copy_computes_the_same(name: str, copied: Any) -> None:
    original = activation(name)
    if original.alpha is not None:
        original = activation(name, alpha=0.75)
    other = copied(original)
    x = np.linspace(-2, 2, 9)
    assert isinstance(other, Activation)
    assert other == original
    assert np.array_equal(other.value(x), original.value(x))


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", ACTIVATION_NAMES)
def test_dtype_and_shape_are_kept_and_the_argument_too(name: str, dtype: str) -> None:
    f = activation(name)
    for shape in ((4,), (2, 2), (0, 3)):
        x = np.resize(np.array([-1.5, 0.0, 0.25, 2.0], dtype), shape)
        before = x.copy()
        y = f.value(x)
        results = [y, f.derivative(x, y), f.complement(x)]
        for result in results:
            assert result.dtype == x.dtype
            assert result.shape == shape
            assert not np.shares_memory(result, x)
        assert not np.shares_memory(results[1], y)
        assert np.array_equal(x, before)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", ACTIVATION_NAMES)
def test_out_is_written_and_returned_and_may_be_the_argument(name: str, dtype: str) -> None:
    f = activation(name)
    # strided like a gate block of a tape, of every small row length: NumPy has had such a bug
    for width in (1, 3, 4, 8, 9):
        wide = np.random.default_rng(0).normal(size=(5, 3 * width)).astype(dtype)
        x = wide[:, width : 2 * width]
        expected = f.value(x.copy())
        target = np.full_like(wide, 7)
        out = target[:, width : 2 * width]
        assert f.value(x, out=out) is out
        assert np.array_equal(out, expected)
        assert (target[:, :width] == 7).all()
        assert (target[:, 2 * width :] == 7).all()
        f.value(x, out=x)
        assert np.array_equal(x, expected)


# argument: NaN, inf, -inf
LIMITS = {
    "relu": (NAN, INF, 0),
    "tanh": (NAN, 1, -1),
    "sigmoid": (NAN, 1, 0),
    "affine": (NAN, INF, -INF),
    "leakyrelu": (NAN, INF, -INF),
    "thresholdedrelu": (NAN, INF, 0),
    "scaledtanh": (NAN, 1, -1),
    "hardsigmoid": (NAN, 1, 0),
    "elu": (NAN, INF, -1),
    "softsign": (NAN, 1, -1),
    "softplus": (NAN, INF, 0),
}
SLOPES = {
    "relu": (1, 0),
    "tanh": (0, 0),
    "sigmoid": (0, 0),
    "affine": (1, 1),
    "leakyrelu": (1, 0.01),
    "thresholdedrelu": (1, 0),
    "scaledtanh": (0, 0),
    "hardsigmoid": (0, 0),
    "elu": (1, 0),
    "softsign": (0, 0),
    "softplus": (1, 0),
}


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name", ACTIVATION_NAMES)
def test_nan_stays_and_infinity_has_its_limit(name: str, dtype: str) -> None:
    f = activation(name)
    x = np.array([NAN, INF, -INF], dtype)
    with np.errstate(all="ignore"):
        y = f.value(x)
        assert np.array_equal(y, np.array(LIMITS[name], dtype), equal_nan=True)
        assert np.array_equal(f.complement(x), 1 - y, equal_nan=True)
        assert np.array_equal(f.derivative(x, y)[1:], np.array(SLOPES[name], dtype))


@pytest.mark.parametrize(
    ("f", "x", "value", "slope"),
    [
        (activation("relu"), [-1e-30, 0.0, 1e-30], [0, 0, 1e-30], [0, 0, 1]),
        (activation("leakyrelu", 0.5), [-2.0, 0.0, 2.0], [-1, 0, 2], [0.5, 0.5, 1]),
        (activation("thresholdedrelu", 2.0), [1.0, 2.0, 3.0], [0, 0, 3], [0, 0, 1]),
        (activation("hardsigmoid", 0.25, 0.5), [-4, -2, 0, 2, 4], [0, 0, 0.5, 1, 1],
         [0, 0.25, 0.25, 0.25, 0]),
        (activation("elu", 2.0), [0.0, 3.0], [0, 3], [2, 1]),
        (activation("affine", 3.0, 1.0), [-1.0, 2.0], [-2, 7], [3, 3]),
        (activation("softsign"), [-3.0, 0.0, 1.0], [-0.75, 0, 0.5], [1 / 16, 1, 0.25]),
    ],
    ids=lambda p: p.name if isinstance(p, Activation) else "",
)  # fmt: skip
def test_values_and_slopes_by_hand(f: Activation, x: Any, value: Any, slope: Any) -> None:
    x = np.array(x, float)
    y = f.value(x)
    assert y.tolist() == value
    assert f.derivative(x, y).tolist() == slope
    assert np.allclose(f.complement(x), 1 - np.array(value), rtol=1e-15, atol=0)


@pytest.mark.parametrize("name", ACTIVATION_NAMES)
def test_the_complex_step_sees_the_derivative(name: str) -> None:
    f = activation(name)
    x = np.array([-30.0, -2.25, -0.5, 0.3, 1.7, 2.2, 30.0])  # beside every kink
    step = f.value(x + 1e-30j)
    assert np.allclose(step.real, f.value(x), rtol=1e-14)
    assert np.allclose(step.imag / 1e-30, f.derivative(x, f.value(x)), rtol=1e-13, atol=1e-300)
    assert np.allclose(f.complement(x + 1e-30j).real, f.complement(x), rtol=1e-14)


def test_sigmoid_and_sech2_far_out() -> None:
    x = np.array([-800.0, -700.0, 0.0, 700.0, 800.0])
    with np.errstate(over="ignore"):
        assert sigmoid(x)[[0, 2, 3, 4]].tolist() == [0.0, 0.5, 1.0, 1.0]
        assert 0 < sigmoid(x)[1] < 1e-300
        assert np.allclose(sech2(np.array([0.0, 19.0, -19.0, 1000.0])),
                           [1.0, 4 * np.exp(-38), 4 * np.exp(-38), 0.0], rtol=1e-15)  # fmt: skip
    assert np.isfinite(sigmoid(np.array([-800.0 + 1j, 800.0 - 1j]))).all()
