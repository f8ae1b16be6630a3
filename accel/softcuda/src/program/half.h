// Floating-point numbers of 16 bits: those of IEEE 754, and bfloat16, the upper half of a float.
#pragma once

#include "elementary.h"
#include "rounding.h"

namespace softcuda {

inline float half_to_float(uint16_t half) {
  const uint32_t sign = static_cast<uint32_t>(half & 0x8000) << 16;
  const uint32_t size = half & 0x7FFFu;
  // Exponents differ by 112, those of infinity and NaN by twice that; a subnormal half is normal as
  // a float, and found by subtracting the implicit bit again.
  const uint32_t shifted = size << 13;
  const uint32_t normal = shifted + (112u << 23);
  const float subnormal = from_lane<float>(shifted + (113u << 23)) - 0x1p-14f;
  uint32_t bits = size < 0x400u ? to_lane(subnormal) : normal;
  bits = size >= 0x7C00u ? normal + (112u << 23) : bits;
  return from_lane<float>(bits | sign);
}

// To nearest, ties to even: what floats usually become halves by. NaN becomes the canonical one.
inline uint16_t nearest_half(float x) {
  const uint32_t bits = to_lane(x) & 0x7FFFFFFF;
  // Half of the last bit that stays, less one if that bit is 0: a tie goes up only to an even one.
  const uint32_t rounded = bits + 0xFFF + ((bits >> 13) & 1);
  const uint32_t normal = (rounded - (112u << 23)) >> 13;
  // Below 2^-14 the last bit that stays is that of 1 / 2 as a float.
  const uint32_t subnormal = to_lane(from_lane<float>(bits) + 0.5f) - to_lane(0.5f);
  uint32_t half = bits < (113u << 23) ? subnormal : normal;
  half = bits >= (143u << 23) ? 0x7C00 : half;
  half |= (to_lane(x) >> 16) & 0x8000;
  return static_cast<uint16_t>(bits > 0x7F800000 ? 0x7FFF : half);
}

// x in the mode `rounding`, which must be the one that holds. NaN becomes the canonical one.
inline uint16_t half_from(double x, Rounding rounding) {
  // All that is too large is so after this, too.
  const double above = x > -0x1p20 ? x : -0x1p20, near = above < 0x1p20 ? above : 0x1p20;
  // A number whose last bit is the distance of halves around x: added and subtracted again, it
  // rounds x.
  const double size = std::fabs(near) < 0x1p-14 ? 0x1p-14 : std::fabs(near);
  const double last = 1.5 * double_of((bits_of(size) & 0x7FF0000000000000) + (42ull << 52));
  const double rounder = std::copysign(last, near);  // so that towards zero stays that
  const double rounded = std::fabs((near + rounder) - rounder);
  const uint64_t normal = (bits_of(rounded) >> 42) - (1008u << 10);
  const uint64_t subnormal = bits_of(rounded * 0x1p24 + 0x1p52) & 0x7FF;
  uint64_t result = rounded < 0x1p-14 ? subnormal : normal;
  const bool ends =
      rounding == Rounding::kZero || rounding == (x < 0 ? Rounding::kUp : Rounding::kDown);
  const bool is_infinite = std::fabs(x) == std::numeric_limits<double>::infinity();
  result = rounded > 65504.0 ? (ends && !is_infinite ? 0x7BFF : 0x7C00) : result;
  result |= bits_of(x) >> 63 << 15;
  return static_cast<uint16_t>(x != x ? 0x7FFF : result);
}

// bfloat16 as a float.
inline float brain_to_float(uint16_t brain) { return from_lane<float>(uint32_t{brain} << 16); }

// To nearest, or cut off. NaN becomes the canonical one.
inline uint16_t brain_from(float x, bool is_cut) {
  const uint32_t bits = to_lane(x);
  const uint32_t half = is_cut ? 0 : 0x7FFF + ((bits >> 16) & 1);
  return static_cast<uint16_t>(x != x ? 0x7FFF : (bits + half) >> 16);
}

}  // namespace softcuda
