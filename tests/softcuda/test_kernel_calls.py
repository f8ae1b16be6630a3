"""What kernels ask of the system: printf, malloc and free, and room on the stack."""

from __future__ import annotations

from collections.abc import Callable
from ctypes import c_size_t, c_uint64
from typing import Any

import numpy as np
import pytest

from .device import Device, entry
from .driver import Status, zeros

STACK, FIFO, HEAP = 0, 1, 2

EXTERNS = """
.extern .func (.param .b32 result) vprintf(.param .b64 format, .param .b64 arguments);
.extern .func (.param .b64 result) malloc(.param .b64 size);
.extern .func free(.param .b64 address);
"""


def limit(device: Device, which: int, value: int) -> None:
    device.call("cuCtxSetLimit", which, c_size_t(value))


# --- printf --------------------------------------------------------------------------------------


def text(name: str, value: str) -> str:
    data = [*value.encode(), 0]
    return f".global .align 1 .b8 {name}[{len(data)}] = {{{', '.join(map(str, data))}}};\n"


def printing(format: str, *arguments: tuple[str, str], repeat: int = 1, result: bool = True) -> str:
    """A kernel that prints arguments, (type, value), and stores what vprintf returns."""
    stores, place = "", 0
    for kind, value in arguments:
        size = int(kind[1:]) // 8
        place = -(-place // size) * size
        if kind == "b64" and not value.isdigit():  # the address of a text
            stores += f"mov.u64 %rd4, {value}; cvta.global.u64 %rd4, %rd4; "
            value = "%rd4"
        stores += f"mov.{kind} %v{size}, {value}; st.local.{kind} [room+{place}], %v{size};\n"
        place += size
    call = """
    { .param .b64 f; st.param.b64 [f+0], %rd6; .param .b64 a; st.param.b64 [a+0], %rd5;
    .param .b32 r; call.uni (r), vprintf, (f, a); ld.param.b32 %r4, [r+0]; }
    """
    body = f"""
    .local .align 8 .b8 room[64]; .reg .b32 %v4; .reg .b64 %v8;
    {stores}
    mov.u64 %rd5, room; cvta.local.u64 %rd5, %rd5;
    mov.u64 %rd6, format; cvta.global.u64 %rd6, %rd6;
    {call * repeat}
    {"st.global.u32 [%rd0], %r4;" if result else ""}
    """
    extra = EXTERNS + text("format", format) + text("word", "chip") + text("empty", "")
    return entry(body, extra=extra)


def bits(value: float) -> tuple[str, str]:
    return ("b64", str(int(np.float64(value).view(np.uint64))))


def b32(value: int) -> tuple[str, str]:
    return ("b32", str(value & 0xFFFFFFFF))


def b64(value: int) -> tuple[str, str]:
    return ("b64", str(value & (2**64 - 1)))


@pytest.mark.parametrize(
    ("format", "arguments", "expected"),
    [
        ("plain 100%%\n", [], "plain 100%\n"),
        ("%d|%i|%u", [b32(-5), b32(7), b32(-1)], "-5|7|4294967295"),
        ("%5d|%-5d|%05d|%+d", [b32(k) for k in (42, 42, 42, 42)], "   42|42   |00042|+42"),
        ("%x|%X|%#o", [b32(255), b32(255), b32(8)], "ff|FF|010"),
        ("%lld|%llu|%lx", [b64(-(2**40)), b64(2**63), b64(2**36)],
         "-1099511627776|9223372036854775808|1000000000"),
        ("%hd|%hu|%hhd|%hhu", [b32(70000), b32(70000), b32(200), b32(456)], "4464|4464|-56|200"),
        ("%.3f|%10.2e|%g|%a", [bits(k) for k in (2.5, 12345.678, 1e-9, 1.0)],
         "2.500|  1.23e+04|1e-09|0x1p+0"),
        ("%f|%d", [bits(float("inf")), b32(3)], "inf|3"),
        ("%d|%lld|%d", [b32(1), b64(2), b32(3)], "1|2|3"),
        ("%c%c|%s|%-6s|%.2s", [b32(79), b32(75), *[("b64", "word")] * 3], "OK|chip|chip  |ch"),
        ("%s|%s", [("b64", "empty"), b64(0)], "|(null)"),
        ("%*d|%-*d|%.*f", [b32(4), b32(7), b32(4), b32(7), b32(1), bits(2.25)], "   7|7   |2.2"),
        ("%p", [b64(0xABC)], "0xabc"),
        ("%400d", [b32(1)], "1".rjust(400)),
        ("%y and %", [], "%y and %"),
        ("%9999999d", [], "%9999999d"),
    ],
)  # fmt: skip
def test_printf_prints_what_c_does(
    device: Device, capfd: pytest.CaptureFixture[str], format: str,
    arguments: list[tuple[str, str]], expected: str,
) -> None:  # fmt: skip
    out = zeros(device)
    assert device.launch(device.load(printing(format, *arguments)), "k", out, block=1) == 0
    assert capfd.readouterr().out == expected
    # Stars are arguments too, but not ones that are printed.
    printed = expected.count("%") == 0 or format.startswith("plain")
    count = len(arguments) - format.count("*") if printed else 0
    assert device.download(out, np.zeros(1, np.uint32))[0] == count


def test_a_format_that_is_null_returns_minus_1(
    device: Device, capfd: pytest.CaptureFixture[str]
) -> None:
    null = printing("x").replace("mov.u64 %rd6, format; cvta.global.u64 %rd6, %rd6;",
                                 "mov.u64 %rd6, 0;")  # fmt: skip
    out = zeros(device)
    assert device.launch(device.load(null), "k", out, block=1) == 0
    assert device.download(out, np.zeros(1, np.int32))[0] == -1
    assert capfd.readouterr().out == ""


def test_each_thread_prints(device: Device, capfd: pytest.CaptureFixture[str]) -> None:
    ptx = printing("%d\n", ("b32", "%r0"))
    assert device.launch(device.load(ptx), "k", zeros(device), grid=2, block=40) == 0
    assert sorted(map(int, capfd.readouterr().out.split())) == list(range(80))


def test_what_does_not_fit_the_buffer_is_lost_and_said(
    device: Device, capfd: pytest.CaptureFixture[str]
) -> None:
    """A call with one argument takes 24 bytes, whatever the length of its text."""
    limit(device, FIFO, 240)
    module = device.load(printing("a rather long text with one number, %d\n", b32(1), repeat=3))
    assert device.launch(module, "k", zeros(device), block=4) == 0
    out, err = capfd.readouterr()
    assert out.count("\n") == 10
    assert "softcuda: kernel k printed more than the 240 bytes of CU_LIMIT_PRINTF_FIFO_SIZE" in err
    assert "2 calls of printf with 48 bytes were lost" in err
    # The next launch finds an empty buffer, of a size that is now settled.
    assert device.launch(module, "k", zeros(device), block=2) == 0
    assert capfd.readouterr().out.count("\n") == 6
    assert device.status("cuCtxSetLimit", FIFO, c_size_t(4096)) == Status.INVALID_VALUE


def test_what_was_printed_before_a_fault_is_seen(
    device: Device, capfd: pytest.CaptureFixture[str]
) -> None:
    ptx = printing("before\n").replace("st.global.u32 [%rd0]", "st.global.u32 [%rd0+1000000]")
    assert device.launch(device.load(ptx), "k", zeros(device), block=1) == Status.ILLEGAL_ADDRESS
    assert capfd.readouterr().out == "before\n"


# --- malloc and free -----------------------------------------------------------------------------

MALLOC = """
{ .param .b64 s; st.param.b64 [s+0], %rd1; .param .b64 r;
call.uni (r), malloc, (s); ld.param.b64 %rd5, [r+0]; }
add.s64 %rd4, %rd0, %rd11;
st.global.u64 [%rd4], %rd5;
"""
WRITE = "setp.eq.u64 %p1, %rd5, 0; @!%p1 st.u32 [%rd5], %r0;\n"
FREE = """
add.s64 %rd4, %rd0, %rd11;
ld.global.u64 %rd5, [%rd4];
{ .param .b64 a; st.param.b64 [a+0], %rd5; call.uni free, (a); }
"""


@pytest.fixture
def heap(device: Device) -> dict[str, Any]:
    return {
        "allocate": device.load(entry(MALLOC + WRITE, params=2, extra=EXTERNS)),
        "free": device.load(entry(FREE, extra=EXTERNS)),
    }


def addresses(device: Device, out: int, count: int = 32) -> list[int]:
    return [int(k) for k in device.download(out, np.zeros(count, np.uint64))]


def test_the_heap_has_a_limit_and_takes_back_what_is_freed(
    device: Device, heap: dict[str, Any]
) -> None:
    limit(device, HEAP, 10_240)
    out = zeros(device)
    assert device.launch(heap["allocate"], "k", out, 1000) == 0
    first = addresses(device, out)
    assert sum(address != 0 for address in first) == 10  # of 1008 bytes each
    assert len(set(first) - {0}) == 10
    assert device.launch(heap["free"], "k", out) == 0  # null may be freed
    assert device.launch(heap["allocate"], "k", out, 10_240, block=1) == 0
    assert addresses(device, out, 1) != [0]
    assert device.status("cuCtxSetLimit", HEAP, c_size_t(1 << 20)) == Status.INVALID_VALUE


@pytest.mark.parametrize("size", [0, 10_241, 2**64 - 1])
def test_what_the_heap_cannot_give_is_null(device: Device, heap: dict[str, Any], size: int) -> None:
    limit(device, HEAP, 10_240)
    out = zeros(device)
    assert device.launch(heap["allocate"], "k", out, size, block=1) == 0
    assert addresses(device, out, 1) == [0]


def test_the_heap_is_no_part_of_the_device_memory(
    new_device: Callable[..., Device],
) -> None:
    device = new_device(SOFTCUDA_MEMORY_MB="16")
    allocate = device.load(entry(MALLOC, params=2, extra=EXTERNS))
    out = zeros(device, 1024)
    device.upload(np.zeros((16 << 20) - 8192, np.uint8))  # as good as all
    assert device.launch(allocate, "k", out, 1 << 20, block=8) == 0
    got = addresses(device, out, 8)
    assert 0 not in got
    # It is the kernels' own: the program cannot free it.
    assert device.status("cuMemFree_v2", c_uint64(got[0])) == Status.INVALID_VALUE


@pytest.mark.parametrize(
    ("what", "words"),
    [("twice", "which was freed"), ("the program's", "lies at byte 0 of"), ("inside", "byte 8")],
)
def test_free_takes_only_what_malloc_gave(
    device: Device, heap: dict[str, Any], capfd: pytest.CaptureFixture[str], what: str, words: str
) -> None:
    out = zeros(device)
    assert device.launch(heap["allocate"], "k", out, 64, block=1) == 0
    (address,) = addresses(device, out, 1)
    if what == "twice":
        assert device.launch(heap["free"], "k", out, block=1) == 0
    wrong = {"twice": address, "the program's": zeros(device), "inside": address + 8}[what]
    place = device.upload(np.array([wrong], np.uint64))
    assert device.launch(heap["free"], "k", place, block=1) == Status.ILLEGAL_ADDRESS
    err = capfd.readouterr().err
    assert "softcuda: bad free in kernel k" in err
    assert words in err
    assert "expected one that malloc in a kernel gave" in err


# --- the stack -----------------------------------------------------------------------------------

#: depth(n) = n == 0 ? 0 : 1 + depth(n - 1), with 48 bytes of its own and 16 for the call.
DEPTH = """
.func (.param .b32 result) depth(.param .b32 n)
{
.reg .pred %p<2>; .reg .b32 %r<9>; .local .align 8 .b8 room[48];
ld.param.u32 %r1, [n];
mov.u32 %r2, 0;
setp.eq.u32 %p1, %r1, 0;
@%p1 bra done;
st.local.u32 [room+44], %r1;
add.s32 %r3, %r1, -1;
{ .param .b32 a; st.param.b32 [a+0], %r3; .param .b32 b;
call.uni (b), depth, (a); ld.param.b32 %r4, [b+0]; }
add.s32 %r2, %r4, 1;
done: st.param.b32 [result+0], %r2;
ret;
}
"""
CALL_DEPTH = """
cvt.u32.u64 %r5, %rd1;
{ .param .b32 a; st.param.b32 [a+0], %r5; .param .b32 b;
call.uni (b), depth, (a); ld.param.b32 %r4, [b+0]; }
st.global.u32 [%rd0], %r4;
"""


def test_recursion_is_as_deep_as_the_stack(
    device: Device, capfd: pytest.CaptureFixture[str]
) -> None:
    out = zeros(device)
    module = device.load(entry(CALL_DEPTH, params=2, extra=DEPTH))
    for stack in (1024, 4096):
        limit(device, STACK, stack)
        deepest = stack // 64  # and the first call, which is no recursion
        assert device.launch(module, "k", out, deepest, block=1) == 0
        assert device.download(out, np.zeros(1, np.uint32))[0] == deepest
    assert device.launch(module, "k", out, deepest + 1, block=1) == Status.ILLEGAL_ADDRESS
    assert "softcuda: stack overflow in kernel k, function depth" in capfd.readouterr().err


def test_recursion_without_an_end_ends(device: Device) -> None:
    """Even of a function that has nothing on the stack but its calls."""
    endless = """
    .func forever()
    {
    call.uni forever, ();
    ret;
    }
    """
    module = device.load(entry("call.uni forever, ();", extra=endless))
    assert device.launch(module, "k", zeros(device), block=1) == Status.ILLEGAL_ADDRESS


def test_calls_without_recursion_need_no_stack_limit(device: Device) -> None:
    """Each function has a kilobyte: what the calls of a kernel need is known before it starts."""
    chain = "".join(
        f"""
        .func (.param .b32 result) f{k}(.param .b32 n)
        {{
        .reg .b32 %r<9>; .local .align 8 .b8 room[1024];
        ld.param.u32 %r1, [n]; add.u32 %r1, %r1, 1; st.local.u32 [room+1020], %r1;
        {
            f'''{{ .param .b32 a; st.param.b32 [a+0], %r1; .param .b32 b;
        call.uni (b), f{k - 1}, (a); ld.param.b32 %r1, [b+0]; }}'''
            if k
            else ""
        }
        st.param.b32 [result+0], %r1;
        ret;
        }}
        """
        for k in range(6)
    )
    limit(device, STACK, 0)
    out = zeros(device)
    module = device.load(entry(CALL_DEPTH.replace("depth", "f5"), params=2, extra=chain))
    assert device.launch(module, "k", out, 10, block=1) == 0
    assert device.download(out, np.zeros(1, np.uint32))[0] == 16
