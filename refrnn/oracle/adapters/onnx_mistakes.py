"""What runtimes of ONNX ignore, as mistakes that the oracle can try."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from ...cells import LSTM
from ...parameters import CellParameters
from ...types import Array
from ...unroll import Packed
from ...unroll.base import AnyCell
from ..evaluation import Setting, evaluate, stretched
from ..mistakes import Mistake
from ..network import Network, Results

__all__ = ["ignored"]


def ignored(setting: Setting, uncoupled: tuple[CellParameters, ...] | None) -> Iterator[Mistake]:
    """Every set of ignored options that the mistakes known to all subjects do not have.

    Parameters
    ----------
    setting : Setting
        Of one layer.
    uncoupled : tuple of CellParameters or None
        The weights with the forget rows that ``input_forget`` leaves unused, if it is set.
    """
    cell = setting.network.cells[0]
    options = cell.options()
    kinds: dict[str, dict[str, Any]] = {}
    if options["gate_clip"] is not None:
        kinds["gate_clip"] = {"gate_clip": None}
    if uncoupled is not None:
        kinds["input_forget"] = {"coupled": False}
    defaults = {n: v for n, v in type(cell)._DEFAULTS.items() if n.endswith("activation")}
    changed = {n: v for n, v in defaults.items() if options[n] != v}
    if changed:
        kinds["activations"] = changed
    padded = (False,) if setting.problem.mask.all() else (False, True)
    for number, lengths in itertools.product(range(len(kinds) + 1), padded):
        for names in itertools.combinations(kinds, number):
            if names == ("input_forget",) or number + lengths > 1:
                other = {key: v for name in names for key, v in kinds[name].items()}
                weights = uncoupled if "input_forget" in names else None
                yield _mistake(setting, names, other, weights, lengths)


def _mistake(
    setting: Setting,
    names: Sequence[str],
    options: Mapping[str, Any],
    weights: tuple[CellParameters, ...] | None,
    lengths: bool,
) -> Mistake:
    """Some options ignored, and lengths too."""
    said = {
        "gate_clip": "gate_clip ignored",
        "input_forget": "input_forget ignored, the forget gate not coupled",
        "activations": "activations ignored, the default ones used",
    }
    words = ["lengths ignored, padding stepped like data"] * lengths + [said[n] for n in names]
    (cell,) = setting.network.cells
    other = type(cell)(cell.input_size, cell.hidden_size, **{**cell.options(), **options})
    changed = setting._replace(network=Network([other], setting.network.reverse))
    if weights is not None:
        changed = changed._replace(parameters=tuple(p.astype(np.float64) for p in weights))

    def results() -> Results:
        everywhere = np.ones_like(setting.problem.mask)
        found = stretched(changed, everywhere, Packed()) if lengths else evaluate(changed, Packed())
        return found if weights is None else _without_forget(found, other)

    return Mistake(f"{' and '.join(words)},", results, setting.semantics)


def _without_forget(results: Results, cell: AnyCell) -> Results:
    """Gradients without the rows of the forget gate."""
    assert isinstance(cell, LSTM)
    H = cell.hidden_size

    def cut(name: str, array: Array) -> Array:
        gated = name in ("W_ih", "W_hh", "b_ih", "b_hh")
        return np.concatenate([array[:H], array[2 * H :]]) if gated else array

    return results._replace(
        d_parameters=tuple(
            CellParameters({n: cut(n, a) for n, a in g.items() if n != "p_f"})
            for g in results.d_parameters
        )
    )
