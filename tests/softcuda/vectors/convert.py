"""cvt, between all types that it knows."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from fractions import Fraction
from typing import Any

from .family import Family, Vector, integers, wrap
from .floating import modified
from .formats import FORMATS, MODES, numbers, saturated
from .integer import clamp

INTEGERS = ("u8", "s8", "u16", "s16", "u32", "s32", "u64", "s64")
#: A register that a narrower result is extended in.
WIDER = {"u8": "u32", "s8": "s32", "u16": "u32", "s16": "s32"}
INTEGRAL: dict[str, Callable[[Fraction], int]] = {
    "rni": round, "rzi": math.trunc, "rmi": math.floor, "rpi": math.ceil
}  # fmt: skip
Function = Callable[..., Any]


def statements(modifiers: str, to: str, source: str, function: Function) -> Iterator[Vector]:
    """The conversion into a register of its width, and of a narrow integer into a wider one."""
    text = f"cvt{modifiers}.{to}.{source} {{d}}, {{0}}"
    yield Vector(text, to, function)
    if to in WIDER:
        yield Vector(text, WIDER[to], function)
        yield Vector(text, to[0] + "64", function)


def between_integers(source: str) -> Iterator[Vector]:
    for to in INTEGERS:
        yield from statements("", to, source, lambda x, k=to: wrap(x, k))
        yield from statements(".sat", to, source, lambda x, k=to: clamp(x, k))


def to_floats(source: str) -> Iterator[Vector]:
    for to in ("f16", "f32", "f64"):
        for mode in MODES:
            for sat in ("", ".sat") if to != "f16" else ("",):

                def convert(x: int, k: str = to, m: str = mode, s: str = sat) -> float:
                    result = FORMATS[k].round(Fraction(x), m)
                    return saturated(result) if s else result

                yield from statements(f".{mode}{sat}", to, source, convert)


def integral(x: float, mode: str) -> float:
    """A number without a fraction, of the sign of the one it was."""
    if not math.isfinite(x):
        return x
    whole = INTEGRAL[mode](Fraction(x))
    return float(whole) if whole else math.copysign(0.0, x)


def to_integers(source: str) -> Iterator[Vector]:
    for to in INTEGERS:
        for mode in INTEGRAL:
            for ftz in ("", ".ftz") if source == "f32" else ("",):

                def convert(x: float, k: str = to, m: str = mode, f: str = ftz) -> int:
                    x = FORMATS[source].flushed(x) if f else x
                    if math.isnan(x):
                        return 0
                    if math.isinf(x):
                        return clamp((1 << 80) * (1 if x > 0 else -1), k)
                    return clamp(INTEGRAL[m](Fraction(x)), k)

                yield from statements(f".{mode}{ftz}", to, source, convert)
                yield from statements(f".{mode}{ftz}.sat", to, source, convert)


def within_a_width(kind: str) -> Iterator[Vector]:
    for mode in ("", *INTEGRAL):
        for ftz in ("", ".ftz") if kind == "f32" else ("",):
            for sat in ("", ".sat"):

                def same(x: float, m: str = mode) -> float:
                    return integral(x, m) if m else x

                function = modified(same, FORMATS[kind], ftz, sat, 1)
                modifiers = f"{'.' if mode else ''}{mode}{ftz}{sat}"
                yield from statements(modifiers, kind, kind, function)


def widening(source: str, to: str) -> Iterator[Vector]:
    single = "f32" in (source, to)
    for ftz in ("", ".ftz") if single else ("",):
        for sat in ("", ".sat"):

            def widen(x: float, f: str = ftz, s: str = sat) -> float:
                x = FORMATS["f32"].flushed(x) if f else x
                return saturated(x) if s else x

            yield from statements(f"{ftz}{sat}", to, source, widen)


def narrowed(x: float, to: str, mode: str) -> float:
    if not math.isfinite(x):
        return x
    return FORMATS[to].round(Fraction(x), mode) if x else x


def with_sign_of_zero(function: Callable[[float], float]) -> Callable[[float], float]:
    """What is rounded to zero keeps its sign."""

    def signed(x: float) -> float:
        result = function(x)
        return math.copysign(result, x) if result == 0 and not math.isnan(x) else result

    return signed


def narrowing(source: str, to: str) -> Iterator[Vector]:
    for mode in MODES:
        for ftz in ("", ".ftz") if "f32" in (source, to) else ("",):
            for sat in ("", ".sat"):

                def narrow(x: float, m: str = mode, f: str = ftz, s: str = sat) -> float:
                    if f and source == "f32":
                        x = FORMATS["f32"].flushed(x)
                    result = with_sign_of_zero(lambda x: narrowed(x, to, m))(x)
                    if f and to == "f32":
                        result = FORMATS["f32"].flushed(result)
                    return saturated(result) if s else result

                yield from statements(f".{mode}{ftz}{sat}", to, source, narrow)


def brain() -> Iterator[Vector]:
    for mode in ("rn", "rz"):

        def narrow(x: float, m: str = mode) -> float:
            return with_sign_of_zero(lambda x: narrowed(x, "bf16", m))(x)

        yield from statements(f".{mode}", "bf16", "f32", narrow)


def pairs() -> Iterator[Vector]:
    """Two floats in 32 bits: taken apart again, and the upper one looked at."""
    for to in ("f16", "bf16"):
        for mode in ("rn", "rz"):

            def first(a: float, b: float, k: str = to, m: str = mode) -> float:
                return with_sign_of_zero(lambda x: narrowed(x, k, m))(a)

            def second(a: float, b: float, f: Any = first) -> float:
                return f(b, a)  # type: ignore[no-any-return]

            text = f"cvt.{mode}.{to}x2.f32 %r9, {{0}}, {{1}};\nmov.b32 "
            yield Vector(text + "{{{t}, {d}}}, %r9", to, first)
            yield Vector(text + "{{{d}, {t}}}, %r9", to, second)


def fractions_of_integers(kind: str) -> list[float]:
    """Floats around the limits of integers, and between them."""
    some = [0.5, 1.5, 2.5, 0.49, 0.51, 127.5, 128.4, 255.5, 256.0, 32767.4, 32768.5, 65535.6]
    some += [2.0**31 - 1, 2.0**31, 2.0**32 - 1, 2.0**32, 2.0**63, 2.0**64, 2.0**63 - 1024, 3e9]
    fitting = [FORMATS[kind].round(Fraction(x), "rz") for x in some]
    return [*numbers(kind), *fitting, *(-x for x in fitting)]


def families() -> list[Family]:
    made = []
    for kind in INTEGERS:
        whole = [(kind, integers(kind))]
        made.append(Family(f"from {kind} to integers", whole, list(between_integers(kind))))
        made.append(Family(f"from {kind} to floats", whole, list(to_floats(kind))))
    for kind in ("f16", "f32", "f64"):
        columns = [(kind, fractions_of_integers(kind))]
        made.append(Family(f"from {kind} to integers", columns, list(to_integers(kind))))
    f16, f32, f64 = ([(kind, numbers(kind) + ties(kind))] for kind in ("f16", "f32", "f64"))
    made += [
        Family("f32 to f32", [("f32", fractions_of_integers("f32"))], list(within_a_width("f32"))),
        Family("f64 to f64", [("f64", fractions_of_integers("f64"))], list(within_a_width("f64"))),
        Family("f16 to wider", f16, [*widening("f16", "f32"), *widening("f16", "f64")]),
        Family("f32 to f64", f32, list(widening("f32", "f64"))),
        Family("f64 to narrower", f64, [*narrowing("f64", "f32"), *narrowing("f64", "f16")]),
        Family("f32 to 16 bits", f32, [*narrowing("f32", "f16"), *brain()]),
        Family("bf16 to f32", [("bf16", numbers("bf16"))],
               [Vector("cvt.f32.bf16 {d}, {0}", "f32", lambda x: x)]),
        Family("two floats", [("f32", numbers("f32")), ("f32", numbers("f32")[::-1])],
               list(pairs())),
    ]  # fmt: skip
    return made


def ties(kind: str) -> list[float]:
    """Halfway between narrower numbers, a little above, and below; and what just overflows."""
    made = []
    for to in ("f16", "bf16", "f32"):
        form = FORMATS[to]
        if form.precision >= FORMATS[kind].precision:
            continue
        for one in (1.0, 1 + 2.0 ** (1 - form.precision), form.smallest / 4, form.smallest):
            half = float(form.ulp(one)) / 2
            for tie in (one + half, one + half * (1 + 2.0**-7), one + half * (1 - 2.0**-7)):
                made += [tie, -tie]
        beyond = form.largest + float(form.ulp(form.largest)) / 2
        made += [beyond, -beyond, beyond * (1 - 2.0 ** -(form.precision + 5))]
    return [FORMATS[kind].round(Fraction(x), "rn") for x in made]


FAMILIES = families()
