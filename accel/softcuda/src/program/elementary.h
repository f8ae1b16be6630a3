// Elementary functions of a float's range in double arithmetic, written so that the compiler
// computes several lanes at a time. Far more exact than a float: the relative error is below 2e-14,
// and the result rounded to float is the correctly rounded one but for a lane in a million.
//
// Polynomials are Chebyshev interpolations in 40 digits. mul and add are kept apart, so that the
// results are the same on machines with and without fma.
#pragma once

#include <cmath>
#include <cstdint>
#include <cstring>
#include <limits>

namespace softcuda {

inline uint64_t bits_of(double x) {
  uint64_t bits;
  std::memcpy(&bits, &x, sizeof bits);
  return bits;
}

inline double double_of(uint64_t bits) {
  double x;
  std::memcpy(&x, &bits, sizeof x);
  return x;
}

template <size_t terms>
inline double polynomial(const double (&coefficients)[terms], double x) {
  double sum = coefficients[terms - 1];
  for (size_t k = terms - 1; k-- > 0;) sum = sum * x + coefficients[k];
  return sum;
}

// Added and subtracted again, this leaves the nearest integer; in between, the lowest bits of the
// sum are that integer.
constexpr double kRounder = 0x1.8p52;

// 2^x for |x| < 1000.
inline double exp2_within(double x) {
  constexpr double kPower[] = {0x1.000000000003dp+0,  0x1.62e42fefa39f7p-1,  0x1.ebfbdff8149f2p-3,
                               0x1.c6b08d7044119p-5,  0x1.3b2ab72b175efp-7,  0x1.5d87fe908f88ap-10,
                               0x1.43088e257f237p-13, 0x1.ffcb767898503p-17, 0x1.63ef969a77d23p-20,
                               0x1.b6571de305594p-24};
  const double sum = x + kRounder;
  const double power = polynomial(kPower, x - (sum - kRounder));
  return double_of(bits_of(power) + (bits_of(sum) << 52));
}

inline float elementary_exp2(float x) {
  // Beyond these the result is 0 or infinite.
  const float above = x > -200.0f ? x : -200.0f, bounded = above < 200.0f ? above : 200.0f;
  const float result = static_cast<float>(exp2_within(bounded));
  return x == x ? result : x;
}

inline float elementary_log2(float x) {
  // Of (1 + s) / (1 - s), divided by s, in powers of s * s.
  constexpr double kLogarithm[] = {0x1.71547652b82ffp+1, 0x1.ec709dc39ca40p-1, 0x1.2776c516a088ap-1,
                                   0x1.a617568104d9cp-2, 0x1.484fa998203b3p-2, 0x1.0bb80a580910ep-2,
                                   0x1.f17e02bfeb8bap-3};
  constexpr uint64_t kOne = 0x3FF0000000000000, kRootOfHalf = 0x3FE6A09E667F3BCD;
  constexpr float kInfinity = std::numeric_limits<float>::infinity();
  // x = 2^exponent * m with m between the square roots of a half and of two.
  const uint64_t bits = bits_of(x);
  const uint64_t biased = (bits + (kOne - kRootOfHalf)) >> 52;
  const double m = double_of(bits - (biased << 52) + kOne);
  const double exponent = double_of(biased | bits_of(0x1p52)) - (0x1p52 + 1023.0);
  const double s = (m - 1.0) / (m + 1.0);
  float result = static_cast<float>(exponent + s * polynomial(kLogarithm, s * s));
  result = x == kInfinity ? kInfinity : result;
  result = x == 0.0f ? -kInfinity : result;
  return x >= 0.0f ? result : std::numeric_limits<float>::quiet_NaN();
}

// The arguments for which the reduction by multiples of pi / 2 below is exact enough.
constexpr double kFarthestAngle = 0x1p20;

// The sine of x plus so many quarters of a circle.
inline double elementary_sine(double x, uint64_t quarters) {
  constexpr double kSine[] = {0x1.fffffffffffd9p-1,  -0x1.5555555550efdp-3,
                              0x1.1111110bde5aep-7,  -0x1.a019f8a2038bcp-13,
                              0x1.71d7317953bf0p-19, -0x1.a9507e6954dc5p-26};
  constexpr double kCosine[] = {
      0x1.0000000000000p+0,  -0x1.fffffffffff79p-2,  0x1.555555554e7ebp-5, -0x1.6c16c163c5a1ep-10,
      0x1.a019f7fd82f84p-16, -0x1.27df40086b117p-22, 0x1.1b8af4cba7353p-29};
  // pi / 2 in pieces of 33 bits: their products with a number of quarters are exact.
  constexpr double kFirst = 0x1.921fb544p+0, kSecond = 0x1.0b4611a6p-34,
                   kThird = 0x1.3198a2e037073p-69;
  const double sum = x * 0x1.45f306dc9c883p-1 + kRounder;
  const double n = sum - kRounder;
  const double r = ((x - n * kFirst) - n * kSecond) - n * kThird;
  const uint64_t quadrant = bits_of(sum) + quarters;
  const double z = r * r;
  const double sine = r * polynomial(kSine, z), cosine = polynomial(kCosine, z);
  const double result = (quadrant & 1) != 0 ? cosine : sine;
  return double_of(bits_of(result) ^ ((quadrant & 2) << 62));
}

inline float elementary_tanh(float x) {
  constexpr double kSmall[] = {0x1.fffffffffffffp-1, -0x1.555555553ef4dp-2, 0x1.11110d91ee242p-3,
                               -0x1.b9c21a6138dadp-5};
  const float size = std::fabs(x);
  const double a = size < 20.0f ? size : 20.0f;
  const double e = exp2_within(a * 0x1.71547652b82fep+1);  // of 2 a
  const double large = 1.0 - 2.0 / (e + 1.0);
  const double small = a * polynomial(kSmall, a * a);
  const float result = std::copysign(static_cast<float>(a < 0x1p-5 ? small : large), x);
  return x == x ? result : x;
}

}  // namespace softcuda
