// Memory: spaces, vectors, atomics, order.
#include <cuda/atomic>
#define KERNEL extern "C" __global__ void

__constant__ int table[8] = {3, 1, 4, 1, 5, 9, 2, 6};
__device__ unsigned counter = 5;
__device__ int* pointer = nullptr;
__device__ float4 vectors[4];

KERNEL spaces(unsigned* a, float* b, double*, int n) {
  extern __shared__ unsigned dynamic[];
  __shared__ unsigned fixed[64];
  __shared__ double also[8];
  unsigned local[16];
  const int i = threadIdx.x;
  for (int k = 0; k < 16; ++k) local[(k * 5 + i) % 16] = a[(i + k) % n] + table[k % 8];
  fixed[i] = local[i % 16];
  dynamic[i] = i * 3;
  if (i < 8) also[i] = i * 0.5;
  __syncthreads();
  float4 v = reinterpret_cast<float4*>(b)[i % 8];
  vectors[i % 4] = make_float4(v.y, v.x, v.w, v.z);
  const ushort2 pair = *reinterpret_cast<ushort2*>(a + i % n);
  const unsigned* generic = i % 2 ? fixed : dynamic;
  a[i % n] = fixed[63 - i - 16] + dynamic[(i + 1) % 48] + generic[i] + pair.x + local[3] +
             reinterpret_cast<unsigned char*>(a)[i] + unsigned(also[i % 8]);
  b[i % n] = v.x + __ldg(b + (i + 5) % n);
  if (i == 0) pointer = reinterpret_cast<int*>(a);
}

KERNEL atomics(unsigned* a, float* b, double* d, int n) {
  __shared__ unsigned s;
  __shared__ unsigned long long wide;
  const int i = threadIdx.x;
  if (i == 0) s = 0, wide = 0;
  __syncthreads();
  atomicAdd(&s, 1u);
  atomicMax(&wide, (unsigned long long)i << 33);
  unsigned r = atomicAdd(a, 2u) ^ atomicSub(a + 1, 1u) ^ atomicExch(a + 2, unsigned(i));
  r ^= atomicMin(reinterpret_cast<int*>(a) + 3, i - 20) ^ atomicInc(a + 4, 7u);
  r ^= atomicDec(a + 5, 9u) ^ atomicAnd(a + 6, 0xF0u) ^ atomicOr(a + 7, 3u) ^ atomicXor(a + 8, 9u);
  r ^= atomicCAS(a + 9, 0u, unsigned(i));
  atomicAdd(b, 1.5f);
  atomicAdd(d, 0.25);
  for (unsigned old = a[10], seen = ~old; seen != old;) {
    seen = old;
    old = atomicCAS(a + 10, seen, seen * 3 + 1);
  }
  __syncthreads();
  if (i < n) a[11 + i % 8] = r + s + unsigned(wide >> 33) + atomicAdd(&counter, 1u);
}

KERNEL order(unsigned* a, float*, double*, int n) {
  const int i = threadIdx.x;
  cuda::atomic_ref<unsigned, cuda::thread_scope_device> flag(a[0]);
  volatile unsigned* careful = a;
  if (i == 0) {
    careful[1] = blockIdx.x;
    __threadfence();
    flag.fetch_add(1, cuda::std::memory_order_release);
    flag.store(7, cuda::std::memory_order_relaxed);
  }
  if (i == 1) a[2 + blockIdx.x] = flag.load(cuda::std::memory_order_acquire) + careful[1];
  __threadfence_block();
  __threadfence_system();
  asm volatile("prefetch.global.L2 [%0];" : : "l"(a + i % n));
  asm volatile("{ .reg .pred p; isspacep.shared p, %0; @p trap; }" : : "l"(a));
}
