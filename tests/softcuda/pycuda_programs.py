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


#: kind of report -> a kernel; the marked line is wrong where the argument `bad` is 1.
DEFECTS = {
    "out-of-bounds write": """
        a[i + bad] = 1;  // HERE
    """,
    "out-of-bounds read": """
        int x = a[i - bad];  // HERE
        a[i] = x;
    """,
    "misaligned address": """
        char* p = (char*)a + 2 * bad;
        *(int*)p = i;  // HERE
    """,
    "barrier divergence": """
        if (!bad || i < 5) {
          a[i] = 2;
          __syncthreads();  // HERE
        }
    """,
    "missing lanes": """
        if (bad && i % 2) return;
        a[i] = __shfl_xor_sync(0xffffffffu, i, 1);  // HERE
    """,
    "trap": """
        if (bad && i == 3) __trap();  // HERE
        a[i] = 1;
    """,
    "assertion failed": """
        assert(a[i] == i - 100 * bad);  // HERE
    """,
    "out-of-bounds atomic": """
        atomicAdd(a + 32 * bad, i);  // HERE
    """,
}


@pytest.mark.parametrize("kind", DEFECTS)
def test_a_defect_is_reported_with_its_line_and_its_twin_is_not(
    context: Any, capfd: pytest.CaptureFixture[str], kind: str
) -> None:
    source = f"""#include <assert.h>
extern "C" __global__ void k(int* a, int bad) {{
  int i = threadIdx.x;
{DEFECTS[kind]}
}}
"""
    line = next(n for n, text in enumerate(source.splitlines(), 1) if "// HERE" in text)
    kernel = SourceModule(source, no_extern_c=True).get_function("k")
    data = np.arange(32, dtype=np.int32)
    memory = cuda.mem_alloc(data.nbytes)
    cuda.memcpy_htod(memory, data)
    kernel(memory, np.int32(0), block=(32, 1, 1))
    context.synchronize()
    assert "softcuda: " not in capfd.readouterr().err
    cuda.memcpy_htod(memory, data)
    kernel(memory, np.int32(1), block=(32, 1, 1))
    with pytest.raises((cuda.LogicError, cuda.LaunchError)):
        context.synchronize()
    err = capfd.readouterr().err
    assert f"softcuda: {kind} in kernel k" in err
    assert f"kernel.cu:{line} by thread (" in err
    # What NVIDIA's headers wrap is inlined: they are named too.
    wrapped = kind in ("missing lanes", "out-of-bounds atomic")
    assert (".hpp:" in err) == wrapped
