"""Comparisons and selections."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import Any

from .family import Family, Vector, crossed, integers
from .formats import FORMATS, numbers

ORDERED: dict[str, Callable[[Any, Any], bool]] = {
    "eq": lambda a, b: a == b, "ne": lambda a, b: a != b, "lt": lambda a, b: a < b,
    "le": lambda a, b: a <= b, "gt": lambda a, b: a > b, "ge": lambda a, b: a >= b,
}  # fmt: skip
UNSIGNED = {"lo": "lt", "ls": "le", "hi": "gt", "hs": "ge"}
COMBINED: dict[str, Callable[[bool, bool], bool]] = {
    "and": lambda p, q: p and q, "or": lambda p, q: p or q, "xor": lambda p, q: p != q
}  # fmt: skip


def comparisons(kind: str) -> Iterator[tuple[str, Callable[[Any, Any], bool]]]:
    """Those of a type: its name in PTX, and what it is."""
    if kind[0] == "f":
        for name, function in ORDERED.items():

            def ordered(a: float, b: float, f: Any = function) -> bool:
                return not math.isnan(a) and not math.isnan(b) and f(a, b)

            def unordered(a: float, b: float, f: Any = function) -> bool:
                return math.isnan(a) or math.isnan(b) or f(a, b)

            yield f"{name}", ordered
            yield f"{name}u", unordered
        yield "num", lambda a, b: not (math.isnan(a) or math.isnan(b))
        yield "nan", lambda a, b: math.isnan(a) or math.isnan(b)
        return
    names = [name for name in ORDERED if kind[0] != "b" or name in ("eq", "ne")]
    for name in names:
        yield name, ORDERED[name]
    if kind[0] == "u":
        for name, ordered_name in UNSIGNED.items():
            yield name, ORDERED[ordered_name]


def flushing(kind: str, function: Callable[..., Any]) -> Callable[..., Any]:
    flush = FORMATS[kind].flushed
    return lambda a, b, *p: function(flush(a), flush(b), *p)


def vectors(kind: str) -> Iterator[Vector]:
    """Setp and set: alone, combined with a predicate, and the other result of setp."""
    for ftz in ("", ".ftz") if kind == "f32" else ("",):
        for name, holds in comparisons(kind):
            compare = flushing(kind, holds) if ftz else holds
            operands = "{0}, {1}"
            yield Vector(f"setp.{name}{ftz}.{kind} {{d}}, {operands}", "pred",
                         lambda a, b, p, f=compare: int(f(a, b)))  # fmt: skip
            yield Vector(f"setp.{name}{ftz}.{kind} {{q}}|{{d}}, {operands}", "pred",
                         lambda a, b, p, f=compare: int(not f(a, b)))  # fmt: skip
            for result, yes, no in (("u32", 2**32 - 1, 0), ("s32", -1, 0), ("f32", 1.0, 0.0)):
                yield Vector(
                    f"set.{name}{ftz}.{result}.{kind} {{d}}, {operands}", result,
                    lambda a, b, p, f=compare, y=yes, n=no: y if f(a, b) else n,
                )  # fmt: skip
            for word, combine in COMBINED.items():
                for sign in ("", "!"):
                    text = f"{operands}, {sign}{{2}}"

                    def both(a: Any, b: Any, p: int, opposite: bool = False, c: Any = combine,
                             f: Any = compare, s: str = sign) -> int:  # fmt: skip
                        return int(c(f(a, b) != opposite, p != (s == "!")))

                    yield Vector(f"setp.{name}.{word}{ftz}.{kind} {{d}}, {text}", "pred", both)
                    if word == "xor":
                        continue  # the opposites are, too
                    yield Vector(f"setp.{name}.{word}{ftz}.{kind} {{q}}|{{d}}, {text}", "pred",
                                 lambda a, b, p, f=both: f(a, b, p, True))  # fmt: skip
                yield Vector(
                    f"set.{name}.{word}{ftz}.u32.{kind} {{d}}, {operands}, {{2}}", "u32",
                    lambda a, b, p, c=combine, f=compare: 2**32 - 1 if c(f(a, b), bool(p)) else 0,
                )  # fmt: skip


def values(kind: str) -> list[Any]:
    return numbers(kind, few=True) if kind[0] == "f" else integers(kind, few=True)


def select_families() -> Iterator[Family]:
    for kind in ("b16", "u16", "s16", "b32", "u32", "s32", "f32", "b64", "u64", "s64", "f64"):
        two = ("f64", [1.5, -0.0]) if kind == "f64" else (kind, values(kind)[1:3])
        both = [(kind, v) for v in (two[1], [two[1][0]])]
        yield Family(f"selp.{kind}", crossed(*both, ("pred", [0, 1])), [
            Vector(f"selp.{kind} {{d}}, {{0}}, {{1}}, {{2}}", kind,
                   lambda a, b, p: a if p else b),
            Vector(f"selp.{kind} {{d}}, {{0}}, {{1}}, !{{2}}", kind,
                   lambda a, b, p: b if p else a),
        ])  # fmt: skip
        yield Family(f"slct.{kind}.s32", crossed(*both, ("s32", integers("s32"))), [
            Vector(f"slct.{kind}.s32 {{d}}, {{0}}, {{1}}, {{2}}", kind,
                   lambda a, b, c: a if c >= 0 else b)])  # fmt: skip
        yield Family(f"slct.{kind}.f32", crossed(*both, ("f32", numbers("f32"))), [
            Vector(f"slct.{kind}.f32 {{d}}, {{0}}, {{1}}, {{2}}", kind,
                   lambda a, b, c: a if c >= 0 else b),
            Vector(f"slct.ftz.{kind}.f32 {{d}}, {{0}}, {{1}}, {{2}}", kind,
                   lambda a, b, c: a if FORMATS["f32"].flushed(c) >= 0 else b)])  # fmt: skip


def families() -> list[Family]:
    made = list(select_families())
    for kind in ("b16", "u16", "s16", "b32", "u32", "s32", "b64", "u64", "s64", "f32", "f64"):
        columns = crossed((kind, values(kind)), (kind, values(kind)), ("pred", [0, 1]))
        made.append(Family(f"comparisons of {kind}", columns, list(vectors(kind))))
    return made


FAMILIES = families()
