// Floating-point arithmetic: exactly rounded where PTX says so, by the C library where it says
// approximately. Compiled without contraction: mul and add are never fused, fma always is.
#include <cfenv>
#include <cmath>

#include "decoder.h"
#include "lanes.h"

namespace softcuda {
namespace {

using ptx::Type;

template <class T>
T flush(T x) {
  return std::fpclassify(x) == FP_SUBNORMAL ? std::copysign(T{0}, x) : x;
}

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
// The number where the other is NaN; -0 is less than +0.
struct Min {
  template <class T>
  static T apply(T a, T b) {
    if (a != a) return b;
    if (b != b) return a;
    if (a == b) return std::signbit(a) ? a : b;
    return a < b ? a : b;
  }
};
struct Max {
  template <class T>
  static T apply(T a, T b) {
    if (a != a) return b;
    if (b != b) return a;
    if (a == b) return std::signbit(a) ? b : a;
    return a > b ? a : b;
  }
};
struct MinNan {
  template <class T>
  static T apply(T a, T b) {
    return a != a ? a : b != b ? b : Min::apply<T>(a, b);
  }
};
struct MaxNan {
  template <class T>
  static T apply(T a, T b) {
    return a != a ? a : b != b ? b : Max::apply<T>(a, b);
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
// Approximations: computed in double and rounded once, which is inside of every bound PTX gives.
struct Rsqrt {
  template <class T>
  static T apply(T a) {
    return static_cast<T>(1.0 / std::sqrt(static_cast<double>(a)));
  }
};
struct Sin {
  template <class T>
  static T apply(T a) {
    return static_cast<T>(std::sin(static_cast<double>(a)));
  }
};
struct Cos {
  template <class T>
  static T apply(T a) {
    return static_cast<T>(std::cos(static_cast<double>(a)));
  }
};
struct Ex2 {
  template <class T>
  static T apply(T a) {
    return static_cast<T>(std::exp2(static_cast<double>(a)));
  }
};
struct Lg2 {
  template <class T>
  static T apply(T a) {
    return static_cast<T>(std::log2(static_cast<double>(a)));
  }
};
struct Tanh {
  template <class T>
  static T apply(T a) {
    return static_cast<T>(std::tanh(static_cast<double>(a)));
  }
};
// rcp and rsqrt of .approx.ftz.f64 know the upper half only.
struct RcpHigh {
  template <class T>
  static T apply(T a) {
    return upper_half(1.0 / upper_half(flush(a)));
  }
  static double upper_half(double x) {
    uint64_t bits;
    std::memcpy(&bits, &x, sizeof bits);
    bits &= ~uint64_t{0xFFFFFFFF};
    std::memcpy(&x, &bits, sizeof bits);
    return x;
  }
};
struct RsqrtHigh {
  template <class T>
  static T apply(T a) {
    return RcpHigh::upper_half(1.0 / std::sqrt(RcpHigh::upper_half(flush(a))));
  }
};

// What differs from an exactly rounded operation on all numbers, in Instruction::immediate.
constexpr int64_t kFlush = 1, kSaturate = 2, kRoundingShift = 2;

class RoundingScope {
 public:
  explicit RoundingScope(int64_t rounding) : before_(std::fegetround()) {
    const int modes[] = {FE_TONEAREST, FE_TOWARDZERO, FE_DOWNWARD, FE_UPWARD};
    if (rounding != 0) std::fesetround(modes[rounding]);
  }
  ~RoundingScope() { std::fesetround(before_); }

 private:
  int before_;
};

template <class T>
T finish(T x, int64_t how) {
  if ((how & kFlush) != 0) x = flush(x);
  if ((how & kSaturate) != 0) x = x > T{0} ? (x < T{1} ? x : T{1}) : T{0};  // NaN becomes 0
  return x;
}

template <class Op, class T, int sources>
void general(Warp& w, const Instruction& i, Mask m) {
  const RoundingScope scope(i.immediate >> kRoundingShift);
  const In<T> a(w, i.a), b(w, sources > 1 ? i.b : i.a), c(w, sources > 2 ? i.c : i.a);
  const bool flushes = (i.immediate & kFlush) != 0;
  const auto load = [flushes](T x) { return flushes ? flush(x) : x; };
  each_lane<T>(w, i.d, m, [&](int l) {
    T result;
    if constexpr (sources == 1) result = Op::template apply<T>(load(a[l]));
    if constexpr (sources == 2) result = Op::template apply<T>(load(a[l]), load(b[l]));
    if constexpr (sources == 3) result = Op::template apply<T>(load(a[l]), load(b[l]), load(c[l]));
    return finish(result, i.immediate);
  });
}

template <class Op, int sources>
Handler handler(const Type& type, bool is_general) {
  return for_float(type, [is_general](auto zero) -> Handler {
    using T = decltype(zero);
    if (is_general) return general<Op, T, sources>;
    if constexpr (sources == 1)
      return unary<Op, T>;
    else if constexpr (sources == 2)
      return binary<Op, T>;
    else
      return ternary<Op, T>;
  });
}

template <class Op, int sources>
Instruction& emit(Decoder& d, const Type& type, int64_t how, Category category, int flops) {
  const Handler run = handler<Op, sources>(type, how != 0);
  if (run == nullptr) d.fail("this type is not supported here");
  const Row a = d.source(d.operand(1), type);
  const Row b = sources > 1 ? d.source(d.operand(2), type) : kNoRow;
  const Row c = sources > 2 ? d.source(d.operand(3), type) : kNoRow;
  Instruction& i = d.emit(run, category);
  i.a = a, i.b = b, i.c = c, i.immediate = how, i.flops = static_cast<uint8_t>(flops);
  i.d = d.destination(d.operand(0), type);
  return i;
}

int64_t flags(Modifiers& mods) {
  int64_t how = 0;
  const std::string rounding = mods.take_one({"rn", "rz", "rm", "rp"});
  if (mods.take("ftz")) how |= kFlush;
  if (mods.take("sat")) how |= kSaturate;
  const int64_t mode = rounding == "rz" ? 1 : rounding == "rm" ? 2 : rounding == "rp" ? 3 : 0;
  return how | mode << kRoundingShift;
}

Category category_of(const Type& type) {
  return type.bits == 64 ? Category::kFloat64 : Category::kFloat32;
}

template <class Op, int sources, int flops>
void decode_rounded(Decoder& d, Modifiers& mods) {
  const int64_t how = flags(mods);
  const Type type = mods.take_type();
  emit<Op, sources>(d, type, how, category_of(type), flops);
}

template <class Op, int sources>
void decode_exact(Decoder& d, Modifiers& mods) {
  const int64_t how = mods.take("ftz") ? kFlush : 0;
  const Type type = mods.take_type();
  emit<Op, sources>(d, type, how, category_of(type), 0);
}

template <class Op, class OpNan>
void decode_extremum(Decoder& d, Modifiers& mods) {
  const int64_t how = mods.take("ftz") ? kFlush : 0;
  const bool keeps_nan = mods.take("NaN");
  const Type type = mods.take_type();
  if (d.num_operands() == 3) {
    if (keeps_nan)
      emit<OpNan, 2>(d, type, how, category_of(type), 1);
    else
      emit<Op, 2>(d, type, how, category_of(type), 1);
  } else {
    d.fail("three operands are expected");
  }
}

void decode_div(Decoder& d, Modifiers& mods) {
  if (mods.take_one({"approx", "full"}).empty()) return decode_rounded<Div, 2, 1>(d, mods);
  const int64_t how = flags(mods);
  const Type type = mods.take_type();
  emit<Div, 2>(d, type, how, Category::kSpecial, 1);
}

template <class Op, class High>
void decode_rcp(Decoder& d, Modifiers& mods) {
  const bool is_approximate = mods.take("approx");
  const int64_t how = flags(mods);
  const Type type = mods.take_type();
  if (is_approximate && type.bits == 64) {
    emit<High, 1>(d, type, 0, Category::kSpecial, 1);
  } else {
    emit<Op, 1>(d, type, how, is_approximate ? Category::kSpecial : category_of(type), 1);
  }
}

void decode_sqrt(Decoder& d, Modifiers& mods) {
  const bool is_approximate = mods.take("approx");
  const int64_t how = flags(mods);
  const Type type = mods.take_type();
  emit<Sqrt, 1>(d, type, how, is_approximate ? Category::kSpecial : category_of(type), 1);
}

template <class Op>
void decode_approximate(Decoder& d, Modifiers& mods) {
  if (!mods.take("approx")) d.fail("only .approx is supported");
  const int64_t how = mods.take("ftz") ? kFlush : 0;
  const Type type = mods.take_type();
  if (type.bits != 32) d.fail("this type is not supported here");
  emit<Op, 1>(d, type, how, Category::kSpecial, 1);
}

enum class Test { kFinite, kInfinite, kNumber, kNotANumber, kNormal, kSubnormal };

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
                        return std::isnormal(x);
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
  table["add.float"] = decode_rounded<Add, 2, 1>;
  table["sub.float"] = decode_rounded<Sub, 2, 1>;
  table["mul.float"] = decode_rounded<Mul, 2, 1>;
  table["mad.float"] = decode_rounded<Fma, 3, 2>;
  table["fma"] = decode_rounded<Fma, 3, 2>;
  table["div.float"] = decode_div;
  table["min.float"] = decode_extremum<Min, MinNan>;
  table["max.float"] = decode_extremum<Max, MaxNan>;
  table["abs.float"] = decode_exact<Abs, 1>;
  table["neg.float"] = decode_exact<Neg, 1>;
  table["copysign"] = decode_exact<CopySign, 2>;
  table["rcp"] = decode_rcp<Rcp, RcpHigh>;
  table["rsqrt"] = decode_rcp<Rsqrt, RsqrtHigh>;
  table["sqrt"] = decode_sqrt;
  table["sin"] = decode_approximate<Sin>;
  table["cos"] = decode_approximate<Cos>;
  table["ex2"] = decode_approximate<Ex2>;
  table["lg2"] = decode_approximate<Lg2>;
  table["tanh"] = decode_approximate<Tanh>;
  table["testp"] = decode_testp;
}

}  // namespace softcuda
