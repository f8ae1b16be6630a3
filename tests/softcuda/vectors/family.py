"""Statements, the columns of operands that they are run on, and the kernel that does it."""

from __future__ import annotations

import ctypes
import math
import re
import struct
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..device import HEADER, Device

#: What a column can hold: bits, the class of its registers, and the type that loads and stores it.
KINDS = {
    "u8": (8, "h", "u8"), "s8": (8, "h", "s8"), "b8": (8, "h", "u8"),
    "u16": (16, "h", "u16"), "s16": (16, "h", "s16"), "b16": (16, "h", "b16"),
    "f16": (16, "h", "b16"), "bf16": (16, "h", "b16"),
    "u32": (32, "r", "u32"), "s32": (32, "r", "s32"), "b32": (32, "r", "b32"),
    "u64": (64, "rd", "u64"), "s64": (64, "rd", "s64"), "b64": (64, "rd", "b64"),
    "f32": (32, "f", "f32"), "f64": (64, "fd", "f64"), "pred": (1, "p", ""),
}  # fmt: skip
REGISTERS = {"p": "pred", "h": "b16", "r": "b32", "rd": "b64", "f": "f32", "fd": "f64"}

#: A statement's opcode with its modifiers.
STRING = re.compile(r"^\s*(?:@!?%\w+\s+)?([a-z]\w*(?:\.[\w:]+)*)")


def bits(kind: str) -> int:
    return KINDS[kind][0]


def wrap(value: int, kind: str) -> int:
    """What fits of an integer, with the kind's sign."""
    n = bits(kind)
    value &= (1 << n) - 1
    return value - (1 << n) if kind[0] == "s" and value >> (n - 1) else value


def encode(value: Any, kind: str) -> int:
    """A number as the bits of its register."""
    if kind == "bf16":
        return int(struct.unpack("<I", struct.pack("<f", value))[0]) >> 16
    if kind[0] == "f":
        code, whole = {"f16": ("<e", "<H"), "f32": ("<f", "<I"), "f64": ("<d", "<Q")}[kind]
        return int(struct.unpack(whole, struct.pack(code, value))[0])
    return int(value) & ((1 << bits(kind)) - 1)


def decode(raw: int, kind: str) -> Any:
    """The number that bits stand for."""
    raw &= (1 << bits(kind)) - 1
    if kind == "bf16":
        return struct.unpack("<f", struct.pack("<I", raw << 16))[0]
    if kind[0] == "f":
        code, whole = {"f16": ("<e", "<H"), "f32": ("<f", "<I"), "f64": ("<d", "<Q")}[kind]
        return struct.unpack(code, struct.pack(whole, raw))[0]
    return wrap(raw, kind)


@dataclass(frozen=True)
class Vector:
    """A statement with {d}, {0}, {1}, ... for its operands, and what must come out.

    ``expected`` is given the operands of a lane. With ``is_check`` it is given the result first and
    says whether that will do. {t} and {q} are a register more of the result's class and a
    predicate.
    """

    text: str
    result: str
    expected: Callable[..., Any]
    is_check: bool = False

    def strings(self) -> list[str]:
        """The opcodes with modifiers that it holds, the one under test last."""
        return [m.group(1) for line in self.text.split(";") if (m := STRING.match(line))]


@dataclass(frozen=True)
class Family:
    name: str
    columns: Sequence[tuple[str, Sequence[Any]]]
    vectors: Sequence[Vector]

    def rows(self) -> Iterator[tuple[Any, ...]]:
        return zip(*(values for _, values in self.columns), strict=True)

    def kernel(self) -> str:
        """PTX that writes the result of vector v for row i to 8 bytes at number v * rows + i."""
        count = len(self.columns[0][1])
        body = [
            f".reg .{kind} %{name}<24>;" for name, kind in REGISTERS.items()
        ] + [".reg .b64 %a<9>; .reg .b32 %i<4>;"]  # fmt: skip
        body += [
            "mov.u32 %i0, %tid.x; mov.u32 %i1, %ctaid.x; mad.lo.u32 %i0, %i1, 256, %i0;",
            f"setp.ge.u32 %p23, %i0, {count}; @%p23 ret;",
            "mul.wide.u32 %a1, %i0, 8; ld.param.u64 %a0, [out]; add.s64 %a0, %a0, %a1;",
        ]
        names = []
        for k, (kind, _) in enumerate(self.columns):
            _, register, load = KINDS[kind]
            body.append(f"ld.param.u64 %a2, [c{k}]; add.s64 %a2, %a2, %a1;")
            if register == "p":
                body.append(f"ld.global.u32 %i2, [%a2]; setp.ne.u32 %p{k}, %i2, 0;")
            else:
                body.append(f"ld.global.{load} %{register}{k}, [%a2];")
            names.append(f"%{register}{k}")
        for number, vector in enumerate(self.vectors):
            _, register, store = KINDS[vector.result]
            d, t = f"%{register}10", f"%{register}11"
            body.append(vector.text.format(*names, d=d, t=t, q="%p12") + ";")
            if register == "p":
                body.append(f"selp.u32 %i3, 1, 0, {d};")
                d, store = "%i3", "u32"
            body.append(f"st.global.{store} [%a0+{8 * number * count}], {d};")
        parameters = ", ".join(
            f".param .u64 {name}" for name in ["out", *(f"c{k}" for k in range(len(self.columns)))]
        )
        return f"{HEADER}.visible .entry k({parameters}) {{\n" + "\n".join(body) + "\nret;\n}\n"

    def run(self, device: Device) -> list[list[Any]]:
        """The results of every vector."""
        count = len(self.columns[0][1])
        out = np.zeros(len(self.vectors) * count, np.uint64)
        columns = [
            np.array([encode(value, kind) for value in values], np.uint64)
            for kind, values in self.columns
        ]
        module = device.load(self.kernel())
        target = device.upload(out)
        arguments = [device.upload(column) for column in columns]
        status = device.launch(module, "k", target, *arguments, grid=-(-count // 256), block=256)
        assert status == 0, self.name
        raw = device.download(target, out).reshape(len(self.vectors), count).tolist()
        for address in (target, *arguments):
            device.call("cuMemFree_v2", ctypes.c_uint64(address))
        device.call("cuModuleUnload", module)
        return [
            [decode(value, vector.result) for value in row]
            for vector, row in zip(self.vectors, raw, strict=True)
        ]

    def failures(self, device: Device) -> list[str]:
        """A line for each vector that gave something else."""
        lines = []
        for vector, results in zip(self.vectors, self.run(device), strict=True):
            for row, got in zip(self.rows(), results, strict=True):
                if vector.is_check:
                    if not vector.expected(got, *row):
                        lines.append(f"{vector.text}: {row} gave {got!r}")
                        break
                elif not same(got, expected := vector.expected(*row)):
                    lines.append(f"{vector.text}: {row} gave {got!r}, expected {expected!r}")
                    break
        return lines


def same(got: Any, expected: Any) -> bool:
    """Equal, zeros by their sign too; NaN equals NaN."""
    if isinstance(expected, float):
        if math.isnan(expected):
            return math.isnan(got)
        return bool(got == expected and math.copysign(1, got) == math.copysign(1, expected))
    return bool(got == expected)


def crossed(*columns: tuple[str, Sequence[Any]]) -> list[tuple[str, list[Any]]]:
    """Columns such that every value of one meets every value of the others."""
    rows: list[tuple[Any, ...]] = [()]
    for _, values in columns:
        rows = [(*row, value) for row in rows for value in values]
    return [(kind, [row[k] for row in rows]) for k, (kind, _) in enumerate(columns)]


def integers(kind: str, few: bool = False) -> list[int]:
    """Edge values, and some without a pattern."""
    n = bits(kind)
    some = [0, 1, (1 << (n - 1)) - 1, 1 << (n - 1), (1 << n) - 1, 7, 123456789]
    if not few:
        some += [2, 3, 31, 32, 33, 63, 64, 100, 255, 256, 65535, 65536, (1 << n) - 2]
        some += [0x5555555555555555, 0x123456789ABCDEF1, 0xF0E1D2C3B4A59687]
    return list(dict.fromkeys(wrap(value, kind) for value in some))
