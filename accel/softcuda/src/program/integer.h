// What the decoders of integer instructions share: products and sums that wrap.
#pragma once

#include "decoder.h"
#include "lanes.h"

namespace softcuda {

__extension__ typedef __int128 Int128;

template <class T>
using Unsigned = std::make_unsigned_t<T>;

struct Add {
  template <class T>
  static T apply(T a, T b) {
    return static_cast<T>(static_cast<Unsigned<T>>(a) + static_cast<Unsigned<T>>(b));
  }
};
struct Sub {
  template <class T>
  static T apply(T a, T b) {
    return static_cast<T>(static_cast<Unsigned<T>>(a) - static_cast<Unsigned<T>>(b));
  }
};
struct MulLow {
  template <class T>
  static T apply(T a, T b) {
    return static_cast<T>(Lane<T>{static_cast<Unsigned<T>>(a)} * static_cast<Unsigned<T>>(b));
  }
};
struct MulHigh {
  template <class T>
  static T apply(T a, T b) {
    using Wide =
        std::conditional_t<sizeof(T) == 8, std::conditional_t<std::is_signed_v<T>, Int128, UInt128>,
                           std::conditional_t<std::is_signed_v<T>, int64_t, uint64_t>>;
    return static_cast<T>((static_cast<Wide>(a) * static_cast<Wide>(b)) >> (8 * sizeof(T)));
  }
};

// add, sub and mad with .cc: in decode_carry.cpp.
void decode_carry_out(Decoder& d, Modifiers& mods);

// An instruction whose operands all have the type of its result.
inline Instruction& emit_integer(Decoder& d, Handler run, const ptx::Type& type, size_t sources) {
  if (run == nullptr) d.fail("this type is not supported here");
  const Row a = d.source(d.operand(1), type);
  const Row b = sources > 1 ? d.source(d.operand(2), type) : kNoRow;
  const Row c = sources > 2 ? d.source(d.operand(3), type) : kNoRow;
  Instruction& i = d.emit(run, Category::kInteger);
  i.a = a, i.b = b, i.c = c;
  i.d = d.destination(d.operand(0), type);
  return i;
}

}  // namespace softcuda
