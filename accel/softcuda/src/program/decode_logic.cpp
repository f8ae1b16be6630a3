// Bits: and, or, shifts, permutations; and predicates.
#include <algorithm>

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

template <class Op>
void binary_predicate(Warp& w, const Instruction& i, Mask m) {
  w.set_predicate(i.d, m, Op::template apply<Mask>(w.predicate(i.a), w.predicate(i.b)));
}
void not_predicate(Warp& w, const Instruction& i, Mask m) {
  w.set_predicate(i.d, m, ~w.predicate(i.a));
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
  if (type.is_predicate() && std::is_same_v<Op, Not>) {
    const Row a = d.predicate(d.operand(1));
    Instruction& i = d.emit(not_predicate, Category::kInteger);
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
  const bool is_left = mods.require_one({"l", "r"}) == "l",
             wraps = mods.require_one({"wrap", "clamp"}) == "wrap";
  const Type type = mods.take_type();
  if (type.bits != 32) d.fail("shf needs .b32");
  const Row a = d.source(d.operand(1), type), b = d.source(d.operand(2), type),
            c = d.source(d.operand(3), kU32);
  Instruction& i = d.emit(is_left ? (wraps ? funnel<true, true> : funnel<true, false>)
                                  : (wraps ? funnel<false, true> : funnel<false, false>),
                          Category::kInteger);
  i.a = a, i.b = b, i.c = c, i.d = d.destination(d.operand(0), type);
}

// The table has a bit for every a, b and c, a the highest. For each a and b what remains of it is a
// function of c, and of the four functions b and then a choose one.
void lop3(Warp& w, const Instruction& i, Mask m) {
  const In<uint32_t> a(w, i.a), b(w, i.b), c(w, i.c);
  uint32_t unset[4], flipped[4];  // where c is 0, and what c changes
  for (int k = 0; k < 4; ++k) {
    const bool without = (i.immediate >> (2 * k) & 1) != 0,
               with = (i.immediate >> (2 * k + 1) & 1) != 0;
    unset[k] = without ? ~uint32_t{0} : 0;
    flipped[k] = without != with ? ~uint32_t{0} : 0;
  }
  each_lane<uint32_t>(w, i.d, m, [&](int l) {
    const auto of_c = [&](int k) { return unset[k] ^ (flipped[k] & c[l]); };
    const auto choose = [](uint32_t by, uint32_t no, uint32_t yes) {
      return no ^ (by & (no ^ yes));
    };
    return choose(a[l], choose(b[l], of_c(0), of_c(1)), choose(b[l], of_c(2), of_c(3)));
  });
}

void decode_lop3(Decoder& d, Modifiers& mods) {
  const Type type = mods.take_type();
  if (type.bits != 32) d.fail("lop3 needs .b32");
  if (d.num_operands() != 5 || d.operand(4).kind != Operand::Kind::kInteger)
    d.fail("lop3 needs a table of 8 bits");
  const Row a = d.source(d.operand(1), type), b = d.source(d.operand(2), type),
            c = d.source(d.operand(3), type);
  const int64_t table = static_cast<int64_t>(d.operand(4).value & 0xFF);
  Instruction& i = d.emit(lop3, Category::kInteger);
  i.a = a, i.b = b, i.c = c, i.immediate = table, i.d = d.destination(d.operand(0), type);
}

// How prmt chooses its four bytes out of eight.
enum class Permute {
  kIndex,
  kForward4,
  kBackward4,
  kReplicate8,
  kEdgeLeft,
  kEdgeRight,
  kReplicate16
};

template <Permute mode>
uint32_t permuted(uint64_t bytes, uint32_t selector) {
  uint32_t result = 0;
  for (uint32_t k = 0; k < 4; ++k) {
    const uint32_t s = selector & 3;
    uint32_t from = (selector >> (4 * k)) & 0xF;
    if (mode == Permute::kForward4) from = s + k;
    if (mode == Permute::kBackward4) from = (s - k) & 7;
    if (mode == Permute::kReplicate8) from = s;
    if (mode == Permute::kEdgeLeft) from = std::max(s, k);
    if (mode == Permute::kEdgeRight) from = std::min(s, k);
    if (mode == Permute::kReplicate16) from = 2 * (s & 1) + (k & 1);
    const auto byte = static_cast<uint8_t>(bytes >> (8 * (from & 7)));
    // An index of more than 7 stands for the sign of the byte.
    const uint8_t sign = static_cast<uint8_t>(0 - (byte >> 7));
    result |= uint32_t{mode == Permute::kIndex && (from & 8) != 0 ? sign : byte} << (8 * k);
  }
  return result;
}

template <Permute mode>
void prmt(Warp& w, const Instruction& i, Mask m) {
  const In<uint32_t> a(w, i.a), b(w, i.b), c(w, i.c);
  each_lane<uint32_t>(w, i.d, m,
                      [&](int l) { return permuted<mode>(uint64_t{b[l]} << 32 | a[l], c[l]); });
}

void decode_prmt(Decoder& d, Modifiers& mods) {
  static constexpr std::pair<const char*, Handler> modes[] = {
      {"f4e", prmt<Permute::kForward4>},   {"b4e", prmt<Permute::kBackward4>},
      {"rc8", prmt<Permute::kReplicate8>}, {"ecl", prmt<Permute::kEdgeLeft>},
      {"ecr", prmt<Permute::kEdgeRight>},  {"rc16", prmt<Permute::kReplicate16>}};
  const Type type = mods.take_type();
  if (type.bits != 32) d.fail("prmt needs .b32");
  Handler run = prmt<Permute::kIndex>;
  for (const auto& [name, handler] : modes) {
    if (mods.take(name)) run = handler;
  }
  const Row a = d.source(d.operand(1), type), b = d.source(d.operand(2), type),
            c = d.source(d.operand(3), type);
  Instruction& i = d.emit(run, Category::kInteger);
  i.a = a, i.b = b, i.c = c, i.d = d.destination(d.operand(0), type);
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
  add_compare(table), add_move(table);
}

}  // namespace softcuda
