"""What refrnn/pointwise.h is held against: exact values, points, errors in ulps; how to call it.

Its functions are compiled for the host here, as a library of loops over arrays, and for the device
in the tests, from sources of the same form.
"""

from __future__ import annotations

import ctypes
import subprocess
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import refrnn_accel
from mpmath.ctx_mp import MPContext
from numpy.typing import NDArray
from refrnn_accel.softcuda.build import find_compiler

MP = MPContext()
MP.prec = 160

INCLUDE = Path(refrnn_accel.__file__).parent / "include"
DType = np.dtype[Any]
DTYPES: dict[str, DType] = {"float": np.dtype(np.float32), "double": np.dtype(np.float64)}
#: Lanes of the vectors that the host's library computes with.
LANES = 8

Floats = NDArray[Any]


class Function(NamedTuple):
    """Its exact value for an mpf and for an array, and the bound of its error in ulps."""

    exact: Callable[[Any], Any]
    wide: Callable[[Floats], Floats]
    bound: float


def _density(x: Any) -> Any:
    """The density e / (1 + e)^2 with e = exp(-|x|), of an mpf."""
    e = MP.exp(-abs(x))
    return e / (1 + e) ** 2


def _wide_density(x: Floats) -> Floats:
    e: Floats = np.exp(-np.abs(x))
    density: Floats = e / (1 + e) ** 2
    return density


def _wide_sigmoid(x: Floats) -> Floats:
    e: Floats = np.exp(-np.abs(x))
    result: Floats = np.where(x < 0, e, 1) / (1 + e)
    return result


FUNCTIONS = {
    "exp": Function(MP.exp, np.exp, 1.25),
    "sigmoid": Function(lambda x: 1 / (1 + MP.exp(-x)), _wide_sigmoid, 2.0),
    "sigmoid_complement": Function(lambda x: 1 / (1 + MP.exp(x)), lambda x: _wide_sigmoid(-x), 2.0),
    "tanh": Function(MP.tanh, np.tanh, 2.0),
    "sigmoid_derivative": Function(_density, _wide_density, 3.0),
    "sech2": Function(lambda x: 4 * _density(2 * x), lambda x: 4 * _wide_density(2 * x), 3.0),
}


def wider(dtype: DType) -> type[np.floating[Any]]:
    """A type to compute exact values of `dtype` in."""
    return np.float64 if dtype == np.float32 else np.longdouble


def hard_points(dtype: DType) -> Floats:
    """Where something changes, and the neighbours: thresholds, roundings, saturation, the ends."""
    info = np.finfo(dtype)
    ln2 = np.log(2.0)
    digits, lowest = info.nmant, info.minexp
    exponents = np.arange(lowest - digits - 5, info.maxexp + 5)
    places = [
        (exponents + 0.5) * ln2,  # the multiple of ln(2) changes; 2|x| and |x| / 2 come with it
        exponents * ln2,  # results are powers of 2: the first subnormal, 0, infinity
        0.5 * ln2 * np.arange(digits - 4, digits + 8),  # tanh and sigmoid reach 1
        np.array([0.55, -106.0, 89.0, -748.0, 710.0, 0.3466, 1.0]),  # constants of the header
        2.0 ** np.arange(-40, 12),
    ]
    middle = np.concatenate([*places, 2 * np.concatenate(places), 0.5 * np.concatenate(places)])
    points = middle.astype(dtype)
    for _ in range(2):  # with two neighbours on either side
        up, down = (np.nextafter(points, np.array(end, dtype)) for end in (1e30, -1e30))
        points = np.concatenate([points, up, down])
    ends = [0, info.smallest_subnormal, info.tiny, np.nextafter(info.tiny, info.dtype.type(0))]
    points = np.concatenate([points, np.array([*ends, info.max, np.inf], dtype)])
    return np.unique(np.concatenate([points, -points]))


def random_points(dtype: DType, count: int, seed: int = 0) -> Floats:
    """A third of any bits (but no NaN), and a third of each of two ranges without saturation."""
    random = np.random.default_rng(seed)
    bits = random.integers(0, 256, size=(count // 3, dtype.itemsize), dtype=np.uint8)
    any_bits = bits.view(dtype)[:, 0]
    widest = 1.05 * np.log(2.0) * (np.finfo(dtype).maxexp + np.finfo(dtype).nmant)
    parts = [any_bits[~np.isnan(any_bits)]]
    parts += [random.uniform(-r, r, count // 3).astype(dtype) for r in (4.0, widest)]
    return np.concatenate(parts)


def errors_in_ulps(got: Floats, exact: Floats) -> Floats:
    """How far each is off, in ulps at the exact value; infinity counts as the first beyond."""
    info = np.finfo(got.dtype)
    wide = exact.dtype.type
    beyond = np.ldexp(wide(1), int(info.maxexp))
    value, exact = (np.clip(x.astype(wide), -beyond, beyond) for x in (got, exact))
    exponent = np.where(exact == 0, info.minexp, np.frexp(exact)[1] - 1)
    exponent = np.clip(exponent, info.minexp, info.maxexp - 1)
    errors: Floats = np.abs(value - exact) / np.ldexp(wide(1), exponent - info.nmant)
    return errors


def error_in_ulps(got: float, exact: Any, dtype: DType) -> float:
    """The same for one number and the mpf that it should be."""
    info = np.finfo(dtype)
    beyond = MP.ldexp(1, int(info.maxexp))
    value = MP.mpf(got) if np.isfinite(got) else MP.sign(MP.mpf(got)) * beyond
    exact = max(min(exact, beyond), -beyond)
    exponent = MP.frexp(exact)[1] - 1 if exact else info.minexp
    exponent = min(max(exponent, int(info.minexp)), int(info.maxexp) - 1)
    return float(abs(value - exact) / MP.ldexp(1, exponent - int(info.nmant)))


_LOOP = """
extern "C" void {name}_{type}(const {type}* x, {type}* y, long n) {{
  for (long i = 0; i < n; ++i) y[i] = refrnn::{name}(x[i]);
}}
extern "C" void {name}_{type}_vector(const {type}* x, {type}* y, long n) {{
  for (long i = 0; i < n; i += {lanes}) {{
    Vector<{type}> v;
    std::memcpy(&v, x + i, sizeof v);
    v = refrnn::{name}(v);
    std::memcpy(y + i, &v, sizeof v);
  }}
}}"""
_HEAD = f"""#include <cstring>
#include "refrnn/pointwise.h"
template <class T> struct VectorOf {{
  typedef T type __attribute__((vector_size({LANES} * sizeof(T))));
}};
template <class T> using Vector = typename VectorOf<T>::type;
"""
STRICT = ("-Wall", "-Wextra", "-Wconversion", "-Wsign-conversion", "-Werror", "-Wno-psabi")


def compile_host(source: str, target: Path, flags: Sequence[str] = ()) -> str:
    """Compile a C++ text to a shared library; what the compiler said, or "" where it is content."""
    command = [find_compiler(), "-std=c++17", "-O2", "-ffp-contract=off", "-shared", "-fPIC"]
    command += [*STRICT, *flags, f"-I{INCLUDE}", "-x", "c++", "-", "-o", str(target)]
    done = subprocess.run(command, input=source, capture_output=True, text=True, check=False)
    return done.stderr if done.returncode else ""


class Host:
    """The functions on the host, compiled with some flags."""

    def __init__(self, folder: Path, flags: Sequence[str] = ()) -> None:
        loops = [_LOOP.format(name=f, type=t, lanes=LANES) for f in FUNCTIONS for t in DTYPES]
        target = folder / f"pointwise{len(list(folder.iterdir()))}.so"
        said = compile_host(_HEAD + "".join(loops), target, flags)
        if said:
            raise RuntimeError(said)
        self._library = ctypes.CDLL(str(target))

    def __call__(self, name: str, x: Floats, *, vector: bool = False) -> Floats:
        """y[i] = name(x[i]); as vectors, `x` must have a multiple of `LANES` elements."""
        if vector and len(x) % LANES:
            raise ValueError(f"x has length {len(x)}, expected a multiple of {LANES}")
        x = np.ascontiguousarray(x)
        y = np.empty_like(x)
        kind = {dtype: kind for kind, dtype in DTYPES.items()}[x.dtype]
        function = self._library[f"{name}_{kind}{'_vector' if vector else ''}"]
        function.restype = None
        function(ctypes.c_void_p(x.ctypes.data), ctypes.c_void_p(y.ctypes.data),
                 ctypes.c_long(len(x)))  # fmt: skip
        return y
