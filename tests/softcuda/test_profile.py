"""What is counted, as JSON and as tables: every number derived by hand."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from refrnn_accel.softcuda import Profile
from refrnn_accel.softcuda.cli import main
from refrnn_accel.softcuda.report import NOTE, merged, read, short_name, table

from .device import Device, entry
from .driver import zeros

#: Lines 3 and 4 of a source that is called k.cu.
BODY = """
.loc 1 3 0
ld.global.f32 %f1, [%rd4];
fma.rn.f32 %f2, %f1, %f1, %f1;
.loc 1 4 0
st.global.f32 [%rd4], %f2;
atom.global.add.u32 %r5, [%rd0], 1;
"""
KERNEL = f"""
.shared .align 4 .b8 s[8192];
mul.lo.u32 %r4, %r0, 8;
cvt.u64.u32 %rd5, %r4;
add.s64 %rd4, %rd0, %rd5;
{BODY}
mov.u32 %r6, s;
add.u32 %r6, %r6, %r4;
st.shared.f32 [%r6], %f2;
bar.sync 0;
setp.lt.u32 %p1, %r0, 5;
@%p1 bra L1;
mov.u32 %r7, 1;
L1: mov.u32 %r7, 2;
"""
FILE = '.file 1 "/somewhere/k.cu"\n'


def counted(device: Device, name: str = "k", *, grid: int = 2, block: int = 64) -> dict[str, Any]:
    module = device.load(entry(KERNEL, name=name) + FILE)
    device.reset()
    assert device.launch(module, name, zeros(device), grid=grid, block=block) == 0
    return device.profile()[name]


def test_every_count_is_what_hand_derives(device: Device) -> None:
    """2 blocks of 2 warps: 4 warps, 128 lanes; stride 2 takes 8 sectors, and 2 wavefronts."""
    kernel = counted(device)
    expected = {
        "launches": 1, "is_entry": True, "flops": 2 * 128,
        "global_load_requests": 4, "global_load_sectors": 32,
        "global_store_requests": 4, "global_store_sectors": 32,
        "global_atomic_requests": 4, "global_atomic_sectors": 4,
        "global_requests": 12, "global_sectors": 68,
        "shared_requests": 4, "shared_wavefronts": 8,
        "atomics": 128, "barriers": 4,
    }  # fmt: skip
    assert {key: kernel[key] for key in expected} == expected
    assert kernel["shared_conflicts"] == 8 - kernel["shared_ideal_wavefronts"]
    assert kernel["classes"]["atomic"] == {"warps": 4, "lanes": 128}
    assert sum(one["warps"] for one in kernel["classes"].values()) == kernel["warp_instructions"]
    assert sum(one["lanes"] for one in kernel["classes"].values()) == kernel["lane_instructions"]
    assert kernel["registers"] > 0


def test_lines_of_the_source_have_their_share(device: Device) -> None:
    lines = {line["line"]: line for line in counted(device)["lines"]}
    assert {line["file"] for line in lines.values()} == {"/somewhere/k.cu"}
    assert lines[3]["warp_instructions"] == 8
    assert lines[3]["lane_instructions"] == 256
    assert (lines[3]["global_requests"], lines[3]["global_sectors"]) == (4, 32)
    assert lines[4]["global_sectors"] == 36
    assert lines[4]["shared_wavefronts"] == 8  # .loc holds until the next


def test_a_kernel_without_lines_has_none(device: Device) -> None:
    module = device.load(entry("mov.u32 %r4, 1;", name="bare"))
    assert device.launch(module, "bare", zeros(device)) == 0
    assert device.profile()["bare"]["lines"] == []


def test_what_a_module_did_is_known_when_it_is_gone(device: Device) -> None:
    module = device.load(entry("mov.u32 %r4, 1;", name="gone"))
    assert device.launch(module, "gone", zeros(device), grid=3) == 0
    before = device.profile()["gone"]
    device.call("cuModuleUnload", module)
    assert device.profile()["gone"] == before
    device.reset()
    assert "gone" not in device.profile()


def test_a_function_that_is_called_is_counted_by_itself(device: Device) -> None:
    called = ".func called() { .reg .u32 %x; mov.u32 %x, 1; mov.u32 %x, 2; ret; }"
    module = device.load(entry("call.uni called, ();", name="calls", extra=called))
    device.reset()
    assert device.launch(module, "calls", zeros(device)) == 0
    profile = device.profile()
    assert not profile["called"]["is_entry"]
    assert (profile["called"]["launches"], profile["called"]["warp_instructions"]) == (0, 3)


# --- for people ----------------------------------------------------------------------------------


def kernel(name: str, demangled: str = "", **counts: Any) -> dict[str, Any]:
    keys = (
        "launches", "registers", "warp_instructions", "lane_instructions", "flops", "atomics",
        "global_load_requests", "global_load_sectors", "global_store_requests",
        "global_store_sectors", "shared_conflicts", "barriers", "divergent_branches",
    )  # fmt: skip
    return {
        "name": name, "demangled": demangled or name, "is_entry": True, "lines": [], "classes": {},
        **dict.fromkeys(keys, 0), **counts,
    }  # fmt: skip


def line(number: int, lanes: int) -> dict[str, Any]:
    return {
        "file": "/a/k.cu", "line": number, "warp_instructions": 1, "lane_instructions": lanes,
        "global_sectors": 2, "shared_wavefronts": 3,
    }  # fmt: skip


def test_kernels_of_one_name_are_added_up() -> None:
    both = merged(
        [
            kernel("a", launches=1, registers=8, lines=[line(1, 10)],
                   classes={"move": {"warps": 1, "lanes": 32}}),
            kernel("b", lane_instructions=5),
            kernel("a", launches=2, registers=6, lines=[line(2, 20), line(1, 15)],
                   classes={"move": {"warps": 2, "lanes": 64}, "warp": {"warps": 1, "lanes": 1}}),
        ]
    )  # fmt: skip
    assert [one["name"] for one in both] == ["b", "a"]  # by instructions
    a = both[1]
    assert (a["launches"], a["registers"], a["is_entry"]) == (3, 8, True)
    assert a["classes"] == {"move": {"warps": 3, "lanes": 96}, "warp": {"warps": 1, "lanes": 1}}
    assert [(one["line"], one["lane_instructions"]) for one in a["lines"]] == [(1, 25), (2, 20)]


def test_the_table_says_what_was_counted() -> None:
    text = table(
        [
            kernel("k", launches=2, lane_instructions=12345, global_load_requests=2,
                   global_load_sectors=9, lines=[line(7, 100), line(8, 50)]),
        ],
        lines=1,
    )  # fmt: skip
    first, _, head, row, _, line_head, hot = text.splitlines()
    assert NOTE in first
    cells = dict(zip(head.replace(" instr.", "-instr.").replace(" sect", "-sect")
                     .replace(" conf", "-conf").split(), row.split(), strict=True))  # fmt: skip
    assert (cells["kernel"], cells["launches"], cells["lane-instr."]) == ("k", "2", "12,345")
    assert (cells["load-sect./req."], cells["store-sect./req."]) == ("4.5", "-")
    assert line_head.split()[0] == "line"
    assert hot.split() == ["k.cu:7", "k", "1", "100", "2", "3"]
    assert "no kernel was executed" in table([])


@pytest.mark.parametrize(
    ("demangled", "short"),
    [
        ("k", "k"), ("void lstm<float, 48>(float const*, int)", "lstm<float, 48>"),
        ("(anonymous namespace)::k(int (*)(int))", "(anonymous namespace)::k"),
    ],
)  # fmt: skip
def test_names_without_parameters(demangled: str, short: str) -> None:
    assert short_name(kernel("_Z1k", demangled)) == short


def test_a_profile_finds_a_kernel_by_all_its_names(device: Device) -> None:
    name = "_Z4lstmIfLi48EEvPKfi"
    one = counted(device, name)
    assert one["demangled"] == "void lstm<float, 48>(float const*, int)"
    profile = Profile()
    profile.kernels = merged([one])
    for known in (name, one["demangled"], "lstm<float, 48>"):
        assert profile[known]["launches"] == 1
    with pytest.raises(KeyError):
        profile["lstm"]
    assert "lstm<float, 48>" in str(profile)
    assert "k.cu:3" in str(profile)
    assert "k.cu:3" not in profile.table(lines=0)


# --- files and commands --------------------------------------------------------------------------

PROGRAM = """
import sys
from tests.softcuda.device import Device
from tests.softcuda.test_profile import counted
counted(Device(), grid=int(sys.argv[1]))
"""
ROOT = Path(__file__).parents[2]


def start(*command: str, **environment: str) -> subprocess.CompletedProcess[str]:
    path = os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])
    return subprocess.run(
        [sys.executable, *command],
        env={**os.environ, **environment, "PYTHONPATH": path}, text=True, capture_output=True,
        timeout=120, check=False,
    )  # fmt: skip


def test_each_process_writes_its_file_and_they_are_read_together(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for grid in ("1", "2"):
        done = start("-c", PROGRAM, grid, SOFTCUDA_PROFILE=f"{tmp_path}/counts-%p.json")
        assert done.returncode == 0, done.stderr
    files = sorted(tmp_path.iterdir())
    assert len(files) == 2
    content = json.loads(files[0].read_text())
    assert content["note"] == NOTE
    assert content["compute_capability"] == 86
    (both,) = read(files)
    assert (both["launches"], both["barriers"]) == (2, 6)
    assert main(["profile", *map(str, files)]) == 0
    printed = capsys.readouterr().out
    assert NOTE in printed
    assert printed.splitlines()[3].split()[:2] == ["k", "2"]


def test_run_prints_a_table_at_the_end() -> None:
    done = start(
        "-m", "refrnn_accel.softcuda", "run", "--profile=-", sys.executable, "-c", PROGRAM, "1"
    )
    assert done.returncode == 0, done.stderr
    assert NOTE in done.stderr
    assert "k.cu:3" in done.stderr


def test_the_status_is_that_of_the_program() -> None:
    run = ("-m", "refrnn_accel.softcuda", "run", "--profile=-", sys.executable, "-c")
    assert start(*run, "raise SystemExit(7)").returncode == 7
    assert start(*run, "import os; os.kill(os.getpid(), 9)").returncode == 137
    assert start(*run[:-2], "no-such-program").returncode == 2


def test_who_only_asks_for_the_device_writes_no_profile(tmp_path: Path) -> None:
    program = """
import ctypes
from refrnn_accel.softcuda import library
raise SystemExit(ctypes.CDLL(str(library())).cuInit(0))
"""
    done = start("-c", program, SOFTCUDA_PROFILE=f"{tmp_path}/file")
    assert done.returncode == 0, done.stderr
    assert list(tmp_path.iterdir()) == []


def test_a_file_that_cannot_be_written_is_said(tmp_path: Path) -> None:
    path = f"{tmp_path}/no/such/folder"
    done = start("-c", PROGRAM, "1", SOFTCUDA_PROFILE=path)
    assert f"softcuda: cannot write the profile to {path}" in done.stderr


@pytest.mark.parametrize("content", ["", "{}", "[1]", '{"kernels": 3}', "no json"])
def test_what_is_no_profile_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], content: str
) -> None:
    path = tmp_path / "file"
    path.write_text(content, encoding="utf-8")
    assert main(["profile", str(path)]) == 2
    assert "expected a profile that softcuda wrote" in capsys.readouterr().err
    assert main(["profile", str(tmp_path / "missing")]) == 2


def test_reports_are_appended_to_a_file(tmp_path: Path) -> None:
    program = """
import numpy as np
from tests.softcuda.device import Device, entry
from tests.softcuda.driver import OUT_OF_BOUNDS
device = Device()
device.launch(device.load(entry(OUT_OF_BOUNDS)), "k", device.upload(np.zeros(1)))
"""
    path = tmp_path / "faults"
    for _ in range(2):
        done = start("-c", program, SOFTCUDA_FAULTS=str(path))
        assert "softcuda: out-of-bounds write in kernel k" in done.stderr
    assert path.read_text().count("softcuda: out-of-bounds write in kernel k") == 2


def test_lazy_streams_by_the_command() -> None:
    program = "import os; print(os.environ['SOFTCUDA_STREAMS'])"
    run = ("-m", "refrnn_accel.softcuda", "run", "--streams=lazy", sys.executable, "-c", program)
    assert start(*run).stdout == "lazy\n"


def test_counts_are_the_same_every_time(device: Device) -> None:
    assert counted(device) == counted(device)
