// How handlers read and write lanes of a row as C++ values.
#pragma once

#include <type_traits>

#include "../machine/machine.h"

// Before a loop over lanes: none of them reads what another writes.
#if defined(__clang__)
#define SOFTCUDA_INDEPENDENT _Pragma("clang loop vectorize(assume_safety)")
#else
#define SOFTCUDA_INDEPENDENT _Pragma("GCC ivdep")
#endif

namespace softcuda {

__extension__ typedef unsigned __int128 UInt128;

// What a lane of a register holds: 4 bytes, 8 for the 64-bit types, 16 for .b128.
template <class T>
using Lane = std::conditional_t<sizeof(T) == 16, UInt128,
                                std::conditional_t<sizeof(T) == 8, uint64_t, uint32_t>>;

template <class T>
inline T from_lane(Lane<T> lane) {
  if constexpr (std::is_floating_point_v<T>) {
    T value;
    __builtin_memcpy(&value, &lane, sizeof value);
    return value;
  } else {
    return static_cast<T>(lane);
  }
}

template <class T>
inline Lane<T> to_lane(T value) {
  if constexpr (std::is_floating_point_v<T>) {
    Lane<T> lane;
    __builtin_memcpy(&lane, &value, sizeof value);
    return lane;
  } else if constexpr (sizeof(T) == 16) {
    return value;
  } else {
    return static_cast<Lane<T>>(static_cast<std::make_unsigned_t<T>>(value));
  }
}

// A row to read as values of one type.
template <class T>
class In {
 public:
  In(const Warp& warp, Row row) : lanes_(warp.in<Lane<T>>(row)) {}
  T operator[](int lane) const { return from_lane<T>(lanes_[lane]); }

 private:
  const Lane<T>* lanes_;
};

// Write f(lane) to the lanes of the mask. f is evaluated for all lanes: it must have no effect and
// be defined for whatever an idle lane holds.
template <class T, class F>
inline void each_lane(Warp& warp, Row row, Mask mask, F f) {
  Lane<T>* out = warp.out<Lane<T>>(row);
  if (mask == kFullMask) {
    SOFTCUDA_INDEPENDENT
    for (int lane = 0; lane < kLanes; ++lane) out[lane] = to_lane<T>(f(lane));
  } else {
    SOFTCUDA_INDEPENDENT
    for (int lane = 0; lane < kLanes; ++lane) {
      // By bits, not by choice: the compiler does this for several lanes at a time.
      const Lane<T> value = to_lane<T>(f(lane)), before = out[lane];
      const Lane<T> kept = Lane<T>{(mask >> lane) & 1u} - 1;
      out[lane] = (value & ~kept) | (before & kept);
    }
  }
}

// The lanes for which f holds.
template <class F>
inline Mask lanes_where(F f) {
  Mask result = 0;
  for (int lane = 0; lane < kLanes; ++lane) result |= static_cast<Mask>(f(lane) ? 1 : 0) << lane;
  return result;
}

template <class Op, class T>
void unary(Warp& w, const Instruction& i, Mask m) {
  const In<T> a(w, i.a);
  each_lane<T>(w, i.d, m, [&](int l) { return Op::template apply<T>(a[l]); });
}

template <class Op, class T>
void binary(Warp& w, const Instruction& i, Mask m) {
  const In<T> a(w, i.a), b(w, i.b);
  each_lane<T>(w, i.d, m, [&](int l) { return Op::template apply<T>(a[l], b[l]); });
}

template <class Op, class T>
void ternary(Warp& w, const Instruction& i, Mask m) {
  const In<T> a(w, i.a), b(w, i.b), c(w, i.c);
  each_lane<T>(w, i.d, m, [&](int l) { return Op::template apply<T>(a[l], b[l], c[l]); });
}

}  // namespace softcuda
