// The sum of many numbers: each block sums its share by a tree, and the block that comes last sums
// the sums. The ticket goes back to 0, so that the next launch finds it as this one did.

#define KEEP(k) (MUTANT != (k))

template <class T, int THREADS, int MUTANT>
__device__ void sum(const T* values, int count, T* partial, unsigned* ticket, T* total) {
  __shared__ T tree[THREADS];
  __shared__ bool is_last;
  const int i = threadIdx.x;
  T mine = 0;
  for (int k = blockIdx.x * THREADS + i; k < count || !KEEP(1); k += gridDim.x * THREADS) {
    mine += values[k];
  }
  tree[i] = mine;
  if (KEEP(2)) __syncthreads();
  for (int half = THREADS / 2; half > 0; half /= 2) {
    if (i < half || !KEEP(3)) tree[i] += tree[i + half];
    if (KEEP(4)) __syncthreads();
  }
  if (i == 0) {
    partial[blockIdx.x] = tree[0];
    if (KEEP(5)) __threadfence();
    is_last = atomicInc(ticket, gridDim.x - 1) == gridDim.x - 1;
    if (KEEP(6)) __threadfence();
  }
  if (KEEP(7)) __syncthreads();
  if (!is_last) return;
  tree[i] = i < gridDim.x || !KEEP(8) ? partial[i] : 0;
  if (KEEP(9)) __syncthreads();
  for (int half = THREADS / 2; half > 0; half /= 2) {
    if (i < half) tree[i] += tree[i + half];
    if (KEEP(10)) __syncthreads();
  }
  if (i == 0) *total = tree[0];
}

#define ENTRY(k)                                                                             \
  extern "C" __global__ void reduction_##k(const double* values, int count, double* partial, \
                                           unsigned* ticket, double* total) {                \
    sum<double, 128, k>(values, count, partial, ticket, total);                              \
  }
ENTRY(0) ENTRY(1) ENTRY(2) ENTRY(3) ENTRY(4) ENTRY(5) ENTRY(6) ENTRY(7) ENTRY(8) ENTRY(9) ENTRY(10)
