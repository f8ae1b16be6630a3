// Comparisons, and selection by what they gave.
#include "rounding.h"

namespace softcuda {
namespace {

using ptx::Operand;
using ptx::Type;

enum class Compare { kEq, kNe, kLt, kLe, kGt, kGe, kNum, kNan };

// Without branches, so that lanes are compared several at a time.
template <Compare compare, class T>
bool holds(T x, T y) {
  switch (compare) {
    case Compare::kEq:
      return x == y;
    case Compare::kNe:
      return (x < y) | (x > y);
    case Compare::kLt:
      return x < y;
    case Compare::kLe:
      return x <= y;
    case Compare::kGt:
      return x > y;
    case Compare::kGe:
      return x >= y;
    case Compare::kNum:
      return (x == x) & (y == y);
    default:
      return (x != x) | (y != y);
  }
}

// True too where an operand is NaN: what is opposite does not hold.
template <Compare compare, class T>
bool holds_unordered(T x, T y) {
  switch (compare) {
    case Compare::kEq:
      return !holds<Compare::kNe>(x, y);
    case Compare::kNe:
      return x != y;
    case Compare::kLt:
      return !(x >= y);
    case Compare::kLe:
      return !(x > y);
    case Compare::kGt:
      return !(x <= y);
    default:
      return !(x < y);
  }
}

// Instruction::immediate: how the result is combined with the predicate c.
constexpr int64_t kAnd = 1, kOr = 2, kXor = 3, kNegated = 4;

Mask combined(int64_t how, Mask result, Mask other) {
  if ((how & kNegated) != 0) other = ~other;
  switch (how & ~kNegated) {
    case kAnd:
      return result & other;
    case kOr:
      return result | other;
    default:
      return result ^ other;
  }
}

template <class T, Compare compare, bool is_unordered, bool flushes>
void compare_lanes(Warp& w, const Instruction& i, Mask m) {
  const In<T> a(w, i.a), b(w, i.b);
  Mask result = lanes_where([&](int l) {
    T x = a[l], y = b[l];
    if constexpr (flushes) x = flush(x), y = flush(y);
    return is_unordered ? holds_unordered<compare>(x, y) : holds<compare>(x, y);
  });
  Mask opposite = ~result;
  if (i.immediate != 0) {
    const Mask other = w.predicate(i.c);
    result = combined(i.immediate, result, other);
    opposite = combined(i.immediate, opposite, other);
  }
  if (i.d != kNoRow) w.set_predicate(i.d, m, result);
  if (i.e != kNoRow) w.set_predicate(i.e, m, opposite);
}

struct Name {
  const char* text;
  Compare compare;
  bool is_unordered;
};

constexpr Name kNames[] = {
    {"eq", Compare::kEq, false}, {"ne", Compare::kNe, false},   {"lt", Compare::kLt, false},
    {"le", Compare::kLe, false}, {"gt", Compare::kGt, false},   {"ge", Compare::kGe, false},
    {"lo", Compare::kLt, false}, {"ls", Compare::kLe, false},   {"hi", Compare::kGt, false},
    {"hs", Compare::kGe, false}, {"equ", Compare::kEq, true},   {"neu", Compare::kNe, true},
    {"ltu", Compare::kLt, true}, {"leu", Compare::kLe, true},   {"gtu", Compare::kGt, true},
    {"geu", Compare::kGe, true}, {"num", Compare::kNum, false}, {"nan", Compare::kNan, false}};

const Name& take_name(Decoder& d, Modifiers& mods) {
  for (const Name& name : kNames) {
    if (mods.take(name.text)) return name;
  }
  d.fail("a comparison is missing");
}

template <class T, bool is_unordered, bool flushes>
Handler comparison(Compare compare) {
  switch (compare) {
    case Compare::kEq:
      return compare_lanes<T, Compare::kEq, is_unordered, flushes>;
    case Compare::kNe:
      return compare_lanes<T, Compare::kNe, is_unordered, flushes>;
    case Compare::kLt:
      return compare_lanes<T, Compare::kLt, is_unordered, flushes>;
    case Compare::kLe:
      return compare_lanes<T, Compare::kLe, is_unordered, flushes>;
    case Compare::kGt:
      return compare_lanes<T, Compare::kGt, is_unordered, flushes>;
    case Compare::kGe:
      return compare_lanes<T, Compare::kGe, is_unordered, flushes>;
    default:
      break;
  }
  if constexpr (std::is_floating_point_v<T> && !is_unordered) {
    return compare == Compare::kNum ? compare_lanes<T, Compare::kNum, false, flushes>
                                    : compare_lanes<T, Compare::kNan, false, flushes>;
  }
  return nullptr;
}

Handler comparison_of(Decoder& d, const Type& type, const Name& name, bool flushes) {
  const std::string text = name.text;
  const bool is_unsigned_only = text == "lo" || text == "ls" || text == "hi" || text == "hs";
  const bool is_equality = name.compare == Compare::kEq || name.compare == Compare::kNe;
  Handler run = nullptr;
  if (type.is_integer() && !name.is_unordered && !flushes) {
    run = for_integer(
        type, [&](auto zero) { return comparison<decltype(zero), false, false>(name.compare); });
    if (type.kind == Type::Kind::kBits && !is_equality) run = nullptr;
    if (is_unsigned_only && type.kind != Type::Kind::kUnsigned) run = nullptr;
  } else if (type.is_float() && type.elements == 1 && !is_unsigned_only) {
    const Compare c = name.compare;
    if (type.bits == 32 && flushes)
      run =
          name.is_unordered ? comparison<float, true, true>(c) : comparison<float, false, true>(c);
    else if (type.bits == 32)
      run = name.is_unordered ? comparison<float, true, false>(c)
                              : comparison<float, false, false>(c);
    else if (type.bits == 64 && !flushes)
      run = name.is_unordered ? comparison<double, true, false>(c)
                              : comparison<double, false, false>(c);
  }
  if (run == nullptr) d.fail("this comparison is not supported for this type");
  return run;
}

// A comparison with the predicate that it is combined with, if any. The results are left open.
Instruction& emit_comparison(Decoder& d, Modifiers& mods, bool has_result_type, Type& result) {
  const Name& name = take_name(d, mods);
  const std::string word = mods.take_one({"and", "or", "xor"});
  const bool flushes = mods.take("ftz");
  if (has_result_type) result = mods.take_type();
  const Type type = mods.take_type();
  const Handler run = comparison_of(d, type, name, flushes);
  const Row a = d.source(d.operand(1), type), b = d.source(d.operand(2), type);
  int64_t how = word == "and" ? kAnd : word == "or" ? kOr : word == "xor" ? kXor : 0;
  Row c = kNoRow;
  if (how != 0) {
    Operand other = d.operand(3);
    if (other.negated) how |= kNegated;
    other.negated = false;
    c = d.predicate(other);
  }
  Instruction& i = d.emit(run, Category::kInteger);
  i.a = a, i.b = b, i.c = c, i.immediate = how;
  return i;
}

void decode_setp(Decoder& d, Modifiers& mods) {
  Type none;
  Instruction& i = emit_comparison(d, mods, false, none);
  i.d = d.predicate_result(d.operand(0));
  if (!d.statement().results.empty()) i.e = d.predicate_result(d.statement().results[0]);
}

template <bool to_float>
void set_from_predicate(Warp& w, const Instruction& i, Mask m) {
  const Mask p = w.predicate(i.a);
  const uint32_t yes = to_float ? 0x3F800000u : ~uint32_t{0};
  each_lane<uint32_t>(w, i.d, m, [&](int l) { return (0 - ((p >> l) & 1u)) & yes; });
}

void decode_set(Decoder& d, Modifiers& mods) {
  Type result;
  const Row p = d.temporary(0);
  emit_comparison(d, mods, true, result).d = p;
  if (result.bits != 32 || result.elements != 1) d.fail("set needs a result of 32 bits");
  Instruction& j = d.emit(result.is_float() ? set_from_predicate<true> : set_from_predicate<false>,
                          Category::kInteger);
  j.a = p, j.is_auxiliary = true, j.d = d.destination(d.operand(0), result);
}

template <class T>
void select(Warp& w, const Instruction& i, Mask m) {
  const In<T> a(w, i.a), b(w, i.b);
  const Mask p = w.predicate(i.c) ^ (i.immediate != 0 ? kFullMask : 0);
  each_lane<T>(w, i.d, m, [&](int l) {
    const T takes_b = T{(p >> l) & 1u} - 1;
    return (a[l] & ~takes_b) | (b[l] & takes_b);
  });
}

void decode_selp(Decoder& d, Modifiers& mods) {
  const Type type = mods.take_type();
  if (type.is_predicate() || type.bits < 16 || type.bits > 64) d.fail("has no such type");
  const Row a = d.source(d.operand(1), type), b = d.source(d.operand(2), type);
  Operand p = d.operand(3);
  const bool negated = p.negated;
  p.negated = false;
  const Row c = d.predicate(p);
  Instruction& i = d.emit(type.bits == 64 ? select<uint64_t> : select<uint32_t>, Category::kMove);
  i.a = a, i.b = b, i.c = c, i.immediate = negated, i.d = d.destination(d.operand(0), type);
  i.moves = Moves::kSelected;
}

template <class T, class S, bool flushes>
void select_by_sign(Warp& w, const Instruction& i, Mask m) {
  const In<T> a(w, i.a), b(w, i.b);
  const In<S> c(w, i.c);
  each_lane<T>(w, i.d, m, [&](int l) {
    S by = c[l];
    if constexpr (flushes) by = flush(by);
    return by >= 0 ? a[l] : b[l];
  });
}

template <class T>
Handler selection_by_sign(const Type& by, bool flushes) {
  if (by.bits != 32 || by.elements != 1) return nullptr;
  if (by.is_signed() && !flushes) return select_by_sign<T, int32_t, false>;
  if (!by.is_float()) return nullptr;
  return flushes ? select_by_sign<T, float, true> : select_by_sign<T, float, false>;
}

void decode_slct(Decoder& d, Modifiers& mods) {
  const bool flushes = mods.take("ftz");
  const Type type = mods.take_type(), by = mods.take_type();
  if (type.is_predicate() || type.bits < 16 || type.bits > 64) d.fail("has no such type");
  const Handler run = type.bits == 64 ? selection_by_sign<uint64_t>(by, flushes)
                                      : selection_by_sign<uint32_t>(by, flushes);
  if (run == nullptr) d.fail("slct is by .s32 or .f32");
  const Row a = d.source(d.operand(1), type), b = d.source(d.operand(2), type),
            c = d.source(d.operand(3), by);
  Instruction& i = d.emit(run, Category::kMove);
  i.a = a, i.b = b, i.c = c, i.d = d.destination(d.operand(0), type);
}

}  // namespace

void add_compare(OpcodeTable& table) {
  table["setp"] = decode_setp;
  table["set"] = decode_set;
  table["selp"] = decode_selp;
  table["slct"] = decode_slct;
}

}  // namespace softcuda
