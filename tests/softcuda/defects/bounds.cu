// Accesses beyond what was allocated. Each buffer has 256 elements.

// out-of-bounds write <<<4, 64>>>
// The last thread writes one element too far.
extern "C" __global__ void global_write_above(int* data) {
  int i = blockIdx.x * blockDim.x + threadIdx.x;
  data[i + DEFECT] = i;  // HERE
}

// out-of-bounds write <<<1, 64>>>
// A shift to the left that forgets the first element.
extern "C" __global__ void global_write_below(int* data) {
  int i = threadIdx.x;
  int value = data[i];
  __syncthreads();
  if (i > 0 || DEFECT) data[i - 1] = value;  // HERE
}

// out-of-bounds read <<<4, 64>>>
// The last thread has no neighbour on its right.
extern "C" __global__ void global_read_above(const int* data, int* zeros) {
  int i = blockIdx.x * blockDim.x + threadIdx.x;
  if (i + 1 < 256 || DEFECT) zeros[i] = data[i + 1];  // HERE
}

// out-of-bounds read <<<1, 64>>>
// i - 1u of thread 0 is four billion.
extern "C" __global__ void global_read_below(const int* data, int* zeros) {
  unsigned i = threadIdx.x;
  if (i > 0 || DEFECT) zeros[i] = data[i - 1u];  // HERE
}

// out-of-bounds read <<<1, 64>>>
// Four elements at a time, one time too often.
extern "C" __global__ void global_vector_read_above(const int* data, int* zeros) {
  int i = threadIdx.x;
  int4 four = reinterpret_cast<const int4*>(data)[i + DEFECT];  // HERE
  zeros[i] = four.x + four.y + four.z + four.w;
}

// out-of-bounds atomic <<<1, 64>>>
// A histogram with values beyond its last bin.
extern "C" __global__ void global_atomic_above(const int* data, int* zeros) {
  int bin = data[threadIdx.x] * (DEFECT ? 5 : 4);
  atomicAdd(&zeros[bin], 1);  // HERE (in a header)
}

// out-of-bounds atomic <<<1, 64>>>
// Bins that are counted from 1, values that begin with 0.
extern "C" __global__ void global_atomic_below(const int* data, int* zeros) {
  int bin = data[threadIdx.x] - DEFECT;
  atomicMax(&zeros[bin], 1);  // HERE (in a header)
}

// out-of-bounds read <<<1, 32>>>
// A pointer of the host where one of the device is expected.
extern "C" __global__ void pointer_of_the_host(const int* host, int* zeros) {
  zeros[threadIdx.x] = host[threadIdx.x];  // HERE
}

// out-of-bounds write <<<1, 32>>>
// No memory was given for a result that is written all the same.
extern "C" __global__ void null_pointer(int* null) {
  null[threadIdx.x] = threadIdx.x;  // HERE
}

// out-of-bounds write <<<1, 64>>>
// One element too far in shared memory.
extern "C" __global__ void shared_write_above(int* data) {
  __shared__ int line[64];
  int i = threadIdx.x;
  line[i + DEFECT] = data[i];  // HERE
  __syncthreads();
  data[i] = line[63 - i];
}

// out-of-bounds read <<<1, 64>>>
// The left neighbour of the first element in shared memory.
extern "C" __global__ void shared_read_below(int* data) {
  __shared__ int line[64];
  int i = threadIdx.x;
  line[i] = data[i];
  __syncthreads();
  if (i > 0 || DEFECT) data[i] = line[i - 1];  // HERE
}

// out-of-bounds read <<<1, 64, 256>>>
// The launch gave shared memory for 64 elements, and 65 are read.
extern "C" __global__ void dynamic_shared_read_above(int* data) {
  extern __shared__ int line[];
  int i = threadIdx.x;
  line[i] = data[i];
  __syncthreads();
  if (i < 63 || DEFECT) data[i] = line[i + 1];  // HERE
}

// out-of-bounds atomic <<<1, 64>>>
// Eight bins in shared memory, counted from 1.
extern "C" __global__ void shared_atomic_above(int* data) {
  __shared__ int bins[8];
  int i = threadIdx.x;
  if (i < 8) bins[i] = 0;
  __syncthreads();
  atomicAdd(&bins[i / 8 + DEFECT], 1);  // HERE (in a header)
  __syncthreads();
  if (i < 8) data[i] = bins[i];
}

// out-of-bounds write <<<1, 32>>>
// The element after the last of an array of the thread's own.
extern "C" __global__ void local_write_above(const int* data, int* zeros) {
  int mine[8] = {};
  int i = threadIdx.x;
  mine[(data[i] & 7) + DEFECT] = i;  // HERE
  zeros[i] = mine[data[i + 1] & 7];
}

// out-of-bounds read <<<1, 32>>>
// Far beyond any memory of the thread's own.
extern "C" __global__ void local_read_far_above(const int* data, int* zeros) {
  int mine[8] = {};
  int i = threadIdx.x;
  mine[data[i] & 7] = i;
  zeros[i] = mine[(data[i + 1] & 7) + DEFECT * (data[1] << 20)];  // HERE
}

// out-of-bounds read <<<1, 32>>>
// The element before the first of an array of the thread's own.
extern "C" __global__ void local_read_below(const int* data, int* zeros) {
  int mine[8] = {};
  int i = threadIdx.x;
  mine[data[i] & 7] = i;
  zeros[i] = mine[(data[i + 1] & 7) - DEFECT];  // HERE
}

__constant__ int weights[16] = {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16};

// out-of-bounds read <<<1, 64>>>
// A table of 16 constants, of which the 17th is read.
extern "C" __global__ void constant_read_above(int* data) {
  int i = threadIdx.x;
  data[i] = weights[i / 4 + DEFECT];  // HERE
}

// out-of-bounds read <<<1, 16x16>>>
// An image of 16 by 16: pixels in its last column have no neighbour on the right, and that of the
// last pixel lies beyond the image.
extern "C" __global__ void image_border(const int* data, int* zeros) {
  int x = threadIdx.x, y = threadIdx.y;
  int sum = data[16 * y + x];
  if (x < 15 + DEFECT) sum += data[16 * y + x + 1];  // HERE
  zeros[16 * y + x] = sum;
}

// out-of-bounds write <<<2x3, 8x8>>>
// Tiles of 8 by 8 on an image 16 wide and 16 high, one row of tiles too many.
extern "C" __global__ void tile_without_bound(int* data) {
  int x = blockIdx.x * blockDim.x + threadIdx.x;
  int y = blockIdx.y * blockDim.y + threadIdx.y;
  if (y < 16 || DEFECT) data[16 * y + x] = x * y;  // HERE
}
