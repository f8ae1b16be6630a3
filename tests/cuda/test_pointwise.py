"""refrnn/pointwise.h: error bounds on the host, vectors, special values, and the device's bits."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from refrnn_accel.softcuda.build import find_compiler

from .pointwise import (
    DTYPES,
    FUNCTIONS,
    INCLUDE,
    LANES,
    MP,
    STRICT,
    DType,
    Floats,
    Host,
    compile_host,
    error_in_ulps,
    errors_in_ulps,
    hard_points,
    random_points,
    wider,
)

Call = Callable[[str, Floats], Floats]

NIGHTLY = os.environ.get("HYPOTHESIS_PROFILE") == "nightly"
each_function = pytest.mark.parametrize("name", FUNCTIONS)
each_dtype = pytest.mark.parametrize("dtype", DTYPES.values(), ids=list(DTYPES))


def fused_flags() -> list[tuple[str, ...]]:
    """Flags for this processor's own fused multiply-add, if it has one; contracted, bits stay."""
    cpu = Path("/proc/cpuinfo").read_text(encoding="utf-8")
    if not {"avx2", "fma"} <= set(cpu.split()):
        return []
    return [("-mavx2", "-mfma"), ("-mavx2", "-mfma", "-ffp-contract=fast")]


@pytest.fixture(scope="module", params=[(), *fused_flags()], ids=lambda f: "".join(f) or "baseline")
def host(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Host:
    return Host(tmp_path_factory.mktemp("host"), request.param)


@pytest.fixture(scope="module")
def baseline(tmp_path_factory: pytest.TempPathFactory) -> Host:
    return Host(tmp_path_factory.mktemp("baseline"))


@pytest.fixture(scope="module")
def context() -> Iterator[None]:
    import pycuda.driver as cuda

    cuda.init()
    one = cuda.Device(0).retain_primary_context()
    one.push()
    yield
    cuda.Context.pop()
    one.detach()


@pytest.fixture(scope="module")
def device(context: None) -> Call:
    import pycuda.driver as cuda
    from pycuda.compiler import SourceModule

    kernel = """
extern "C" __global__ void {name}_{type}(const {type}* x, {type}* y, int n) {{
  const int i = blockIdx.x * blockDim.x + threadIdx.x;
  if (i < n) y[i] = refrnn::{name}(x[i]);
}}"""
    kernels = [kernel.format(name=f, type=t) for f in FUNCTIONS for t in DTYPES]
    source = '#include "refrnn/pointwise.h"\n' + "".join(kernels)
    # with -lineinfo a cubin carries its PTX, which is what softcuda executes
    options = ["-std=c++17", "-fmad=false", "-lineinfo", "-Werror", "all-warnings"]
    module = SourceModule(source, options=options, include_dirs=[str(INCLUDE)], no_extern_c=True)

    def call(name: str, x: Floats) -> Floats:
        y = np.full_like(x, np.nan)
        kind = next(kind for kind, dtype in DTYPES.items() if dtype == x.dtype)
        function = module.get_function(f"{name}_{kind}")
        blocks = (len(x) + 127) // 128
        function(cuda.In(x), cuda.Out(y), np.int32(len(x)), block=(128, 1, 1), grid=(blocks, 1))
        return y

    return call


def points(dtype: DType, count: int) -> Floats:
    """Hard and random ones, a multiple of `LANES` of them."""
    x = np.concatenate([hard_points(dtype), random_points(dtype, count)])
    return x[: len(x) // LANES * LANES]


@each_function
@each_dtype
def test_error_is_within_the_bound(host: Host, name: str, dtype: DType) -> None:
    x = points(dtype, 300_000)
    with np.errstate(all="ignore"):
        exact = FUNCTIONS[name].wide(x.astype(wider(dtype)))
    errors = errors_in_ulps(host(name, x), exact)
    worst = int(np.argmax(errors))  # NaN, if there is one
    assert errors[worst] <= FUNCTIONS[name].bound, f"x = {float(x[worst]).hex()}"


@each_function
@each_dtype
def test_error_is_within_the_bound_by_mpmath(baseline: Host, name: str, dtype: DType) -> None:
    hard = hard_points(dtype)
    hard = np.random.default_rng(1).choice(hard[np.isfinite(hard)], 1500, replace=False)
    x = np.concatenate([hard, random_points(dtype, 1500, seed=2)])
    x = x[np.abs(x) < 1e6]  # beyond, 160 bits do not hold 1 + e
    for argument, got in zip(x.tolist(), baseline(name, x).tolist(), strict=True):
        error = error_in_ulps(got, FUNCTIONS[name].exact(MP.mpf(argument)), dtype)
        assert error <= FUNCTIONS[name].bound, f"x = {argument.hex()}"


@each_function
@each_dtype
def test_vectors_have_the_bits_of_scalars(
    host: Host, baseline: Host, name: str, dtype: DType
) -> None:
    x = points(dtype, 60_000)
    scalars = baseline(name, x)
    assert_same_bits(host(name, x), scalars)
    assert_same_bits(host(name, x, vector=True), scalars)


@each_function
@each_dtype
def test_device_has_the_bits_of_the_host(
    device: Call, baseline: Host, name: str, dtype: DType
) -> None:
    hard = hard_points(dtype)
    if len(hard) > 12_000:
        hard = np.random.default_rng(3).choice(hard, 12_000, replace=False)
    x = np.concatenate([special_values(dtype), hard, random_points(dtype, 24_000, seed=4)])
    assert len(x) >= 20_000
    assert_same_bits(device(name, x), baseline(name, x))


def assert_same_bits(got: Floats, expected: Floats) -> None:
    """Of every number; a NaN may be any NaN."""
    is_nan = np.isnan(expected)
    np.testing.assert_array_equal(np.isnan(got), is_nan)
    integers = f"u{got.dtype.itemsize}"
    np.testing.assert_array_equal(got[~is_nan].view(integers), expected[~is_nan].view(integers))


def special_values(dtype: DType) -> Floats:
    """NaN of either sign, quiet and signalling, infinities, zeros, the least and the largest."""
    info = np.finfo(dtype)
    signalling = (np.array([np.inf], dtype).view(f"u{dtype.itemsize}") + 1).view(dtype)
    numbers = [0.0, info.smallest_subnormal, info.tiny, 1.0, info.max, np.inf, np.nan]
    values = np.concatenate([np.array(numbers, dtype), signalling])
    return np.concatenate([values, -values])


LIMITS = {  # at -infinity, -0, +0, infinity
    "exp": (0.0, 1.0, 1.0, np.inf),
    "sigmoid": (0.0, 0.5, 0.5, 1.0),
    "sigmoid_complement": (1.0, 0.5, 0.5, 0.0),
    "tanh": (-1.0, -0.0, 0.0, 1.0),
    "sigmoid_derivative": (0.0, 0.25, 0.25, 0.0),
    "sech2": (0.0, 1.0, 1.0, 0.0),
}


@each_function
@each_dtype
def test_limits_and_nan(baseline: Host, name: str, dtype: DType) -> None:
    at = np.array([-np.inf, -0.0, 0.0, np.inf], dtype)
    assert_same_bits(baseline(name, at), np.array(LIMITS[name], dtype))
    x = special_values(dtype)
    np.testing.assert_array_equal(np.isnan(baseline(name, x)), np.isnan(x))


@each_dtype
def test_the_least_results_are_subnormal(baseline: Host, dtype: DType) -> None:
    info = np.finfo(dtype)
    least, log_of_least = info.smallest_subnormal, float(info.minexp - info.nmant) * np.log(2.0)
    just_above_half, just_below_half = log_of_least - 0.69, log_of_least - 0.70
    for name, sign, scale in (
        ("exp", 1, 1.0),
        ("sigmoid", 1, 1.0),
        ("sigmoid_complement", -1, 1.0),
        ("sigmoid_derivative", 1, 1.0),
    ):
        x = np.array([just_above_half, just_below_half, log_of_least + 3], dtype) * dtype.type(sign)
        expected = [least, 0.0, 20 * least]
        assert baseline(name, x * dtype.type(scale)).tolist() == expected, name
    x = (np.array([just_above_half, just_below_half]) - 2 * np.log(2.0)).astype(dtype) / 2
    assert baseline("sech2", x).tolist() == [least, 0.0]


@each_dtype
def test_exp_overflows_where_it_should(baseline: Host, dtype: DType) -> None:
    log_of_most = dtype.type(np.log(np.longdouble(np.finfo(dtype).max)))
    below = np.nextafter(log_of_most, dtype.type(0))
    above = np.nextafter(log_of_most, dtype.type(np.inf))
    finite, infinite = baseline("exp", np.array([below, above], dtype))
    assert np.isfinite(finite)
    assert infinite == np.inf


def test_tanh_is_odd_and_the_derivatives_are_even(baseline: Host) -> None:
    for dtype in DTYPES.values():
        x = points(dtype, 60_000)
        assert_same_bits(baseline("tanh", -x), -baseline("tanh", x))
        assert_same_bits(baseline("sech2", -x), baseline("sech2", x))
        assert_same_bits(baseline("sigmoid_derivative", -x), baseline("sigmoid_derivative", x))


@pytest.mark.parametrize("kind", ["int", "long double", "_Float16", "float*"])
def test_other_types_do_not_compile(tmp_path: Path, kind: str) -> None:
    call = '#include "refrnn/pointwise.h"\nvoid f({0} x) {{ refrnn::tanh<{0}>(x); }}'
    assert compile_host(call.format("double"), tmp_path / "good.so") == ""
    said = compile_host(call.format(kind), tmp_path / "bad.so")
    assert "a value is a float, a double or a vector of them" in said


def test_arithmetic_that_is_not_ieee_does_not_compile(tmp_path: Path) -> None:
    said = compile_host('#include "refrnn/value.h"', tmp_path / "bad.so", ["-ffast-math"])
    assert "needs IEEE arithmetic" in said


def test_ulps_are_counted_as_they_should_be() -> None:
    for dtype in DTYPES.values():
        info = np.finfo(dtype)
        exact = np.array([1.0, 1.5, info.tiny, 0.0, info.max], wider(dtype))
        next_ones = [1 + info.eps, 1.5 + info.eps, 0, info.smallest_subnormal, np.inf]
        got = np.array(next_ones, dtype)
        got[2] = info.tiny + info.smallest_subnormal
        assert errors_in_ulps(got, exact).tolist() == [1.0] * 5
        pairs = zip(got.tolist(), exact.astype(dtype).tolist(), strict=True)
        assert [error_in_ulps(g, MP.mpf(e), dtype) for g, e in pairs] == [1.0] * 5
        assert np.isnan(errors_in_ulps(np.array([np.nan], dtype), exact[:1])).all()


@pytest.fixture(scope="module")
def exhaustive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    program = tmp_path_factory.mktemp("exhaustive") / "exhaustive"
    source = Path(__file__).with_name("pointwise_exhaustive.cpp")
    flags = ["-std=c++17", "-O3", "-ffp-contract=off", "-fno-trapping-math", *STRICT, "-pthread"]
    fused = fused_flags()[0] if fused_flags() else ()
    command = [find_compiler(), *flags, *fused, f"-I{INCLUDE}", str(source), "-o", str(program)]
    subprocess.run(command, check=True)
    return program


@pytest.mark.parametrize("name", [name for name in FUNCTIONS if name != "sigmoid_complement"])
def test_error_of_floats_in_their_order(exhaustive: Path, name: str) -> None:
    """Of every one in the nightly profile, of a few per cent else."""
    stride = 1 if NIGHTLY else 64
    command = [str(exhaustive), name, str(stride)]
    said = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    count, worst, where = said.split()
    assert int(count) == 2**32 // stride
    assert 0.5 <= float(worst) <= FUNCTIONS[name].bound, f"x = {where}"
