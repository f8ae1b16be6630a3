"""The driver API: modules, functions and launches."""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from ctypes import byref, c_float, c_int, c_size_t, c_uint64, c_void_p
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from .device import Device, entry
from .driver import ADD_ONE, Parameters, Status, directive, function, launch, number, zeros

# --- modules and functions ------------------------------------------------------------------------


def test_modules_from_files(device: Device, tmp_path: Path) -> None:
    path, module = tmp_path / "m.ptx", c_void_p()
    path.write_text(entry(ADD_ONE), encoding="utf-8")
    device.call("cuModuleLoad", byref(module), bytes(path))
    out = device.upload(np.zeros(32, np.uint32))
    assert device.launch(module, "k", out) == 0
    assert device.download(out, np.zeros(32, np.uint32)).sum() == 32
    missing = bytes(tmp_path / "nothing")
    assert device.status("cuModuleLoad", byref(module), missing) == Status.FILE_NOT_FOUND
    path.write_bytes(b"")
    assert device.status("cuModuleLoad", byref(module), bytes(path)) == Status.INVALID_IMAGE


def test_what_a_module_holds_is_found(device: Device) -> None:
    extra = """
    .visible .global .align 4 .u32 v[3] = {7, 8, 9};
    .func helper() { ret; }
    """
    module = device.load(entry(ADD_ONE, extra=extra))
    address, size, handle = c_uint64(), c_size_t(), c_void_p()
    device.call("cuModuleGetGlobal_v2", byref(address), byref(size), module, b"v")
    assert size.value == 12
    assert device.download(address.value, np.zeros(3, np.uint32)).tolist() == [7, 8, 9]
    missing = ("cuModuleGetGlobal_v2", byref(address), None, module, b"w")
    assert device.status(*missing) == Status.NOT_FOUND
    for name in (b"nothing", b"helper"):
        assert device.status("cuModuleGetFunction", byref(handle), module, name) == Status.NOT_FOUND
    launched = function(device, module)
    device.call("cuModuleUnload", module)
    assert device.status("cuModuleUnload", module) == Status.INVALID_HANDLE
    assert (
        device.status("cuModuleGetFunction", byref(handle), module, b"k") == Status.INVALID_HANDLE
    )
    assert device.status("cuFuncGetAttribute", byref(c_int()), 0, launched) == Status.INVALID_HANDLE


@pytest.mark.parametrize(
    ("option", "status"),
    [(7, 0), (11, 0), (2, Status.NOT_SUPPORTED), (17, Status.NOT_SUPPORTED), (-1, 1), (36, 1)],
)
def test_options_of_the_compiler(device: Device, option: int, status: int) -> None:
    options, values = (c_int * 1)(option), (c_void_p * 1)()
    image = entry(ADD_ONE).encode()
    loaded = device.status(
        "cuModuleLoadDataEx", byref(c_void_p()), image, 1, options, values
    )  # fmt: skip
    assert loaded == status


def attributes(device: Device, handle: c_void_p) -> list[int]:
    return [number(device, "cuFuncGetAttribute", which, handle) for which in range(16)]


def test_functions_tell_what_they_are(device: Device) -> None:
    extra = ".const .align 4 .u32 c[5];"
    body = ".shared .align 4 .b8 s[100]; .local .align 8 .b8 l[24];" + ADD_ONE
    module = device.load(directive(".maxntid 128, 1, 1", body, extra=extra))
    got = attributes(device, function(device, module))
    assert got[:4] == [128, 100, 20, 32]
    assert got[5:] == [80, 86, 0, 48 * 1024 - 100, -1, 0, 0, 0, 0, 0, 0]
    handle = function(device, module)
    for which in (-1, 16, 100):
        assert (
            device.status("cuFuncGetAttribute", byref(c_int()), which, handle)
            == Status.INVALID_VALUE
        )


def test_attributes_of_functions_are_set_or_refused(device: Device) -> None:
    handle = function(device, device.load(entry(ADD_ONE)))
    for which, value in ((8, 99 << 10), (8, 0), (9, 100), (9, -1), (14, 1), (15, 2), (11, 2)):
        device.call("cuFuncSetAttribute", handle, which, value)
        assert attributes(device, handle)[which] == value
    refused = [(8, -1), (8, (99 << 10) + 1), (9, 101), (9, -2), (14, 2), (15, 3), (11, -1)]
    refused += [(which, 0) for which in (0, 1, 2, 3, 4, 5, 6, 7, 10, 16, -1)]
    for which, value in refused:
        assert device.status("cuFuncSetAttribute", handle, which, value) == Status.INVALID_VALUE
    for config in range(4):
        device.call("cuFuncSetCacheConfig", handle, config)
    for config in (-1, 4):
        assert device.status("cuFuncSetCacheConfig", handle, config) == Status.INVALID_VALUE
    compiled = function(device, device.load(directive(".reqnctapercluster 2, 1, 1")))
    assert attributes(device, compiled)[10:14] == [1, 2, 1, 1]
    for which in (11, 12, 13):
        assert device.status("cuFuncSetAttribute", compiled, which, 4) == Status.NOT_PERMITTED


# --- launches -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("shape", "what"),
    [
        ({"grid": (0, 1, 1)}, "the grid has size (0, 1, 1)"),
        ({"grid": (1, 65536, 1)}, "the grid has size (1, 65536, 1)"),
        ({"grid": (1, 1, 65536)}, "the grid has size (1, 1, 65536)"),
        ({"grid": (2**31, 1, 1)}, "the grid has size (2147483648, 1, 1)"),
        ({"block": (0, 1, 1)}, "a block has size (0, 1, 1)"),
        ({"block": (-1, 1, 1)}, "a block has size (4294967295, 1, 1)"),
        ({"block": (1025, 1, 1)}, "a block has size (1025, 1, 1)"),
        ({"block": (1, 1, 65)}, "a block has size (1, 1, 65)"),
        ({"block": (32, 33, 1)}, "and at most 1024 threads"),
        ({"shared": 49153}, "it is given 49153 bytes of shared memory, expected at most 49152"),
    ],
)
def test_launches_of_no_shape_are_refused(
    device: Device, capfd: pytest.CaptureFixture[str], shape: dict[str, Any], what: str
) -> None:
    kernel, out = function(device, device.load(entry(ADD_ONE))), zeros(device)
    assert launch(device, kernel, out, **shape) == Status.INVALID_VALUE
    err = capfd.readouterr().err
    assert "softcuda: cannot launch k: " in err
    assert what in err
    assert launch(device, kernel, out) == 0
    device.call("cuCtxSynchronize")  # nothing of it stays


def test_parameters_are_checked(device: Device) -> None:
    kernel = function(device, device.load(entry(ADD_ONE)))
    address, size = c_uint64(zeros(device)), c_size_t(8)
    place, count = ctypes.addressof(address), ctypes.addressof(size)

    def start(*items: int | None, pointers: Any = None) -> int:
        extra = (c_void_p * (len(items) + 1))(*items, None)
        shape = (1, 1, 1, 32, 1, 1, 0)
        return device.status("cuLaunchKernel", kernel, *shape, None, pointers, extra)

    assert start(1, place, 2, count) == 0
    assert start(2, count, 1, place) == 0
    for bad in ((), (1, place), (2, count), (1, place, 2, None), (3, place)):
        assert start(*bad) == Status.INVALID_VALUE
    both = Parameters(address.value)
    assert start(1, place, 2, count, pointers=both.pointers) == Status.INVALID_VALUE
    none = device.status(
        "cuLaunchKernel", kernel, 1, 1, 1, 32, 1, 1, 0, None, (c_void_p * 1)(), None
    )
    assert none == Status.INVALID_VALUE
    size.value = 7
    assert start(1, place, 2, count) == Status.INVALID_VALUE


def test_a_kernel_has_the_block_that_it_was_compiled_for(device: Device) -> None:
    out = zeros(device)
    required = function(device, device.load(directive(".reqntid 16, 2, 1")))
    assert launch(device, required, out, block=(16, 2, 1)) == 0
    for block in ((32, 1, 1), (16, 2, 2), (16, 1, 1), (2, 16, 1)):
        assert launch(device, required, out, block=block) == Status.INVALID_VALUE
    most = function(device, device.load(directive(".maxntid 64, 1, 1")))
    assert launch(device, most, out, block=(64, 1, 1)) == 0
    assert launch(device, most, out, block=(8, 8, 1)) == 0
    assert launch(device, most, out, block=(65, 1, 1)) == Status.INVALID_VALUE


def test_shared_memory_beyond_48_kilobytes_is_asked_for(device: Device) -> None:
    out = zeros(device)
    kernel = function(device, device.load(entry(".shared .align 4 .b8 s[1024];" + ADD_ONE)))
    assert launch(device, kernel, out, shared=47 << 10) == 0
    assert launch(device, kernel, out, shared=(47 << 10) + 1) == Status.INVALID_VALUE
    assert device.status("cuFuncSetAttribute", kernel, 8, 99 << 10) == Status.INVALID_VALUE
    device.call("cuFuncSetAttribute", kernel, 8, 98 << 10)
    assert launch(device, kernel, out, shared=98 << 10) == 0
    assert launch(device, kernel, out, shared=(98 << 10) + 1) == Status.INVALID_VALUE
    device.call("cuFuncSetAttribute", kernel, 8, 16)
    assert launch(device, kernel, out, shared=17) == Status.INVALID_VALUE
    large = function(device, device.load(entry(".shared .b8 s[50000];" + ADD_ONE)))
    assert launch(device, large, out) == Status.OUT_OF_RESOURCES


def test_a_block_has_the_registers_of_a_multiprocessor(device: Device) -> None:
    """Sums of 120 values that all live at once: 1024 threads of them are too many.

    Neither the loads nor the additions may be put in another order, as ptxas would like to.
    """
    loads = "".join(f"ld.volatile.global.f32 %q{k}, [%rd0+{4 * k}];\n" for k in range(120))
    sums = "".join(f"add.f32 %f4, %f4, %q{k};\n" for k in reversed(range(120)))
    body = f".reg .f32 %q<120>;\n{loads}mov.f32 %f4, 0f00000000;\n{sums}st.global.f32 [%rd0], %f4;"
    kernel, out = function(device, device.load(entry(body))), zeros(device)
    most = attributes(device, kernel)[0]
    assert 256 <= most < 1024
    assert launch(device, kernel, out, block=(most, 1, 1)) == 0
    too_many = (most + 32, 1, 1)
    assert launch(device, kernel, out, block=too_many) == Status.OUT_OF_RESOURCES


def test_a_kernel_has_registers_for_as_many_threads_as_it_says(device: Device) -> None:
    """Ptxas spills rather than give a thread more; the estimate is bounded likewise."""
    loads = "".join(f"ld.volatile.global.f32 %q{k}, [%rd0+{4 * k}];\n" for k in range(120))
    sums = "".join(f"add.f32 %f4, %f4, %q{k};\n" for k in reversed(range(120)))
    body = f".reg .f32 %q<120>;\n{loads}mov.f32 %f4, 0f00000000;\n{sums}st.global.f32 [%rd0], %f4;"
    out = zeros(device)
    for threads in (1024, 1000, 640, 544):
        kernel = function(device, device.load(directive(f".maxntid {threads}, 1, 1", body)))
        assert launch(device, kernel, out, block=(threads, 1, 1)) == 0


def test_a_function_is_launched_in_its_context(device: Device) -> None:
    kernel, out = function(device, device.load(entry(ADD_ONE))), zeros(device)
    other = c_void_p()
    device.call("cuCtxCreate_v4", byref(other), None, 0, 0)
    assert launch(device, kernel, out) == Status.INVALID_HANDLE
    device.call("cuCtxDestroy_v2", other)
    assert launch(device, kernel, out) == 0


@pytest.mark.parametrize(
    ("cluster", "grid", "large", "status"),
    [
        ((2, 1, 1), (4, 1, 1), 0, Status.SUCCESS),
        ((2, 2, 2), (4, 2, 2), 0, Status.SUCCESS),
        ((2, 1, 1), (3, 1, 1), 0, Status.INVALID_CLUSTER_SIZE),
        ((1, 2, 1), (4, 1, 1), 0, Status.INVALID_CLUSTER_SIZE),
        ((16, 1, 1), (16, 1, 1), 0, Status.INVALID_CLUSTER_SIZE),
        ((16, 1, 1), (16, 1, 1), 1, Status.SUCCESS),
        ((17, 1, 1), (17, 1, 1), 1, Status.INVALID_CLUSTER_SIZE),
    ],
)
def test_clusters_fit_the_grid(
    new_device: Callable[..., Device], cluster: tuple[int, ...], grid: tuple[int, ...], large: int,
    status: Status,
) -> None:  # fmt: skip
    device = new_device(SOFTCUDA_COMPUTE_CAPABILITY="90")
    out = zeros(device)
    set_later = function(device, device.load(entry(ADD_ONE)))
    for which, size in zip((11, 12, 13), cluster, strict=True):
        device.call("cuFuncSetAttribute", set_later, which, size)
    text = ".reqnctapercluster " + ", ".join(map(str, cluster))
    compiled = function(device, device.load(directive(text)))
    for kernel in (set_later, compiled):
        device.call("cuFuncSetAttribute", kernel, 14, large)
        assert launch(device, kernel, out, grid=grid) == status


def test_a_cluster_has_all_its_sizes(new_device: Callable[..., Device]) -> None:
    device = new_device(SOFTCUDA_COMPUTE_CAPABILITY="90")
    kernel, out = function(device, device.load(entry(ADD_ONE))), zeros(device)
    device.call("cuFuncSetAttribute", kernel, 11, 2)
    assert launch(device, kernel, out, grid=(4, 1, 1)) == Status.INVALID_CLUSTER_SIZE
    device.call("cuFuncSetAttribute", kernel, 12, 1)
    device.call("cuFuncSetAttribute", kernel, 13, 1)
    assert launch(device, kernel, out, grid=(4, 1, 1)) == 0


def test_clusters_came_with_compute_capability_9(
    device: Device, capfd: pytest.CaptureFixture[str]
) -> None:
    kernel = function(device, device.load(directive(".reqnctapercluster 2, 1, 1")))
    assert launch(device, kernel, zeros(device), grid=(2, 1, 1)) == Status.INVALID_CLUSTER_SIZE
    assert "expected compute capability 9.0 or higher" in capfd.readouterr().err


def test_launches_piece_by_piece(device: Device) -> None:
    """What cuLaunch takes: the way before cuLaunchKernel."""
    body = """
    add.s64 %rd0, %rd0, %rd10;
    cvt.u32.u64 %r5, %rd1;
    st.global.u32 [%rd0], %r5;
    """
    out = device.upload(np.zeros(64, np.uint32))
    handle = function(device, device.load(entry(body, params=2)))
    device.call("cuFuncSetBlockShape", handle, 16, 1, 1)
    device.call("cuFuncSetSharedSize", handle, 64)
    device.call("cuParamSetSize", handle, 16)
    address = c_uint64(out)
    device.call("cuParamSetv", handle, 0, byref(address), 8)
    device.call("cuParamSeti", handle, 8, 5)
    device.call("cuParamSeti", handle, 12, 0)
    device.call("cuLaunch", handle)
    assert device.download(out, np.zeros(64, np.uint32)).tolist() == [5] * 16 + [0] * 48
    device.call("cuParamSetf", handle, 8, c_float(1.0))
    device.call("cuLaunchGrid", handle, 2, 1)
    one = int(np.float32(1).view(np.uint32))
    assert device.download(out, np.zeros(64, np.uint32)).tolist() == [one] * 32 + [0] * 32
    device.call("cuParamSeti", handle, 8, 9)
    device.call("cuLaunchGridAsync", handle, 2, 2, None)
    assert device.download(out, np.zeros(64, np.uint32)).tolist() == [9] * 32 + [0] * 32
    for call in (
        ("cuFuncSetBlockShape", handle, 0, 1, 1), ("cuParamSetSize", handle, 5000),
        ("cuParamSetv", handle, 4090, byref(address), 8), ("cuParamSetv", handle, 0, None, 8),
        ("cuParamSeti", handle, -1, 0), ("cuLaunchGrid", handle, 0, 1),
        ("cuLaunchGrid", handle, 1, -1),
    ):  # fmt: skip
        assert device.status(*call) == Status.INVALID_VALUE
    device.call("cuParamSetSize", handle, 8)
    assert device.status("cuLaunch", handle) == Status.INVALID_VALUE  # a parameter is missing
