"""The accelerator for the CPU: every sequence is stepped exactly its own length.

``refrnn.forward(..., unroll="cython")`` finds :class:`CythonUnroll` by itself; what is peculiar to
it is given to its constructor.

* :mod:`.unroll`: the unroll
* :mod:`.lanes`: how sequences are laid on lanes, and lanes dealt to threads
* :mod:`.layout`: where the kernels keep the gates of a unit
* :mod:`.instruction_sets`: which compiled module of kernels is used

The kernels are C++ (``src/``), compiled once for every instruction set behind a thin layer of
Cython (``kernels.pxi``).
"""

from __future__ import annotations

from .unroll import CythonUnroll

__all__ = ["CythonUnroll"]
