// Integer arithmetic.
#include <limits>

#include "decoder.h"
#include "lanes.h"

namespace softcuda {
namespace {

using ptx::Type;

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
    return static_cast<T>(uint64_t{static_cast<Unsigned<T>>(a)} * static_cast<Unsigned<T>>(b));
  }
};
struct MulHigh {
  template <class T>
  static T apply(T a, T b) {
    using Wide = std::conditional_t<std::is_signed_v<T>, __int128, unsigned __int128>;
    if constexpr (sizeof(T) == 4) {
      using W = std::conditional_t<std::is_signed_v<T>, int64_t, uint64_t>;
      return static_cast<T>((static_cast<W>(a) * static_cast<W>(b)) >> 32);
    } else {
      return static_cast<T>((static_cast<Wide>(a) * static_cast<Wide>(b)) >> (8 * sizeof(T)));
    }
  }
};
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
    if (b == 0) return static_cast<T>(~T{0});
    if (std::is_signed_v<T> && b == static_cast<T>(-1)) return Sub::apply<T>(0, a);
    return static_cast<T>(a / b);
  }
};
struct Rem {
  template <class T>
  static T apply(T a, T b) {
    if (b == 0) return a;
    if (std::is_signed_v<T> && b == static_cast<T>(-1)) return 0;
    return static_cast<T>(a % b);
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
struct AddSat {
  template <class T>
  static T apply(T a, T b) {
    const int64_t sum = int64_t{a} + int64_t{b};
    return static_cast<T>(std::min<int64_t>(std::max<int64_t>(sum, INT32_MIN), INT32_MAX));
  }
};
struct SubSat {
  template <class T>
  static T apply(T a, T b) {
    const int64_t difference = int64_t{a} - int64_t{b};
    return static_cast<T>(std::min<int64_t>(std::max<int64_t>(difference, INT32_MIN), INT32_MAX));
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

// --- counting and fields of bits ---

template <class T>
void popc(Warp& w, const Instruction& i, Mask m) {
  const In<T> a(w, i.a);
  each_lane<uint32_t>(w, i.d, m,
                      [&](int l) { return static_cast<uint32_t>(__builtin_popcountll(a[l])); });
}

template <class T>
uint32_t leading_zeros(T a) {
  constexpr int kBits = 8 * sizeof(T);
  return a == 0 ? kBits : static_cast<uint32_t>(__builtin_clzll(a)) - (64 - kBits);
}

template <class T>
void clz(Warp& w, const Instruction& i, Mask m) {
  const In<T> a(w, i.a);
  each_lane<uint32_t>(w, i.d, m, [&](int l) { return leading_zeros(a[l]); });
}

template <class T, bool shift_amount>
void bfind(Warp& w, const Instruction& i, Mask m) {
  using U = Unsigned<T>;
  constexpr uint32_t kTop = 8 * sizeof(T) - 1;
  const In<T> a(w, i.a);
  each_lane<uint32_t>(w, i.d, m, [&](int l) -> uint32_t {
    const T value = a[l];
    const U bits = static_cast<U>(std::is_signed_v<T> && value < 0 ? ~value : value);
    if (bits == 0) return ~uint32_t{0};
    const uint32_t zeros = leading_zeros<U>(bits);
    return shift_amount ? zeros : kTop - zeros;
  });
}

template <class T>
void brev(Warp& w, const Instruction& i, Mask m) {
  const In<T> a(w, i.a);
  each_lane<T>(w, i.d, m, [&](int l) {
    T result = 0;
    for (size_t k = 0; k < 8 * sizeof(T); ++k)
      result |= ((a[l] >> k) & 1) << (8 * sizeof(T) - 1 - k);
    return result;
  });
}

template <class T>
void bfe(Warp& w, const Instruction& i, Mask m) {
  using U = Unsigned<T>;
  constexpr uint32_t kTop = 8 * sizeof(T) - 1;
  const In<T> a(w, i.a);
  const In<uint32_t> b(w, i.b), c(w, i.c);
  each_lane<T>(w, i.d, m, [&](int l) -> T {
    const U bits = static_cast<U>(a[l]);
    const uint32_t position = b[l] & 0xFF, length = c[l] & 0xFF;
    if (length == 0) return 0;
    const uint32_t sign_at = std::min<uint32_t>(position + length - 1, kTop);
    const bool is_negative = std::is_signed_v<T> && ((bits >> sign_at) & 1) != 0;
    // What lies beyond the top, and beyond the field, is the sign.
    U field = static_cast<U>(is_negative ? ~U{0} : 0);
    if (position <= kTop) {
      field = static_cast<U>(is_negative ? ~(static_cast<U>(~bits) >> position) : bits >> position);
    }
    if (length > kTop) return static_cast<T>(field);
    const U mask = static_cast<U>((U{1} << length) - 1);
    return static_cast<T>(is_negative ? field | ~mask : field & mask);
  });
}

template <class T>
void bfi(Warp& w, const Instruction& i, Mask m) {
  constexpr uint32_t kBits = 8 * sizeof(T);
  const In<T> a(w, i.a), b(w, i.b);
  const In<uint32_t> c(w, i.c), d(w, i.c2);
  each_lane<T>(w, i.d, m, [&](int l) -> T {
    const uint32_t position = c[l] & 0xFF, length = d[l] & 0xFF;
    if (position >= kBits || length == 0) return b[l];
    const T ones = length >= kBits ? ~T{0} : static_cast<T>((T{1} << length) - 1);
    return static_cast<T>((b[l] & ~(ones << position)) | ((a[l] & ones) << position));
  });
}

template <class T>
void szext(Warp& w, const Instruction& i, Mask m) {
  const In<T> a(w, i.a);
  const In<uint32_t> b(w, i.b);
  each_lane<T>(w, i.d, m, [&](int l) -> T {
    const uint32_t n = i.immediate != 0 ? b[l] & 31u : std::min<uint32_t>(b[l], 32);
    if (n == 0) return 0;
    if (n >= 32) return a[l];
    return static_cast<T>(static_cast<T>(static_cast<uint32_t>(a[l]) << (32 - n)) >> (32 - n));
  });
}

void bmsk(Warp& w, const Instruction& i, Mask m) {
  const In<uint32_t> a(w, i.a), b(w, i.b);
  each_lane<uint32_t>(w, i.d, m, [&](int l) -> uint32_t {
    const uint32_t start = i.immediate != 0 ? a[l] & 31u : a[l];
    const uint32_t width = i.immediate != 0 ? b[l] & 31u : std::min<uint32_t>(b[l], 32);
    if (start >= 32) return 0;
    return static_cast<uint32_t>(((uint64_t{1} << width) - 1) << start);
  });
}

template <class A, class B>
void dp4a(Warp& w, const Instruction& i, Mask m) {
  const In<uint32_t> a(w, i.a), b(w, i.b), c(w, i.c);
  each_lane<uint32_t>(w, i.d, m, [&](int l) {
    uint32_t sum = c[l];
    for (int k = 0; k < 4; ++k) {
      sum += static_cast<uint32_t>(static_cast<int32_t>(static_cast<A>(a[l] >> (8 * k))) *
                                   static_cast<int32_t>(static_cast<B>(b[l] >> (8 * k))));
    }
    return sum;
  });
}

// --- extended precision: one carry a lane ---

enum class Carry { kAdd, kSub, kMadLow, kMadHigh };

template <class T, Carry kind, bool in, bool out>
void with_carry(Warp& w, const Instruction& i, Mask m) {
  using U = Unsigned<T>;
  using Wide = std::conditional_t<sizeof(T) == 4, uint64_t, unsigned __int128>;
  const In<T> a(w, i.a), b(w, i.b);
  const In<T> c(w, kind == Carry::kMadLow || kind == Carry::kMadHigh ? i.c : i.a);
  const Mask before = w.carry;
  Mask after = 0;
  Lane<T>* d = w.out<Lane<T>>(i.d);
  for (int l = 0; l < kLanes; ++l) {
    if (!has_lane(m, l)) continue;
    const Wide carry = in && has_lane(before, l) ? 1 : 0;
    Wide sum = 0;
    if (kind == Carry::kAdd) sum = Wide{static_cast<U>(a[l])} + static_cast<U>(b[l]) + carry;
    if (kind == Carry::kSub) sum = Wide{static_cast<U>(a[l])} - static_cast<U>(b[l]) - carry;
    if (kind == Carry::kMadLow)
      sum = Wide{static_cast<U>(MulLow::apply<T>(a[l], b[l]))} + static_cast<U>(c[l]) + carry;
    if (kind == Carry::kMadHigh)
      sum = Wide{static_cast<U>(MulHigh::apply<T>(a[l], b[l]))} + static_cast<U>(c[l]) + carry;
    d[l] = static_cast<U>(sum);
    if (((sum >> (8 * sizeof(T))) & 1) != 0) after |= Mask{1} << l;
  }
  if (out) w.carry = (before & ~m) | after;
}

template <Carry kind>
Handler carry_handler(const Type& type, bool in, bool out) {
  return for_integer(type, [&](auto zero) -> Handler {
    using T = decltype(zero);
    if constexpr (sizeof(T) < 4) {
      return nullptr;
    } else {
      if (in) return out ? with_carry<T, kind, true, true> : with_carry<T, kind, true, false>;
      return out ? with_carry<T, kind, false, true> : nullptr;
    }
  });
}

// --- decoding ---

Instruction& three(Decoder& d, Handler run, const Type& type, size_t sources) {
  if (run == nullptr) d.fail("this type is not supported here");
  const Row a = d.source(d.operand(1), type);
  const Row b = sources > 1 ? d.source(d.operand(2), type) : kNoRow;
  const Row c = sources > 2 ? d.source(d.operand(3), type) : kNoRow;
  Instruction& i = d.emit(run, Category::kInteger);
  i.a = a, i.b = b, i.c = c;
  i.d = d.destination(d.operand(0), type);
  return i;
}

template <class Op>
void decode_unary(Decoder& d, Modifiers& mods) {
  const Type type = mods.take_type();
  three(d, for_integer(type, [](auto zero) -> Handler { return unary<Op, decltype(zero)>; }), type,
        1);
}

template <class Op>
void decode_binary(Decoder& d, Modifiers& mods) {
  const Type type = mods.take_type();
  three(d, for_integer(type, [](auto zero) -> Handler { return binary<Op, decltype(zero)>; }), type,
        2);
}

// add, sub, mul, mad, min, max, abs, neg, div and rem of integers; of floats elsewhere.
template <class Op, class Saturated, Carry kind>
void decode_sum(Decoder& d, Modifiers& mods) {
  const bool out = mods.take("cc"), saturates = mods.take("sat");
  const Type type = mods.take_type();
  if (out) {
    three(d, carry_handler<kind>(type, false, true), type, 2);
  } else if (saturates) {
    if (!(type.is_signed() && type.bits == 32)) d.fail(".sat needs .s32");
    three(d, binary<Saturated, int32_t>, type, 2);
  } else {
    three(d, for_integer(type, [](auto zero) -> Handler { return binary<Op, decltype(zero)>; }),
          type, 2);
  }
}

template <Carry kind>
void decode_carry(Decoder& d, Modifiers& mods) {
  const bool out = mods.take("cc");
  const Type type = mods.take_type();
  three(d, carry_handler<kind>(type, true, out), type, 2);
}

void wide(Decoder& d, const Type& type, bool has_addend) {
  Type result = type;
  result.bits *= 2;
  Handler run = nullptr;
  if (type.bits == 16) {
    run = type.is_signed()
              ? (has_addend ? multiply_wide<int16_t, true> : multiply_wide<int16_t, false>)
              : (has_addend ? multiply_wide<uint16_t, true> : multiply_wide<uint16_t, false>);
  } else if (type.bits == 32) {
    run = type.is_signed()
              ? (has_addend ? multiply_wide<int32_t, true> : multiply_wide<int32_t, false>)
              : (has_addend ? multiply_wide<uint32_t, true> : multiply_wide<uint32_t, false>);
  } else {
    d.fail(".wide needs a type of 16 or 32 bits");
  }
  const Row a = d.source(d.operand(1), type), b = d.source(d.operand(2), type);
  const Row c = has_addend ? d.source(d.operand(3), result) : kNoRow;
  Instruction& i = d.emit(run, Category::kInteger);
  i.a = a, i.b = b, i.c = c;
  i.d = d.destination(d.operand(0), result);
}

void decode_mul(Decoder& d, Modifiers& mods) {
  const std::string part = mods.take_one({"lo", "hi", "wide"});
  const Type type = mods.take_type();
  if (part == "wide") return wide(d, type, false);
  if (part.empty()) d.fail("mul of integers needs .lo, .hi or .wide");
  const bool low = part == "lo";
  three(d,
        for_integer(type,
                    [low](auto zero) -> Handler {
                      using T = decltype(zero);
                      return low ? binary<MulLow, T> : binary<MulHigh, T>;
                    }),
        type, 2);
}

void decode_mad(Decoder& d, Modifiers& mods) {
  const std::string part = mods.take_one({"lo", "hi", "wide"});
  const bool out = mods.take("cc");
  const Type type = mods.take_type();
  if (part == "wide" && !out) return wide(d, type, true);
  if (part != "lo" && part != "hi") d.fail("mad of integers needs .lo, .hi or .wide");
  const bool low = part == "lo";
  if (out) {
    three(d,
          low ? carry_handler<Carry::kMadLow>(type, false, true)
              : carry_handler<Carry::kMadHigh>(type, false, true),
          type, 3);
    return;
  }
  three(d,
        for_integer(type,
                    [low](auto zero) -> Handler {
                      using T = decltype(zero);
                      return low ? ternary<MadLow, T> : ternary<MadHigh, T>;
                    }),
        type, 3);
}

void decode_madc(Decoder& d, Modifiers& mods) {
  const bool low = mods.take_one({"lo", "hi"}) == "lo";
  const bool out = mods.take("cc");
  const Type type = mods.take_type();
  three(d,
        low ? carry_handler<Carry::kMadLow>(type, true, out)
            : carry_handler<Carry::kMadHigh>(type, true, out),
        type, 3);
}

template <class Op, bool has_addend>
void decode_24(Decoder& d, Modifiers& mods) {
  if (!mods.take("lo")) d.fail("only .lo is supported");
  const Type type = mods.take_type();
  if (type.bits != 32) d.fail("24-bit multiplication needs .u32 or .s32");
  if constexpr (has_addend) {
    three(d, type.is_signed() ? ternary<Op, int32_t> : ternary<Op, uint32_t>, type, 3);
  } else {
    three(d, type.is_signed() ? binary<Op, int32_t> : binary<Op, uint32_t>, type, 2);
  }
}

void decode_sad(Decoder& d, Modifiers& mods) {
  const Type type = mods.take_type();
  three(d, for_integer(type, [](auto zero) -> Handler { return ternary<Sad, decltype(zero)>; }),
        type, 3);
}

const Type kU32 = ptx::type_named("u32");

void to_count(Decoder& d, const Type& type, Handler run32, Handler run64) {
  if (type.bits != 32 && type.bits != 64) d.fail("a type of 32 or 64 bits is needed");
  const Row a = d.source(d.operand(1), type);
  Instruction& i = d.emit(type.bits == 32 ? run32 : run64, Category::kInteger);
  i.a = a;
  i.d = d.destination(d.operand(0), kU32);
}

void decode_popc(Decoder& d, Modifiers& mods) {
  to_count(d, mods.take_type(), popc<uint32_t>, popc<uint64_t>);
}
void decode_clz(Decoder& d, Modifiers& mods) {
  to_count(d, mods.take_type(), clz<uint32_t>, clz<uint64_t>);
}
void decode_bfind(Decoder& d, Modifiers& mods) {
  const bool amount = mods.take("shiftamt");
  const Type type = mods.take_type();
  if (type.is_signed()) {
    to_count(d, type, amount ? bfind<int32_t, true> : bfind<int32_t, false>,
             amount ? bfind<int64_t, true> : bfind<int64_t, false>);
  } else {
    to_count(d, type, amount ? bfind<uint32_t, true> : bfind<uint32_t, false>,
             amount ? bfind<uint64_t, true> : bfind<uint64_t, false>);
  }
}

void decode_brev(Decoder& d, Modifiers& mods) {
  const Type type = mods.take_type();
  three(d, type.bits == 32 ? brev<uint32_t> : type.bits == 64 ? brev<uint64_t> : nullptr, type, 1);
}

void decode_bfe(Decoder& d, Modifiers& mods) {
  const Type type = mods.take_type();
  const Handler run = for_integer(type, [](auto zero) -> Handler {
    using T = decltype(zero);
    if constexpr (sizeof(T) < 4)
      return nullptr;
    else
      return bfe<T>;
  });
  if (run == nullptr) d.fail("bfe needs a type of 32 or 64 bits");
  const Row a = d.source(d.operand(1), type), b = d.source(d.operand(2), kU32),
            c = d.source(d.operand(3), kU32);
  Instruction& i = d.emit(run, Category::kInteger);
  i.a = a, i.b = b, i.c = c;
  i.d = d.destination(d.operand(0), type);
}

void decode_bfi(Decoder& d, Modifiers& mods) {
  const Type type = mods.take_type();
  if (type.bits != 32 && type.bits != 64) d.fail("bfi needs .b32 or .b64");
  const Row a = d.source(d.operand(1), type), b = d.source(d.operand(2), type);
  const Row c = d.source(d.operand(3), kU32), e = d.source(d.operand(4), kU32);
  Instruction& i = d.emit(type.bits == 32 ? bfi<uint32_t> : bfi<uint64_t>, Category::kInteger);
  i.a = a, i.b = b, i.c = c, i.c2 = e;
  i.d = d.destination(d.operand(0), type);
}

void decode_szext(Decoder& d, Modifiers& mods) {
  const bool wraps = mods.take_one({"wrap", "clamp"}) == "wrap";
  const Type type = mods.take_type();
  if (type.bits != 32) d.fail("szext needs .u32 or .s32");
  const Row a = d.source(d.operand(1), type), b = d.source(d.operand(2), kU32);
  Instruction& i = d.emit(type.is_signed() ? szext<int32_t> : szext<uint32_t>, Category::kInteger);
  i.a = a, i.b = b, i.immediate = wraps;
  i.d = d.destination(d.operand(0), type);
}

void decode_bmsk(Decoder& d, Modifiers& mods) {
  const bool wraps = mods.take_one({"wrap", "clamp"}) == "wrap";
  const Type type = mods.take_type();
  three(d, bmsk, type, 2).immediate = wraps;
}

void decode_dp4a(Decoder& d, Modifiers& mods) {
  const bool a_signed = mods.take_type().is_signed(), b_signed = mods.take_type().is_signed();
  const Handler run = a_signed ? (b_signed ? dp4a<int8_t, int8_t> : dp4a<int8_t, uint8_t>)
                               : (b_signed ? dp4a<uint8_t, int8_t> : dp4a<uint8_t, uint8_t>);
  three(d, run, kU32, 3);
}

}  // namespace

void add_integer(OpcodeTable& table) {
  table["add.int"] = decode_sum<Add, AddSat, Carry::kAdd>;
  table["sub.int"] = decode_sum<Sub, SubSat, Carry::kSub>;
  table["mul.int"] = decode_mul;
  table["mad.int"] = decode_mad;
  table["div.int"] = decode_binary<Div>;
  table["min.int"] = decode_binary<Min>;
  table["max.int"] = decode_binary<Max>;
  table["abs.int"] = decode_unary<Abs>;
  table["neg.int"] = decode_unary<Neg>;
  table["rem"] = decode_binary<Rem>;
  table["addc"] = decode_carry<Carry::kAdd>;
  table["subc"] = decode_carry<Carry::kSub>;
  table["madc"] = decode_madc;
  table["mul24"] = decode_24<Mul24, false>;
  table["mad24"] = decode_24<Mad24, true>;
  table["sad"] = decode_sad;
  table["popc"] = decode_popc;
  table["clz"] = decode_clz;
  table["bfind"] = decode_bfind;
  table["brev"] = decode_brev;
  table["bfe"] = decode_bfe;
  table["bfi"] = decode_bfi;
  table["szext"] = decode_szext;
  table["bmsk"] = decode_bmsk;
  table["dp4a"] = decode_dp4a;
}

}  // namespace softcuda
