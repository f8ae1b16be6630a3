"""Which instruction set the kernels use: the widest that was compiled and that this machine has."""

from __future__ import annotations

import functools
import importlib
from types import ModuleType
from typing import NamedTuple

__all__ = ["NAMES", "InstructionSet", "available", "best", "load"]

#: Of the modules that may be there, the widest vectors first. :mod:`.build` says what
#: each is compiled for.
NAMES = ("avx512", "avx2", "baseline")


class InstructionSet(NamedTuple):
    """A compiled module of kernels.

    Attributes
    ----------
    name : str
        One of :data:`NAMES`; "baseline" is what every machine of the architecture has.
    kernels : module
        With ``forward`` and ``backward``.
    """

    name: str
    kernels: ModuleType


@functools.cache
def load(name: str) -> InstructionSet | str:
    """A module of kernels, or why it cannot be used here.

    Parameters
    ----------
    name : str
        One of :data:`NAMES`.

    Returns
    -------
    InstructionSet or str
    """
    try:
        baseline = importlib.import_module("._baseline", __package__)
        if not baseline.has_instructions(name):
            return f"this processor has no {name}"
        return InstructionSet(name, importlib.import_module(f"._{name}", __package__))
    except ImportError as error:
        return f"it was not compiled ({error})"


def available() -> tuple[str, ...]:
    """The names of all that can be used here, the widest vectors first."""
    return tuple(name for name in NAMES if isinstance(load(name), InstructionSet))


def best() -> InstructionSet | str:
    """The one with the widest vectors, or why there is none."""
    for name in NAMES:
        found = load(name)
        if isinstance(found, InstructionSet):
            return found
    return found
