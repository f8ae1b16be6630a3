// Floating point: rounding, conversions, functions.
#include <cuda_fp16.h>
#define KERNEL extern "C" __global__ void

KERNEL waves(unsigned*, float* b, double*, int n) {
  const int i = blockIdx.x * blockDim.x + threadIdx.x;
  if (i < n) b[i] = sinf(b[i] * 1e5f) + cosf(b[n - 1 - i]) * tanhf(b[i]);
}

KERNEL powers(unsigned*, float* b, double* d, int n) {
  const int i = blockIdx.x * blockDim.x + threadIdx.x;
  if (i >= n) return;
  b[i] = powf(fabsf(b[i]), 0.25f) + cbrtf(b[i]) + rsqrtf(fabsf(b[i]) + 2) + erff(b[i]);
  d[i] = exp(-d[i] * d[i]) + log(fabs(d[i]) + 1) + sqrt(fabs(d[i])) + fmod(d[i], 3.0);
}

KERNEL shapes(unsigned*, float* b, double* d, int n) {
  const int i = blockIdx.x * blockDim.x + threadIdx.x;
  if (i >= n) return;
  const float x = b[i], y = float(i) - 20;
  b[i] = floorf(x) - ceilf(y) + rintf(x) + truncf(y) + fminf(x, y) * fmaxf(x, 0.5f) +
         copysignf(x, y) + (x != x ? 1.0f : 0.0f) + fmodf(x, y);
  d[i] = floor(d[i]) + fmin(d[i], 0.5) + copysign(d[i], double(y)) + (d[i] > 3 ? 1.0 : d[i]);
}

KERNEL rounding(unsigned* a, float* b, double* d, int n) {
  const int i = blockIdx.x * blockDim.x + threadIdx.x;
  if (i >= n) return;
  const float x = b[i], y = b[n - 1 - i] + 0.1f;
  const double u = d[i], v = d[n - 1 - i] + 0.1;
  b[i] = __fadd_rd(x, y) + __fmul_ru(x, y) + __fmaf_rz(x, y, 3.0f) + __fdiv_rn(x, y) +
         __frcp_ru(y) + __fsqrt_rd(fabsf(x)) + __fdividef(x, y) + __expf(x) + __logf(fabsf(y)) +
         __saturatef(x) + __sinf(y) + float(u) + __double2float_rd(v);
  d[i] = __dadd_ru(u, v) - __dmul_rz(u, v) + __fma_rd(u, v, 1.0) + u / v + __drcp_rn(v) +
         __dsqrt_ru(fabs(u)) + double(x);
  a[i] = __float2int_rz(x) + __float2uint_ru(fabsf(y)) + int(__double2ll_rn(u)) +
         unsigned(__float_as_int(y)) + __double2hiint(v) + (isinf(x) ? 3 : 0) + (isnan(y) ? 5 : 0);
  const __half h = __float2half(x);
  b[(i + 1) % n] += __half2float(h) + __int2float_ru(i * 1000003);
}
