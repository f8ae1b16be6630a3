// Correct programs that lean on what CUDA promises and nothing more: none may be reported.
//
// The line above a kernel says how it is launched. Each writes 1 to every element of `out` that
// belongs to a thread; `counts` begins as zeros.
#include <cooperative_groups.h>

namespace cg = cooperative_groups;

// <<<1, 40>>> The second warp has eight lanes, and masks may name all 32.
extern "C" __global__ void part_of_a_warp(int* out, unsigned* counts) {
  int i = threadIdx.x;
  __syncwarp();
  int lane = __shfl_xor_sync(~0u, i % 32, 1);
  out[i] = lane == (i % 32 ^ 1) && __all_sync(~0u, 1);
}

// <<<1, 32>>> Both ways of a branch have the warp's barrier.
extern "C" __global__ void barriers_of_a_warp(int* out, unsigned* counts) {
  __shared__ int line[32];
  int i = threadIdx.x;
  if (i < 16) {
    line[i] = i;
    __syncwarp();
    out[i] = line[i + 16] == -i - 16;
  } else {
    line[i] = -i;
    __syncwarp();
    out[i] = line[i - 16] == i - 16;
  }
}

__device__ __noinline__ int exchanged(int value) { return __shfl_xor_sync(~0u, value, 1); }

// <<<1, 32>>> Lanes that have come apart meet inside of a function.
extern "C" __global__ void exchange_in_a_function(int* out, unsigned* counts) {
  int i = threadIdx.x;
  int value = i;
  if (i % 2) value += atomicAdd(counts, 0);
  out[i] = exchanged(value) == (i ^ 1);
}

// <<<2, 64>>> A lock, taken by every lane and given back behind the loop.
extern "C" __global__ void lock_of_lanes(int* out, unsigned* counts) {
  while (atomicCAS(counts, 0u, 1u) != 0) continue;
  __threadfence();
  unsigned before = counts[1];
  counts[1] = before + 1;
  __threadfence();
  atomicExch(counts, 0u);
  out[blockIdx.x * blockDim.x + threadIdx.x] = before < 128;
}

// <<<1, 32>>> Tiles of two lanes: one waits for what another does after its own exchange.
extern "C" __global__ void tiles_on_their_own(int* out, unsigned* counts) {
  auto tile = cg::tiled_partition<2>(cg::this_thread_block());
  volatile unsigned* flag = counts;
  int i = threadIdx.x;
  if (i == 3) {
    while (*flag == 0) continue;
  }
  int other = tile.shfl_xor(i, 1);
  if (i == 0) *flag = 1;
  out[i] = other == (i ^ 1);
}

// <<<1, 32>>> One lane counts for all: NVIDIA's way to aggregate atomics.
extern "C" __global__ void aggregated(int* out, unsigned* counts) {
  auto group = cg::coalesced_threads();
  unsigned first;
  if (group.thread_rank() == 0) first = atomicAdd(counts, group.size());
  first = group.shfl(first, 0);
  out[first + group.thread_rank()] = 1;
}

// <<<100, 64>>> Every thread fences what it wrote, one counts, and the last block reads it all.
extern "C" __global__ void last_block(int* out, unsigned* counts) {
  __shared__ bool is_last;
  int i = blockIdx.x * blockDim.x + threadIdx.x;
  out[i] = 2;
  __threadfence();
  __syncthreads();
  if (threadIdx.x == 0) {
    is_last = atomicAdd(counts, 1u) == gridDim.x - 1;
    __threadfence();
  }
  __syncthreads();
  for (int k = threadIdx.x; is_last && k < gridDim.x * blockDim.x; k += blockDim.x) out[k] -= 1;
}

// <<<8, 64>>> A barrier of the grid that spins by an atomic.
extern "C" __global__ void barrier_of_the_grid(int* out, unsigned* counts) {
  int n = gridDim.x * blockDim.x, i = blockIdx.x * blockDim.x + threadIdx.x;
  out[n - 1 - i] = 1 - i;
  __syncthreads();
  if (threadIdx.x == 0) {
    __threadfence();
    atomicAdd(counts, 1u);
    while (atomicAdd(counts, 0u) < gridDim.x) continue;
    __threadfence();
  }
  __syncthreads();
  out[i] += n - 1 - i;
}

struct alignas(16) Triple {
  int a, b, c;
};

// <<<1, 32>>> A structure is copied with its padding, which nobody has written.
extern "C" __global__ void padding(int* out, unsigned* counts) {
  __shared__ Triple triples[32];
  Triple* kept = reinterpret_cast<Triple*>(out + 64);
  int i = threadIdx.x;
  triples[i].a = i, triples[i].b = 2 * i, triples[i].c = 3 * i;
  __syncthreads();
  kept[i] = triples[31 - i];
  __syncthreads();
  out[i] = kept[31 - i].a + kept[31 - i].b == kept[31 - i].c;
}

// <<<1, 64>>> A named barrier for 64 threads, of which half have ended.
extern "C" __global__ void named_barrier_of_who_is_left(int* out, unsigned* counts) {
  int i = threadIdx.x;
  out[i] = 1;
  if (i % 32 >= 16) return;
  asm volatile("bar.sync 1, 64;" ::: "memory");
}
