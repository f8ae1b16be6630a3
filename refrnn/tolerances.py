"""The one tolerance: how far a correct result may lie from the reference.

``|got - reference| <= 32 * eps(dtype) * max(1, T) * scale``, per array. T is the longest sequence;
``scale`` says how large the array is and how far a rounding error of one unit can move it, and is
measured on the very case at hand (:func:`refrnn.comparison.reference`). Where everything underflows
the smallest normal number takes the place of the scale's rounding error.
"""

from __future__ import annotations

import math
import sys
from typing import Any, NamedTuple

import numpy as np

from .validation import check_dtype, check_integer

__all__ = ["Deviation", "deviation", "tolerance"]

#: Rounding errors of one unit that a correct implementation may pile up in a step.
UNITS_PER_STEP = 32


class Deviation(NamedTuple):
    """How far one array lies from the reference.

    Attributes
    ----------
    name : str
        Which array: ``output``, ``h_n``, ``d_W_hh``, ...
    in_tolerances : float
        The worst error divided by the tolerance; above 1 is wrong. Inf where a number is not
        finite.
    normwise : float
        The worst error divided by the largest number of the reference.
    where : tuple of int
        Where the worst error is.
    got, expected : float
        The numbers there.
    tolerance : float
        What the formula allows.
    """

    name: str
    in_tolerances: float
    normwise: float
    where: tuple[int, ...]
    got: float
    expected: float
    tolerance: float

    @property
    def ok(self) -> bool:
        """Whether the array is within tolerance."""
        return self.in_tolerances <= 1.0

    def __str__(self) -> str:
        label = f"{self.name}[{', '.join(map(str, self.where))}]" if self.where else self.name
        return (
            f"{label} has value {self.got:.17g}, expected {self.expected:.17g} "
            f"(off by {self.in_tolerances:.3g} tolerances of {self.tolerance:.2g}; "
            f"normwise error {self.normwise:.1e})"
        )


def tolerance(dtype: Any, max_length: int, scale: float) -> float:
    """The largest error allowed in an array.

    Parameters
    ----------
    dtype : dtype
        What was computed in: float32, float64 or longdouble.
    max_length : int
        T, the longest sequence.
    scale : float
        Size and condition of the array, in its own unit; not negative.

    Returns
    -------
    float
        Finite and above 0.

    Raises
    ------
    TypeError
        If `dtype` is none that refrnn computes in, or `max_length` is no integer.
    ValueError
        If `max_length` is negative, or `scale` is negative, not finite, or so large that the
        tolerance is: it would accept anything.
    """
    info = np.finfo(check_dtype(dtype, "dtype", complex_allowed=False))
    steps = max(1, check_integer(max_length, "max_length", minimum=0))
    size = float(scale)
    # a float holds no longdouble's smallest number, and a tolerance of 0 would divide by 0
    floor = max(float(info.smallest_normal), sys.float_info.min)
    unit = float(info.eps) * size + floor
    allowed = UNITS_PER_STEP * steps * unit
    if not (size >= 0.0 and math.isfinite(allowed)):
        raise ValueError(f"scale has value {size}, expected one >= 0 with a finite tolerance")
    return allowed


def deviation(
    name: str,
    got: Any,
    reference: Any,
    *,
    scale: float,
    dtype: Any,
    max_length: int,
    allowance: float = 0.0,
) -> Deviation:
    """Compare one array with the reference by the one formula.

    Parameters
    ----------
    name : str
        What to call the array.
    got, reference : array_like of one shape
        Real floating-point numbers.
    scale, dtype, max_length
        As in :func:`tolerance`; `dtype` is what `got` was computed in.
    allowance : float
        Added to the tolerance: what formulas that differ from the reference's cost, where somebody
        has measured it (``refrnn.oracle.reference``). Not negative.

    Returns
    -------
    Deviation

    Raises
    ------
    TypeError
        If an array holds anything but real floating-point numbers.
    ValueError
        If the shapes differ, or the scale or the allowance is not a finite number: then no
        statement is possible.
    """
    got, reference = np.asarray(got), np.asarray(reference)
    for array in (got, reference):
        if array.dtype.kind != "f":
            raise TypeError(f"{name} has dtype {array.dtype}, expected real floating-point numbers")
    if got.shape != reference.shape:
        raise ValueError(f"{name} has shape {got.shape}, expected {reference.shape}")
    if not np.isfinite(scale):
        raise ValueError(f"{name} has scale {scale}, expected a finite number")
    if not 0 <= allowance < math.inf:
        raise ValueError(f"{name} has allowance {allowance}, expected a finite number >= 0")
    allowed = tolerance(dtype, max_length, scale) + allowance
    if got.size == 0:
        return Deviation(name, 0.0, 0.0, (), 0.0, 0.0, allowed)
    wide = np.result_type(got.dtype, reference.dtype)
    with np.errstate(all="ignore"):
        error = np.abs(got.astype(wide) - reference.astype(wide))
        # NaN and Inf are never right, not even where both have one
        error = np.where(np.isfinite(error), error, np.inf)
        index = np.unravel_index(int(error.argmax()), error.shape)
        worst, largest = float(error[index]), float(np.abs(reference).max())
    return Deviation(
        name,
        worst / allowed,
        worst / largest if 0 < largest < math.inf else worst,
        tuple(int(i) for i in index),
        float(got[index]),
        float(reference[index]),
        allowed,
    )
