"""What is looked for on request: races, and reads of what was never written. Each with a twin.

The kernels here are PTX by hand, so that they run wherever the library does; ``pycuda_defects.py``
has many more, as people write them.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from .device import Device, entry

LAUNCH_FAILED, ILLEGAL_ADDRESS, ILLEGAL_INSTRUCTION, TIMEOUT = 719, 700, 715, 702
NewDevice = Callable[..., Device]
Errors = pytest.CaptureFixture[str]

SHARED = ".shared .align 16 .b8 s[1024];\nmov.u32 %r4, s;\nmad.lo.u32 %r5, %r0, 4, %r4;\n"
OUT = "add.s64 %rd0, %rd0, %rd10;\nst.global.u32 [%rd0], %r6;\n"
#: The value of the thread 32 further on, of 64.
NEIGHBOUR = "xor.b32 %r7, %r0, 32;\nmad.lo.u32 %r7, %r7, 4, %r4;\nld.shared.u32 %r6, [%r7];\n"
LANE_0 = "setp.eq.u32 %p1, %r0, 0;\n"
#: Block 1 waits for the flag at %rd1.
WAIT = """
W: ld.relaxed.gpu.global.u32 %r7, [%rd1];
setp.eq.u32 %p2, %r7, 0;
@%p2 bra W;
"""


def hand_over(fence: str) -> str:
    """Block 0 writes at %rd0 and sets a flag, block 1 waits for it and reads."""
    return f"""
setp.eq.u32 %p1, %r1, 1;
@%p1 bra R;
st.global.u32 [%rd0], 7;
{fence}
st.relaxed.gpu.global.u32 [%rd1], 1;
ret;
R: {WAIT}
{fence}
ld.global.u32 %r6, [%rd0];
st.global.u32 [%rd1+8], %r6;
"""


#: A kernel with a place for what makes the order, and that; the second place takes it otherwise.
RACES = {
    "between warps": (SHARED + "st.shared.u32 [%r5], %r0;\n{0}\n" + NEIGHBOUR + OUT, "bar.sync 0;"),
    "between lanes": (
        SHARED + "st.shared.u32 [%r5], %r0;\n{0}\nxor.b32 %r7, %r5, 4;\nld.shared.u32 %r6, [%r7];\n"
        + OUT,
        "bar.warp.sync -1;",
    ),
    "a write after a read": (
        SHARED + "st.shared.u32 [%r5], %r0;\nbar.sync 0;\n" + NEIGHBOUR
        + "{0}\nst.shared.u32 [%r5], %r6;\n",
        "bar.sync 0;",
    ),
    "a shuffle is no barrier": (
        SHARED + "st.shared.u32 [%r5], %r0;\nshfl.sync.bfly.b32 %r8, %r0, 1, 31, -1;\n{0}\n"
        "xor.b32 %r7, %r5, 4;\nld.shared.u32 %r6, [%r7];\n" + OUT,
        "bar.warp.sync -1;",
    ),
    "a weak write before an atomic": (
        SHARED + LANE_0 + "@%p1 st.shared.u32 [%r4], 0;\n{0}\natom.shared.add.u32 %r6, [%r4], 1;\n",
        "bar.sync 0;",
    ),
    "producer and consumer": (
        SHARED + "setp.ge.u32 %p1, %r0, 32;\n@%p1 bra C;\n{1}\nst.shared.u32 [%r5], %r0;\n{0}\nret;"
        "\nC: bar.sync 1, 64;\n" + NEIGHBOUR + OUT,
        "bar.arrive 1, 64;",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", RACES)
@pytest.mark.parametrize("schedule", ["post-dominator", "adversarial"])
def test_a_race_is_reported_and_its_ordered_twin_is_not(
    new_device: NewDevice, capfd: Errors, name: str, schedule: str
) -> None:
    body, order = RACES[name]
    device = new_device(SOFTCUDA_CHECK="race", SOFTCUDA_SCHEDULE=schedule)
    out = device.upload(np.zeros(64, np.uint32))
    assert device.launch(device.load(entry(body.format(order, ""))), "k", out, block=64) == 0
    assert capfd.readouterr().err == ""
    assert (
        device.launch(device.load(entry(body.format("", order))), "k", out, block=64)
        == LAUNCH_FAILED
    )
    assert "softcuda: data race in kernel k" in capfd.readouterr().err


def test_bytes_beside_each_other_do_not_race(new_device: NewDevice, capfd: Errors) -> None:
    device = new_device(SOFTCUDA_CHECK="race")
    body = SHARED + "add.u32 %r7, %r0, %r4;\nst.shared.u8 [%r7], %r0;\n"
    assert device.launch(device.load(entry(body)), "k", 0, block=64) == 0
    assert capfd.readouterr().err == ""


def test_lanes_that_store_the_same_do_not_race(new_device: NewDevice, capfd: Errors) -> None:
    device = new_device(SOFTCUDA_CHECK="race")
    same, different = (
        SHARED + f"shr.u32 %r6, %r0, {n};\nst.shared.u32 [%r4], %r6;\n" for n in (5, 4)
    )
    assert device.launch(device.load(entry(same)), "k", 0) == 0
    assert capfd.readouterr().err == ""
    assert device.launch(device.load(entry(different)), "k", 0) == LAUNCH_FAILED
    assert "data race" in capfd.readouterr().err


@pytest.mark.parametrize(
    ("fence", "status"),
    [
        ("fence.acq_rel.gpu;", 0),
        ("membar.gl;", 0),
        ("", LAUNCH_FAILED),
        ("fence.acq_rel.cta;", LAUNCH_FAILED),
        ("membar.cta;", LAUNCH_FAILED),
    ],
)
def test_blocks_hand_over_behind_a_fence(
    new_device: NewDevice, capfd: Errors, fence: str, status: int
) -> None:
    device = new_device(SOFTCUDA_CHECK="race")
    data, flag = device.upload(np.zeros(1, np.uint32)), device.upload(np.zeros(4, np.uint32))
    module = device.load(entry(hand_over(fence), params=2))
    assert device.launch(module, "k", data, flag, grid=2, block=1) == status
    err = capfd.readouterr().err
    if status:
        assert f"read of 4 bytes at {data:#x} in global memory" in err
        assert "races with a write at line" in err
        assert "by thread (0,0,0) of block (0,0,0)" in err
    else:
        assert err == ""
        assert device.download(flag, np.zeros(4, np.uint32))[2] == 7


def test_acquire_and_release_order_without_a_fence(new_device: NewDevice, capfd: Errors) -> None:
    device = new_device(SOFTCUDA_CHECK="race")
    body = hand_over("").replace("st.relaxed", "st.release").replace("ld.relaxed", "ld.acquire")
    data, flag = device.upload(np.zeros(1, np.uint32)), device.upload(np.zeros(4, np.uint32))
    module = device.load(entry(body, params=2))
    assert device.launch(module, "k", data, flag, grid=2, block=1) == 0
    assert capfd.readouterr().err == ""


@pytest.mark.parametrize(("scope", "status"), [("gpu", 0), ("cta", LAUNCH_FAILED)])
def test_atomics_reach_as_far_as_their_scope(
    new_device: NewDevice, capfd: Errors, scope: str, status: int
) -> None:
    device = new_device(SOFTCUDA_CHECK="race")
    module = device.load(entry(f"red.relaxed.{scope}.global.add.u32 [%rd0], 1;\n"))
    count = device.upload(np.zeros(1, np.uint32))
    assert device.launch(module, "k", count, grid=4) == status
    assert ("data race" in capfd.readouterr().err) == bool(status)


@pytest.mark.parametrize(("nc", "status"), [("", 0), (".nc", LAUNCH_FAILED)])
def test_read_only_loads_of_what_the_launch_wrote(
    new_device: NewDevice, capfd: Errors, nc: str, status: int
) -> None:
    device = new_device(SOFTCUDA_CHECK="race")
    body = f"add.s64 %rd5, %rd0, %rd10;\nst.global.u32 [%rd5], %r0;\nld.global{nc}.u32 %r6, [%rd5];"
    out = device.upload(np.zeros(32, np.uint32))
    assert device.launch(device.load(entry(body)), "k", out) == status
    assert ("ld.global.nc reads what this launch wrote" in capfd.readouterr().err) == bool(status)


# --- what was never written ---


def allocate(device: Device, count: int) -> int:
    address = ctypes.c_uint64()
    device.call("cuMemAlloc_v2", ctypes.byref(address), ctypes.c_size_t(count))
    return address.value


LOCAL = ".local .align 4 .b8 l[64];\nmov.u64 %rd5, l;\ncvta.local.u64 %rd6, %rd5;\n"
UNWRITTEN = {
    "global": ("ld.global.u32 %r6, [%rd1];\nadd.u32 %r6, %r6, 1;\n", "read of 4 bytes at 0x"),
    "shared": (SHARED + "ld.shared.u32 %r6, [%r5];\nadd.u32 %r6, %r6, 1;\n", "in shared memory"),
    "local": (LOCAL + "ld.u32 %r6, [%rd6+8];\nadd.u32 %r6, %r6, 1;\n", "in local memory"),
    "atomic": ("atom.global.add.u32 %r6, [%rd1], 1;\n", "atomic of 4 bytes at 0x"),
    "register": ("setp.gt.u32 %p1, %r0, 5;\n@%p1 mov.u32 %r6, 1;\nadd.u32 %r6, %r6, 1;\n",
                 "a register is read that was never written"),
    "moved": (SHARED + "ld.shared.u32 %r6, [%r5];\nmov.u32 %r7, %r6;\nst.shared.u32 [%r5+256], %r7;"
              "\nld.shared.u32 %r6, [%r5+256];\n" + OUT, "in shared memory at byte 256"),
}  # fmt: skip


@pytest.mark.parametrize("name", UNWRITTEN)
@pytest.mark.parametrize("check", ["uninit", "uninit,race"])
def test_a_read_of_what_was_never_written_is_reported_where_it_is_used(
    new_device: NewDevice, capfd: Errors, name: str, check: str
) -> None:
    body, words = UNWRITTEN[name]
    device = new_device(SOFTCUDA_CHECK=check)
    out = device.upload(np.zeros(32, np.uint32))
    module = device.load(entry(body, params=2))
    assert device.launch(module, "k", out, allocate(device, 128)) == LAUNCH_FAILED
    err = capfd.readouterr().err
    assert "softcuda: uninitialised read in kernel k" in err
    assert words in err


@pytest.mark.parametrize("name", UNWRITTEN)
def test_nobody_who_does_not_ask_is_told(new_device: NewDevice, capfd: Errors, name: str) -> None:
    device = new_device()
    out = device.upload(np.zeros(32, np.uint32))
    module = device.load(entry(UNWRITTEN[name][0], params=2))
    assert device.launch(module, "k", out, allocate(device, 128)) == 0
    assert capfd.readouterr().err == ""


def test_what_is_only_moved_is_nobodys_mistake(new_device: NewDevice, capfd: Errors) -> None:
    """A tile whose tail was never loaded is copied as a whole, and its tail never used."""
    device = new_device(SOFTCUDA_CHECK="uninit,race")
    body = SHARED + """
    setp.lt.u32 %p1, %r0, 20;
    @%p1 st.shared.u32 [%r5], %r0;
    bar.sync 0;
    ld.shared.u32 %r6, [%r5];
    st.shared.u32 [%r5+128], %r6;
    bar.sync 0;
    ld.shared.u32 %r7, [%r5+128];
    selp.u32 %r6, %r7, 99, %p1;
    """ + OUT  # fmt: skip
    out = device.upload(np.zeros(32, np.uint32))
    assert device.launch(device.load(entry(body)), "k", out) == 0
    assert capfd.readouterr().err == ""
    assert device.download(out, np.zeros(32, np.uint32)).tolist() == [*range(20), *[99] * 12]


def test_copies_and_memsets_write(new_device: NewDevice, capfd: Errors) -> None:
    device = new_device(SOFTCUDA_CHECK="uninit")
    module = device.load(entry(UNWRITTEN["global"][0], params=2))
    written, copied, fresh = (allocate(device, 4) for _ in range(3))
    device.call("cuMemsetD8_v2", ctypes.c_uint64(written), ctypes.c_uint8(1), ctypes.c_size_t(4))
    copy = (ctypes.c_uint64(copied), ctypes.c_uint64(written), ctypes.c_size_t(4))
    device.call("cuMemcpyDtoD_v2", *copy)
    for address in (written, copied):
        assert device.launch(module, "k", 0, address) == 0
    copy = (ctypes.c_uint64(copied), ctypes.c_uint64(fresh), ctypes.c_size_t(4))
    device.call("cuMemcpyDtoD_v2", *copy)  # what is unwritten stays so
    assert device.launch(module, "k", 0, copied) == LAUNCH_FAILED
    assert "was never written" in capfd.readouterr().err


# --- checks that are on unless they are switched off ---

STORE = "add.s64 %rd0, %rd0, %rd10;\nst.global.u32 [%rd0], %r0;\n"


def test_freed_memory_is_given_out_again_only_if_nobody_looks(
    new_device: NewDevice, capfd: Errors
) -> None:
    for check, status in (("free", ILLEGAL_ADDRESS), ("-free", 0)):
        device = new_device(SOFTCUDA_CHECK=check)
        first = device.upload(np.zeros(32, np.uint32))
        device.call("cuMemFree_v2", ctypes.c_uint64(first))
        second = device.upload(np.zeros(32, np.uint32))
        assert (first == second) == (status == 0)
        assert device.launch(device.load(entry(STORE)), "k", first) == status
        assert ("softcuda: use after free in kernel k" in capfd.readouterr().err) == bool(status)


def test_without_the_check_a_barrier_takes_lanes_as_they_come(
    new_device: NewDevice, capfd: Errors
) -> None:
    body = "setp.lt.u32 %p1, %r0, 7;\n@%p1 bra A;\nbar.sync 0;\nbra B;\nA: bar.sync 0;\nB: " + STORE
    for check, status in (("barrier", LAUNCH_FAILED), ("-barrier", 0)):
        device = new_device(SOFTCUDA_CHECK=check)
        out = device.upload(np.zeros(32, np.uint32))
        assert device.launch(device.load(entry(body)), "k", out) == status
        assert ("barrier divergence" in capfd.readouterr().err) == bool(status)


def test_without_the_check_a_shuffle_takes_the_lanes_that_are_there(
    new_device: NewDevice, capfd: Errors
) -> None:
    body = """
    setp.ge.u32 %p1, %r0, 16;
    @%p1 bra E;
    shfl.sync.bfly.b32 %r6, %r0, 1, 31, -1;
    E: """ + STORE  # fmt: skip
    for check, status in (("lanes", LAUNCH_FAILED), ("-lanes", 0)):
        device = new_device(SOFTCUDA_CHECK=check)
        out = device.upload(np.zeros(32, np.uint32))
        assert device.launch(device.load(entry(body)), "k", out) == status
        assert ("missing lanes" in capfd.readouterr().err) == bool(status)


def test_a_launch_ends_with_its_budget(new_device: NewDevice, capfd: Errors) -> None:
    device = new_device(SOFTCUDA_BUDGET="100000")
    loop = "L: add.u32 %r5, %r5, 1;\nst.global.u32 [%rd0], %r5;\nbra L;\n"
    count = device.upload(np.zeros(1, np.uint32))
    assert device.launch(device.load(entry(loop)), "k", count, block=1) == TIMEOUT
    assert "out of budget" in capfd.readouterr().err


def test_lanes_in_one_branch_do_not_keep_others_from_ending(
    new_device: NewDevice, capfd: Errors
) -> None:
    """An early return is a branch to the end, where ways meet: who waits there is not awaited."""
    body = "setp.ge.u32 %p1, %r0, 40;\n@%p1 bra E;\nbar.sync 0;\n" + STORE + "E:"
    out = np.zeros(64, np.uint32)
    device = new_device()
    address = device.upload(out)
    assert device.launch(device.load(entry(body)), "k", address, block=64) == 0
    assert device.download(address, out).tolist() == [*range(40), *[0] * 24]
    assert capfd.readouterr().err == ""


# --- clusters ---


def cluster(body: str, size: int = 2, **kwargs: Any) -> str:
    text = entry(body, **kwargs).replace("sm_80", "sm_90")
    return text.replace(")\n{", f")\n.explicitcluster .reqnctapercluster {size}, 1, 1\n{{", 1)


#: Each block has a part of the shared variable for itself.
EXCHANGE = "mov.u32 %r3, %tid.x;\n" + SHARED.replace("%r0, 4", "%r3, 4") + """
st.shared.u32 [%r5], %r0;
{arrive}
barrier.cluster.wait.aligned;
mov.u32 %r8, %cluster_ctarank;
mov.u32 %r9, %cluster_nctarank;
add.u32 %r8, %r8, 1;
rem.u32 %r8, %r8, %r9;
mapa.shared::cluster.u32 %r7, %r5, %r8;
ld.shared::cluster.u32 %r6, [%r7];
{leave}
""" + OUT  # fmt: skip
ARRIVE = "barrier.cluster.arrive.aligned;"
LEAVE = "barrier.cluster.arrive.aligned;\nbarrier.cluster.wait.aligned;"


@pytest.mark.parametrize("size", [2, 4])
def test_a_block_reads_the_shared_memory_of_the_next(
    new_device: NewDevice, capfd: Errors, size: int
) -> None:
    device = new_device(SOFTCUDA_CHECK="all", SOFTCUDA_COMPUTE_CAPABILITY="90")
    body = EXCHANGE.format(arrive=ARRIVE, leave=LEAVE)
    out = device.upload(np.zeros(256, np.uint32))
    assert device.launch(device.load(cluster(body, size)), "k", out, grid=8) == 0
    assert capfd.readouterr().err == ""
    blocks = [b // size * size + (b + 1) % size for b in range(8)]
    expected = np.array([[32 * b + t for t in range(32)] for b in blocks])
    assert np.array_equal(device.download(out, np.zeros(256, np.uint32)), expected.ravel())


@pytest.mark.parametrize(
    ("arrive", "leave", "kind"),
    [
        (ARRIVE.replace("arrive", "arrive.relaxed"), LEAVE, "data race"),
        (ARRIVE + ARRIVE, LEAVE, "bad barrier"),
        ("", LEAVE, "bad barrier"),
    ],
)
def test_defects_of_clusters(
    new_device: NewDevice, capfd: Errors, arrive: str, leave: str, kind: str
) -> None:
    device = new_device(SOFTCUDA_CHECK="all", SOFTCUDA_COMPUTE_CAPABILITY="90")
    body = EXCHANGE.format(arrive=arrive, leave=leave)
    out = device.upload(np.zeros(64, np.uint32))
    expected = LAUNCH_FAILED if kind == "data race" else ILLEGAL_INSTRUCTION
    assert device.launch(device.load(cluster(body)), "k", out, grid=2) == expected
    assert f"softcuda: {kind} in kernel k" in capfd.readouterr().err


def test_a_block_that_has_ended_has_no_shared_memory(new_device: NewDevice, capfd: Errors) -> None:
    device = new_device(SOFTCUDA_COMPUTE_CAPABILITY="90")
    body = SHARED + """
    setp.eq.u32 %p1, %r1, 1;
    @%p1 ret;
    mov.u32 %r9, 0;
    L: add.u32 %r9, %r9, 1;
    setp.lt.u32 %p2, %r9, 20000;
    @%p2 bra L;
    mapa.shared::cluster.u32 %r7, %r4, 1;
    ld.shared::cluster.u32 %r6, [%r7];
    """ + OUT  # fmt: skip
    out = device.upload(np.zeros(64, np.uint32))
    assert device.launch(device.load(cluster(body)), "k", out, grid=2) == LAUNCH_FAILED
    assert "exited block" in capfd.readouterr().err


# --- threads of the host ---

WORK = """
mov.u32 %r6, 0;
mov.u32 %r7, 0;
L: mad.lo.u32 %r6, %r6, 5, %r0;
add.u32 %r7, %r7, 1;
setp.le.u32 %p1, %r7, %r0;
@%p1 bra L;
""" + OUT  # fmt: skip


def test_threads_of_the_host_change_nothing(new_device: NewDevice, capfd: Errors) -> None:
    results, counts, reports = [], [], []
    for threads in ("1", "2", "3"):
        device = new_device(SOFTCUDA_THREADS=threads)
        module = device.load(entry(WORK, name=f"work{threads}"))
        device.reset()
        out = device.upload(np.zeros(640, np.uint32))
        assert device.launch(module, f"work{threads}", out, grid=10, block=64) == 0
        results.append(device.download(out, np.zeros(640, np.uint32)).tolist())
        counted = device.profile()[f"work{threads}"]
        counts.append([counted[k] for k in ("warp_instructions", "lane_instructions")])
        small = device.upload(np.zeros(100, np.uint32))
        assert device.launch(module, f"work{threads}", small, grid=10, block=64) == ILLEGAL_ADDRESS
        err = capfd.readouterr().err
        reports.append(err[err.index("  at ") : err.index("allocation")])
    assert results[0] == results[1] == results[2]
    assert counts[0] == counts[1] == counts[2]
    assert reports[0] == reports[1] == reports[2]
    assert "by thread (36,0,0) of block (1,0,0)" in reports[0]


# --- registers ---


def test_registers_share_places_by_the_time_they_are_alive(device: Device) -> None:
    """A chain of 2,000 registers, of which two are alive at a time."""
    chain = "".join(f"add.u32 %c{k + 1}, %c{k}, {k};\n" for k in range(2000))
    body = ".reg .b32 %c<2001>;\nmov.u32 %c0, %r0;\n" + chain + "mov.u32 %r6, %c2000;\n" + OUT
    module = device.load(entry(body))
    function, value = ctypes.c_void_p(), ctypes.c_int()
    device.call("cuModuleGetFunction", ctypes.byref(function), module, b"k")
    device.call("cuFuncGetAttribute", ctypes.byref(value), 4, function)
    assert value.value <= 20
    out = device.upload(np.zeros(32, np.uint32))
    assert device.launch(module, "k", out) == 0
    expected = np.arange(32, dtype=np.uint32) + sum(range(2000))
    assert np.array_equal(device.download(out, expected), expected)


def test_words_of_128_bits(device: Device) -> None:
    body = """
    .reg .b128 %q<2>;
    mul.wide.u32 %rd5, %r0, 16;
    add.s64 %rd0, %rd0, %rd5;
    add.s64 %rd1, %rd1, %rd5;
    ld.relaxed.gpu.global.b128 %q0, [%rd0];
    st.relaxed.gpu.global.b128 [%rd1], %q0;
    """
    data = np.arange(64, dtype=np.uint64) * 0x0123456789ABCDEF
    source, target = device.upload(data), device.upload(np.zeros_like(data))
    assert device.launch(device.load(entry(body, params=2)), "k", source, target) == 0
    assert np.array_equal(device.download(target, data), data)
