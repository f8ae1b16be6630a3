// Barriers that not all lanes of a warp come to, and barriers that do not exist.

// barrier divergence <<<1, 64>>>
// Odd lanes wait at one barrier while even lanes wait at the next.
extern "C" __global__ void barrier_in_a_branch(int* data) {
  int i = threadIdx.x;
  if (i % 2 == 1 || !DEFECT) {
    data[i] += 1;
    __syncthreads();  // HERE
  }
  data[i] *= 2;
  __syncthreads();  // HERE
  data[i + 64] = data[63 - i];
}

// barrier divergence <<<1, 64>>>
// Both ways of a branch have a barrier, and a warp takes both. In the twin all take the same.
extern "C" __global__ void barriers_on_both_sides(int* data) {
  int i = threadIdx.x;
  if (DEFECT ? i % 32 < 16 : blockIdx.x == 0) {
    data[i] += 1;
    __syncthreads();  // HERE
    data[i + 64] = data[63 - i];
  } else {
    data[i] -= 1;
    __syncthreads();  // HERE
    data[i + 128] = data[63 - i];
  }
}

// barrier divergence <<<1, 64>>>
// Lanes leave a loop with a barrier at different times.
extern "C" __global__ void barrier_in_a_loop(int* data) {
  int i = threadIdx.x;
  int steps = DEFECT ? i % 3 + 1 : 3;
  for (int k = 0; k < steps; k++) {
    data[i] += k;
    __syncthreads();  // HERE
  }
  data[i] *= 2;
  __syncthreads();  // HERE
  data[i + 64] = data[63 - i];
}

// barrier divergence <<<1, 64>>>
// Lanes that skip one barrier and come to the next. In the twin they return: who has ended is not
// awaited.
extern "C" __global__ void barrier_skipped(int* data) {
  int i = threadIdx.x;
  if (i >= 40) {
    if (!DEFECT) return;
  } else {
    data[i] += 1;
    __syncthreads();  // HERE
  }
  data[i] *= 2;
  __syncthreads();  // HERE
  if (i < 40) data[i + 64] = data[39 - i];
}

// barrier divergence <<<1, 64>>>
// A barrier that counts, in a branch.
extern "C" __global__ void counting_barrier_in_a_branch(int* data) {
  int i = threadIdx.x;
  int count = 0;
  if (i % 32 >= 16 || !DEFECT) count = __syncthreads_count(data[i] % 3 == 0);  // HERE
  data[i] = count;
  __syncthreads();  // HERE
  data[i + 64] = data[63 - i];
}

__device__ __forceinline__ void wait_at(int id, int threads) {
  asm volatile("bar.sync %0, %1;" ::"r"(id), "r"(threads) : "memory");  // HERE
}

// bad barrier <<<1, 64>>>
// There are 16 barriers, and their numbers begin with 0.
extern "C" __global__ void seventeenth_barrier(int* data) {
  wait_at(data[15] + DEFECT, 64);  // HERE
  data[threadIdx.x] = 1;
}

// bad barrier <<<1, 64>>>
// Barriers count warps: 48 threads are none and a half.
extern "C" __global__ void barrier_for_half_a_warp(int* data) {
  wait_at(1, DEFECT ? 48 : 64);  // HERE
  data[threadIdx.x] = 1;
}
