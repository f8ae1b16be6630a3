"""Loads, stores and atomics of the table of opcodes, each against bytes and integers of Python."""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest

from .device import HEADER, Device
from .opcodes.corpus import TABLE, opcode, table
from .vectors.family import decode, encode, wrap

WORDS = sorted({opcode(word) for word in table()})
PATTERN = bytes((37 * k + 0x81) % 256 for k in range(32))
#: Registers by the bits of a class; integers may be read into a wider one.
CLASSES = {16: "rs", 32: "r", 64: "rd"}
FLOATS = {"f32": "f", "f64": "fd"}


@dataclass(frozen=True)
class Access:
    """What a statement such as ld.volatile.shared.v2.f32 says."""

    word: str
    space: str  # "" where the address is generic
    elements: int
    kind: str  # "u8", "f32", ...

    @classmethod
    def of(cls, word: str) -> Access:
        parts = word.replace("::cluster", "").split(".")
        spaces = ("global", "shared", "local", "const", "param")
        vector = next((p for p in parts if p in ("v2", "v4")), "v1")
        return cls(word, next((p for p in parts if p in spaces), ""), int(vector[1]), parts[-1])

    @property
    def bits(self) -> int:
        return int(self.kind[1:])

    def registers(self) -> list[tuple[str, int]]:
        """The classes that an element may be in, with their widths."""
        if self.kind in FLOATS:
            return [(FLOATS[self.kind], self.bits)]
        return [(name, width) for width, name in CLASSES.items() if width >= self.bits]


def kernel(body: str) -> str:
    """%rd0 is memory of the lane, 64 bytes; s, l, c and p are 32 bytes in the other spaces."""
    constant = ", ".join(map(str, PATTERN))
    return f"""{HEADER}.const .align 16 .b8 c[32] = {{{constant}}};
.visible .entry k(.param .u64 out, .param .u64 memory, .param .align 16 .b8 p[32])
{{
.reg .pred %p<9>; .reg .b16 %rs<9>; .reg .b32 %r<9>; .reg .f32 %f<9>; .reg .b64 %rd<12>;
.reg .f64 %fd<9>; .shared .align 16 .b8 s[32]; .local .align 16 .b8 l[32];
ld.param.u64 %rd0, [memory]; ld.param.u64 %rd9, [out];
{body}
ret;
}}
"""


PLACES = {"": "%rd0", "global": "%rd0", "shared": "s", "local": "l", "const": "c", "param": "p"}


def fill(space: str) -> str:
    """Write the pattern, eight bytes at a time."""
    if space in ("const", "param"):
        return ""
    words = [int.from_bytes(PATTERN[k : k + 8], "little") for k in range(0, 32, 8)]
    where, kind = PLACES[space], space or "global"
    return "".join(
        f"mov.b64 %rd8, {word:#x}; st.{kind}.b64 [{where}+{8 * k}], %rd8;\n"
        for k, word in enumerate(words)
    )


def run(device: Device, body: str, count: int) -> list[int]:
    """What the body has written to %rd9 as numbers of 64 bits."""
    out = np.zeros(count, np.uint64)
    module = device.load(kernel(body))
    target, memory = device.upload(out), device.upload(np.zeros(64, np.uint8))
    parameter = np.frombuffer(PATTERN, np.uint8)
    function = ctypes.c_void_p()
    device.call("cuModuleGetFunction", ctypes.byref(function), module, b"k")
    first, second = ctypes.c_uint64(target), ctypes.c_uint64(memory)
    pointers = (ctypes.c_void_p * 3)(
        ctypes.addressof(first), ctypes.addressof(second), parameter.ctypes.data
    )
    device.call("cuLaunchKernel", function, 1, 1, 1, 1, 1, 1, 0, None, pointers, None)
    device.call("cuCtxSynchronize")
    result: list[int] = device.download(target, out).tolist()
    return result


def put(register: str, width: int, number: int) -> str:
    """Write the bits of a register to place `number` of the results."""
    if width == 16:
        return f"cvt.u64.u16 %rd8, {register}; st.global.b64 [%rd9+{8 * number}], %rd8;\n"
    return f"st.global.b{width} [%rd9+{8 * number}], {register};\n"


@pytest.mark.parametrize("word", [w for w in WORDS if w.split(".")[0] == "ld"])
def test_loads_extend_to_their_registers(device: Device, word: str) -> None:
    access = Access.of(word)
    step = access.bits // 8
    for name, width in access.registers():
        names = [f"%{name}{k}" for k in range(1, access.elements + 1)]
        destination = names[0] if access.elements == 1 else f"{{{', '.join(names)}}}"
        if access.elements > 1 and width != max(access.bits, 16):
            continue  # vectors go to registers of their own width
        body = fill(access.space) + f"{word} {destination}, [{PLACES[access.space]}];\n"
        body += "".join(put(register, width, k) for k, register in enumerate(names))
        raw = [PATTERN[k * step : (k + 1) * step] for k in range(access.elements)]
        signed = access.kind[0] == "s"
        expected = [int.from_bytes(b, "little", signed=signed) % (1 << width) for b in raw]
        assert run(device, body, access.elements) == expected, name


@pytest.mark.parametrize(
    "word", [w for w in WORDS if w.split(".")[0] == "st" and ".param" not in w]
)
def test_stores_write_the_low_bytes_and_no_others(device: Device, word: str) -> None:
    access = Access.of(word)
    step = access.bits // 8
    values = [0x0123456789ABCDEF, 0x1122334455667788, 0xF0E1D2C3B4A59687, 0x7766554433221100]
    for name, width in access.registers():
        if access.elements > 1 and width != max(access.bits, 16):
            continue
        kind = access.kind if access.kind in FLOATS else f"b{width}"
        names = [f"%{name}{k}" for k in range(1, access.elements + 1)]
        body = fill(access.space)
        for register, value in zip(names, values, strict=False):
            body += f"mov.b64 %rd8, {value:#x}; "
            if width == 64:
                body += f"mov.b64 {register}, %rd8;\n"
            else:
                body += "cvt.u32.u64 %r8, %rd8; "
                body += "cvt.u16.u32" if width == 16 else "mov.b32"
                body += f" {register}, %r8;\n"
        source = names[0] if access.elements == 1 else f"{{{', '.join(names)}}}"
        where, space = PLACES[access.space], access.space or "global"
        body += f"{word} [{where}], {source};\n"
        for k in range(4):
            body += f"ld.{space}.b64 %rd8, [{where}+{8 * k}]; st.global.b64 [%rd9+{8 * k}], %rd8;\n"
        written = b"".join(v.to_bytes(8, "little")[:step] for v in values[: access.elements])
        expected = written + PATTERN[len(written) :]
        got = b"".join(word.to_bytes(8, "little") for word in run(device, body, 4))
        assert got == expected, (kind, name)


# --- atomics ---

OPERATIONS: dict[str, Callable[[Any, Any, Any], Any]] = {
    "add": lambda x, b, c: x + b,
    "min": lambda x, b, c: min(x, b),
    "max": lambda x, b, c: max(x, b),
    "and": lambda x, b, c: x & b,
    "or": lambda x, b, c: x | b,
    "xor": lambda x, b, c: x ^ b,
    "exch": lambda x, b, c: b,
    "cas": lambda x, b, c: c if x == b else x,
    "inc": lambda x, b, c: 0 if x >= b else x + 1,
    "dec": lambda x, b, c: b if x == 0 or x > b else x - 1,
}


def cases(operation: str, kind: str) -> Iterator[tuple[Any, Any, Any]]:
    if kind[0] == "f":
        yield from [(1.5, 2.25, 0.0), (-0.0, 0.0, 0.0), (1e30, -1e30, 0.0), (3.0, float("inf"), 0)]
        return
    n = int(kind[1:])
    top = 1 << (n - 1)
    for x, b, c in [(5, 3, 9), (3, 5, 9), (7, 7, 9), (0, 4, 1), (2 * top - 1, 1, 2), (top, 6, 3),
                    (0x55555555, 0x0F0F0F0F, 0xFFFF)]:  # fmt: skip
        yield wrap(x, kind), wrap(b, kind), wrap(c, kind)


def operation_of(word: str) -> str:
    return next(part for part in word.split(".") if part in OPERATIONS)


ATOMICS = [word for word in WORDS if word.split(".")[0] == "atom"]
#: Without a result. (exch and cas are nothing without theirs.)
REDUCTIONS = ["red" + word[4:] for word in ATOMICS if operation_of(word) not in ("exch", "cas")]


@pytest.mark.parametrize("word", ATOMICS + REDUCTIONS)
def test_atomics_return_what_was_there_and_leave_the_result(device: Device, word: str) -> None:
    access, operation, red = Access.of(word), operation_of(word), word.startswith("red")
    kind = access.kind
    name = FLOATS.get(kind, CLASSES[max(access.bits, 16)])
    store = kind if kind in FLOATS else f"b{access.bits}"
    where, space = PLACES[access.space], access.space or "global"
    body, expected = "", []
    for number, (x, b, c) in enumerate(cases(operation, kind)):
        for k, value in enumerate((x, b, c)):
            raw = encode(value, kind)
            if access.bits == 16:
                body += f"mov.b16 %rs{k + 1}, {raw:#x};\n"
            elif kind in FLOATS:
                digits = {"f32": f"0f{raw:08X}", "f64": f"0d{raw:016X}"}[kind]
                body += f"mov.{kind} %{name}{k + 1}, {digits};\n"
            else:
                body += f"mov.b{access.bits} %{name}{k + 1}, {raw:#x};\n"
        operands = f"[{where}], %{name}2" + (f", %{name}3" if operation == "cas" else "")
        statement = f"{word} {operands}" if red else f"{word} %{name}4, {operands}"
        body += f"st.{space}.{store} [{where}], %{name}1;\n{statement};\n"
        body += f"ld.{space}.{store} %{name}5, [{where}];\n"
        body += "" if red else put(f"%{name}4", max(access.bits, 16), 2 * number)
        body += put(f"%{name}5", max(access.bits, 16), 2 * number + 1)
        result = OPERATIONS[operation](x, b, c)
        expected += [0 if red else encode(x, kind), encode(rounded(result, kind), kind)]
    got = run(device, body, len(expected))
    assert got == expected, [decode(value, kind) for value in got]


def rounded(value: Any, kind: str) -> Any:
    return float(np.float32(value)) if kind == "f32" else value


def test_the_table_is_there() -> None:
    assert TABLE.exists()
    assert sum(word.startswith(("ld.", "st.", "atom.")) for word in WORDS) > 400
