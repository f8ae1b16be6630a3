// Floating-point arithmetic that is exactly rounded. Compiled without contraction: mul and add are
// never fused, fma always is.
#include "approximation.h"
#include "rounding.h"

namespace softcuda {
namespace {

using ptx::Type;

struct Add {
  template <class T>
  static T apply(T a, T b) {
    return a + b;
  }
};
struct Sub {
  template <class T>
  static T apply(T a, T b) {
    return a - b;
  }
};
struct Mul {
  template <class T>
  static T apply(T a, T b) {
    return a * b;
  }
};
struct Div {
  template <class T>
  static T apply(T a, T b) {
    return a / b;
  }
};
struct Fma {
  template <class T>
  static T apply(T a, T b, T c) {
    return std::fma(a, b, c);
  }
};
struct Sqrt {
  template <class T>
  static T apply(T a) {
    return std::sqrt(a);
  }
};
struct Rcp {
  template <class T>
  static T apply(T a) {
    return T{1} / a;
  }
};
struct Abs {
  template <class T>
  static T apply(T a) {
    return std::fabs(a);
  }
};
struct Neg {
  template <class T>
  static T apply(T a) {
    return -a;
  }
};
struct CopySign {
  template <class T>
  static T apply(T a, T b) {
    return std::copysign(b, a);
  }
};

// What PTX calls the canonical NaN: all bits but the sign.
template <class T>
T canonical_nan() {
  return from_lane<T>(std::numeric_limits<Lane<T>>::max() >> 1);
}

// The number where the other is NaN, or NaN where .NaN says so; -0 is less than +0.
template <bool is_max, bool keeps_nan>
struct Extremum {
  template <class T>
  static T apply(T a, T b) {
    const bool takes_a = is_max ? a > b : a < b;
    // Equal numbers have the same bits, but for zeros of two signs.
    const Lane<T> bits_a = to_lane<T>(a), bits_b = to_lane<T>(b);
    T result = from_lane<T>(is_max ? bits_a & bits_b : bits_a | bits_b);
    result = a == b ? result : (takes_a ? a : b);
    const bool no_a = a != a, no_b = b != b;
    if constexpr (!keeps_nan) {
      result = no_b ? a : result;
      return (no_a & no_b) ? canonical_nan<T>() : result;
    } else {
      return (no_a | no_b) ? canonical_nan<T>() : result;
    }
  }
};

template <class Op, class T, int sources, bool flushes, bool saturates>
void arithmetic(Warp& w, const Instruction& i, Mask m) {
  const In<T> a(w, i.a), b(w, sources > 1 ? i.b : i.a), c(w, sources > 2 ? i.c : i.a);
  const auto load = [](T x) { return flushes ? flush(x) : x; };
  each_lane<T>(w, i.d, m, [&](int l) {
    T x;
    if constexpr (sources == 1) x = Op::template apply<T>(load(a[l]));
    if constexpr (sources == 2) x = Op::template apply<T>(load(a[l]), load(b[l]));
    if constexpr (sources == 3) x = Op::template apply<T>(load(a[l]), load(b[l]), load(c[l]));
    if constexpr (flushes) x = flush(x);
    return saturates ? saturate(x) : x;
  });
}

// The modifiers of an operation on floating-point numbers.
struct How {
  Rounding rounding = Rounding::kNearest;
  bool flushes = false;
  bool saturates = false;
};

template <class Op, class T, int sources, bool flushes, bool saturates>
Handler rounded(Rounding rounding) {
  constexpr Handler run = arithmetic<Op, T, sources, flushes, saturates>;
  return rounding == Rounding::kNearest ? run : directed<run>;
}

template <class Op, int sources>
Handler handler(const Type& type, const How& how) {
  const Rounding r = how.rounding;
  if (type.elements != 1) return nullptr;
  if (type.bits == 64 && !how.flushes && !how.saturates)
    return rounded<Op, double, sources, false, false>(r);
  if (type.bits != 32) return nullptr;
  if (how.flushes) {
    return how.saturates ? rounded<Op, float, sources, true, true>(r)
                         : rounded<Op, float, sources, true, false>(r);
  }
  return how.saturates ? rounded<Op, float, sources, false, true>(r)
                       : rounded<Op, float, sources, false, false>(r);
}

Category category_of(const Type& type) {
  return type.bits == 64 ? Category::kFloat64 : Category::kFloat32;
}

template <class Op, int sources>
void emit(Decoder& d, const Type& type, const How& how, int flops) {
  const Handler run = handler<Op, sources>(type, how);
  if (run == nullptr) d.fail("this type is not supported with these modifiers");
  const Row a = d.source(d.operand(1), type);
  const Row b = sources > 1 ? d.source(d.operand(2), type) : kNoRow;
  const Row c = sources > 2 ? d.source(d.operand(3), type) : kNoRow;
  Instruction& i = d.emit(run, category_of(type));
  i.a = a, i.b = b, i.c = c, i.flops = static_cast<uint8_t>(flops);
  i.immediate = static_cast<int64_t>(how.rounding);
  i.d = d.destination(d.operand(0), type);
}

template <class Op, int sources, int flops, bool needs_rounding, bool may_saturate>
void decode_rounded(Decoder& d, Modifiers& mods) {
  How how;
  const std::string rounding = mods.take_one({"rn", "rz", "rm", "rp"});
  if (needs_rounding && rounding.empty()) d.fail("needs .rn, .rz, .rm or .rp");
  how.rounding = rounding_named(rounding);
  how.flushes = mods.take("ftz");
  how.saturates = may_saturate && mods.take("sat");
  emit<Op, sources>(d, mods.take_type(), how, flops);
}

template <class Op, int sources, bool may_flush>
void decode_exact(Decoder& d, Modifiers& mods) {
  How how;
  how.flushes = may_flush && mods.take("ftz");
  emit<Op, sources>(d, mods.take_type(), how, 0);
}

template <bool is_max>
void decode_extremum(Decoder& d, Modifiers& mods) {
  How how;
  how.flushes = mods.take("ftz");
  const bool keeps_nan = mods.take("NaN");
  const Type type = mods.take_type();
  if (keeps_nan && type.bits == 64) d.fail(".NaN needs .f32");
  if (keeps_nan)
    emit<Extremum<is_max, true>, 2>(d, type, how, 1);
  else
    emit<Extremum<is_max, false>, 2>(d, type, how, 1);
}

// div, rcp and sqrt: exactly rounded, or approximations of their own.
template <class Op, int sources, Decode approximate>
void decode_divided(Decoder& d, Modifiers& mods) {
  for (const std::string& word : d.statement().modifiers) {
    if (word == "approx" || word == "full") return approximate(d, mods);
  }
  decode_rounded<Op, sources, 1, true, false>(d, mods);
}

enum class Test : int64_t { kFinite, kInfinite, kNumber, kNotANumber, kNormal, kSubnormal };

template <class T>
void testp(Warp& w, const Instruction& i, Mask m) {
  const In<T> a(w, i.a);
  w.set_predicate(i.d, m, lanes_where([&](int l) -> bool {
                    const T x = a[l];
                    switch (static_cast<Test>(i.immediate)) {
                      case Test::kFinite:
                        return std::isfinite(x);
                      case Test::kInfinite:
                        return std::isinf(x);
                      case Test::kNumber:
                        return !std::isnan(x);
                      case Test::kNotANumber:
                        return std::isnan(x);
                      case Test::kNormal:
                        return x == 0 || std::isnormal(x);  // zeros count as normal
                      default:
                        return std::fpclassify(x) == FP_SUBNORMAL;
                    }
                  }));
}

void decode_testp(Decoder& d, Modifiers& mods) {
  static const std::vector<std::string> tests = {"finite",     "infinite", "number",
                                                 "notanumber", "normal",   "subnormal"};
  const std::string name = mods.take_one(tests);
  const Type type = mods.take_type();
  int64_t which = -1;
  for (size_t k = 0; k < tests.size(); ++k) {
    if (tests[k] == name) which = static_cast<int64_t>(k);
  }
  if (which < 0) d.fail("testp needs a property");
  const Handler run = for_float(type, [](auto zero) -> Handler { return testp<decltype(zero)>; });
  if (run == nullptr) d.fail("this type is not supported here");
  const Row a = d.source(d.operand(1), type);
  Instruction& i = d.emit(run, category_of(type));
  i.a = a, i.immediate = which, i.d = d.predicate_result(d.operand(0));
  if (i.d == kNoRow) i.d = d.temporary(0);
}

}  // namespace

void add_float(OpcodeTable& table) {
  table["add.float"] = decode_rounded<Add, 2, 1, false, true>;
  table["sub.float"] = decode_rounded<Sub, 2, 1, false, true>;
  table["mul.float"] = decode_rounded<Mul, 2, 1, false, true>;
  table["mad.float"] = decode_rounded<Fma, 3, 2, true, true>;
  table["fma"] = decode_rounded<Fma, 3, 2, true, true>;
  table["div.float"] = decode_divided<Div, 2, decode_approximate_div>;
  table["rcp"] = decode_divided<Rcp, 1, decode_approximate_rcp>;
  table["sqrt"] = decode_divided<Sqrt, 1, decode_approximate_sqrt>;
  table["min.float"] = decode_extremum<false>;
  table["max.float"] = decode_extremum<true>;
  table["abs.float"] = decode_exact<Abs, 1, true>;
  table["neg.float"] = decode_exact<Neg, 1, true>;
  table["copysign"] = decode_exact<CopySign, 2, false>;
  table["testp"] = decode_testp;
  add_approximations(table);
}

}  // namespace softcuda
