// Bits, predicates, selection and moves.
#include <cmath>

#include "decoder.h"
#include "lanes.h"

namespace softcuda {
namespace {

using ptx::Operand;
using ptx::Type;

const Type kU32 = ptx::type_named("u32");

struct And {
  template <class T>
  static T apply(T a, T b) {
    return a & b;
  }
};
struct Or {
  template <class T>
  static T apply(T a, T b) {
    return a | b;
  }
};
struct Xor {
  template <class T>
  static T apply(T a, T b) {
    return a ^ b;
  }
};
struct Not {
  template <class T>
  static T apply(T a) {
    return static_cast<T>(~a);
  }
};
struct IsZero {
  template <class T>
  static T apply(T a) {
    return a == 0 ? 1 : 0;
  }
};
struct Copy {
  template <class T>
  static T apply(T a) {
    return a;
  }
};

template <class Op>
void binary_predicate(Warp& w, const Instruction& i, Mask m) {
  w.set_predicate(i.d, m, Op::template apply<Mask>(w.predicate(i.a), w.predicate(i.b)));
}
template <class Op>
void unary_predicate(Warp& w, const Instruction& i, Mask m) {
  w.set_predicate(i.d, m, Op::template apply<Mask>(w.predicate(i.a)));
}

// Bits have no sign.
Type unsigned_of(Type type) {
  type.kind = Type::Kind::kUnsigned;
  return type;
}

// What is not wanted is written all the same, where nobody reads it.
Row predicate_to_write(Decoder& d, const Operand& operand) {
  return operand.kind == Operand::Kind::kSink ? d.temporary(0) : d.predicate_result(operand);
}

template <class Op>
void decode_bits(Decoder& d, Modifiers& mods) {
  const Type type = mods.take_type();
  if (type.is_predicate()) {
    const Row a = d.predicate(d.operand(1)), b = d.predicate(d.operand(2));
    Instruction& i = d.emit(binary_predicate<Op>, Category::kInteger);
    i.a = a, i.b = b, i.d = predicate_to_write(d, d.operand(0));
    return;
  }
  const Handler run = for_integer(unsigned_of(type),
                                  [](auto zero) -> Handler { return binary<Op, decltype(zero)>; });
  if (run == nullptr) d.fail("this type is not supported here");
  const Row a = d.source(d.operand(1), type), b = d.source(d.operand(2), type);
  Instruction& i = d.emit(run, Category::kInteger);
  i.a = a, i.b = b, i.d = d.destination(d.operand(0), type);
}

template <class Op>
void decode_not(Decoder& d, Modifiers& mods) {
  const Type type = mods.take_type();
  if (type.is_predicate()) {
    const Row a = d.predicate(d.operand(1));
    Instruction& i = d.emit(unary_predicate<Op>, Category::kInteger);
    i.a = a, i.d = predicate_to_write(d, d.operand(0));
    return;
  }
  const Handler run = for_integer(unsigned_of(type),
                                  [](auto zero) -> Handler { return unary<Op, decltype(zero)>; });
  if (run == nullptr) d.fail("this type is not supported here");
  const Row a = d.source(d.operand(1), type);
  Instruction& i = d.emit(run, Category::kInteger);
  i.a = a, i.d = d.destination(d.operand(0), type);
}

// --- shifts: beyond the width they give 0 or the sign ---

template <class T>
void shift_left(Warp& w, const Instruction& i, Mask m) {
  const In<T> a(w, i.a);
  const In<uint32_t> b(w, i.b);
  each_lane<T>(w, i.d, m, [&](int l) {
    return b[l] < 8 * sizeof(T) ? static_cast<T>(uint64_t{a[l]} << (b[l] & 63)) : T{0};
  });
}

template <class T>
void shift_right(Warp& w, const Instruction& i, Mask m) {
  constexpr uint32_t kTop = 8 * sizeof(T) - 1;
  const In<T> a(w, i.a);
  const In<uint32_t> b(w, i.b);
  each_lane<T>(w, i.d, m, [&](int l) -> T {
    if (std::is_signed_v<T>) return static_cast<T>(a[l] >> std::min(b[l], kTop));
    return b[l] > kTop ? T{0} : static_cast<T>(a[l] >> (b[l] & kTop));
  });
}

template <bool is_left>
void decode_shift(Decoder& d, Modifiers& mods) {
  const Type type = mods.take_type();
  const Handler run = for_integer(is_left ? unsigned_of(type) : type, [](auto zero) -> Handler {
    using T = decltype(zero);
    if constexpr (is_left) {
      if constexpr (std::is_signed_v<T>)
        return nullptr;
      else
        return shift_left<T>;
    } else {
      return shift_right<T>;
    }
  });
  if (run == nullptr) d.fail("this type is not supported here");
  const Row a = d.source(d.operand(1), type), b = d.source(d.operand(2), kU32);
  Instruction& i = d.emit(run, Category::kInteger);
  i.a = a, i.b = b, i.d = d.destination(d.operand(0), type);
}

template <bool is_left, bool wraps>
void funnel(Warp& w, const Instruction& i, Mask m) {
  const In<uint32_t> a(w, i.a), b(w, i.b), c(w, i.c);
  each_lane<uint32_t>(w, i.d, m, [&](int l) {
    const uint32_t n = wraps ? c[l] & 31 : std::min<uint32_t>(c[l], 32);
    const uint64_t both = uint64_t{b[l]} << 32 | a[l];
    return static_cast<uint32_t>(is_left ? both >> (32 - n) : both >> n);
  });
}

void decode_shf(Decoder& d, Modifiers& mods) {
  const bool is_left = mods.take_one({"l", "r"}) == "l",
             wraps = mods.take_one({"wrap", "clamp"}) == "wrap";
  const Type type = mods.take_type();
  if (type.bits != 32) d.fail("shf needs .b32");
  const Row a = d.source(d.operand(1), type), b = d.source(d.operand(2), type),
            c = d.source(d.operand(3), kU32);
  Instruction& i = d.emit(is_left ? (wraps ? funnel<true, true> : funnel<true, false>)
                                  : (wraps ? funnel<false, true> : funnel<false, false>),
                          Category::kInteger);
  i.a = a, i.b = b, i.c = c, i.d = d.destination(d.operand(0), type);
}

void lop3(Warp& w, const Instruction& i, Mask m) {
  const In<uint32_t> a(w, i.a), b(w, i.b), c(w, i.c);
  uint32_t table[8];
  for (int k = 0; k < 8; ++k) table[k] = (i.immediate >> k & 1) != 0 ? ~uint32_t{0} : 0;
  each_lane<uint32_t>(w, i.d, m, [&](int l) {
    uint32_t result = 0;
    for (int k = 0; k < 8; ++k) {
      result |= table[k] & ((k & 4) != 0 ? a[l] : ~a[l]) & ((k & 2) != 0 ? b[l] : ~b[l]) &
                ((k & 1) != 0 ? c[l] : ~c[l]);
    }
    return result;
  });
}

void decode_lop3(Decoder& d, Modifiers& mods) {
  const Type type = mods.take_type();
  if (d.num_operands() != 5 || d.operand(4).kind != Operand::Kind::kInteger)
    d.fail("lop3 needs a table of 8 bits");
  const Row a = d.source(d.operand(1), type), b = d.source(d.operand(2), type),
            c = d.source(d.operand(3), type);
  const int64_t table = static_cast<int64_t>(d.operand(4).value & 0xFF);
  Instruction& i = d.emit(lop3, Category::kInteger);
  i.a = a, i.b = b, i.c = c, i.immediate = table, i.d = d.destination(d.operand(0), type);
}

enum class Permute : int64_t {
  kIndex,
  kForward4,
  kBackward4,
  kReplicate8,
  kEdgeLeft,
  kEdgeRight,
  kReplicate16
};

void prmt(Warp& w, const Instruction& i, Mask m) {
  const In<uint32_t> a(w, i.a), b(w, i.b), c(w, i.c);
  const auto mode = static_cast<Permute>(i.immediate);
  each_lane<uint32_t>(w, i.d, m, [&](int l) {
    const uint64_t both = uint64_t{b[l]} << 32 | a[l];
    uint32_t result = 0;
    for (uint32_t k = 0; k < 4; ++k) {
      const uint32_t s = c[l] & 3;
      uint32_t select = (c[l] >> (4 * k)) & 0xF;
      if (mode == Permute::kForward4) select = s + k;
      if (mode == Permute::kBackward4) select = (s - k) & 7;
      if (mode == Permute::kReplicate8) select = s;
      if (mode == Permute::kEdgeLeft) select = std::max(s, k);
      if (mode == Permute::kEdgeRight) select = std::min(s, k);
      if (mode == Permute::kReplicate16) select = 2 * (s & 1) + (k & 1);
      uint32_t byte = static_cast<uint32_t>(both >> (8 * (select & 7))) & 0xFF;
      if (mode == Permute::kIndex && (select & 8) != 0) byte = (byte & 0x80) != 0 ? 0xFF : 0;
      result |= byte << (8 * k);
    }
    return result;
  });
}

void decode_prmt(Decoder& d, Modifiers& mods) {
  const Type type = mods.take_type();
  static const std::vector<std::string> modes = {"f4e", "b4e", "rc8", "ecl", "ecr", "rc16"};
  int64_t mode = 0;
  for (size_t k = 0; k < modes.size(); ++k) {
    if (mods.take(modes[k])) mode = static_cast<int64_t>(k) + 1;
  }
  const Row a = d.source(d.operand(1), type), b = d.source(d.operand(2), type),
            c = d.source(d.operand(3), type);
  Instruction& i = d.emit(prmt, Category::kInteger);
  i.a = a, i.b = b, i.c = c, i.immediate = mode, i.d = d.destination(d.operand(0), type);
}

// --- comparisons ---

enum class Compare { kEq, kNe, kLt, kLe, kGt, kGe, kNum, kNan };

// a ? b, or true where an operand is NaN and the comparison is unordered.
template <class T, Compare compare, bool is_unordered>
void compare_lanes(Warp& w, const Instruction& i, Mask m) {
  const In<T> a(w, i.a), b(w, i.b);
  const Mask holds = lanes_where([&](int l) -> bool {
    const T x = a[l], y = b[l];
    if constexpr (std::is_floating_point_v<T>) {
      const bool has_nan = x != x || y != y;
      if (compare == Compare::kNum) return !has_nan;
      if (compare == Compare::kNan) return has_nan;
      if (has_nan) return is_unordered;
    }
    switch (compare) {
      case Compare::kEq:
        return x == y;
      case Compare::kNe:
        return x != y;
      case Compare::kLt:
        return x < y;
      case Compare::kLe:
        return x <= y;
      case Compare::kGt:
        return x > y;
      default:
        return x >= y;
    }
  });
  // immediate: how the result is combined with the predicate c: 0 not, 1 and, 2 or, 3 xor; +4
  // negated
  Mask result = holds, opposite = ~holds;
  if (i.immediate != 0) {
    const Mask other = w.predicate(i.c) ^ ((i.immediate & 4) != 0 ? kFullMask : 0);
    const auto combine = [&](Mask p) {
      return (i.immediate & 3) == 1 ? p & other : (i.immediate & 3) == 2 ? p | other : p ^ other;
    };
    result = combine(holds), opposite = combine(opposite);
  }
  if (i.d != kNoRow) w.set_predicate(i.d, m, result);
  if (i.e != kNoRow) w.set_predicate(i.e, m, opposite);
}

template <class T>
Handler comparison(const std::string& name) {
  if constexpr (std::is_integral_v<T>) {
    if (name == "eq") return compare_lanes<T, Compare::kEq, false>;
    if (name == "ne") return compare_lanes<T, Compare::kNe, false>;
    if (name == "lt" || name == "lo") return compare_lanes<T, Compare::kLt, false>;
    if (name == "le" || name == "ls") return compare_lanes<T, Compare::kLe, false>;
    if (name == "gt" || name == "hi") return compare_lanes<T, Compare::kGt, false>;
    if (name == "ge" || name == "hs") return compare_lanes<T, Compare::kGe, false>;
  } else {
    if (name == "eq") return compare_lanes<T, Compare::kEq, false>;
    if (name == "ne") return compare_lanes<T, Compare::kNe, false>;
    if (name == "lt") return compare_lanes<T, Compare::kLt, false>;
    if (name == "le") return compare_lanes<T, Compare::kLe, false>;
    if (name == "gt") return compare_lanes<T, Compare::kGt, false>;
    if (name == "ge") return compare_lanes<T, Compare::kGe, false>;
    if (name == "equ") return compare_lanes<T, Compare::kEq, true>;
    if (name == "neu") return compare_lanes<T, Compare::kNe, true>;
    if (name == "ltu") return compare_lanes<T, Compare::kLt, true>;
    if (name == "leu") return compare_lanes<T, Compare::kLe, true>;
    if (name == "gtu") return compare_lanes<T, Compare::kGt, true>;
    if (name == "geu") return compare_lanes<T, Compare::kGe, true>;
    if (name == "num") return compare_lanes<T, Compare::kNum, false>;
    if (name == "nan") return compare_lanes<T, Compare::kNan, false>;
  }
  return nullptr;
}

const std::vector<std::string> kComparisons = {"eq",  "ne",  "lt",  "le",  "gt",  "ge",
                                               "lo",  "ls",  "hi",  "hs",  "equ", "neu",
                                               "ltu", "leu", "gtu", "geu", "num", "nan"};

Handler comparison_of(Decoder& d, const Type& type, const std::string& name) {
  const auto choose = [&name](auto zero) { return comparison<decltype(zero)>(name); };
  // .lo and its like compare without sign, whatever the type.
  const bool drops_sign = name == "lo" || name == "ls" || name == "hi" || name == "hs";
  Handler run = for_integer(drops_sign ? unsigned_of(type) : type, choose);
  if (run == nullptr) run = for_float(type, choose);
  if (run == nullptr) d.fail("this comparison is not supported for this type");
  return run;
}

void decode_setp(Decoder& d, Modifiers& mods) {
  const std::string name = mods.take_one(kComparisons);
  const std::string combined = mods.take_one({"and", "or", "xor"});
  mods.take("ftz");
  const Type type = mods.take_type();
  const Handler run = comparison_of(d, type, name);
  const Row a = d.source(d.operand(1), type), b = d.source(d.operand(2), type);
  int64_t how = combined == "and" ? 1 : combined == "or" ? 2 : combined == "xor" ? 3 : 0;
  Row c = kNoRow;
  if (how != 0) {
    Operand other = d.operand(3);
    how += other.negated ? 4 : 0;
    other.negated = false;
    c = d.predicate(other);
  }
  Instruction& i = d.emit(run, Category::kInteger);
  i.a = a, i.b = b, i.c = c, i.immediate = how;
  i.d = d.predicate_result(d.operand(0));
  if (!d.statement().results.empty()) i.e = d.predicate_result(d.statement().results[0]);
}

template <bool to_float>
void set_from_predicate(Warp& w, const Instruction& i, Mask m) {
  const Mask p = w.predicate(i.a);
  const uint32_t yes = to_float ? 0x3F800000u : ~uint32_t{0};
  each_lane<uint32_t>(w, i.d, m, [&](int l) { return has_lane(p, l) ? yes : 0u; });
}

void decode_set(Decoder& d, Modifiers& mods) {
  const std::string name = mods.take_one(kComparisons);
  mods.take("ftz");
  const Type result = mods.take_type(), type = mods.take_type();
  const Handler run = comparison_of(d, type, name);
  const Row a = d.source(d.operand(1), type), b = d.source(d.operand(2), type);
  const Row p = d.temporary(0);
  Instruction& i = d.emit(run, Category::kInteger);
  i.a = a, i.b = b, i.d = p;
  Instruction& j = d.emit(result.is_float() ? set_from_predicate<true> : set_from_predicate<false>,
                          Category::kInteger);
  j.a = p, j.is_auxiliary = true, j.d = d.destination(d.operand(0), result);
}

template <class T>
void select(Warp& w, const Instruction& i, Mask m) {
  const In<T> a(w, i.a), b(w, i.b);
  const Mask p = w.predicate(i.c) ^ (i.immediate != 0 ? kFullMask : 0);
  each_lane<T>(w, i.d, m, [&](int l) { return has_lane(p, l) ? a[l] : b[l]; });
}

void decode_selp(Decoder& d, Modifiers& mods) {
  const Type type = mods.take_type();
  const Row a = d.source(d.operand(1), type), b = d.source(d.operand(2), type);
  Operand p = d.operand(3);
  const bool negated = p.negated;
  p.negated = false;
  const Row c = d.predicate(p);
  Instruction& i = d.emit(type.bits == 64 ? select<uint64_t> : select<uint32_t>, Category::kMove);
  i.a = a, i.b = b, i.c = c, i.immediate = negated, i.d = d.destination(d.operand(0), type);
  i.moves = Moves::kSelected;
}

template <class T, class S>
void select_by_sign(Warp& w, const Instruction& i, Mask m) {
  const In<T> a(w, i.a), b(w, i.b);
  const In<S> c(w, i.c);
  each_lane<T>(w, i.d, m, [&](int l) { return c[l] >= 0 ? a[l] : b[l]; });
}

void decode_slct(Decoder& d, Modifiers& mods) {
  mods.take("ftz");
  const Type type = mods.take_type(), by = mods.take_type();
  const Row a = d.source(d.operand(1), type), b = d.source(d.operand(2), type),
            c = d.source(d.operand(3), by);
  const bool wide = type.bits == 64;
  Instruction& i =
      d.emit(by.is_float()
                 ? (wide ? select_by_sign<uint64_t, float> : select_by_sign<uint32_t, float>)
                 : (wide ? select_by_sign<uint64_t, int32_t> : select_by_sign<uint32_t, int32_t>),
             Category::kMove);
  i.a = a, i.b = b, i.c = c, i.d = d.destination(d.operand(0), type);
}

// --- moves ---

template <class W, class N, int parts>
void pack(Warp& w, const Instruction& i, Mask m) {
  const In<N> a(w, i.a), b(w, i.b), c(w, parts == 4 ? i.c : i.a), e(w, parts == 4 ? i.c2 : i.a);
  constexpr int kShift = 8 * sizeof(N);
  each_lane<W>(w, i.d, m, [&](int l) {
    W result = static_cast<W>(static_cast<W>(a[l]) | static_cast<W>(b[l]) << kShift);
    if constexpr (parts == 4)
      result |= static_cast<W>(c[l]) << (2 * kShift) | static_cast<W>(e[l]) << (3 * kShift);
    return result;
  });
}

// Two neighbours of the parts.
template <class W, class N>
void unpack(Warp& w, const Instruction& i, Mask m) {
  constexpr int kShift = 8 * sizeof(N);
  const In<W> a(w, i.a);
  const auto part = [&](int l, int64_t shift) { return static_cast<N>(a[l] >> shift); };
  if (i.e == kNoRow) return each_lane<N>(w, i.d, m, [&](int l) { return part(l, i.immediate); });
  if (i.d == kNoRow)
    return each_lane<N>(w, i.e, m, [&](int l) { return part(l, i.immediate + kShift); });
  // A result may lie where the operand does: all is read before anything is written.
  W whole[kLanes];
  for (int l = 0; l < kLanes; ++l) whole[l] = a[l];
  each_lane<N>(w, i.d, m, [&](int l) { return static_cast<N>(whole[l] >> i.immediate); });
  each_lane<N>(w, i.e, m,
               [&](int l) { return static_cast<N>(whole[l] >> (i.immediate + kShift)); });
}

Type bits_type(int bits) { return ptx::type_named("b" + std::to_string(bits)); }

void decode_pack(Decoder& d, const Type& type) {
  const std::vector<Operand>& parts = d.operand(1).parts;
  const Type part = bits_type(type.bits / static_cast<int>(parts.size()));
  Handler run = nullptr;
  if (type.bits == 64 && parts.size() == 2) run = pack<uint64_t, uint32_t, 2>;
  if (type.bits == 64 && parts.size() == 4) run = pack<uint64_t, uint16_t, 4>;
  if (type.bits == 32 && parts.size() == 2) run = pack<uint32_t, uint16_t, 2>;
  if (type.bits == 32 && parts.size() == 4) run = pack<uint32_t, uint8_t, 4>;
  if (type.bits == 16 && parts.size() == 2) run = pack<uint16_t, uint8_t, 2>;
  if (run == nullptr) d.fail("this packing is not supported");
  Row rows[4] = {kNoRow, kNoRow, kNoRow, kNoRow};
  for (size_t k = 0; k < parts.size(); ++k) rows[k] = d.source(parts[k], part);
  Instruction& i = d.emit(run, Category::kMove);
  i.a = rows[0], i.b = rows[1], i.c = rows[2], i.c2 = rows[3],
  i.d = d.destination(d.operand(0), type);
}

void decode_unpack(Decoder& d, const Type& type) {
  const std::vector<Operand>& parts = d.operand(0).parts;
  const int bits = type.bits / static_cast<int>(parts.size());
  Handler run = nullptr;
  if (type.bits == 64 && bits == 32) run = unpack<uint64_t, uint32_t>;
  if (type.bits == 64 && bits == 16) run = unpack<uint64_t, uint16_t>;
  if (type.bits == 32 && bits == 16) run = unpack<uint32_t, uint16_t>;
  if (type.bits == 32 && bits == 8) run = unpack<uint32_t, uint8_t>;
  if (type.bits == 16 && bits == 8) run = unpack<uint16_t, uint8_t>;
  if (run == nullptr) d.fail("this unpacking is not supported");
  const Row source = d.source(d.operand(1), type);
  const bool is_last_read = parts.size() == 2;
  const auto result = [&](const Operand& part) {
    if (part.kind == Operand::Kind::kSink) return kNoRow;
    const Row row = d.destination(part, bits_type(bits));
    if (row == source && !is_last_read) d.fail("a part cannot be the register that is read");
    return row;
  };
  for (size_t k = 0; k < parts.size(); k += 2) {
    Instruction& i = d.emit(run, Category::kMove);
    i.a = source, i.immediate = static_cast<int64_t>(k) * bits, i.is_auxiliary = k != 0;
    i.d = result(parts[k]), i.e = result(parts[k + 1]);
    if (i.d == kNoRow && i.e == kNoRow) i.d = d.temporary(4);
  }
}

constexpr int64_t kTimer = 1, kHighHalf = 2;

template <class T>
void read_clock(Warp& w, const Instruction& i, Mask m) {
  const uint64_t now = clock_now(w, (i.immediate & kTimer) != 0);
  const int shift = (i.immediate & kHighHalf) != 0 ? 32 : 0;
  each_lane<T>(w, i.d, m, [&](int) { return static_cast<T>(now >> shift); });
}

void decode_mov(Decoder& d, Modifiers& mods) {
  const Type type = mods.take_type();
  const Operand& from = d.operand(1);
  if (type.is_predicate()) {
    const Row a = d.predicate(from);
    Instruction& i = d.emit(unary_predicate<Copy>, Category::kMove);
    i.a = a, i.d = predicate_to_write(d, d.operand(0));
    return;
  }
  if (type.bits == 128) d.fail(".b128 is not supported here");
  if (from.kind == Operand::Kind::kVector) return decode_pack(d, type);
  if (d.operand(0).kind == Operand::Kind::kVector) return decode_unpack(d, type);
  if (from.kind == Operand::Kind::kSpecial) {
    const bool is_timer = from.name.rfind("%globaltimer", 0) == 0;
    if (is_timer || from.name.rfind("%clock", 0) == 0) {
      const bool is_high = from.name == "%clock_hi" || from.name == "%globaltimer_hi";
      Instruction& i =
          d.emit(type.bits == 64 ? read_clock<uint64_t> : read_clock<uint32_t>, Category::kMove);
      i.immediate = (is_timer ? kTimer : 0) | (is_high ? kHighHalf : 0);
      i.d = d.destination(d.operand(0), type);
      return;
    }
  }
  const Row a = d.source(from, type);
  Instruction& i =
      d.emit(type.bits == 64 ? unary<Copy, uint64_t> : unary<Copy, uint32_t>, Category::kMove);
  i.a = a, i.d = d.destination(d.operand(0), type), i.moves = Moves::kAll;
}

}  // namespace

void add_logic(OpcodeTable& table) {
  table["and"] = decode_bits<And>;
  table["or"] = decode_bits<Or>;
  table["xor"] = decode_bits<Xor>;
  table["not"] = decode_not<Not>;
  table["cnot"] = decode_not<IsZero>;
  table["shl"] = decode_shift<true>;
  table["shr"] = decode_shift<false>;
  table["shf"] = decode_shf;
  table["lop3"] = decode_lop3;
  table["prmt"] = decode_prmt;
  table["setp"] = decode_setp;
  table["set"] = decode_set;
  table["selp"] = decode_selp;
  table["slct"] = decode_slct;
  table["mov"] = decode_mov;
}

}  // namespace softcuda
