"""Gates in another order."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from functools import partial

import numpy as np

from ...parameters import CellParameters
from ...types import IntArray
from ...unroll.base import AnyCell
from ..evaluation import Setting
from ..network import Network, Results
from .base import Mistakes, is_mixed, runs_of, with_parameters

__all__ = ["gate_orders", "orders", "permuted", "unpermuted"]

# What a gate's rows are called in words, in the order of refrnn.LSTM and GRU.
_NAMES = {
    ("lstm", 4): ("input", "forget", "cell", "output"),
    ("lstm", 3): ("input", "cell", "output"),
    ("gru", 3): ("reset", "update", "new"),
}


def gate_orders(setting: Setting) -> Mistakes:
    """Every other order of the gates."""
    for order, words in orders(setting.network):
        inverse = np.argsort(order)
        yield (
            words,
            with_parameters(setting, partial(permuted, order), partial(permuted, inverse)),
        )


def orders(network: Network) -> list[tuple[tuple[int, ...], str]]:
    """Every wrong order of the cells' gates with its words, exchanges of two first."""
    cell = network.cells[0]
    names = _NAMES.get((type(cell).__name__.lower(), cell.num_gates))
    if names is None or is_mixed(network):
        return []
    right = tuple(range(cell.num_gates))
    orders = []
    for order in itertools.permutations(right):
        moved = [gate for gate in right if order[gate] != gate]
        if len(moved) == 2:
            words = f"the {names[moved[0]]} and {names[moved[1]]} gate rows swapped"
            orders.append((2, order, words))
        elif moved:
            shown = ", ".join(names[gate] for gate in order)
            orders.append((len(moved), order, f"gate rows in the order {shown}"))
    return [(order, words) for _, order, words in sorted(orders, key=lambda o: o[0])]


def permuted(
    order: Sequence[int] | IntArray, parameters: CellParameters, cell: AnyCell
) -> CellParameters:
    """Parameters whose gate k is gate ``order[k]`` of these."""
    H = cell.hidden_size
    rows = np.concatenate([np.arange(gate * H, (gate + 1) * H) for gate in order])
    gated = ("W_ih", "W_hh", "b_ih", "b_hh")
    return CellParameters({n: a[rows] if n in gated else a for n, a in parameters.items()})


def unpermuted(setting: Setting, results: Results, order: Sequence[int]) -> Results:
    """Results with the rows of the weights' gradients where the weights' own rows stand."""
    inverse = np.argsort(order)
    cells = [cell for _, cell in runs_of(setting)]
    gradients = zip(results.d_parameters, cells, strict=True)
    return results._replace(d_parameters=tuple(permuted(inverse, g, c) for g, c in gradients))
