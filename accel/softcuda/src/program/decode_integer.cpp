// Integer arithmetic.
#include <algorithm>

#include "integer.h"

namespace softcuda {
namespace {

using ptx::Type;

const Type kU32 = ptx::type_named("u32");

struct MadLow {
  template <class T>
  static T apply(T a, T b, T c) {
    return Add::apply<T>(MulLow::apply<T>(a, b), c);
  }
};
struct MadHigh {
  template <class T>
  static T apply(T a, T b, T c) {
    return Add::apply<T>(MulHigh::apply<T>(a, b), c);
  }
};
// PTX leaves division by zero open; the hardware gives all ones.
struct Div {
  template <class T>
  static T apply(T a, T b) {
    const bool is_negation = std::is_signed_v<T> && b == static_cast<T>(-1);
    const T divisor = b == 0 || is_negation ? T{1} : b;
    T quotient;
    if constexpr (sizeof(T) == 8) {
      quotient = a / divisor;
    } else {
      // Of numbers this short a double's quotient, cut off, is exact; and several are divided at a
      // time.
      quotient = static_cast<T>(static_cast<double>(a) / static_cast<double>(divisor));
    }
    quotient = is_negation ? Sub::apply<T>(0, a) : quotient;
    return b == 0 ? static_cast<T>(~T{0}) : quotient;
  }
};
struct Rem {
  template <class T>
  static T apply(T a, T b) {
    const T rest = Sub::apply<T>(a, MulLow::apply<T>(Div::apply<T>(a, b), b));
    return b == 0 ? a : rest;
  }
};
struct Min {
  template <class T>
  static T apply(T a, T b) {
    return a < b ? a : b;
  }
};
struct Max {
  template <class T>
  static T apply(T a, T b) {
    return a > b ? a : b;
  }
};
template <class Op>
struct Relu {
  template <class T>
  static T apply(T a, T b) {
    return Max::apply<T>(Op::template apply<T>(a, b), T{0});
  }
};
struct Abs {
  template <class T>
  static T apply(T a) {
    return a < 0 ? Sub::apply<T>(0, a) : a;
  }
};
struct Neg {
  template <class T>
  static T apply(T a) {
    return Sub::apply<T>(0, a);
  }
};
// add.sat.s32 and sub.sat.s32: where the result wraps, it has the wrong sign.
struct AddSaturated {
  template <class T>
  static T apply(T a, T b) {
    const T sum = Add::apply<T>(a, b);
    return ((a ^ sum) & (b ^ sum)) < 0 ? (a >> 31) ^ INT32_MAX : sum;
  }
};
struct SubSaturated {
  template <class T>
  static T apply(T a, T b) {
    const T difference = Sub::apply<T>(a, b);
    return ((a ^ b) & (a ^ difference)) < 0 ? (a >> 31) ^ INT32_MAX : difference;
  }
};
struct Sad {
  template <class T>
  static T apply(T a, T b, T c) {
    return Add::apply<T>(c, a < b ? Sub::apply<T>(b, a) : Sub::apply<T>(a, b));
  }
};
struct Mul24 {
  template <class T>
  static T apply(T a, T b) {
    return static_cast<T>(low24(a) * low24(b));
  }
  template <class T>
  static int64_t low24(T a) {
    return std::is_signed_v<T> ? int64_t{static_cast<int32_t>(static_cast<uint32_t>(a) << 8) >> 8}
                               : int64_t{static_cast<uint32_t>(a) & 0xFFFFFFu};
  }
};
struct Mad24 {
  template <class T>
  static T apply(T a, T b, T c) {
    return Add::apply<T>(Mul24::apply<T>(a, b), c);
  }
};

// An operation on the two halves of 32 bits.
template <class Op, class T>
void halves(Warp& w, const Instruction& i, Mask m) {
  const In<uint32_t> a(w, i.a), b(w, i.b);
  each_lane<uint32_t>(w, i.d, m, [&](int l) {
    const T low = Op::template apply<T>(static_cast<T>(a[l]), static_cast<T>(b[l]));
    const T high = Op::template apply<T>(static_cast<T>(a[l] >> 16), static_cast<T>(b[l] >> 16));
    return uint32_t{static_cast<uint16_t>(high)} << 16 | static_cast<uint16_t>(low);
  });
}

template <class T>
struct Widened;
template <>
struct Widened<int16_t> {
  using type = int32_t;
};
template <>
struct Widened<uint16_t> {
  using type = uint32_t;
};
template <>
struct Widened<int32_t> {
  using type = int64_t;
};
template <>
struct Widened<uint32_t> {
  using type = uint64_t;
};

template <class T, bool has_addend>
void multiply_wide(Warp& w, const Instruction& i, Mask m) {
  using W = typename Widened<T>::type;
  const In<T> a(w, i.a), b(w, i.b);
  const In<W> c(w, has_addend ? i.c : i.a);  // not read without an addend
  each_lane<W>(w, i.d, m, [&](int l) {
    const W product = static_cast<W>(static_cast<W>(a[l]) * static_cast<W>(b[l]));
    return has_addend ? Add::apply<W>(product, c[l]) : product;
  });
}

// Products of two or four bytes of b with as many parts of a, summed up with c.
template <class A, class B, int parts, int first>
void dot_product(Warp& w, const Instruction& i, Mask m) {
  const In<uint32_t> a(w, i.a), b(w, i.b), c(w, i.c);
  constexpr int kBits = 32 / parts;
  each_lane<uint32_t>(w, i.d, m, [&](int l) {
    uint32_t sum = c[l];
    for (int k = 0; k < parts; ++k) {
      sum += static_cast<uint32_t>(static_cast<int32_t>(static_cast<A>(a[l] >> (kBits * k))) *
                                   static_cast<int32_t>(static_cast<B>(b[l] >> (8 * (first + k)))));
    }
    return sum;
  });
}

// --- decoding ---

template <class Op>
Handler unary_handler(const Type& type) {
  return for_integer(type, [](auto zero) -> Handler { return unary<Op, decltype(zero)>; });
}
template <class Op>
Handler binary_handler(const Type& type) {
  return for_integer(type, [](auto zero) -> Handler { return binary<Op, decltype(zero)>; });
}
template <class Op>
Handler ternary_handler(const Type& type) {
  return for_integer(type, [](auto zero) -> Handler { return ternary<Op, decltype(zero)>; });
}

template <class Op>
void decode_unary(Decoder& d, Modifiers& mods) {
  const Type type = mods.take_type();
  emit_integer(d, unary_handler<Op>(type), type, 1);
}

template <class Op>
void decode_binary(Decoder& d, Modifiers& mods) {
  const Type type = mods.take_type();
  emit_integer(d, binary_handler<Op>(type), type, 2);
}

bool has_modifier(const Decoder& d, const char* word) {
  const auto& words = d.statement().modifiers;
  return std::find(words.begin(), words.end(), word) != words.end();
}

// If the type is that of two halves: the whole instruction.
template <class Signed, class Unsigned>
bool decode_halves(Decoder& d, Modifiers& mods) {
  const std::string word = mods.take_one({"s16x2", "u16x2"});
  if (word.empty()) return false;
  emit_integer(d, word == "s16x2" ? halves<Signed, int16_t> : halves<Unsigned, uint16_t>, kU32, 2);
  return true;
}

// add and sub. (Those of floats are elsewhere, as of mul, mad, min, max, abs, neg and div.)
template <class Op, class Saturated>
void decode_sum(Decoder& d, Modifiers& mods) {
  if (has_modifier(d, "cc")) return decode_carry_out(d, mods);
  if (decode_halves<Op, Op>(d, mods)) return;
  const bool saturates = mods.take("sat");
  const Type type = mods.take_type();
  if (saturates && !(type.is_signed() && type.bits == 32)) d.fail(".sat needs .s32");
  emit_integer(d, saturates ? binary<Saturated, int32_t> : binary_handler<Op>(type), type, 2);
}

template <class Op>
void decode_extremum(Decoder& d, Modifiers& mods) {
  const bool is_relu = mods.take("relu");
  if (is_relu && has_modifier(d, "u16x2")) d.fail(".relu needs a signed type");
  if (is_relu ? decode_halves<Relu<Op>, Op>(d, mods) : decode_halves<Op, Op>(d, mods)) return;
  const Type type = mods.take_type();
  if (is_relu && !(type.is_signed() && type.bits == 32)) d.fail(".relu needs .s32 or .s16x2");
  emit_integer(d, is_relu ? binary<Relu<Op>, int32_t> : binary_handler<Op>(type), type, 2);
}

template <class T>
Handler wide_handler(bool has_addend) {
  return has_addend ? multiply_wide<T, true> : multiply_wide<T, false>;
}

void wide(Decoder& d, const Type& type, bool has_addend) {
  Type result = type;
  result.bits *= 2;
  if (type.bits != 16 && type.bits != 32) d.fail(".wide needs a type of 16 or 32 bits");
  const Handler run = type.bits == 16 ? (type.is_signed() ? wide_handler<int16_t>(has_addend)
                                                          : wide_handler<uint16_t>(has_addend))
                                      : (type.is_signed() ? wide_handler<int32_t>(has_addend)
                                                          : wide_handler<uint32_t>(has_addend));
  const Row a = d.source(d.operand(1), type), b = d.source(d.operand(2), type);
  const Row c = has_addend ? d.source(d.operand(3), result) : kNoRow;
  Instruction& i = d.emit(run, Category::kInteger);
  i.a = a, i.b = b, i.c = c;
  i.d = d.destination(d.operand(0), result);
}

// mul and mad.
template <class Low, class High, bool has_addend>
void decode_product(Decoder& d, Modifiers& mods) {
  if (has_addend && has_modifier(d, "cc")) return decode_carry_out(d, mods);
  const std::string part = mods.take_one({"lo", "hi", "wide"});
  const Type type = mods.take_type();
  if (part.empty()) d.fail("a product of integers needs .lo, .hi or .wide");
  if (part == "wide") return wide(d, type, has_addend);
  if constexpr (has_addend)
    emit_integer(d, part == "lo" ? ternary_handler<Low>(type) : ternary_handler<High>(type), type,
                 3);
  else
    emit_integer(d, part == "lo" ? binary_handler<Low>(type) : binary_handler<High>(type), type, 2);
}

template <class Op, bool has_addend>
void decode_24(Decoder& d, Modifiers& mods) {
  if (!mods.take("lo")) d.fail("only .lo is supported");
  const Type type = mods.take_type();
  if (type.bits != 32) d.fail("24-bit multiplication needs .u32 or .s32");
  if constexpr (has_addend) {
    emit_integer(d, type.is_signed() ? ternary<Op, int32_t> : ternary<Op, uint32_t>, type, 3);
  } else {
    emit_integer(d, type.is_signed() ? binary<Op, int32_t> : binary<Op, uint32_t>, type, 2);
  }
}

void decode_sad(Decoder& d, Modifiers& mods) {
  const Type type = mods.take_type();
  emit_integer(d, ternary_handler<Sad>(type), type, 3);
}

void decode_dp4a(Decoder& d, Modifiers& mods) {
  const bool a = mods.take_type().is_signed(), b = mods.take_type().is_signed();
  emit_integer(d,
               a ? (b ? dot_product<int8_t, int8_t, 4, 0> : dot_product<int8_t, uint8_t, 4, 0>)
                 : (b ? dot_product<uint8_t, int8_t, 4, 0> : dot_product<uint8_t, uint8_t, 4, 0>),
               kU32, 3);
}

template <int first>
Handler dp2a_handler(bool a, bool b) {
  if (a)
    return b ? dot_product<int16_t, int8_t, 2, first> : dot_product<int16_t, uint8_t, 2, first>;
  return b ? dot_product<uint16_t, int8_t, 2, first> : dot_product<uint16_t, uint8_t, 2, first>;
}

void decode_dp2a(Decoder& d, Modifiers& mods) {
  const std::string part = mods.take_one({"lo", "hi"});
  if (part.empty()) d.fail("dp2a needs .lo or .hi");
  const bool a = mods.take_type().is_signed(), b = mods.take_type().is_signed();
  emit_integer(d, part == "lo" ? dp2a_handler<0>(a, b) : dp2a_handler<2>(a, b), kU32, 3);
}

}  // namespace

void add_integer(OpcodeTable& table) {
  table["add.int"] = decode_sum<Add, AddSaturated>;
  table["sub.int"] = decode_sum<Sub, SubSaturated>;
  table["mul.int"] = decode_product<MulLow, MulHigh, false>;
  table["mad.int"] = decode_product<MadLow, MadHigh, true>;
  table["div.int"] = decode_binary<Div>;
  table["rem"] = decode_binary<Rem>;
  table["min.int"] = decode_extremum<Min>;
  table["max.int"] = decode_extremum<Max>;
  table["abs.int"] = decode_unary<Abs>;
  table["neg.int"] = decode_unary<Neg>;
  table["mul24"] = decode_24<Mul24, false>;
  table["mad24"] = decode_24<Mad24, true>;
  table["sad"] = decode_sad;
  table["dp4a"] = decode_dp4a;
  table["dp2a"] = decode_dp2a;
  add_carry(table), add_bit_field(table);
}

}  // namespace softcuda
