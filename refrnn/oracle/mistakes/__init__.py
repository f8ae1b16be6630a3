"""The classic mistakes, each as what the reference would give if it made it.

A mistake is tried by computing the problem with it and comparing: where a module disagrees with the
reference and agrees with a mistake to rounding, that is what it does. Mistakes of the whole
function come first, forward and backward in agreement; then those of the backward pass alone; then
those of one result.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from typing import NamedTuple

from ..evaluation import Setting
from ..network import Results
from ..semantics import WORDS, Semantics
from .backward import backward_only
from .base import evaluated
from .equations import equations
from .gates import gate_orders
from .states import states
from .time import times
from .weights import biases, matrices

__all__ = ["Mistake", "mistakes"]

# Forward and backward alike, then backward alone; the simplest first.
_KINDS = (gate_orders, biases, matrices, times, states, equations, backward_only)


class Mistake(NamedTuple):
    """One thing that goes wrong.

    Attributes
    ----------
    words : str
        Completes the sentence "with ... it agrees".
    results : callable
        Computes the results with the mistake in them.
    semantics : Semantics
        How those results are laid out.
    """

    words: str
    results: Callable[[], Results]
    semantics: Semantics


def mistakes(setting: Setting) -> Iterator[Mistake]:
    """Every mistake that can be made in a setting, the simplest first.

    Parameters
    ----------
    setting : Setting
        Of float64.
    """
    meant = setting.semantics
    for field_words in _SEMANTICS:
        field, answer = field_words
        if getattr(meant, field) != answer:
            other = meant._replace(**{field: answer})  # type: ignore[arg-type]
            results = evaluated(setting._replace(semantics=other))
            words = WORDS.get(field_words, _LAWFUL[field])
            yield Mistake(f"the rule that {words}", results, other)
    for words, compute in itertools.chain.from_iterable(kind(setting) for kind in _KINDS):
        yield Mistake(words, compute, meant)


_SEMANTICS = (
    ("empty", "identity"),
    ("empty", "zeros"),
    ("empty", "padding"),
    ("padded_output", "zero"),
    ("padded_output", "repeat"),
    ("padded_output", "state"),
    ("padded_output", "any"),  # last: it agrees with everything that is right elsewhere
)
_LAWFUL = {
    "empty": "the final state of a sequence of length 0 is its initial state",
    "padded_output": "outputs in the padding are zero",
}
