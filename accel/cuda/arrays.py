"""Arrays that lie on the device: those that others bring, without a copy, and our own."""

from __future__ import annotations

from typing import Any

import numpy as np

from refrnn.errors import DeviceError

from .context import DeviceContext, driver
from .modules import load_module

__all__ = ["DeviceArray", "as_device_array", "empty", "is_on_device"]

_LEAST_VERSION = 2


class DeviceArray:
    """A C-contiguous array on the device.

    Attributes
    ----------
    pointer : int
        Its address; 0 may stand for an array without elements.
    shape : tuple of int
    dtype : numpy.dtype
    owner : object
        What keeps the memory alive: an allocation, or the object that brought it.
    """

    __slots__ = ("dtype", "owner", "pointer", "shape")

    def __init__(
        self, pointer: int, shape: tuple[int, ...], dtype: np.dtype[Any], owner: object
    ) -> None:
        self.pointer, self.shape, self.dtype, self.owner = pointer, shape, dtype, owner

    @property
    def size(self) -> int:
        """Number of elements."""
        return int(np.prod(self.shape, dtype=np.int64))

    @property
    def nbytes(self) -> int:
        """Number of bytes."""
        return self.size * self.dtype.itemsize

    @property
    def __cuda_array_interface__(self) -> dict[str, Any]:
        return {
            "version": 3,
            "shape": self.shape,
            "typestr": self.dtype.str,
            "data": (self.pointer, False),
            "strides": None,
            "stream": None,
        }

    def get(self) -> np.ndarray[Any, np.dtype[Any]]:
        """The array on the host; waits for the work that was given before to the default stream."""
        array = np.empty(self.shape, self.dtype)
        if array.size:
            driver().memcpy_dtoh(array, self.pointer)
        return array


def empty(context: DeviceContext, shape: tuple[int, ...], dtype: Any) -> DeviceArray:
    """A new array of the context's pool, with no defined contents.

    Parameters
    ----------
    context : DeviceContext
        The current one.
    shape : tuple of int
    dtype : dtype

    Returns
    -------
    DeviceArray
    """
    dtype = np.dtype(dtype)
    allocation = context.allocate(int(np.prod(shape, dtype=np.int64)) * dtype.itemsize)
    return DeviceArray(int(allocation), shape, dtype, allocation)


def is_on_device(array: object) -> bool:
    """Whether an object says that it lies on a device."""
    return hasattr(array, "__cuda_array_interface__")


def as_device_array(context: DeviceContext, array: Any, *, name: str) -> DeviceArray:
    """What lies on the device already, as C-contiguous memory.

    Parameters
    ----------
    context : DeviceContext
        The current one.
    array : object with ``__cuda_array_interface__``
        Version 2 or 3. If it names a stream, all work in the context is waited for.
    name : str
        Of the argument, for messages.

    Returns
    -------
    DeviceArray
        The same memory where it is C-contiguous. Else a copy, made on the device: of one or two
        dimensions with elements of 4 or 8 bytes.

    Raises
    ------
    TypeError
        If it has no such interface, or a mask, or a byte order that is not the device's.
    ValueError
        If its version is too old, its stream is 0, its memory is not of this device or is smaller
        than it says, or its strides are those that cannot be copied.
    """
    if not is_on_device(array):
        kind = type(array).__name__
        raise TypeError(f"{name} has type {kind}, expected an object with __cuda_array_interface__")
    interface = array.__cuda_array_interface__
    _check_kind(interface, name)
    shape = tuple(int(n) for n in interface["shape"])
    dtype = np.dtype(interface["typestr"])
    strides = interface.get("strides") or _c_strides(shape, dtype.itemsize)
    if len(strides) != len(shape):
        raise ValueError(f"{name} has {len(strides)} strides, expected {len(shape)}")
    pointer = int(interface["data"][0] or 0)
    if interface.get("stream") is not None:
        context.synchronize()
    view = DeviceArray(pointer, shape, dtype, array)
    if view.size == 0:
        return view
    _check_memory(view, strides, name)
    contiguous = _c_strides(shape, dtype.itemsize)
    if all(n == 1 or s == c for n, s, c in zip(shape, strides, contiguous, strict=True)):
        return view
    return _copied(context, view, strides, name)


def _check_kind(interface: dict[str, Any], name: str) -> None:
    """Refuse what the interface can say and nobody can take."""
    if interface["version"] < _LEAST_VERSION:
        raise ValueError(
            f"{name} has version {interface['version']} of __cuda_array_interface__, "
            f"expected at least {_LEAST_VERSION}"
        )
    if interface.get("mask") is not None:
        raise TypeError(f"{name} has a mask, expected an array without one")
    if not np.dtype(interface["typestr"]).isnative:
        raise TypeError(f"{name} has typestr {interface['typestr']!r}, expected native byte order")
    if interface.get("stream") == 0:
        raise ValueError(f"{name} has stream 0, expected None or a stream (1 is the default one)")


def _check_memory(view: DeviceArray, strides: tuple[int, ...], name: str) -> None:
    """Refuse memory of another device, or less of it than the array says."""
    ends = [(n - 1) * s for n, s in zip(view.shape, strides, strict=True)]
    first = view.pointer + sum(min(0, end) for end in ends)
    last = view.pointer + sum(max(0, end) for end in ends) + view.dtype.itemsize
    cuda = driver()
    try:
        base, size = cuda.mem_get_address_range(view.pointer)
    except cuda.Error as error:
        where = cuda.Context.get_device().name()
        raise ValueError(
            f"{name} has data at {view.pointer:#x}, expected memory of the current device, {where}"
        ) from error
    if first < base or last > base + size:
        raise ValueError(
            f"{name} has elements from {first:#x} to {last:#x}, expected them within their "
            f"allocation, {base:#x} to {base + size:#x}"
        )
    steps = [s for n, s in zip(view.shape, strides, strict=True) if n > 1]
    if any(step % view.dtype.itemsize for step in (view.pointer, *steps)):
        raise ValueError(f"{name} has elements that are not aligned, expected aligned ones")


def _c_strides(shape: tuple[int, ...], itemsize: int) -> tuple[int, ...]:
    """The strides of a C-contiguous array."""
    strides = [itemsize]
    for n in reversed(shape[1:]):
        strides.append(strides[-1] * n)
    return tuple(reversed(strides))[-len(shape) :] if shape else ()


def _copied(
    context: DeviceContext, view: DeviceArray, strides: tuple[int, ...], name: str
) -> DeviceArray:
    """A contiguous copy of what is not contiguous."""
    itemsize = view.dtype.itemsize
    if len(view.shape) > 2 or itemsize not in (4, 8):
        raise ValueError(
            f"{name} has strides {strides} and typestr {view.dtype.str!r}, expected a C-contiguous "
            "array, or one of at most two dimensions with elements of 4 or 8 bytes"
        )
    rows, columns = (1, *view.shape)[-2:]
    row_stride, column_stride = (0, *strides)[-2:]
    made = empty(context, view.shape, view.dtype)
    kernel = load_module(context, "contiguous.cu").function(f"contiguous_{itemsize}")
    threads = 256
    blocks = min(-(-made.size // threads), 8 * context.device.multiprocessors)
    cuda = driver()
    arguments = (made.pointer, view.pointer, rows, columns, row_stride, column_stride)
    try:
        kernel(*map(np.int64, arguments), grid=(blocks, 1), block=(threads, 1, 1))
        context.synchronize()  # `view.owner` may be freed, or written to, as soon as this returns
    except cuda.Error as error:
        raise DeviceError(f"the copy of {name} on the device failed: {error}") from error
    return made
