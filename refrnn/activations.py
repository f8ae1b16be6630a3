"""Activations: f, f' and 1 - f, all from the pre-activation and accurate at saturation.

The table is ONNX's (operators RNN, LSTM and GRU), with its alpha and beta. Derivatives never come
from the output: 1 - tanh(a)^2 has no correct digit left at a = 19, while 4e/(1+e)^2 with
e = exp(-2|a|) is right to the last bit or two everywhere; for the same reason 1 - sigmoid(a) is
computed as sigmoid(-a). See the notation page.

Every function accepts complex arrays (the complex step); branches look at the real part.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from .types import Array, BoolArray
from .validation import check_finite

__all__ = ["ACTIVATION_NAMES", "Activation", "activation", "sech2", "sigmoid"]


def sigmoid(a: Array, out: Array | None = None) -> Array:
    """1 / (1 + exp(-a)), to a few ulp for every a whose result is a normal number.

    Parameters
    ----------
    a : ndarray
    out : ndarray, optional
        Where to write; may be `a` itself.

    Returns
    -------
    ndarray of the shape and dtype of `a`
    """
    if a.dtype.kind == "c":  # exp of a large complex number is inf + nan j: branch instead
        negative = a.real < 0
        e = np.exp(np.where(negative, a, -a))
        return _into(out, np.where(negative, e, 1) / (1 + e))
    # not np.negative: NumPy 2.4.6 gets it wrong for a column of 4 float32 read and written strided
    result = np.multiply(a, -1, out=out)
    np.exp(result, out=result)  # overflows to inf, and 1/inf is the right 0
    result += 1
    return np.divide(1, result, out=result)


def sech2(a: Array) -> Array:
    """sech(a)^2 = tanh'(a) as 4e/(1+e)^2 with e = exp(-2|a|): accurate for every a.

    Parameters
    ----------
    a : ndarray

    Returns
    -------
    ndarray of the shape and dtype of `a`
    """
    e = np.where(a.real < 0, a, -a) if a.dtype.kind == "c" else -np.abs(a)
    e += e
    np.exp(e, out=e)
    one_plus_e = e + 1
    one_plus_e *= one_plus_e
    e *= 4
    e /= one_plus_e
    return e


def _tanh(a: Array, out: Array | None = None) -> Array:
    return np.tanh(a, out=out)


def _sigmoid_derivative(a: Array, y: Array) -> Array:
    result = sigmoid(-a)
    result *= y
    return result


class _Formulas(NamedTuple):
    """One row of the table; alpha and beta are bound by the factory that makes it."""

    value: Callable[..., Array]  # (a, out=None)
    derivative: Callable[[Array, Array], Array]  # (a, y): from a; y = f(a) saves work where exact
    complement: Callable[[Array], Array]  # 1 - f(a)


def _simple(
    f: Callable[[Array], Array],
    derivative: Callable[[Array], Array],
    complement: Callable[[Array], Array] | None = None,
) -> _Formulas:
    """A row whose functions take the pre-activation alone."""
    return _Formulas(
        lambda a, out=None: _into(out, f(a)),
        lambda a, y: derivative(a),
        complement or (lambda a: 1 - f(a)),
    )


def _sigmoid_row(alpha: float, beta: float) -> _Formulas:
    return _Formulas(sigmoid, _sigmoid_derivative, lambda a: sigmoid(-a))


def _tanh_row(alpha: float, beta: float) -> _Formulas:
    # 1 - tanh(a) = 2 / (1 + exp(2a)) = 2 s(-2a)
    return _Formulas(_tanh, lambda a, y: sech2(a), lambda a: 2 * sigmoid(-2 * a))


def _relu_row(alpha: float, beta: float) -> _Formulas:
    return _simple(lambda a: _where(a.real <= 0, 0, a), lambda a: _where(a.real <= 0, 0, 1, like=a))


def _affine_row(alpha: float, beta: float) -> _Formulas:
    return _simple(
        lambda a: alpha * a + beta,
        lambda a: np.full_like(a, alpha),
        lambda a: (1 - beta) - alpha * a,
    )


def _leaky_relu_row(alpha: float, beta: float) -> _Formulas:
    return _simple(
        lambda a: _where(a.real <= 0, alpha * a, a),
        lambda a: _where(a.real <= 0, alpha, 1, like=a),
    )


def _thresholded_relu_row(alpha: float, beta: float) -> _Formulas:
    return _simple(
        lambda a: _where(a.real <= alpha, 0, a), lambda a: _where(a.real <= alpha, 0, 1, like=a)
    )


def _scaled_tanh_row(alpha: float, beta: float) -> _Formulas:
    return _simple(lambda a: alpha * np.tanh(beta * a), lambda a: alpha * beta * sech2(beta * a))


def _hard_sigmoid_row(alpha: float, beta: float) -> _Formulas:
    def clipped_line(slope: float, offset: float, a: Array) -> Array:
        line = slope * a + offset
        return _where(line.real < 0, 0, _where(line.real > 1, 1, line), like=a)

    def derivative(a: Array) -> Array:
        line = alpha * a.real + beta
        return _where((line < 0) | (line > 1), 0, alpha, like=a)

    return _simple(
        lambda a: clipped_line(alpha, beta, a),
        derivative,
        lambda a: clipped_line(-alpha, 1 - beta, a),
    )


def _elu_row(alpha: float, beta: float) -> _Formulas:
    def below(a: Array) -> Array:
        """`a` where it is not positive, else 0, so that exp cannot overflow where it is unused."""
        return _where(a.real > 0, 0, a)

    return _simple(
        lambda a: _where(a.real > 0, a, alpha * np.expm1(below(a))),
        lambda a: _where(a.real > 0, 1, alpha * np.exp(below(a)), like=a),
    )


def _softsign_row(alpha: float, beta: float) -> _Formulas:
    def one_plus_abs(a: Array) -> Array:
        return 1 + np.where(a.real < 0, -a, a)

    def value(a: Array) -> Array:
        # infinite a: the limit, not inf / inf
        return _where(np.isinf(a), np.sign(a), a / one_plus_abs(a))

    return _simple(
        value,
        lambda a: 1 / one_plus_abs(a) ** 2,
        # for a > 0: 1 - a/(1+a) = 1/(1+a)
        lambda a: np.where(a.real < 0, 1 - value(a), 1 / one_plus_abs(a)),
    )


def _softplus_row(alpha: float, beta: float) -> _Formulas:
    def softplus(a: Array) -> Array:
        negative_abs = np.where(a.real < 0, a, -a)
        return _where(a.real <= 0, 0, a) + np.log1p(np.exp(negative_abs))

    return _simple(softplus, sigmoid)


# name -> (row, default alpha, default beta); None: the activation has no such number.
# Defaults are those of the ONNX operators of the same name; ScaledTanh, which has none there, is
# 1, 1. (ONNX Runtime's recurrent operators take 0 for Affine, ThresholdedRelu and ScaledTanh.)
_TABLE: dict[str, tuple[Callable[[float, float], _Formulas], float | None, float | None]] = {
    "relu": (_relu_row, None, None),
    "tanh": (_tanh_row, None, None),
    "sigmoid": (_sigmoid_row, None, None),
    "affine": (_affine_row, 1.0, 0.0),
    "leakyrelu": (_leaky_relu_row, 0.01, None),
    "thresholdedrelu": (_thresholded_relu_row, 1.0, None),
    "scaledtanh": (_scaled_tanh_row, 1.0, 1.0),
    "hardsigmoid": (_hard_sigmoid_row, 0.2, 0.5),
    "elu": (_elu_row, 1.0, None),
    "softsign": (_softsign_row, None, None),
    "softplus": (_softplus_row, None, None),
}

#: The names :func:`activation` knows (upper and lower case are the same, as in ONNX Runtime).
ACTIVATION_NAMES: tuple[str, ...] = tuple(_TABLE)


class Activation:
    """One activation of ONNX's table; make it with :func:`activation`.

    Attributes
    ----------
    name : str
        Lower case.
    alpha, beta : float or None
        None where the activation has no such number.
    """

    __slots__ = ("_formulas", "alpha", "beta", "name")

    name: str
    alpha: float | None
    beta: float | None

    def __init__(self, name: str, alpha: float | None = None, beta: float | None = None) -> None:
        if not isinstance(name, str):
            raise TypeError(f"activation has type {type(name).__name__}, expected a name")
        key = name.lower()
        if key not in _TABLE:
            raise ValueError(f"activation has name {name!r}, expected one of {ACTIVATION_NAMES}")
        row, default_alpha, default_beta = _TABLE[key]
        self.name = key
        self.alpha = _coefficient(key, "alpha", alpha, default_alpha)
        self.beta = _coefficient(key, "beta", beta, default_beta)
        self._formulas = row(
            0.0 if self.alpha is None else self.alpha, 0.0 if self.beta is None else self.beta
        )

    def value(self, a: Array, out: Array | None = None) -> Array:
        """f(a), elementwise, written to `out` where given."""
        return self._formulas.value(a, out=out)

    def derivative(self, a: Array, y: Array) -> Array:
        """f'(a), elementwise, a new array; ``y`` must be ``value(a)``."""
        return self._formulas.derivative(a, y)

    def complement(self, a: Array) -> Array:
        """1 - f(a), elementwise, without cancellation where f has a formula for it."""
        return self._formulas.complement(a)

    def __setattr__(self, name: str, value: Any) -> None:
        if hasattr(self, name):
            raise AttributeError(f"{name} of {self} cannot be changed: look another one up")
        super().__setattr__(name, value)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Activation):
            return NotImplemented
        return (self.name, self.alpha, self.beta) == (other.name, other.alpha, other.beta)

    def __hash__(self) -> int:
        return hash((self.name, self.alpha, self.beta))

    def __reduce__(self) -> tuple[Any, ...]:  # the formulas are closures: rebuild them
        return Activation, (self.name, self.alpha, self.beta)

    def __repr__(self) -> str:
        numbers = {"alpha": self.alpha, "beta": self.beta}
        shown = "".join(f", {k}={v}" for k, v in numbers.items() if v is not None)
        return f"activation({self.name!r}{shown})"


def activation(
    name: str | Activation, alpha: float | None = None, beta: float | None = None
) -> Activation:
    """Look an activation up in ONNX's table.

    Parameters
    ----------
    name : str or Activation
        One of ``ACTIVATION_NAMES``, upper or lower case; an Activation is returned as it is.
    alpha, beta : float, optional
        Its numbers, where it has them; those of the ONNX operator of that name otherwise.

    Returns
    -------
    Activation

    Raises
    ------
    ValueError
        If the name is unknown, or alpha or beta is given to an activation without it.

    Notes
    -----
    Derivatives at kinks: relu' = 0 at 0, LeakyRelu' = alpha at 0, ThresholdedRelu' = 0 at alpha,
    HardSigmoid' = alpha at both bounds, Elu' = alpha at 0.

    References
    ----------
    .. [1] ONNX operators RNN, LSTM and GRU, attribute ``activations``.

    Examples
    --------
    >>> from refrnn.activations import activation
    >>> activation("HardSigmoid", alpha=0.25)
    activation('hardsigmoid', alpha=0.25, beta=0.5)
    """
    if isinstance(name, Activation):
        if alpha is not None or beta is not None:
            raise ValueError("activation has its own alpha and beta, expected none beside it")
        return name
    return Activation(name, alpha, beta)


def _coefficient(name: str, which: str, given: float | None, default: float | None) -> float | None:
    """Alpha or beta: the given one, else the default; an error where the activation has none."""
    if given is None:
        return default
    if default is None:
        raise ValueError(f"activation {name!r} has {which} = {given}, expected none: it takes none")
    return check_finite(given, f"activation {name!r}, {which},")


def _into(out: Array | None, result: Array) -> Array:
    """`result`, copied to `out` where there is one."""
    if out is None:
        return result
    out[...] = result
    return out


def _where(condition: BoolArray, yes: Any, no: Any, like: Array | None = None) -> Array:
    """np.where in the dtype of `like` or of the array among its arguments.

    Comparisons with NaN are False: conditions are written so that NaN takes the branch that keeps
    it.
    """
    if like is None:
        like = yes if isinstance(yes, np.ndarray) else no
    result: Array = np.where(condition, yes, no).astype(like.dtype, copy=False)
    return result
