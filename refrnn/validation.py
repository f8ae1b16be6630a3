"""Every check of shapes, dtypes and lengths, and its wording.

One form of message everywhere: ``<argument> has <what it has>, expected <rule>``, with the index
of the offending element. ``TypeError`` for kinds (dtypes, types), ``ValueError`` for values and
shapes. Checks run once, at the public edge; what lies behind assumes valid input.
"""

from __future__ import annotations

import operator
from collections.abc import Sequence
from typing import Any

import numpy as np

from .types import Array, BoolArray, IntArray

__all__ = [
    "check_array",
    "check_bool",
    "check_dtype",
    "check_integer",
    "check_lengths",
    "check_mask",
    "check_offsets",
    "check_padding_value",
    "check_positive_float",
    "check_shape",
]

_REAL = tuple(np.dtype(t) for t in (np.float32, np.float64, np.longdouble))
_COMPLEX = tuple(np.dtype(t) for t in (np.complex64, np.complex128, np.clongdouble))


def check_dtype(dtype: Any, name: str, *, complex_allowed: bool = True) -> np.dtype[Any]:
    """Return `dtype` as a native-endian dtype that refrnn computes in.

    Raises
    ------
    TypeError
        If it is anything but float32, float64, longdouble (or their complex partners where
        `complex_allowed`). float16 and bfloat16 are refused by name.
    """
    resolved: np.dtype[Any] = np.dtype(dtype).newbyteorder("=")
    if resolved in _REAL or (complex_allowed and resolved in _COMPLEX):
        return resolved
    raise TypeError(f"{name} has dtype {np.dtype(dtype)}, expected float32, float64 or longdouble")


def check_array(
    value: Any, name: str, *, ndim: int, rule: str, complex_allowed: bool = True
) -> Array:
    """Return `value` as a native-endian floating-point array of rank `ndim`, copied only if needed.

    Raises
    ------
    TypeError
        If it is an object or ragged array, or its dtype is not one refrnn computes in.
    ValueError
        If its rank is not `ndim`.
    """
    array = _as_array(value, name, rule)
    dtype = check_dtype(array.dtype, name, complex_allowed=complex_allowed)
    if array.ndim != ndim:
        raise ValueError(f"{name} has shape {array.shape}, expected {rule}")
    return array.astype(dtype, copy=False)


def check_shape(array: Array, name: str, shape: tuple[int, ...], rule: str) -> None:
    """Raise ValueError unless `array` has exactly `shape`."""
    if array.shape != shape:
        raise ValueError(f"{name} has shape {array.shape}, expected {rule} = {shape}")


def check_lengths(lengths: Any, *, name: str = "lengths", maximum: int | None = None) -> IntArray:
    """Return `lengths` as a new int64 array of shape (B,).

    Parameters
    ----------
    lengths : array_like of int, shape (B,)
        Any integer dtype. An empty list is an empty batch.
    name : str
        What to call it in a message.
    maximum : int, optional
        The longest length allowed (T of a padded array).

    Raises
    ------
    TypeError
        If the lengths are bool, float or objects.
    ValueError
        If the rank is not 1, or a length is negative or larger than `maximum`.
    """
    array = _integer_vector(lengths, name, "lengths of shape (B,)")
    negative = np.flatnonzero(array < 0)
    if negative.size:
        i = int(negative[0])
        raise ValueError(f"{name}[{i}] has value {array[i]}, expected a length >= 0")
    if maximum is not None:
        long = np.flatnonzero(array > maximum)
        if long.size:
            i = int(long[0])
            raise ValueError(
                f"{name}[{i}] has value {array[i]}, expected a length <= T = {maximum}"
            )
    return array


def check_offsets(offsets: Any, total: int, *, name: str = "offsets") -> IntArray:
    """Return `offsets` as a new int64 array (B+1,) that starts at 0, never falls, ends at `total`.

    Raises
    ------
    TypeError
        If the offsets are not integers.
    ValueError
        If a rule above is broken; the message has the index.
    """
    array = _integer_vector(offsets, name, "offsets of shape (B+1,)")
    if array.size == 0:
        raise ValueError(
            f"{name} has shape (0,), expected offsets of shape (B+1,), so at least [0]"
        )
    if array[0] != 0:
        raise ValueError(f"{name}[0] has value {array[0]}, expected 0")
    falling = np.flatnonzero(np.diff(array) < 0)
    if falling.size:
        i = int(falling[0]) + 1
        raise ValueError(f"{name}[{i}] has value {array[i]}, expected at least {array[i - 1]}")
    if array[-1] != total:
        last = array.size - 1
        raise ValueError(
            f"{name}[{last}] has value {array[-1]}, expected the number of rows of values = {total}"
        )
    return array


def check_mask(mask: Any, shape: tuple[int, int], *, name: str = "mask") -> BoolArray:
    """Return `mask` as a bool array of exactly `shape`; TypeError unless it is bool."""
    array = _as_array(mask, name, "a bool array")
    if array.dtype != np.bool_:
        raise TypeError(f"{name} has dtype {array.dtype}, expected bool")
    check_shape(array, name, shape, "the first two axes of values")
    return array


def check_integer(value: Any, name: str, *, minimum: int) -> int:
    """Return `value` as an int of at least `minimum`; bool and float are TypeErrors."""
    if isinstance(value, (bool, np.bool_)):
        raise TypeError(f"{name} has type bool, expected an integer >= {minimum}")
    try:
        number = operator.index(value)
    except TypeError:
        raise TypeError(
            f"{name} has type {type(value).__name__}, expected an integer >= {minimum}"
        ) from None
    if number < minimum:
        raise ValueError(f"{name} has value {number}, expected an integer >= {minimum}")
    return number


def check_positive_float(value: Any, name: str) -> float:
    """Return `value` as a finite float > 0; anything but a real number is a TypeError."""
    if isinstance(value, (bool, np.bool_)) or not isinstance(
        value, (int, float, np.integer, np.floating)
    ):
        raise TypeError(f"{name} has type {type(value).__name__}, expected a number > 0")
    number = float(value)
    if not 0.0 < number < float("inf"):
        raise ValueError(f"{name} has value {number}, expected a finite number > 0")
    return number


def check_bool(value: Any, name: str) -> bool:
    """Return `value` as a bool; a TypeError for anything else, 0 and 1 included."""
    if not isinstance(value, (bool, np.bool_)):
        raise TypeError(f"{name} has type {type(value).__name__}, expected a bool")
    return bool(value)


def _as_array(value: Any, name: str, rule: str) -> Array:
    """`value` as an ndarray that is neither of objects nor ragged."""
    try:
        array = np.asarray(value)
    except ValueError:  # NumPy's word for nested sequences of different lengths
        raise ValueError(f"{name} has rows of different lengths, expected {rule}") from None
    if array.dtype == object:
        raise TypeError(f"{name} has dtype object, expected {rule}")
    return array


def _integer_vector(value: Any, name: str, rule: str) -> IntArray:
    """`value` as a new int64 vector; an empty list counts as integers."""
    array = _as_array(value, name, rule)
    if array.size == 0 and array.ndim == 1 and isinstance(value, Sequence):
        return np.zeros(0, np.int64)
    if array.dtype.kind not in "iu":
        raise TypeError(f"{name} has dtype {array.dtype}, expected integers")
    if array.ndim != 1:
        raise ValueError(f"{name} has shape {array.shape}, expected {rule}")
    if array.dtype == np.uint64 and array.size and int(array.max()) > np.iinfo(np.int64).max:
        i = int(array.argmax())
        raise ValueError(f"{name}[{i}] has value {array[i]}, expected a number that fits int64")
    return array.astype(np.int64)


def check_padding_value(value: Any) -> float:
    """Return a padding value as a float, NaN and Inf included; anything else is a TypeError."""
    if isinstance(value, (bool, np.bool_)) or not isinstance(
        value, (int, float, np.integer, np.floating)
    ):
        raise TypeError(f"padding_value has type {type(value).__name__}, expected a number")
    return float(value)
