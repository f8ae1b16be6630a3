"""Words of 128 bits: put together, taken apart, exchanged at once by atomics."""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from .device import CudaError, Device, entry

LAUNCH_FAILED, ILLEGAL_ADDRESS, MISALIGNED, INVALID_PTX = 719, 700, 716, 218
NewDevice = Callable[..., Device]
Errors = pytest.CaptureFixture[str]

#: %q0 to %q7; %rd2 is where a thread's word lies at %rd0, %rd3 where it lies at %rd1.
WORDS = """
.reg .b128 %q<8>;
mul.wide.u32 %rd4, %r0, 16;
add.s64 %rd2, %rd0, %rd4;
add.s64 %rd3, %rd1, %rd4;
"""


def random_words(seed: int, count: int = 32) -> Any:
    return np.random.default_rng(seed).integers(2**64, size=(count, 2), dtype=np.uint64)


def run(device: Device, body: str, first: Any, second: Any, **shape: int) -> tuple[Any, Any]:
    """What is at %rd0 and at %rd1 after a kernel of this body."""
    places = device.upload(first), device.upload(second)
    assert device.launch(device.load(entry(WORDS + body, params=2)), "k", *places, **shape) == 0
    return device.download(places[0], first), device.download(places[1], second)


# --- mov ---

HALVES = "ld.global.v2.u64 {%rd5, %rd6}, [%rd2];\n"
QUARTERS = "ld.global.v4.u32 {%r4, %r5, %r6, %r7}, [%rd2];\n"
STORE = "st.global.v2.u64 [%rd3], {%rd7, %rd8};\n"
WHOLE = "ld.global.b128 %q0, [%rd2];\n"
MOVES = {
    "of two": (HALVES + "mov.b128 %q0, {%rd5, %rd6};\nst.global.b128 [%rd3], %q0;\n",
               lambda a, b: (a, b)),
    "of a number": (HALVES + "mov.b128 %q0, {%rd6, -2};\nst.global.b128 [%rd3], %q0;\n",
                    lambda a, b: (b, 2**64 - 2)),
    "of four": (QUARTERS + "mov.b128 %q0, {%r6, %r7, %r4, %r5};\nst.global.b128 [%rd3], %q0;\n",
                lambda a, b: (b, a)),
    "to two": (WHOLE + "mov.b128 {%rd8, %rd7}, %q0;\n" + STORE, lambda a, b: (b, a)),
    "to four": (WHOLE + "mov.b128 {%r4, %r5, %r6, %r7}, %q0;\n"
                "st.global.v4.u32 [%rd3], {%r7, %r6, %r5, %r4};\n",
                lambda a, b: (b >> 32 | b << 32 & 2**64 - 1, a >> 32 | a << 32 & 2**64 - 1)),
    "to the upper half": (WHOLE + "mov.u64 %rd7, 5;\nmov.b128 {_, %rd8}, %q0;\n" + STORE,
                          lambda a, b: (5, b)),
    "to doubles": (WHOLE + "mov.b128 {%fd1, %fd2}, %q0;\n"
                   "st.global.v2.f64 [%rd3], {%fd2, %fd1};\n", lambda a, b: (b, a)),
    "to another": (WHOLE + "mov.b128 %q1, %q0;\nst.global.b128 [%rd3], %q1;\n",
                   lambda a, b: (a, b)),
}  # fmt: skip


@pytest.mark.parametrize("name", MOVES)
def test_moves(device: Device, name: str) -> None:
    body, expected = MOVES[name]
    given = random_words(1)
    _, got = run(device, body, given, np.zeros_like(given))
    assert got.tolist() == [list(expected(a, b)) for a, b in given.tolist()]


def test_a_guard_leaves_the_other_lanes_alone(device: Device) -> None:
    body = """
    ld.global.b128 %q0, [%rd2];
    ld.global.b128 %q1, [%rd3];
    and.b32 %r4, %r0, 1;
    setp.eq.u32 %p1, %r4, 0;
    mov.b128 {%rd5, %rd6}, %q0;
    @%p1 mov.b128 %q0, %q1;
    @!%p1 mov.b128 %q0, {%rd6, %rd5};
    st.global.b128 [%rd2], %q0;
    """
    one, other = random_words(2), random_words(3)
    got, _ = run(device, body, one, other)
    expected = [
        b if k % 2 == 0 else a[::-1] for k, (a, b) in enumerate(zip(one, other, strict=True))
    ]
    assert np.array_equal(got, expected)


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ("mov.b128 %q0, {%rd5, %rd6, %rd7};", "this number of parts is not supported"),
        ("mov.b128 {%r4, %r5}, %q0;", "a part needs a register of 64 bits"),
        ("mov.b128 %q0, {%r4, %r5};", "a part needs a register of 64 bits"),
        ("mov.b64 {%h4, %h5}, %rd5;", "a part needs a register of 32 bits"),
        ("mov.b128 %rd5, %q0;", "register %rd5 is of another type"),
        ("mov.b64 %rd5, %q0;", "register %q0 is of another type"),
        ("mov.b128 %q0, 5;", "expected a register of 128 bits"),
        ("mov.b128 %q0, %clock64;", "expected a register of 128 bits"),
        ("atom.add.b128 %q0, [%rd2], %q1;", "this type is not supported here"),
        ("atom.exch.b128 %q0, [%rd2], %rd5;", "register %rd5 is of another type"),
        ("atom.exch.b128 %rd5, [%rd2], %q0;", "register %rd5 is of another type"),
        ("atom.cas.b128 %q0, [%rd2], %q1;", "an operand is missing"),
        ("red.exch.b128 [%rd2], %q1;", "red has no exch and no cas, expected atom"),
        ("red.cas.b32 [%rd2], %r4, %r5;", "red has no exch and no cas, expected atom"),
    ],
)
def test_what_ptx_does_not_have_is_refused(device: Device, body: str, message: str) -> None:
    with pytest.raises(CudaError) as caught:
        device.load(entry(WORDS + body, params=2))
    assert caught.value.code == INVALID_PTX
    assert message in caught.value.log


# --- atomics ---

#: Where the words of 32 threads are: global memory, by a generic address, shared memory.
SPACES = {
    "global": ("", "[%rd2]", ""),
    "": ("", "[%rd2]", ""),
    "shared": (
        ".shared .align 16 .b8 s[512];\nmov.u32 %r9, s;\nmad.lo.u32 %r9, %r0, 16, %r9;\n"
        "ld.global.b128 %q7, [%rd2];\nst.shared.b128 [%r9], %q7;\n",
        "[%r9]",
        "ld.shared.b128 %q7, [%r9];\nst.global.b128 [%rd2], %q7;\n",
    ),
}


def atomic(word: str, space: str, result: str, operands: str) -> str:
    before, place, after = SPACES[space]
    dot = f".{space}" if space else ""
    return f"{before}atom{dot}.{word}.b128 {result}, {place}, {operands};\n{after}"


@pytest.mark.parametrize("space", SPACES)
def test_an_exchange_gives_the_old_word_and_leaves_the_new(device: Device, space: str) -> None:
    body = "ld.global.b128 %q0, [%rd3];\n" + atomic("exch", space, "%q1", "%q0")
    old, new = random_words(4), random_words(5)
    left, got = run(device, body + "st.global.b128 [%rd3], %q1;\n", old, new)
    assert np.array_equal(left, new)
    assert np.array_equal(got, old)


@pytest.mark.parametrize("space", SPACES)
def test_a_swap_compares_all_128_bits(device: Device, space: str) -> None:
    """What stands there differs from what is compared in no bit, or in one, of either half."""
    expected, new = random_words(6, 1)[0].tolist(), random_words(7)
    old = np.array([expected] * 32, np.uint64)
    bits = [None, 0, 31, 32, 63, 64, 95, 96, 127] + [None] * 23
    for k, bit in enumerate(bits):
        if bit is not None:
            old[k, bit // 64] ^= np.uint64(1 << bit % 64)
    body = f"""
    mov.b128 %q0, {{{expected[0]}, {expected[1]}}};
    ld.global.b128 %q1, [%rd3];
    {atomic("cas", space, "%q0", "%q0, %q1")}
    st.global.b128 [%rd3], %q0;
    """
    left, got = run(device, body, old, new)
    assert np.array_equal(got, old)
    assert left.tolist() == [
        (new if bit is None else old)[k].tolist() for k, bit in enumerate(bits)
    ]


def test_lanes_exchange_one_word_one_after_the_other(device: Device) -> None:
    body = """
    ld.global.b128 %q0, [%rd3];
    atom.exch.b128 %q1, [%rd0], %q0;
    st.global.b128 [%rd3], %q1;
    """
    first, new = random_words(8, 1), random_words(9, 64)
    left, got = run(device, body, first, new, block=64)
    # Each word is passed on once: by whoever comes next, or in the end by nobody.
    assert sorted(got.tolist() + left.tolist()) == sorted(new.tolist() + first.tolist())
    assert np.array_equal(got[1:32], new[:31])


def test_a_sink_takes_the_old_word(device: Device) -> None:
    old, new = random_words(10), random_words(11)
    body = "ld.global.b128 %q0, [%rd3];\natom.exch.b128 _, [%rd2], %q0;\n"
    assert np.array_equal(run(device, body, old, new)[0], new)


@pytest.mark.parametrize(
    ("offset", "status", "words"),
    [(8, MISALIGNED, "misaligned address"), (512, ILLEGAL_ADDRESS, "out-of-bounds atomic")],
)
def test_atomics_have_bounds(
    device: Device, capfd: Errors, offset: int, status: int, words: str
) -> None:
    body = f"{WORDS}ld.global.b128 %q0, [%rd3];\natom.cas.b128 %q1, [%rd2+{offset}], %q0, %q0;\n"
    places = [device.upload(random_words(seed)) for seed in (12, 13)]
    assert device.launch(device.load(entry(body, params=2)), "k", *places) == status
    err = capfd.readouterr().err
    assert words in err
    assert "16 bytes" in err


# --- between blocks ---

#: Two blocks, ten steps: each thread gives its value with the step, and waits for that of the other
#: block's thread. Two places by parity: nobody is two steps ahead.
EXCHANGE = """
xor.b32 %r3, %r0, 32;
mul.wide.u32 %rd4, %r3, 16;
add.s64 %rd3, %rd0, %rd4;
cvt.u64.u32 %rd5, %r0;
mov.u64 %rd6, 1;
N: and.b64 %rd7, %rd6, 1;
mul.lo.u64 %rd7, %rd7, 1024;
add.s64 %rd8, %rd2, %rd7;
add.s64 %rd9, %rd3, %rd7;
mov.b128 %q0, {{%rd5, %rd6}};
{0}
W: {1}
setp.ne.u64 %p1, %rd13, %rd6;
@%p1 bra W;
mad.lo.u64 %rd5, %rd5, 3, %rd12;
add.s64 %rd6, %rd6, 1;
setp.le.u64 %p2, %rd6, 10;
@%p2 bra N;
add.s64 %rd1, %rd1, %rd11;
st.global.u64 [%rd1], %rd5;
"""
TAKE = "ld.relaxed.gpu.global.b128 %q2, [%rd9];\nmov.b128 {%rd12, %rd13}, %q2;"
#: How the word is given and taken, and whether that is a race.
WAYS = {
    "store and load": ("st.relaxed.gpu.global.b128 [%rd8], %q0;", TAKE, False),
    "exchange": ("atom.exch.relaxed.gpu.global.b128 %q1, [%rd8], %q0;", TAKE, False),
    "swap": (
        "st.relaxed.gpu.global.b128 [%rd8], %q0;",
        "atom.cas.relaxed.gpu.global.b128 %q2, [%rd9], %q0, %q0;\nmov.b128 {%rd12, %rd13}, %q2;",
        False,
    ),
    "of a block": ("atom.exch.relaxed.cta.global.b128 %q1, [%rd8], %q0;", TAKE, True),
    "weak": ("st.global.b128 [%rd8], %q0;", TAKE, True),
    "a vector": ("st.global.v2.u64 [%rd8], {%rd5, %rd6};", TAKE, True),
}


@pytest.mark.parametrize("way", WAYS)
def test_a_value_travels_with_its_step(new_device: NewDevice, capfd: Errors, way: str) -> None:
    give, take, is_race = WAYS[way]
    device = new_device(SOFTCUDA_CHECK="race")
    out = np.zeros(64, np.uint64)
    places = device.upload(np.zeros((2, 64, 2), np.uint64)), device.upload(out)
    module = device.load(entry(WORDS + EXCHANGE.format(give, take), params=2))
    status = device.launch(module, "k", *places, grid=2)
    assert (status == LAUNCH_FAILED) == ("data race" in capfd.readouterr().err) == is_race
    if is_race:
        return
    assert status == 0
    h = np.arange(64, dtype=np.uint64)
    for _ in range(10):
        h = h * np.uint64(3) + h.reshape(2, 32)[::-1].ravel()
    assert np.array_equal(device.download(places[1], out), h)


#: Block 0 writes elsewhere and then gives the word; block 1 takes it and reads.
HAND_OVER = """
mov.b128 %q0, {{7, 8}};
setp.eq.u32 %p1, %r1, 1;
@%p1 bra W;
st.global.u32 [%rd1], 7;
atom.exch.{0}.gpu.global.b128 %q1, [%rd0], %q0;
ret;
W: atom.cas.{1}.gpu.global.b128 %q1, [%rd0], %q0, %q0;
mov.b128 {{%rd5, %rd6}}, %q1;
setp.ne.u64 %p2, %rd6, 8;
@%p2 bra W;
ld.global.u32 %r6, [%rd1];
st.global.u32 [%rd1+8], %r6;
"""


@pytest.mark.parametrize(
    ("gives", "takes", "is_race"),
    [
        ("release", "acquire", False),
        ("acq_rel", "acq_rel", False),
        ("relaxed", "acquire", True),
        ("release", "relaxed", True),
        ("acquire", "release", True),
    ],
)
def test_the_order_of_an_atomic_counts(
    new_device: NewDevice, capfd: Errors, gives: str, takes: str, is_race: bool
) -> None:
    device = new_device(SOFTCUDA_CHECK="race")
    places = [device.upload(np.zeros(4, np.uint64)) for _ in range(2)]
    module = device.load(entry(WORDS + HAND_OVER.format(gives, takes), params=2))
    status = device.launch(module, "k", *places, grid=2, block=1)
    assert status == (LAUNCH_FAILED if is_race else 0)
    assert ("data race" in capfd.readouterr().err) == is_race


@pytest.mark.parametrize(("upper", "is_race"), [("%rd5", True), ("5", False)])
def test_lanes_may_store_one_word_if_all_of_it_is_the_same(
    new_device: NewDevice, capfd: Errors, upper: str, is_race: bool
) -> None:
    body = f"""{WORDS}
    cvt.u64.u32 %rd5, %r0;
    mov.b128 %q0, {{3, {upper}}};
    st.global.b128 [%rd0], %q0;
    """
    device = new_device(SOFTCUDA_CHECK="race")
    place = device.upload(np.zeros(2, np.uint64))
    module = device.load(entry(body, params=2))
    status = device.launch(module, "k", place, ctypes.c_uint64(0))
    assert status == (LAUNCH_FAILED if is_race else 0)
    assert ("data race" in capfd.readouterr().err) == is_race


@pytest.mark.parametrize(("use", "is_read"), [("", False), ("mov.b128 {%rd5, %rd6}, %q1;", True)])
def test_what_was_never_written_may_be_moved(
    new_device: NewDevice, capfd: Errors, use: str, is_read: bool
) -> None:
    body = f""".reg .b128 %q<8>; .shared .align 16 .b8 s[32];
    mov.u32 %r4, s;
    ld.shared.b128 %q0, [%r4];
    mov.b128 %q1, %q0;
    st.shared.b128 [%r4+16], %q1;
    {use}
    """
    device = new_device(SOFTCUDA_CHECK="uninit")
    status = device.launch(device.load(entry(body)), "k", ctypes.c_uint64(0), block=1)
    assert status == (LAUNCH_FAILED if is_read else 0)
    assert ("uninitialised read" in capfd.readouterr().err) == is_read
