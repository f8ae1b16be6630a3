// The sum of a warp's numbers by way of volatile shared memory. The lanes leave the loop at different
// times, and nothing brings them together behind it: every step has to wait for the one before.

#define KEEP(k) (MUTANT != (k))

template <class T, int MUTANT>
__device__ void sum(const T* values, int count, T* total) {
  __shared__ T shared[32];
  const int i = threadIdx.x;
  T mine = 0;
  for (int k = i; k < count; k += 32) mine += values[k];
  volatile T* tree = shared;
  tree[i] = mine;
  __syncthreads();
  for (int half = 16; half > 0; half /= 2) {
    const T other = tree[(i + half) % 32];
    if (KEEP(1)) __syncwarp();
    mine += other;
    tree[i] = mine;
    __syncwarp();
  }
  if (i == 0) *total = mine;
}

#define ENTRY(k)                                                                            \
  extern "C" __global__ void warp_sum_##k(const double* values, int count, double* total) { \
    sum<double, k>(values, count, total);                                                   \
  }
ENTRY(0) ENTRY(1)
