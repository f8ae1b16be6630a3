"""What is loaded as a module: fatbins, cubins and PTX, for this device or another, and damaged."""

from __future__ import annotations

import ctypes
import os
import re
import stat
import struct
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from .device import CudaError, Device, entry
from .images import CUBIN, FAMILY, GROUP, LZ4, PTX, THIS_ONLY, ZSTD, Entry, cubin, damaged, fatbin
from .test_machine import run

INVALID_IMAGE, NO_BINARY, INVALID_PTX, ILLEGAL_ADDRESS = 200, 209, 218, 700
DEVICE = 86


def answer(number: int, target: str = "sm_75") -> bytes:
    """A kernel that writes `number`."""
    body = f"mov.u32 %r4, {number};\nst.global.u32 [%rd0], %r4;\n"
    return entry(body).replace(".target sm_80", f".target {target}").encode()


def ask(device: Device, image: bytes) -> int:
    """The number that the image's kernel writes."""
    out = device.upload(np.zeros(1, np.uint32))
    assert device.launch(device.load(image), "k", out, block=1) == 0
    return int(device.download(out, np.zeros(1, np.uint32))[0])


# --- fatbins ---


@pytest.mark.parametrize("flags", [0, LZ4, ZSTD])
@pytest.mark.parametrize("kind", [PTX, CUBIN])
def test_what_is_in_a_fatbin_is_run(device: Device, kind: int, flags: int) -> None:
    data = answer(7) if kind == PTX else cubin(DEVICE, answer(7))
    assert ask(device, fatbin(Entry(kind, 80, data, flags))) == 7


def test_a_fatbin_of_fatbinary_with_huffman_codes_and_sequences(device: Device) -> None:
    """As nvcc 13.5 wrote it with ``--compress-mode=size``."""
    image = (Path(__file__).parent / "compressed.fatbin").read_bytes()
    assert image.count(b"\x28\xb5\x2f\xfd") == 2  # two Zstandard frames
    assert b".visible .entry" not in image
    out = device.upload(np.zeros(64, np.float32))
    assert device.launch(device.load(image), "scale", out, ctypes.c_float(3), block=64) == 0
    assert device.download(out, np.zeros(64, np.float32)).tolist() == [3 * k for k in range(64)]


@pytest.mark.parametrize("flags", [0, LZ4, ZSTD])
@pytest.mark.parametrize("name", [b"", b"a.cu", b"abcd.cu", b"abcde.cu", b"abcdef.cu"])
@pytest.mark.parametrize("options", [b"", b"-O3", b"-lineinfo", b"--generate-line-info "])
def test_a_group_is_compressed_as_one(
    device: Device, flags: int, name: bytes, options: bytes
) -> None:
    members = [
        Entry(PTX, k, answer(k) + bytes(k % 7), name=name, options=options) for k in (75, 80, 86)
    ]
    assert ask(device, fatbin(Entry(GROUP, 0, b"", flags, members=members))) == DEVICE


@pytest.mark.parametrize(
    ("entries", "expected"),
    [
        ([75], 75),
        ([75, 80], 80),
        ([86, 75], 86),
        ([80, 90, 75, 100], 80),
        ([120, 86, 90], 86),
    ],
)
def test_the_newest_ptx_that_the_device_has_is_taken(
    device: Device, entries: list[int], expected: int
) -> None:
    assert ask(device, fatbin(*(Entry(PTX, k, answer(k)) for k in entries))) == expected


def test_machine_code_comes_before_ptx(device: Device) -> None:
    def machine_code(architecture: int, number: int) -> Entry:
        return Entry(CUBIN, architecture, cubin(architecture, answer(number)))

    text = Entry(PTX, 86, answer(1))
    assert ask(device, fatbin(text, machine_code(86, 2), machine_code(80, 3))) == 2
    assert ask(device, fatbin(text, machine_code(80, 3), machine_code(90, 4))) == 3
    # Another major number, or a later minor one, is not for this device.
    assert ask(device, fatbin(machine_code(75, 4), machine_code(89, 5), text)) == 1


def test_registers_are_those_of_the_machine_code_that_a_gpu_would_run(device: Device) -> None:
    bare = Entry(CUBIN, 86, cubin(86, None, registers=57))
    module = device.load(fatbin(Entry(PTX, 86, answer(1)), bare))
    assert attribute(device, module, 4) == 57


@pytest.mark.parametrize(
    ("capability", "architecture", "flags", "runs"),
    [
        (90, 90, THIS_ONLY, True),
        (100, 90, THIS_ONLY, False),
        (100, 100, FAMILY, True),
        (103, 100, FAMILY, True),
        (103, 100, THIS_ONLY, False),
        (120, 100, FAMILY, False),
        (100, 103, FAMILY, False),
        (120, 90, 0, True),
    ],
)
def test_suffixes_bind_ptx_to_an_architecture_or_its_family(
    capability: int, architecture: int, flags: int, runs: bool
) -> None:
    suffix = {0: "", THIS_ONLY: "a", FAMILY: "f"}[flags]
    program = f"""
from tests.softcuda.device import CudaError, Device
from tests.softcuda.images import PTX, Entry, fatbin
from tests.softcuda.test_images import answer, ask
device = Device()
text = answer(5, "sm_{architecture}{suffix}")
for image in (text, fatbin(Entry(PTX, {architecture}, text, {flags}))):
    try:
        print(ask(device, image))
    except CudaError as error:
        print(error.code)
"""
    done = run(program, {"SOFTCUDA_COMPUTE_CAPABILITY": str(capability)})
    expected = ["5", "5"] if runs else [str(INVALID_PTX), str(NO_BINARY)]
    assert done.stdout.split() == expected, done.stderr


@pytest.mark.parametrize(
    ("image", "status", "messages"),
    [
        (
            answer(1, "sm_90"),
            INVALID_PTX,
            [
                "line 2: the target is sm_90",
                "compute capability 8.6",
                "SOFTCUDA_COMPUTE_CAPABILITY",
            ],
        ),
        (answer(1, "sm_86a"), None, []),
        (answer(1, "sm_80a"), INVALID_PTX, ["the target is sm_80a"]),
        (answer(1, "sm_8x"), INVALID_PTX, ["target sm_8x is not known"]),
        (answer(1, "frobnicate"), INVALID_PTX, ["target frobnicate is not known"]),
        (cubin(90, answer(1)), NO_BINARY, ["this cubin is for sm_90", "compute capability 8.6"]),
        (cubin(75, answer(1)), NO_BINARY, ["this cubin is for sm_75"]),
        (cubin(89, answer(1)), NO_BINARY, ["this cubin is for sm_89"]),
        (cubin(80, answer(1, "sm_80a")), NO_BINARY, ["the target is sm_80a"]),
        (cubin(86, None), NO_BINARY, ["carries no PTX", "nvcc -lineinfo"]),
        (
            fatbin(Entry(PTX, 90, answer(1)), Entry(CUBIN, 75, cubin(75, answer(1)))),
            NO_BINARY,
            ["PTX for sm_90, machine code for sm_75", "compute capability 8.6"],
        ),
        (
            fatbin(Entry(CUBIN, 86, cubin(86, None))),
            NO_BINARY,
            ["machine code for sm_86, but no PTX", "nvcc -lineinfo"],
        ),
        (fatbin(), NO_BINARY, ["nothing that can be run"]),
        (fatbin(Entry(8, 86, b"intermediate code")), NO_BINARY, ["nothing that can be run"]),
    ],
)
def test_what_is_made_for_another_device_is_refused(
    device: Device, image: bytes, status: int | None, messages: list[str]
) -> None:
    if status is None:
        assert ask(device, image) == 1
        return
    with pytest.raises(CudaError) as caught:
        device.load(image)
    assert caught.value.code == status
    for message in messages:
        assert message in caught.value.log


def test_a_wrapper_leads_to_its_fatbin(device: Device) -> None:
    """Compiled programs have a struct that points to it."""
    whole = ctypes.create_string_buffer(fatbin(Entry(PTX, 75, answer(9))))
    wrapper = struct.pack("<IIQQ", 0x466243B1, 1, ctypes.addressof(whole), 0)
    assert ask(device, wrapper) == 9
    for address in (0, 8, ctypes.addressof(ctypes.create_string_buffer(b"no fatbin"))):
        wrapper = struct.pack("<IIQQ", 0x466243B1, 1, address, 0)
        with pytest.raises(CudaError) as caught:
            device.load(wrapper)
        assert caught.value.code == INVALID_IMAGE


def test_a_file_may_hold_several_fatbins(device: Device, tmp_path: Path) -> None:
    file = tmp_path / "several.fatbin"
    file.write_bytes(fatbin(Entry(PTX, 75, answer(1))) + fatbin(Entry(PTX, 86, answer(2))))
    module = ctypes.c_void_p()
    device.call("cuModuleLoad", ctypes.byref(module), os.fsencode(file))
    out = device.upload(np.zeros(1, np.uint32))
    assert device.launch(module, "k", out, block=1) == 0
    assert device.download(out, np.zeros(1, np.uint32)).tolist() == [2]


# --- damage ---

GROUPED = [Entry(PTX, k, answer(k)) for k in (75, 86)]
IMAGES = {
    "plain": fatbin(Entry(CUBIN, 86, cubin(86, answer(1))), Entry(PTX, 86, answer(2))),
    "lz4": fatbin(Entry(CUBIN, 86, cubin(86, answer(1)), LZ4), Entry(PTX, 86, answer(2), LZ4)),
    "zstd": fatbin(Entry(PTX, 86, answer(1), ZSTD)),
    "huffman": (Path(__file__).parent / "compressed.fatbin").read_bytes(),
    "group": fatbin(Entry(GROUP, 0, b"", LZ4, members=GROUPED)),
    "cubin": cubin(86, answer(1), registers=9),
}


@pytest.mark.parametrize("name", IMAGES)
def test_damaged_images_never_end_the_process(
    device: Device, tmp_path: Path, name: str, capfd: pytest.CaptureFixture[str]
) -> None:
    """From memory, where the image says how long it is, and from a file, which knows."""
    rng = np.random.default_rng(0)
    file = tmp_path / "image"
    statuses: dict[int, int] = {}
    for k in range(400):
        bad = damaged(IMAGES[name], rng, head=96)
        module = ctypes.c_void_p()
        if k % 2:
            file.write_bytes(bad)
            status = device.status("cuModuleLoad", ctypes.byref(module), os.fsencode(file))
        else:
            status = device.status("cuModuleLoadData", ctypes.byref(module), bad + bytes(64))
        statuses[status] = statuses.get(status, 0) + 1
        if status == 0:
            device.call("cuModuleUnload", module)
    assert set(statuses) <= {0, INVALID_IMAGE, NO_BINARY, INVALID_PTX}
    assert statuses[INVALID_IMAGE] > 50
    assert ask(device, answer(3)) == 3  # and it goes on
    assert "cannot load a module" in capfd.readouterr().err


def test_a_fatbin_cannot_claim_more_than_it_holds(device: Device) -> None:
    """Four bytes of a frame stand for 128 KB: what they say is not believed."""
    good = fatbin(Entry(PTX, 86, answer(1), ZSTD))
    real = 16 + 56  # of the first entry: the size after decompression
    for size in (0, 1, 2**28, 2**28 + 1, 2**63, 2**64 - 1):
        with pytest.raises(CudaError) as caught:
            device.load(good[:real] + struct.pack("<Q", size) + good[real + 8 :])
        assert caught.value.code == INVALID_IMAGE


# --- source lines ---

TOOLKIT = "/opt/nvcc/bin/../include/sm_30_intrinsics.hpp"
FILES = f'.file 1 "/home/me/kernel.cu"\n.file 2 "{TOOLKIT}"\n.file 3 "/home/me/include/mine.cuh"\n'


@pytest.mark.parametrize(
    ("places", "where", "inlined"),
    [
        ([".loc 1 12 3"], "/home/me/kernel.cu:12", ""),
        # What a header of the toolkit does is its caller's doing.
        (
            [".loc 1 12 3", ".loc 2 99 1, function_name $s, inlined_at 1 12 3"],
            "/home/me/kernel.cu:12",
            "sm_30_intrinsics.hpp:99, inlined at /home/me/kernel.cu:12",
        ),
        # A function of one's own is named itself, and where it was inlined.
        (
            [".loc 1 12 3", ".loc 3 5 1, function_name $s, inlined_at 1 12 3"],
            "/home/me/include/mine.cuh:5",
            "/home/me/include/mine.cuh:5, inlined at /home/me/kernel.cu:12",
        ),
        # Headers in headers, in a function of one's own, of which there are two calls.
        (
            [
                ".loc 1 12 3",
                ".loc 3 5 1, function_name $s, inlined_at 1 12 3",
                ".loc 1 14 3",
                ".loc 3 5 1, function_name $s, inlined_at 1 14 3",
                ".loc 2 70 2, function_name $s+4, inlined_at 3 5 1",
                ".loc 2 99 1, function_name $s, inlined_at 2 70 2",
            ],
            "/home/me/include/mine.cuh:5",
            "sm_30_intrinsics.hpp:99, inlined at sm_30_intrinsics.hpp:70, "
            "inlined at /home/me/include/mine.cuh:5, inlined at /home/me/kernel.cu:14",
        ),
        # Nobody of the user's called it: then it is the header.
        ([".loc 2 99 1"], f"{TOOLKIT}:99", ""),
    ],
)
def test_the_line_of_what_is_inlined_is_the_users(
    new_device: Callable[..., Device],
    capfd: pytest.CaptureFixture[str],
    places: list[str],
    where: str,
    inlined: str,
) -> None:
    device = new_device(SOFTCUDA_PTXAS="")  # which misses the sections that $s is in
    body = "\n".join(places) + "\nst.global.u32 [%rd0+4], %r0;\n.loc 1 20 1\n"
    image = entry(body).encode() + FILES.encode()
    out = device.upload(np.zeros(1, np.uint32))
    assert device.launch(device.load(image), "k", out, block=1) == ILLEGAL_ADDRESS
    lines = capfd.readouterr().err.splitlines()
    assert lines[0] == "softcuda: out-of-bounds write in kernel k"
    assert lines[1] == f"  at {where} by thread (0,0,0) of block (0,0,0)"
    assert lines[2:-1] == ([f"  in {inlined}"] if inlined else [])
    assert re.match(
        "  write of 4 bytes at 0x[0-9a-f]+ in global memory lies 0 bytes after", lines[-1]
    )


# --- registers ---


def attribute(device: Device, module: ctypes.c_void_p, number: int) -> int:
    function, value = ctypes.c_void_p(), ctypes.c_int()
    device.call("cuModuleGetFunction", ctypes.byref(function), module, b"k")
    device.call("cuFuncGetAttribute", ctypes.byref(value), number, function)
    return value.value


PROGRAM = """
from tests.softcuda.device import Device
from tests.softcuda.test_images import answer, ask, attribute
device = Device()
device.load(answer(2))  # of no interest
module = device.load(answer(1))
print(attribute(device, module, 4), attribute(device, module, 4))
print(ask(device, answer(3)))
"""


def script(folder: Path, text: str) -> dict[str, str]:
    """A program that is run instead of ptxas; it notes its arguments and what it was given."""
    file = folder / "ptxas"
    file.write_text(f"#!/bin/sh\necho $2 >> {folder}/calls\ncat $3 > {folder}/ptx\n{text}\n")
    file.chmod(file.stat().st_mode | stat.S_IXUSR)
    return {"SOFTCUDA_PTXAS": str(file), "SOFTCUDA_COMPUTE_CAPABILITY": "90"}


def test_ptxas_says_what_plain_ptx_takes_and_is_asked_once(tmp_path: Path) -> None:
    says = """
echo "ptxas info    : Compiling entry function 'other' for 'sm_90'" >&2
echo "ptxas info    : Used 12 registers, used 0 barriers" >&2
echo "ptxas info    : Compiling entry function 'k' for 'sm_90'" >&2
echo "ptxas info    : Function properties for k" >&2
echo "ptxas info    : Used 77 registers, used 1 barriers, 364 bytes cmem[0]" >&2
"""
    done = run(PROGRAM, script(tmp_path, says))
    assert done.stdout.split() == ["77", "77", "3"], done.stderr
    # For two of the three modules: the first was not asked about.
    assert (tmp_path / "calls").read_text().split() == ["-arch=sm_90", "-arch=sm_90"]
    assert (tmp_path / "ptx").read_bytes() == answer(3)


def test_without_ptxas_registers_are_estimated(tmp_path: Path) -> None:
    estimated = run(PROGRAM, {"SOFTCUDA_PTXAS": ""})
    done = run(PROGRAM, script(tmp_path, "echo 'fatal: not today' >&2; exit 3"))
    assert done.stdout == estimated.stdout
    assert f"softcuda: {tmp_path}/ptxas: fatal: not today; registers are estimated" in done.stderr
    assert estimated.stderr == ""


def test_a_ptxas_that_is_none_is_refused() -> None:
    done = run(PROGRAM, {"SOFTCUDA_PTXAS": "/nowhere/ptxas"})
    assert done.returncode != 0
    assert "SOFTCUDA_PTXAS has value '/nowhere/ptxas', expected the path of ptxas" in done.stderr
