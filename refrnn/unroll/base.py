"""What every unroll takes and gives: the protocol, the result records, the tape."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, NamedTuple, Protocol

import numpy as np

from ..cells import Cell
from ..parameters import CellParameters
from ..ragged import RaggedBatch
from ..types import Array

__all__ = [
    "AnyCell",
    "Gradients",
    "NumpyUnroll",
    "Plan",
    "Run",
    "State",
    "Tape",
    "Unroll",
    "add_gradients",
]

#: A cell whatever its state and tape records are.
AnyCell = Cell[Any, Any]

#: A cell's state record: a NamedTuple of arrays, each (B, size).
State = Any


class Plan(NamedTuple):
    """What an unroll chose to do; ``run.plan``.

    Attributes
    ----------
    unroll : str
        Name of the unroll.
    sequential_steps : int
        Steps that had to wait for one another.
    real_steps : int
        N, the sum of the lengths.
    computed_steps : int
        Row steps computed, padding included.
    choices : mapping of str to object
        What the unroll decided by itself: lanes, boundaries, ...
    """

    unroll: str
    sequential_steps: int
    real_steps: int
    computed_steps: int
    choices: Mapping[str, Any]

    @property
    def padded_steps(self) -> int:
        """Row steps computed for nothing."""
        return self.computed_steps - self.real_steps


class Tape(NamedTuple):
    """What :func:`refrnn.backward` needs of a forward run; treat it as opaque.

    The arrays belong to the tape: nothing the caller can change later is kept.

    Attributes
    ----------
    unroll : Unroll
        Which unroll made it, and will walk it back.
    cell : Cell
    parameters : CellParameters
    lengths : RaggedBatch's read-only lengths, int64 (B,)
    reverse : bool
    dtype : dtype
    saved : object
        The unroll's own record.
    """

    unroll: Unroll
    cell: AnyCell
    parameters: CellParameters
    lengths: Any
    reverse: bool
    dtype: np.dtype[Any]
    saved: Any


class Run(NamedTuple):
    """Result of :func:`refrnn.forward`.

    Attributes
    ----------
    output : RaggedBatch
        h of every real step, R features, in the row order of the input.
    state_n : NamedTuple of ndarrays (B, size)
        The state after each sequence's last step; the initial state where the length is 0.
    tape : Tape
        For :func:`refrnn.backward`.
    plan : Plan
    """

    output: RaggedBatch
    state_n: State
    tape: Tape
    plan: Plan


class Gradients(NamedTuple):
    """Result of :func:`refrnn.backward`.

    Attributes
    ----------
    parameters : CellParameters
        Of every parameter, summed over all rows, under the parameter's name.
    input : RaggedBatch
        Of every input row.
    state_0 : NamedTuple of ndarrays (B, size)
        Of the initial state.
    """

    parameters: CellParameters
    input: RaggedBatch
    state_0: State


class Unroll(Protocol):
    """How ragged time is walked. Arguments come validated; results go back unchanged.

    To add one, write a class with these members and hand an object of it to
    :func:`refrnn.forward`, or register the class under the entry-point group ``refrnn.unrolls``. A
    class that needs something beside Python, a device say, may have a static method
    ``unavailable()`` that returns why it cannot run on this machine, or None.
    """

    @property
    def name(self) -> str:
        """What ``unroll=`` calls it."""
        ...

    def supports(self, cell: AnyCell, dtype: np.dtype[Any], *, reverse: bool = False) -> str | None:
        """None if the case can be run, else the reason why it cannot."""
        ...

    def forward(
        self,
        cell: AnyCell,
        parameters: CellParameters,
        batch: RaggedBatch,
        state_0: State,
        reverse: bool,
    ) -> Run:
        """Step every sequence; `state_0` is a full record, never None."""
        ...

    def backward(self, tape: Tape, d_output: Array, d_state_n: State) -> Gradients:
        """Walk a tape of this unroll back; the cotangents are full arrays, never None."""
        ...


class NumpyUnroll:
    """What the unrolls of this package share: they run every cell, dtype and direction."""

    name: ClassVar[str]

    def supports(self, cell: AnyCell, dtype: np.dtype[Any], *, reverse: bool = False) -> str | None:
        """Everything is supported."""
        return None

    def __repr__(self) -> str:
        public = {name: value for name, value in vars(self).items() if not name.startswith("_")}
        shown = ", ".join(f"{name}={value!r}" for name, value in public.items())
        return f"{type(self).__name__}({shown})"


def add_gradients(total: dict[str, Array], more: Mapping[str, Array]) -> None:
    """Add parameter gradients to a running total, **in place**."""
    for name, gradient in more.items():
        total[name] += gradient


def zero_gradients(cell: AnyCell, dtype: np.dtype[Any]) -> dict[str, Array]:
    """A running total of parameter gradients that nothing was added to yet."""
    return {name: np.zeros(shape, dtype) for name, shape in cell.parameter_shapes().items()}


def gather(state: State, index: Any) -> State:
    """Rows `index` of every array of a state record: copies for an index array."""
    return type(state)._make([array[index] for array in state])
