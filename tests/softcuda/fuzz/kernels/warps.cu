// Warps and barriers: shuffles, votes, reductions of a block.
#define KERNEL extern "C" __global__ void

KERNEL shuffles(unsigned* a, float* b, double* d, int n) {
  const int i = threadIdx.x;
  const unsigned all = __activemask();
  unsigned x = a[i % n];
  for (int k = 1; k < 16; k *= 2) x += __shfl_xor_sync(all, x, k, 16);
  float y = __shfl_up_sync(all, b[i % n], 1) + __shfl_down_sync(all, b[i % n], 2, 8);
  double z = __shfl_sync(all, d[i % n], (i + 3) % 16, 16);
  x += __ballot_sync(all, i & 1) + __any_sync(all, i > 40) * 2 + __all_sync(all, i < 99) * 4;
  x += __match_any_sync(all, i / 3);
  int same;
  x += __match_all_sync(all, 5, &same) + same;
  __syncwarp(all);
  a[i % n] = x;
  b[i % n] = y;
  d[i % n] = z;
}

KERNEL barriers(unsigned* a, float*, double*, int n) {
  __shared__ unsigned s[64];
  const int i = threadIdx.x;
  s[i] = a[i % n];
  int set = __syncthreads_count(i & 1);
  set += __syncthreads_and(i < 48) + __syncthreads_or(i > 50);
  for (int k = 32; k > 0; k /= 2) {
    if (i < k && i + k < 48) s[i] += s[i + k];
    __syncthreads();
  }
  asm volatile("barrier.sync 3, 64;" ::: "memory");
  asm volatile("{ .reg .b32 r; mov.u32 r, %%laneid; mov.u32 r, %%lanemask_lt; mov.u32 r, %%nwarpid;"
               " mov.u64 %0, %%globaltimer; }" : : "l"(0ULL));
  if (i == 0) a[0] = s[0] + unsigned(set) + unsigned(clock());
}

#if __CUDA_ARCH__ >= 800
KERNEL reductions(unsigned* a, float*, double*, int n) {
  const unsigned all = __activemask();
  const unsigned x = a[threadIdx.x % n];
  a[threadIdx.x % n] = __reduce_add_sync(all, x) ^ __reduce_max_sync(all, x) ^
                       __reduce_xor_sync(all, x) ^ __reduce_min_sync(all, x);
}
#endif
