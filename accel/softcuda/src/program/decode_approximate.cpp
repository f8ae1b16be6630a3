// Approximations. They are computed far more exactly than PTX asks for, or, with SOFTCUDA_APPROX,
// moved from there by up to the largest error that the PTX manual gives for the instruction: who
// relies on exact mathematics should see it fail here before it fails on another GPU.
#include <algorithm>

#include "approximation.h"
#include "elementary.h"
#include "rounding.h"

namespace softcuda {
namespace {

using ptx::Type;

// An operation has
//   result(a[, b])   in float, as it is without a seed,
//   value(a[, b])    in double, from which the error is measured,
//   bound(value, a[, b])  the largest error,
//   kNumber          of its own, and
//   kFarthest        of an argument, if it has a way of its own, result_far, for those beyond.

struct Div {
  static constexpr uint64_t kNumber = 1;
  static float result(float a, float b) {
    // The manual: beyond 2^126, 1 / b is zero, and so is the product with anything but infinity.
    const float size = std::fabs(b);
    const bool is_lost = (size > 0x1p126f) & (size < std::numeric_limits<float>::infinity());
    const float quotient = a / b;
    return is_lost ? a * std::copysign(0.0f, b) : quotient;
  }
  static double value(double a, double b) { return a / b; }
  static double bound(double value, double, double b) {
    const double size = std::fabs(b);
    return size >= 0x1p-126 && size <= 0x1p126 ? 2 * float_ulp(value) : 0.0;
  }
};
struct DivFull {
  static constexpr uint64_t kNumber = 2;
  static float result(float a, float b) { return a / b; }
  static double value(double a, double b) { return a / b; }
  static double bound(double value, double, double) { return 2 * float_ulp(value); }
};
struct Rcp {
  static constexpr uint64_t kNumber = 3;
  static float result(float a) { return 1.0f / a; }
  static double value(double a) { return 1.0 / a; }
  static double bound(double value, double) { return float_ulp(value); }
};
struct Sqrt {
  static constexpr uint64_t kNumber = 4;
  static float result(float a) { return std::sqrt(a); }
  static double value(double a) { return std::sqrt(a); }
  static double bound(double value, double) { return value * 0x1p-23; }
};
struct Rsqrt {
  static constexpr uint64_t kNumber = 5;
  static float result(float a) { return static_cast<float>(value(a)); }
  static double value(double a) { return 1.0 / std::sqrt(a); }
  static double bound(double value, double) { return value * 0x1.125fbep-23; }  // 2^-22.9
};

// Beyond 100 pi the manual gives no bound; what holds up to there is taken for it.
double bound_of_sine(double a) {
  constexpr double kPi = 0x1.921fb54442d18p+1;
  return std::fabs(a) <= 2 * kPi ? 0x1.6a09e6p-21 : 0x1.3b2c47p-15;  // 2^-20.5, 2^-14.7
}
struct Sin {
  static constexpr uint64_t kNumber = 6;
  static constexpr double kFarthest = kFarthestAngle;
  static float result(float a) { return static_cast<float>(elementary_sine(a, 0)); }
  static float result_far(float a) { return static_cast<float>(std::sin(static_cast<double>(a))); }
  static double value(double a) { return std::sin(a); }
  static double bound(double, double a) { return bound_of_sine(a); }
};
struct Cos {
  static constexpr uint64_t kNumber = 7;
  static constexpr double kFarthest = kFarthestAngle;
  static float result(float a) { return static_cast<float>(elementary_sine(a, 1)); }
  static float result_far(float a) { return static_cast<float>(std::cos(static_cast<double>(a))); }
  static double value(double a) { return std::cos(a); }
  static double bound(double, double a) { return bound_of_sine(a); }
};
struct Ex2 {
  static constexpr uint64_t kNumber = 8;
  static float result(float a) { return elementary_exp2(a); }
  // The manual counts from the correctly rounded result.
  static double value(double a) { return result(static_cast<float>(a)); }
  // A power of two is not negative, however small.
  static double bound(double value, double) { return std::fmin(2 * float_ulp(value), value); }
};
struct Lg2 {
  static constexpr uint64_t kNumber = 9;
  static float result(float a) { return elementary_log2(a); }
  static double value(double a) { return std::log2(a); }
  static double bound(double value, double a) {
    return a > 0.5 && a < 2.0 ? 0x1p-22 : std::fabs(value) * 0x1p-22;
  }
};
struct Tanh {
  static constexpr uint64_t kNumber = 10;
  static float result(float a) { return elementary_tanh(a); }
  static double value(double a) { return std::tanh(a); }
  // Subnormal operands are passed through.
  static double bound(double value, double a) {
    return std::fabs(a) < std::numeric_limits<float>::min() ? 0.0 : std::fabs(value) * 0x1p-11;
  }
};

template <class Op, class = void>
constexpr bool has_farthest = false;
template <class Op>
constexpr bool has_farthest<Op, std::void_t<decltype(Op::kFarthest)>> = true;

template <class Op, int sources, bool flushes>
void approximate(Warp& w, const Instruction& i, Mask m) {
  const In<float> a(w, i.a), b(w, sources > 1 ? i.b : i.a);
  const auto load = [](float x) { return flushes ? flush(x) : x; };
  const auto store = [](float x) { return flushes ? flush(x) : x; };
  if constexpr (has_farthest<Op>) {
    const Mask far = lanes_where([&](int l) { return !(std::fabs(a[l]) <= Op::kFarthest); });
    if ((far & m) != 0)
      return each_lane<float>(w, i.d, m, [&](int l) { return Op::result_far(load(a[l])); });
  }
  each_lane<float>(w, i.d, m, [&](int l) {
    if constexpr (sources == 1)
      return store(Op::result(load(a[l])));
    else
      return store(Op::result(load(a[l]), load(b[l])));
  });
}

// The seed is in Instruction::immediate. Zeros, infinities and NaN give what they always do.
template <class Op, int sources, bool flushes>
void displace(Warp& w, const Instruction& i, Mask m) {
  constexpr auto load = [](float x) { return flushes ? flush(x) : x; };
  const In<float> a(w, i.a), b(w, sources > 1 ? i.b : i.a);
  float before[kLanes], other[kLanes];
  for (int l = 0; l < kLanes; ++l) before[l] = load(a[l]), other[l] = load(b[l]);
  approximate<Op, sources, flushes>(w, i, m);
  const In<float> exact(w, i.d);
  each_lane<float>(w, i.d, m, [&](int l) {
    const float x = before[l], y = sources > 1 ? other[l] : 1.0f, now = exact[l];
    if (x == 0 || y == 0 || !std::isfinite(x) || !std::isfinite(y) || !std::isfinite(now))
      return now;
    double value, bound;
    if constexpr (sources == 1)
      value = Op::value(x), bound = Op::bound(value, x);
    else
      value = Op::value(x, y), bound = Op::bound(value, x, y);
    const double where = displacement(static_cast<uint64_t>(i.immediate), Op::kNumber, to_lane(x),
                                      sources > 1 ? to_lane(y) : 0);
    const float result = displaced(now, value, bound, where);
    return load(result) == 0 && now != 0 ? now : result;
  });
}

// rcp and rsqrt of .approx.ftz.f64 know the upper half of their operand and write that of their
// result. The manual gives no bound: moved, it is the next number of 32 bits.
constexpr uint64_t kUpperHalf = 0xFFFFFFFF00000000, kUpperOne = uint64_t{1} << 32;

template <bool is_root>
double upper_half(double a) {
  const double x = flush(double_of(bits_of(a) & kUpperHalf));
  const double exact = is_root ? 1.0 / std::sqrt(x) : 1.0 / x;
  const uint64_t result = exact != exact ? 0x7FFFFFFF00000000 : bits_of(flush(exact));
  return double_of(result & kUpperHalf);
}

template <bool is_root, bool is_displaced>
void approximate_upper_half(Warp& w, const Instruction& i, Mask m) {
  const In<double> a(w, i.a);
  each_lane<double>(w, i.d, m, [&](int l) {
    const double x = a[l], exact = upper_half<is_root>(x);
    if (!is_displaced || !std::isnormal(exact)) return exact;
    const double where = displacement(static_cast<uint64_t>(i.immediate), is_root ? 12 : 11,
                                      bits_of(x) & kUpperHalf, 0);
    const double moved = double_of(bits_of(exact) + (where < 0 ? 0 - kUpperOne : kUpperOne));
    return std::isnormal(moved) ? moved : exact;
  });
}

// rsqrt.approx.f64: no more is known of it than that CUDA's rsqrt has an error of 1 ulp.
template <bool is_displaced>
void rsqrt_double(Warp& w, const Instruction& i, Mask m) {
  const In<double> a(w, i.a);
  each_lane<double>(w, i.d, m, [&](int l) {
    const double x = a[l], exact = 1.0 / std::sqrt(x);
    if (!is_displaced || !std::isnormal(exact)) return exact;
    const double where = displacement(static_cast<uint64_t>(i.immediate), 13, bits_of(x), 0);
    return std::nextafter(exact, where < 0 ? 0.0 : 2 * exact);
  });
}

// --- decoding ---

void emit(Decoder& d, const Type& type, Handler run, size_t sources) {
  const Row a = d.source(d.operand(1), type);
  const Row b = sources > 1 ? d.source(d.operand(2), type) : kNoRow;
  Instruction& i = d.emit(run, Category::kSpecial);
  i.a = a, i.b = b, i.flops = 1;
  i.immediate = static_cast<int64_t>(d.symbols().program->approximation_seed);
  i.d = d.destination(d.operand(0), type);
}

bool is_displaced(const Decoder& d) { return d.symbols().program->approximation_seed != 0; }

template <class Op, int sources, bool may_flush = true>
void decode_single(Decoder& d, Modifiers& mods) {
  const bool flushes = may_flush && mods.take("ftz");
  const Type type = mods.take_type();
  if (!(type.is_float() && type.bits == 32 && type.elements == 1))
    d.fail("this type is not supported here");
  const Handler run =
      is_displaced(d)
          ? (flushes ? displace<Op, sources, true> : displace<Op, sources, false>)
          : (flushes ? approximate<Op, sources, true> : approximate<Op, sources, false>);
  emit(d, type, run, sources);
}

bool is_double(const Decoder& d) {
  const auto& words = d.statement().modifiers;
  return !words.empty() && words.back() == "f64";
}

template <bool is_root>
void decode_upper_half(Decoder& d, Modifiers& mods) {
  if (!mods.take("ftz")) d.fail("of .f64, only .approx.ftz is supported");
  emit(d, mods.take_type(),
       is_displaced(d) ? approximate_upper_half<is_root, true>
                       : approximate_upper_half<is_root, false>,
       1);
}

template <class Op, bool may_flush = true>
void decode_elementary(Decoder& d, Modifiers& mods) {
  if (!mods.take("approx")) d.fail("only .approx is supported");
  decode_single<Op, 1, may_flush>(d, mods);
}

void decode_rsqrt(Decoder& d, Modifiers& mods) {
  if (!is_double(d)) return decode_elementary<Rsqrt>(d, mods);
  if (!mods.take("approx")) d.fail("only .approx is supported");
  const auto& words = d.statement().modifiers;
  if (std::find(words.begin(), words.end(), "ftz") != words.end())
    return decode_upper_half<true>(d, mods);
  emit(d, mods.take_type(), is_displaced(d) ? rsqrt_double<true> : rsqrt_double<false>, 1);
}

}  // namespace

void decode_approximate_div(Decoder& d, Modifiers& mods) {
  if (mods.take_one({"approx", "full"}) == "full") return decode_single<DivFull, 2>(d, mods);
  decode_single<Div, 2>(d, mods);
}

void decode_approximate_rcp(Decoder& d, Modifiers& mods) {
  mods.take("approx");
  if (is_double(d)) return decode_upper_half<false>(d, mods);
  decode_single<Rcp, 1>(d, mods);
}

void decode_approximate_sqrt(Decoder& d, Modifiers& mods) {
  mods.take("approx");
  decode_single<Sqrt, 1>(d, mods);
}

void add_approximations(OpcodeTable& table) {
  table["rsqrt"] = decode_rsqrt;
  table["sin"] = decode_elementary<Sin>;
  table["cos"] = decode_elementary<Cos>;
  table["ex2"] = decode_elementary<Ex2>;
  table["lg2"] = decode_elementary<Lg2>;
  table["tanh"] = decode_elementary<Tanh, false>;
}

}  // namespace softcuda
