// Clusters of two blocks, which read and write each other's shared memory.
#include <cooperative_groups.h>

namespace cg = cooperative_groups;

// data race <<<2, 32>>>
// A block reads what its neighbour may not have written yet.
extern "C" __global__ void __cluster_dims__(2) read_of_the_neighbour(int* data) {
  __shared__ int line[32];
  cg::cluster_group cluster = cg::this_cluster();
  const int i = threadIdx.x, rank = cluster.block_rank();
  line[i] = 0;
  cluster.sync();
  line[i] = data[32 * rank + i];  // HERE
  if (!DEFECT) cluster.sync();
  const int* others = cluster.map_shared_rank(line, 1 - rank);
  const int value = others[31 - i];  // HERE
  cluster.sync();
  data[32 * rank + i] = value;
}

// data race <<<2, 32>>>
// A barrier of the block is none of the cluster.
extern "C" __global__ void __cluster_dims__(2) barrier_of_the_block(int* data) {
  __shared__ int line[32];
  cg::cluster_group cluster = cg::this_cluster();
  const int i = threadIdx.x, rank = cluster.block_rank();
  line[i] = 0;
  cluster.sync();
  cluster.map_shared_rank(line, 1 - rank)[i] = data[32 * rank + i];  // HERE
  if (DEFECT) __syncthreads();
  if (!DEFECT) cluster.sync();
  data[32 * rank + i] = line[31 - i];  // HERE
  cluster.sync();
}

// data race <<<2, 32>>>
// The next step replaces what the neighbour still reads.
extern "C" __global__ void __cluster_dims__(2) one_barrier_a_step(int* data) {
  __shared__ int line[32];
  cg::cluster_group cluster = cg::this_cluster();
  const int i = threadIdx.x, rank = cluster.block_rank();
  const int* others = cluster.map_shared_rank(line, 1 - rank);
  int sum = 0;
  cluster.sync();
  for (int k = 0; k < 3; k++) {
    line[i] = data[32 * rank + i] + k;  // HERE
    cluster.sync();
    sum += others[31 - i];  // HERE
    if (!DEFECT) cluster.sync();
  }
  cluster.sync();
  data[32 * rank + i] = sum;
}

// data race <<<2, 32>>>
// An arrival that is relaxed makes the cluster wait, and orders no memory.
extern "C" __global__ void __cluster_dims__(2) relaxed_arrival(int* data) {
  __shared__ int line[32];
  cg::cluster_group cluster = cg::this_cluster();
  const int i = threadIdx.x, rank = cluster.block_rank();
  line[i] = 0;
  cluster.sync();
  line[i] = data[32 * rank + i];  // HERE
  if (DEFECT) {
    asm volatile("barrier.cluster.arrive.relaxed.aligned;" ::: "memory");
  } else {
    asm volatile("barrier.cluster.arrive.release.aligned;" ::: "memory");
  }
  asm volatile("barrier.cluster.wait.acquire.aligned;" ::: "memory");
  const int value = cluster.map_shared_rank(line, 1 - rank)[31 - i];  // HERE
  cluster.sync();
  data[32 * rank + i] = value;
}

// data race <<<2, 32>>>
// Two blocks count in the shared memory of one, without an atomic.
extern "C" __global__ void __cluster_dims__(2) counter_of_a_cluster(int* data) {
  __shared__ int counts[32];
  cg::cluster_group cluster = cg::this_cluster();
  const int i = threadIdx.x, rank = cluster.block_rank();
  counts[i] = 0;
  cluster.sync();
  int* first = cluster.map_shared_rank(counts, 0);
  if (DEFECT) first[i] += data[32 * rank + i];  // HERE
  if (!DEFECT) atomicAdd(&first[i], data[32 * rank + i]);
  cluster.sync();
  if (rank == 0) data[i] = counts[i];
}

// data race <<<4, 32>>>
// A border of a tile that belongs to another cluster, whose barrier is another one.
extern "C" __global__ void __cluster_dims__(2) border_of_another_cluster(int* data, int* zeros) {
  const int i = blockIdx.x * blockDim.x + threadIdx.x;
  data[i] += 1;  // HERE
  cg::this_cluster().sync();
  if (i % 64 != 63 || (DEFECT && i != 127)) zeros[i] = data[i + 1];  // HERE
}

// data race <<<4, 32>>>
// A fence of the cluster, for a flag that another cluster waits for.
extern "C" __global__ void __cluster_dims__(2) fence_of_the_cluster(int* data, int* zeros) {
  volatile int* flag = zeros;
  if (threadIdx.x != 0) return;
  if (blockIdx.x == 0) {
    data[0] = 7;  // HERE
    if (DEFECT) {
      asm volatile("fence.acq_rel.cluster;" ::: "memory");
    } else {
      asm volatile("fence.acq_rel.gpu;" ::: "memory");
    }
    *flag = 1;
  } else if (blockIdx.x == 3) {
    while (*flag == 0) continue;
    __threadfence();
    zeros[1] = data[0];  // HERE
  }
}

// exited block <<<2, 32>>>
// A block may end only when nobody reads its shared memory any more.
extern "C" __global__ void __cluster_dims__(2) block_that_has_ended(int* data) {
  __shared__ int line[32];
  cg::cluster_group cluster = cg::this_cluster();
  const int i = threadIdx.x, rank = cluster.block_rank();
  line[i] = data[32 * rank + i];
  cluster.sync();
  if (rank == 1) {
    if (!DEFECT) cluster.sync();
    return;
  }
  const int* others = cluster.map_shared_rank(line, 1);
  if (DEFECT) {  // long enough for the other to end, whoever has the first turn
    for (int k = 0; k < 200000; k++) asm volatile("" ::: "memory");
  }
  data[i] = others[31 - i];  // HERE
  if (!DEFECT) cluster.sync();
}

// out-of-bounds read <<<2, 32>>>
// One element too far in the neighbour's shared memory.
extern "C" __global__ void __cluster_dims__(2) beyond_the_neighbour(int* data) {
  __shared__ int line[32];
  cg::cluster_group cluster = cg::this_cluster();
  const int i = threadIdx.x, rank = cluster.block_rank();
  line[i] = data[32 * rank + i];
  cluster.sync();
  const int value = cluster.map_shared_rank(line, 1 - rank)[i + DEFECT];  // HERE
  cluster.sync();
  data[32 * rank + i] = value;
}

// uninitialised read <<<2, 32>>>
// A block reads what its neighbour never wrote.
extern "C" __global__ void __cluster_dims__(2) what_the_neighbour_never_wrote(int* data) {
  __shared__ int line[32];
  cg::cluster_group cluster = cg::this_cluster();
  const int i = threadIdx.x, rank = cluster.block_rank();
  if (rank == 0 || !DEFECT) line[i] = data[32 * rank + i];
  cluster.sync();
  const int value = cluster.map_shared_rank(line, 1 - rank)[i];  // HERE
  cluster.sync();
  data[32 * rank + i] = value;  // HERE
}

// deadlock <<<2, 32>>>
// A block waits for a flag that its neighbour sets behind a barrier of both.
extern "C" __global__ void __cluster_dims__(2) flag_behind_a_cluster_barrier(int* zeros) {
  volatile int* flag = zeros;
  cg::cluster_group cluster = cg::this_cluster();
  const int rank = cluster.block_rank();
  if (rank == 0 && !DEFECT) *flag = 1;
  if (rank == 1) {
    while (*flag == 0) continue;  // HERE
  }
  cluster.sync();  // HERE (in a header)
  if (rank == 0 && DEFECT) *flag = 1;
}
