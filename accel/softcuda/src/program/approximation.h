// Results of .approx instructions, moved away from the exact ones as far as PTX allows.
#pragma once

#include <cmath>
#include <cstring>
#include <limits>

#include "decoder.h"

namespace softcuda {

void decode_approximate_div(Decoder& d, Modifiers& mods);
void decode_approximate_rcp(Decoder& d, Modifiers& mods);
void decode_approximate_sqrt(Decoder& d, Modifiers& mods);
void add_approximations(OpcodeTable& table);

// A number in [-1, 1) that hangs on nothing but the seed, the instruction and its operands' bits.
inline double displacement(uint64_t seed, uint64_t instruction, uint64_t a, uint64_t b) {
  uint64_t mixed = seed;
  for (const uint64_t part : {instruction, a, b}) {
    mixed = (mixed ^ part) + 0x9E3779B97F4A7C15;
    mixed = (mixed ^ (mixed >> 30)) * 0xBF58476D1CE4E5B9;
    mixed = (mixed ^ (mixed >> 27)) * 0x94D049BB133111EB;
    mixed ^= mixed >> 31;
  }
  return static_cast<double>(static_cast<int64_t>(mixed)) * 0x1p-63;
}

// The distance of floats around a number.
inline double float_ulp(double x) {
  const double size = std::fabs(x);
  if (size < std::numeric_limits<float>::min()) return 0x1p-149;
  int exponent;
  std::frexp(size, &exponent);
  return std::ldexp(1.0, exponent - 24);
}

// A float that is no farther than `bound` from `value`, on the side of it that `where` in [-1, 1)
// names, and not `value` itself if there is another; `exact` if there is none.
inline float displaced(float exact, double value, double bound, double where) {
  if (!(bound > 0)) return exact;
  const double target = value + where * bound;
  const float end =
      where < 0 ? -std::numeric_limits<float>::infinity() : std::numeric_limits<float>::infinity();
  float result = static_cast<float>(target);
  const bool is_nearer = where < 0 ? result > target : result < target;
  if (is_nearer || result == value) result = std::nextafter(result, end);
  if (std::fabs(result - value) > bound) result = std::nextafter(result, -end);
  return std::isfinite(result) && std::fabs(result - value) <= bound ? result : exact;
}

}  // namespace softcuda
