"""Biases twice or not at all, matrices transposed."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

import numpy as np

from ...parameters import CellParameters
from ...unroll.base import AnyCell
from ..evaluation import Setting
from ..network import Results
from .base import Mistakes, runs_of, with_parameters

__all__ = ["biases", "matrices", "transposed"]


def biases(setting: Setting) -> Mistakes:
    """A bias that is added twice, or not at all."""
    names = [name for name in ("b_ih", "b_hh") if name in setting.parameters[0]]
    for name in names:
        yield f"{name} added twice", _scaled(setting, (name,), 2.0)
        yield f"{name} left out", _scaled(setting, (name,), 0.0)
    if len(names) == 2:
        yield "both biases left out", _scaled(setting, names, 0.0)
        yield "both biases added twice", _scaled(setting, names, 2.0)
        yield (
            "b_ih and b_hh in each other's place",
            with_parameters(setting, _exchanged, _exchanged),
        )


def matrices(setting: Setting) -> Mistakes:
    """A matrix whose blocks are transposed, where they are square."""
    for name in ("W_hh", "W_ih"):
        blocks = [p[name].shape[0] // c.num_gates == p[name].shape[1] for p, c in runs_of(setting)]
        if all(blocks):
            change = partial(transposed, name)
            yield f"{name} transposed", with_parameters(setting, change, change)


def _scaled(setting: Setting, names: Sequence[str], factor: float) -> Callable[[], Results]:
    """Some parameters times a factor."""

    def scaled(parameters: CellParameters, cell: AnyCell) -> CellParameters:
        return CellParameters({n: factor * a if n in names else a for n, a in parameters.items()})

    return with_parameters(setting, scaled, scaled)


def _exchanged(parameters: CellParameters, cell: AnyCell) -> CellParameters:
    """The two biases in each other's place."""
    both = {"b_ih": parameters["b_hh"], "b_hh": parameters["b_ih"]}
    return CellParameters({**parameters, **both})


def transposed(name: str, parameters: CellParameters, cell: AnyCell) -> CellParameters:
    """One matrix with the block of every gate transposed."""
    blocks = np.split(parameters[name], cell.num_gates)
    return CellParameters({**parameters, name: np.concatenate([b.T for b in blocks])})
