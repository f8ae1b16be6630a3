"""What nvcc makes, run by PyCUDA in this process: needs ``softcuda install-pycuda``.

Not collected by name; run it as ``pytest tests/softcuda/pycuda_programs.py``.
"""

from __future__ import annotations

import ctypes
import re
import subprocess
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from refrnn_accel import softcuda

softcuda.activate()

import pycuda._driver  # noqa: E402 -- the driver must be there before it
import pycuda.driver as cuda  # noqa: E402
from pycuda.compiler import SourceModule, compile  # noqa: E402


def test_the_library_has_every_symbol_that_pycuda_links_to() -> None:
    listed = subprocess.run(
        ["nm", "--dynamic", "--undefined-only", pycuda._driver.__file__],
        capture_output=True, text=True, check=True,
    ).stdout  # fmt: skip
    wanted = [word for word in listed.split() if re.fullmatch("cu[A-Z][A-Za-z0-9_]*", word)]
    assert len(wanted) == 143
    library = ctypes.CDLL(str(softcuda.library()))
    assert [name for name in wanted if not hasattr(library, name)] == []


@pytest.fixture
def context() -> Iterator[Any]:
    cuda.init()
    one = cuda.Device(0).make_context()
    yield one
    one.pop()


LSTM = """
template <class T> __device__ T sigmoid(T x) { return T(1) / (T(1) + exp(-x)); }

template <class T, int H>
__device__ void lstm(const T* gates, const T* weights, T* y, int steps) {
  __shared__ T h[2][H];
  const int u = threadIdx.x;
  T c = 0;
  h[0][u] = 0;
  __syncthreads();
  for (int t = 0; t < steps; t++) {
    T g[4];
    for (int k = 0; k < 4; k++) {
      T sum = gates[(t * 4 + k) * H + u];
      for (int j = 0; j < H; j++) sum += weights[(k * H + j) * H + u] * h[t & 1][j];
      g[k] = sum;
    }
    c = sigmoid(g[1]) * c + sigmoid(g[0]) * tanh(g[2]);
    y[t * H + u] = h[(t + 1) & 1][u] = sigmoid(g[3]) * tanh(c);
    __syncthreads();
  }
}

extern "C" __global__ void lstm_float(const float* g, const float* w, float* y, int n) {
  lstm<float, 48>(g, w, y, n);
}
extern "C" __global__ void lstm_double(const double* g, const double* w, double* y, int n) {
  lstm<double, 48>(g, w, y, n);
}
"""


def sigmoid(x: Any) -> Any:
    return 1 / (1 + np.exp(-x))


@pytest.mark.parametrize(("dtype", "allowed"), [("float32", 2e-6), ("float64", 2e-15)])
def test_a_templated_lstm_is_an_lstm(context: Any, dtype: str, allowed: float) -> None:
    steps, H = 40, 48
    rng = np.random.default_rng(0)
    gates = rng.normal(size=(steps, 4, H)).astype(dtype)
    weights = (rng.normal(size=(4, H, H)) / H**0.5).astype(dtype)
    y = np.zeros((steps, H), dtype)
    name = {"float32": "lstm_float", "float64": "lstm_double"}[dtype]
    kernel = SourceModule(LSTM, no_extern_c=True).get_function(name)
    with softcuda.profile() as counted:
        kernel(cuda.In(gates), cuda.In(weights), cuda.Out(y), np.int32(steps), block=(H, 1, 1))
    h = c = np.zeros(H)
    expected = []
    for x in gates.astype(float):
        i, f, g, o = (x[k] + h @ weights[k].astype(float) for k in range(4))
        c = sigmoid(f) * c + sigmoid(i) * np.tanh(g)
        h = sigmoid(o) * np.tanh(c)
        expected.append(h)
    assert np.abs(y - np.array(expected)).max() < allowed
    assert counted[name]["launches"] == 1
    assert counted[name]["flops"] > steps * H * 4 * H * 2


def test_damaged_cubins_never_end_the_process(context: Any) -> None:
    good = np.frombuffer(compile(LSTM, no_extern_c=True), np.uint8)
    rng = np.random.default_rng(0)
    refused = 0
    for _ in range(300):
        bad = good.copy()
        bad[rng.integers(bad.size, size=3)] = rng.integers(256, size=3)
        bad[rng.integers(64)] = rng.integers(256)  # of the file's header
        try:
            cuda.module_from_buffer(bad.tobytes())
        except cuda.Error:
            refused += 1
    assert refused > 100
