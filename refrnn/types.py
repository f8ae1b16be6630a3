"""Type aliases shared by every room: what an array is to mypy."""

from __future__ import annotations

from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

__all__ = ["Array", "BoolArray", "IntArray"]

#: A floating-point (or, for the complex step, complex) array.
Array: TypeAlias = NDArray[Any]

#: Lengths, offsets and row numbers.
IntArray: TypeAlias = NDArray[np.int64]

#: Masks.
BoolArray: TypeAlias = NDArray[np.bool_]
