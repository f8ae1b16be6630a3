"""Integer arithmetic against Python's integers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from .family import Family, Vector, bits, crossed, integers, wrap

SHORT, ALL = ("u16", "s16", "u32", "s32"), ("u16", "s16", "u32", "s32", "u64", "s64")


def quotient(a: int, b: int) -> int:
    """Cut off towards zero; by zero, what the hardware gives."""
    return -1 if b == 0 else abs(a) // abs(b) * (1 if (a < 0) == (b < 0) else -1)


def clamp(value: int, kind: str) -> int:
    n = bits(kind)
    least, most = (-(1 << (n - 1)), (1 << (n - 1)) - 1) if kind[0] == "s" else (0, (1 << n) - 1)
    return min(max(value, least), most)


def vector(text: str, kind: str, function: Callable[..., int]) -> Vector:
    """Of a function of integers, whose result is wrapped."""
    return Vector(text, kind, lambda *operands: wrap(function(*operands), kind))


def binary(kind: str) -> list[Vector]:
    n = bits(kind)
    operations: dict[str, Callable[..., int]] = {
        "add": lambda a, b: a + b,
        "sub": lambda a, b: a - b,
        "mul.lo": lambda a, b: a * b,
        "mul.hi": lambda a, b: a * b >> n,
        "div": quotient,
        "rem": lambda a, b: a - b * quotient(a, b) if b else a,
        "min": min,
        "max": max,
    }
    made = [vector(f"{op}.{kind} {{d}}, {{0}}, {{1}}", kind, f) for op, f in operations.items()]
    if kind in SHORT:
        wide = f"{kind[0]}{2 * n}"
        made.append(vector(f"mul.wide.{kind} {{d}}, {{0}}, {{1}}", wide, lambda a, b: a * b))
    if kind == "s32":
        made += [
            Vector("add.sat.s32 {d}, {0}, {1}", kind, lambda a, b: clamp(a + b, "s32")),
            Vector("sub.sat.s32 {d}, {0}, {1}", kind, lambda a, b: clamp(a - b, "s32")),
            Vector("min.s32.relu {d}, {0}, {1}", kind, lambda a, b: max(min(a, b), 0)),
            Vector("max.s32.relu {d}, {0}, {1}", kind, lambda a, b: max(a, b, 0)),
        ]
    return made


def unary(kind: str) -> list[Vector]:
    made = [vector(f"neg.{kind} {{d}}, {{0}}", kind, lambda a: -a)]
    return [*made, vector(f"abs.{kind} {{d}}, {{0}}", kind, abs)]


def ternary(kind: str) -> list[Vector]:
    n, three = bits(kind), "{d}, {0}, {1}, {2}"
    made = [
        vector(f"mad.lo.{kind} {three}", kind, lambda a, b, c: a * b + c),
        vector(f"mad.hi.{kind} {three}", kind, lambda a, b, c: (a * b >> n) + c),
        vector(f"sad.{kind} {three}", kind, lambda a, b, c: abs(a - b) + c),
    ]
    if n == 32:
        sign = 0x800000 if kind[0] == "s" else 0

        def cut(a: int) -> int:
            return (a & 0xFFFFFF ^ sign) - sign

        made += [
            vector(f"mul24.lo.{kind} {{d}}, {{0}}, {{1}}", kind, lambda a, b, c: cut(a) * cut(b)),
            vector(f"mad24.lo.{kind} {three}", kind, lambda a, b, c: cut(a) * cut(b) + c),
        ]
    return made


def carries(kind: str) -> list[Vector]:
    """Chains: the first leaves a carry, the second takes it, and of some a third takes one more."""
    n = bits(kind)
    top = 1 << n

    def unsigned(x: int) -> int:
        return x % top

    def add(a: int, b: int, c: int) -> int:
        return (unsigned(a) + unsigned(b)) // top + a + c

    def add_twice(a: int, b: int, c: int) -> int:
        carry = (unsigned(a) + unsigned(b)) // top
        return (unsigned(a) + unsigned(c) + carry) // top + b + c

    def sub(a: int, b: int, c: int) -> int:
        return a - c - (unsigned(a) < unsigned(b))

    def sub_twice(a: int, b: int, c: int) -> int:
        borrow = unsigned(a) < unsigned(b)
        return b - c - (unsigned(a) - unsigned(c) - borrow < 0)

    def low_then(part: int) -> Callable[[int, int, int], int]:
        def mad(a: int, b: int, c: int) -> int:
            carry = (unsigned(a * b) + unsigned(c)) // top
            return (a * b >> n if part else a * b) + c + carry

        return mad

    def twice(a: int, b: int, c: int) -> int:
        carry = (unsigned(a * b) + unsigned(c)) // top
        carry = (unsigned(a * b >> n) + unsigned(b) + carry) // top
        return unsigned(a * c) + a + carry

    def twice_low(a: int, b: int, c: int) -> int:
        carry = (unsigned(a * b >> n) + unsigned(c)) // top
        carry = (unsigned(a * b) + unsigned(b) + carry) // top
        return a + c + carry

    three = "{0}, {1}, {2}"
    first, second, last = "{t}, {0}, {1};\n", "{d}, {0}, {2}", "{d}, {1}, {2}"
    chains = {
        f"add.cc.{kind} {first}addc.{kind} {second}": add,
        f"add.cc.{kind} {first}addc.cc.{kind} {{t}}, {{0}}, {{2}};\naddc.{kind} {last}": add_twice,
        f"sub.cc.{kind} {first}subc.{kind} {second}": sub,
        f"sub.cc.{kind} {first}subc.cc.{kind} {{t}}, {{0}}, {{2}};\nsubc.{kind} {last}": sub_twice,
        f"mad.lo.cc.{kind} {{t}}, {three};\nmadc.hi.{kind} {{d}}, {three}": low_then(1),
        f"mad.lo.cc.{kind} {{t}}, {three};\nmadc.lo.{kind} {{d}}, {three}": low_then(0),
        f"mad.lo.cc.{kind} {{t}}, {three};\nmadc.hi.cc.{kind} {{t}}, {{0}}, {{1}}, {{1}};\n"
        f"madc.lo.{kind} {{d}}, {{0}}, {{2}}, {{0}}": twice,
        f"mad.hi.cc.{kind} {{t}}, {three};\nmadc.lo.cc.{kind} {{t}}, {{0}}, {{1}}, {{1}};\n"
        f"addc.{kind} {{d}}, {{0}}, {{2}}": twice_low,
    }  # fmt: skip
    return [vector(text, kind, function) for text, function in chains.items()]


def wide_sums(kind: str) -> Vector:
    wide = f"{kind[0]}{2 * bits(kind)}"
    return vector(f"mad.wide.{kind} {{d}}, {{0}}, {{1}}, {{2}}", wide, lambda a, b, c: a * b + c)


def halves(function: Callable[[int, int], int], kind: str) -> Callable[[int, int], int]:
    """A function of two numbers of 16 bits, on both halves of 32."""

    def both(a: int, b: int) -> int:
        low = function(wrap(a, kind), wrap(b, kind)) & 0xFFFF
        return (function(wrap(a >> 16, kind), wrap(b >> 16, kind)) & 0xFFFF) << 16 | low

    return both


def pairs_of_16_bits() -> list[Vector]:
    made = []
    operations: dict[str, Callable[[int, int], int]] = {
        "add": lambda a, b: a + b, "sub": lambda a, b: a - b, "min": min, "max": max
    }  # fmt: skip
    for op, function in operations.items():
        for kind in ("u16", "s16"):
            text = f"{op}.{kind}x2 {{d}}, {{0}}, {{1}}"
            made.append(Vector(text, "u32", halves(function, kind)))
    for op, extremum in (("min", min), ("max", max)):
        relu = halves(lambda a, b, f=extremum: max(f(a, b), 0), "s16")  # type: ignore[misc]
        made.append(Vector(f"{op}.s16x2.relu {{d}}, {{0}}, {{1}}", "u32", relu))
    return made


def parts(x: int, width: int, signed: bool) -> list[int]:
    kind = f"{'s' if signed else 'u'}{width}"
    return [wrap(x >> at, kind) for at in range(0, 32, width)]


def dot_products() -> list[Vector]:
    made = []
    for a_kind in ("u32", "s32"):
        for b_kind in ("u32", "s32"):
            signs = a_kind[0] == "s", b_kind[0] == "s"

            def four(a: int, b: int, c: int, signs: Any = signs) -> int:
                both = zip(parts(a, 8, signs[0]), parts(b, 8, signs[1]), strict=True)
                return c + sum(x * y for x, y in both)

            made.append(vector(f"dp4a.{a_kind}.{b_kind} {{d}}, {{0}}, {{1}}, {{2}}", "u32", four))
            for part, first in (("lo", 0), ("hi", 2)):

                def two(a: int, b: int, c: int, signs: Any = signs, first: int = first) -> int:
                    x, y = parts(a, 16, signs[0]), parts(b, 8, signs[1])[first : first + 2]
                    return c + x[0] * y[0] + x[1] * y[1]

                text = f"dp2a.{part}.{a_kind}.{b_kind} {{d}}, {{0}}, {{1}}, {{2}}"
                made.append(vector(text, "u32", two))
    return made


def families() -> list[Family]:
    made = []
    for kind in ALL:
        pairs = crossed((kind, integers(kind)), (kind, integers(kind)))
        triples = crossed(*[(kind, integers(kind, few=True))] * 3)
        made.append(Family(f"two {kind}", pairs, binary(kind)))
        made.append(Family(f"three {kind}", triples, ternary(kind)))
        if kind[0] == "s":
            made.append(Family(f"one {kind}", [(kind, integers(kind))], unary(kind)))
        if bits(kind) >= 32:
            made.append(Family(f"carries of {kind}", triples, carries(kind)))
        if kind in SHORT:
            wide = f"{kind[0]}{2 * bits(kind)}"
            few = (kind, integers(kind, few=True))
            columns = crossed(few, few, (wide, integers(wide, few=True)))
            made.append(Family(f"wide sums of {kind}", columns, [wide_sums(kind)]))
    u32 = ("u32", integers("u32"))
    made.append(Family("pairs of 16 bits", crossed(u32, u32), pairs_of_16_bits()))
    few = ("u32", [0, 0x7F80FF01, 0x80007FFF, 0xFFFFFFFF, 0x12345678, 0x8081FEFD])
    made.append(Family("dot products", crossed(few, few, few), dot_products()))
    return made


FAMILIES = families()
