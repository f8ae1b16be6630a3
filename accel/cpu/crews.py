"""Threads that help calls, and sleep between them: one takes longer to start than to wake.

They belong to the process, not to an unroll: there are as many as calls at the same time needed.
"""

from __future__ import annotations

import contextlib
from collections import defaultdict
from collections.abc import Iterator
from types import ModuleType
from typing import Any

__all__ = ["crew"]

# By module of kernels. Lists are changed by single operations, for which no lock is needed.
_IDLE: defaultdict[ModuleType, list[Any]] = defaultdict(list)


@contextlib.contextmanager
def crew(kernels: ModuleType) -> Iterator[Any]:
    """Helpers for one call of a module of kernels.

    Parameters
    ----------
    kernels : module

    Yields
    ------
    Crew
    """
    idle = _IDLE[kernels]
    try:
        found = idle.pop()
    except IndexError:
        found = kernels.Crew()
    try:
        yield found
    finally:
        idle.append(found)
