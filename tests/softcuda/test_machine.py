"""Control flow, warps, memory: what a kernel may do, and what it is stopped for."""

from __future__ import annotations

import ctypes
import os
import subprocess
import sys
import textwrap

import numpy as np
import pytest

from .device import HEADER, CudaError, Device, entry

ILLEGAL_ADDRESS, MISALIGNED, LAUNCH_FAILED, TIMEOUT, INVALID_PTX, ASSERT = (
    700,
    716,
    719,
    702,
    218,
    710,
)
SCHEDULES = [{}, {"SOFTCUDA_SCHEDULE": "lowest-pc"}] + [
    {"SOFTCUDA_SCHEDULE": "adversarial", "SOFTCUDA_SEED": str(seed)} for seed in range(6)
]

# --- control flow ---

COLLATZ = """
mov.u32 %r4, 0;
add.u32 %r5, %r0, 1;
L1: setp.le.u32 %p1, %r5, 1;
@%p1 bra L4;
and.b32 %r6, %r5, 1;
setp.eq.u32 %p2, %r6, 0;
@%p2 bra L2;
mad.lo.u32 %r5, %r5, 3, 1;
bra L3;
L2: shr.u32 %r5, %r5, 1;
L3: add.u32 %r4, %r4, 1;
bra L1;
L4: add.s64 %rd0, %rd0, %rd10;
st.global.u32 [%rd0], %r4;
"""


def collatz(n: int) -> int:
    steps = 0
    while n > 1:
        n, steps = (n // 2 if n % 2 == 0 else 3 * n + 1), steps + 1
    return steps


def test_lanes_go_their_own_ways_and_meet_again(device: Device) -> None:
    out = device.upload(np.zeros(200, np.uint32))
    module = device.load(entry(COLLATZ))
    assert device.launch(module, "k", out, grid=4, block=50) == 0
    assert device.download(out, np.zeros(200, np.uint32)).tolist() == [
        collatz(n + 1) for n in range(200)
    ]


FIBONACCI = """
.func (.param .b32 result) fib(.param .b32 n)
{
.reg .pred %p<2>; .reg .b32 %r<9>;
ld.param.u32 %r1, [n];
setp.lt.s32 %p1, %r1, 2;
@%p1 bra done;
add.s32 %r2, %r1, -1;
{ .param .b32 a; st.param.b32 [a+0], %r2; .param .b32 b;
call.uni (b), fib, (a); ld.param.b32 %r3, [b+0]; }
add.s32 %r4, %r1, -2;
{ .param .b32 a; st.param.b32 [a+0], %r4; .param .b32 b;
call.uni (b), fib, (a); ld.param.b32 %r5, [b+0]; }
add.s32 %r1, %r3, %r5;
done: st.param.b32 [result+0], %r1;
ret;
}
"""


def test_each_lane_recurs_to_its_own_depth(device: Device) -> None:
    body = """
    { .param .b32 a; st.param.b32 [a+0], %r0; .param .b32 b;
call.uni (b), fib, (a); ld.param.b32 %r4, [b+0]; }
    add.s64 %rd0, %rd0, %rd10;
    st.global.u32 [%rd0], %r4;
    """
    out = device.upload(np.zeros(16, np.uint32))
    assert device.launch(device.load(entry(body, extra=FIBONACCI)), "k", out, block=16) == 0
    fib = [0, 1]
    while len(fib) < 16:
        fib.append(fib[-1] + fib[-2])
    assert device.download(out, np.zeros(16, np.uint32)).tolist() == fib


def test_brx_goes_where_its_table_says(device: Device) -> None:
    body = """
    ts: .branchtargets A, B, C;
    rem.u32 %r4, %r0, 3;
    brx.idx %r4, ts;
    A: mov.u32 %r5, 10; bra E;
    B: mov.u32 %r5, 20; bra E;
    C: mov.u32 %r5, 30;
    E: add.s64 %rd0, %rd0, %rd10;
    st.global.u32 [%rd0], %r5;
    """
    out = device.upload(np.zeros(32, np.uint32))
    assert device.launch(device.load(entry(body)), "k", out) == 0
    assert device.download(out, np.zeros(32, np.uint32)).tolist() == [
        10 * (k % 3 + 1) for k in range(32)
    ]


# --- warps ---


@pytest.mark.parametrize(
    ("how", "argument", "source"),
    [
        ("bfly", 5, lambda k: k ^ 5),
        ("up", 3, lambda k: k - 3 if k >= 3 else k),
        ("down", 4, lambda k: k + 4 if k + 4 < 32 else k),
        ("idx", 7, lambda k: 7),
    ],
)
def test_shuffles(device: Device, how: str, argument: int, source: object) -> None:
    clamp = 0 if how == "up" else 31
    body = f"""
    mul.lo.u32 %r4, %r0, 100;
    shfl.sync.{how}.b32 %r5|%p1, %r4, {argument}, {clamp}, -1;
    add.s64 %rd0, %rd0, %rd10;
    st.global.u32 [%rd0], %r5;
    """
    out = device.upload(np.zeros(32, np.uint32))
    assert device.launch(device.load(entry(body)), "k", out) == 0
    expected = [100 * source(k) for k in range(32)]  # type: ignore[operator]
    assert device.download(out, np.zeros(32, np.uint32)).tolist() == expected


# --- what is stopped: each with a clean twin ---

STORE = "add.s64 %rd0, %rd0, %rd10;\nst.global.u32 [%rd0], %r0;\n"


@pytest.mark.parametrize(
    ("count", "status"), [(64, 0), (63, ILLEGAL_ADDRESS), (1, ILLEGAL_ADDRESS)]
)
def test_out_of_bounds_write(
    device: Device, capfd: pytest.CaptureFixture[str], count: int, status: int
) -> None:
    out = device.upload(np.zeros(count, np.uint32))
    assert device.launch(device.load(entry(STORE)), "k", out, grid=2) == status
    err = capfd.readouterr().err
    if status:
        assert "out-of-bounds write in kernel k" in err
        lane = f"by thread ({count % 32},0,0) of block ({count // 32},0,0)"
        assert lane in err
        assert "lies 0 bytes after allocation" in err
        assert f"of {4 * count} bytes" in err
        assert device.status("cuCtxSynchronize") == status  # it stays
    else:
        assert err == ""


@pytest.mark.parametrize(("offset", "status"), [(0, 0), (2, MISALIGNED)])
def test_misaligned_access(
    device: Device, capfd: pytest.CaptureFixture[str], offset: int, status: int
) -> None:
    out = device.upload(np.zeros(100, np.uint32))
    assert device.launch(device.load(entry(STORE)), "k", out + offset) == status
    assert ("misaligned address" in capfd.readouterr().err) == bool(status)


def test_use_after_free(device: Device, capfd: pytest.CaptureFixture[str]) -> None:
    out = device.upload(np.zeros(32, np.uint32))
    module = device.load(entry(STORE))
    assert device.launch(module, "k", out) == 0
    device.call("cuMemFree_v2", ctypes.c_uint64(out))
    assert device.launch(module, "k", out) == ILLEGAL_ADDRESS
    assert "which was freed" in capfd.readouterr().err


@pytest.mark.parametrize(("words", "status"), [(32, 0), (31, ILLEGAL_ADDRESS)])
def test_shared_memory_has_bounds(
    device: Device, capfd: pytest.CaptureFixture[str], words: int, status: int
) -> None:
    body = f".shared .align 4 .b8 s[{4 * words}];\nmov.u32 %r4, s;\n"
    body += "mad.lo.u32 %r4, %r0, 4, %r4;\nst.shared.u32 [%r4], %r0;\n"
    assert device.launch(device.load(entry(body)), "k", 0) == status
    assert ("in shared memory" in capfd.readouterr().err) == bool(status)


def test_constant_memory_cannot_be_written(device: Device) -> None:
    extra = ".const .align 4 .u32 c = 7;\n"
    read = "mov.u64 %rd5, c;\nld.const.u32 %r4, [%rd5];\n"
    assert device.launch(device.load(entry(read, extra=extra)), "k", 0) == 0
    write = "mov.u64 %rd5, c;\nst.u32 [%rd5], %r0;\n"
    assert device.launch(device.load(entry(write, extra=extra)), "k", 0) == ILLEGAL_ADDRESS


DIVERGENT = (
    "setp.lt.u32 %p1, %r0, 7;\n@%p1 bra L1;\nbar.sync 0;\nL1: add.u32 %r4, %r4, 1;\nbar.sync 0;\n"
)


def test_divergent_barrier(device: Device, capfd: pytest.CaptureFixture[str]) -> None:
    assert device.launch(device.load(entry(DIVERGENT)), "k", 0) == LAUNCH_FAILED
    assert "barrier divergence in kernel k" in capfd.readouterr().err


def test_threads_that_have_ended_are_not_awaited(device: Device) -> None:
    body = "setp.lt.u32 %p1, %r0, 40;\n@%p1 ret;\nbar.sync 0;\n" + STORE
    out = device.upload(np.zeros(96, np.uint32))
    assert device.launch(device.load(entry(body)), "k", out, block=96) == 0
    expected = np.where(np.arange(96) < 40, 0, np.arange(96))
    assert device.download(out, np.zeros(96, np.uint32)).tolist() == expected.tolist()


@pytest.mark.parametrize(("mask", "status"), [("0xFFFF0000", 0), ("-1", LAUNCH_FAILED)])
def test_a_shuffle_awaits_all_lanes_of_its_mask(
    device: Device, capfd: pytest.CaptureFixture[str], mask: str, status: int
) -> None:
    body = f"setp.lt.u32 %p1, %r0, 16;\n@%p1 ret;\nshfl.sync.bfly.b32 %r5, %r0, 1, 31, {mask};\n"
    assert device.launch(device.load(entry(body)), "k", 0) == status
    assert ("missing lanes" in capfd.readouterr().err) == bool(status)


WAITS = "L1: ld.volatile.global.u32 %r4, [%rd0];\nsetp.eq.u32 %p1, %r4, 0;\n@%p1 bra L1;\n"


def test_blocks_can_wait_for_each_other(device: Device) -> None:
    """Block 0 waits for what block 3 writes."""
    body = (
        "setp.eq.u32 %p2, %r1, 3;\n@!%p2 bra L0;\nst.volatile.global.u32 [%rd0], 1;\nL0: " + WAITS
    )
    flag = device.upload(np.zeros(1, np.uint32))
    assert device.launch(device.load(entry(body)), "k", flag, grid=4) == 0


# --- the loader ---


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ("frobnicate.b32 %r4, %r5;", "frobnicate.b32: this instruction is not supported"),
        ("add.wrong.u32 %r4, %r5, %r6;", "modifier .wrong is not supported here"),
        ("add.u32 %r4, %r99, %r5;", "'%r99' is not supported"),
        ("bra nowhere;", "label 'nowhere' is not known"),
        ("add.u32 %r4, %r5;", "an operand is missing"),
        ("tcgen05.mma %r4, %r5;", "this instruction is not supported"),
        ("call (%r4), nothing, (%r5);", "an argument of a call is a .param variable"),
        ("mov.u32 %r4, [%r5;", "expected ']'"),
    ],
)
def test_what_is_not_known_is_an_error_with_its_line(
    device: Device, capfd: pytest.CaptureFixture[str], body: str, message: str
) -> None:
    with pytest.raises(CudaError) as caught:
        device.load(entry(body))
    assert caught.value.code == INVALID_PTX
    assert message in caught.value.log
    assert "line 17" in caught.value.log
    assert message in capfd.readouterr().err


def test_variables_have_their_initial_values(device: Device) -> None:
    extra = textwrap.dedent("""
        .global .align 4 .u32 numbers[4] = {7, 8, 9};
        .global .align 8 .u64 pointer = generic(numbers);
        """)
    body = """
    ld.global.u64 %rd5, [pointer];
    add.s64 %rd5, %rd5, %rd10;
    ld.global.u32 %r4, [%rd5];
    add.s64 %rd0, %rd0, %rd10;
    st.global.u32 [%rd0], %r4;
    """
    out = device.upload(np.zeros(4, np.uint32))
    assert device.launch(device.load(entry(body, extra=extra)), "k", out, block=4) == 0
    assert device.download(out, np.zeros(4, np.uint32)).tolist() == [7, 8, 9, 0]


# --- counters ---


@pytest.mark.parametrize(("stride", "sectors", "wavefronts"), [(1, 4, 1), (2, 8, 2), (32, 32, 32)])
def test_counters_are_what_hand_derives(
    device: Device, stride: int, sectors: int, wavefronts: int
) -> None:
    body = f"""
    .shared .align 4 .b8 s[4096];
    mul.lo.u32 %r4, %r0, {4 * stride};
    cvt.u64.u32 %rd5, %r4;
    add.s64 %rd5, %rd0, %rd5;
    ld.global.f32 %f1, [%rd5];
    mov.u32 %r5, s;
    add.u32 %r5, %r5, %r4;
    st.shared.f32 [%r5], %f1;
    fma.rn.f32 %f2, %f1, %f1, %f1;
    """
    data = device.upload(np.zeros(1024, np.float32))
    module = device.load(entry(body, name=f"counted{stride}"))
    device.reset()
    assert device.launch(module, f"counted{stride}", data) == 0
    counted = device.profile()[f"counted{stride}"]
    assert (counted["global_requests"], counted["global_sectors"]) == (1, sectors)
    assert (counted["shared_requests"], counted["shared_wavefronts"]) == (1, wavefronts)
    assert counted["flops"] == 64
    assert counted["warp_instructions"] * 32 == counted["lane_instructions"]
    assert counted["launches"] == 1


# --- schedules ---

SUM = """
.shared .align 4 .b8 s[512];
mov.u32 %r4, s;
mad.lo.u32 %r5, %r0, 4, %r4;
mul.lo.u32 %r6, %r0, %r0;
st.shared.u32 [%r5], %r6;
mov.u32 %r7, 64;
L1: bar.sync 0;
setp.ge.u32 %p1, %r0, %r7;
@%p1 bra L2;
mad.lo.u32 %r8, %r7, 4, %r5;
ld.shared.u32 %r9, [%r8];
ld.shared.u32 %r12, [%r5];
add.u32 %r12, %r12, %r9;
st.shared.u32 [%r5], %r12;
L2: shr.u32 %r7, %r7, 1;
setp.ne.u32 %p2, %r7, 0;
@%p2 bra L1;
setp.ne.u32 %p3, %r0, 0;
@%p3 ret;
ld.shared.u32 %r9, [%r4];
st.global.u32 [%rd0], %r9;
"""

PROGRAM = """
import numpy as np
from tests.softcuda.device import Device, entry
from tests.softcuda.test_machine import COLLATZ, SUM
device = Device()
out = device.upload(np.zeros(200, np.uint32))
assert device.launch(device.load(entry(COLLATZ)), "k", out, grid=4, block=50) == 0
total = device.upload(np.zeros(1, np.uint32))
assert device.launch(device.load(entry(SUM)), "k", total, block=128) == 0
print(device.download(out, np.zeros(200, np.uint32)).tolist())
print(device.download(total, np.zeros(1, np.uint32)))
"""


def run(program: str, environment: dict[str, str]) -> subprocess.CompletedProcess[str]:
    root = os.fspath(os.path.dirname(os.path.dirname(os.path.dirname(__file__))))
    return subprocess.run(
        [sys.executable, "-c", f"import sys; sys.path.append({root!r})\n" + program],
        capture_output=True, text=True, env={**os.environ, **environment}, timeout=120, check=False,
    )  # fmt: skip


def test_every_schedule_gives_the_same_result() -> None:
    outputs = set()
    for environment in SCHEDULES:
        done = run(PROGRAM, environment)
        assert done.returncode == 0, done.stderr
        outputs.add(done.stdout)
    (text,) = outputs
    assert str(sum(k * k for k in range(128))) in text


def test_a_deadlock_is_found() -> None:
    program = """
import numpy as np
from tests.softcuda.device import Device, entry
from tests.softcuda.test_machine import WAITS
device = Device()
print(device.launch(device.load(entry(WAITS)), "k", device.upload(np.zeros(1, np.uint32)), grid=3))
"""
    done = run(program, {"SOFTCUDA_PATIENCE": "2000000"})
    assert done.stdout.split() == [str(TIMEOUT)], done.stderr
    assert "deadlock in kernel k" in done.stderr


@pytest.mark.parametrize(
    ("name", "value"),
    [("SOFTCUDA_SCHEDULE", "sideways"), ("SOFTCUDA_SEED", "x"), ("SOFTCUDA_MULTIPROCESSORS", "0")],
)
def test_settings_that_mean_nothing_are_refused(name: str, value: str) -> None:
    done = run("from tests.softcuda.device import Device; Device()", {name: value})
    assert done.returncode != 0
    assert f"softcuda: {name} has value '{value}', expected" in done.stderr


# --- fuzzing ---


def test_damaged_ptx_never_ends_the_process(device: Device) -> None:
    """Bytes lost, changed and doubled: an error or a module, but never a crash."""
    rng = np.random.default_rng(0)
    text = entry(COLLATZ + SUM.replace("L1", "M1").replace("L2", "M2"), extra=FIBONACCI)
    refused = 0
    for _ in range(1500):
        spoilt = list(text)
        for _ in range(rng.integers(1, 4)):
            place = int(rng.integers(len(spoilt)))
            what = rng.integers(3)
            if what == 0:
                del spoilt[place : place + int(rng.integers(1, 9))]
            elif what == 1:
                spoilt[place] = chr(int(rng.integers(32, 127)))
            else:
                spoilt[place:place] = spoilt[place : place + int(rng.integers(1, 30))]
        module = ctypes.c_void_p()
        image = "".join(spoilt).encode() + b"\0"
        status = device.status("cuModuleLoadData", ctypes.byref(module), image)
        assert status in (0, INVALID_PTX)
        refused += status != 0
        if status == 0:
            device.call("cuModuleUnload", module)
    assert refused > 500


@pytest.mark.parametrize("image", [b"\x7fELF" + bytes(60), b"", b"hello", HEADER.encode()[:12]])
def test_what_is_no_module_is_refused(device: Device, image: bytes) -> None:
    module = ctypes.c_void_p()
    assert device.status("cuModuleLoadData", ctypes.byref(module), image + bytes(64)) in (
        200,
        209,
        218,
    )


def test_who_came_by_a_reduction_has_its_result(device: Device) -> None:
    """Half of the warps come to the barrier by an instruction that has none."""
    body = """
    mov.u32 %r1, %tid.x;
    setp.lt.u32 %p0, %r1, 32;
    mov.u32 %r2, 77;
    @%p0 bra FEW;
    setp.ge.u32 %p1, %r1, 40;
    bar.red.popc.u32 %r2, 0, %p1;
    bra DONE;
    FEW: bar.sync 0;
    DONE: mul.wide.u32 %rd1, %r1, 4;
    add.u64 %rd0, %rd0, %rd1;
    st.global.u32 [%rd0], %r2;
    """
    out = device.upload(np.zeros(64, np.uint32))
    assert device.launch(device.load(entry(body).encode()), "k", out, block=64) == 0
    result = device.download(out, np.zeros(64, np.uint32))
    assert result.tolist() == [77] * 32 + [24] * 32


@pytest.mark.parametrize("those", ["none", "the first", "the last", "all but one", "all"])
def test_a_barrier_reduces_over_the_block(device: Device, those: str) -> None:
    """All three reductions, of two warps of which the second has 16 threads, and negated too."""
    threads = 48
    holds = np.zeros(threads, np.uint32)
    holds[{"none": [], "the first": [0], "the last": [47]}.get(those, slice(None))] = 1
    if those == "all but one":
        holds[37] = 0
    body = """
    mov.u32 %r1, %tid.x;
    mul.wide.u32 %rd1, %r1, 4;
    add.u64 %rd0, %rd0, %rd1;
    ld.global.u32 %r2, [%rd0];
    setp.ne.u32 %p0, %r2, 0;
    bar.red.popc.u32 %r3, 0, %p0;
    bar.red.popc.u32 %r4, 1, !%p0;
    bar.red.and.pred %p1, 0, %p0;
    bar.red.or.pred %p2, 0, %p0;
    bar.red.and.pred %p3, 0, !%p0;
    selp.u32 %r5, 100, 0, %p1;
    selp.u32 %r6, 1000, 0, %p2;
    selp.u32 %r7, 10000, 0, %p3;
    mad.lo.u32 %r3, %r4, 100000, %r3;
    add.u32 %r5, %r5, %r6;
    add.u32 %r5, %r5, %r7;
    add.u32 %r3, %r3, %r5;
    st.global.u32 [%rd0], %r3;
    """
    memory = device.upload(holds)
    assert device.launch(device.load(entry(body).encode()), "k", memory, block=threads) == 0
    count = int(holds.sum())
    expected = count + 100000 * (threads - count)
    expected += 100 * (count == threads) + 1000 * (count > 0) + 10000 * (count == 0)
    assert device.download(memory, holds).tolist() == [expected] * threads
