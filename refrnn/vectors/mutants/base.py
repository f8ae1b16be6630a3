"""What a mutant is, and what mutants are made of."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple

import numpy as np

from ...activations import Activation
from ...cells import GRU, LSTM, RNN
from ...comparison import Case, Results, run_case
from ...parameters import CellParameters
from ...ragged import RaggedBatch
from ...types import Array, IntArray
from ...unroll import Packed
from ...unroll.base import AnyCell

__all__ = [
    "Mutant",
    "Test",
    "WrongDerivative",
    "activation_slots",
    "both",
    "has",
    "is_coupled",
    "is_gru",
    "is_lstm",
    "is_plain_lstm",
    "is_single",
    "option",
    "overridden",
    "reindexed",
    "remade",
    "row_map",
    "run",
    "with_activation",
    "with_parameters",
    "with_state",
]

#: Whether a mutant can be run on a case; other cells do not have what it gets wrong.
Test = Callable[[Any], bool]


class Mutant(NamedTuple):
    """A wrong implementation.

    Attributes
    ----------
    name : str
    about : str
        What it does wrong.
    group : {"parameters", "equations", "ragged", "gradients", "stacks"}
    applies : callable
        Whether a case has what it gets wrong.
    run : callable
        From a case to named results, as :func:`refrnn.comparison.run_case`.
    """

    name: str
    about: str
    group: str
    applies: Test
    run: Callable[[Any], Results]


_RIGHT = Packed()


def run(case: Case) -> Results:
    """The right results, or those of whatever was put into the case."""
    return run_case(case, _RIGHT)


# --- which cases -------------------------------------------------------------------------------


def is_single(case: Any) -> bool:
    """A single cell, not a stack."""
    return isinstance(case, Case)


def is_lstm(case: Any) -> bool:
    """An LSTM of any kind."""
    return is_single(case) and isinstance(case.cell, LSTM)


def is_coupled(case: Any) -> bool:
    """An LSTM with one gate for input and forget."""
    return is_lstm(case) and case.cell.coupled


def is_plain_lstm(case: Any) -> bool:
    """An LSTM with a forget gate of its own."""
    return is_lstm(case) and not case.cell.coupled


def is_gru(case: Any) -> bool:
    """A GRU of either kind."""
    return is_single(case) and isinstance(case.cell, GRU)


def option(name: str) -> Test:
    """A single cell with this option set."""
    return lambda case: is_single(case) and bool(getattr(case.cell, name, None))


def has(name: str) -> Test:
    """A single cell with a parameter of this name."""
    return lambda case: is_single(case) and name in case.parameters


def both(*tests: Test) -> Test:
    """All of these hold."""
    return lambda case: all(test(case) for test in tests)


# --- other parameters --------------------------------------------------------------------------


def with_parameters(case: Case, changes: Mapping[str, Array]) -> Case:
    """The case with some parameters replaced."""
    return case._replace(parameters=CellParameters({**case.parameters, **changes}))


def reindexed(case: Case, index: Mapping[str, IntArray]) -> Results:
    """Read parameters in another order, and write their gradients in that order.

    ``index[name]``, of the parameter's shape, says for each place which number is read there.
    """
    changes = {name: case.parameters[name].ravel()[i] for name, i in index.items()}
    results = run(with_parameters(case, changes))
    for name, i in index.items():
        gradient = np.empty_like(results[f"d_{name}"])
        gradient.reshape(-1)[i.ravel()] = results[f"d_{name}"].ravel()
        results[f"d_{name}"] = gradient
    return results


def with_state(state: Any, convert: Callable[[Array], Array]) -> Any:
    """A state record converted part by part; None stays."""
    return None if state is None else type(state)._make([convert(part) for part in state])


# --- other cells -------------------------------------------------------------------------------


def remade(case: Case, **options: Any) -> Case:
    """The case with a cell of other options; parameters it does not have are left out."""
    cell = case.cell
    made = type(cell)(cell.input_size, cell.hidden_size, **{**cell.options(), **options})
    kept = {name: case.parameters[name] for name in made.parameter_shapes()}
    return case._replace(cell=made, parameters=CellParameters(kept))


def overridden(case: Case, **methods: Any) -> Case:
    """The case with some methods of its cell replaced."""
    kind = type(case.cell)
    cell: Any = object.__new__(type(kind.__name__, (kind,), methods))
    cell.__dict__.update(case.cell.__dict__)
    return case._replace(cell=cell)


def activation_slots(cell: AnyCell) -> tuple[str, ...]:
    """The options of a cell that are activations."""
    if isinstance(cell, RNN):
        return ("activation",)
    if isinstance(cell, GRU):
        return ("gate_activation", "candidate_activation")
    return ("gate_activation", "cell_activation", "output_activation")


def with_activation(case: Case, slot: str, f: Any) -> Case:
    """The case with one activation replaced, also by what only looks like one."""
    changed = overridden(case)
    changed.cell.__dict__[slot] = f
    return changed


class WrongDerivative:
    """An activation with another derivative."""

    def __init__(self, f: Activation, derivative: Callable[[Array, Array], Array]) -> None:
        self.name, self.alpha, self.beta = f.name, f.alpha, f.beta
        self.value, self.complement, self.derivative = f.value, f.complement, derivative


# --- rows --------------------------------------------------------------------------------------


def row_map(batch: RaggedBatch, order: Iterable[int], *, turned: bool = False) -> IntArray:
    """Rows of the batch, sequence after sequence in this order, each turned round if asked."""
    pieces = []
    for b in order:
        rows = np.arange(batch.offsets[b], batch.offsets[b + 1])
        pieces.append(rows[::-1] if turned else rows)
    return np.concatenate([np.zeros(0, np.int64), *pieces])
