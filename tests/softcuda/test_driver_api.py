"""The driver API: the device, its contexts, and arguments that are refused."""

from __future__ import annotations

import ctypes
import threading
from collections.abc import Callable
from ctypes import byref, c_int, c_size_t, c_uint, c_uint64, c_void_p
from typing import Any

import numpy as np
import pytest

from .device import HEADER, Device, entry
from .driver import OUT_OF_BOUNDS, Status, number

# --- the device -----------------------------------------------------------------------------------


def test_there_is_one_device(device: Device) -> None:
    assert device.status("cuInit", 1) == Status.INVALID_VALUE
    assert number(device, "cuDriverGetVersion") >= 13000
    assert number(device, "cuDeviceGetCount") == 1
    assert number(device, "cuDeviceGet", 0) == 0
    assert device.status("cuDeviceGet", byref(c_int()), 1) == Status.INVALID_DEVICE
    name = ctypes.create_string_buffer(64)
    device.call("cuDeviceGetName", name, 64, 0)
    assert name.value == b"softcuda (software)"
    device.call("cuDeviceGetName", name, 5, 0)
    assert name.value == b"soft"
    assert device.status("cuDeviceGetName", name, 0, 0) == Status.INVALID_VALUE
    device.call("cuDeviceGetPCIBusId", name, 64, 0)
    assert number(device, "cuDeviceGetByPCIBusId", name) == 0
    assert device.status("cuDeviceGetByPCIBusId", byref(c_int()), b"1") == Status.INVALID_DEVICE
    assert number(device, "cuDeviceTotalMem_v2", 0, kind=c_size_t) == 4096 << 20
    assert number(device, "cuDeviceCanAccessPeer", 0, 0) == 0
    assert device.status("cuDeviceCanAccessPeer", byref(c_int()), 0, 1) == Status.INVALID_DEVICE


@pytest.mark.parametrize(
    ("capability", "opt_in", "shared", "threads", "blocks"),
    [
        (75, 64, 64, 1024, 16), (80, 163, 164, 2048, 32), (86, 99, 100, 1536, 16),
        (89, 99, 100, 1536, 24), (90, 227, 228, 2048, 32), (100, 227, 228, 2048, 32),
        (120, 99, 100, 1536, 24),
    ],
)  # fmt: skip
def test_attributes_fit_the_compute_capability(
    new_device: Callable[..., Device],
    capability: int,
    opt_in: int,
    shared: int,
    threads: int,
    blocks: int,
) -> None:
    device = new_device(SOFTCUDA_COMPUTE_CAPABILITY=str(capability), SOFTCUDA_MULTIPROCESSORS="7")

    def attribute(which: int) -> int:
        return number(device, "cuDeviceGetAttribute", which, 0)

    major, minor = c_int(), c_int()
    device.call("cuDeviceComputeCapability", byref(major), byref(minor), 0)
    assert major.value * 10 + minor.value == attribute(75) * 10 + attribute(76) == capability
    assert (attribute(97), attribute(81)) == (opt_in << 10, shared << 10)
    assert (attribute(39), attribute(106), attribute(16)) == (threads, blocks, 7)
    assert attribute(120) == (capability >= 90)  # clusters
    assert attribute(95) == 0  # cooperative launches
    assert (attribute(8), attribute(12), attribute(10)) == (48 << 10, 64 << 10, 32)
    for bad in (0, -1, 1000):
        assert device.status("cuDeviceGetAttribute", byref(c_int()), bad, 0) == Status.INVALID_VALUE
    assert device.status("cuDeviceGetAttribute", byref(c_int()), 1, 1) == Status.INVALID_DEVICE


def test_errors_have_words(device: Device) -> None:
    text = ctypes.c_char_p()
    device.call("cuGetErrorString", Status.ILLEGAL_ADDRESS, byref(text))
    assert text.value == b"an illegal memory access was encountered"
    assert device.status("cuGetErrorString", 12345, byref(text)) == Status.INVALID_VALUE
    assert text.value is None


# --- pointers that are null -----------------------------------------------------------------------

ANY = 4  # of whatever width
NULLS: list[tuple[Any, ...]] = [
    ("cuDriverGetVersion", None), ("cuGetErrorString", 0, None), ("cuDeviceGetCount", None),
    ("cuDeviceGet", None, 0), ("cuDeviceGetName", None, 9, 0),
    ("cuDeviceGetPCIBusId", None, 99, 0), ("cuDeviceGetByPCIBusId", None, b"0000:00:00.0"),
    ("cuDeviceGetByPCIBusId", byref(c_int()), None), ("cuDeviceTotalMem_v2", None, 0),
    ("cuDeviceComputeCapability", None, byref(c_int()), 0),
    ("cuDeviceComputeCapability", byref(c_int()), None, 0),
    ("cuDeviceGetAttribute", None, 1, 0), ("cuDeviceCanAccessPeer", None, 0, 0),
    ("cuCtxCreate_v4", None, None, 0, 0), ("cuDevicePrimaryCtxRetain", None, 0),
    ("cuCtxAttach", None, 0), ("cuCtxGetDevice", None), ("cuCtxGetApiVersion", None, None),
    ("cuCtxGetLimit", None, 0), ("cuCtxGetCacheConfig", None), ("cuCtxGetSharedMemConfig", None),
    ("cuModuleLoadDataEx", None, HEADER.encode(), 0, None, None),
    ("cuModuleLoadDataEx", byref(c_void_p()), None, 0, None, None),
    ("cuModuleLoadDataEx", byref(c_void_p()), HEADER.encode(), 1, None, None),
    ("cuModuleLoadData", None, HEADER.encode()), ("cuModuleLoadData", byref(c_void_p()), None),
    ("cuModuleLoad", None, b"/dev/null"), ("cuModuleLoad", byref(c_void_p()), None),
    ("cuModuleGetFunction", None, None, b"k"),
    ("cuModuleGetFunction", byref(c_void_p()), None, None),
    ("cuModuleGetGlobal_v2", None, None, None, b"k"), ("cuFuncGetAttribute", None, 0, None),
    ("cuStreamCreate", None, 0), ("cuEventCreate", None, 0),
    ("cuEventElapsedTime_v2", None, None, None),
    ("cuMemGetInfo_v2", None, byref(c_size_t())), ("cuMemGetInfo_v2", byref(c_size_t()), None),
    ("cuMemAlloc_v2", None, c_size_t(ANY)),
    ("cuMemAllocPitch_v2", None, byref(c_size_t()), c_size_t(ANY), c_size_t(ANY), 4),
    ("cuMemAllocPitch_v2", byref(c_uint64()), None, c_size_t(ANY), c_size_t(ANY), 4),
    ("cuMemAllocManaged", None, c_size_t(ANY), 1), ("cuMemHostAlloc", None, c_size_t(ANY), 0),
    ("cuMemHostRegister_v2", None, c_size_t(ANY), 0), ("cuMemHostUnregister", None),
    ("cuMemFreeHost", None), ("cuMemHostGetDevicePointer_v2", None, None, 0),
    ("cuMemHostGetDevicePointer_v2", byref(c_uint64()), None, 0),
    ("cuMemHostGetFlags", None, None), ("cuMemHostGetFlags", byref(c_uint()), None),
    ("cuMemcpyHtoD_v2", c_uint64(0), b"1234", c_size_t(ANY)),
    ("cuMemcpyDtoH_v2", None, c_uint64(0), c_size_t(ANY)),
    ("cuMemcpyDtoD_v2", c_uint64(0), c_uint64(0), c_size_t(ANY)),
    ("cuMemcpy2D_v2", None), ("cuMemcpy2DUnaligned_v2", None), ("cuMemcpy2DAsync_v2", None, None),
    ("cuMemcpy3D_v2", None), ("cuMemcpy3DAsync_v2", None, None),
    ("cuMemsetD8_v2", c_uint64(0), 1, c_size_t(ANY)),
]  # fmt: skip


def test_null_is_refused(device: Device) -> None:
    for call in NULLS:
        assert device.status(*call) == Status.INVALID_VALUE, call


@pytest.mark.parametrize(
    "call",
    [
        ("cuModuleUnload",), ("cuFuncSetAttribute", 8, 0), ("cuFuncSetCacheConfig", 0),
        ("cuFuncSetBlockShape", 1, 1, 1), ("cuFuncSetSharedSize", 0), ("cuParamSetSize", 0),
        ("cuParamSeti", 0, 0), ("cuLaunch",), ("cuLaunchGrid", 1, 1),
        ("cuLaunchGridAsync", 1, 1, None), ("cuStreamDestroy_v2",), ("cuEventDestroy_v2",),
        ("cuEventRecord", None), ("cuEventQuery",), ("cuEventSynchronize",),
        ("cuLaunchKernel", 1, 1, 1, 1, 1, 1, 0, None, None, None),
    ],
    ids=lambda call: call[0],
)  # fmt: skip
def test_handles_that_are_none_are_refused(device: Device, call: tuple[Any, ...]) -> None:
    name, *rest = call
    for handle in (None, c_void_p(0x1234)):
        assert device.status(name, handle, *rest) == Status.INVALID_HANDLE


# --- contexts -------------------------------------------------------------------------------------


def test_contexts_are_a_stack(device: Device) -> None:
    first, second, top = c_void_p(), c_void_p(), c_void_p()
    device.call("cuCtxCreate_v4", byref(first), None, 0, 0)
    device.call("cuCtxCreate_v4", byref(second), None, 0x80, 0)
    device.call("cuCtxPopCurrent_v2", byref(top))
    assert top.value == second.value
    device.call("cuCtxPushCurrent_v2", second)
    device.call("cuCtxAttach", byref(top), 0)
    assert top.value == second.value
    device.call("cuCtxDetach", second)
    assert number(device, "cuCtxGetDevice") == 0  # attached twice: it is there still
    device.call("cuCtxDetach", second)
    assert device.status("cuCtxPushCurrent_v2", second) == Status.INVALID_CONTEXT
    version = c_uint()
    device.call("cuCtxGetApiVersion", first, byref(version))
    assert version.value >= 3010
    assert device.status("cuCtxGetApiVersion", second, byref(version)) == Status.INVALID_CONTEXT
    device.call("cuCtxDestroy_v2", first)
    assert device.status("cuCtxDestroy_v2", first) == Status.INVALID_CONTEXT
    device.call("cuCtxSynchronize")  # of the one before


def test_contexts_refuse_what_they_cannot_be(device: Device) -> None:
    context = c_void_p()
    assert device.status("cuCtxCreate_v4", byref(context), None, 0, 1) == Status.INVALID_DEVICE
    for flags, status in (
        (3, Status.INVALID_VALUE),
        (0x100, Status.INVALID_VALUE),
        (0x20, Status.NOT_SUPPORTED),
    ):
        assert device.status("cuCtxCreate_v4", byref(context), None, flags, 0) == status
    affinity = (c_uint64 * 3)(1, 1, 0)
    assert device.status("cuCtxCreate_v4", byref(context), affinity, 0, 0) == Status.NOT_SUPPORTED
    assert device.status("cuCtxAttach", byref(context), 1) == Status.INVALID_VALUE
    for name in ("cuCtxPushCurrent_v2", "cuCtxDetach", "cuCtxDestroy_v2"):
        assert device.status(name, None) == Status.INVALID_CONTEXT
        assert device.status(name, c_void_p(0x1234)) == Status.INVALID_CONTEXT


def test_no_context_is_an_error(device: Device) -> None:
    context = c_void_p()
    device.call("cuCtxPopCurrent_v2", byref(context))
    assert device.status("cuCtxPopCurrent_v2", None) == Status.INVALID_CONTEXT
    assert device.status("cuCtxSynchronize") == Status.INVALID_CONTEXT
    assert device.status("cuMemAlloc_v2", byref(c_uint64()), c_size_t(4)) == Status.INVALID_CONTEXT
    device.call("cuCtxPushCurrent_v2", context)


def test_a_context_that_another_thread_destroys_is_no_longer_current(device: Device) -> None:
    context = c_void_p()
    device.call("cuCtxCreate_v4", byref(context), None, 0, 0)
    thread = threading.Thread(target=device.call, args=("cuCtxDestroy_v2", context))
    thread.start()
    thread.join()
    assert device.status("cuCtxSynchronize") == Status.IS_DESTROYED
    device.call("cuCtxPopCurrent_v2", None)


def test_the_primary_context_lives_while_it_is_retained(device: Device) -> None:
    one, two = c_void_p(), c_void_p()
    device.call("cuDevicePrimaryCtxRetain", byref(one), 0)
    device.call("cuDevicePrimaryCtxRetain", byref(two), 0)
    assert one.value == two.value
    device.call("cuCtxPushCurrent_v2", one)
    device.call("cuCtxSetCacheConfig", 2)
    assert device.status("cuCtxDetach", one) == Status.INVALID_CONTEXT
    assert device.status("cuCtxDestroy_v2", one) == Status.INVALID_CONTEXT
    device.call("cuDevicePrimaryCtxRelease_v2", 0)
    assert number(device, "cuCtxGetCacheConfig") == 2
    device.call("cuCtxPopCurrent_v2", None)
    device.call("cuDevicePrimaryCtxRelease_v2", 0)
    assert device.status("cuDevicePrimaryCtxRelease_v2", 0) == Status.INVALID_CONTEXT
    device.call("cuDevicePrimaryCtxRetain", byref(one), 0)
    device.call("cuCtxPushCurrent_v2", one)
    assert number(device, "cuCtxGetCacheConfig") == 0  # a new one
    device.call("cuCtxPopCurrent_v2", None)
    device.call("cuDevicePrimaryCtxRelease_v2", 0)
    for name in ("cuDevicePrimaryCtxRetain", "cuDevicePrimaryCtxRelease_v2"):
        args = (byref(one), 1) if "Retain" in name else (1,)
        assert device.status(name, *args) == Status.INVALID_DEVICE


def test_limits_and_preferences_are_kept(device: Device) -> None:
    for limit, usual in ((0, 1024), (1, 1 << 20), (2, 8 << 20)):
        assert number(device, "cuCtxGetLimit", limit, kind=c_size_t) == usual
        device.call("cuCtxSetLimit", limit, c_size_t(4096))
        assert number(device, "cuCtxGetLimit", limit, kind=c_size_t) == 4096
    assert device.status("cuCtxSetLimit", 0, c_size_t(1 << 20)) == Status.INVALID_VALUE
    assert device.status("cuCtxSetLimit", 2, c_size_t(1 << 40)) == Status.OUT_OF_MEMORY
    for limit, status in (
        (3, Status.UNSUPPORTED_LIMIT),
        (6, Status.UNSUPPORTED_LIMIT),
        (99, Status.INVALID_VALUE),
    ):
        assert device.status("cuCtxSetLimit", limit, c_size_t(1)) == status
        assert device.status("cuCtxGetLimit", byref(c_size_t()), limit) == status
    for kind, most in (("Cache", 3), ("SharedMem", 2)):
        device.call(f"cuCtxSet{kind}Config", most)
        assert number(device, f"cuCtxGet{kind}Config") == most
        for bad in (-1, most + 1):
            assert device.status(f"cuCtxSet{kind}Config", bad) == Status.INVALID_VALUE


def test_a_fault_stays_until_the_context_goes(device: Device) -> None:
    context = c_void_p()
    device.call("cuCtxCreate_v4", byref(context), None, 0, 0)
    out = device.upload(np.zeros(4, np.uint32))
    module = device.load(entry(OUT_OF_BOUNDS))
    assert device.launch(module, "k", out) == Status.ILLEGAL_ADDRESS
    for call in (
        ("cuCtxSynchronize",), ("cuMemAlloc_v2", byref(c_uint64()), c_size_t(4)),
        ("cuStreamCreate", byref(c_void_p()), 0), ("cuMemFree_v2", c_uint64(out)),
        ("cuModuleUnload", module),
    ):  # fmt: skip
        assert device.status(*call) == Status.ILLEGAL_ADDRESS
    # What cleans up has been done all the same.
    assert device.status("cuModuleUnload", module) == Status.INVALID_HANDLE
    assert device.status("cuMemFree_v2", c_uint64(out)) == Status.INVALID_VALUE
    device.call("cuCtxDestroy_v2", context)
    device.call("cuCtxSynchronize")
