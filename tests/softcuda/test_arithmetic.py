"""Instructions against oracles of their own: see `vectors`."""

from __future__ import annotations

import ctypes
import ctypes.util
import math
import platform
from collections.abc import Iterator

import numpy as np
import pytest

from .device import CudaError, Device, entry
from .vectors import FAMILIES
from .vectors.family import Family, Vector
from .vectors.formats import FORMATS, numbers


@pytest.fixture(scope="module")
def shared_device() -> Iterator[Device]:
    """One for all: nothing here ends in a fault."""
    one = Device()
    yield one
    one.close()


@pytest.mark.parametrize("family", FAMILIES, ids=lambda family: family.name)
def test_statements_give_what_they_must(shared_device: Device, family: Family) -> None:
    assert not (lines := family.failures(shared_device)), "\n".join(lines)


# --- the oracles are worth something ---


def test_an_oracle_that_is_wrong_is_noticed(shared_device: Device) -> None:
    column = [("f32", [1.0, 0.0])]
    for text, wrong in (
        ("neg.f32 {d}, {0}", lambda x: 0.0 if x == 0 else -x),  # the sign of a zero
        ("mov.f32 {d}, {0}", lambda x: float("nan")),
        ("add.f32 {d}, {0}, {0}", lambda x: 2 * x + 2.0**-23),
    ):
        family = Family("wrong", column, [Vector(text, "f32", wrong)])
        assert len(family.failures(shared_device)) == 1
    check = Vector("mov.f32 {d}, {0}", "f32", lambda got, x: got == x + 1, is_check=True)
    assert len(Family("wrong", column, [check]).failures(shared_device)) == 1


@pytest.mark.parametrize("kind", ["f16", "f32", "f64"])
def test_edge_values_are_reached(kind: str) -> None:
    reached = numbers(kind)
    assert set(map(repr, reached)) >= {"0.0", "-0.0", "1.0", "-1.0", "inf", "-inf", "nan"}
    form = FORMATS[kind]
    assert any(0 < abs(x) < form.smallest for x in reached)
    assert any(abs(x) > form.largest / 2 for x in reached if math.isfinite(x)) or kind == "f64"


# --- what no vector can say ---


def test_products_and_sums_are_not_fused(device: Device) -> None:
    body = """
    mov.f32 %f1, 0f3F800001; mov.f32 %f2, 0fBF800002;
    mul.f32 %f3, %f1, %f1; add.f32 %f3, %f3, %f2;
    fma.rn.f32 %f4, %f1, %f1, %f2;
    st.global.v2.f32 [%rd0], {%f3, %f4};
    """
    out = np.zeros(2, np.float32)
    module, address = device.load(entry(body)), device.upload(out)
    assert device.launch(module, "k", address) == 0
    assert device.download(address, out).tolist() == [0, 2.0**-46]


def test_the_rounding_mode_of_the_program_does_not_matter(device: Device) -> None:
    libm = ctypes.CDLL(ctypes.util.find_library("m"))
    upward = {"x86_64": 0x800, "aarch64": 0x400000}[platform.machine()]
    family = next(f for f in FAMILIES if f.name == "add of f32")
    before = libm.fegetround()
    assert libm.fesetround(upward) == 0
    try:
        results = family.run(device)
        assert libm.fegetround() == upward, "the launch has left another mode behind"
    finally:
        libm.fesetround(before)
    assert repr(results) == repr(family.run(device))


@pytest.mark.parametrize(
    ("statement", "reason"),
    [
        ("fma.f32 %f1, %f2, %f3, %f4", "needs .rn, .rz, .rm or .rp"),
        ("div.f32 %f1, %f2, %f3", "needs .rn, .rz, .rm or .rp"),
        ("sqrt.f64 %fd1, %fd2", "needs .rn, .rz, .rm or .rp"),
        ("add.ftz.f64 %fd1, %fd2, %fd3", "not supported with these modifiers"),
        ("add.sat.f64 %fd1, %fd2, %fd3", "not supported with these modifiers"),
        ("div.rn.sat.f32 %f1, %f2, %f3", "modifier .sat"),
        ("min.NaN.f64 %fd1, %fd2, %fd3", ".NaN needs .f32"),
        ("add.sat.u32 %r4, %r5, %r6", ".sat needs .s32"),
        ("max.u32.relu %r4, %r5, %r6", ".relu needs .s32 or .s16x2"),
        ("max.u16x2.relu %r4, %r5, %r6", ".relu needs a signed type"),
        ("mul.u32 %r4, %r5, %r6", "needs .lo, .hi or .wide"),
        ("mul.wide.u64 %rd4, %rd5, %rd6", ".wide needs a type of 16 or 32 bits"),
        ("cvt.f32.s32 %f1, %r4", "this conversion is not supported"),
        ("cvt.s32.f32 %r4, %f1", "this conversion is not supported"),
        ("cvt.f32.f64 %f1, %fd1", "this conversion is not supported"),
        ("cvt.rn.f64.f32 %fd1, %f1", "this conversion is not supported"),
        ("cvt.rzi.f32.f64 %f1, %fd1", "this conversion is not supported"),
        ("setp.lt.b32 %p1, %r4, %r5", "this comparison is not supported for this type"),
        ("setp.lo.s32 %p1, %r4, %r5", "this comparison is not supported for this type"),
        ("setp.ltu.s32 %p1, %r4, %r5", "this comparison is not supported for this type"),
        ("setp.eq.ftz.f64 %p1, %fd1, %fd2", "this comparison is not supported for this type"),
        ("setp.s32 %p1, %r4, %r5", "a comparison is missing"),
        ("sin.f32 %f1, %f2", "only .approx is supported"),
        ("tanh.approx.ftz.f32 %f1, %f2", "modifier .ftz"),
        ("ex2.approx.f64 %fd1, %fd2", "this type is not supported here"),
        ("szext.s32 %r4, %r5, %r6", "needs .wrap or .clamp"),
        ("shf.l.wrap.b64 %rd4, %rd5, %rd6, %r5", "shf needs .b32"),
        ("add.cc.u16 %h1, %h2, %h3", "this type is not supported here"),
        ("vabsdiff4.u32.u32.u32 %r4, %r5, %r6, %r7", "this instruction is not supported"),
    ],
)
def test_what_ptx_does_not_have_is_refused(device: Device, statement: str, reason: str) -> None:
    with pytest.raises(CudaError, match="line 17: ") as caught:
        device.load(entry(statement + ";"))
    assert reason in caught.value.log
