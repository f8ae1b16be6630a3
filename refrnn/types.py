"""Type aliases shared by every room: what an array is to mypy.

Spelt out instead of imported from ``numpy.typing``, which takes milliseconds to load.
"""

from __future__ import annotations

from typing import Any, TypeAlias

import numpy as np

__all__ = ["Array", "BoolArray", "IntArray"]

#: A floating-point (or, for the complex step, complex) array.
Array: TypeAlias = np.ndarray[Any, np.dtype[Any]]

#: Lengths, offsets and row numbers.
IntArray: TypeAlias = np.ndarray[Any, np.dtype[np.int64]]

#: Masks.
BoolArray: TypeAlias = np.ndarray[Any, np.dtype[np.bool_]]
