// Rounding modes, subnormal numbers and saturation, as floating-point instructions have them.
#pragma once

#include <cfenv>
#include <cmath>
#include <limits>

#include "decoder.h"
#include "lanes.h"
#if defined(__SSE2__)
#include <xmmintrin.h>
#endif

namespace softcuda {

// The rounding mode of this thread while the object lives.
//
// A handler reads rows after it has been made and writes rows before it ends. The barriers keep the
// compiler to that, and so the arithmetic in between to the mode, although it is compiled like all
// else: no handler has a constant expression to be folded for another mode.
class RoundingScope {
 public:
#if defined(__SSE2__)
  explicit RoundingScope(Rounding rounding) : before_(_mm_getcsr()) {
    constexpr unsigned kField = 0x6000;
    constexpr unsigned kFields[] = {0x0000, 0x6000, 0x2000, 0x4000};
    _mm_setcsr((before_ & ~kField) | kFields[static_cast<size_t>(rounding)]);
    barrier();
  }
  ~RoundingScope() {
    barrier();
    _mm_setcsr(before_);
  }
#else
  explicit RoundingScope(Rounding rounding) : before_(std::fegetround()) {
    constexpr int kModes[] = {FE_TONEAREST, FE_TOWARDZERO, FE_DOWNWARD, FE_UPWARD};
    std::fesetround(kModes[static_cast<size_t>(rounding)]);
    barrier();
  }
  ~RoundingScope() {
    barrier();
    std::fesetround(before_);
  }
#endif
  RoundingScope(const RoundingScope&) = delete;
  RoundingScope& operator=(const RoundingScope&) = delete;

 private:
  static void barrier() { asm volatile("" ::: "memory"); }
#if defined(__SSE2__)
  unsigned before_;
#else
  int before_;
#endif
};

// Floating-point arithmetic of this thread as PTX has it, while the object lives: to nearest, with
// subnormal numbers. The program that launches a kernel may have other wishes.
class FloatingPointScope {
 public:
  FloatingPointScope() {
    std::fegetenv(&before_);
    std::fesetenv(FE_DFL_ENV);
  }
  ~FloatingPointScope() { std::fesetenv(&before_); }
  FloatingPointScope(const FloatingPointScope&) = delete;
  FloatingPointScope& operator=(const FloatingPointScope&) = delete;

 private:
  std::fenv_t before_;
};

// The handler `run`, with the rounding mode that stands in Instruction::immediate.
template <Handler run>
void directed(Warp& w, const Instruction& i, Mask m) {
  const RoundingScope scope(static_cast<Rounding>(i.immediate));
  run(w, i, m);
}

// Subnormal numbers become zeros of their sign.
template <class T>
inline T flush(T x) {
  return std::fabs(x) < std::numeric_limits<T>::min() ? std::copysign(T{0}, x) : x;
}

// Into [0, 1]. NaN becomes +0, as -0 does.
template <class T>
inline T saturate(T x) {
  const T above = x > T{0} ? x : T{0};
  return above < T{1} ? above : T{1};
}

// What "rn", "rz", "rm" and "rp" stand for; to nearest for what is none of them.
inline Rounding rounding_named(const std::string& word) {
  return word == "rz"   ? Rounding::kZero
         : word == "rm" ? Rounding::kDown
         : word == "rp" ? Rounding::kUp
                        : Rounding::kNearest;
}

}  // namespace softcuda
