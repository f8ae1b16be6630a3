"""Value, derivative and complement of every activation against the 50-digit oracle.

Errors are counted in units in the last place of the exact result. What is a difference of rounded
terms and passes through zero (a line, or 1 - f where f is not bounded by 1) cannot be accurate
relative to its own size; there the unit is that of the largest term. Run with ``-s`` to see the
largest error of each.
"""

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

from refrnn.activations import ACTIVATION_NAMES, Activation, activation

from .mpmath_oracle import MP, Act, value_and_derivative

ALLOWED = 4.0  # ulp
DIGITS = 340  # 1 - sigmoid(700) needs 304 digits for its first

# Numbers with few bits, so that what is measured is the arithmetic and not their rounding.
ACTS = [
    Act("relu"),
    Act("tanh"),
    Act("sigmoid"),
    Act("affine", 0.5, 0.25),
    Act("leakyrelu", 0.125),
    Act("thresholdedrelu", 1.0),
    Act("scaledtanh", 1.75, 0.5),
    Act("hardsigmoid", 0.25, 0.5),
    Act("elu", 1.5),
    Act("softsign"),
    Act("softplus"),
]
SATURATING_AT_1 = ("sigmoid", "tanh", "softsign")
LARGEST = {"float64": 700.0, "float32": 80.0}


def as_activation(act: Act) -> Activation:
    """Return the activation of refrnn that an oracle activation describes."""
    known = activation(act.name)
    return activation(
        act.name,
        None if known.alpha is None else act.alpha,
        None if known.beta is None else act.beta,
    )


def arguments(dtype: str) -> np.ndarray[Any, Any]:
    """Tiny to large arguments of both signs, kinks and their neighbours included."""
    rng = np.random.default_rng(0)
    largest = LARGEST[dtype]
    magnitudes = np.concatenate(
        [
            np.exp(rng.uniform(np.log(1e-30), np.log(largest), 100)),
            rng.uniform(0, 40, 100),
            rng.uniform(0, largest, 60),
            [0.25, 0.5, 1.0, 2.0, 8.0, 9.0, 17.0, 19.0, 37.0, largest],
        ]
    ).astype(dtype)
    kinks = np.array([0.0, 1.0], dtype)  # beside +-2 a rounded line decides hardsigmoid's branch
    neighbours = np.nextafter(kinks, kinks + 1), np.nextafter(kinks, kinks - 1)
    return np.concatenate([magnitudes, -magnitudes, kinks, *neighbours])


def largest_term(act: Act, a: Any, value: Any, quantity: str) -> Any:
    """Return what an error of the quantity is relative to, beyond the exact result itself."""
    if act.name in ("affine", "hardsigmoid") and quantity != "derivative":
        terms = abs(act.alpha * a) + abs(act.beta)
        inside = act.name == "affine" or 0 < value < 1
        return terms + (1 if quantity == "complement" else 0) if inside else 0
    if quantity == "complement" and act.name not in SATURATING_AT_1:
        return 1 + abs(value)
    return 0


def errors_in_ulp(act: Act, dtype: str, quantity: str) -> Iterator[tuple[float, float]]:
    """Yield each argument with the error of the quantity there, in ulp of `dtype`."""
    a = arguments(dtype)
    smallest_normal = float(np.finfo(a.dtype).smallest_normal)
    tested = as_activation(act)
    functions: dict[str, Callable[[], Any]] = {
        "value": lambda: tested.value(a),
        "derivative": lambda: tested.derivative(a, tested.value(a)),
        "complement": lambda: tested.complement(a),
    }
    with np.errstate(over="ignore", under="ignore"):  # as in the unrolls: 1 / inf is the right 0
        got = functions[quantity]()
    assert got.dtype == a.dtype
    assert got.shape == a.shape
    with MP.workdps(DIGITS):
        for argument, result in zip(a.tolist(), got.tolist(), strict=True):
            value, derivative = value_and_derivative(act, argument)
            exact = {"value": value, "derivative": derivative, "complement": 1 - value}[quantity]
            if abs(exact) < smallest_normal:  # may be flushed to zero
                assert abs(result) <= smallest_normal
                continue
            size = max(abs(exact), largest_term(act, MP.mpf(argument), value, quantity))
            ulp = MP.mpf(float(np.spacing(np.array(float(size), dtype))))
            yield argument, float(abs(MP.mpf(result) - exact) / ulp)


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("quantity", ["value", "derivative", "complement"])
@pytest.mark.parametrize("act", ACTS, ids=lambda act: act.name)
def test_activations_are_accurate_to_4_ulp_everywhere(act: Act, quantity: str, dtype: str) -> None:
    argument, worst = max(errors_in_ulp(act, dtype, quantity), key=lambda pair: pair[1])
    report = f"{act.name:15s} {quantity:10s} {dtype} {worst:5.2f} ulp at a = {argument:.9g}"
    print(f"\n{report}", end="")  # noqa: T201 -- shown with -s
    assert worst <= ALLOWED, report


def test_every_activation_of_the_table_is_tested() -> None:
    assert {act.name for act in ACTS} == set(ACTIVATION_NAMES)


def test_derivatives_from_the_output_would_be_rejected() -> None:
    """The arguments reach far enough into saturation to tell the formulas apart."""
    a = arguments("float64")
    a = a[np.abs(a) < 30]
    for name in ("tanh", "sigmoid"):
        y = activation(name).value(a)
        accurate = activation(name).derivative(a, y)
        from_output = 1 - y * y if name == "tanh" else y * (1 - y)
        assert np.max(np.abs(from_output - accurate) / np.spacing(accurate)) > 1e4


@pytest.mark.parametrize(
    ("name", "alpha", "beta"),
    [
        ("leakyrelu", 0.01, None),
        ("thresholdedrelu", 1.0, None),
        ("hardsigmoid", 0.2, 0.5),
        ("elu", 1.0, None),
        ("affine", 1.0, 0.0),
        ("scaledtanh", 1.0, 1.0),
        ("relu", None, None),
        ("tanh", None, None),
        ("sigmoid", None, None),
        ("softsign", None, None),
        ("softplus", None, None),
    ],
)
def test_default_alpha_and_beta(name: str, alpha: float | None, beta: float | None) -> None:
    assert (activation(name).alpha, activation(name).beta) == (alpha, beta)


def test_derivatives_at_the_kinks() -> None:
    def derivative(act: Activation, a: float) -> float:
        at = np.array([a])
        return float(act.derivative(at, act.value(at))[0])

    assert derivative(activation("relu"), 0.0) == 0.0
    assert derivative(activation("leakyrelu", 0.25), 0.0) == 0.25
    assert derivative(activation("thresholdedrelu", 0.5), 0.5) == 0.0
    assert derivative(activation("elu", 0.75), 0.0) == 0.75
    assert derivative(activation("hardsigmoid", 0.25, 0.5), 2.0) == 0.25
    assert derivative(activation("hardsigmoid", 0.25, 0.5), -2.0) == 0.25
    assert derivative(activation("hardsigmoid", 0.25, 0.5), 2.5) == 0.0
