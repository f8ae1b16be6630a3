"""SOFTCUDA_STREAMS=lazy: work is done when somebody waits, in any order that the API allows."""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from ctypes import byref, c_float, c_size_t, c_uint, c_uint64, c_void_p
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from .device import Device, entry
from .driver import ADD_ONE, OUT_OF_BOUNDS, Status, function, handle, launch, zeros

PER_THREAD = c_void_p(2)
BLOCKING, NON_BLOCKING = 0, 1

#: log[next++] = id: the order in which kernels ran.
NOTE = """
.reg .u64 %where;
ld.global.u32 %r4, [%rd0];
add.u32 %r5, %r4, 1;
st.global.u32 [%rd0], %r5;
mul.wide.u32 %where, %r5, 4;
add.s64 %where, %where, %rd0;
cvt.u32.u64 %r6, %rd1;
st.global.u32 [%where], %r6;
"""


@pytest.fixture
def lazy(new_device: Callable[..., Device]) -> Device:
    return new_device(SOFTCUDA_STREAMS="lazy")


class PageLocked:
    """Memory that the host and the device both see, so that nothing has to be copied to look."""

    def __init__(self, device: Device, count: int = 64) -> None:
        self.device = device
        self.memory = handle(device, "cuMemHostAlloc", c_size_t(4 * count), 0)
        self.address = self.memory.value or 0
        self.array = np.ctypeslib.as_array((c_uint * count).from_address(self.address))
        self.bytes = c_size_t(self.array.nbytes)


class Log(PageLocked):
    """The order in which kernels ran, by numbers that they are given."""

    def __init__(self, device: Device) -> None:
        super().__init__(device)
        self._kernel = function(device, device.load(entry(NOTE, params=2)))

    def note(self, number: int, stream: Any = None) -> None:
        shape = (1, 1, 1)
        assert launch(self.device, self._kernel, self.address, number, block=shape,
                      stream=stream) == 0  # fmt: skip

    def order(self) -> list[int]:
        return [int(k) for k in self.array[1 : 1 + self.array[0]]]


def stream(device: Device, flags: int = BLOCKING) -> c_void_p:
    return handle(device, "cuStreamCreate", flags)


# --- when ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "wait",
    [
        lambda d, s, e: d.call("cuStreamSynchronize", s),
        lambda d, s, e: d.call("cuCtxSynchronize"),
        lambda d, s, e: d.call("cuEventSynchronize", e),
        lambda d, s, e: d.download(d.upload(np.zeros(1)), np.zeros(1)),
        lambda d, s, e: d.call("cuMemFree_v2", c_uint64(zeros(d))),
        lambda d, s, e: d.call("cuMemFreeHost", PageLocked(d).memory),
        lambda d, s, e: d.call("cuModuleUnload", d.load(entry(ADD_ONE))),
        lambda d, s, e: d.call("cuStreamSynchronize", None),
    ],
    ids=["stream", "context", "event", "copy", "free", "free-host", "unload", "default-stream"],
)
def test_work_is_done_when_somebody_waits(
    lazy: Device, wait: Callable[[Device, c_void_p, c_void_p], None]
) -> None:
    log, one, event = Log(lazy), stream(lazy), handle(lazy, "cuEventCreate", 0)
    log.note(1, one)
    lazy.call("cuEventRecord", event, one)
    assert log.order() == []
    wait(lazy, one, event)
    assert log.order() == [1]


def test_what_nobody_waits_for_waits(lazy: Device) -> None:
    log, one, other = Log(lazy), stream(lazy), stream(lazy)
    log.note(1, one)
    log.note(2, other)
    event = handle(lazy, "cuEventCreate", 0)
    lazy.call("cuEventRecord", event, other)
    log.note(3, other)
    lazy.call("cuEventSynchronize", event)
    assert log.order() == [2]
    lazy.call("cuCtxSynchronize")
    assert sorted(log.order()) == [1, 2, 3]


@pytest.mark.parametrize("name", ["cuStreamQuery", "cuEventQuery"])
def test_polling_gets_there(lazy: Device, name: str) -> None:
    log, one, event = Log(lazy), stream(lazy), handle(lazy, "cuEventCreate", 0)
    what = one if name == "cuStreamQuery" else event
    lazy.call(name, what)  # nothing was given yet
    for k in range(3):
        log.note(k, one)
    lazy.call("cuEventRecord", event, one)
    statuses = []
    while not statuses or statuses[-1] != 0:
        statuses.append(lazy.status(name, what))
    assert statuses == [Status.NOT_READY] * 4 + [0]
    assert log.order() == [0, 1, 2]


def test_a_destroyed_stream_still_does_its_work(lazy: Device) -> None:
    log, one, event = Log(lazy), stream(lazy), handle(lazy, "cuEventCreate", 0)
    log.note(1, one)
    lazy.call("cuEventRecord", event, one)
    lazy.call("cuEventDestroy_v2", event)
    lazy.call("cuStreamDestroy_v2", one)
    assert log.order() == []
    lazy.call("cuCtxSynchronize")
    assert log.order() == [1]


def test_a_context_does_its_work_before_it_goes(lazy: Device) -> None:
    log = Log(lazy)
    context = handle(lazy, "cuCtxCreate_v4", None, 0, 0)
    other = Log(lazy)
    other.note(1)
    log_of_first = log.order()
    lazy.call("cuCtxDestroy_v2", context)
    assert (log_of_first, other.order()) == ([], [1])


# --- what is read and written when ---------------------------------------------------------------


def test_parameters_are_those_of_the_call(lazy: Device) -> None:
    kernel, out = function(lazy, lazy.load(entry(ADD_ONE))), zeros(lazy, 32)
    assert launch(lazy, kernel, out) == 0  # its arrays of parameters are gone by now
    assert launch(lazy, kernel, out) == 0
    assert lazy.download(out, np.zeros(32, np.uint32)).tolist() == [2] * 32


def test_page_locked_memory_is_read_when_the_copy_runs(lazy: Device) -> None:
    source, one, to = PageLocked(lazy), stream(lazy), zeros(lazy, 64)
    source.array[:] = 1
    lazy.call("cuMemcpyHtoDAsync_v2", c_uint64(to), source.memory, source.bytes, one)
    source.array[:] = 2  # too early
    lazy.call("cuStreamSynchronize", one)
    assert lazy.download(to, np.zeros(64, np.uint32)).tolist() == [2] * 64


def test_memory_that_was_registered_is_read_when_the_copy_runs(lazy: Device) -> None:
    source, one, to = np.ones(64, np.uint32), stream(lazy), zeros(lazy, 64)
    place, size = source.ctypes.data_as(c_void_p), c_size_t(source.nbytes)
    lazy.call("cuMemHostRegister_v2", place, size, 0)
    lazy.call("cuMemcpyHtoDAsync_v2", c_uint64(to), place, size, one)
    source[:] = 2  # too early
    lazy.call("cuMemHostUnregister", place)
    source[:] = 3
    assert lazy.download(to, np.zeros(64, np.uint32)).tolist() == [2] * 64


def test_pageable_memory_is_read_by_the_call(lazy: Device) -> None:
    source, one, to = np.ones(64, np.uint32), stream(lazy), zeros(lazy, 64)
    place, size = source.ctypes.data_as(c_void_p), c_size_t(source.nbytes)
    lazy.call("cuMemcpyHtoDAsync_v2", c_uint64(to), place, size, one)
    source[:] = 2
    lazy.call("cuStreamSynchronize", one)
    assert lazy.download(to, np.zeros(64, np.uint32)).tolist() == [1] * 64


def test_results_land_when_the_copy_runs(lazy: Device) -> None:
    """In page-locked memory. Where memory is pageable, the call waits, as is documented."""
    target, one, out = PageLocked(lazy), stream(lazy), zeros(lazy, 64)
    target.array[:] = 7
    assert launch(lazy, function(lazy, lazy.load(entry(ADD_ONE))), out, grid=(2, 1, 1),
                  stream=one) == 0  # fmt: skip
    lazy.call("cuMemcpyDtoHAsync_v2", target.memory, c_uint64(out), target.bytes, one)
    assert target.array.tolist() == [7] * 64
    pageable = np.zeros(64, np.uint32)
    lazy.call("cuMemcpyDtoHAsync_v2", pageable.ctypes.data_as(c_void_p), c_uint64(out),
              target.bytes, one)  # fmt: skip
    assert pageable.tolist() == target.array.tolist() == [1] * 64


def test_memsets_and_copies_on_the_device_are_not_waited_for(lazy: Device) -> None:
    a, b, one = zeros(lazy, 64), zeros(lazy, 64), stream(lazy, NON_BLOCKING)
    seen = PageLocked(lazy)
    lazy.call("cuMemsetD32_v2", c_uint64(a), c_uint(5), c_size_t(64))
    lazy.call("cuMemcpyDtoD_v2", c_uint64(b), c_uint64(a), c_size_t(256))
    lazy.call("cuMemcpyDtoHAsync_v2", seen.memory, c_uint64(b), seen.bytes, one)
    lazy.call("cuStreamSynchronize", one)  # does not wait for the default stream
    assert seen.array.tolist() == [0] * 64
    assert lazy.download(b, np.zeros(64, np.uint32)).tolist() == [5] * 64
    # But they are where the memory is the host's, and in a context that asks for it.
    lazy.call("cuMemsetD32_v2", c_uint64(seen.address), c_uint(9), c_size_t(64))
    assert seen.array.tolist() == [9] * 64
    context = handle(lazy, "cuCtxCreate_v4", None, 0x80, 0)
    lazy.call("cuMemsetD32_v2", c_uint64(a), c_uint(6), c_size_t(64))
    lazy.call("cuStreamQuery", None)
    lazy.call("cuCtxDestroy_v2", context)


# --- in which order ------------------------------------------------------------------------------


@pytest.mark.parametrize("is_waited_for", [False, True])
def test_a_missing_wait_for_an_event_shows(lazy: Device, is_waited_for: bool) -> None:
    producer, consumer = stream(lazy), stream(lazy)
    out, seen = zeros(lazy, 64), PageLocked(lazy)
    event = handle(lazy, "cuEventCreate", 0)
    kernel = function(lazy, lazy.load(entry(ADD_ONE)))
    assert launch(lazy, kernel, out, grid=(2, 1, 1), stream=producer) == 0
    lazy.call("cuEventRecord", event, producer)
    if is_waited_for:
        lazy.call("cuStreamWaitEvent", consumer, event, 0)
    lazy.call("cuMemcpyDtoHAsync_v2", seen.memory, c_uint64(out), seen.bytes, consumer)
    lazy.call("cuCtxSynchronize")
    assert seen.array.tolist() == [int(is_waited_for)] * 64


def test_an_event_that_was_never_recorded_is_not_waited_for(lazy: Device) -> None:
    log, one = Log(lazy), stream(lazy)
    lazy.call("cuStreamWaitEvent", one, handle(lazy, "cuEventCreate", 0), 0)
    log.note(1, one)
    lazy.call("cuStreamSynchronize", one)
    assert log.order() == [1]


def test_a_wait_is_for_the_record_before_it(lazy: Device) -> None:
    """Recorded again later, the event is another one; the work that waits does not wait for it."""
    log, a, b, event = Log(lazy), stream(lazy), stream(lazy), handle(lazy, "cuEventCreate", 0)
    log.note(1, a)
    lazy.call("cuEventRecord", event, a)
    lazy.call("cuStreamWaitEvent", b, event, 0)
    log.note(2, b)
    log.note(3, a)
    lazy.call("cuEventRecord", event, a)
    lazy.call("cuStreamSynchronize", b)
    assert log.order() == [1, 2]


def test_the_default_stream_waits_for_those_that_block_and_they_for_it(lazy: Device) -> None:
    log, blocking, free = Log(lazy), stream(lazy), stream(lazy, NON_BLOCKING)
    log.note(1, blocking)
    log.note(2, free)
    log.note(3)
    log.note(4, blocking)
    log.note(5, PER_THREAD)
    lazy.call("cuStreamSynchronize", blocking)
    assert log.order() == [1, 3, 4]
    lazy.call("cuStreamSynchronize", PER_THREAD)
    assert log.order() == [1, 3, 4, 5]
    lazy.call("cuStreamSynchronize", free)
    assert log.order() == [1, 3, 4, 5, 2]


def test_streams_that_do_not_block_go_before_the_default_stream(lazy: Device) -> None:
    log, free = Log(lazy), stream(lazy, NON_BLOCKING)
    log.note(1)
    log.note(2, free)
    lazy.call("cuStreamSynchronize", free)
    assert log.order() == [2]


def test_what_was_given_last_goes_first_where_nothing_forbids_it(lazy: Device) -> None:
    log = Log(lazy)
    for k in range(5):
        log.note(k, stream(lazy))
    lazy.call("cuCtxSynchronize")
    assert log.order() == [4, 3, 2, 1, 0]


def test_a_seed_chooses_the_order(new_device: Callable[..., Device]) -> None:
    orders = []
    for seed in (1, 2, 1):
        device = new_device(SOFTCUDA_STREAMS="lazy", SOFTCUDA_SEED=str(seed))
        log = Log(device)
        for k in range(8):
            log.note(k, stream(device))
        device.call("cuCtxSynchronize")
        orders.append(log.order())
    assert orders[0] == orders[2] != orders[1]
    assert sorted(orders[0]) == sorted(orders[1]) == list(range(8))


@pytest.fixture(params=["0", "5"])
def seeded(request: pytest.FixtureRequest, new_device: Callable[..., Device]) -> Device:
    return new_device(SOFTCUDA_STREAMS="lazy", SOFTCUDA_SEED=request.param)


@given(
    st.lists(
        st.tuples(st.sampled_from(["note", "record", "wait"]), st.integers(0, 3)), max_size=24
    )
)  # fmt: skip
@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_the_order_is_one_that_the_api_allows(seeded: Device, steps: list[tuple[str, int]]) -> None:
    """Streams 0 (the default one), 1 and 2 (which block) and 3 (which does not), one event."""
    device = seeded
    streams: list[Any] = [None, stream(device), stream(device), stream(device, NON_BLOCKING)]
    log, event = Log(device), handle(device, "cuEventCreate", 0)
    before: list[set[int]] = [set() for _ in streams]  # what the next work of a stream waits for
    recorded: set[int] | None = None
    known: dict[int, set[int]] = {}
    for number, (step, where) in enumerate(steps):
        if step == "wait" and recorded is None:
            device.call("cuStreamWaitEvent", streams[where], event, 0)  # is nothing at all
            continue
        waits = before[where] | (before[0] if where in (1, 2) else set())
        if where == 0:
            waits |= before[1] | before[2]
        if step == "note":
            log.note(number, streams[where])
            known[number] = set(waits)
            waits |= {number}
        elif step == "record":
            device.call("cuEventRecord", event, streams[where])
            recorded = set(waits)
        else:
            device.call("cuStreamWaitEvent", streams[where], event, 0)
            waits |= recorded or set()
        before[where] = waits
    device.call("cuCtxSynchronize")
    order = log.order()
    assert sorted(order) == sorted(known)
    for place, number in enumerate(order):
        assert known[number] <= set(order[:place])


# --- events and faults ---------------------------------------------------------------------------


def test_times_are_known_when_both_events_are_done(lazy: Device) -> None:
    start, end = handle(lazy, "cuEventCreate", 0), handle(lazy, "cuEventCreate", 0)
    time = c_float()
    lazy.call("cuEventRecord", start, None)
    lazy.call("cuEventRecord", end, None)
    elapsed = ("cuEventElapsedTime_v2", byref(time), start, end)
    assert lazy.status(*elapsed) == Status.NOT_READY
    lazy.call("cuEventSynchronize", end)
    lazy.call(*elapsed)
    assert time.value > 0


@pytest.mark.parametrize("how", ["cuCtxSynchronize", "cuStreamSynchronize", "cuStreamQuery"])
def test_a_fault_is_found_where_the_work_is_waited_for(lazy: Device, how: str) -> None:
    context = handle(lazy, "cuCtxCreate_v4", None, 0, 0)
    bad = function(lazy, lazy.load(entry(OUT_OF_BOUNDS)))
    log, one = Log(lazy), stream(lazy)
    assert launch(lazy, bad, zeros(lazy, 4), stream=one) == 0
    log.note(1, one)  # is dropped
    lazy.call("cuCtxGetDevice", byref(c_uint()))  # nothing has been found yet
    args = () if how == "cuCtxSynchronize" else (one,)
    assert lazy.status(how, *args) == Status.ILLEGAL_ADDRESS
    assert lazy.status("cuCtxSynchronize") == Status.ILLEGAL_ADDRESS
    assert log.order() == []
    lazy.call("cuCtxDestroy_v2", context)


def test_a_fault_is_of_the_context_that_did_it(lazy: Device) -> None:
    context = handle(lazy, "cuCtxCreate_v4", None, 0, 0)
    bad = function(lazy, lazy.load(entry(OUT_OF_BOUNDS)))
    assert launch(lazy, bad, zeros(lazy, 4)) == 0
    lazy.call("cuCtxPopCurrent_v2", None)
    lazy.call("cuMemFree_v2", c_uint64(zeros(lazy)))  # waits for everything
    lazy.call("cuCtxSynchronize")
    lazy.call("cuCtxPushCurrent_v2", context)
    assert lazy.status("cuCtxSynchronize") == Status.ILLEGAL_ADDRESS
    lazy.call("cuCtxDestroy_v2", context)


def test_what_was_counted_is_complete(lazy: Device) -> None:
    kernel, out = function(lazy, lazy.load(entry(ADD_ONE))), zeros(lazy)
    assert launch(lazy, kernel, out, stream=stream(lazy)) == 0
    lazy.reset()  # that one is not counted
    assert launch(lazy, kernel, out, grid=(3, 1, 1), stream=stream(lazy)) == 0
    assert lazy.profile()["k"]["launches"] == 1
    assert lazy.profile()["k"]["global_store_requests"] == 3


def test_page_locked_memory_outlives_the_work(lazy: Device) -> None:
    """Freed with work waiting for it, it is there until the work is done."""
    source, one, to = PageLocked(lazy), stream(lazy), zeros(lazy, 64)
    ctypes.memset(source.address, 1, source.bytes.value)
    lazy.call("cuMemcpyHtoDAsync_v2", c_uint64(to), source.memory, source.bytes, one)
    lazy.call("cuMemFreeHost", source.memory)
    assert lazy.download(to, np.zeros(64, np.uint32)).tolist() == [0x01010101] * 64
