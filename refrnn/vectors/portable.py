"""Arrays whose numbers come out the same on every machine.

``np.exp`` and ``np.tanh`` differ in the last bit from one instruction set and one NumPy to the
next, and so do BLAS and ``np.einsum``. Files that must have the same bytes everywhere are therefore
computed with :class:`Portable` arrays, by the same text of the cells, in one of two kinds of
numbers:

* :class:`decimal.Decimal` of 100 digits, in arrays of objects. Decimal arithmetic is specified to
  the last digit, exp and ln included, so a result depends on nothing but its arguments; rounded
  once to float64 it is the exact value of the equations, correctly rounded.
* float64, where 15 digits are enough. Sums, products and quotients are IEEE 754's and alike
  everywhere; exp, tanh, expm1 and log1p are made of them here.
"""

from __future__ import annotations

import decimal
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import numpy as np

from ..types import Array

__all__ = ["DIGITS", "PortableArithmetic", "decimal_context", "exact", "floats", "rounded"]

#: Significant digits of the decimal numbers: sums of products of two float32 are exact, so that a
#: result halfway between two float64 is known to be.
DIGITS = 100


def decimal_context() -> Any:
    """A context manager: inside it decimal numbers have 100 digits, rounded half to even."""
    return decimal.localcontext(
        decimal.Context(prec=DIGITS, rounding=decimal.ROUND_HALF_EVEN, Emin=-999999, Emax=999999)
    )


def exact(array: Array) -> Array:
    """The same numbers as decimals: no digit is lost, a float64 has at most 767."""
    return _decimals(array).view(Portable)


def floats(array: Array) -> Array:
    """A copy of a float64 array that keeps to portable functions."""
    return np.array(array, np.float64).view(Portable)


def rounded(array: Array) -> Array:
    """Each number rounded once, half to even, to float64."""
    return np.array([float(x) for x in np.asarray(array).flat], np.float64).reshape(array.shape)


class Portable(np.ndarray[Any, np.dtype[Any]]):
    """An array of decimals or of float64 with functions that are alike everywhere."""

    def __array_ufunc__(
        self, ufunc: np.ufunc, method: str, *inputs: Any, out: Any = None, **options: Any
    ) -> Any:
        is_exact = any(_is_exact(x) for x in (*inputs, *(out or ())))
        plain = [_plain(x, is_exact) for x in inputs]
        if out is not None:
            options["out"] = tuple(_base(x) for x in out)
        if ufunc in _FUNCTIONS and method == "__call__":
            result = _FUNCTIONS[ufunc][is_exact](plain[0])
            if out is not None:
                options["out"][0][...] = result
        else:
            result = getattr(ufunc, method)(*plain, **options)
        return out[0] if out is not None else _wrapped(result)

    def __array_function__(self, function: Any, types: Any, args: Any, kwargs: Any) -> Any:
        result = super().__array_function__(function, types, args, kwargs)
        if _is_exact(result):
            result = _decimals(_base(result))  # np.where puts floats and ints beside them
        return _wrapped(result)


class PortableArithmetic:
    """Sums of products in one fixed order, term after term; see :class:`refrnn.arithmetic`."""

    def product(self, a: Array, b: Array, out: Array | None = None) -> Array:
        """The matrix product of (n, k) and (k, m)."""
        left, right = _base(a), _base(b)
        total = np.zeros((left.shape[0], right.shape[1]), left.dtype)
        for k in range(right.shape[0]):
            total += left[:, k : k + 1] * right[k]
        return _into(out, total)

    def product_plus(self, a: Array, b: Array, bias: Array | None, out: Array) -> Array:
        """``a @ b + bias`` written to `out`."""
        total = self.product(a, b)
        if bias is not None:
            total += bias
        return _into(out, total)

    def sum_rows(self, a: Array) -> Array:
        """The sum over the rows of (n, m)."""
        total = np.zeros(a.shape[1], a.dtype)
        for row in _base(a):
            total += row
        return total.view(Portable)

    def rounded(self, y: Array) -> None:
        """Nothing: only the noisy arithmetic changes what was computed."""


def _is_exact(x: Any) -> bool:
    return isinstance(x, np.ndarray) and x.dtype.kind == "O"


def _into(out: Array | None, total: Array) -> Array:
    if out is None:
        return total.view(Portable)
    out[...] = total
    return out


def _base(x: Any) -> Any:
    return x.view(np.ndarray) if isinstance(x, Portable) else x


def _wrapped(x: Any) -> Any:
    """Numbers are portable; booleans need not be."""
    return x.view(Portable) if isinstance(x, np.ndarray) and x.dtype != bool else x


def _decimal(x: Any) -> Any:
    """A decimal of the same value; None, the content of a new array, stays."""
    return x if isinstance(x, Decimal) or x is None else Decimal(float(x))


def _decimals(x: Array) -> Array:
    """Elementwise; of an empty array too."""
    made: Array = np.empty(np.shape(x), object)
    made[...] = np.frompyfunc(_decimal, 1, 1)(x)
    return made


def _plain(x: Any, is_exact: bool) -> Any:
    """What NumPy's own loop takes: base arrays, and no float beside a decimal."""
    if isinstance(x, Portable):
        return x.view(np.ndarray)
    if not is_exact or isinstance(x, (int, bool, Decimal)):
        return x
    if isinstance(x, np.ndarray):
        return x if x.dtype == bool else _decimals(x)
    return _decimal(x)


# --- functions of decimals: their own exp and ln, at 100 digits ---------------------------------


def _exp_decimal(x: Any) -> Any:
    return _decimal(x).exp()


def _expm1_decimal(x: Any) -> Any:
    return _decimal(x).exp() - 1


def _log1p_decimal(x: Any) -> Any:
    return (1 + _decimal(x)).ln()


def _tanh_decimal(x: Any) -> Any:
    x = _decimal(x)
    e = (-2 * abs(x)).exp()
    return ((1 - e) / (1 + e)).copy_sign(x)


def _sign_decimal(x: Any) -> Decimal:
    return Decimal((x > 0) - (x < 0))


# --- functions of float64: sums, products and quotients alone ----------------------------------

with decimal_context():
    _LN2 = Decimal(2).ln()
_LOG2_E = float(1 / _LN2)
_LN2_HIGH = round(_LN2 * 2**32) / 2**32  # times any exponent of a float64: no rounding
_LN2_LOW = float(_LN2 - Decimal(_LN2_HIGH))


def _polynomial(x: Array, coefficients: list[float]) -> Array:
    """Horner's scheme, the highest power first."""
    total = np.full_like(x, coefficients[0])
    for c in coefficients[1:]:
        total *= x
        total += c
    return total


_FACTORIAL = [1.0]
for _n in range(1, 17):
    _FACTORIAL.append(_FACTORIAL[-1] * _n)
_EXPM1 = [1.0 / f for f in _FACTORIAL[:0:-1]]  # (e^r - 1) / r
_ATANH = [1.0 / n for n in range(37, 0, -2)]  # atanh(z) / z, in powers of z^2


def _exp_float(a: Array) -> Array:
    bounded = np.minimum(np.maximum(a, -746.0), 710.0)  # 0 below, inf above
    power = np.rint(bounded * _LOG2_E)
    r = (bounded - power * _LN2_HIGH) - power * _LN2_LOW
    near_one = 1.0 + r * _polynomial(r, _EXPM1)
    with np.errstate(all="ignore"):
        return np.ldexp(near_one, power.astype(np.int64))


def _expm1_float(a: Array) -> Array:
    r = np.minimum(np.maximum(a, -0.35), 0.35)
    return np.where(r == a, r * _polynomial(r, _EXPM1), _exp_float(a) - 1.0)


def _log1p_float(x: Array) -> Array:
    z = x / (2.0 + x)  # only arguments of 0 to 1 occur: softplus(a) has exp(-|a|)
    return 2.0 * z * _polynomial(z * z, _ATANH)


def _tanh_float(a: Array) -> Array:
    m = _expm1_float(-2.0 * np.abs(a))
    return np.copysign(m / (2.0 + m), a)


_FUNCTIONS: dict[np.ufunc, tuple[Callable[[Array], Array], Callable[[Array], Array]]] = {
    np.exp: (_exp_float, np.frompyfunc(_exp_decimal, 1, 1)),
    np.expm1: (_expm1_float, np.frompyfunc(_expm1_decimal, 1, 1)),
    np.log1p: (_log1p_float, np.frompyfunc(_log1p_decimal, 1, 1)),
    np.tanh: (_tanh_float, np.frompyfunc(_tanh_decimal, 1, 1)),
    np.sign: (np.sign, np.frompyfunc(_sign_decimal, 1, 1)),
    np.isinf: (np.isinf, lambda a: np.zeros(a.shape, bool)),
}
