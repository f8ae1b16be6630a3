"""Another cell than the one that is meant."""

from __future__ import annotations

from typing import Any

import numpy as np

from ...cells import GRU, LSTM
from ...parameters import CellParameters
from ...unroll.base import AnyCell
from ..evaluation import Setting
from ..network import Network
from .base import Mistakes, evaluated, is_mixed, with_parameters

__all__ = ["equations"]


def equations(setting: Setting) -> Mistakes:
    """Another cell than the one that is meant."""
    if is_mixed(setting.network):
        return
    cell = setting.network.cells[0]
    options = cell.options()
    others: list[tuple[str, dict[str, Any]]] = []
    if isinstance(cell, GRU):
        where = "before" if cell.reset_after else "after"
        others.append(
            (f"the reset gate {where} the matrix product", {"reset_after": where == "after"})
        )
    for name in ("gate_clip", "cell_clip"):
        if options.get(name) is not None:
            others.append((f"{name} ignored", {name: None}))
    defaults = {n: v for n, v in type(cell)._DEFAULTS.items() if n.endswith("activation")}
    changed = {n: v for n, v in defaults.items() if options[n] != v}
    if changed:
        others.append(("activations ignored, the default ones used,", changed))
    gates = type(cell)._DEFAULTS.get("gate_activation")
    if gates is not None and options["gate_activation"] == gates:
        others.append(("hard sigmoid gates", {"gate_activation": "hardsigmoid"}))
    for words, option in others:
        yield words, evaluated(setting._replace(network=_other_options(setting.network, option)))
    if isinstance(cell, LSTM) and not cell.coupled and cell.biases:
        change = with_parameters(setting, _forget_plus_one, lambda gradient, cell: gradient)
        yield "1 added to the forget gate", change
    if isinstance(cell, GRU):
        yield "z and 1 - z in each other's place", with_parameters(setting, _flipped_z, _flipped_z)


def _flipped_z(parameters: CellParameters, cell: AnyCell) -> CellParameters:
    """The rows of z negated: then z is 1 - z."""
    H = cell.hidden_size
    sign = np.ones(3 * H)
    sign[H : 2 * H] = -1
    return CellParameters(
        {n: a * (sign[:, None] if a.ndim == 2 else sign) for n, a in parameters.items()}
    )


def _forget_plus_one(parameters: CellParameters, cell: AnyCell) -> CellParameters:
    """A forget bias that is added at run time."""
    H = cell.hidden_size
    b_ih = parameters["b_ih"].copy()
    b_ih[H : 2 * H] += 1
    return CellParameters({**parameters, "b_ih": b_ih})


def _other_options(network: Network, options: dict[str, Any]) -> Network:
    """The same network of cells with other options."""
    cells = [
        type(c)(c.input_size, c.hidden_size, **{**c.options(), **options}) for c in network.cells
    ]
    return Network(cells, network.reverse, network.merge)
