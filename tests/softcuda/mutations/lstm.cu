// An LSTM with a block for each lane. W_hh stays in shared memory; a lane runs its sequences back
// to back, each exactly its length, with one barrier a step.

#define KEEP(k) (MUTANT != (k))

__device__ float sigmoid(float x) { return 1 / (1 + expf(-x)); }

// gates (N, H, 4): x W_ih^T + b; weights (H, H, 4): from unit j to the gates i, f, g, o of unit u.
template <class T, int H, int THREADS, int MUTANT>
__device__ void lstm(const T* gates, const T* weights, const T* h_0, const T* c_0,
                     const int* offsets, int sequences, T* y) {
  __shared__ T w[H][H][4];
  __shared__ T h[2][H];
  const int u = threadIdx.x;
  for (int k = u; k < H * H * 4; k += THREADS) (&w[0][0][0])[k] = weights[k];
  int now = 0;
  for (int q = blockIdx.x; KEEP(1) ? q < sequences : q <= sequences; q += gridDim.x) {
    T c = 0;
    if (u < H) {
      h[now][u] = h_0[q * H + u];
      c = c_0[q * H + u];
    }
    if (KEEP(2)) __syncthreads();
    const int end = offsets[q + 1];
    for (int n = offsets[q]; KEEP(3) ? n < end : n <= end; n++) {
      const int next = KEEP(4) ? 1 - now : now;
      if (u < H || !KEEP(5)) {
        T a[4];
        for (int g = 0; g < 4; g++) a[g] = gates[(n * H + u) * 4 + g];
        for (int j = 0; j < H; j++) {
          for (int g = 0; g < 4; g++) a[g] += w[j][u][g] * h[now][j];
        }
        c = sigmoid(a[1]) * c + sigmoid(a[0]) * tanh(a[2]);
        y[n * H + u] = h[next][u] = sigmoid(a[3]) * tanh(c);
      }
      now = next;
      if (KEEP(6)) __syncthreads();
    }
  }
}

#define ENTRY(k)                                                                                  \
  extern "C" __global__ void lstm_##k(const float* gates, const float* weights, const float* h_0, \
                                      const float* c_0, const int* offsets, int sequences,        \
                                      float* y) {                                                 \
    lstm<float, 40, 64, k>(gates, weights, h_0, c_0, offsets, sequences, y);                      \
  }
ENTRY(0) ENTRY(1) ENTRY(2) ENTRY(3) ENTRY(4) ENTRY(5) ENTRY(6)
