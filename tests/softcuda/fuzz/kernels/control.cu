// Control flow: loops, tables, calls, recursion, and the functions of the device's library.
#include <assert.h>
#include <stdio.h>
#define KERNEL extern "C" __global__ void

__device__ __noinline__ unsigned ackermann(unsigned m, unsigned n) {
  if (m == 0) return n + 1;
  return n == 0 ? ackermann(m - 1, 1) : ackermann(m - 1, ackermann(m, n - 1));
}

struct Pair {
  double x;
  int k[5];
};
__device__ __noinline__ Pair passed_by_value(Pair p, char c) {
  p.x += c;
  p.k[2] *= 3;
  return p;
}

KERNEL calls(unsigned* a, float*, double* d, int n) {
  const int i = threadIdx.x;
  Pair p = {d[i % n], {i, 2, 3, 4, 5}};
  p = passed_by_value(p, char(i));
  d[i % n] = p.x + p.k[2] + p.k[i % 5];
  a[i % n] = ackermann(i % 3, 2);
}

KERNEL ways(unsigned* a, float*, double*, int n) {
  const int i = threadIdx.x;
  unsigned x = a[i % n];
  switch (i % 11) {
    case 0: x += 17; break;
    case 1: x ^= 0x55; break;
    case 2: x = x * 3 + 1; break;
    case 3: x = ~x; break;
    case 4: x = x << 3 | x >> 29; break;
    case 5: x -= a[(i + 3) % n]; break;
    case 6: x /= 3; break;
    case 7: x = __popc(x); break;
    case 8: x *= x; break;
    case 9: x = x & 0xFF00; break;
    default: x = 0;
  }
  for (int k = 0; k < i % 7; ++k) {
    if (x % 5 == 3) continue;
    if (x % 31 == 7) break;
    x = x * 1664525u + 1013904223u;
  }
  a[i % n] = x;
}

KERNEL library(unsigned* a, float* b, double*, int n) {
  const int i = threadIdx.x;
  assert(n > 0);
  if (i == 3 && n == 1) __trap();
  int* own = static_cast<int*>(malloc(16));
  if (own != nullptr) {
    own[1] = i;
    a[i % n] += own[1];
    free(own);
  }
  if (i == 0 && blockIdx.x == 0) printf("%d %s %5.2f\n", n, "text", double(b[0]));
}
