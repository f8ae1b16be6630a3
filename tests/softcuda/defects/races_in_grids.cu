// Two accesses of which neither is before the other, by threads of two blocks. Between blocks an
// order comes from fences: values, a fence and a flag on one side, the flag, a fence and the values
// on the other; or from a release and an acquire.

#define STORE(order, place) asm volatile("st." order ".global.u32 [%0], 1;" ::"l"(place) : "memory")
#define LOAD(order, value, place) \
  asm volatile("ld." order ".global.u32 %0, [%1];" : "=r"(value) : "l"(place) : "memory")

// data race <<<2, 32>>>
// All blocks write the same place.
extern "C" __global__ void one_place_for_all(int* data) {
  data[threadIdx.x + (DEFECT ? 0 : 32 * blockIdx.x)] = threadIdx.x;  // HERE
}

// data race <<<4, 64>>>
// A shift in place: the neighbour may have been replaced, within a block or between two.
extern "C" __global__ void shift_in_place(int* data, int* zeros) {
  int i = blockIdx.x * blockDim.x + threadIdx.x;
  int* result = DEFECT ? data : zeros;
  if (i < 255) result[i] = data[i + 1];  // HERE
}

// data race <<<4, 64>>>
// A border of the neighbouring block's tile, which only __syncthreads is thought to order.
extern "C" __global__ void border_of_a_neighbour(int* data, int* zeros) {
  int i = blockIdx.x * blockDim.x + threadIdx.x;
  data[i] += 1;  // HERE
  __syncthreads();
  bool is_in_tile = threadIdx.x + 1 < blockDim.x;
  if (is_in_tile || (DEFECT && i + 1 < 256)) zeros[i] = data[i + 1];  // HERE
}

// data race <<<4, 64>>>
// Sums of blocks, added by the block that comes last, which needs a fence ...
extern "C" __global__ void last_block_without_release(int* data, int* zeros) {
  __shared__ bool is_last;
  int* ticket = zeros;
  if (threadIdx.x == 0) {
    data[blockIdx.x] = blockIdx.x;  // HERE
    if (!DEFECT) __threadfence();
    is_last = atomicAdd(ticket, 1) == gridDim.x - 1;
    __threadfence();
  }
  __syncthreads();
  if (is_last && threadIdx.x < gridDim.x) zeros[threadIdx.x + 1] = data[threadIdx.x];  // HERE
}

// data race <<<4, 64>>>
// ... on both sides ...
extern "C" __global__ void last_block_without_acquire(int* data, int* zeros) {
  __shared__ bool is_last;
  int* ticket = zeros;
  if (threadIdx.x == 0) {
    data[blockIdx.x] = blockIdx.x;  // HERE
    __threadfence();
    is_last = atomicAdd(ticket, 1) == gridDim.x - 1;
    if (!DEFECT) __threadfence();
  }
  __syncthreads();
  if (is_last && threadIdx.x < gridDim.x) zeros[threadIdx.x + 1] = data[threadIdx.x];  // HERE
}

// data race <<<4, 64>>>
// ... and one for the device, not for the block.
extern "C" __global__ void last_block_with_fence_of_block(int* data, int* zeros) {
  __shared__ bool is_last;
  int* ticket = zeros;
  if (threadIdx.x == 0) {
    data[blockIdx.x] = blockIdx.x;  // HERE
    if (DEFECT) __threadfence_block();
    if (!DEFECT) __threadfence();
    is_last = atomicAdd(ticket, 1) == gridDim.x - 1;
    __threadfence();
  }
  __syncthreads();
  if (is_last && threadIdx.x < gridDim.x) zeros[threadIdx.x + 1] = data[threadIdx.x];  // HERE
}

// data race <<<2, 32>>>
// Values and a flag without a fence between them.
extern "C" __global__ void flag_without_release(int* data, int* zeros) {
  volatile int* flag = zeros;
  int i = threadIdx.x;
  if (blockIdx.x == 0) {
    data[i] = 2 * i;  // HERE
    __syncthreads();
    if (i == 0) {
      if (!DEFECT) __threadfence();
      *flag = 1;
    }
  } else {
    if (i == 0) {
      while (*flag == 0) continue;
      __threadfence();
    }
    __syncthreads();
    zeros[i + 1] = data[i];  // HERE
  }
}

// data race <<<2, 32>>>
// The flag is seen, and what was read ahead of it may be old.
extern "C" __global__ void flag_without_acquire(int* data, int* zeros) {
  volatile int* flag = zeros;
  int i = threadIdx.x;
  if (blockIdx.x == 0) {
    data[i] = 2 * i;  // HERE
    __syncthreads();
    if (i == 0) {
      __threadfence();
      *flag = 1;
    }
  } else {
    if (i == 0) {
      while (*flag == 0) continue;
      if (!DEFECT) __threadfence();
    }
    __syncthreads();
    zeros[i + 1] = data[i];  // HERE
  }
}

// data race <<<2, 32>>>
// The flag comes before its value.
extern "C" __global__ void flag_before_the_value(int* data, int* zeros) {
  volatile int* flag = zeros;
  if (threadIdx.x != 0) return;
  if (blockIdx.x == 0) {
    if (DEFECT) *flag = 1;
    __threadfence();
    data[0] = 7;  // HERE
    __threadfence();
    if (!DEFECT) *flag = 1;
  } else {
    while (*flag == 0) continue;
    __threadfence();
    zeros[1] = data[0];  // HERE
  }
}

// data race <<<2, 32>>>
// A plain store may be late, split or left out: it is no signal.
extern "C" __global__ void flag_stored_plainly(int* zeros) {
  volatile int* flag = zeros;
  if (threadIdx.x != 0) return;
  if (blockIdx.x == 0) {
    if (DEFECT) {
      zeros[0] = 1;  // HERE
    } else {
      *flag = 1;
    }
  } else {
    while (*flag == 0) continue;  // HERE
  }
}

// data race <<<2, 32>>>
// A store that releases, of a scope that its reader is not in.
extern "C" __global__ void release_in_the_block(int* data, int* zeros) {
  if (threadIdx.x != 0) return;
  if (blockIdx.x == 0) {
    data[0] = 7;  // HERE
    if (DEFECT) {
      STORE("release.cta", zeros);  // HERE
    } else {
      STORE("release.gpu", zeros);
    }
  } else {
    int flag;
    do {
      LOAD("acquire.gpu", flag, zeros);  // HERE
    } while (flag == 0);
    zeros[1] = data[0];  // HERE
  }
}

// data race <<<2, 32>>>
// A store that is atomic and releases nothing.
extern "C" __global__ void relaxed_for_release(int* data, int* zeros) {
  if (threadIdx.x != 0) return;
  if (blockIdx.x == 0) {
    data[0] = 7;  // HERE
    if (DEFECT) {
      STORE("relaxed.gpu", zeros);
    } else {
      STORE("release.gpu", zeros);
    }
  } else {
    int flag;
    do {
      LOAD("acquire.gpu", flag, zeros);
    } while (flag == 0);
    zeros[1] = data[0];  // HERE
  }
}

// data race <<<2, 32>>>
// A load that is atomic and acquires nothing.
extern "C" __global__ void relaxed_for_acquire(int* data, int* zeros) {
  if (threadIdx.x != 0) return;
  if (blockIdx.x == 0) {
    data[0] = 7;  // HERE
    STORE("release.gpu", zeros);
  } else {
    int flag;
    do {
      if (DEFECT) {
        LOAD("relaxed.gpu", flag, zeros);
      } else {
        LOAD("acquire.gpu", flag, zeros);
      }
    } while (flag == 0);
    zeros[1] = data[0];  // HERE
  }
}

// data race <<<4, 64>>>
// Blocks add to one place, each with atomics that are atomic in the block only.
extern "C" __global__ void atomic_in_the_block(int* zeros) {
  if (DEFECT) atomicAdd_block(zeros, 1);  // HERE (in a header)
  if (!DEFECT) atomicAdd(zeros, 1);
}

// data race <<<4, 64>>>
// A plain read of what all others add to. In the twin the read is volatile.
extern "C" __global__ void plain_read_of_a_counter(int* data, int* zeros) {
  int i = blockIdx.x * blockDim.x + threadIdx.x;
  atomicAdd(zeros, 1);             // HERE (in a header)
  if (DEFECT) data[i] = zeros[0];  // HERE
  if (!DEFECT) data[i] = *static_cast<volatile int*>(zeros);
}

// data race <<<4, 32>>>
// A barrier of all blocks that makes them wait, and orders nothing.
extern "C" __global__ void barrier_of_the_grid(int* data, int* zeros) {
  int i = blockIdx.x * blockDim.x + threadIdx.x;
  data[i] = i;  // HERE
  __syncthreads();
  if (threadIdx.x == 0) {
    if (!DEFECT) __threadfence();
    atomicAdd(zeros, 1);
    while (*static_cast<volatile int*>(zeros) < gridDim.x) continue;
    if (!DEFECT) __threadfence();
  }
  __syncthreads();
  zeros[i + 1] = data[127 - i];  // HERE
}

// data race <<<4, 32>>>
// A lock keeps others out. What it protects is seen by the next owner if there are fences.
extern "C" __global__ void lock_without_fences(int* data, int* zeros) {
  if (threadIdx.x != 0) return;
  while (atomicCAS(zeros, 0, 1) != 0) continue;
  if (!DEFECT) __threadfence();
  data[0] += 1;  // HERE
  if (!DEFECT) __threadfence();
  atomicExch(zeros, 0);
}

// data race <<<2, 32>>>
// A value with its step in 8 bytes: if they are stored plainly, nobody may rely on both coming
// together.
extern "C" __global__ void tagged_value_stored_plainly(int* zeros) {
  auto* slot = reinterpret_cast<unsigned long long*>(zeros);
  if (threadIdx.x != 0) return;
  if (blockIdx.x == 0) {
    unsigned long long value = 1ull << 32 | 7;
    if (DEFECT) *slot = value;  // HERE
    if (!DEFECT) *static_cast<volatile unsigned long long*>(slot) = value;
  } else {
    unsigned long long value;
    do {
      value = *static_cast<volatile unsigned long long*>(slot);  // HERE
    } while (value >> 32 != 1);
    zeros[2] = static_cast<int>(value);
  }
}
