// Values that nobody wrote.

// uninitialised read <<<1, 64>>>
// Results are added to what mem_alloc gave.
extern "C" __global__ void memory_of_the_host(int* fresh, const int* data) {
  int i = threadIdx.x;
  if (!DEFECT) fresh[i] = 0;
  __syncthreads();
  fresh[63 - i] += data[i];  // HERE
}

// uninitialised read <<<1, 64>>>
// A counter that was never set to 0.
extern "C" __global__ void counter(int* fresh) {
  if (!DEFECT && threadIdx.x == 0) *fresh = 0;
  __syncthreads();
  atomicAdd(fresh, 1);  // HERE (in a header)
}

// uninitialised read <<<1, 32>>>
// Of pairs the first half was written, and pairs are read.
extern "C" __global__ void half_of_a_pair(int* fresh, int* zeros) {
  int i = threadIdx.x;
  fresh[2 * i] = i;
  if (!DEFECT) fresh[2 * i + 1] = i;
  __syncthreads();
  int2 pair = reinterpret_cast<const int2*>(fresh)[31 - i];  // HERE
  zeros[i] = pair.x + pair.y;  // HERE
}

// uninitialised read <<<1, 64>>>
// A tile with a border that was forgotten.
extern "C" __global__ void border_of_a_tile(int* data) {
  __shared__ int tile[66];
  int i = threadIdx.x;
  tile[i + 1] = data[i];
  if (i < 2 && !DEFECT) tile[65 * i] = 0;
  __syncthreads();
  data[i] = tile[i] + tile[i + 2];  // HERE
}

// uninitialised read <<<1, 64, 16>>>
// Sums in dynamic shared memory that nobody cleared.
extern "C" __global__ void sums_in_shared_memory(int* data) {
  extern __shared__ int sums[];
  int i = threadIdx.x;
  if (i < 4 && !DEFECT) sums[i] = 0;
  __syncthreads();
  atomicAdd(&sums[i % 4], data[i]);  // HERE (in a header)
  __syncthreads();
  if (i < 4) data[i] = sums[i];
}

// uninitialised read <<<1, 32>>>
// The last of eight elements of the thread's own is read, and seven were written.
extern "C" __global__ void array_of_a_thread(int* data) {
  int mine[8];
  int i = threadIdx.x;
  for (int k = 0; k < 8 - DEFECT; k++) mine[(k + data[0]) & 7] = data[k];
  data[i + 32] = mine[i & 7];  // HERE
}

__device__ __noinline__ void find(const int* data, int least, int* place) {
  if (data[threadIdx.x] >= least) *place = threadIdx.x;
}

// uninitialised read <<<1, 32>>>
// A function that finds nothing leaves its result as it was.
extern "C" __global__ void result_of_a_function(const int* data, int* zeros) {
  int place;
  find(data, 4 * DEFECT, &place);
  zeros[threadIdx.x] = place;  // HERE
}

// uninitialised read <<<1, 32>>>
// A variable that is set in one way of a branch only, and so in some lanes only.
extern "C" __global__ void variable_of_a_branch(const int* data, int* zeros) {
  int i = threadIdx.x;
  int seventh;
  if (data[i] >= 4 * DEFECT) seventh = data[7];
  __syncthreads();
  zeros[i] = seventh;  // HERE
}

// uninitialised read <<<1, 32>>>
// The last place of a large element, of which there is none. In the twin the first element is one:
// what it replaces was never written, and is never used.
extern "C" __global__ void variable_of_a_loop(const int* data, int* zeros) {
  int last;
  for (int k = 0; k < data[8]; k++) {
    if (data[k] >= 1000 * DEFECT) last = k;  // HERE
  }
  zeros[threadIdx.x] = last;  // HERE
}

// uninitialised read <<<1, 32>>>
// malloc clears nothing.
extern "C" __global__ void memory_of_the_heap(int* data) {
  int i = threadIdx.x;
  int* mine = static_cast<int*>(malloc(8 * sizeof(int)));
  for (int k = 0; k < 8 - DEFECT; k++) mine[(k + data[0]) & 7] = k;
  data[i + 32] = mine[i & 7];  // HERE
  free(mine);
}
