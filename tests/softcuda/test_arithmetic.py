"""Instructions against Python's integers and fractions, edge values included."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from typing import Any

import numpy as np
import pytest

from .device import Device, entry

KINDS = {
    "u16": np.uint16, "s16": np.int16, "u32": np.uint32, "s32": np.int32,
    "u64": np.uint64, "s64": np.int64, "f32": np.float32, "f64": np.float64,
}  # fmt: skip
REGISTERS = {"u16": "%h", "s16": "%h", "f32": "%f", "f64": "%fd"}


def bits(kind: str) -> int:
    return int(kind[1:])


def register(kind: str, k: int) -> str:
    base = REGISTERS.get(kind, "%r" if bits(kind) == 32 else "%rd")
    return f"{base}{k + (12 if base in ('%r', '%rd') else 1)}"


def apply(device: Device, text: str, result: str, *columns: tuple[str, Any]) -> Any:
    """Run one instruction, with {d}, {0}, {1}, ... for its operands, on rows of numbers."""
    count = len(columns[0][1])
    arrays = [np.array(values, KINDS[kind]) for kind, values in columns]
    out = np.zeros(count, KINDS[result])
    body = ""
    for k, (kind, _) in enumerate(columns):
        body += f"mul.wide.u32 %rd9, %r0, {bits(kind) // 8};\nadd.s64 %rd{k}, %rd{k}, %rd9;\n"
        body += f"ld.global.{kind} {register(kind, k)}, [%rd{k}];\n"
    names = [register(kind, k) for k, (kind, _) in enumerate(columns)]
    d, last = register(result, 6), len(columns)
    body += text.format(*names, d=d) + ";\n"
    body += f"mul.wide.u32 %rd9, %r0, {bits(result) // 8};\nadd.s64 %rd{last}, %rd{last}, %rd9;\n"
    body += f"st.global.{result} [%rd{last}], {d};\n"
    guard = f"setp.ge.u32 %p1, %r0, {count};\n@%p1 ret;\n"
    module = device.load(entry(guard + body, params=last + 1))
    target = device.upload(out)
    uploaded = [device.upload(array) for array in arrays]
    assert device.launch(module, "k", *uploaded, target, grid=-(-count // 256), block=256) == 0
    return device.download(target, out)


def wrap(value: int, kind: str) -> int:
    """What fits of an integer, with the type's sign."""
    n = bits(kind)
    value &= (1 << n) - 1
    return value - (1 << n) if kind[0] == "s" and value >> (n - 1) else value


def edges(kind: str) -> list[int]:
    n = bits(kind)
    some = [0, 1, 2, 3, 7, 31, 32, 33, 63, 64, 100, 255, 256, 65535, 65536, 123456789]
    some += [(1 << (n - 1)) - 1, 1 << (n - 1), (1 << n) - 1, (1 << n) - 2, 0x5555555555555555]
    return [wrap(value, kind) for value in some]


def pairs(kind: str) -> tuple[list[int], list[int]]:
    both = [(a, b) for a in edges(kind) for b in edges(kind)]
    return [a for a, _ in both], [b for _, b in both]


def divide(a: int, b: int) -> int:
    return abs(a) // abs(b) * (1 if (a < 0) == (b < 0) else -1)


BINARY: dict[str, Callable[[int, int, int], int]] = {
    "add": lambda a, b, n: a + b,
    "sub": lambda a, b, n: a - b,
    "mul.lo": lambda a, b, n: a * b,
    "mul.hi": lambda a, b, n: (a * b) >> n,
    "div": lambda a, b, n: divide(a, b) if b else -1,
    "rem": lambda a, b, n: a - b * divide(a, b) if b else a,
    "min": lambda a, b, n: min(a, b),
    "max": lambda a, b, n: max(a, b),
}


@pytest.mark.parametrize("kind", ["u16", "s16", "u32", "s32", "u64", "s64"])
@pytest.mark.parametrize("op", BINARY)
def test_two_integers(device: Device, op: str, kind: str) -> None:
    a, b = pairs(kind)
    got = apply(device, f"{op}.{kind} {{d}}, {{0}}, {{1}}", kind, (kind, a), (kind, b))
    exact = [wrap(BINARY[op](x, y, bits(kind)), kind) for x, y in zip(a, b, strict=True)]
    assert got.tolist() == exact


@pytest.mark.parametrize("kind", ["u16", "s16", "u32", "s32"])
def test_mul_wide_has_all_digits(device: Device, kind: str) -> None:
    a, b = pairs(kind)
    wide = f"{kind[0]}{2 * bits(kind)}"
    got = apply(device, f"mul.wide.{kind} {{d}}, {{0}}, {{1}}", wide, (kind, a), (kind, b))
    assert got.tolist() == [x * y for x, y in zip(a, b, strict=True)]


@pytest.mark.parametrize("kind", ["u16", "u32", "u64", "s32", "s64"])
def test_shifts_clamp_at_the_width(device: Device, kind: str) -> None:
    both = [(a, n) for a in edges(kind) for n in (0, 1, 5, 15, 16, 31, 32, 33, 63, 64, 255)]
    a, n = ("s" + kind[1:] if kind[0] == "s" else kind, [a for a, _ in both]), [n for _, n in both]
    left = apply(device, f"shl.b{bits(kind)} {{d}}, {{0}}, {{1}}", kind, a, ("u32", n))
    assert left.tolist() == [wrap(x << k, kind) if k < bits(kind) else 0 for x, k in both]
    right = apply(device, f"shr.{kind} {{d}}, {{0}}, {{1}}", kind, a, ("u32", n))
    assert right.tolist() == [x >> k for x, k in both]


def bfe(a: int, position: int, length: int, kind: str) -> int:
    """Bit by bit, as the PTX manual defines it."""
    n, raw = bits(kind), a & ((1 << bits(kind)) - 1)
    sign = 0
    if kind[0] == "s" and length:
        sign = raw >> min(position + length - 1, n - 1) & 1
    out = 0
    for i in range(n):
        inside = i < length and position + i < n
        out |= (raw >> (position + i) & 1 if inside else sign) << i
    return wrap(out, kind)


@pytest.mark.parametrize("kind", ["u32", "s32", "u64", "s64"])
def test_bfe(device: Device, kind: str) -> None:
    places, lengths = (0, 1, 8, 31, 32, 40, 63, 64), (0, 1, 8, 31, 32, 33, 64, 200)
    rows = [(a, p, n) for a in edges(kind) for p in places for n in lengths]
    a, p, n = (list(column) for column in zip(*rows, strict=True))
    got = apply(
        device, f"bfe.{kind} {{d}}, {{0}}, {{1}}, {{2}}", kind, (kind, a), ("u32", p), ("u32", n)
    )
    assert got.tolist() == [bfe(*row, kind) for row in rows]


def words(seed: int, count: int = 300) -> list[int]:
    return [int(x) for x in np.random.default_rng(seed).integers(0, 2**32, count)]


@pytest.mark.parametrize("table", [0x96, 0xE8, 0xCA, 0x01, 0x80, 0xFF])
def test_lop3_is_its_table(device: Device, table: int) -> None:
    a, b, c = words(1), words(2), words(3)
    text = f"lop3.b32 {{d}}, {{0}}, {{1}}, {{2}}, {table}"
    got = apply(device, text, "u32", ("u32", a), ("u32", b), ("u32", c))
    for x, y, z, out in zip(a, b, c, got.tolist(), strict=True):
        which = [(x >> i & 1) << 2 | (y >> i & 1) << 1 | z >> i & 1 for i in range(32)]
        assert out == sum((table >> w & 1) << i for i, w in enumerate(which))


def test_prmt_takes_bytes_and_signs(device: Device) -> None:
    a, b, c = words(4), words(5), [x & 0xFFFF for x in words(6)]
    got = apply(device, "prmt.b32 {d}, {0}, {1}, {2}", "u32", ("u32", a), ("u32", b), ("u32", c))
    for x, y, s, out in zip(a, b, c, got.tolist(), strict=True):
        source = (x | y << 32).to_bytes(8, "little")
        expected = 0
        for k in range(4):
            select = s >> (4 * k) & 15
            byte = source[select & 7]
            expected |= (255 * (byte >> 7) if select & 8 else byte) << (8 * k)
        assert out == expected


@pytest.mark.parametrize("way", ["l", "r"])
def test_funnel_shift(device: Device, way: str) -> None:
    a, b, n = words(7), words(8), [x % 40 for x in words(9)]
    text = f"shf.{way}.clamp.b32 {{d}}, {{0}}, {{1}}, {{2}}"
    got = apply(device, text, "u32", ("u32", a), ("u32", b), ("u32", n))
    for x, y, k, out in zip(a, b, n, got.tolist(), strict=True):
        both, k = y << 32 | x, min(k, 32)
        assert out == (both << k >> 32 if way == "l" else both >> k) & 0xFFFFFFFF


def test_carries_make_wide_sums(device: Device) -> None:
    a, b = pairs("u64")
    low, high = "{{%r17, %r18}}, {0}", "{{%r15, %r16}}, {1}"
    text = (
        f"mov.b64 {low};\nmov.b64 {high};\nadd.cc.u32 %r17, %r17, %r15;\n"
        "addc.u32 %r18, %r18, %r16;\nmov.b64 {d}, {{%r17, %r18}}"
    )
    got = apply(device, text, "u64", ("u64", a), ("u64", b))
    assert got.tolist() == [(x + y) % 2**64 for x, y in zip(a, b, strict=True)]


# --- floating point ---

FLOATS = [
    0.0,
    -0.0,
    1.0,
    -1.0,
    1.5,
    1 / 3,
    1e-30,
    -7e8,
    3e38,
    1e-40,
    1.0000001,
    0.1,
    255.5,
    2.0**24,
]
MODES = ("rn", "rz", "rm", "rp")


def rounded(exact: Fraction, kind: Any, mode: str) -> float:
    """A rational number as the floating-point number that the rounding mode chooses."""
    with np.errstate(all="ignore"):
        near = kind(float(exact)) if kind is np.float64 else nearest32(exact)
        if mode == "rn" or not np.isfinite(near) or Fraction(float(near)) == exact:
            if np.isfinite(near) or mode == "rn":
                return float(near)
            top = float(np.finfo(kind).max)
            toward_zero = mode == "rz" or (mode == "rm") == (exact > 0)
            return np.sign(float(near)) * top if toward_zero else float(near)
        is_above = Fraction(float(near)) > exact
        down, up = kind(-np.inf), kind(np.inf)
        if mode == "rm" or (mode == "rz" and exact > 0):
            return float(np.nextafter(near, down) if is_above else near)
        return float(near if is_above else np.nextafter(near, up))


def nearest32(exact: Fraction) -> Any:
    """To the nearest float32, ties to even: through three candidates, never through float64."""
    guess = np.float32(float(exact))
    if not np.isfinite(guess):
        return guess
    candidates = [
        guess,
        np.nextafter(guess, np.float32(np.inf)),
        np.nextafter(guess, np.float32(-np.inf)),
    ]
    finite = [c for c in candidates if np.isfinite(c)]
    return min(finite, key=lambda c: (abs(Fraction(float(c)) - exact), int(c.view(np.uint32)) & 1))


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("kind", ["f32", "f64"])
@pytest.mark.parametrize("op", ["add", "mul", "fma", "div"])
def test_sums_and_products_are_rounded_once(device: Device, op: str, kind: str, mode: str) -> None:
    number = KINDS[kind]
    values = [float(number(x)) for x in FLOATS]
    rows = [(a, b, c) for a in values for b in values for c in values[:6]]
    if op == "div":
        rows = [row for row in rows if row[1] != 0]
    a, b, c = (list(column) for column in zip(*rows, strict=True))
    text = f"{op}.{mode}.{kind} {{d}}, {{0}}, {{1}}" + (", {2}" if op == "fma" else "")
    columns = [(kind, a), (kind, b)] + ([(kind, c)] if op == "fma" else [])
    got = apply(device, text, kind, *columns)
    for (x, y, z), out in zip(rows, got.tolist(), strict=True):
        fx, fy, fz = Fraction(x), Fraction(y), Fraction(z)
        exact = {"add": fx + fy, "mul": fx * fy, "fma": fx * fy + fz}.get(op)
        if exact is None:
            exact = fx / fy
        assert out == rounded(exact, number, mode), (x, y, z)


def test_ftz_flushes_only_where_it_is_written(device: Device) -> None:
    tiny = [1e-40, -1e-40, 2e-38]
    kept = apply(device, "add.f32 {d}, {0}, {1}", "f32", ("f32", tiny), ("f32", [0.0] * 3))
    assert np.array_equal(kept, np.array(tiny, np.float32))
    flushed = apply(device, "add.ftz.f32 {d}, {0}, {1}", "f32", ("f32", tiny), ("f32", [0.0] * 3))
    assert flushed[:2].tolist() == [0, 0]
    assert flushed[2] == np.float32(2e-38)


@pytest.mark.parametrize("kind", ["f32", "f64"])
def test_min_and_max_return_the_number_beside_nan(device: Device, kind: str) -> None:
    nan = float("nan")
    a, b = [nan, 1.0, nan, -0.0, 0.0, 2.0], [1.0, nan, nan, 0.0, -0.0, 3.0]
    least = apply(device, f"min.{kind} {{d}}, {{0}}, {{1}}", kind, (kind, a), (kind, b))
    most = apply(device, f"max.{kind} {{d}}, {{0}}, {{1}}", kind, (kind, a), (kind, b))
    assert least[:2].tolist() == most[:2].tolist() == [1.0, 1.0]
    assert np.isnan(least[2])
    assert np.signbit(least[3:5]).tolist() == [True, True]
    assert np.signbit(most[3:5]).tolist() == [False, False]
    assert (least[5], most[5]) == (2.0, 3.0)


@pytest.mark.parametrize("to", ["u16", "s16", "u32", "s32", "u64", "s64"])
def test_floats_saturate_as_integers_and_nan_is_zero(device: Device, to: str) -> None:
    x = [0.5, -0.5, 1.5, -1.5, 2.5, 1e30, -1e30, float("nan"), float("inf"), 3e9, 65535.7, -32768.9]
    info = np.iinfo(KINDS[to])
    for mode, function in (
        ("rzi", np.trunc),
        ("rni", np.rint),
        ("rmi", np.floor),
        ("rpi", np.ceil),
    ):
        got = apply(device, f"cvt.{mode}.{to}.f64 {{d}}, {{0}}", to, ("f64", x))
        for value, out in zip(x, got.tolist(), strict=True):
            if np.isnan(value):
                assert out == 0
            elif np.isinf(value):
                assert out == info.max
            else:
                assert out == min(max(int(function(value)), info.min), info.max)


@pytest.mark.parametrize("mode", MODES)
def test_doubles_become_floats_by_the_mode(device: Device, mode: str) -> None:
    x = [0.1, -0.1, 1 / 3, 1e39, -1e39, 1e-42, 16777217.0, 1.0]
    got = apply(device, f"cvt.{mode}.f32.f64 {{d}}, {{0}}", "f32", ("f64", x))
    assert got.tolist() == [rounded(Fraction(v), np.float32, mode) for v in x]


@pytest.mark.parametrize("mode", MODES)
def test_integers_become_floats_by_the_mode(device: Device, mode: str) -> None:
    x = edges("s64")
    got = apply(device, f"cvt.{mode}.f32.s64 {{d}}, {{0}}", "f32", ("s64", x))
    assert got.tolist() == [rounded(Fraction(v), np.float32, mode) for v in x]
