"""The CUDA context in which work is done, its device and its memory.

There is no ``pycuda.autoinit`` here. A thread that has a context of PyCUDA's, whoever made it,
works in that one and keeps it; another works in the primary context of device 0, which other
libraries share, and has none again afterwards.
"""

from __future__ import annotations

import atexit
import functools
import os
import threading
from collections.abc import Callable, Hashable, Iterator
from contextlib import contextmanager, suppress
from typing import Any, NamedTuple

from refrnn.errors import DeviceError

__all__ = ["Device", "DeviceContext", "device_error", "driver", "first_device", "use_context"]

#: Blocks of the pool are no smaller: the size below is left to the block that is never handed out.
_LEAST_BYTES = 256


class Device(NamedTuple):
    """What a planner wants to know of a device.

    Attributes
    ----------
    name : str
    architecture : int
        86 for a compute capability of 8.6.
    multiprocessors : int
    shared_memory : int
        Bytes that one block may have at most, if its function asks for them.
    registers : int
        Of one multiprocessor.
    is_software : bool
        Whether it is :mod:`refrnn_accel.softcuda`.
    """

    name: str
    architecture: int
    multiprocessors: int
    shared_memory: int
    registers: int
    is_software: bool

    @classmethod
    def of(cls, device: Any) -> Device:
        """The facts about a ``pycuda.driver.Device``."""
        attribute, name = driver().device_attribute, device.name()
        major, minor = device.compute_capability()
        return cls(
            name,
            10 * major + minor,
            device.get_attribute(attribute.MULTIPROCESSOR_COUNT),
            device.get_attribute(attribute.MAX_SHARED_MEMORY_PER_BLOCK_OPTIN),
            device.get_attribute(attribute.MAX_REGISTERS_PER_MULTIPROCESSOR),
            name.startswith("softcuda"),
        )


class DeviceContext:
    """One context: its device, its memory, and what was made for it once.

    It is had from :func:`use_context`, one object for each context, and used while that context is
    the thread's current one.

    Attributes
    ----------
    device : Device
    """

    def __init__(self) -> None:
        from pycuda.tools import DeviceMemoryPool

        self.device = Device.of(driver().Context.get_device())
        self._pool = DeviceMemoryPool()
        self._made: dict[Hashable, Any] = {}
        self._lock = threading.RLock()
        self._hold()

    def allocate(self, nbytes: int) -> Any:
        """Memory on the device, from a pool: what is given back is used again.

        Parameters
        ----------
        nbytes : int
            May be 0.

        Returns
        -------
        pycuda.driver.PooledDeviceAllocation
            Goes back into the pool when it is collected, in whatever thread or context; the memory
            has no defined contents.

        Raises
        ------
        DeviceError
            If there is not so much left.
        """
        try:
            made = self._pool.allocate(max(nbytes, _LEAST_BYTES))
        except driver().Error as error:
            free, total = driver().mem_get_info()
            raise DeviceError(
                f"the device has no {nbytes} bytes left, {free} of {total} are free: {error}"
            ) from error
        finally:
            self._hold()
        return made

    def cached(self, key: Hashable, make: Callable[[], Any]) -> Any:
        """What `make` returned when this context was first asked for `key`.

        Parameters
        ----------
        key : hashable
        make : callable
            Its result lives as long as the context, or until ``pycuda.tools.clear_context_caches``.
            It must not refer to this object: then neither could be freed in time.

        Returns
        -------
        object
        """
        with self._lock:
            if key not in self._made:
                self._made[key] = make()
            return self._made[key]

    def synchronize(self) -> None:
        """Wait for all work in this context."""
        driver().Context.synchronize()

    def _hold(self) -> None:
        """See to it that the pool holds a block which nobody is given.

        PyCUDA's pool looks for a current context when it takes back a block and held none, and ends
        the process where there is none, which is so whenever an array is collected.
        """
        if self._pool.held_blocks == 0:
            with suppress(driver().Error):  # the device is full: allocate() says so
                self._pool.allocate(1)


@contextmanager
def use_context() -> Iterator[DeviceContext]:
    """Have a current context for a block of code: ``with use_context() as context: ...``.

    What PyCUDA makes in the block (streams, events, its own memory) is to be given up in the block
    too: PyCUDA cannot free it in a thread where its context is not current. What
    :meth:`DeviceContext.allocate` and :meth:`DeviceContext.cached` return may live on.

    Yields
    ------
    DeviceContext
        Of the thread's current context, which stays current; if it has none, of the primary context
        of device 0, current within the block only.

    Raises
    ------
    DeviceError
        If PyCUDA, a driver or a device is missing.
    """
    cuda = driver()
    if cuda.Context.get_current() is not None:
        yield _contexts()()
        return
    _primary.get().push()
    try:
        yield _contexts()()
    finally:
        cuda.Context.pop()


@functools.cache
def driver() -> Any:
    """The module ``pycuda.driver``, with the driver started and a device there.

    Raises
    ------
    DeviceError
        If one of them is missing; the message says what to do.
    """
    on_no_gpu = (
        "on a machine without a GPU run the program under `softcuda run`, or call "
        "refrnn_accel.softcuda.activate() before anything else"
    )
    try:
        import pycuda.driver as cuda
    except ModuleNotFoundError as error:
        raise DeviceError(
            f"PyCUDA is missing ({error}): install pycuda where there is a CUDA toolkit, or run "
            "`softcuda install-pycuda`, which needs none"
        ) from error
    except ImportError as error:
        raise DeviceError(f"PyCUDA cannot be loaded ({error}): {on_no_gpu}") from error
    try:
        cuda.init()
        count = cuda.Device.count()
    except cuda.Error as error:
        raise DeviceError(f"the CUDA driver does not start ({error}): {on_no_gpu}") from error
    if count == 0:
        raise DeviceError(f"the CUDA driver has no device: {on_no_gpu}")
    return cuda


def first_device() -> Device:
    """The device whose primary context is used by default; no context is made.

    Raises
    ------
    DeviceError
        If there is none.
    """
    return Device.of(driver().Device(0))


def device_error(error: Exception, launch: str) -> DeviceError:
    """What to raise where PyCUDA has raised: ``raise device_error(error, "...") from error``.

    Parameters
    ----------
    error : Exception
        A ``pycuda.driver.Error``, at a launch or at the next call that waited for it.
    launch : str
        What was launched, in words that tell one launch from others.

    Returns
    -------
    DeviceError
    """
    with suppress(DeviceError):
        if first_device().is_software:
            return DeviceError(f"{launch} failed: {error}; softcuda's report is on standard error")
    return DeviceError(
        f"{launch} failed: {error}; compute-sanitizer, or `softcuda run`, tells which access or "
        "instruction it was. After such an error the process cannot use the device any more"
    )


@functools.cache
def _contexts() -> Callable[[], DeviceContext]:
    """Get the record of the current context, made once for each.

    PyCUDA tells contexts apart, also where one lies at the address of one that has died, and
    forgets them at ``clear_context_caches``, which a program that destroys contexts calls.
    """
    from pycuda.tools import context_dependent_memoize

    def record() -> DeviceContext:
        return DeviceContext()

    memoized: Callable[[], DeviceContext] = context_dependent_memoize(record)
    return memoized


class _Primary:
    """The primary context of device 0, retained once and released when Python ends."""

    def __init__(self) -> None:
        self._context: Any = None
        self._process = os.getpid()
        self._lock = threading.Lock()

    def get(self) -> Any:
        """The context, which every thread may push; DeviceError in a fork of its process."""
        with self._lock:
            if self._context is None:
                self._context = driver().Device(0).retain_primary_context()
                self._process = os.getpid()
            if self._process != os.getpid():
                raise DeviceError(
                    f"CUDA was started in process {self._process}, and a fork of it cannot use it: "
                    "start processes with multiprocessing's method 'spawn'"
                )
            return self._context

    def release(self) -> None:
        """Before PyCUDA is taken down: it ends a process in which a context is still current."""
        if self._process != os.getpid() or not _contexts.cache_info().currsize:
            return
        from pycuda.tools import clear_context_caches

        if self._context is not None:
            self._context.push()  # PyCUDA destroys a context of another thread only where current
        clear_context_caches()
        if self._context is not None:
            self._context.detach()
            self._context = None


_primary = _Primary()
# As early as can be, so that what a program registers later may still use the device.
atexit.register(_primary.release)
