"""Memory that is used again: fresh memory costs a page fault for every page that is written."""

from __future__ import annotations

import math
import os
import queue
import threading
import weakref
from collections.abc import Mapping
from typing import Any

import numpy as np

from refrnn.types import Array

__all__ = ["Workspace"]

_LINE, _PAGE = 64, 4096  # bytes
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
        # What comes back waits here: leases may end anywhere, also where this thread has the lock.
        self._returned: queue.SimpleQueue[Array] = queue.SimpleQueue()
        _WORKSPACES.add(self)

    @property
    def kept_bytes(self) -> int:
        """Bytes that nobody has at the moment."""
        with self._lock:
            self._take_back()
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
        return self.empties({"": shape}, dtype)[""]

    def empties(self, shapes: Mapping[str, tuple[int, ...]], dtype: Any) -> dict[str, Array]:
        """Arrays whose contents are not defined, whose memory comes back at one time.

        Parameters
        ----------
        shapes : mapping of str to tuple of int
        dtype : dtype

        Returns
        -------
        dict of str to ndarray
            Each begins at the start of a cache line.
        """
        itemsize, offsets, nbytes = np.dtype(dtype).itemsize, [], 0
        for shape in shapes.values():
            offsets.append(nbytes)
            nbytes += -(-math.prod(shape) * itemsize // _LINE) * _LINE
        block = self._leased(nbytes)
        return {
            name: np.ndarray(shape, dtype, block, offset)
            for (name, shape), offset in zip(shapes.items(), offsets, strict=True)
        }

    def _leased(self, nbytes: int) -> Array:
        """Memory, as bytes."""
        if nbytes < _LEAST_BYTES:
            return _new_block(nbytes)
        return np.asarray(_Lease(self, self._taken(_block_size(nbytes))))

    def _taken(self, size: int) -> Array:
        """A block that was kept, the last one that came back, or a new one."""
        with self._lock:
            self._take_back()
            self._given += size
            self._most_given = max(self._most_given, self._given)
            for index in reversed(range(len(self._kept))):
                if self._kept[index].nbytes == size:
                    return self._kept.pop(index)
            self._drop()  # room for what was counted just now
        return _new_block(size)

    def _take_back(self) -> None:
        """What has come back, under the lock."""
        while not self._returned.empty():
            block = self._returned.get()
            self._given -= block.nbytes
            self._kept.append(block)

    def _drop(self) -> None:
        """The oldest that is kept, until there is no more than was given out at once."""
        total = self._given + sum(block.nbytes for block in self._kept)
        while self._kept and total > self._most_given:
            total -= self._kept.pop(0).nbytes


def _block_size(nbytes: int) -> int:
    """One of few sizes, at most a quarter more than what is wanted: batches differ a little."""
    step = max(_PAGE, 1 << (nbytes.bit_length() - 3))
    return -(-nbytes // step) * step


def _new_block(nbytes: int) -> Array:
    """Bytes from the start of a cache line on."""
    block = np.empty(nbytes + _LINE, np.uint8)
    first = -block.__array_interface__["data"][0] % _LINE
    return block[first : first + nbytes]


class _Lease:
    """What an array has its memory from; gives that back when the last such array is gone.

    To the workspace, if that is still there: arrays do not keep it.
    """

    __slots__ = ("_block", "_workspace")

    def __init__(self, workspace: Workspace, block: Array) -> None:
        self._workspace, self._block = weakref.ref(workspace), block

    @property
    def __array_interface__(self) -> dict[str, Any]:
        """The block, as bytes."""
        found: dict[str, Any] = self._block.__array_interface__
        return found

    def __del__(self) -> None:
        workspace = self._workspace()
        if workspace is not None:
            workspace._returned.put(self._block)


_WORKSPACES: weakref.WeakSet[Workspace] = weakref.WeakSet()


def _renew_locks() -> None:
    """A thread that had one may not be there any more, in a process that was forked."""
    for workspace in _WORKSPACES:
        workspace._lock = threading.Lock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_renew_locks)
