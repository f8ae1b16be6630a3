"""What nvcc makes, opcode by opcode: all of it loads, and all arithmetic in it has a vector."""

from __future__ import annotations

import pytest

from .device import HEADER, Device
from .opcodes.corpus import opcode, table
from .vectors import covered

TABLE = table()

#: Opcodes that are no arithmetic: kernels of their own hold them to account (`test_machine` and its
#: neighbours), for what they do hangs on memory, other lanes or other threads.
ELSEWHERE = {
    "activemask", "atom", "bar", "barrier", "bra", "brkpt", "call", "cvta", "exit", "fence",
    "getctarank", "isspacep", "ld", "mapa", "match", "membar", "nanosleep", "prefetch",
    "prefetchu", "redux", "ret", "shfl", "st", "trap", "vote",
}  # fmt: skip

REGISTERS = """.reg .pred %p<12>; .reg .b16 %rs<12>; .reg .b32 %r<12>; .reg .f32 %f<12>;
.reg .b64 %rd<12>; .reg .f64 %fd<12>; .param .align 16 .b8 NAME[64];
"""
CALLED = """.func (.param .b32 r) callee(.param .b32 a)
{ .reg .b32 %x; ld.param.b32 %x, [a]; st.param.b32 [r], %x; ret; }
"""
CALLS = {
    "call": "proto: .callprototype (.param .b32 _) _ (.param .b32 _);\n"
            "mov.u64 %rd1, callee; call (x), %rd1, (y), proto;",
    "call.uni": "call.uni (x), callee, (y);",
}  # fmt: skip


def base_of(word: str) -> str:
    return opcode(word).split(".")[0]


def module(statement: str) -> str:
    word = opcode(statement)
    if word in CALLS:
        statement = ".param .b32 x; .param .b32 y; st.param.b32 [y], %r1;\n" + CALLS[word]
    return f"{HEADER}{CALLED}.visible .entry k()\n{{\n{REGISTERS}{statement}\nLABEL: ret;\n}}\n"


@pytest.fixture(scope="module")
def shared_device() -> Device:
    return Device()


@pytest.mark.parametrize("base", sorted({base_of(word) for word in TABLE}))
def test_every_statement_loads(shared_device: Device, base: str) -> None:
    for word, (_, statement) in TABLE.items():
        if base_of(word) == base:
            loaded = shared_device.load(module(statement))
            shared_device.call("cuModuleUnload", loaded)


def ordered(word: str) -> str:
    """With .ftz before the type, where nvcc puts it; people put it last, too."""
    if not word.endswith(".ftz"):
        return word
    *rest, kind, ftz = word.split(".")
    return ".".join([*rest, ftz, kind])


def test_every_arithmetic_statement_has_a_vector() -> None:
    arithmetic = {ordered(opcode(word)) for word in TABLE if base_of(word) not in ELSEWHERE}
    assert len(TABLE) > 1000
    assert len(arithmetic) > 400
    assert not sorted(arithmetic - covered())
