"""What the lanes of a warp do together, for whole warps and for some of their lanes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import reduce
from typing import Any

import numpy as np
import pytest

from .device import Device, entry
from .vectors.family import wrap

MASKS = (0xFFFFFFFF, 0x0F0F00F1, 1 << 31)
VALUES = [3, 0x80000001, 7, 3, 0xFFFFFFFF, 0, 7, 3] * 4
WIDE = [value * 0x100000001 for value in VALUES]


def run(device: Device, statement: str, mask: int, kind: str = "u32") -> list[int]:
    """The result, %r5, of the lanes of the mask; the operand is in %r4, or %rd4."""
    values = np.array(VALUES if kind == "u32" else WIDE, kind.replace("u", "uint"))
    out = np.zeros(32, np.uint32)
    body = f"""
    mov.u32 %r6, %laneid; mov.u32 %r7, {mask}; shr.u32 %r8, %r7, %r6; and.b32 %r8, %r8, 1;
    setp.eq.u32 %p9, %r8, 0;
    mul.wide.u32 %rd5, %r6, {4 if kind == "u32" else 8}; add.s64 %rd5, %rd5, %rd0;
    ld.global.{kind} {"%r4" if kind == "u32" else "%rd4"}, [%rd5];
    mov.u32 %r5, 0; setp.ne.u32 %p1, %r4, 7;
    @%p9 bra DONE;
    {statement};
    DONE: add.s64 %rd6, %rd1, %rd10; st.global.u32 [%rd6], %r5;
    """
    address = device.upload(out)
    module = device.load(entry(body, params=2))
    assert device.launch(module, "k", device.upload(values), address) == 0
    result: list[int] = device.download(address, out).tolist()
    return [x for lane, x in enumerate(result) if mask >> lane & 1]


def taking_part(mask: int, values: Sequence[int] = VALUES) -> list[tuple[int, int]]:
    return [(lane, values[lane]) for lane in range(32) if mask >> lane & 1]


def signed(function: Callable[..., int]) -> Callable[[int, int], int]:
    return lambda a, b: function(wrap(a, "s32"), wrap(b, "s32")) & 0xFFFFFFFF


REDUCTIONS: dict[str, Callable[[int, int], int]] = {
    "add.u32": lambda a, b: a + b & 0xFFFFFFFF,
    "add.s32": lambda a, b: a + b & 0xFFFFFFFF,
    "min.u32": min, "max.u32": max, "min.s32": signed(min), "max.s32": signed(max),
    "and.b32": lambda a, b: a & b, "or.b32": lambda a, b: a | b, "xor.b32": lambda a, b: a ^ b,
}  # fmt: skip


@pytest.mark.parametrize("mask", MASKS)
@pytest.mark.parametrize("operation", REDUCTIONS)
def test_redux(device: Device, operation: str, mask: int) -> None:
    got = run(device, f"redux.sync.{operation} %r5, %r4, %r7", mask)
    lanes = taking_part(mask)
    assert got == [reduce(REDUCTIONS[operation], [x for _, x in lanes])] * len(lanes)


@pytest.mark.parametrize("mask", MASKS)
def test_votes(device: Device, mask: int) -> None:
    lanes = taking_part(mask)
    holds = [x != 7 for _, x in lanes]
    ballot = sum(1 << lane for lane, x in lanes if x != 7)
    count = len(lanes)
    assert run(device, "vote.sync.ballot.b32 %r5, %p1, %r7", mask) == [ballot] * count
    opposite = sum(1 << lane for lane, x in lanes if x == 7)
    assert run(device, "vote.sync.ballot.b32 %r5, !%p1, %r7", mask) == [opposite] * count
    for how, result in (("all", all(holds)), ("any", any(holds)), ("uni", len(set(holds)) == 1)):
        text = f"vote.sync.{how}.pred %p2, %p1, %r7; selp.u32 %r5, 1, 0, %p2"
        assert run(device, text, mask) == [int(result)] * count


@pytest.mark.parametrize("mask", MASKS)
@pytest.mark.parametrize("kind", ["u32", "u64"])
def test_matches(device: Device, mask: int, kind: str) -> None:
    operand, width = ("%r4", "b32") if kind == "u32" else ("%rd4", "b64")
    lanes = taking_part(mask, VALUES if kind == "u32" else WIDE)
    same = [sum(1 << other for other, y in lanes if y == x) for _, x in lanes]
    assert run(device, f"match.any.sync.{width} %r5, {operand}, %r7", mask, kind) == same
    all_equal = len({x for _, x in lanes}) == 1
    got = run(device, f"match.all.sync.{width} %r5|%p2, {operand}, %r7", mask, kind)
    assert got == [mask if all_equal else 0] * len(lanes)
    text = f"match.all.sync.{width} %r5|%p2, {operand}, %r7; selp.u32 %r5, 1, 0, %p2"
    assert run(device, text, mask, kind) == [int(all_equal)] * len(lanes)


def source_lane(how: str, lane: int, offset: int, clamp: int) -> tuple[int, bool]:
    """The manual's pseudocode: the lane that is read, and whether it is within the segment."""
    segment, limit = clamp >> 8 & 31, clamp & 31
    most, least = (lane & segment) | (limit & ~segment), lane & segment
    if how == "up":
        source, inside = lane - offset, lane - offset >= most
    elif how == "down":
        source, inside = lane + offset, lane + offset <= most
    elif how == "bfly":
        source, inside = lane ^ offset, (lane ^ offset) <= most
    else:
        source = least | (offset & ~segment)
        inside = source <= most
    return (source, True) if inside else (lane, False)


@pytest.mark.parametrize("clamp", [0, 31, 0x181F, 0x1C1F, 0x1800, 0x1E1F])
@pytest.mark.parametrize("offset", [0, 1, 3, 8, 31])
@pytest.mark.parametrize("how", ["up", "down", "bfly", "idx"])
def test_shuffles(device: Device, how: str, offset: int, clamp: int) -> None:
    expected = [source_lane(how, lane, offset, clamp) for lane in range(32)]
    text = f"shfl.sync.{how}.b32 %r5, %r6, {offset}, {clamp}, -1"
    assert run(device, text, MASKS[0]) == [lane for lane, _ in expected]
    text = f"shfl.sync.{how}.b32 %r5|%p2, %r6, {offset}, {clamp}, -1; selp.u32 %r5, 1, 0, %p2"
    assert run(device, text, MASKS[0]) == [int(inside) for _, inside in expected]


@pytest.mark.parametrize("mask", MASKS)
def test_activemask(device: Device, mask: int) -> None:
    got: Any = run(device, "activemask.b32 %r5", mask)
    assert got == [mask] * bin(mask).count("1")
