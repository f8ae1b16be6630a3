"""Exactly rounded arithmetic of floating-point numbers against fractions."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from fractions import Fraction
from typing import Any

from .family import Family, Vector, crossed
from .formats import FORMATS, MODES, Format, by_fractions, numbers, saturated

Operation = Callable[..., float]


def zero_sum(a: float, b: float, mode: str) -> float:
    """The sign of a sum that is exactly zero."""
    if a == b == 0 and math.copysign(1, a) == math.copysign(1, b):
        return a
    return -0.0 if mode == "rm" else 0.0


def add(form: Format, mode: str) -> Operation:
    def special(a: float, b: float) -> float:
        return a + b if math.isnan(a + b) or math.isinf(a + b) else zero_sum(a, b, mode)

    return by_fractions(lambda a, b: a + b, special, form, mode)


def sub(form: Format, mode: str) -> Operation:
    plus = add(form, mode)
    return lambda a, b: plus(a, -b)


def mul(form: Format, mode: str) -> Operation:
    return by_fractions(lambda a, b: a * b, lambda a, b: a * b, form, mode)


def fma(form: Format, mode: str) -> Operation:
    def special(a: float, b: float, c: float) -> float:
        if math.isfinite(a) and math.isfinite(b):
            # A product that is not zero, and the addend that takes it away, have opposite signs.
            sign = math.copysign(1, a) * math.copysign(1, b)
            return c if not math.isfinite(c) else zero_sum(math.copysign(c, sign), c, mode)
        return a * b + c

    return by_fractions(lambda a, b, c: a * b + c, special, form, mode)


def div(form: Format, mode: str) -> Operation:
    def special(a: float, b: float) -> float:
        if math.isnan(a) or math.isnan(b) or (a == 0 and b == 0):
            return math.nan
        if math.isinf(a) and math.isinf(b):
            return math.nan
        sign = math.copysign(1, a) * math.copysign(1, b)
        return math.copysign(math.inf if math.isinf(a) or b == 0 else 0.0, sign)

    return by_fractions(lambda a, b: a / b, special, form, mode)


def rcp(form: Format, mode: str) -> Operation:
    quotient = div(form, mode)
    return lambda a: quotient(1.0, a)


def sqrt(form: Format, mode: str) -> Operation:
    def root(a: float) -> float:
        if math.isnan(a) or a < 0:
            return math.nan
        if a == 0 or math.isinf(a):
            return a
        # More digits than are needed, and one that says whether others would follow.
        exact = Fraction(a)
        shift = max(0, 70 - math.frexp(a)[1] // 2)
        scaled = exact * 4**shift
        whole = math.isqrt(scaled.numerator // scaled.denominator)
        more = whole * whole != scaled
        return form.round(Fraction(2 * whole + more, 2 ** (shift + 1)), mode)

    return root


def least(a: float, b: float) -> float:
    """The number beside NaN; of zeros the negative one."""
    if math.isnan(a) or math.isnan(b):
        return b if math.isnan(a) else a
    return min(a, b) if a != b else (a if math.copysign(1, a) < 0 else b)


def most(a: float, b: float) -> float:
    return -least(-a, -b)


def with_nan(function: Operation) -> Operation:
    return lambda a, b: math.nan if math.isnan(a) or math.isnan(b) else function(a, b)


def modified(function: Operation, form: Format, ftz: str, sat: str, count: int) -> Operation:
    """With operands and result flushed, and the result saturated."""

    def changed(*operands: float) -> float:
        used = operands[:count]
        if ftz:
            used = tuple(map(form.flushed, used))
        result = function(*used)
        if ftz:
            result = form.flushed(result)
        return saturated(result) if sat else result

    return changed


def rounded(
    op: str, make: Callable[[Format, str], Operation], kind: str, count: int, *,
    default: bool = False, sat: bool = False,
) -> Iterator[Vector]:  # fmt: skip
    """Every rounding mode with every other modifier that the type has."""
    form = FORMATS[kind]
    operands = ", ".join(["{d}", "{0}", "{1}", "{2}"][: count + 1])
    for mode in ("", *MODES) if default else MODES:
        for ftz in ("", ".ftz") if kind == "f32" else ("",):
            for clamp in ("", ".sat") if kind == "f32" and sat else ("",):
                function = modified(make(form, mode or "rn"), form, ftz, clamp, count)
                name = f"{op}{'.' if mode else ''}{mode}{ftz}{clamp}.{kind}"
                yield Vector(f"{name} {operands}", kind, function)


def exact(kind: str) -> Iterator[Vector]:
    form = FORMATS[kind]
    for ftz in ("", ".ftz") if kind == "f32" else ("",):
        for nan in ("", ".NaN") if kind == "f32" else ("",):
            for op, function in (("min", least), ("max", most)):
                chosen = modified(with_nan(function) if nan else function, form, ftz, "", 2)
                yield Vector(f"{op}{ftz}{nan}.{kind} {{d}}, {{0}}, {{1}}", kind, chosen)
        for op, one in (("abs", abs), ("neg", lambda a: -a)):
            yield Vector(f"{op}{ftz}.{kind} {{d}}, {{0}}", kind, modified(one, form, ftz, "", 1))
    yield Vector(f"copysign.{kind} {{d}}, {{0}}, {{1}}", kind, lambda a, b: math.copysign(b, a))


def properties(kind: str) -> Iterator[Vector]:
    smallest = FORMATS[kind].smallest
    tests: dict[str, Callable[[float], bool]] = {
        "finite": math.isfinite,
        "infinite": math.isinf,
        "number": lambda x: not math.isnan(x),
        "notanumber": math.isnan,
        "normal": lambda x: math.isfinite(x) and (x == 0 or abs(x) >= smallest),
        "subnormal": lambda x: 0 < abs(x) < smallest,
    }
    for name, test in tests.items():
        yield Vector(f"testp.{name}.{kind} {{d}}, {{0}}", "pred", lambda x, f=test: int(f(x)))


def families() -> list[Family]:
    made: list[Family] = []
    for kind in ("f32", "f64"):
        many, few = (kind, numbers(kind)), (kind, numbers(kind, few=True))
        pairs, triples = crossed(many, many), crossed(few, few, few)
        sums: list[tuple[str, Any]] = [("add", add), ("sub", sub), ("mul", mul)]
        for op, make in sums:
            vectors = list(rounded(op, make, kind, 2, default=True, sat=True))
            made.append(Family(f"{op} of {kind}", pairs, vectors))
        made.append(Family(f"div of {kind}", pairs, list(rounded("div", div, kind, 2))))
        for op in ("fma", "mad"):
            vectors = list(rounded(op, fma, kind, 3, sat=True))
            made.append(Family(f"{op} of {kind}", triples, vectors))
        roots = [*rounded("rcp", rcp, kind, 1), *rounded("sqrt", sqrt, kind, 1)]
        made.append(Family(f"rcp and sqrt of {kind}", [many], roots))
        made.append(Family(f"exact ones of {kind}", pairs, list(exact(kind))))
        made.append(Family(f"properties of {kind}", [many], list(properties(kind))))
    return made


FAMILIES = families()
