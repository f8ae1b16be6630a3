// A recurrent network of which a cluster of four blocks holds one copy of W_hh in registers. Each
// thread of a quad holds a quarter of a row; the four have the sum by shuffles, and each pushes the
// new value into the shared memory of one of the four blocks. One barrier of the cluster a step.
#include <cooperative_groups.h>

#define KEEP(k) (MUTANT != (k))

namespace cg = cooperative_groups;

// inputs (sequences, steps, H): x W_ih^T + b; weights (H, H): row u leads to unit u. Units from H
// to PADDED do not exist: their h is 0 throughout.
template <int H, int PADDED, int MUTANT>
__device__ void rnn(const float* inputs, const float* weights, const float* h_0, int steps,
                    float* y) {
  constexpr int M = 4;
  __shared__ float h[2][PADDED];
  cg::cluster_group cluster = cg::this_cluster();
  const int i = threadIdx.x, quarter = i % M, sequence = blockIdx.x / M;
  const int unit = cluster.block_rank() * (PADDED / M) + i / M;
  const bool is_unit = unit < H || !KEEP(1);
  float w[PADDED / M];
  for (int k = 0; k < PADDED / M; k++) {
    const int j = k * M + quarter;
    w[k] = is_unit && (j < H || !KEEP(2)) ? weights[unit * H + j] : 0;
  }
  if (KEEP(3)) h[0][i] = h[1][i] = 0;
  if (KEEP(4)) cluster.sync();  // who is late would clear what others have pushed
  if (is_unit) *cluster.map_shared_rank(&h[0][unit], quarter) = h_0[sequence * H + unit];
  if (KEEP(5)) cluster.sync();
  for (int t = 0; t < steps; t++) {
    const int now = KEEP(6) ? t % 2 : 0, next = KEEP(6) ? 1 - now : 0;
    float sum = 0;
    for (int k = 0; k < PADDED / M; k++) sum += w[k] * h[now][k * M + quarter];
    sum += __shfl_xor_sync(~0u, sum, 1);
    sum += __shfl_xor_sync(~0u, sum, 2);
    if (is_unit) {
      const int at = (sequence * steps + t) * H + unit;
      const float value = tanhf(inputs[at] + sum);
      *cluster.map_shared_rank(&h[next][unit], quarter) = value;
      if (quarter == 0) y[at] = value;
    }
    if (KEEP(7) && KEEP(8)) cluster.sync();
    if (!KEEP(8)) __syncthreads();
  }
}

#define ENTRY(k)                                                                          \
  extern "C" __global__ void __cluster_dims__(4) cluster_##k(                             \
      const float* inputs, const float* weights, const float* h_0, int steps, float* y) { \
    rnn<56, 64, k>(inputs, weights, h_0, steps, y);                                       \
  }
ENTRY(0) ENTRY(1) ENTRY(2) ENTRY(3) ENTRY(4) ENTRY(5) ENTRY(6) ENTRY(7) ENTRY(8)
