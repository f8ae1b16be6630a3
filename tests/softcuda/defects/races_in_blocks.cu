// Two accesses of which neither is before the other, by threads of one block. What orders them is a
// barrier that both take part in, not the order in which a device happens to execute them. (What is
// read was written some time before: it is never the read of a value that nobody wrote.)

// data race <<<1, 32>>>
// A lane reads what its neighbour wrote. Lanes of a warp need not execute together.
extern "C" __global__ void lanes_of_a_warp(int* data) {
  __shared__ int line[32];
  int i = threadIdx.x;
  line[i] = 0;
  __syncthreads();
  line[i] = data[i];  // HERE
  if (!DEFECT) __syncwarp();
  data[i] = line[i ^ 1];  // HERE
}

// data race <<<1, 64>>>
// Of the two barriers of a warp each orders its own warp only.
extern "C" __global__ void warps_of_a_block(int* data) {
  __shared__ int line[64];
  int i = threadIdx.x;
  line[i] = 0;
  __syncthreads();
  line[i] = data[i];  // HERE
  if (DEFECT) __syncwarp();
  if (!DEFECT) __syncthreads();
  data[i] = line[63 - i];  // HERE
}

// data race <<<1, 64>>>
// The same in global memory.
extern "C" __global__ void warps_in_global_memory(int* data, int* zeros) {
  int i = threadIdx.x;
  data[i] = i;  // HERE
  if (!DEFECT) __syncthreads();
  zeros[i] = data[63 - i];  // HERE
}

// data race <<<1, 64>>>
// The next step writes what others still read: a loop needs its second barrier.
extern "C" __global__ void second_barrier_of_a_loop(int* data) {
  __shared__ int line[64];
  int i = threadIdx.x;
  int sum = 0;
  for (int k = 0; k < 4; k++) {
    line[i] = data[i] + k;  // HERE
    __syncthreads();
    sum += line[63 - i];  // HERE
    if (!DEFECT) __syncthreads();
  }
  data[i] = sum;
}

// data race <<<1, 64>>>
// One barrier a step is enough for two buffers, but not for one.
extern "C" __global__ void one_buffer_of_two(int* data) {
  __shared__ int line[2][64];
  int i = threadIdx.x;
  int sum = 0;
  for (int k = 0; k < 4; k++) {
    int which = DEFECT ? 0 : k % 2;
    line[which][i] = data[i] + k;  // HERE
    __syncthreads();
    sum += line[which][63 - i];  // HERE
  }
  data[i] = sum;
}

// data race <<<1, 32>>>
// Lanes store different values in one place: which one stays is not defined. In the twin all store
// the same.
extern "C" __global__ void one_winner(int* data) {
  __shared__ int winner;
  int i = threadIdx.x;
  winner = DEFECT ? data[i] : data[0] + 7;  // HERE
  __syncwarp();
  data[i + 32] = winner;
}

// data race <<<1, 64>>>
// A byte that two warps write. In the twin each has its own bytes, though words hold bytes of both.
extern "C" __global__ void one_byte(int* data) {
  __shared__ char bytes[66];
  int i = threadIdx.x;
  int second = i / 32;
  bytes[i + second * (1 - DEFECT) - DEFECT * second] = static_cast<char>(i);  // HERE
  __syncthreads();
  data[i] = bytes[31];
}

// data race <<<1, 64>>>
// The last steps of a sum within a warp. A lane must have read before its neighbour adds to what it
// reads.
extern "C" __global__ void sum_of_a_warp(int* data) {
  __shared__ int sums[64];
  int i = threadIdx.x;
  sums[i] = data[i];
  __syncthreads();
  if (i >= 32) return;
  for (int half = 32; half > 0; half /= 2) {
    int sum = sums[i] + sums[i + half];  // HERE
    if (!DEFECT) __syncwarp();
    sums[i] = sum;  // HERE
    __syncwarp();
  }
  data[i] = sums[0];
}

// data race <<<1, 32>>>
// A shuffle hands registers on. It is no barrier for memory.
extern "C" __global__ void shuffle_as_barrier(int* data) {
  __shared__ int line[32];
  int i = threadIdx.x;
  line[i] = 0;
  __syncthreads();
  int mine = data[i];
  line[i] = mine;  // HERE
  int others = __shfl_xor_sync(~0u, mine, 1);
  if (!DEFECT) __syncwarp();
  data[i] = line[i ^ 1] + others;  // HERE
}

// data race <<<1, 32>>>
// Neither is a vote.
extern "C" __global__ void vote_as_barrier(int* data) {
  __shared__ int line[32];
  int i = threadIdx.x;
  line[i] = 0;
  __syncthreads();
  int mine = data[i];
  line[i] = mine;  // HERE
  int all = __all_sync(~0u, mine < 1000);
  if (!DEFECT) __syncwarp();
  data[i] = line[i ^ 1] + all;  // HERE
}

// data race <<<1, 64>>>
// A fence orders the accesses of its own thread, and waits for nobody.
extern "C" __global__ void fence_as_barrier(int* data) {
  __shared__ int line[64];
  int i = threadIdx.x;
  line[i] = 0;
  __syncthreads();
  line[i] = data[i];  // HERE
  if (DEFECT) __threadfence_block();
  if (!DEFECT) __syncthreads();
  data[i] = line[63 - i];  // HERE
}

// data race <<<1, 64>>>
// Half of a warp waits for the other half, with a mask that names the wrong lanes.
extern "C" __global__ void mask_of_half_a_warp(int* data) {
  __shared__ int line[64];
  int i = threadIdx.x;
  line[i] = 0;
  __syncthreads();
  line[i] = data[i];  // HERE
  __syncwarp(DEFECT ? (i % 32 < 16 ? 0x0000ffffu : 0xffff0000u) : ~0u);
  data[i] = line[i ^ 16];  // HERE
}

__device__ __forceinline__ void wait_at(int id, int threads) {
  asm volatile("bar.sync %0, %1;" ::"r"(id), "r"(threads) : "memory");
}

__device__ __forceinline__ void arrive_at(int id, int threads) {
  asm volatile("bar.arrive %0, %1;" ::"r"(id), "r"(threads) : "memory");
}

// data race <<<1, 128>>>
// A named barrier that lets two of four warps pass.
extern "C" __global__ void count_of_a_barrier(int* data) {
  __shared__ int line[128];
  int i = threadIdx.x;
  line[i] = 0;
  __syncthreads();
  line[i] = data[i];  // HERE
  wait_at(1, DEFECT ? 64 : 128);
  int sum = 0;
  for (int k = 32; k < 128; k += 32) sum += line[(i + k) % 128];  // HERE
  data[i] = sum;
}

// data race <<<1, 128>>>
// Each half of the block has a barrier of its own.
extern "C" __global__ void name_of_a_barrier(int* data) {
  __shared__ int line[128];
  int i = threadIdx.x;
  line[i] = 0;
  __syncthreads();
  line[i] = data[i];  // HERE
  wait_at(1 + DEFECT * (i / 64), DEFECT ? 64 : 128);
  data[i] = line[127 - i];  // HERE
}

// data race <<<1, 64>>>
// A producer says that its values are there before they are.
extern "C" __global__ void arrival_before_the_value(int* data) {
  __shared__ int line[32];
  int i = threadIdx.x;
  if (i < 32) line[i] = 0;
  __syncthreads();
  if (i < 32) {
    if (DEFECT) arrive_at(1, 64);
    line[i] = data[i];  // HERE
    if (!DEFECT) arrive_at(1, 64);
  } else {
    wait_at(1, 64);
    data[i] = line[63 - i];  // HERE
  }
}

// data race <<<1, 64>>>
// Who arrives and does not wait may not read.
extern "C" __global__ void arrival_instead_of_wait(int* data) {
  __shared__ int line[64];
  int i = threadIdx.x;
  line[i] = 0;
  __syncthreads();
  line[i] = data[i];  // HERE
  if (i < 32 && DEFECT) {
    arrive_at(1, 64);
  } else {
    wait_at(1, 64);
  }
  data[i] = line[63 - i];  // HERE
}

// data race <<<1, 64>>>
// A sum that is read while others add to it.
extern "C" __global__ void sum_read_too_early(int* data) {
  __shared__ int sum;
  int i = threadIdx.x;
  if (i == 0) sum = 0;
  __syncthreads();
  atomicAdd(&sum, data[i]);  // HERE (in a header)
  if (!DEFECT) __syncthreads();
  data[i] = sum;  // HERE
}

// data race <<<1, 64>>>
// A sum that is set to 0 while others add to it.
extern "C" __global__ void sum_cleared_too_late(int* data) {
  __shared__ int sum;
  int i = threadIdx.x;
  if (i == 0) sum = data[63];
  __syncthreads();
  if (i == 0) sum = 0;  // HERE
  if (!DEFECT) __syncthreads();
  atomicAdd(&sum, data[i]);  // HERE (in a header)
  __syncthreads();
  data[i] = sum;
}

// data race <<<1, 64>>>
// Two threads count in one place without an atomic.
extern "C" __global__ void counter_without_atomic(int* data) {
  __shared__ int counts[64];
  int i = threadIdx.x;
  counts[i] = 0;
  __syncthreads();
  counts[DEFECT ? i / 2 : i] += data[i];  // HERE
  __syncthreads();
  data[i] = counts[i];
}

// data race <<<1, 64>>>
// What the launch itself wrote may not be read as if it were constant.
extern "C" __global__ void read_only_path(int* data, int* zeros) {
  int i = threadIdx.x;
  data[i] = i;  // HERE
  __syncthreads();
  zeros[i] = DEFECT ? __ldg(&data[63 - i]) : data[63 - i];  // HERE (in a header)
}
