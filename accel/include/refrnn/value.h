// What a value is to refrnn/pointwise.h: float, double, or a vector of them (GCC's vector
// extension), with the few operations that no operator stands for.
//
// Formulas are written once and have the same bits everywhere: an operator rounds once, and a fused
// multiply-add is asked for by name. The host is compiled with -ffp-contract=off, the device with
// -fmad=false; neither with what breaks IEEE arithmetic, such as -ffast-math or -use_fast_math.
#pragma once

#include <cstdint>
#include <cstring>
#include <type_traits>
#include <utility>

#if defined(__FAST_MATH__)
#error "refrnn/value.h needs IEEE arithmetic: compile without -ffast-math and -use_fast_math"
#endif

#if defined(__CUDACC__)
#define REFRNN_EVERYWHERE __host__ __device__ inline
#else
#define REFRNN_EVERYWHERE inline
#endif

namespace refrnn {

// The type of a lane: T itself, or what T is a vector of.
template <class T, class = void>
struct LaneOf {
  using type = T;
};
template <class T>
struct LaneOf<T, std::enable_if_t<!std::is_pointer_v<T>,
                                  std::void_t<decltype(std::declval<const T&>()[0])>>> {
  using type = std::decay_t<decltype(std::declval<const T&>()[0])>;
};
template <class T>
using Lane = typename LaneOf<T>::type;

template <class T>
inline constexpr bool is_value = std::is_same_v<Lane<T>, float> || std::is_same_v<Lane<T>, double>;
template <class T>
inline constexpr bool is_vector = !std::is_same_v<T, Lane<T>>;

// Unsigned integers of the size of T's lanes, as many as it has.
template <class T, bool = is_vector<T>>
struct BitsOf {
  static_assert(is_value<T>, "a value is a float, a double or a vector of them");
  using type = std::conditional_t<sizeof(T) == sizeof(std::uint32_t), std::uint32_t, std::uint64_t>;
};
#if defined(__GNUC__)
template <class T>
struct BitsOf<T, true> {
  static_assert(is_value<T>, "a value is a float, a double or a vector of them");
  using type __attribute__((vector_size(sizeof(T)))) = typename BitsOf<Lane<T>>::type;
};
#endif
template <class T>
using Bits = typename BitsOf<T>::type;

template <class T>
REFRNN_EVERYWHERE Bits<T> bits_of(T x) {
  Bits<T> bits;
  std::memcpy(&bits, &x, sizeof x);
  return bits;
}

template <class T>
REFRNN_EVERYWHERE T from_bits(Bits<T> bits) {
  T x;
  std::memcpy(&x, &bits, sizeof x);
  return x;
}

// The same number in every lane (a number plus 0 is itself, but for -0).
template <class T>
REFRNN_EVERYWHERE T broadcast(Lane<T> x) {
  if constexpr (is_vector<T>) {
    return T{} + x;
  } else {
    return x;
  }
}

// Where the condition holds `yes`, elsewhere `no`: both are computed. The condition is what a
// comparison of two T gives, a bool or a vector of integers. Comparisons with NaN are false.
template <class Condition, class T>
REFRNN_EVERYWHERE T select(Condition condition, T yes, T no) {
  return condition ? yes : no;
}

// a * b + c, rounded once.
template <class T>
REFRNN_EVERYWHERE T fma(T a, T b, T c) {
  static_assert(is_value<T>, "a value is a float, a double or a vector of them");
  if constexpr (is_vector<T>) {
    T result = c;
    for (unsigned lane = 0; lane < sizeof(T) / sizeof(Lane<T>); ++lane) {
      result[lane] = fma<Lane<T>>(a[lane], b[lane], c[lane]);
    }
    return result;
  } else if constexpr (std::is_same_v<T, float>) {
#if defined(__CUDA_ARCH__)
    return __fmaf_rn(a, b, c);
#else
    return __builtin_fmaf(a, b, c);
#endif
  } else {
#if defined(__CUDA_ARCH__)
    return __fma_rn(a, b, c);
#else
    return __builtin_fma(a, b, c);
#endif
  }
}

// All bits but the sign, or the sign alone.
template <class T>
inline constexpr auto sign_bit = typename BitsOf<Lane<T>>::type{1} << (8 * sizeof(Lane<T>) - 1);

template <class T>
REFRNN_EVERYWHERE T absolute(T x) {
  return from_bits<T>(bits_of(x) & ~sign_bit<T>);
}

// The size of y with the sign of x.
template <class T>
REFRNN_EVERYWHERE T with_sign_of(T y, T x) {
  return from_bits<T>((bits_of(y) & ~sign_bit<T>) | (bits_of(x) & sign_bit<T>));
}

}  // namespace refrnn
