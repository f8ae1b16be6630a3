"""Whose context work is done in, device memory, arrays that others bring, and how it all ends."""

from __future__ import annotations

import gc
import subprocess
import sys
import textwrap
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from refrnn_accel.cuda import arrays, context
from refrnn_accel.cuda.context import DeviceContext, use_context

from refrnn.errors import DeviceError


@pytest.fixture
def here() -> Iterator[DeviceContext]:
    with use_context() as found:
        yield found


class Foreign:
    """What another library's array says of itself."""

    def __init__(self, owner: Any, **changed: Any) -> None:
        self.owner = owner
        self.__cuda_array_interface__ = {
            "version": 3, "shape": owner.shape, "typestr": owner.dtype.str,
            "data": (owner.pointer, False), "strides": None, **changed,
        }  # fmt: skip


def uploaded(here: DeviceContext, array: np.ndarray[Any, Any]) -> arrays.DeviceArray:
    made = arrays.empty(here, array.shape, array.dtype)
    context.driver().memcpy_htod(made.pointer, array)
    return made


# --- contexts ---


def test_a_thread_without_a_context_has_none_afterwards() -> None:
    current = context.driver().Context.get_current
    assert current() is None
    with use_context() as outer:
        assert current() is not None
        with use_context() as inner:
            assert inner is outer
        assert current() is not None
    assert current() is None
    with pytest.raises(ZeroDivisionError), use_context():
        _ = 1 / 0
    assert current() is None


def test_a_context_of_ones_own_is_used_and_left_alone() -> None:
    with use_context() as primary:
        pass
    cuda = context.driver()
    own = cuda.Device(0).make_context()
    try:
        with use_context() as found:
            assert found is not primary
            assert cuda.Context.get_current() == own
        assert cuda.Context.get_current() == own
    finally:
        own.pop()
        own.detach()


def test_a_context_at_the_address_of_a_dead_one_is_another() -> None:
    made = []
    for _ in range(3):
        own = context.driver().Device(0).make_context()
        with use_context() as found:
            made.append(found.cached("key", object))
        own.pop()
        own.detach()
    assert len({id(one) for one in made}) == 3


def test_threads_share_the_primary_context_and_what_was_made_for_it() -> None:
    found = []

    def work() -> None:
        with use_context() as mine:
            kept = arrays.empty(mine, (100,), "f8")
            found.append((mine, mine.cached("shared by threads", object), kept))

    threads = [threading.Thread(target=work) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len({id(mine) for mine, _, _ in found}) == 1
    assert len({id(made) for _, made, _ in found}) == 1


def test_a_planner_is_told_what_the_device_has(here: DeviceContext) -> None:
    device = here.device
    cuda = context.driver()
    assert device == context.first_device()
    assert device.name == cuda.Device(0).name()
    assert device.architecture >= 75
    assert device.multiprocessors > 0
    assert device.registers >= 65536
    assert device.shared_memory > 48 * 1024
    assert device.is_software == ("softcuda" in device.name)


# --- memory ---


def test_memory_is_given_back_where_no_context_is_current() -> None:
    """PyCUDA's pool alone ends the process there, the first time."""
    with use_context() as here:
        kept = [here.allocate(n) for n in (0, 1, 1000, 70_000)]
        addresses = {int(one) for one in kept}
    assert len(addresses) == 4
    kept.clear()
    gc.collect()
    with use_context() as here:
        again = {int(here.allocate(1000)) for _ in range(3)}
    assert again & addresses


def test_a_full_device_is_an_error_that_says_how_full(here: DeviceContext) -> None:
    with pytest.raises(DeviceError, match=rf"no {1 << 50} bytes left, \d+ of \d+ are free"):
        here.allocate(1 << 50)
    kept = here.allocate(1000)
    del kept  # the pool has given up all that it held, and must still take this back


# --- arrays ---


def test_contiguous_arrays_are_not_copied(here: DeviceContext) -> None:
    numbers = np.arange(12.0).reshape(3, 4)
    mine = uploaded(here, numbers)
    for one in (mine, Foreign(mine), Foreign(mine, strides=(32, 8)), Foreign(mine, stream=1)):
        taken = arrays.as_device_array(here, one, name="values")
        assert (taken.pointer, taken.shape, taken.dtype) == (mine.pointer, (3, 4), np.dtype("f8"))
        np.testing.assert_array_equal(taken.get(), numbers)
    row = Foreign(mine, shape=(1, 4), strides=(999, 8))
    assert arrays.as_device_array(here, row, name="values").pointer == mine.pointer


@pytest.mark.parametrize("dtype", ["f4", "f8", "i8"])
@pytest.mark.parametrize(
    "view",
    [
        lambda a: a.T,
        lambda a: a[::-1],
        lambda a: a[1::2, ::-3],
        lambda a: a[:, 3],
        lambda a: np.broadcast_to(a[0], (5, a.shape[1])),
    ],
    ids=["transposed", "reversed", "sliced", "column", "broadcast"],
)
def test_views_are_copied_on_the_device(
    here: DeviceContext, dtype: str, view: Callable[[Any], Any]
) -> None:
    numbers = np.arange(700).reshape(70, 10).astype(dtype)
    mine, seen = uploaded(here, numbers), view(numbers)
    offset = seen.ctypes.data - numbers.ctypes.data
    foreign = Foreign(
        mine, shape=seen.shape, strides=seen.strides, data=(mine.pointer + offset, True)
    )
    taken = arrays.as_device_array(here, foreign, name="values")
    assert taken.pointer != mine.pointer + offset
    np.testing.assert_array_equal(taken.get(), seen)


@pytest.mark.parametrize("shape", [(0,), (0, 4), (4, 0)])
def test_an_empty_array_needs_no_memory(here: DeviceContext, shape: tuple[int, ...]) -> None:
    mine = arrays.empty(here, (1,), "f4")
    foreign = Foreign(mine, shape=shape, data=(0, False))
    assert arrays.as_device_array(here, foreign, name="values").get().shape == shape


def test_a_stream_that_is_named_is_waited_for(
    here: DeviceContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    waits: list[bool] = []
    monkeypatch.setattr(DeviceContext, "synchronize", lambda _self: waits.append(True))
    mine = arrays.empty(here, (4,), "f4")
    arrays.as_device_array(here, Foreign(mine, stream=None), name="values")
    assert not waits
    arrays.as_device_array(here, Foreign(mine, stream=2), name="values")
    assert waits


@pytest.mark.parametrize(
    ("changed", "error", "message"),
    [
        ({"version": 1}, ValueError, "values has version 1 of"),
        ({"mask": object()}, TypeError, "values has a mask"),
        ({"typestr": ">f4"}, TypeError, "values has typestr '>f4', expected native byte order"),
        ({"stream": 0}, ValueError, "values has stream 0"),
        ({"data": (4096, False)}, ValueError, "values has data at 0x1000, expected memory of"),
        ({"shape": (10**6,)}, ValueError, "values has elements from .* within their allocation"),
        ({"strides": (-4,)}, ValueError, "values has elements from .* within their allocation"),
        ({"strides": (6,)}, ValueError, "values has elements that are not aligned"),
        ({"strides": (4, 4)}, ValueError, "values has 2 strides, expected 1"),
        ({"typestr": "<f2", "strides": (4,)}, ValueError, r"values has strides \(4,\) and typestr"),
    ],
)
def test_what_cannot_be_taken_is_refused(
    here: DeviceContext, changed: dict[str, Any], error: type[Exception], message: str
) -> None:
    mine = arrays.empty(here, (100,), "f4")
    with pytest.raises(error, match=message):
        arrays.as_device_array(here, Foreign(mine, **({"shape": (9,)} | changed)), name="values")


def test_an_array_of_the_host_is_refused(here: DeviceContext) -> None:
    with pytest.raises(TypeError, match="values has type ndarray, expected an object with"):
        arrays.as_device_array(here, np.zeros(3), name="values")


# --- what is missing, and how it ends ---


def python(program: str) -> subprocess.CompletedProcess[str]:
    """Run a program with the device in software, every warning an error."""
    start = """
        from refrnn_accel import softcuda
        softcuda.activate()
        import atexit, sys, threading
        import pycuda.driver as cuda
        from refrnn_accel.cuda.arrays import empty
        from refrnn_accel.cuda.context import use_context
        from refrnn_accel.cuda.modules import load_module
        cuda.init()
        def work():
            with use_context() as here:
                return load_module(here, "contiguous.cu"), empty(here, (1000,), "f8")
    """
    text = textwrap.dedent(start) + textwrap.dedent(program)
    return subprocess.run(
        [sys.executable, "-W", "error", "-c", text], capture_output=True, text=True, check=False
    )


@pytest.mark.parametrize(
    "program",
    [
        "kept = work()",
        "thread = threading.Thread(target=work); thread.start(); thread.join(); kept = work()",
        "own = cuda.Device(0).make_context(); kept = work(); own.pop()",
        "own = cuda.Device(0).make_context(); kept = work(); own.pop(); own.detach(); work()",
        "import pycuda.autoinit; kept = work()",
        "kept = work(); import pycuda.autoinit; again = work()",
        "atexit.register(work); kept = work()",
        "with use_context(): kept = work(); sys.exit(0)",
    ],
)
def test_a_program_ends_without_a_word(program: str) -> None:
    done = python(program)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_a_fault_is_an_error_that_names_the_launch_and_the_program_ends() -> None:
    done = python("""
        import numpy as np
        from refrnn_accel.cuda.context import device_error
        with use_context() as here:
            kernel = work()[0].function("contiguous_8")
            try:
                kernel(*map(np.int64, (0, 0, 1, 1, 8, 8)), grid=(1, 1), block=(32, 1, 1))
                here.synchronize()
            except cuda.Error as error:
                print(device_error(error, "the copy"))
    """)
    assert done.returncode == 0
    assert done.stdout.startswith("the copy failed: cuCtxSynchronize failed: an illegal memory")
    assert "contiguous.cu:16" in done.stderr


def test_a_fork_is_told_that_it_cannot() -> None:
    done = python("""
        import os
        work()
        child = os.fork()
        if child == 0:
            try:
                work()
            except RuntimeError as error:
                print(error, flush=True)
            os._exit(0)
        os.waitpid(child, 0)
    """)
    assert "a fork of it cannot use it" in done.stdout


@pytest.mark.parametrize(
    ("error", "message"),
    [
        ("ModuleNotFoundError('No module')", r"PyCUDA is missing .*`softcuda install-pycuda`"),
        ("ImportError('libcuda.so.1: cannot')", r"loaded \(libcuda.*`softcuda run`.*activate\(\)"),
    ],
)
def test_what_is_missing_is_said_with_what_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: str, message: str
) -> None:
    (tmp_path / "pycuda").mkdir()
    (tmp_path / "pycuda/__init__.py").write_text("")
    (tmp_path / "pycuda/driver.py").write_text(f"raise {error}\n")
    monkeypatch.syspath_prepend(tmp_path)
    for name in [name for name in sys.modules if name.partition(".")[0] == "pycuda"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setattr(context, "driver", context.driver.__wrapped__)
    with pytest.raises(DeviceError, match=message), use_context():
        pass


def test_a_driver_without_a_device_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(context.driver().Device, "count", lambda: 0)
    with pytest.raises(DeviceError, match="the CUDA driver has no device: on a machine without"):
        context.driver.__wrapped__()
