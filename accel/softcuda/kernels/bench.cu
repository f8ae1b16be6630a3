// What `softcuda bench` runs. bench.ptx is what nvcc makes of it:
//   nvcc -ptx -O3 -arch=sm_80 -o bench.ptx bench.cu

constexpr int H = 128;  // hidden units, a thread each

__device__ float sigmoid(float x) { return 1 / (1 + expf(-x)); }

// A block is a sequence: its gates' input parts are given, [steps][4][H]; weights [4][H][H].
extern "C" __global__ void lstm(const float* gates, const float* weights, float* y, int steps) {
  __shared__ float h[2][H];
  const int u = threadIdx.x;
  gates += blockIdx.x * steps * 4 * H;
  y += blockIdx.x * steps * H;
  float c = 0;
  h[0][u] = 0;
  __syncthreads();
  for (int t = 0; t < steps; t++) {
    float g[4];
    for (int k = 0; k < 4; k++) {
      float sum = gates[(t * 4 + k) * H + u];
      for (int j = 0; j < H; j++) sum += weights[(k * H + j) * H + u] * h[t & 1][j];
      g[k] = sum;
    }
    c = sigmoid(g[1]) * c + sigmoid(g[0]) * tanhf(g[2]);
    y[t * H + u] = h[(t + 1) & 1][u] = sigmoid(g[3]) * tanhf(c);
    __syncthreads();
  }
}

// One warp, about a thousand instructions of its lanes.
extern "C" __global__ void small(float* y) {
  float x = y[threadIdx.x];
#pragma unroll
  for (int k = 0; k < 22; k++) x = x * x + 0.25f;
  y[threadIdx.x] = x;
}
