"""The driver API: memory of the device and of the host, copies and memsets."""

from __future__ import annotations

import ctypes
from ctypes import byref, c_int, c_size_t, c_uint, c_uint64, c_void_p

import numpy as np
import pytest

from .device import HEADER, Device, entry
from .driver import ADD_ONE, Status, number

# --- memory ---------------------------------------------------------------------------------------


def test_device_memory_is_counted(device: Device) -> None:
    free, total = c_size_t(), c_size_t()
    device.call("cuMemGetInfo_v2", byref(free), byref(total))
    before = free.value
    address, pitch = c_uint64(), c_size_t()
    device.call(
        "cuMemAllocPitch_v2", byref(address), byref(pitch), c_size_t(700), c_size_t(3), 4
    )  # fmt: skip
    assert pitch.value >= 700
    assert pitch.value % 512 == 0
    device.call("cuMemGetInfo_v2", byref(free), byref(total))
    assert before - free.value == 3 * pitch.value
    base, size = c_uint64(), c_size_t()
    device.call(
        "cuMemGetAddressRange_v2", byref(base), byref(size), c_uint64(address.value + 701)
    )  # fmt: skip
    assert (base.value, size.value) == (address.value, 3 * pitch.value)
    device.call("cuMemFree_v2", address)
    assert device.status("cuMemFree_v2", address) == Status.INVALID_VALUE
    device.call("cuMemFree_v2", c_uint64(0))
    assert device.status("cuMemGetAddressRange_v2", None, None, address) == Status.NOT_FOUND
    device.call("cuMemGetInfo_v2", byref(free), byref(total))
    assert free.value == before


def test_memory_that_cannot_be_is_refused(device: Device) -> None:
    address, pitch = c_uint64(), c_size_t()
    assert device.status("cuMemAlloc_v2", byref(address), c_size_t(0)) == Status.INVALID_VALUE
    assert device.status("cuMemAlloc_v2", byref(address), c_size_t(1 << 40)) == Status.OUT_OF_MEMORY
    for width, height, element, status in (
        (0, 1, 4, Status.INVALID_VALUE), (1, 0, 4, Status.INVALID_VALUE),
        (1, 1, 3, Status.INVALID_VALUE),
        (1 << 40, 1 << 40, 4, Status.OUT_OF_MEMORY), (2**64 - 1, 1, 4, Status.OUT_OF_MEMORY),
    ):  # fmt: skip
        args = (c_size_t(width), c_size_t(height), element)
        assert device.status("cuMemAllocPitch_v2", byref(address), byref(pitch), *args) == status
    for flags, size, status in (
        (0, 4, 1),
        (4, 4, 1),
        (1, 0, 1),
        (1, 1 << 40, Status.OUT_OF_MEMORY),
    ):
        assert device.status("cuMemAllocManaged", byref(address), c_size_t(size), flags) == status
    assert (
        device.status("cuMemHostAlloc", byref(c_void_p()), c_size_t(4), 8) == Status.INVALID_VALUE
    )
    # A variable of a module is not the program's to free.
    module = device.load(HEADER + ".visible .global .align 4 .u32 v = 7;")
    device.call("cuModuleGetGlobal_v2", byref(address), None, module, b"v")
    assert device.status("cuMemFree_v2", address) == Status.INVALID_VALUE


def test_host_memory_has_the_same_address_on_the_device(device: Device) -> None:
    memory = c_void_p()
    device.call("cuMemHostAlloc", byref(memory), c_size_t(256), 2)
    assert number(device, "cuMemHostGetFlags", memory, kind=c_uint) == 2
    inside = c_void_p((memory.value or 0) + 8)
    assert number(device, "cuMemHostGetDevicePointer_v2", inside, 0, kind=c_uint64) == inside.value
    bad = ("cuMemHostGetDevicePointer_v2", byref(c_uint64()), inside, 1)
    assert device.status(*bad) == Status.INVALID_VALUE
    assert device.status("cuMemHostUnregister", memory) == Status.NOT_REGISTERED
    assert device.launch(device.load(entry(ADD_ONE)), "k", memory.value, block=32) == 0
    assert np.ctypeslib.as_array((c_int * 64).from_address(memory.value or 0)).sum() == 32
    device.call("cuMemFreeHost", memory)
    assert device.status("cuMemFreeHost", memory) == Status.INVALID_VALUE


def test_memory_of_the_program_can_be_registered(device: Device) -> None:
    array = np.zeros(32, np.uint32)
    place = array.ctypes.data_as(c_void_p)
    size = c_size_t(array.nbytes)
    for flags, status in (
        (4, Status.NOT_SUPPORTED),
        (8, Status.NOT_SUPPORTED),
        (16, Status.INVALID_VALUE),
    ):
        assert device.status("cuMemHostRegister_v2", place, size, flags) == status
    device.call("cuMemHostRegister_v2", place, size, 1)
    assert device.status("cuMemHostRegister_v2", place, size, 1) == Status.ALREADY_REGISTERED
    assert number(device, "cuMemHostGetFlags", place, kind=c_uint) == 1
    assert device.launch(device.load(entry(ADD_ONE)), "k", array.ctypes.data) == 0
    assert array.tolist() == [1] * 32
    assert device.status("cuMemFreeHost", place) == Status.INVALID_VALUE
    device.call("cuMemHostUnregister", place)
    assert device.status("cuMemHostUnregister", place) == Status.NOT_REGISTERED


def test_managed_memory_is_of_both(device: Device) -> None:
    address, stream = c_uint64(), c_void_p()
    device.call("cuMemAllocManaged", byref(address), c_size_t(128), 1)
    device.call("cuStreamCreate", byref(stream), 0)
    attach = ("cuStreamAttachMemAsync", stream, address)
    device.call(*attach, c_size_t(0), 4)
    device.call(*attach, c_size_t(128), 2)
    for size, flags in ((4, 1), (0, 0), (0, 3)):
        assert device.status(*attach, c_size_t(size), flags) == Status.INVALID_VALUE
    other = c_uint64(device.upload(np.zeros(4)))
    for where, what, flags in ((None, address, 4), (stream, other, 1)):
        bad = ("cuStreamAttachMemAsync", where, what, c_size_t(0), flags)
        assert device.status(*bad) == Status.INVALID_VALUE
    view = np.ctypeslib.as_array((c_uint * 32).from_address(address.value))
    view[:] = range(32)
    assert device.launch(device.load(entry(ADD_ONE)), "k", address.value) == 0
    assert view.tolist() == list(range(1, 33))
    device.call("cuMemFree_v2", address)


# --- copies and memsets ---------------------------------------------------------------------------


@pytest.mark.parametrize("suffix", ["_v2", "Async_v2"])
def test_copies_of_a_row(device: Device, suffix: str) -> None:
    stream = (None,) if "Async" in suffix else ()
    data, back = np.arange(64, dtype=np.uint8), np.zeros(64, np.uint8)
    size = c_size_t(64)
    a, b = (c_uint64(device.upload(np.zeros(64, np.uint8))) for _ in "ab")
    device.call(f"cuMemcpyHtoD{suffix}", a, data.ctypes.data_as(c_void_p), size, *stream)
    device.call(f"cuMemcpyDtoD{suffix}", b, a, size, *stream)
    device.call(f"cuMemcpyDtoH{suffix}", back.ctypes.data_as(c_void_p), b, size, *stream)
    assert (back == data).all()
    # Overlapping ranges, and ranges that end elsewhere.
    device.call(
        f"cuMemcpyDtoD{suffix}", c_uint64(a.value + 8), a, c_size_t(40), *stream
    )  # fmt: skip
    assert device.download(a.value, back)[8:48].tolist() == list(range(40))
    beyond = c_uint64(b.value + 1)
    assert device.status(f"cuMemcpyDtoD{suffix}", beyond, a, size, *stream) == Status.INVALID_VALUE
    assert device.status(f"cuMemcpyDtoD{suffix}", a, beyond, size, *stream) == Status.INVALID_VALUE
    device.call(f"cuMemcpyDtoD{suffix}", beyond, a, c_size_t(0), *stream)


class Copy2D(ctypes.Structure):
    _fields_ = [
        *((f"src_{name}", kind) for name, kind in (
            ("x", c_size_t), ("y", c_size_t), ("type", c_int), ("host", c_void_p),
            ("device", c_uint64), ("array", c_void_p), ("pitch", c_size_t))),
        *((f"dst_{name}", kind) for name, kind in (
            ("x", c_size_t), ("y", c_size_t), ("type", c_int), ("host", c_void_p),
            ("device", c_uint64), ("array", c_void_p), ("pitch", c_size_t))),
        ("width", c_size_t), ("height", c_size_t),
    ]  # fmt: skip


class Copy3D(ctypes.Structure):
    _fields_ = [
        *((f"src_{name}", kind) for name, kind in (
            ("x", c_size_t), ("y", c_size_t), ("z", c_size_t), ("lod", c_size_t),
            ("type", c_int), ("host", c_void_p), ("device", c_uint64), ("array", c_void_p),
            ("reserved", c_void_p), ("pitch", c_size_t), ("height", c_size_t))),
        *((f"dst_{name}", kind) for name, kind in (
            ("x", c_size_t), ("y", c_size_t), ("z", c_size_t), ("lod", c_size_t),
            ("type", c_int), ("host", c_void_p), ("device", c_uint64), ("array", c_void_p),
            ("reserved", c_void_p), ("pitch", c_size_t), ("height", c_size_t))),
        ("width", c_size_t), ("height", c_size_t), ("depth", c_size_t),
    ]  # fmt: skip


HOST, DEVICE, ARRAY, UNIFIED = 1, 2, 3, 4


@pytest.mark.parametrize("name", ["cuMemcpy2D_v2", "cuMemcpy2DUnaligned_v2", "cuMemcpy2DAsync_v2"])
def test_copies_of_a_rectangle(device: Device, name: str) -> None:
    stream = (None,) if "Async" in name else ()
    host = np.arange(80, dtype=np.uint8).reshape(8, 10)
    device_side = np.zeros((6, 16), np.uint8)
    address = device.upload(device_side)
    to = Copy2D(
        src_type=HOST, src_host=host.ctypes.data, src_x=2, src_y=3, src_pitch=10,
        dst_type=DEVICE, dst_device=address, dst_x=5, dst_y=1, dst_pitch=16, width=7, height=4,
    )  # fmt: skip
    device.call(name, byref(to), *stream)
    device_side[1:5, 5:12] = host[3:7, 2:9]
    assert (device.download(address, device_side) == device_side).all()
    back = np.zeros((3, 4), np.uint8)
    fro = Copy2D(
        src_type=UNIFIED, src_device=address, src_x=4, src_y=2, src_pitch=16,
        dst_type=UNIFIED, dst_device=back.ctypes.data, dst_pitch=4, width=4, height=3,
    )  # fmt: skip
    device.call(name, byref(fro), *stream)
    assert (back == device_side[2:5, 4:8]).all()
    for field, value, status in (
        ("dst_pitch", 3, Status.INVALID_VALUE), ("src_y", 4, Status.INVALID_VALUE),
        ("src_type", 5, Status.INVALID_VALUE), ("src_type", ARRAY, Status.NOT_SUPPORTED),
        ("width", 2**63, Status.INVALID_VALUE), ("height", 2**62, Status.INVALID_VALUE),
        ("src_pitch", 2**62, Status.INVALID_VALUE), ("height", 0, Status.SUCCESS),
    ):  # fmt: skip
        bad = Copy2D.from_buffer_copy(fro)
        setattr(bad, field, value)
        assert device.status(name, byref(bad), *stream) == status, field


@pytest.mark.parametrize("name", ["cuMemcpy3D_v2", "cuMemcpy3DAsync_v2"])
def test_copies_of_a_box(device: Device, name: str) -> None:
    stream = (None,) if "Async" in name else ()
    host = np.arange(4 * 5 * 6, dtype=np.uint8).reshape(4, 5, 6)
    device_side = np.zeros((3, 4, 8), np.uint8)
    address = device.upload(device_side)
    what = Copy3D(
        src_type=HOST, src_host=host.ctypes.data, src_x=1, src_y=2, src_z=1, src_pitch=6,
        src_height=5, dst_type=DEVICE, dst_device=address, dst_x=3, dst_y=1, dst_z=0, dst_pitch=8,
        dst_height=4, width=5, height=3, depth=3,
    )  # fmt: skip
    device.call(name, byref(what), *stream)
    device_side[0:3, 1:4, 3:8] = host[1:4, 2:5, 1:6]
    assert (device.download(address, device_side) == device_side).all()
    for field, value in (("depth", 4), ("dst_height", 2), ("dst_z", 1), ("depth", 2**62)):
        bad = Copy3D.from_buffer_copy(what)
        setattr(bad, field, value)
        assert device.status(name, byref(bad), *stream) == Status.INVALID_VALUE, field


@pytest.mark.parametrize("is_async", [False, True])
@pytest.mark.parametrize("bits", [8, 16, 32])
def test_memsets(device: Device, bits: int, is_async: bool) -> None:
    dtype = np.dtype(f"uint{bits}")
    stream, suffix = ((None,), "Async") if is_async else ((), "_v2")
    array = np.zeros((5, 32), dtype)
    address = device.upload(array)
    value = 0xA1B2C3D4 & (2**bits - 1)
    start = c_uint64(address + 3 * dtype.itemsize)
    device.call(f"cuMemsetD{bits}{suffix}", start, c_uint(value), c_size_t(7), *stream)
    array[0, 3:10] = value
    pitch = c_size_t(array.strides[0])
    corner = c_uint64(address + 2 * array.strides[0] + 4 * dtype.itemsize)
    args = (pitch, c_uint(value), c_size_t(9), c_size_t(3), *stream)
    device.call(f"cuMemsetD2D{bits}{suffix}", corner, *args)
    array[2:5, 4:13] = value
    assert (device.download(address, array) == array).all()
    for name, bad in (
        (f"cuMemsetD{bits}{suffix}", (c_uint(value), c_size_t(2**62), *stream)),
        (f"cuMemsetD2D{bits}{suffix}", (pitch, c_uint(0), c_size_t(33), c_size_t(2), *stream)),
        (f"cuMemsetD2D{bits}{suffix}", (pitch, c_uint(0), c_size_t(1), c_size_t(6), *stream)),
    ):
        assert device.status(name, c_uint64(address), *bad) == Status.INVALID_VALUE
    if bits > 8:
        odd = (c_uint64(address + 1), c_uint(value), c_size_t(1), *stream)
        assert device.status(f"cuMemsetD{bits}{suffix}", *odd) == Status.INVALID_VALUE
