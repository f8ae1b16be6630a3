// What CUDA's libraries for device code are made of.
#include <cub/cub.cuh>
#include <curand_kernel.h>

__global__ void random_numbers(curandState* s, curandStatePhilox4_32_10_t* p,
                               curandStateMRG32k3a* m, float* f, double* d, unsigned* u) {
  const int i = threadIdx.x;
  curand_init(3, i, 0, s + i), curand_init(3, i, 0, p + i), curand_init(3, i, 0, m + i);
  u[i] = curand(s + i) + curand_poisson(s + i, 3.0);
  f[i] = curand_uniform(p + i) + curand_normal(s + i);
  d[i] = curand_uniform_double(m + i) + curand_normal_double(p + i) +
         curand_log_normal(s + i, 0.f, 1.f);
}

__global__ void blocks(int* a, float* f, double* d) {
  using Reduce = cub::BlockReduce<float, 128>;
  using Scan = cub::BlockScan<int, 128>;
  using Sort = cub::BlockRadixSort<unsigned, 128, 4>;
  using WarpReduce = cub::WarpReduce<double>;
  __shared__ typename Reduce::TempStorage reduce;
  __shared__ typename Scan::TempStorage scan;
  __shared__ typename Sort::TempStorage sort;
  __shared__ typename WarpReduce::TempStorage warps[4];
  f[0] = Reduce(reduce).Sum(f[threadIdx.x]);
  int sum;
  Scan(scan).InclusiveSum(a[threadIdx.x], sum);
  a[threadIdx.x] = sum;
  unsigned keys[4];
  for (int i = 0; i < 4; i++) keys[i] = a[threadIdx.x * 4 + i];
  Sort(sort).Sort(keys);
  for (int i = 0; i < 4; i++) a[i + threadIdx.x * 4] = keys[i];
  d[0] = WarpReduce(warps[threadIdx.x / 32]).Sum(d[threadIdx.x]);
}
