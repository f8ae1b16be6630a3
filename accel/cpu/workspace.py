"""What a call needs and the next call uses again: memory and threads.

Fresh memory costs a page fault for every page that is written, and a thread takes longer to start
than to wake.
"""

from __future__ import annotations

import contextlib
import math
import threading
from collections.abc import Iterator, Mapping
from types import ModuleType
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
    first. It also has the threads that help a call, which sleep between calls and end with it.
    Threads may share it: calls at the same time have helpers of their own.

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
        self._crews: dict[ModuleType, list[Any]] = {}

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

    @contextlib.contextmanager
    def crew(self, kernels: ModuleType) -> Iterator[Any]:
        """Helpers for one call of a module of kernels.

        Parameters
        ----------
        kernels : module

        Yields
        ------
        Crew
        """
        with self._lock:
            idle = self._crews.setdefault(kernels, [])
            crew = idle.pop() if idle else kernels.Crew()
        try:
            yield crew
        finally:
            with self._lock:
                idle.append(crew)

    def _taken(self, size: int) -> Array:
        """A block that was kept, the last one that came back, or a new one."""
        with self._lock:
            self._given += size
            self._most_given = max(self._most_given, self._given)
            for index in reversed(range(len(self._kept))):
                if self._kept[index].nbytes == size:
                    return self._kept.pop(index)
            self._drop()
        return _new_block(size)

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


def _new_block(nbytes: int) -> Array:
    """Bytes from the start of a cache line on."""
    block = np.empty(nbytes + _LINE, np.uint8)
    first = -block.__array_interface__["data"][0] % _LINE
    return block[first : first + nbytes]


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
