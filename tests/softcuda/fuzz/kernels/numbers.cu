// Integers: arithmetic, carries, bits, comparisons.
#define KERNEL extern "C" __global__ void

KERNEL arithmetic(unsigned* a, float*, double* d, int n) {
  const int i = blockIdx.x * blockDim.x + threadIdx.x;
  if (i >= n) return;
  const int x = int(a[i]), y = int(a[n - 1 - i]) | 1;
  const long long wide = (long long)x * y + (long long)i * 12345678901LL;
  const unsigned long long u = (unsigned long long)a[i] << (y & 63);
  int r = x / y + x % y + min(x, y) - max(x, y + 3) + abs(y) + __mulhi(x, y) + (x >> (y & 31));
  r += int(unsigned(x) / unsigned(y)) ^ int(unsigned(x) % 7u) ^ __umulhi(x, y) ^ __mul24(x, y);
  r += __sad(x, y, 5u) + __usad(x, y, 6u) + __hadd(x, y) + __rhadd(x, y);
  r += int(wide / (y | 5)) + int(u % 1000003u) + int(wide >> 7) + int(u >> 9);
  r += (signed char)x * (short)y + (unsigned char)x - (unsigned short)y;
  a[i] = unsigned(r);
  d[i] = double(wide) + double(u);
}

KERNEL bits(unsigned* a, float* b, double*, int n) {
  const int i = blockIdx.x * blockDim.x + threadIdx.x;
  if (i >= n) return;
  unsigned x = a[i], y = a[(i + 1) % n];
  const unsigned long long w = (unsigned long long)x << 32 | y;
  unsigned r = __popc(x) + __clz(y) + __ffs(int(x)) + __brev(y) + __popcll(w) + __clzll(w);
  r ^= __byte_perm(x, y, 0x5410 + i) + __funnelshift_l(x, y, i) - __funnelshift_rc(x, y, i + 20);
  r ^= (x & y) | (~x ^ (y << 3)) | (x & ~(y >> (i & 7)));
  asm("bfe.u32 %0, %1, 3, 9;" : "=r"(x) : "r"(x));
  asm("bfi.b32 %0, %1, %2, 5, 11;" : "=r"(y) : "r"(y), "r"(r));
  asm("lop3.b32 %0, %1, %2, %0, 0xE8;" : "+r"(r) : "r"(x), "r"(y));
  asm("dp4a.u32.s32 %0, %1, %2, %0;" : "+r"(r) : "r"(x), "r"(y));
  asm("bfind.shiftamt.u32 %0, %1;" : "=r"(x) : "r"(x | 1));
  asm("szext.wrap.s32 %0, %1, 13;" : "=r"(y) : "r"(y));
  asm("bmsk.clamp.b32 %0, %1, 7;" : "=r"(x) : "r"(x));
  asm("cnot.b32 %0, %1;" : "=r"(y) : "r"(y));
  a[i] = r + x * 3 + y;
  b[i] = float(w) + __int_as_float(int(r & 0x3FFFFFFF));
}

KERNEL carries(unsigned* a, float*, double*, int n) {
  const int i = blockIdx.x * blockDim.x + threadIdx.x;
  if (i >= n) return;
  unsigned low = a[i], middle = 7, high = ~0u - i;
  asm("add.cc.u32 %0, %0, 0x80000001;\n\taddc.cc.u32 %1, %1, %3;\n\taddc.u32 %2, %2, 0;"
      : "+r"(low), "+r"(middle), "+r"(high) : "r"(unsigned(i)));
  asm("sub.cc.u32 %0, %0, 3;\n\tsubc.u32 %1, %1, 4;" : "+r"(low), "+r"(middle));
  asm("mad.lo.cc.u32 %0, %2, %3, %0;\n\tmadc.hi.u32 %1, %2, %3, %1;"
      : "+r"(low), "+r"(high) : "r"(middle), "r"(unsigned(i) * 77777u));
  asm("{ .reg .pred p, q; setp.lt.and.s32 p|q, %0, %1, 1; @p add.u32 %0, %0, 1;"
      " selp.b32 %1, %0, %1, q; set.gt.u32.s32 %2, %0, %1; slct.u32.s32 %0, %1, %2, %0; }"
      : "+r"(low), "+r"(middle), "+r"(high));
  a[i] = low ^ middle ^ high;
}
