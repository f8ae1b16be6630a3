// What ends a kernel at once.
#include <assert.h>

// trap <<<1, 32>>>
extern "C" __global__ void trap_of_a_lane(int* data) {
  if (data[threadIdx.x] == 3 + 1000 * !DEFECT) __trap();  // HERE
  data[threadIdx.x] = 1;
}

// assertion failed <<<1, 32>>>
extern "C" __global__ void assertion_of_a_lane(int* data) {
  assert(data[threadIdx.x] < 31 + !DEFECT);  // HERE
  data[threadIdx.x] = 1;
}

typedef int (*Function)(int);
__device__ int half_of(int x) { return x / 2; }
__device__ int twice(int x) { return 2 * x; }
__device__ Function functions[2] = {half_of, twice};

// invalid program counter <<<1, 32>>>
// A number where the address of a function is expected.
extern "C" __global__ void number_as_function(int* data) {
  int i = threadIdx.x;
  Function function = functions[i % 2];
  if (DEFECT && i == 5) function = reinterpret_cast<Function>(static_cast<long long>(data[i]));
  data[i] = function(data[i]);  // HERE
}

// branch out of range <<<1, 32>>>
// A table of two labels, and a number from 0 to 2.
extern "C" __global__ void label_that_does_not_exist(int* data) {
  int x = data[threadIdx.x] % (2 + DEFECT);
  asm volatile(  // HERE
      "{\n"
      "table: .branchtargets zero, one;\n"
      "brx.idx %0, table;\n"
      "zero: mov.u32 %0, 7; bra end;\n"
      "one: mov.u32 %0, 8;\n"
      "end:\n"
      "}"
      : "+r"(x));
  data[threadIdx.x] = x;
}

__device__ __noinline__ int depth(const int* data, int n) {
  int mine[64];
  for (int k = 0; k < 64; k++) mine[(k + n) & 63] = data[k];
  if (n >= 2 * (1 + DEFECT * 100000)) return mine[n & 63];
  return depth(data, n + 1) + mine[(n + data[3]) & 63];  // HERE
}

// stack overflow <<<1, 32>>>
// A recursion without an end, for all practical purposes.
extern "C" __global__ void recursion_with_an_array(int* data) {
  data[threadIdx.x + 64] = depth(data, 0);
}

__device__ __noinline__ int count_up(const int* data, int n) {
  if (n == data[9]) return n;
  return 3 * count_up(data, n + 1) + data[n & 63];  // HERE
}

// stack overflow <<<1, 32>>>
// Counting up to 9 from 10 on. A call needs memory even if it is only for its return.
extern "C" __global__ void recursion_without_an_array(int* data) {
  data[threadIdx.x + 64] = count_up(data, DEFECT ? 10 : 0);
}
