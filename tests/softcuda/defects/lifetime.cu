// Memory that is gone: freed by the host before the launch, or by the kernel.

// use after free <<<1, 32>>>
extern "C" __global__ void read_of_freed(const int* freed, int* zeros) {
  zeros[threadIdx.x] = freed[threadIdx.x];  // HERE
}

// use after free <<<1, 32>>>
extern "C" __global__ void write_of_freed(int* freed) {
  freed[threadIdx.x] = 1;  // HERE
}

// use after free <<<1, 32>>>
extern "C" __global__ void atomic_of_freed(int* freed) {
  atomicAdd(freed, 1);  // HERE (in a header)
}

// use after free <<<1, 64>>>
// A thread frees what the others still read.
extern "C" __global__ void freed_too_early(int* data) {
  __shared__ int* queue;
  int i = threadIdx.x;
  if (i == 0) queue = static_cast<int*>(malloc(64 * sizeof(int)));
  __syncthreads();
  queue[i] = i;
  __syncthreads();
  if (DEFECT && i == 0) free(queue);
  __syncthreads();
  data[i] = queue[63 - i];  // HERE
  __syncthreads();
  if (!DEFECT && i == 0) free(queue);
}

// bad free <<<1, 64>>>
// A thread of each warp frees what belongs to the block.
extern "C" __global__ void freed_twice(int* data) {
  __shared__ int* queue;
  int i = threadIdx.x;
  if (i == 0) queue = static_cast<int*>(malloc(64 * sizeof(int)));
  __syncthreads();
  queue[i] = i;
  __syncthreads();
  data[i] = queue[63 - i];
  __syncthreads();
  if (i == 0 || (DEFECT && i == 32)) free(queue);  // HERE
}

// bad free <<<1, 32>>>
// A pointer that has moved on since malloc returned it.
extern "C" __global__ void free_of_the_middle(const int* data, int* zeros) {
  int i = threadIdx.x;
  int* mine = static_cast<int*>(malloc(8 * sizeof(int)));
  int* end = mine;
  for (int k = 0; k < 8; k++) *end++ = data[k];
  zeros[i] = mine[i % 8];
  free(DEFECT ? end - 8 + data[1] : mine);  // HERE
}

// bad free <<<1, 32>>>
// What the host allocated is the host's to free.
extern "C" __global__ void free_of_the_hosts(int* data, int* zeros) {
  int i = threadIdx.x;
  int* mine = static_cast<int*>(malloc(8 * sizeof(int)));
  mine[i % 8] = i;
  data[i] = mine[i % 8];
  free(DEFECT ? zeros : mine);  // HERE
}
