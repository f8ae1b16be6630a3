// exp, sigmoid, tanh and the derivatives of the last two: the same bits on host and device.
//
// Nothing of libm or libdevice: fused multiply-adds, IEEE operations and integers (value.h),
// without a branch, so that T may be a vector. No product is added to anything unless it is exact:
// these functions, unlike what is around them, do not depend on whether a compiler contracts. Of
// every function holds:
//   - NaN gives a NaN (of any bits), infinities give the limits, tanh(-0) is -0;
//   - subnormal numbers are neither taken nor given for 0;
//   - the bounds below hold for every argument. An ulp is the distance between the two numbers of
//     the type around the exact result, subnormal ones among them.
//
// The largest errors in ulps: of float over all 2^32 arguments
// (tests/cuda/pointwise_exhaustive.cpp), of double over 60 million, random ones and hard ones; and
// the bounds that the tests assert.
//
//                          float     double     bound
//   exp                    1.05      1.07       1.25
//   sigmoid                1.67      1.67       2
//   tanh                   1.52      1.51       2
//   sigmoid_derivative     2.38      2.34       3
//   sech2                  2.38      2.44       3
//
// What they are made of: r, 1 + expm1(r) and what is done after are each rounded once, half an ulp;
// the polynomials themselves add an eighth of one to exp, and a quarter at most to tanh.
#pragma once

#include <refrnn/value.h>

namespace refrnn {

namespace pointwise {

template <class T>
struct Constants {
  static_assert(is_value<T>, "a value is a float, a double or a vector of them");
};

// The numbers of `log2_e`, ln(2) and the polynomials are what tests/cuda/pointwise_coefficients.py
// prints (a minimax fit, rounded to the type).
template <>
struct Constants<float> {
  static constexpr int fraction_bits = 23;
  static constexpr int exponent_bias = 127;
  static constexpr float log2_e = 0x1.715476p+0f;
  static constexpr float ln2_high = 0x1.62e43p-1f;
  static constexpr float ln2_low = -0x1.05c61p-29f;
  static constexpr float lowest = -106.0f;  // 4 exp(x) rounds to 0 from here down
  static constexpr float highest = 89.0f;   // exp(x) is infinite from here up
  static constexpr int lift = 30;           // 2^(n + lift) is normal for every n >= lowest / ln(2)
};

template <>
struct Constants<double> {
  static constexpr int fraction_bits = 52;
  static constexpr int exponent_bias = 1023;
  static constexpr double log2_e = 0x1.71547652b82fep+0;
  static constexpr double ln2_high = 0x1.62e42fefa39efp-1;
  static constexpr double ln2_low = 0x1.abc9e3b39803fp-56;
  static constexpr double lowest = -748.0;
  static constexpr double highest = 710.0;
  static constexpr int lift = 60;
};

// The polynomial in x with these coefficients, the highest first, by Horner's rule.
template <class T>
REFRNN_EVERYWHERE T polynomial(T, T sum) {
  return sum;
}
template <class T, class... Rest>
REFRNN_EVERYWHERE T polynomial(T x, T sum, Lane<T> next, Rest... rest) {
  return polynomial(x, fma(sum, x, broadcast<T>(next)), rest...);
}

// expm1(r) = r + r^2 q(r) for |r| <= 0.3467 (ln(2) / 2 and what rounding may add to it). Before
// rounding it is off by less than 2^-25.8 (float) and 2^-54.7 (double) of expm1(r).
template <class T>
REFRNN_EVERYWHERE T expm1_near_0(T r) {
  T q;
  if constexpr (std::is_same_v<Lane<T>, float>) {
    q = polynomial(r, broadcast<T>(0x1.6becp-10f), 0x1.12279cp-7f, 0x1.555674p-5f, 0x1.5554bp-3f,
                   0x1.fffffep-2f);
  } else {
    q = polynomial(r, broadcast<T>(0x1.ae6ba93ab2bb5p-26), 0x1.28a1f951f1b79p-22,
                   0x1.71de881b3d27ap-19, 0x1.a019a7571dd37p-16, 0x1.a01a017503cd6p-13,
                   0x1.6c16c17ee331p-10, 0x1.1111111118fedp-7, 0x1.555555555229dp-5,
                   0x1.5555555555539p-3, 0x1.0000000000005p-1);
  }
  return fma(r * r, q, r);
}

// tanh(a) = a + a^3 q(a^2) for |a| <= 0.55, off by less than 2^-27.7 (float) and 2^-55.0 (double)
// of tanh(a).
template <class T>
REFRNN_EVERYWHERE T tanh_near_0(T a) {
  const T z = a * a;
  T q;
  if constexpr (std::is_same_v<Lane<T>, float>) {
    q = polynomial(z, broadcast<T>(-0x1.9b304ap-8f), 0x1.593d08p-6f, -0x1.b9287ap-5f,
                   0x1.110d26p-3f, -0x1.55554ap-2f);
  } else {
    q = polynomial(z, broadcast<T>(0x1.ac0040c43c3d5p-15), -0x1.b90968b332232p-13,
                   0x1.2fa27aeb1022dp-11, -0x1.7cf3bae042783p-10, 0x1.d6c61d620ea15p-9,
                   -0x1.226ddd4510e9p-7, 0x1.664f45c2b8f9p-6, -0x1.ba1ba1ad70a45p-5,
                   0x1.1111111102962p-3, -0x1.555555555549ep-2);
  }
  return fma(a * z, q, a);
}

template <class T>
REFRNN_EVERYWHERE constexpr Lane<T> power_of_2(int n) {
  Lane<T> x = 1;
  for (; n > 0; --n) x *= 2;
  for (; n < 0; ++n) x /= 2;
  return x;
}

// 2^k exp(x) for lowest <= x <= highest, as the product of two numbers, of which the second is
// 2^(n + lift) / 2^lift: 2^n itself may be too large or too small. What is passed are
// `rounder<T>(lift)` and 2^(k - lift).
//
// x = n ln(2) + r, n an integer and |r| <= ln(2) / 2. Adding 1.5 * 2^fraction_bits rounds x / ln(2)
// to n and leaves it, and the bias of the exponent that was added too, in the last bits of the sum,
// from where one shift makes them the exponent of a power of 2. ln(2) is the sum of two numbers: n
// times the first is subtracted without error, since r needs no more bits than T has.
template <class T>
REFRNN_EVERYWHERE constexpr Lane<T> rounder(int lift) {
  using C = Constants<Lane<T>>;
  return static_cast<Lane<T>>((std::int64_t{3} << (C::fraction_bits - 1)) + C::exponent_bias +
                              lift);
}
template <class T>
REFRNN_EVERYWHERE T scaled_exp(T x, T rounder, T unlift) {
  using C = Constants<Lane<T>>;
  const T rounded = fma(x, broadcast<T>(C::log2_e), rounder);
  const T n = rounded - rounder;
  T r = fma(n, broadcast<T>(-C::ln2_high), x);
  r = fma(n, broadcast<T>(-C::ln2_low), r);
  const T lifted_power = from_bits<T>(bits_of(rounded) << C::fraction_bits);
  // The first product is exact, the second is but where it is subnormal.
  return (expm1_near_0(r) + 1) * lifted_power * unlift;
}

// 2^k exp(x) for x <= 0, rounded as if exp(x) were normal where the result is.
template <int k, class T>
REFRNN_EVERYWHERE T scaled_exp_of_negative(T x) {
  using C = Constants<Lane<T>>;
  constexpr Lane<T> lifting = rounder<T>(C::lift), unlift = power_of_2<T>(k - C::lift);
  const T lowest = broadcast<T>(C::lowest);
  x = select(x < lowest, lowest, x);
  return scaled_exp(x, broadcast<T>(lifting), broadcast<T>(unlift));
}

// 2^k e / (1 + e)^2 with e = exp(x), x <= 0; (1 + e)^2 is 1 + e (2 + e), which rounds less.
template <int k, class T>
REFRNN_EVERYWHERE T logistic_density(T x) {
  constexpr Lane<T> unscale = power_of_2<T>(-k);
  const T scaled = scaled_exp_of_negative<k>(x);
  const T e = scaled * unscale;
  return scaled / fma(e, e + 2, broadcast<T>(1));
}

}  // namespace pointwise

// e^x.
template <class T>
REFRNN_EVERYWHERE T exp(T x) {
  using C = pointwise::Constants<Lane<T>>;
  constexpr Lane<T> lifting = pointwise::rounder<T>(C::lift);
  constexpr Lane<T> dropping = pointwise::rounder<T>(-C::lift);
  constexpr Lane<T> unlift = pointwise::power_of_2<T>(-C::lift);
  constexpr Lane<T> undrop = pointwise::power_of_2<T>(C::lift);
  const T lowest = broadcast<T>(C::lowest), highest = broadcast<T>(C::highest);
  x = select(x < lowest, lowest, x);
  x = select(x > highest, highest, x);
  const auto is_negative = x < broadcast<T>(0);
  const T rounder = select(is_negative, broadcast<T>(lifting), broadcast<T>(dropping));
  const T unscale = select(is_negative, broadcast<T>(unlift), broadcast<T>(undrop));
  return pointwise::scaled_exp(x, rounder, unscale);
}

// 1 / (1 + exp(-a)) = w (1 - t) with t = e / (1 + e), e = exp(-|a|), and w = e where a < 0, else 1:
// e cannot overflow, and t, which is rounded thrice, matters little where e is small.
template <class T>
REFRNN_EVERYWHERE T sigmoid(T a) {
  const T e = pointwise::scaled_exp_of_negative<0>(-absolute(a));
  const T t = e / (e + 1);
  const T w = select(a < broadcast<T>(0), e, broadcast<T>(1));
  return fma(-w, t, w);
}

// 1 - sigmoid(a) = sigmoid(-a), without cancellation.
template <class T>
REFRNN_EVERYWHERE T sigmoid_complement(T a) {
  return sigmoid(-a);
}

// sigmoid'(a) = sigmoid(a) sigmoid(-a) = e / (1 + e)^2 with e = exp(-|a|).
template <class T>
REFRNN_EVERYWHERE T sigmoid_derivative(T a) {
  return pointwise::logistic_density<0>(-absolute(a));
}

// Up to 0.55, where tanh(a) has come to 1/2, a polynomial; beyond, sign(a) (1 - 2e / (1 + e)) with
// e = exp(-2|a|), where nothing cancels.
template <class T>
REFRNN_EVERYWHERE T tanh(T a) {
  const T size = absolute(a);
  const T twice_e = pointwise::scaled_exp_of_negative<1>(size * -2);
  const T far = 1 - twice_e / fma(twice_e, broadcast<T>(0.5), broadcast<T>(1));
  const T near = pointwise::tanh_near_0(size);
  return with_sign_of(select(size < broadcast<T>(Lane<T>(0.55)), near, far), a);
}

// tanh'(a) = sech(a)^2 = 4e / (1 + e)^2 with e = exp(-2|a|).
template <class T>
REFRNN_EVERYWHERE T sech2(T a) {
  return pointwise::logistic_density<2>(absolute(a) * -2);
}

}  // namespace refrnn
