"""A small language for where the weights of a cell stand in the arrays of another framework.

A cell's parameters are *blocks*: the rows of one gate in ``W_ih``, ``W_hh``, ``b_ih`` or
``b_hh``, one peephole, or ``W_hr``. An ``Expression`` writes a foreign array in blocks, in
NumPy's words: ``W_ih["i f g o"].T``, ``stack(b_ih["z r n"], b_hh["z r n"])``, ``b_ih["r"] +
b_hh["r"]``. It is read in both directions, and each reading is linear and has an adjoint:

===========  ============================  =======================================================
reading      with ``summed=True``          with ``summed=False``
===========  ============================  =======================================================
``gather``   the array of these blocks     adjoint of what stands below: the first of a sum alone
``scatter``  adjoint of what stands above  the blocks of this array: the first of a sum has it all
===========  ============================  =======================================================
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping

import numpy as np

from ...types import Array

__all__ = [
    "Blocks",
    "Expression",
    "Size",
    "W_hh",
    "W_hr",
    "W_ih",
    "b_hh",
    "b_ih",
    "concatenate",
    "hstack",
    "number",
    "p",
    "stack",
]

#: The blocks of a cell by source and gate: ("W_ih", "f"), ("p", "o"), ("W_hr", "").
Blocks = dict[tuple[str, str], Array]

#: One axis of a shape: how often it has each of the sizes I, H and R, and 1 under "".
Size = dict[str, int]

# Axes of one block. R is H where there is no projection.
_BLOCK_AXES: dict[str, tuple[str, ...]] = {
    "W_ih": ("H", "I"),
    "W_hh": ("H", "R"),
    "b_ih": ("H",),
    "b_hh": ("H",),
    "p": ("H",),
    "W_hr": ("R", "H"),
}


class Expression(ABC):
    """A foreign array, written in blocks of a cell."""

    @property
    @abstractmethod
    def sources(self) -> frozenset[str]:
        """The arrays of the cell that it is made of."""

    @property
    @abstractmethod
    def shape(self) -> tuple[Size, ...]:
        """Its shape, in sizes of the cell."""

    @abstractmethod
    def gather(self, blocks: Blocks, *, summed: bool) -> Array:
        """The foreign array of `blocks`, or (not `summed`) the adjoint of :meth:`scatter`."""

    @abstractmethod
    def scatter(
        self, array: Array, blocks: Blocks, sizes: Mapping[str, int], *, summed: bool
    ) -> None:
        """**Write** the blocks of a foreign array, or (`summed`) the adjoint of :meth:`gather`."""

    @property
    def T(self) -> Expression:
        """The transpose of a matrix."""
        return _Transposed(self)

    def __add__(self, other: Expression) -> Expression:
        """One foreign array for the sum of two."""
        return _Sum(self, other)


class _Gates(Expression):
    """Blocks of one source, one below another; ``-z`` is the block z with its sign changed."""

    def __init__(self, source: str, order: str = "") -> None:
        self._source = source
        self._order = order
        #: (gate, its sign); sources without gates have one block, of gate "".
        self._signed = [(word.lstrip("-"), -1 if "-" in word else 1) for word in order.split()]
        self._signed = self._signed or [("", 1)]

    def __getitem__(self, order: str) -> _Gates:
        """These gates, separated by blanks, in this order."""
        return _Gates(self._source, order)

    @property
    def sources(self) -> frozenset[str]:
        return frozenset([self._source])

    @property
    def shape(self) -> tuple[Size, ...]:
        first, *rest = _BLOCK_AXES[self._source]
        return ({first: len(self._signed)}, *({axis: 1} for axis in rest))

    def gather(self, blocks: Blocks, *, summed: bool) -> Array:
        ordered = [blocks[self._source, gate] for gate, _ in self._signed]
        signs = [sign for _, sign in self._signed]
        return np.concatenate([-b if s < 0 else b for b, s in zip(ordered, signs, strict=True)])

    def scatter(
        self, array: Array, blocks: Blocks, sizes: Mapping[str, int], *, summed: bool
    ) -> None:
        rows = np.split(array, len(self._signed))
        for (gate, sign), block in zip(self._signed, rows, strict=True):
            blocks[self._source, gate] = -block if sign < 0 else block

    def __str__(self) -> str:
        return f"{self._source}[{self._order}]" if self._order else self._source


class _Transposed(Expression):
    """The transpose of a matrix."""

    def __init__(self, matrix: Expression) -> None:
        self._matrix = matrix

    @property
    def sources(self) -> frozenset[str]:
        return self._matrix.sources

    @property
    def shape(self) -> tuple[Size, ...]:
        return self._matrix.shape[::-1]

    def gather(self, blocks: Blocks, *, summed: bool) -> Array:
        return self._matrix.gather(blocks, summed=summed).T

    def scatter(
        self, array: Array, blocks: Blocks, sizes: Mapping[str, int], *, summed: bool
    ) -> None:
        self._matrix.scatter(array.T, blocks, sizes, summed=summed)

    def __str__(self) -> str:
        return f"{self._matrix}.T"


class _Joined(Expression):
    """Arrays one after another along an axis."""

    def __init__(self, name: str, parts: tuple[Expression, ...], axis: int) -> None:
        self._name = name
        self._parts = parts
        self._axis = axis

    @property
    def sources(self) -> frozenset[str]:
        return frozenset().union(*(part.sources for part in self._parts))

    @property
    def shape(self) -> tuple[Size, ...]:
        axes = list(self._parts[0].shape)
        total: Size = {}
        for part in self._parts:
            for size, count in part.shape[self._axis].items():
                total[size] = total.get(size, 0) + count
        axes[self._axis] = total
        return tuple(axes)

    def gather(self, blocks: Blocks, *, summed: bool) -> Array:
        parts = [part.gather(blocks, summed=summed) for part in self._parts]
        return np.concatenate(parts, axis=self._axis)

    def scatter(
        self, array: Array, blocks: Blocks, sizes: Mapping[str, int], *, summed: bool
    ) -> None:
        widths = [number(part.shape[self._axis], sizes) for part in self._parts]
        pieces = np.split(array, np.cumsum(widths)[:-1], axis=self._axis)
        for part, piece in zip(self._parts, pieces, strict=True):
            part.scatter(piece, blocks, sizes, summed=summed)

    def __str__(self) -> str:
        return f"{self._name}({', '.join(map(str, self._parts))})"


class _Stacked(Expression):
    """Arrays of one shape along a new first axis."""

    def __init__(self, parts: tuple[Expression, ...]) -> None:
        self._parts = parts

    @property
    def sources(self) -> frozenset[str]:
        return frozenset().union(*(part.sources for part in self._parts))

    @property
    def shape(self) -> tuple[Size, ...]:
        return ({"": len(self._parts)}, *self._parts[0].shape)

    def gather(self, blocks: Blocks, *, summed: bool) -> Array:
        return np.stack([part.gather(blocks, summed=summed) for part in self._parts])

    def scatter(
        self, array: Array, blocks: Blocks, sizes: Mapping[str, int], *, summed: bool
    ) -> None:
        for part, piece in zip(self._parts, array, strict=True):
            part.scatter(piece, blocks, sizes, summed=summed)

    def __str__(self) -> str:
        return f"stack({', '.join(map(str, self._parts))})"


class _Sum(Expression):
    """Two arrays of which the framework has the sum only. Read back, the first has all of it."""

    def __init__(self, first: Expression, second: Expression) -> None:
        self._first = first
        self._second = second

    @property
    def sources(self) -> frozenset[str]:
        return self._first.sources | self._second.sources

    @property
    def shape(self) -> tuple[Size, ...]:
        return self._first.shape

    def gather(self, blocks: Blocks, *, summed: bool) -> Array:
        first = self._first.gather(blocks, summed=summed)
        return first + self._second.gather(blocks, summed=summed) if summed else first

    def scatter(
        self, array: Array, blocks: Blocks, sizes: Mapping[str, int], *, summed: bool
    ) -> None:
        self._first.scatter(array, blocks, sizes, summed=summed)
        second = array if summed else np.zeros_like(array)
        self._second.scatter(second, blocks, sizes, summed=summed)

    def __str__(self) -> str:
        return f"{self._first} + {self._second}"


def number(size: Size, sizes: Mapping[str, int]) -> int:
    """One axis of a shape, in numbers."""
    return sum(count * (sizes[name] if name else 1) for name, count in size.items())


def concatenate(*parts: Expression) -> Expression:
    """Arrays one below another."""
    return _Joined("concatenate", parts, 0)


def hstack(*parts: Expression) -> Expression:
    """Matrices side by side."""
    return _Joined("hstack", parts, 1)


def stack(*parts: Expression) -> Expression:
    """Arrays along a new first axis."""
    return _Stacked(parts)


W_ih = _Gates("W_ih")
W_hh = _Gates("W_hh")
b_ih = _Gates("b_ih")
b_hh = _Gates("b_hh")
W_hr = _Gates("W_hr")

#: The peepholes p_i, p_f, p_o as blocks i, f, o.
p = _Gates("p")
