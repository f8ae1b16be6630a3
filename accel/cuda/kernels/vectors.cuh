// Sixteen bytes at a time, multiply-add in one rounding, and sums as binary trees.
#pragma once

namespace refrnn {

constexpr unsigned kWholeWarp = 0xffffffffu;

// As many numbers as one load of a thread brings.
template <class T>
struct alignas(16) Vector {
  static constexpr int kSize = 16 / sizeof(T);
  T at[kSize];
};

// One store to shared memory, which the compiler would take apart where it has moved others between
// its words: they would then want the same banks.
__device__ inline void store_shared(Vector<float>* to, const Vector<float>& vector) {
  asm volatile("st.shared.v4.f32 [%0], {%1, %2, %3, %4};" ::"l"(__cvta_generic_to_shared(to)),
               "f"(vector.at[0]), "f"(vector.at[1]), "f"(vector.at[2]), "f"(vector.at[3])
               : "memory");
}
__device__ inline void store_shared(Vector<double>* to, const Vector<double>& vector) {
  asm volatile("st.shared.v2.f64 [%0], {%1, %2};" ::"l"(__cvta_generic_to_shared(to)),
               "d"(vector.at[0]), "d"(vector.at[1])
               : "memory");
}

__device__ inline float multiply_add(float a, float b, float c) { return __fmaf_rn(a, b, c); }
__device__ inline double multiply_add(double a, double b, double c) { return __fma_rn(a, b, c); }

__host__ __device__ constexpr int power_of_two_from(int n) {
  int power = 1;
  while (power < n) power *= 2;
  return power;
}

// The sum of terms 0 to N - 1 as a binary tree of which neighbours are added first, and which does
// not depend on SPLIT: thread `part` of SPLIT neighbouring threads asks for its share of the terms,
// and all of them have the sum. Terms from N to the next power of two are zero.
template <int N, int SPLIT, class T, class Term>
__device__ inline T tree_sum(int part, Term term) {
  constexpr int kLeaves = power_of_two_from(N);
  constexpr int kShare = kLeaves > SPLIT ? kLeaves / SPLIT : 1;
  T sum[kShare];
#pragma unroll
  for (int n = 0; n < kShare; ++n) {
    const int leaf = part * kShare + n;
    sum[n] = leaf < N ? term(leaf) : T(0);
  }
#pragma unroll
  for (int width = 1; width < kShare; width *= 2) {
#pragma unroll
    for (int n = 0; n < kShare; n += 2 * width) sum[n] += sum[n + width];
  }
#pragma unroll
  for (int offset = 1; offset < SPLIT; offset *= 2) {
    sum[0] += __shfl_xor_sync(kWholeWarp, sum[0], offset);
  }
  return sum[0] + T(0);  // -0, which depends on which terms there were, becomes 0
}

// Rows of terms in shared memory, COUNT of ROW numbers each: so far apart that the threads that sum
// as tree_sum has it, SPLIT for each column, want different banks.
template <class T, int COUNT, int SPLIT, int ROW>
struct TermRows {
  static constexpr int kLeaves = power_of_two_from(COUNT);
  static constexpr int kParts = kLeaves < SPLIT ? kLeaves : SPLIT, kShare = kLeaves / kParts;
  static constexpr int kBanks = 128 / sizeof(T);  // numbers that all banks hold together
  static constexpr int kGap = (kBanks / kParts + kBanks - kShare * ROW % kBanks) % kBanks;
  static constexpr int kSize = kLeaves * ROW + kParts * kGap;
  static_assert(kGap * sizeof(T) % 16 == 0);  // rows stay aligned

  __device__ static int of(int term) { return term * ROW + term / kShare * kGap; }
};

}  // namespace refrnn
