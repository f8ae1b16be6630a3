"""The driver API: streams and events, and several threads."""

from __future__ import annotations

import threading
from collections.abc import Callable
from ctypes import byref, c_float, c_uint64, c_void_p

import numpy as np
import pytest

from .device import Device, entry
from .driver import ADD_ONE, Status, function, handle, launch, zeros


def test_streams_and_events(device: Device) -> None:
    kernel, out = function(device, device.load(entry(ADD_ONE))), zeros(device)
    stream = handle(device, "cuStreamCreate", 1)
    start, end = handle(device, "cuEventCreate", 0), handle(device, "cuEventCreate", 1)
    device.call("cuEventQuery", start)  # it was never recorded: nothing is waited for
    device.call("cuEventSynchronize", start)
    time = c_float()
    elapsed = ("cuEventElapsedTime_v2", byref(time), start, end)
    assert device.status(*elapsed) == Status.INVALID_HANDLE
    device.call("cuEventRecord", start, stream)
    assert launch(device, kernel, out, stream=stream) == 0
    device.call("cuEventRecord", end, stream)
    device.call("cuStreamWaitEvent", None, end, 0)
    for name, what in (
        ("cuStreamQuery", stream), ("cuStreamSynchronize", stream), ("cuEventQuery", end),
        ("cuEventSynchronize", end), ("cuStreamQuery", None), ("cuStreamQuery", c_void_p(2)),
    ):  # fmt: skip
        device.call(name, what)
    device.call(*elapsed)
    assert time.value > 0
    device.call("cuEventElapsedTime_v2", byref(time), end, start)
    assert time.value < 0
    device.call("cuEventDestroy_v2", end)
    device.call("cuStreamDestroy_v2", stream)
    assert device.status("cuStreamSynchronize", stream) == Status.INVALID_HANDLE
    assert device.status("cuEventRecord", end, None) == Status.INVALID_HANDLE


def test_streams_that_are_none_are_refused(device: Device) -> None:
    unknown = c_void_p(0x1234)
    event = handle(device, "cuEventCreate", 0)
    for call in (
        ("cuStreamSynchronize", unknown), ("cuStreamQuery", unknown),
        ("cuStreamWaitEvent", unknown, event, 0), ("cuEventRecord", event, unknown),
    ):  # fmt: skip
        assert device.status(*call) == Status.INVALID_HANDLE
    assert device.status("cuStreamWaitEvent", None, event, 1) == Status.INVALID_VALUE


def test_streams_and_events_refuse_what_they_cannot_be(device: Device) -> None:
    handle = c_void_p()
    for flags in (2, 0x10):
        assert device.status("cuStreamCreate", byref(handle), flags) == Status.INVALID_VALUE
    assert device.status("cuEventCreate", byref(handle), 8) == Status.INVALID_VALUE
    assert device.status("cuEventCreate", byref(handle), 4 | 2) == Status.NOT_SUPPORTED
    start, end = c_void_p(), c_void_p()
    device.call("cuEventCreate", byref(start), 2)  # without timing
    device.call("cuEventCreate", byref(end), 0)
    for event in (start, end):
        device.call("cuEventRecord", event, None)
    bad = ("cuEventElapsedTime_v2", byref(c_float()), start, end)
    assert device.status(*bad) == Status.INVALID_HANDLE
    other = c_void_p()
    device.call("cuCtxCreate_v4", byref(other), None, 0, 0)
    assert device.status("cuEventRecord", end, None) == Status.INVALID_HANDLE  # of another context
    device.call("cuCtxDestroy_v2", other)


def test_handles_go_with_their_context(device: Device) -> None:
    context, stream, event = c_void_p(), c_void_p(), c_void_p()
    device.call("cuCtxCreate_v4", byref(context), None, 0, 0)
    device.call("cuStreamCreate", byref(stream), 0)
    device.call("cuEventCreate", byref(event), 0)
    address = device.upload(np.zeros(4))
    device.call("cuCtxDestroy_v2", context)
    assert device.status("cuStreamDestroy_v2", stream) == Status.INVALID_HANDLE
    assert device.status("cuEventDestroy_v2", event) == Status.INVALID_HANDLE
    assert device.status("cuMemFree_v2", c_uint64(address)) == Status.INVALID_VALUE


def test_the_profiler_is_always_on(device: Device) -> None:
    device.call("cuProfilerStop")
    device.call("cuProfilerStart")


@pytest.mark.parametrize("name", ["cuTexRefCreate", "cuLinkCreate_v2", "cuArrayCreate_v2"])
def test_what_is_not_offered_says_so(device: Device, name: str) -> None:
    assert device.status(name, byref(c_void_p())) == Status.NOT_SUPPORTED


@pytest.mark.parametrize("streams", ["synchronous", "lazy"])
def test_threads_share_the_device(new_device: Callable[..., Device], streams: str) -> None:
    """Each has a stack of contexts, and a stream, of its own."""
    device = new_device(SOFTCUDA_STREAMS=streams)
    module = device.load(entry(ADD_ONE))
    context = handle(device, "cuCtxAttach", 0)
    device.call("cuCtxDetach", context)
    outs = [zeros(device, 32) for _ in range(4)]
    problems = []

    def work(out: int) -> None:
        try:
            assert device.status("cuCtxSynchronize") == Status.INVALID_CONTEXT
            device.call("cuCtxPushCurrent_v2", context)
            stream = handle(device, "cuStreamCreate", 0)
            kernel = function(device, module)
            for _ in range(50):
                assert launch(device, kernel, out, stream=stream) == 0
                assert launch(device, kernel, out, stream=c_void_p(2)) == 0
            device.call("cuStreamSynchronize", stream)
        except Exception as error:  # a thread's errors are nobody's otherwise
            problems.append(error)

    threads = [threading.Thread(target=work, args=(out,)) for out in outs]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert problems == []
    for out in outs:
        assert device.download(out, np.zeros(32, np.uint32)).tolist() == [100] * 32
