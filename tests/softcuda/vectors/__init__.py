"""Instructions with what they must give, from oracles that share nothing with softcuda.

A family is a set of statements on the same columns of operands, so that one kernel runs them all.
Each module has its own in ``FAMILIES``.
"""

from __future__ import annotations

from . import approximate, bits, compare, convert, floating, integer
from .family import Family

__all__ = ["FAMILIES", "covered"]

FAMILIES: list[Family] = [
    *integer.FAMILIES, *bits.FAMILIES, *compare.FAMILIES, *floating.FAMILIES, *convert.FAMILIES,
    *approximate.FAMILIES,
]  # fmt: skip


def covered() -> set[str]:
    """The opcodes with modifiers that some family has a vector of."""
    return {text for family in FAMILIES for v in family.vectors for text in v.strings()}
