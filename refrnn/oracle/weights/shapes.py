"""Names and shapes of arrays: held to those of a cell, and the sizes of a cell read from them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ...types import Array
from ...unroll.base import AnyCell
from ...validation import check_array, check_shape
from .expressions import Expression

__all__ = ["check_record", "named_arrays", "read_sizes", "sizes_of"]


def sizes_of(cell: AnyCell) -> dict[str, int]:
    """The numbers of a cell for the letters of shapes."""
    return {"I": cell.input_size, "H": cell.hidden_size, "R": cell.output_size}


def check_record(
    given: Any, shapes: Mapping[str, tuple[int, ...]], argument: str, owner: str
) -> dict[str, Array]:
    """Named arrays of exactly these names and shapes, all of one dtype."""
    if not isinstance(given, Mapping):
        has = type(given).__name__
        raise TypeError(f"{argument} has type {has}, expected a mapping of str to ndarray")
    if set(given) != set(shapes):
        names = sorted(map(str, given))
        raise ValueError(f"{argument} has names {names}, expected {sorted(shapes)} for {owner}")
    arrays: dict[str, Array] = {}
    for name, shape in shapes.items():
        arrays[name] = check_array(given[name], f"{argument}[{name!r}]", ndim=None)
        check_shape(arrays[name], f"{argument}[{name!r}]", shape, f"the shape {owner} needs")
    first = next(iter(arrays))
    for name, array in arrays.items():
        if array.dtype != arrays[first].dtype:
            raise TypeError(
                f"{argument}[{name!r}] has dtype {array.dtype}, expected that of {first!r} = "
                f"{arrays[first].dtype}"
            )
    return arrays


def named_arrays(weights: Any, written: Mapping[str, Expression], layout: str) -> dict[str, Array]:
    """The arrays that are there, each of a name and rank that the framework has."""
    if not isinstance(weights, Mapping):
        has = type(weights).__name__
        raise TypeError(f"weights has type {has}, expected a mapping of str to ndarray")
    arrays: dict[str, Array] = {}
    for name, value in weights.items():
        if name not in written:
            known = ", ".join(written)
            raise ValueError(f"weights has name {name!r}, expected {known} for {layout}")
        ndim = len(written[name].shape)
        arrays[name] = check_array(value, f"weights[{name!r}]", ndim=ndim, rule=f"{ndim} axes")
    return arrays


def read_sizes(
    arrays: Mapping[str, Array], written: Mapping[str, Expression], layout: str
) -> dict[str, int]:
    """I, H and R, solved from the shapes axis by axis: one with one unknown gives it."""
    axes = [
        (name, size, length)
        for name, array in arrays.items()
        for size, length in zip(written[name].shape, array.shape, strict=True)
    ]
    projected = any("W_hr" in written[name].sources for name in arrays)
    known: dict[str, int] = {"": 1}
    for name, size, length in axes * 3:  # at the latest, each round finds one more
        unknown = [symbol for symbol in size if symbol not in known]
        if len(unknown) != 1:
            continue
        (symbol,) = unknown
        rest = length - sum(count * known[s] for s, count in size.items() if s != symbol)
        if rest % size[symbol] or rest <= 0:
            raise ValueError(
                f"weights[{name!r}] has shape {arrays[name].shape}, expected "
                f"{size[symbol]} blocks of one size"
            )
        known[symbol] = rest // size[symbol]
        if symbol == "H" and not projected:
            known["R"] = known["H"]
    if not {"I", "H", "R"} <= set(known):
        has, expected = list(arrays), ", ".join(written)
        raise ValueError(f"weights has names {has}, expected {expected} for {layout}")
    return known
