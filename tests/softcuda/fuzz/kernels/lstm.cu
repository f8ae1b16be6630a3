// An LSTM in one block: the kernel that the device is for.
template <class T>
__device__ T sigmoid(T x) {
  return T(1) / (T(1) + exp(-x));
}

template <class T, int H>
__device__ void lstm(const T* weights, T* y, int steps) {
  __shared__ T h[2][H];
  const int u = threadIdx.x % H;
  T c = 0;
  h[0][u] = 0;
  __syncthreads();
  for (int t = 0; t < steps; ++t) {
    T g[4];
#pragma unroll 1
    for (int k = 0; k < 4; ++k) {
      T sum = weights[(k + u) % steps];
#pragma unroll 2
      for (int j = 0; j < H; ++j) sum += weights[(k * H + j) % steps] * h[t & 1][j];
      g[k] = sum;
    }
    c = sigmoid(g[1]) * c + sigmoid(g[0]) * tanh(g[2]);
    __syncthreads();
    h[(t + 1) & 1][u] = sigmoid(g[3]) * tanh(c);
    if (threadIdx.x == u && t == steps - 1) y[u % steps] = c;
    __syncthreads();
  }
}

extern "C" __global__ void lstm_float(unsigned*, float* b, double*, int n) {
  lstm<float, 24>(b, b, n);
}
extern "C" __global__ void lstm_double(unsigned*, float*, double* d, int n) {
  lstm<double, 24>(d, d, n);
}
