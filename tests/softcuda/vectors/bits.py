"""Bits: logic, shifts, permutations, counting and fields, bit by bit from the PTX manual."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from .family import Family, Vector, bits, crossed, integers, wrap

MASK = 0xFFFFFFFF


def logic(kind: str) -> list[Vector]:
    n = bits(kind)
    ones = (1 << n) - 1
    return [
        Vector(f"and.{kind} {{d}}, {{0}}, {{1}}", kind, lambda a, b: a & b),
        Vector(f"or.{kind} {{d}}, {{0}}, {{1}}", kind, lambda a, b: a | b),
        Vector(f"xor.{kind} {{d}}, {{0}}, {{1}}", kind, lambda a, b: a ^ b),
        Vector(f"not.{kind} {{d}}, {{0}}", kind, lambda a, b: a ^ ones),
    ]


def shifts(kind: str) -> list[Vector]:
    """Beyond the width they give 0, or the sign."""
    n, whole = bits(kind), kind[0] + kind[1:]
    made = [Vector(f"shr.{whole} {{d}}, {{0}}, {{1}}", kind, lambda a, k: a >> min(k, 70))]
    if kind[0] == "b":
        made.append(
            Vector(f"shl.{kind} {{d}}, {{0}}, {{1}}", kind,
                   lambda a, k: wrap(a << k, kind) if k < n else 0)
        )  # fmt: skip
    return made


def funnel(way: str, mode: str) -> Vector:
    def shifted(a: int, b: int, c: int) -> int:
        k, both = (c % 32 if mode == "wrap" else min(c, 32)), b << 32 | a
        return (both << k >> 32 if way == "l" else both >> k) & MASK

    return Vector(f"shf.{way}.{mode}.b32 {{d}}, {{0}}, {{1}}, {{2}}", "b32", shifted)


def lop3(table: int) -> Vector:
    def logic(a: int, b: int, c: int) -> int:
        which = [(a >> i & 1) << 2 | (b >> i & 1) << 1 | c >> i & 1 for i in range(32)]
        return sum((table >> w & 1) << i for i, w in enumerate(which))

    return Vector(f"lop3.b32 {{d}}, {{0}}, {{1}}, {{2}}, {table}", "b32", logic)


def prmt(mode: str) -> Vector:
    def permuted(a: int, b: int, c: int) -> int:
        source = (a | b << 32).to_bytes(8, "little")
        s = c & 3
        chosen = {
            "": [c >> (4 * k) & 7 for k in range(4)],
            ".f4e": [s + k for k in range(4)],
            ".b4e": [(s - k) % 8 for k in range(4)],
            ".rc8": [s] * 4,
            ".ecl": [max(s, k) for k in range(4)],
            ".ecr": [min(s, k) for k in range(4)],
            ".rc16": [2 * (s & 1), 2 * (s & 1) + 1] * 2,
        }[mode]
        made = [source[k] for k in chosen]
        if mode == "":
            signs = [c >> (4 * k + 3) & 1 for k in range(4)]
            made = [255 * (x >> 7) if sign else x for x, sign in zip(made, signs, strict=True)]
        return int.from_bytes(bytes(made), "little")

    return Vector(f"prmt.b32{mode} {{d}}, {{0}}, {{1}}, {{2}}", "b32", permuted)


def highest(a: int, kind: str) -> int:
    """The place of the highest bit that is not the sign, or -1."""
    return (~a if a < 0 else a).bit_length() - 1


def counting(kind: str) -> list[Vector]:
    n = bits(kind)
    if kind[0] == "b":
        return [
            Vector(f"popc.{kind} {{d}}, {{0}}", "u32", int.bit_count),
            Vector(f"clz.{kind} {{d}}, {{0}}", "u32", lambda a: n - a.bit_length()),
            Vector(f"brev.{kind} {{d}}, {{0}}", kind, lambda a: int(f"{a:0{n}b}"[::-1], 2)),
        ]

    def shift_amount(a: int) -> int:
        place = highest(a, kind)
        return MASK if place < 0 else n - 1 - place

    return [
        Vector(f"bfind.{kind} {{d}}, {{0}}", "u32", lambda a: highest(a, kind) & MASK),
        Vector(f"bfind.shiftamt.{kind} {{d}}, {{0}}", "u32", shift_amount),
    ]


def bfe(kind: str) -> Vector:
    n = bits(kind)

    def extracted(a: int, position: int, length: int) -> int:
        raw = a & ((1 << n) - 1)
        position, length = position & 255, length & 255
        sign = 0
        if kind[0] == "s" and length:
            sign = raw >> min(position + length - 1, n - 1) & 1
        out = 0
        for i in range(n):
            inside = i < length and position + i < n
            out |= (raw >> (position + i) & 1 if inside else sign) << i
        return wrap(out, kind)

    return Vector(f"bfe.{kind} {{d}}, {{0}}, {{1}}, {{2}}", kind, extracted)


def bfi(kind: str) -> Vector:
    n = bits(kind)

    def inserted(a: int, b: int, position: int, length: int) -> int:
        position, length = position & 255, length & 255
        for i in range(length):
            if position + i < n and i < n:
                b = b & ~(1 << (position + i)) | (a >> i & 1) << (position + i)
        return b

    return Vector(f"bfi.{kind} {{d}}, {{0}}, {{1}}, {{2}}, {{3}}", kind, inserted)


def extensions() -> list[Vector]:
    made = []
    for mode in ("clamp", "wrap"):

        def count(n: int, mode: str = mode) -> int:
            return n % 32 if mode == "wrap" else min(n, 32)

        def extend(a: int, n: int, signed: bool, count: Callable[[int], int] = count) -> int:
            width = count(n)
            low = a & ((1 << width) - 1)
            return low - (1 << width) if signed and width and low >> (width - 1) else low

        def mask(a: int, b: int, count: Callable[[int], int] = count) -> int:
            return ((1 << count(b)) - 1 << count(a)) & MASK

        made += [
            Vector(f"szext.{mode}.u32 {{d}}, {{0}}, {{1}}", "u32",
                   lambda a, n, f=extend: f(a, n, False)),
            Vector(f"szext.{mode}.s32 {{d}}, {{0}}, {{1}}", "s32",
                   lambda a, n, f=extend: f(a, n, True)),
            Vector(f"bmsk.{mode}.b32 {{d}}, {{0}}, {{1}}", "u32", mask),
        ]  # fmt: skip
    return made


def nth_set(mask: int, base: int, offset: int) -> int:
    """The manual's loop."""
    if offset == 0:
        return base if mask >> base & 1 else MASK
    places = range(base, 32) if offset > 0 else range(base, -1, -1)
    found = [at for at in places if mask >> at & 1]
    return found[abs(offset) - 1] if len(found) >= abs(offset) else MASK


def moves() -> list[Family]:
    made = []
    for kind in ("b16", "u16", "s16", "b32", "u32", "s32", "f32", "b64", "u64", "s64", "f64"):
        floats = [1.5, -0.0, 2.0**-149, math.inf, math.nan]
        values: list[Any] = floats if kind[0] == "f" else integers(kind)
        vector = Vector(f"mov.{kind} {{d}}, {{0}}", kind, lambda a: a)
        made.append(Family(f"mov.{kind}", [(kind, values)], [vector]))
    pairs = crossed(("b32", integers("b32")), ("b32", integers("b32")))
    halves = crossed(("b16", integers("b16")), ("b16", integers("b16")))
    made += [
        Family("mov.b64 of two", pairs, [
            Vector("mov.b64 {d}, {{{0}, {1}}}", "b64", lambda a, b: b << 32 | a)]),
        Family("mov.b64 to two", [("b64", integers("b64"))], [
            Vector("mov.b64 {{{d}, {t}}}, {0}", "b32", lambda a: a & MASK),
            Vector("mov.b64 {{{t}, {d}}}, {0}", "b32", lambda a: a >> 32),
            Vector("mov.b64 {{_, {d}}}, {0}", "b32", lambda a: a >> 32),
            Vector("mov.b64 {{%h1, %h2, {d}, %h4}}, {0}", "b16", lambda a: a >> 32 & 0xFFFF),
            Vector("mov.b64 {{%h1, %h2, _, {d}}}, {0}", "b16", lambda a: a >> 48)]),
        Family("mov.b32 of two", halves, [
            Vector("mov.b32 {d}, {{{0}, {1}}}", "b32", lambda a, b: b << 16 | a),
            Vector("mov.b64 {d}, {{{0}, {1}, {1}, {0}}}", "b64",
                   lambda a, b: a << 48 | b << 32 | b << 16 | a)]),
        Family("mov.b32 to two", [("b32", integers("b32"))], [
            Vector("mov.b32 {{{d}, {t}}}, {0}", "b16", lambda a: a & 0xFFFF),
            Vector("mov.b32 {{{t}, {d}}}, {0}", "b16", lambda a: a >> 16)]),
    ]  # fmt: skip
    return made


def predicates() -> Family:
    columns = crossed(("pred", [0, 1]), ("pred", [0, 1]))
    return Family("predicates", columns, [
        Vector("and.pred {d}, {0}, {1}", "pred", lambda a, b: a & b),
        Vector("or.pred {d}, {0}, {1}", "pred", lambda a, b: a | b),
        Vector("xor.pred {d}, {0}, {1}", "pred", lambda a, b: a ^ b),
        Vector("not.pred {d}, {0}", "pred", lambda a, b: 1 - a),
        Vector("mov.pred {d}, {0}", "pred", lambda a, b: a),
        Vector("mov.pred {d}, -1", "pred", lambda a, b: 1),
    ])  # fmt: skip


def families() -> list[Family]:
    made = [predicates(), *moves()]
    amounts = [0, 1, 5, 15, 16, 17, 31, 32, 33, 63, 64, 65, 255, 256, MASK]
    for kind in ("b16", "b32", "b64"):
        pairs = crossed((kind, integers(kind)), (kind, integers(kind)))
        made.append(Family(f"logic of {kind}", pairs, logic(kind)))
        zero = Vector(f"cnot.{kind} {{d}}, {{0}}", kind, lambda a: int(a == 0))
        made.append(Family(f"cnot.{kind}", [(kind, integers(kind))], [zero]))
    for kind in ("b16", "u16", "s16", "b32", "u32", "s32", "b64", "u64", "s64"):
        columns = crossed((kind, integers(kind)), ("u32", amounts))
        made.append(Family(f"shifts of {kind}", columns, shifts(kind)))
    word, few = ("b32", integers("b32")), ("b32", integers("b32", few=True))
    triples = crossed(few, few, word)
    made += [
        Family("funnel shifts", crossed(few, few, ("u32", amounts)),
               [funnel(way, mode) for way in "lr" for mode in ("wrap", "clamp")]),
        Family("lop3", triples, [lop3(n) for n in (0x96, 0xE8, 0xCA, 1, 0x80, 0xFF, 0xFE, 0x1B)]),
        Family("prmt", triples,
               [prmt(mode) for mode in ("", ".f4e", ".b4e", ".rc8", ".ecl", ".ecr", ".rc16")]),
        Family("extensions", crossed(("b32", integers("b32")), ("u32", amounts)), extensions()),
        Family("fns", crossed(few, ("u32", [0, 1, 7, 16, 30, 31]),
                              ("s32", [0, 1, -1, 2, -2, 5, -31, 31, 32, -32, 100, 2**31 - 1])),
               [Vector("fns.b32 {d}, {0}, {1}, {2}", "u32", nth_set)]),
    ]  # fmt: skip
    places = [0, 1, 8, 31, 32, 40, 63, 64, 200, 255, 256]
    for kind in ("b32", "b64", "u32", "s32", "u64", "s64"):
        made.append(Family(f"counting {kind}", [(kind, integers(kind))], counting(kind)))
        fields = (kind, integers(kind, few=kind[0] == "b"))
        both = ("u32", places), ("u32", places)
        if kind[0] == "b":
            other = (kind, integers(kind, few=True)[2:5])
            made.append(Family(f"bfi.{kind}", crossed(fields, other, *both), [bfi(kind)]))
        else:
            made.append(Family(f"bfe.{kind}", crossed(fields, *both), [bfe(kind)]))
    return made


FAMILIES = families()
