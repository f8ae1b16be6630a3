"""Approximations against mpmath: special values as the manual lists them, errors within its bounds.

Without a seed they are far better than that: rounded to the nearest float, or to its neighbour
where the exact value lies in the middle of two.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import mpmath

from .family import Family, Vector, crossed, decode, encode, same
from .formats import FORMATS, numbers

SINGLE = FORMATS["f32"]
#: Beside the edge values: small, ordinary and large, of no pattern.
ARGUMENTS = [
    *numbers("f32"),
    *(SINGLE.flushed(math.sin(k) * 1.7 ** (k % 90 - 40)) for k in range(1, 500)),
    *(math.sin(k) * 7 for k in range(200)), *(k * math.pi / 4 for k in range(-60, 60)),
    *(1 + math.sin(k) / 2**k for k in range(1, 24)), -149.0, -150.0, -127.5, 127.99, 128.0, 1e6,
    -2e6, 87.3, 310.0,
]  # fmt: skip


def single(x: float) -> float:
    """The nearest float32."""
    return SINGLE.round(Fraction(x), "rn") if math.isfinite(x) and x else x


@dataclass(frozen=True)
class Approximation:
    """A function, and the largest error that the PTX manual gives for it."""

    name: str
    exact: Callable[..., Any]  # of mpmath's numbers
    bound: Callable[..., Any]  # of the exact value and the operands
    special: Callable[..., float | None]  # the result where the manual says it, else None
    operands: int = 1

    def value(self, *operands: float) -> Any:
        with mpmath.workprec(200):
            return self.exact(*map(mpmath.mpf, operands))


def ulp(x: Any) -> float:
    return float(SINGLE.ulp(float(x)))


def signed(value: float, *signs: float) -> float:
    return math.copysign(value, math.prod(math.copysign(1, s) for s in signs))


def special_div(a: float, b: float) -> float | None:
    if math.isnan(a) or math.isnan(b) or (a == 0 and b == 0):
        return math.nan
    if math.isinf(a) and math.isinf(b):
        return math.nan
    if math.isinf(a) or b == 0:
        return signed(math.inf, a, b)
    return signed(0.0, a, b) if a == 0 or math.isinf(b) else None


def special_approx_div(a: float, b: float) -> float | None:
    """1 / b is zero beyond 2^126."""
    if 2.0**126 < abs(b) < math.inf and not math.isnan(a):
        return math.nan if math.isinf(a) else signed(0.0, a, b)
    return special_div(a, b)


def special_root(a: float) -> float | None:
    if math.isnan(a) or a < 0:
        return math.nan
    return a if a == 0 or math.isinf(a) else None


def special_rsqrt(a: float) -> float | None:
    if math.isnan(a) or a < 0:
        return math.nan
    return signed(math.inf, a) if a == 0 else 0.0 if math.isinf(a) else None


def special_lg2(a: float) -> float | None:
    if math.isnan(a) or a < 0:
        return math.nan
    return -math.inf if a == 0 else a if math.isinf(a) else None


def special_ex2(a: float) -> float | None:
    if math.isnan(a) or math.isinf(a):
        return a if a != -math.inf else 0.0
    return 1.0 if a == 0 else None


def angle_bound(_: Any, a: float) -> float:
    return 2**-20.5 if abs(a) <= 2 * math.pi else 2**-14.7


APPROXIMATIONS = [
    Approximation("div.approx", lambda a, b: a / b,
                  lambda v, a, b: 2 * ulp(v) if 2.0**-126 <= abs(b) <= 2.0**126 else ulp(v) / 2,
                  special_approx_div, 2),
    Approximation("div.full", lambda a, b: a / b, lambda v, a, b: 2 * ulp(v), special_div, 2),
    Approximation("rcp.approx", lambda a: 1 / a, lambda v, a: ulp(v),
                  lambda a: special_div(1.0, a)),
    Approximation("sqrt.approx", mpmath.sqrt, lambda v, a: v * 2**-23, special_root),
    Approximation("rsqrt.approx", lambda a: 1 / mpmath.sqrt(a), lambda v, a: v * 2**-22.9,
                  special_rsqrt),
    Approximation("sin.approx", mpmath.sin, angle_bound,
                  lambda a: a if a == 0 else None if math.isfinite(a) else math.nan),
    Approximation("cos.approx", mpmath.cos, angle_bound,
                  lambda a: 1.0 if a == 0 else None if math.isfinite(a) else math.nan),
    Approximation("lg2.approx", lambda a: mpmath.log(a, 2),
                  lambda v, a: 2**-22 if 0.5 < a < 2 else abs(v) * 2**-22, special_lg2),
    # The manual counts from the correctly rounded result.
    Approximation("ex2.approx", lambda a: mpmath.mpf(2) ** a,
                  lambda v, a: 2 * ulp(single(float(v))) + ulp(v) / 2, special_ex2),
    Approximation("tanh.approx", mpmath.tanh, lambda v, a: abs(v) * 2**-11,
                  lambda a: a if a == 0 or math.isnan(a) or abs(a) < 2.0**-126
                  else math.copysign(1.0, a) if math.isinf(a) else None),
]  # fmt: skip


def judged(one: Approximation, ftz: bool, allowed: Callable[..., Any]) -> Callable[..., bool]:
    """Whether a result is the special one, or no farther from the exact value than allowed."""

    def will_do(got: float, *operands: float) -> bool:
        operands = operands[: one.operands]
        if ftz:
            operands = tuple(map(SINGLE.flushed, operands))
        expected = one.special(*operands)
        if expected is not None:
            return same(got, expected)
        value = one.value(*operands)
        if ftz and abs(value) < SINGLE.smallest and abs(got) in (0, SINGLE.smallest):
            return True
        if math.isinf(got):
            return bool(abs(value) > SINGLE.largest)
        return not math.isnan(got) and bool(abs(got - value) <= allowed(value, *operands))

    return will_do


def nearly_rounded(value: Any, *_: float) -> float:
    return ulp(value) * 0.500001


def vectors(one: Approximation) -> Iterator[Vector]:
    operands = ", ".join(["{d}", "{0}", "{1}"][: one.operands + 1])
    for ftz in ("", ".ftz") if one.name != "tanh.approx" else ("",):
        check = judged(one, bool(ftz), nearly_rounded)
        yield Vector(f"{one.name}{ftz}.f32 {operands}", "f32", check, is_check=True)


def upper_half(function: Callable[[float], float]) -> Callable[[float, float], bool]:
    """Rcp and rsqrt of doubles that know 32 bits of each: no bound is given; one of 20 is held."""
    form = FORMATS["f64"]

    def will_do(got: float, a: float) -> bool:
        upper = decode(encode(a, "f64") >> 32 << 32, "f64")
        expected = function(form.flushed(upper))
        low = encode(got, "f64") & 0xFFFFFFFF
        if low or math.isnan(expected) or math.isinf(expected) or abs(expected) < form.smallest:
            return not low and same(got, form.flushed(expected))
        return bool(abs(got - expected) <= abs(expected) * 2**-20)

    return will_do


def inverse(a: float) -> float:
    return signed(math.inf, a) if a == 0 else 1 / a


def inverse_root(a: float) -> float:
    if math.isnan(a) or a < 0:
        return math.nan
    return signed(math.inf, a) if a == 0 else 1 / math.sqrt(a)


def rsqrt_double(got: float, a: float) -> bool:
    expected = inverse_root(a)
    if math.isnan(expected) or math.isinf(expected) or expected == 0:
        return same(got, expected)
    return abs(got - expected) <= expected * 2**-52


def families() -> list[Family]:
    values = list(map(single, ARGUMENTS))
    some = [*numbers("f32"), 2.0**126, 1.5 * 2.0**126, -(2.0**127), *values[60:110:3]]
    made = []
    for one in APPROXIMATIONS:
        columns = [("f32", values)] if one.operands == 1 else crossed(("f32", some), ("f32", some))
        made.append(Family(one.name, columns, list(vectors(one))))
    doubles = [*numbers("f64"), *(math.sin(k) * 1e3**k for k in range(-90, 90)), 1.7e308, 2e-308]
    made.append(Family("of doubles", [("f64", doubles)], [
        Vector("rcp.approx.ftz.f64 {d}, {0}", "f64", upper_half(inverse), is_check=True),
        Vector("rsqrt.approx.ftz.f64 {d}, {0}", "f64", upper_half(inverse_root), is_check=True),
        Vector("rsqrt.approx.f64 {d}, {0}", "f64", rsqrt_double, is_check=True),
    ]))  # fmt: skip
    return made


FAMILIES = families()
