"""What nvcc makes, run by PyCUDA in this process: needs ``softcuda install-pycuda``.

Not collected by name; run it as ``pytest tests/softcuda/pycuda_programs.py``.
"""

from __future__ import annotations

import ctypes
import os
import re
import subprocess
import sys
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


#: Teams of blocks step together: {value, step} travels in one word of 16 bytes, and who reads waits
#: for its step. Two buffers by parity, since nobody is two steps ahead.
TAGGED = r"""
#include <cuda/atomic>
struct alignas(16) Tagged { double value; long long step; };

struct Reference {
  using Word = cuda::atomic_ref<Tagged, cuda::thread_scope_device>;
  static __device__ void give(Tagged* to, Tagged x) {
    Word(*to).store(x, cuda::memory_order_relaxed);
  }
  static __device__ Tagged take(Tagged* from) {
    return Word(*from).load(cuda::memory_order_relaxed);
  }
};
struct Swap {
  static __device__ void give(Tagged* to, Tagged x) {
    Reference::Word word(*to);
    Tagged old = {-1.0, -1};
    while (!word.compare_exchange_weak(old, x, cuda::memory_order_acq_rel)) {}
  }
  static __device__ Tagged take(Tagged* from) {
    Tagged old = {0.0, -1};
    Reference::Word(*from).compare_exchange_strong(old, old, cuda::memory_order_acquire);
    return old;
  }
};
struct Builtin {
  static __device__ void give(Tagged* to, Tagged x) {
    Tagged old;
    __nv_atomic_exchange(to, &x, &old, __NV_ATOMIC_RELEASE, __NV_THREAD_SCOPE_DEVICE);
  }
  static __device__ Tagged take(Tagged* from) {
    Tagged x;
    __nv_atomic_load(from, &x, __NV_ATOMIC_ACQUIRE, __NV_THREAD_SCOPE_DEVICE);
    return x;
  }
};
struct Assembly {
  static __device__ void give(Tagged* to, Tagged x) {
    asm volatile("{ .reg .b128 q; mov.b128 q, {%1, %2}; st.relaxed.gpu.global.b128 [%0], q; }"
                 :: "l"(to), "d"(x.value), "l"(x.step) : "memory");
  }
  static __device__ Tagged take(Tagged* from) {
    Tagged x;
    asm volatile("{ .reg .b128 q; ld.relaxed.gpu.global.b128 q, [%2]; mov.b128 {%0, %1}, q; }"
                 : "=d"(x.value), "=l"(x.step) : "l"(from) : "memory");
    return x;
  }
};
struct Vector {  // two words of 8 bytes, as far as anybody promises
  static __device__ void give(Tagged* to, Tagged x) { *to = x; }
  static __device__ Tagged take(Tagged* from) {
    longlong2 x = __ldcg((longlong2*)from);
    return {__longlong_as_double(x.x), x.y};
  }
};

template <class Way>
__device__ void team(Tagged* exchange, double* y, int steps) {
  const int u = blockIdx.x * blockDim.x + threadIdx.x, n = gridDim.x * blockDim.x;
  double h = u;
  for (int t = 1; t <= steps; t++) {
    Tagged* now = exchange + (t & 1) * n;
    Way::give(now + u, {h, t});
    double sum = 0;
    for (int b = 0; b < gridDim.x; b++) {
      Tagged other;
      do other = Way::take(now + b * blockDim.x + threadIdx.x); while (other.step != t);
      sum += other.value * (b + 1);
    }
    h = sum / 8;
  }
  y[u] = h;
}
#define KERNEL(Way) extern "C" __global__ void team_##Way(Tagged* e, double* y, int steps) \
  { team<Way>(e, y, steps); }
KERNEL(Reference) KERNEL(Swap) KERNEL(Builtin) KERNEL(Assembly) KERNEL(Vector)
"""

TEAM = """
import sys

import numpy as np
from refrnn_accel import softcuda

softcuda.activate()

import pycuda.autoinit
import pycuda.driver as cuda
from pycuda.compiler import SourceModule

source, way = sys.argv[1:]
kernel = SourceModule(source, no_extern_c=True, arch="sm_90").get_function("team_" + way)
y, empty = np.zeros(4 * 48), np.zeros((2, 4 * 48, 2))
kernel(cuda.In(empty), cuda.Out(y), np.int32(9), grid=(4, 1, 1), block=(48, 1, 1))
h = np.arange(4.0 * 48).reshape(4, 48)
for _ in range(9):
    h = np.broadcast_to(np.arange(1, 5) @ h / 8, h.shape)
assert np.array_equal(y, h.ravel()), (y, h)
"""


@pytest.mark.parametrize("way", ["Reference", "Swap", "Builtin", "Assembly", "Vector"])
def test_a_team_of_blocks_exchanges_words_of_16_bytes(way: str) -> None:
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", TEAM, TAGGED, way], check=False,
        env={**os.environ, "SOFTCUDA_COMPUTE_CAPABILITY": "90", "SOFTCUDA_CHECK": "race,uninit"},
        capture_output=True, text=True, timeout=120,
    )  # fmt: skip
    if way == "Vector":
        assert "data race" in done.stderr
        assert done.returncode != 0
    else:
        assert (done.returncode, done.stderr) == (0, "")
