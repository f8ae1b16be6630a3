// Kernels of every kind that nvcc sees, for the instructions it makes of them: none is run.
#include <cassert>
#include <cooperative_groups.h>
#include <cooperative_groups/reduce.h>
#include <cooperative_groups/scan.h>
#include <cstdio>
#include <cuda/atomic>

namespace cg = cooperative_groups;
constexpr unsigned kAll = 0xFFFFFFFF;

// --- recurrent networks, products of matrices, elementwise ---

template <class T>
__device__ T sigmoid(T x) {
  return T(1) / (T(1) + exp(-x));
}

template <class T, int H>
__global__ void lstm(const T* gates, const T* weights, T* y, int steps) {
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
template __global__ void lstm<float, 48>(const float*, const float*, float*, int);
template __global__ void lstm<double, 48>(const double*, const double*, double*, int);

template <class T>
__global__ void gru(const T* x, const T* w, const T* b, T* h, const int* lengths, int H, int steps) {
  extern __shared__ unsigned char raw[];
  T* s = reinterpret_cast<T*>(raw);
  const int u = threadIdx.x, sequence = blockIdx.x;
  T state = h[sequence * H + u];
  for (int t = 0; t < lengths[sequence]; t++) {
    s[u] = state;
    __syncthreads();
    T r = b[u], z = b[H + u], n = b[2 * H + u];
    for (int j = 0; j < H; j++) {
      r += w[j * H + u] * s[j];
      z += w[(H + j) * H + u] * s[j];
      n += w[(2 * H + j) * H + u] * s[j];
    }
    const T* in = x + (sequence * steps + t) * 3 * H;
    z = sigmoid(z + in[H + u]);
    n = tanh(in[2 * H + u] + sigmoid(r + in[u]) * n);
    state = (T(1) - z) * n + z * state;
    __syncthreads();
  }
  h[sequence * H + u] = state;
}
template __global__ void gru<float>(const float*, const float*, const float*, float*, const int*,
                                    int, int);
template __global__ void gru<double>(const double*, const double*, const double*, double*,
                                     const int*, int, int);

template <class T, int B>
__global__ void product(const T* A, const T* B_, T* C, int n, T alpha, T beta) {
  __shared__ T a[B][B + 1], b[B][B + 1];
  T sum = 0;
  const int row = blockIdx.y * B + threadIdx.y, column = blockIdx.x * B + threadIdx.x;
  for (int k = 0; k < n; k += B) {
    a[threadIdx.y][threadIdx.x] = A[row * n + k + threadIdx.x];
    b[threadIdx.y][threadIdx.x] = B_[(k + threadIdx.y) * n + column];
    __syncthreads();
#pragma unroll
    for (int j = 0; j < B; j++) sum += a[threadIdx.y][j] * b[j][threadIdx.x];
    __syncthreads();
  }
  C[row * n + column] = alpha * sum + beta * C[row * n + column];
}
template __global__ void product<float, 16>(const float*, const float*, float*, int, float, float);
template __global__ void product<double, 8>(const double*, const double*, double*, int, double,
                                            double);

template <class T>
__global__ void elementwise(T* x, const T* y, int n, T s) {
  const int i = blockIdx.x * blockDim.x + threadIdx.x;
  if (i >= n) return;
  T v = x[i];
  v = v > 0 ? v : s * v;
  v = v / (T(1) + fabs(v));
  x[i] = v * y[i] + (v < s ? T(1) : T(0)) - (y[i] != y[i]);
}
template __global__ void elementwise<float>(float*, const float*, int, float);
template __global__ void elementwise<double>(double*, const double*, int, double);

__global__ void vectors(const float4* __restrict__ a, float4* b, const double2* c, double2* d,
                        const int4* e, short4* f, uchar4* g, const char4* h, longlong2* l) {
  const int i = threadIdx.x;
  float4 x = a[i], y = b[i];
  x.y = fmaf(x.y, y.y, x.z);
  b[i] = x;
  double2 z = c[i];
  z.x *= z.y;
  d[i] = z;
  const int4 v = e[i];
  f[i] = make_short4(v.x, v.y, v.z, v.w);
  g[i] = make_uchar4(v.x, v.y, v.z, h[i].w);
  l[i] = make_longlong2(v.x, v.y);
  b[i + 9].y = __ldg(&a[i + 1]).x + __ldcg(&a[i]).y + __ldcs(&a[i]).z + __ldlu(&a[i + 3]).w +
               __ldcv(&a[i + 4]).w + __ldca(&a[i + 7]).x;
  __stcg(&b[i + 3], x), __stcs(&b[i + 4], y), __stwb(&b[i + 5], x), __stwt(&b[i + 6], y);
}

// --- reductions, scans, sorting, histograms ---

template <class T>
__global__ void reduce(const T* x, T* y, int n) {
  __shared__ T s[32];
  T v = 0;
  for (int i = blockIdx.x * blockDim.x + threadIdx.x; i < n; i += gridDim.x * blockDim.x) v += x[i];
  for (int o = 16; o; o /= 2) v += __shfl_down_sync(kAll, v, o);
  if (threadIdx.x % 32 == 0) s[threadIdx.x / 32] = v;
  __syncthreads();
  if (threadIdx.x >= 32) return;
  v = threadIdx.x < blockDim.x / 32 ? s[threadIdx.x] : 0;
  for (int o = 16; o; o >>= 1) v += __shfl_xor_sync(kAll, v, o);
  if (threadIdx.x == 0) atomicAdd(y, v);
}
template __global__ void reduce<float>(const float*, float*, int);
template __global__ void reduce<double>(const double*, double*, int);
template __global__ void reduce<int>(const int*, int*, int);
template __global__ void reduce<unsigned long long>(const unsigned long long*, unsigned long long*,
                                                    int);

__global__ void scan(int* x, long long* y, double* z) {
  const int lane = threadIdx.x;
  int v = x[lane];
  long long q = y[lane];
  double d = z[lane];
  for (int o = 1; o < 32; o *= 2) {
    const int u = __shfl_up_sync(kAll, v, o);
    const long long r = __shfl_up_sync(kAll, q, o);
    if (lane >= o) v += u, q += r;
    d += __shfl_sync(kAll, d, (lane * 7) & 31, 16);
  }
  x[lane] = v, y[lane] = q, z[lane] = d;
}

__global__ void sort(int* x) {
  __shared__ int s[256];
  const int i = threadIdx.x;
  s[i] = x[i];
  __syncthreads();
  for (int k = 2; k <= 256; k <<= 1) {
    for (int j = k >> 1; j > 0; j >>= 1) {
      const int o = i ^ j;
      if (o > i && (s[i] > s[o]) == ((i & k) == 0)) {
        const int t = s[i];
        s[i] = s[o], s[o] = t;
      }
      __syncthreads();
    }
  }
  x[i] = s[i];
}

__global__ void histogram(const unsigned char* x, unsigned* h, int n) {
  __shared__ unsigned s[256];
  s[threadIdx.x] = 0;
  __syncthreads();
  for (int i = blockIdx.x * blockDim.x + threadIdx.x; i < n; i += blockDim.x * gridDim.x)
    atomicAdd(&s[x[i]], 1);
  __syncthreads();
  atomicAdd(&h[threadIdx.x], s[threadIdx.x]);
}

// --- what the lanes of a warp do together ---

__global__ void votes(int* a, unsigned* b, unsigned long long* c, unsigned mask) {
  const int i = threadIdx.x;
  const int v = a[i];
  int p, q;
  b[i] = __ballot_sync(mask, v > 3);
  a[i + 32] = __all_sync(mask, v) + __any_sync(mask, v > 7);
  b[i + 64] = __activemask();
  b[i + 96] = __match_any_sync(mask, v) ^ __match_any_sync(mask, c[i]);
  b[i + 128] = __match_all_sync(mask, v, &p) ^ __match_all_sync(mask, c[i], &q);
  a[i + 128] = p + q;
  __syncwarp();
  __syncwarp(mask);
  b[i + 224] = __shfl_sync(mask, b[i], i ^ 3, 8) + __shfl_down_sync(mask, b[i], 2, 16);
}

#if __CUDA_ARCH__ >= 800
__global__ void redux(int* a, unsigned* b, unsigned mask) {
  const int i = threadIdx.x;
  a[i] = __reduce_add_sync(mask, a[i]) + __reduce_min_sync(mask, a[i]) +
         __reduce_max_sync(mask, a[i]);
  b[i] = __reduce_add_sync(mask, b[i]) + __reduce_min_sync(mask, b[i]) +
         __reduce_max_sync(mask, b[i]) + __reduce_and_sync(mask, b[i]) +
         __reduce_or_sync(mask, b[i]) + __reduce_xor_sync(mask, b[i]);
}
#endif

__global__ void groups(int* a, float* f, double* d) {
  const auto block = cg::this_thread_block();
  const auto warp = cg::tiled_partition<32>(block);
  const auto tile = cg::tiled_partition<8>(block);
  block.sync(), warp.sync();
  a[0] = warp.shfl_down(a[1], 1) + warp.any(a[2]) + warp.all(a[3]) + warp.ballot(a[4]) +
         warp.match_any(a[5]);
  a[7] = cg::reduce(tile, a[8], cg::plus<int>());
  f[0] = cg::reduce(warp, f[1], cg::plus<float>());
  d[0] = cg::reduce(warp, d[1], cg::greater<double>());
  a[9] = cg::inclusive_scan(tile, a[10]) + cg::exclusive_scan(warp, a[12]);
  if (threadIdx.x % 3 == 1) {
    const auto part = cg::coalesced_threads();
    a[13] = part.shfl(a[14], 0) + part.size() + part.thread_rank();
    part.sync();
    a[33] = cg::reduce(part, a[34], cg::less<int>());
  }
  a[15] = cg::binary_partition(warp, threadIdx.x % 2).size();
  a[16] = cg::labeled_partition(cg::coalesced_threads(), a[35] & 3).num_threads();
}

#if __CUDA_ARCH__ >= 900
__global__ void __cluster_dims__(2, 1, 1) cluster(int* a) {
  __shared__ int s[32];
  const cg::cluster_group c = cg::this_cluster();
  s[threadIdx.x] = a[threadIdx.x];
  c.sync();
  int* other = c.map_shared_rank(s, c.block_rank() ^ 1);
  a[threadIdx.x] = other[threadIdx.x] + c.num_blocks() + c.dim_blocks().x + c.block_index().y +
                   c.thread_rank() + c.query_shared_rank(other);
  atomicAdd(other, 3);
  other[4] = 7;
  auto token = c.barrier_arrive();
  c.barrier_wait(std::move(token));
}
#endif

__global__ void barriers(int* a) {
  a[threadIdx.x] = __syncthreads_count(a[threadIdx.x]) + __syncthreads_and(a[threadIdx.x] > 3) +
                   __syncthreads_or(a[threadIdx.x] > 7);
  asm volatile("bar.sync 3, 64;");
  asm volatile("bar.arrive 4, 64;");
  asm volatile("barrier.sync 5;");
  asm volatile("barrier.sync.aligned 2, 64;");
}

// --- atomics and the order of memory ---

template <class T>
__device__ void all_atomics(T* p, T v, T* out) {
  out[0] = atomicAdd(p, v), out[1] = atomicExch(p + 2, v), out[2] = atomicMin(p + 3, v);
  out[3] = atomicMax(p + 4, v), out[4] = atomicCAS(p + 5, v, T(7)), out[5] = atomicAnd(p + 6, v);
  out[6] = atomicOr(p + 7, v), out[7] = atomicXor(p + 8, v);
  atomicAdd(p, v), atomicMin(p + 1, v), atomicMax(p + 2, v), atomicAnd(p + 3, v);
  atomicOr(p + 4, v), atomicXor(p + 5, v);
}

__global__ void atomics(int* a, unsigned* b, unsigned long long* c, long long* d, float* f,
                        double* g, unsigned short* h) {
  __shared__ int s[16];
  __shared__ unsigned t[16];
  __shared__ unsigned long long u[16];
  __shared__ float v[4];
  __shared__ double w[4];
  all_atomics(a, a[90], a + 32), all_atomics(s, a[91], a + 64);
  all_atomics(b, b[90], b + 32), all_atomics(t, b[91], b + 64);
  all_atomics(c, c[90], c + 32), all_atomics(u, c[91], c + 64);
  a[99] = s[3] + t[3] + u[3] + atomicSub(a, 4) + atomicAdd_block(a, 3) + atomicAdd_system(a, 4) +
          atomicCAS_system(a, 1, 2) + atomicMax_block(a + 4, 3);
  b[99] = atomicInc(b, 7) + atomicDec(b, 7) + atomicInc(t, 7) + atomicDec(t, 9);
  atomicInc(b + 9, 3u);
  d[2] = atomicMin(d, d[4]) + atomicMax(d, d[5]) + atomicExch(c, 3ull);
  atomicMin(d + 3, 4ll), atomicMax(d + 5, 4ll);
  f[0] = atomicAdd(f, f[5]) + atomicExch(f + 1, 3.f) + atomicAdd(v + 1, 5.f);
  g[0] = atomicAdd(g, g[4]) + atomicAdd(w + 1, 5.);
  atomicAdd(f + 3, 4.f), atomicAdd(g + 3, 4.), atomicAdd(v, 3.f), atomicAdd(w, 4.);
  atomicAdd_block(f, 1.f), atomicAdd_system(g, 1.);
  f[8] = v[0], g[8] = w[0];
  h[0] = atomicCAS(h, h[1], h[2]);
}

template <class T, cuda::thread_scope scope>
__device__ void references(T* p, T* out) {
  cuda::atomic_ref<T, scope> r(*p);
  out[0] = r.load(cuda::memory_order_acquire) + r.load(cuda::memory_order_relaxed) + r.load();
  r.store(out[1], cuda::memory_order_release), r.store(out[3], cuda::memory_order_relaxed);
  r.store(out[5]);
  out[6] = r.fetch_add(out[7], cuda::memory_order_acq_rel) +
           r.fetch_add(out[9], cuda::memory_order_relaxed) +
           r.fetch_sub(out[11], cuda::memory_order_release);
  out[12] = r.exchange(out[13], cuda::memory_order_acquire);
  T expected = out[14];
  out[15] = r.compare_exchange_strong(expected, out[16]);
  out[17] = r.compare_exchange_weak(expected, out[16], cuda::memory_order_acq_rel,
                                    cuda::memory_order_relaxed);
  r.fetch_add(out[20]);
}

template <class T, cuda::thread_scope scope>
__device__ void integer_references(T* p, T* out) {
  references<T, scope>(p, out);
  cuda::atomic_ref<T, scope> r(*p);
  out[20] = r.fetch_and(out[21], cuda::memory_order_acquire) +
            r.fetch_or(out[22], cuda::memory_order_release) + r.fetch_xor(out[23]) +
            r.fetch_min(out[24]) + r.fetch_max(out[25]);
}

__global__ void orders(int* a, unsigned* b, long long* c, unsigned long long* d, float* f,
                       double* g) {
  __shared__ int s;
  integer_references<int, cuda::thread_scope_device>(a, a + 32);
  integer_references<unsigned, cuda::thread_scope_block>(b, b + 32);
  integer_references<long long, cuda::thread_scope_system>(c, c + 32);
  integer_references<unsigned long long, cuda::thread_scope_device>(d, d + 32);
  integer_references<int, cuda::thread_scope_thread>(a, a + 32);
  integer_references<int, cuda::thread_scope_block>(&s, a + 64);
  references<float, cuda::thread_scope_device>(f, f + 32);
  references<double, cuda::thread_scope_block>(g, g + 32);
  cuda::atomic_ref<unsigned char> byte(*reinterpret_cast<unsigned char*>(a));
  byte.store(3);
  a[3] = byte.load() + byte.fetch_add(3);
  cuda::atomic_ref<unsigned short> half(*reinterpret_cast<unsigned short*>(a));
  half.store(4, cuda::memory_order_release);
  a[4] = half.load(cuda::memory_order_acquire);
  cuda::atomic_thread_fence(cuda::memory_order_seq_cst, cuda::thread_scope_device);
  cuda::atomic_thread_fence(cuda::memory_order_acquire, cuda::thread_scope_block);
  cuda::atomic_thread_fence(cuda::memory_order_release, cuda::thread_scope_system);
  cuda::atomic_thread_fence(cuda::memory_order_acq_rel, cuda::thread_scope_device);
}

__global__ void fences(volatile int* p, int* q, volatile double* d, volatile unsigned char* c) {
  __shared__ volatile int s[4];
  s[1] = 3;
  p[0] = q[1] + s[2] + c[0];
  __threadfence();
  c[1] = 3;
  __threadfence_block();
  d[0] = d[1];
  __threadfence_system();
  while (p[2] == 0) __nanosleep(100);
  q[4] = clock() + static_cast<int>(clock64());
}

// --- calls, local memory, printf, variables ---

__device__ int fibonacci(int n) { return n < 2 ? n : fibonacci(n - 1) + fibonacci(n - 2); }
__noinline__ __device__ double helper(double x, float* y, int k) {
  y[k] = x;
  return x * k + sqrt(x);
}
struct Record {
  double a[5];
  int b;
  char c;
};
__noinline__ __device__ Record changed(int k, Record in) {
  in.a[k % 5] = k, in.b += k, in.c = 3;
  return in;
}
__noinline__ __device__ float4 doubled(float4 v, char4 c) {
  return make_float4(v.x * c.x, v.y * c.y, v.z * c.z, v.w * c.w);
}
__device__ int increased(int x) { return x + 1; }
__device__ int tripled(int x) { return x * 3; }
__device__ int (*const table[2])(int) = {increased, tripled};

__global__ void calls(int* a, double* d, float* f, Record* r, float4* v, char4 c, int k) {
  a[0] = fibonacci(a[1]);
  d[0] = helper(d[1], f, k);
  r[0] = changed(k, r[1]);
  a[2] = table[k & 1](a[3]);
  v[0] = doubled(v[1], c);
}

struct Base {
  __device__ virtual int go(int x) = 0;
  __device__ virtual ~Base() {}
};
struct Sum : Base {
  __device__ int go(int x) override { return x + 2; }
};
struct Square : Base {
  __device__ int go(int x) override { return x * x; }
};

__global__ void objects(int* a, int k) {
  Base* p = k ? static_cast<Base*>(new Sum) : new Square;
  a[0] = p->go(a[1]);
  delete p;
  char* m = static_cast<char*>(malloc(k * 3));
  m[k] = 5;
  a[2] = m[k];
  free(m);
  int local[64];
  for (int i = 0; i < k; i++) local[i * 7 & 63] = a[i];
  a[3] = local[a[4] & 63];
}

__global__ void printing(int a, double b, const char* s, long long c) {
  printf("%d %f %s %lld %c %x\n", a, b, "text", c, 'x', a);
  assert(a > 3);
  if (b > 3) __trap();
  if (c == 4) __brkpt();
  if (a == 9) asm("exit;");
}

__global__ void cases(int* a, int k) {
  switch (a[k]) {
    case 0: a[1] = 5; break;
    case 1: a[2] = k * k; break;
    case 2: a[3] = a[4] / k; break;
    case 3: a[9] = 3; [[fallthrough]];
    case 4: a[5] += 2; break;
    case 5: a[6] = __popc(k); break;
    case 6: a[7] ^= k; break;
    case 7: a[8] = 1 << k; break;
    default: a[11] = -1;
  }
}

__constant__ float coefficients[16];
__constant__ int initialised[4] = {1, 2, 3, 4};
__constant__ double precise[3] = {1.5, -2, 1e300};
__device__ int counter;
__device__ __managed__ int managed_variable;
__device__ const char* text = "abc";
__device__ int* pointer = &counter;

__global__ void variables(float* f, int k) {
  f[0] = coefficients[k] + initialised[k & 3] + text[k & 3] + precise[k % 3];
  counter += k, managed_variable = k, *pointer = 4;
  atomicAdd(&counter, 1);
}

__global__ void bytes(char* a, const char* b, int n) {
  memcpy(a, b, 64), memset(a + 64, 3, n), memcpy(a + 200, b + 3, n);
  *reinterpret_cast<short*>(a + 300) = *reinterpret_cast<const short*>(b + 8);
  *reinterpret_cast<signed char*>(a + 303) = n;
}

__global__ void __launch_bounds__(128, 2) bounded(float* x) { x[threadIdx.x] *= 2; }

__global__ void spaces(unsigned* a, unsigned long long* q) {
  a[1] = __isGlobal(a) + __isShared(a) + __isLocal(a) + __isConstant(a);
  q[1] = __cvta_generic_to_shared(a) + __cvta_generic_to_global(a) + __cvta_generic_to_local(a) +
         __cvta_generic_to_constant(a);
  a[2] = *static_cast<unsigned*>(__cvta_shared_to_generic(a[3])) +
         *static_cast<unsigned*>(__cvta_global_to_generic(q[4])) +
         *static_cast<unsigned*>(__cvta_local_to_generic(q[5])) +
         *static_cast<unsigned*>(__cvta_constant_to_generic(q[6]));
  asm volatile("prefetch.global.L2 [%0];" ::"l"(a));
  asm volatile("prefetch.global.L1 [%0];" ::"l"(a));
  asm volatile("prefetchu.L1 [%0];" ::"l"(a));
}
