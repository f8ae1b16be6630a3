"""Parameters of a cell cut into blocks, one a gate, and put together again."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from ...cells import GRU, LSTM, RNN
from ...parameters import CellParameters
from ...types import Array
from ...unroll.base import AnyCell
from .expressions import Blocks

__all__ = ["join", "sources", "split"]

_GATES: dict[type[AnyCell], tuple[str, ...]] = {
    RNN: ("",),
    LSTM: ("i", "f", "g", "o"),
    GRU: ("r", "z", "n"),
}


def sources(cell: AnyCell) -> frozenset[str]:
    """The arrays of a cell, its peepholes as one source p."""
    return frozenset("p" if _is_peephole(name) else name for name in cell.parameter_shapes())


def split(cell: AnyCell, parameters: Mapping[str, Array]) -> Blocks:
    """The blocks of checked parameters, as views.

    Where the gates are coupled, those of f are zeros: frameworks that can couple have a place for
    them.
    """
    blocks: Blocks = {}
    for name, array in parameters.items():
        gates = _gates(cell, name)
        if _is_peephole(name):
            blocks["p", gates[0]] = array
        else:
            pieces = np.split(array, len(gates))
            blocks.update({(name, gate): b for gate, b in zip(gates, pieces, strict=True)})
    if isinstance(cell, LSTM) and cell.coupled:
        absent = {
            (source, "f"): np.zeros_like(b) for (source, gate), b in blocks.items() if gate == "i"
        }
        blocks.update(absent)
    return blocks


def join(cell: AnyCell, blocks: Blocks) -> CellParameters:
    """Parameters of all blocks that the cell has; coupled gates have no f."""
    return CellParameters(
        {
            name: np.concatenate(
                [blocks["p" if _is_peephole(name) else name, gate] for gate in _gates(cell, name)]
            )
            for name in cell.parameter_shapes()
        }
    )


def _gates(cell: AnyCell, name: str) -> tuple[str, ...]:
    """The gates whose blocks stand in the parameter `name`, in order."""
    if name == "W_hr":
        return ("",)
    if _is_peephole(name):
        return (name.removeprefix("p_"),)
    coupled = isinstance(cell, LSTM) and cell.coupled
    return tuple(g for g in _GATES[type(cell)] if not (coupled and g == "f"))


def _is_peephole(name: str) -> bool:
    return name.startswith("p_")
