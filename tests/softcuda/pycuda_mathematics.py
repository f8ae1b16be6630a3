"""CUDA's mathematical functions, as nvcc inlines them, against mpmath.

Not collected by name; run it as ``pytest tests/softcuda/pycuda_mathematics.py``. It holds thousands
of instructions to account at once: a wrong bit in a rounding mode, a carry or a conversion shows up
as an error beyond the bound that NVIDIA's programming guide gives for the function ("Mathematical
Functions": largest difference from the correctly rounded result, in ulps).
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import mpmath
import numpy as np
import pytest
from refrnn_accel import softcuda

from .vectors.formats import FORMATS, Format

softcuda.activate()

import pycuda.driver as cuda  # noqa: E402 -- the driver must be there before it
from pycuda.compiler import SourceModule  # noqa: E402

mp = mpmath.mp.clone()
mp.prec = 220
COUNT = 120


@dataclass(frozen=True)
class Function:
    """A function of CUDA, what it is, and its bounds for float and double.

    ``ranges`` are of the operands: (least, most); see `draw`.
    """

    name: str
    exact: Callable[..., Any]
    bounds: tuple[float, float]
    ranges: Sequence[tuple[float, float]]
    absolute: tuple[float, float] = (0.0, 0.0)  # what is allowed where the bound does not hold
    beyond: Callable[[float], bool] = lambda x: False  # where that is


def normcdf(x: Any) -> Any:
    return mp.erfc(-x / mp.sqrt(2)) / 2


def erfcinv(x: Any) -> Any:
    return mp.erfinv(1 - x)


def cbrt(x: Any) -> Any:
    return mp.sign(x) * mp.root(abs(x), 3)


def remainder(x: Any, y: Any) -> Any:
    return x - y * mp.nint(x / y)


def fmod(x: Any, y: Any) -> Any:
    return mp.sign(x) * (abs(x) - abs(y) * mp.floor(abs(x) / abs(y)))


def norm(*x: Any) -> Any:
    return mp.sqrt(sum(a * a for a in x))


ALL, ANGLE = (-1e30, 1e30), (-1e5, 1e5)
FUNCTIONS = [
    Function("sqrt", mp.sqrt, (0, 0), [(1e-35, 1e35)]),
    Function("rsqrt", lambda x: 1 / mp.sqrt(x), (2, 1), [(1e-35, 1e35)]),
    Function("cbrt", cbrt, (1, 1), [ALL]),
    Function("rcbrt", lambda x: 1 / cbrt(x), (1, 1), [(-1e30, 1e30)]),
    Function("hypot", norm, (3, 2), [(-1e15, 1e15)] * 2),
    Function("rhypot", lambda *x: 1 / norm(*x), (2, 1), [(-1e15, 1e15)] * 2),
    Function("norm3d", norm, (3, 2), [(-1e15, 1e15)] * 3),
    Function("rnorm3d", lambda *x: 1 / norm(*x), (2, 1), [(-1e15, 1e15)] * 3),
    Function("norm4d", norm, (3, 2), [(-1e15, 1e15)] * 4),
    Function("rnorm4d", lambda *x: 1 / norm(*x), (2, 1), [(-1e15, 1e15)] * 4),
    Function("exp", mp.exp, (2, 1), [(-103, 88)]),
    Function("exp2", lambda x: mp.mpf(2) ** x, (2, 1), [(-149, 127)]),
    Function("exp10", lambda x: mp.mpf(10) ** x, (2, 1), [(-45, 38)]),
    Function("expm1", mp.expm1, (1, 1), [(-80, 80)]),
    Function("log", mp.log, (1, 1), [(1e-38, 1e38)]),
    Function("log2", lambda x: mp.log(x, 2), (1, 1), [(1e-38, 1e38)]),
    Function("log10", lambda x: mp.log(x, 10), (2, 1), [(1e-38, 1e38)]),
    Function("log1p", mp.log1p, (1, 1), [(-0.99, 5)]),
    Function("sin", mp.sin, (2, 2), [ANGLE]),
    Function("cos", mp.cos, (2, 2), [ANGLE]),
    Function("tan", mp.tan, (4, 2), [ANGLE]),
    Function("sinpi", mp.sinpi, (1, 2), [(-300, 300)]),
    Function("cospi", mp.cospi, (1, 2), [(-300, 300)]),
    Function("asin", mp.asin, (2, 2), [(-1, 1)]),
    Function("acos", mp.acos, (2, 2), [(-1, 1)]),
    Function("atan", mp.atan, (2, 2), [(-1e10, 1e10)]),
    Function("atan2", mp.atan2, (3, 2), [ALL, ALL]),
    Function("sinh", mp.sinh, (3, 2), [(-88, 88)]),
    Function("cosh", mp.cosh, (2, 1), [(-88, 88)]),
    Function("tanh", mp.tanh, (2, 1), [(-10, 10)]),
    Function("asinh", mp.asinh, (3, 3), [ALL]),
    Function("acosh", mp.acosh, (4, 3), [(1.0001, 1e30)]),
    Function("atanh", mp.atanh, (3, 2), [(-1, 1)]),
    Function("pow", mp.power, (4, 2), [(1e-5, 1e5), (-7, 7)]),
    Function("erf", mp.erf, (2, 2), [(-5, 5)]),
    Function("erfc", mp.erfc, (4, 5), [(-5, 9)]),
    Function("erfinv", mp.erfinv, (2, 5), [(-1, 1)]),
    Function("erfcinv", erfcinv, (4, 6), [(1e-25, 1.9)]),
    Function("erfcx", lambda x: mp.exp(x * x) * mp.erfc(x), (4, 4), [(-5, 20)]),
    Function("normcdf", normcdf, (5, 5), [(-12, 5)]),
    Function("normcdfinv", lambda x: -mp.sqrt(2) * erfcinv(2 * x), (5, 8), [(1e-25, 0.99)]),
    Function("lgamma", lambda x: mp.log(abs(mp.gamma(x))), (6, 4), [(-2.2, 60)]),
    Function("tgamma", mp.gamma, (5, 10), [(-4.9, 34)]),
    Function("j0", lambda x: mp.besselj(0, x), (9, 7), [(0.01, 60)], (2.2e-6, 5e-12),
             lambda x: x >= 8),
    Function("j1", lambda x: mp.besselj(1, x), (9, 7), [(0.01, 60)], (2.2e-6, 5e-12),
             lambda x: x >= 8),
    Function("y0", lambda x: mp.bessely(0, x), (9, 7), [(0.01, 60)], (2.2e-6, 5e-12),
             lambda x: x >= 8),
    Function("y1", lambda x: mp.bessely(1, x), (9, 7), [(0.01, 60)], (2.2e-6, 5e-12),
             lambda x: x >= 8),
    Function("cyl_bessel_i0", lambda x: mp.besseli(0, x), (6, 6), [(-80, 80)]),
    Function("cyl_bessel_i1", lambda x: mp.besseli(1, x), (6, 6), [(-80, 80)]),
    Function("fmod", fmod, (0, 0), [(-1e6, 1e6), (0.5, 30)]),
    Function("remainder", remainder, (0, 0), [(-1e6, 1e6), (0.5, 30)]),
    Function("fdim", lambda x, y: max(x - y, mp.mpf(0)), (0, 0), [ALL, ALL]),
    Function("fmax", max, (0, 0), [ALL, ALL]),
    Function("fmin", min, (0, 0), [ALL, ALL]),
    Function("fma", lambda x, y, z: x * y + z, (0, 0), [(-1e10, 1e10)] * 3),
    Function("ceil", mp.ceil, (0, 0), [ANGLE]),
    Function("floor", mp.floor, (0, 0), [ANGLE]),
    Function("trunc", lambda x: mp.sign(x) * mp.floor(abs(x)), (0, 0), [ANGLE]),
    Function("rint", mp.nint, (0, 0), [ANGLE]),
    Function("round", lambda x: mp.sign(x) * mp.floor(abs(x) + 0.5), (0, 0), [ANGLE]),
    Function("logb", lambda x: mp.floor(mp.log(abs(x), 2)), (0, 0), [ALL]),
]  # fmt: skip
#: Angles that only the reduction by Payne and Hanek brings down, and those next to multiples of pi.
FAR = {
    "float": [1e5, 1.2e6, 3.3e9, 1e20, 2e35, 3.4e38, 3.1415927, 6.2831855, 1.5707964, 11.0, 22.0],
    "double": [
        1e5,
        2e9,
        1e22,
        1e100,
        6.3e170,
        1.7e308,
        math.pi,
        2 * math.pi,
        5.319372648326541e255,
    ],
}
TYPES = ["float", "double"]


def draw(rng: random.Random, least: float, most: float) -> float:
    """Evenly, or by magnitude where it spans more than two orders of ten."""
    smallest = 1e-3 if least < 0 else least
    if most <= 100 * max(smallest, 1.0) or (least < 0 and most < 1000):
        return rng.uniform(least, most)
    sign = rng.choice((-1, 1)) if least < 0 else 1
    return sign * math.exp(rng.uniform(math.log(smallest), math.log(most)))


def operands(function: Function, kind: str, form: Format) -> list[list[float]]:
    rng = random.Random(function.name)
    columns = [[draw(rng, *r) for _ in range(COUNT)] for r in function.ranges]
    if function.ranges[0] == ANGLE:
        columns[0][: len(FAR[kind])] = FAR[kind]
    return [[form.round(Fraction(x), "rn") for x in column] for column in columns]


def source(kind: str) -> str:
    kernels = []
    for f in FUNCTIONS:
        arguments = ", ".join(f"x[i + {COUNT * k}]" for k in range(len(f.ranges)))
        name = f.name + ("f" if kind == "float" else "")
        kernels.append(
            f"__global__ void k_{f.name}(const {kind}* x, {kind}* y)\n"
            f"{{ int i = threadIdx.x; y[i] = {name}({arguments}); }}\n"
        )
    return "".join(kernels)


@pytest.fixture(scope="module")
def modules() -> Iterator[dict[str, Any]]:
    cuda.init()
    context = cuda.Device(0).make_context()
    yield {kind: SourceModule(source(kind)) for kind in TYPES}
    context.pop()


@pytest.mark.parametrize("kind", TYPES)
@pytest.mark.parametrize("function", FUNCTIONS, ids=lambda function: function.name)
def test_errors_are_within_nvidias_bounds(
    modules: dict[str, Any], function: Function, kind: str
) -> None:
    form = FORMATS["f32" if kind == "float" else "f64"]
    columns = operands(function, kind, form)
    dtype = np.float32 if kind == "float" else np.float64
    results = np.zeros(COUNT, dtype)
    kernel = modules[kind].get_function(f"k_{function.name}")
    kernel(cuda.In(np.array(columns, dtype)), cuda.Out(results), block=(COUNT, 1, 1))
    worst = 0.0
    for row, got in zip(zip(*columns, strict=True), results.tolist(), strict=True):
        exact = function.exact(*map(mp.mpf, row))
        if function.beyond(row[0]):
            assert abs(got - exact) <= function.absolute[TYPES.index(kind)], (row, got)
            continue
        rounded = form.round(Fraction(*mp_fraction(exact)), "rn")
        error = abs(Fraction(got) - Fraction(rounded)) / form.ulp(rounded)
        worst = max(worst, float(error))
        assert error <= function.bounds[TYPES.index(kind)], (row, got, rounded)
    print(f"{function.name} of {kind}: at most {worst:g} ulp")  # noqa: T201 -- with pytest -rP


def mp_fraction(x: Any) -> tuple[int, int]:
    """Mpmath's number as numerator and denominator."""
    sign, mantissa, exponent, _ = mp.mpf(x)._mpf_
    whole = -int(mantissa) if sign else int(mantissa)
    return (whole << exponent, 1) if exponent >= 0 else (whole, 1 << -exponent)


SPECIAL = """
__global__ void k(float* y, double* z, float inf, float nan, double big)
{
  y[0] = expf(-inf); y[1] = expf(inf); y[2] = expf(nan); y[3] = logf(0.0f); y[4] = logf(-inf);
  y[5] = tanhf(-inf); y[6] = sinf(inf); y[7] = powf(0.0f, -inf); y[8] = powf(nan, 0.0f);
  y[9] = atan2f(-0.0f, -inf); y[10] = lgammaf(inf); y[11] = erff(-inf); y[12] = fmaxf(nan, -inf);
  z[0] = exp(-big); z[1] = exp(big); z[2] = exp((double)nan); z[3] = log(0.0); z[4] = log(-big);
  z[5] = tanh(-big); z[6] = sin((double)inf); z[7] = pow(0.0, -(double)inf);
  z[8] = pow((double)nan, 0.0); z[9] = atan2(-0.0, -big); z[10] = lgamma((double)inf);
  z[11] = erf(-big); z[12] = fmax((double)nan, -(double)inf);
}
"""


@pytest.mark.usefixtures("modules")
def test_special_values() -> None:
    y, z = np.zeros(13, np.float32), np.zeros(13)
    kernel = SourceModule(SPECIAL).get_function("k")
    inf, nan = math.inf, math.nan
    kernel(
        cuda.Out(y),
        cuda.Out(z),
        np.float32(inf),
        np.float32(nan),
        np.float64(1e300),
        block=(1, 1, 1),
    )
    expected = [0, inf, nan, -inf, nan, -1, nan, inf, 1, -math.pi, inf, -1, -inf]
    np.testing.assert_array_equal(y, np.array(expected, np.float32))
    np.testing.assert_array_equal(z, expected)
