"""Every check of shapes, dtypes and lengths, and its wording.

One form of message everywhere: ``<argument> has <what it has>, expected <rule>``, with the index
of the offending element. ``TypeError`` for kinds (dtypes, types), ``ValueError`` for values and
shapes. Checks run once, at the public edge; what lies behind assumes valid input.
"""

from __future__ import annotations

import operator
from collections.abc import Sequence
from typing import Any, NoReturn

import numpy as np

from .types import Array, BoolArray, IntArray

__all__ = [
    "as_array",
    "check_array",
    "check_bool",
    "check_countable",
    "check_dtype",
    "check_finite",
    "check_integer",
    "check_lengths",
    "check_mask",
    "check_offsets",
    "check_padding_value",
    "check_positive_float",
    "check_sequence_numbers",
    "check_shape",
    "check_total",
    "convert",
]

_LARGEST = int(np.iinfo(np.int64).max)
_REAL = tuple(np.dtype(t) for t in (np.float32, np.float64, np.longdouble))
_FLOATS = "float32, float64 or longdouble"
_COMPLEX = tuple(np.dtype(t) for t in (np.complex64, np.complex128, np.clongdouble))


def check_dtype(dtype: Any, name: str, *, complex_allowed: bool = True) -> np.dtype[Any]:
    """Return `dtype` as a native-endian dtype that refrnn computes in.

    Raises
    ------
    TypeError
        If it is anything but float32, float64, longdouble (or their complex partners where
        `complex_allowed`), None included. float16 and bfloat16 are refused by name.
    """
    try:
        given: np.dtype[Any] | None = None if dtype is None else np.dtype(dtype)
    except TypeError:  # nothing that NumPy knows
        given = None
    if given is not None:
        native = given.newbyteorder("=")
        if native in _REAL or (complex_allowed and native in _COMPLEX):
            return native
    has = f"value {dtype!r}" if given is None else f"dtype {given}"
    raise TypeError(f"{name} has {has}, expected {_FLOATS}")


def check_array(
    value: Any, name: str, *, ndim: int | None, rule: str = "", complex_allowed: bool = True
) -> Array:
    """Return `value` as a native-endian floating-point array of rank `ndim`, copied only if needed.

    Raises
    ------
    TypeError
        If it holds objects or a NumPy mask, or its dtype is not one refrnn computes in.
    ValueError
        If its rank is not `ndim` (None: any rank will do), or its rows differ in length.
    """
    shape = f"shape {rule}" if rule else "any shape"
    array = as_array(value, name, f"{_FLOATS} of {shape}")
    dtype = check_dtype(array.dtype, name, complex_allowed=complex_allowed)
    if ndim is not None and array.ndim != ndim:
        raise ValueError(f"{name} has shape {array.shape}, expected {rule}")
    return array.astype(dtype, copy=False)


def convert(value: Any, dtype: np.dtype[Any], name: str, rule: str) -> Array:
    """Return numbers of any kind as an array of `dtype`; complex to real is refused.

    Raises
    ------
    TypeError
        If `value` holds anything but numbers, or complex ones where `dtype` is real.
    ValueError
        If its rows differ in length.
    """
    array = as_array(value, name, f"numbers of shape {rule}")
    if array.dtype.kind not in ("biufc" if dtype.kind == "c" else "biuf"):
        raise TypeError(f"{name} has dtype {array.dtype}, expected numbers that {dtype} can hold")
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
    array = _integer_vector(lengths, name, "integers of shape (B,)")
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


def check_total(lengths: IntArray, rows: int) -> None:
    """Raise ValueError unless checked lengths add up to `rows`, without overflow."""
    longest = int(lengths.max(initial=0))
    # a sum in int64 wraps around: 2^62 four times is 0
    exact = longest * lengths.size < 2**62
    total = int(lengths.sum()) if exact else sum(lengths.tolist())
    if total != rows:
        raise ValueError(f"lengths has sum {total}, expected the number of rows of values = {rows}")


def check_countable(lengths: IntArray) -> None:
    """Raise ValueError unless sums over checked lengths fit int64 with room to spare."""
    longest = int(lengths.max(initial=0))
    if longest * lengths.size >= 2**48:
        i = int(lengths.argmax())
        raise ValueError(f"lengths[{i}] has value {longest}, expected lengths that can be summed")


def check_sequence_numbers(order: Any, batch_size: int, name: str) -> IntArray:
    """Return `order` as a new int64 vector of sequence numbers, each in 0..B-1.

    Raises
    ------
    TypeError
        If the numbers are not integers.
    ValueError
        If the rank is not 1 or a number is out of range; the message has the index.
    """
    array = _integer_vector(order, name, "sequence numbers of shape (any,)")
    outside = np.flatnonzero((array < 0) | (array >= batch_size))
    if outside.size:
        i = int(outside[0])
        raise ValueError(
            f"{name}[{i}] has value {array[i]}, expected 0 <= number < B = {batch_size}"
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
    array = _integer_vector(offsets, name, "integers of shape (B+1,)")
    if array.size == 0:
        raise ValueError(
            f"{name} has shape (0,), expected integers of shape (B+1,), so at least [0]"
        )
    if array[0] != 0:
        raise ValueError(f"{name}[0] has value {array[0]}, expected 0")
    falling = np.flatnonzero(array[1:] < array[:-1])
    if falling.size:
        i = int(falling[0]) + 1
        raise ValueError(f"{name}[{i}] has value {array[i]}, expected at least {array[i - 1]}")
    if array[-1] != total:
        last = array.size - 1
        raise ValueError(
            f"{name}[{last}] has value {array[-1]}, expected the number of rows of values = {total}"
        )
    return array


def check_mask(mask: Any, *, rule: str, name: str = "mask") -> BoolArray:
    """Return `mask` as a bool array of rank 2; TypeError unless it is bool."""
    array = as_array(mask, name, f"bool of shape {rule}")
    if array.dtype != np.bool_:
        raise TypeError(f"{name} has dtype {array.dtype}, expected bool")
    if array.ndim != 2:
        raise ValueError(f"{name} has shape {array.shape}, expected {rule}")
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


def check_padding_value(value: Any, name: str = "padding_value") -> float:
    """Return a padding value as a float, NaN and Inf included; anything else is a TypeError."""
    if isinstance(value, (bool, np.bool_)) or not isinstance(
        value, (int, float, np.integer, np.floating)
    ):
        raise TypeError(f"{name} has type {type(value).__name__}, expected a number")
    return float(value)


def as_array(value: Any, name: str, rule: str) -> Array:
    """`value` as an ndarray that holds no objects, no mask, and is not ragged."""
    kind = type(value).__name__
    if isinstance(value, np.ndarray) and hasattr(value, "mask"):  # np.asarray would drop it
        raise TypeError(
            f"{name} has type {kind}, expected {rule} without a NumPy mask "
            "(RaggedBatch.from_mask takes values and mask)"
        )
    try:
        array: Array = np.asarray(value)
    except ValueError as error:
        if isinstance(value, (list, tuple)):  # NumPy's word for rows of different lengths
            raise ValueError(f"{name} has rows of different lengths, expected {rule}") from None
        raise TypeError(_unreadable(name, kind, rule, error)) from error
    except (TypeError, RuntimeError) as error:  # a tensor on a device, in bfloat16, with gradient
        raise TypeError(_unreadable(name, kind, rule, error)) from error
    if array.dtype == object:
        has = "dtype object" if array.ndim else f"type {kind}"
        raise TypeError(f"{name} has {has}, expected {rule}")
    return array


def _unreadable(name: str, kind: str, rule: str, error: Exception) -> str:
    return f"{name} has type {kind} that NumPy cannot read ({error}), expected {rule}"


def _integer_vector(value: Any, name: str, rule: str) -> IntArray:
    """`value` as a new int64 vector; an empty list counts as integers."""
    listed: Sequence[Any] = ()
    if isinstance(value, Sequence) and not isinstance(value, (str, bytes)):
        listed = value
        if not listed:
            return np.zeros(0, np.int64)
    odd = next((i for i, x in enumerate(listed) if not _fits_int64(x)), None)
    if odd is not None and isinstance(listed[odd], int) and not isinstance(listed[odd], bool):
        _refuse_element(listed[odd], f"{name}[{odd}]")  # beside which NumPy makes floats of all
    try:
        array = as_array(value, name, rule)
    except TypeError:  # objects; if they are in a list, one of them can be named
        if odd is None:
            raise
        _refuse_element(listed[odd], f"{name}[{odd}]")
    if array.dtype.kind not in "iu":
        where = "" if odd is None or array.ndim != 1 else f" ({name}[{odd}] is {listed[odd]!r})"
        raise TypeError(f"{name} has dtype {array.dtype}, expected integers{where}")
    if array.ndim != 1:
        raise ValueError(f"{name} has shape {array.shape}, expected {rule}")
    if odd is not None:  # True beside 2, which NumPy takes for 1
        _refuse_element(listed[odd], f"{name}[{odd}]")
    if array.dtype == np.uint64 and array.size and int(array.max()) > _LARGEST:
        i = int(array.argmax())
        _refuse_element(int(array[i]), f"{name}[{i}]")
    return array.astype(np.int64)


def _fits_int64(value: Any) -> bool:
    """Whether an element of a list is an integer, and not too large a one."""
    if isinstance(value, (bool, np.bool_)) or not hasattr(value, "__index__"):
        return False
    return not isinstance(value, int) or -_LARGEST <= value <= _LARGEST


def _refuse_element(value: Any, name: str) -> NoReturn:
    """Say what is wrong with an element that is no int64."""
    if isinstance(value, int) and not isinstance(value, bool):
        raise ValueError(f"{name} has value {value}, expected a number that fits int64")
    raise TypeError(f"{name} has type {type(value).__name__}, expected an integer")


def check_finite(value: Any, name: str) -> float:
    """Return `value` as a finite float; anything but a real number is a TypeError."""
    if isinstance(value, (bool, np.bool_)) or not isinstance(
        value, (int, float, np.integer, np.floating)
    ):
        raise TypeError(f"{name} has type {type(value).__name__}, expected a number")
    number = float(value)
    if not np.isfinite(number):
        raise ValueError(f"{name} has value {number}, expected a finite number")
    return number
