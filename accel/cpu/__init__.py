"""The accelerator for the CPU: every sequence is stepped exactly its own length.

``refrnn.forward(..., unroll="cython")`` finds :class:`CythonUnroll` by itself; what is peculiar to
it is given to its constructor.

* :mod:`.unroll`: the unroll
* :mod:`.lanes`: how sequences are laid on lanes, and lanes dealt to threads
* :mod:`.layout`: where the kernels keep the gates of a unit
* :mod:`.workspace`: memory that is used again
* :mod:`.instruction_sets`: which compiled module of kernels is used
* :mod:`.build`: how these are compiled, which the installation needs too

The kernels are C++ (``src/``), compiled once for every instruction set behind a thin layer of
Cython (``kernels.pxi``).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .unroll import CythonUnroll
    from .workspace import Workspace

__all__ = ["CythonUnroll", "Workspace"]


def __getattr__(name: str) -> Any:
    """What is public, loaded when it is asked for: setup.py imports a module beside it."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from . import unroll, workspace

    return {"CythonUnroll": unroll.CythonUnroll, "Workspace": workspace.Workspace}[name]
