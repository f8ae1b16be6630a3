// A matrix times a vector with warps that specialise: one copies tiles of the vector to shared
// memory, the others multiply. Two buffers, and for each a barrier that says "full" and one that
// says "empty": who only says it arrives, who needs it waits.

#define KEEP(k) (MUTANT != (k))

enum { FULL = 1, EMPTY = 3 };

__device__ __forceinline__ void wait_at(int id, int threads) {
  asm volatile("bar.sync %0, %1;" ::"r"(id), "r"(threads) : "memory");
}

__device__ __forceinline__ void arrive_at(int id, int threads) {
  asm volatile("bar.arrive %0, %1;" ::"r"(id), "r"(threads) : "memory");
}

template <class T, int TILE, int CONSUMERS, int MUTANT>
__device__ void product(const T* matrix, const T* x, int rows, int columns, T* y) {
  constexpr int THREADS = 32 + CONSUMERS;
  __shared__ T tiles[2][TILE];
  const int count = (columns + TILE - 1) / TILE;
  if (threadIdx.x < 32) {
    for (int k = 0; k < count; k++) {
      const int buffer = KEEP(1) ? k % 2 : 0, barrier = KEEP(2) ? k % 2 : 0;
      if (k >= 2 || !KEEP(3)) {
        if (KEEP(4)) wait_at(EMPTY + barrier, THREADS);
      }
      for (int j = threadIdx.x; j < TILE; j += 32) {
        const int column = k * TILE + j;
        tiles[buffer][j] = column < columns || !KEEP(5) ? x[column] : 0;
      }
      if (KEEP(6)) arrive_at(FULL + barrier, THREADS);
    }
    return;
  }
  const int row = blockIdx.x * CONSUMERS + threadIdx.x - 32;
  const T* const mine = matrix + (KEEP(7) ? min(row, rows - 1) : row) * columns;
  T sum = 0;
  for (int k = 0; k < count; k++) {
    const int buffer = KEEP(1) ? k % 2 : 0, barrier = KEEP(2) ? k % 2 : 0;
    if (KEEP(8)) wait_at(FULL + barrier, THREADS);
    const int end = KEEP(9) ? min(TILE, columns - k * TILE) : TILE;
    for (int j = 0; j < end; j++) sum += mine[k * TILE + j] * tiles[buffer][j];
    if (k + 2 < count && KEEP(10)) arrive_at(EMPTY + barrier, THREADS);
  }
  if (row < rows || !KEEP(11)) y[row] = sum;
}

#define ENTRY(k)                                                                         \
  extern "C" __global__ void pipeline_##k(const float* matrix, const float* x, int rows, \
                                          int columns, float* y) {                       \
    product<float, 32, 64, k>(matrix, x, rows, columns, y);                              \
  }
ENTRY(0)
ENTRY(1) ENTRY(2) ENTRY(3) ENTRY(4) ENTRY(5) ENTRY(6) ENTRY(7) ENTRY(8) ENTRY(9) ENTRY(10) ENTRY(11)
