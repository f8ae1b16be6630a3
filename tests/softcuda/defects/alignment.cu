// Addresses that are no multiple of the size of the access.

// misaligned address <<<1, 32>>>
// Four floats at a time from the second on.
extern "C" __global__ void vector_of_four(const float* data, float* zeros) {
  int i = threadIdx.x;
  float4 four = *reinterpret_cast<const float4*>(data + 4 * i + DEFECT);  // HERE
  zeros[i] = four.x + four.y + four.z + four.w;
}

// misaligned address <<<1, 32>>>
// An integer in a packed record, after a field of two bytes.
extern "C" __global__ void integer_in_bytes(char* data) {
  *reinterpret_cast<int*>(data + 8 * threadIdx.x + 2 * DEFECT) = 1;  // HERE
}

// misaligned address <<<1, 32, 384>>>
// Doubles in the dynamic shared memory, behind an odd number of integers.
extern "C" __global__ void doubles_behind_integers(int* data) {
  extern __shared__ int memory[];
  double* sums = reinterpret_cast<double*>(memory + (DEFECT ? 31 : 32));
  sums[threadIdx.x] = 1;  // HERE
  data[threadIdx.x] = static_cast<int>(sums[threadIdx.x]);
}

// misaligned address <<<1, 32>>>
// A counter of 64 bits between elements of 32.
extern "C" __global__ void wide_counter(int* zeros) {
  atomicAdd(reinterpret_cast<unsigned long long*>(zeros + DEFECT), 1ull);  // HERE (in a header)
}
