// Threads that wait for what will not come.

__device__ __forceinline__ void wait_at(int id, int threads) {
  asm volatile("bar.sync %0, %1;" ::"r"(id), "r"(threads) : "memory");  // HERE
}

// deadlock <<<1, 64>>>
// Two warps wait for each other, each at another barrier.
extern "C" __global__ void two_barriers(int* data) {
  __shared__ int line[64];
  int i = threadIdx.x;
  line[i] = data[i];
  wait_at(DEFECT ? 1 + i / 32 : 1, 64);  // HERE
  data[i] = line[63 - i];
}

// deadlock <<<1, 64>>>
// A barrier for three warps in a block of two.
extern "C" __global__ void barrier_for_more_than_there_are(int* data) {
  wait_at(1, DEFECT ? 96 : 64);  // HERE
  data[threadIdx.x] = 1;
}

// deadlock <<<2, 32>>>
// A flag that nobody sets.
extern "C" __global__ void flag_never_set(int* zeros) {
  volatile int* flag = zeros;
  if (threadIdx.x != 0) return;
  if (blockIdx.x == 0) {
    if (!DEFECT) *flag = 1;
  } else {
    while (*flag == 0) continue;  // HERE
  }
}

// deadlock <<<2, 32>>>
// Each of two blocks waits before it says what the other waits for.
extern "C" __global__ void both_wait_first(int* zeros) {
  volatile int* flags = zeros;
  if (threadIdx.x != 0) return;
  if (!DEFECT) flags[blockIdx.x] = 1;
  while (flags[1 - blockIdx.x] == 0) continue;  // HERE
  if (DEFECT) flags[blockIdx.x] = 1;
}

// deadlock <<<8, 1024>>>
// A team of eight blocks on a device with room for four of this size.
extern "C" __global__ void team_larger_than_the_device(int* zeros) {
  const int team = DEFECT ? 8 : 4;
  if (threadIdx.x != 0) return;
  int ticket = atomicAdd(&zeros[0], 1);
  int* arrived = &zeros[1 + ticket / team];
  atomicAdd(arrived, 1);
  while (*static_cast<volatile int*>(arrived) < team) continue;  // HERE
}

// deadlock <<<2, 32>>>
// Two blocks take two locks, each in its own order.
extern "C" __global__ void two_locks(int* zeros) {
  if (threadIdx.x != 0) return;
  int* first = &zeros[DEFECT ? blockIdx.x : 0];
  int* second = &zeros[DEFECT ? 1 - blockIdx.x : 1];
  while (atomicCAS(first, 0, 1) != 0) continue;
  if (DEFECT) {  // each has its first lock before one asks for its second
    atomicAdd(&zeros[2], 1);
    while (*static_cast<volatile int*>(&zeros[2]) < 2) continue;
  }
  while (atomicCAS(second, 0, 1) != 0) continue;  // HERE (in a header)
  atomicExch(second, 0);
  atomicExch(first, 0);
}

// deadlock <<<4, 32>>>
// Who finds nothing to do returns, and keeps the lock.
extern "C" __global__ void lock_never_released(int* data, int* zeros) {
  if (threadIdx.x != 0) return;
  while (atomicCAS(zeros, 0, 1) != 0) continue;  // HERE (in a header)
  __threadfence();
  if (DEFECT && data[0] == 0) return;
  data[0] += 1;
  __threadfence();
  atomicExch(zeros, 0);
}

// deadlock <<<1, 32>>>
// All lanes of a warp want one lock. In the twin a lane gives it back before it waits for the
// others.
extern "C" __global__ void lock_of_a_lane(int* data, int* zeros) {
  bool is_done = false;
  while (!is_done) {                    // HERE
    if (atomicCAS(zeros, 0, 1) == 0) {  // HERE (in a header)
      __threadfence();
      data[0] += 1;
      __threadfence();
      if (!DEFECT) atomicExch(zeros, 0);
      is_done = true;
    }
  }
}

// deadlock <<<1, 64>>>
// A warp waits at a barrier for one that waits for a flag which comes after the barrier.
extern "C" __global__ void flag_behind_a_barrier(int* data) {
  __shared__ volatile int flag;
  int i = threadIdx.x;
  if (i == 0) flag = 0;
  __syncthreads();
  if (i == 0 && !DEFECT) flag = 1;
  if (i == 32) {
    while (flag == 0) continue;  // HERE
  }
  __syncthreads();  // HERE
  if (i == 0 && DEFECT) flag = 1;
  data[i] = i;
}
