"""What the mistakes share: how they are computed, and how a change of weights is undone."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from ...parameters import CellParameters
from ...unroll import Packed, Tape
from ...unroll.base import AnyCell
from ..evaluation import Setting, evaluate
from ..network import Network, Results

__all__ = ["UNROLL", "Change", "Mistakes", "evaluated", "is_mixed", "runs_of", "with_parameters"]

#: What mistakes are computed with: a mistake need not be the definition.
UNROLL = Packed()

#: A change of the parameters of one cell.
Change = Callable[[CellParameters, AnyCell], CellParameters]

#: Words and the computation that they belong to.
Mistakes = Iterator[tuple[str, Callable[[], Results]]]


def evaluated(
    setting: Setting, tapes: Callable[[Sequence[Tape]], Sequence[Tape]] | None = None
) -> Callable[[], Results]:
    """A computation for later."""
    return lambda: evaluate(setting, UNROLL, tapes)


def runs_of(setting: Setting) -> list[tuple[CellParameters, AnyCell]]:
    """Parameters and cell of every run."""
    network = setting.network
    return [(p, network.cell(run)) for run, p in enumerate(setting.parameters)]


def is_mixed(network: Network) -> bool:
    """Whether the layers have cells of different types."""
    return len({type(cell) for cell in network.cells}) > 1


def with_parameters(setting: Setting, change: Change, pull: Change) -> Callable[[], Results]:
    """The setting with changed parameters, and the gradient of the parameters as they were.

    `pull` is the adjoint of `change`.
    """

    def compute() -> Results:
        runs = runs_of(setting)
        changed = tuple(change(p, c) for p, c in runs)
        results = evaluate(setting._replace(parameters=changed), UNROLL)
        gradients = zip(results.d_parameters, runs, strict=True)
        return results._replace(d_parameters=tuple(pull(g, c) for g, (_, c) in gradients))

    return compute
