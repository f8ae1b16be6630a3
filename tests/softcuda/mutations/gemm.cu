// C = A B, of any size, by square tiles.

#define KEEP(k) (MUTANT != (k))

template <class T, int TILE, int MUTANT>
__device__ void gemm(const T* A, const T* B, T* C, int rows, int inner, int columns) {
  __shared__ T a[TILE][TILE], b[TILE][TILE];
  const int x = threadIdx.x, y = threadIdx.y;
  const int row = blockIdx.y * TILE + y, column = blockIdx.x * TILE + x;
  T sum = 0;
  for (int k = 0; k < inner; k += TILE) {
    const bool in_a = (row < rows || !KEEP(1)) && (k + x < inner || !KEEP(2));
    const bool in_b = (k + y < inner || !KEEP(3)) && (column < columns || !KEEP(4));
    a[y][x] = in_a ? A[row * inner + k + x] : 0;
    b[y][x] = in_b ? B[(k + y) * columns + column] : 0;
    if (KEEP(5)) __syncthreads();
    for (int j = 0; j < TILE; j++) sum += a[y][j] * b[j][x];
    if (KEEP(6)) __syncthreads();
  }
  const bool in_c = (row < rows || !KEEP(7)) && (column < columns || !KEEP(8));
  if (in_c) C[row * columns + column] = sum;
}

#define ENTRY(k)                                                                             \
  extern "C" __global__ void gemm_##k(const double* A, const double* B, double* C, int rows, \
                                      int inner, int columns) {                              \
    gemm<double, 8, k>(A, B, C, rows, inner, columns);                                       \
  }
ENTRY(0) ENTRY(1) ENTRY(2) ENTRY(3) ENTRY(4) ENTRY(5) ENTRY(6) ENTRY(7) ENTRY(8)
