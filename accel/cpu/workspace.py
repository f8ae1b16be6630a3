"""Memory that is used again: fresh memory costs a page fault for every page that is written."""

from __future__ import annotations

import math
import threading
from typing import Any

import numpy as np

from refrnn.types import Array

__all__ = ["Workspace"]

_PAGE = 4096
# Smaller arrays come from where they always come from.
_LEAST_BYTES = 1 << 16


class Workspace:
    """Gives arrays out, and takes their memory back when nobody has them any more.

    It never holds more, what is given out counted, than was given out at once; the oldest goes
    first. Threads may share it.

    Examples
    --------
    >>> import numpy as np
    >>> from refrnn_accel.cpu.workspace import Workspace
    >>> workspace = Workspace()
    >>> array = workspace.empty((1000, 100), np.float32)
    >>> workspace.kept_bytes
    0
    >>> del array
    >>> workspace.kept_bytes >= 400_000
    True
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._kept: list[Array] = []
        self._given = self._most_given = 0  # bytes

    @property
    def kept_bytes(self) -> int:
        """Bytes that nobody has at the moment."""
        with self._lock:
            return sum(block.nbytes for block in self._kept)

    def empty(self, shape: tuple[int, ...], dtype: Any) -> Array:
        """An array whose contents are not defined, as of :func:`numpy.empty`.

        Parameters
        ----------
        shape : tuple of int
        dtype : dtype

        Returns
        -------
        ndarray
        """
        nbytes = math.prod(shape) * np.dtype(dtype).itemsize
        if nbytes < _LEAST_BYTES:
            return np.empty(shape, dtype)
        lease = _Lease(self, self._taken(_block_size(nbytes)))
        made: Array = np.asarray(lease)[:nbytes].view(dtype).reshape(shape)
        return made

    def copy(self, array: Array) -> Array:
        """A C-contiguous copy of an array."""
        made = self.empty(array.shape, array.dtype)
        made[...] = array
        return made

    def _taken(self, size: int) -> Array:
        """A block that was kept, the last one that came back, or a new one."""
        with self._lock:
            self._given += size
            self._most_given = max(self._most_given, self._given)
            for index in reversed(range(len(self._kept))):
                if self._kept[index].nbytes == size:
                    return self._kept.pop(index)
            self._drop()
        return np.empty(size, np.uint8)

    def _take_back(self, block: Array) -> None:
        with self._lock:
            self._given -= block.nbytes
            self._kept.append(block)
            self._drop()

    def _drop(self) -> None:
        """The oldest that is kept, until there is no more than was given out at once."""
        total = self._given + sum(block.nbytes for block in self._kept)
        while self._kept and total > self._most_given:
            total -= self._kept.pop(0).nbytes


def _block_size(nbytes: int) -> int:
    """One of few sizes, at most a quarter more than what is wanted: batches differ a little."""
    step = max(_PAGE, 1 << (nbytes.bit_length() - 3))
    return -(-nbytes // step) * step


class _Lease:
    """What an array has its memory from; gives that back when the last such array is gone."""

    __slots__ = ("_block", "_workspace")

    def __init__(self, workspace: Workspace, block: Array) -> None:
        self._workspace, self._block = workspace, block

    @property
    def __array_interface__(self) -> dict[str, Any]:
        """The block, as bytes."""
        found: dict[str, Any] = self._block.__array_interface__
        return found

    def __del__(self) -> None:
        self._workspace._take_back(self._block)
