// cvt: between integers and floating-point numbers of all widths.
#include "half.h"
#include "rounding.h"

namespace softcuda {
namespace {

using ptx::Type;

// To an integral number, of .rni, .rzi, .rmi and .rpi.
enum class Integral { kNone, kNearest, kZero, kDown, kUp };

struct How {
  Rounding rounding = Rounding::kNearest;
  bool has_rounding = false;
  Integral integral = Integral::kNone;
  bool flushes = false;
  bool saturates = false;
};

// A half is read as a float.
struct Half {};
template <class S>
using Value = std::conditional_t<std::is_same_v<S, Half>, float, S>;

template <class S>
class Source {
 public:
  Source(const Warp& w, Row row) : lanes_(w, row) {}
  Value<S> operator[](int lane) const {
    if constexpr (std::is_same_v<S, Half>)
      return half_to_float(lanes_[lane]);
    else
      return lanes_[lane];
  }

 private:
  In<std::conditional_t<std::is_same_v<S, Half>, uint16_t, S>> lanes_;
};

// Write f(lane); a register that is wider than a signed type gets its sign.
template <class D, class F>
void each_result(Warp& w, const Instruction& i, Mask m, F f) {
  if constexpr (std::is_integral_v<D> && std::is_signed_v<D> && sizeof(D) < 4)
    each_lane<int32_t>(w, i.d, m, [&](int l) { return int32_t{f(l)}; });
  else
    each_lane<D>(w, i.d, m, f);
}

// --- between integers ---

template <class D, class S>
void resize(Warp& w, const Instruction& i, Mask m) {
  const In<S> a(w, i.a);
  each_result<D>(w, i, m, [&](int l) { return static_cast<D>(a[l]); });
}

template <class D, class S>
D clamped(S x) {
  constexpr D kLeast = std::numeric_limits<D>::min(), kMost = std::numeric_limits<D>::max();
  // Of two types one holds both limits, or a negative number is all that can be too small.
  if constexpr (std::is_signed_v<S> && !std::is_signed_v<D>) {
    if (x < 0) return 0;
    return static_cast<std::make_unsigned_t<S>>(x) > kMost ? kMost : static_cast<D>(x);
  } else if constexpr (!std::is_signed_v<S> && std::is_signed_v<D>) {
    return x > static_cast<std::make_unsigned_t<D>>(kMost) ? kMost : static_cast<D>(x);
  } else {
    return x < kLeast ? kLeast : x > kMost ? kMost : static_cast<D>(x);
  }
}

template <class D, class S>
void clamp(Warp& w, const Instruction& i, Mask m) {
  const In<S> a(w, i.a);
  each_result<D>(w, i, m, [&](int l) { return clamped<D>(a[l]); });
}

template <class D>
Handler from_integer_to_integer(const Type& type, const How& how) {
  if (how.has_rounding || how.flushes || how.integral != Integral::kNone) return nullptr;
  return for_integer(type, [&](auto zero) -> Handler {
    using S = decltype(zero);
    return how.saturates ? clamp<D, S> : resize<D, S>;
  });
}

// --- from floating-point numbers to integers ---

template <Integral integral, class T>
T integral_part(T x) {
  switch (integral) {
    case Integral::kNearest:
      return std::nearbyint(x);
    case Integral::kZero:
      return std::trunc(x);
    case Integral::kDown:
      return std::floor(x);
    case Integral::kUp:
      return std::ceil(x);
    default:
      return x;
  }
}

// NaN gives 0; what does not fit, the nearest number that does.
template <class D, class S>
D fitted(S x) {
  constexpr D kLeast = std::numeric_limits<D>::min(), kMost = std::numeric_limits<D>::max();
  // The limit above may be no number of the type: then it becomes the next, which is too large.
  constexpr S kLow = static_cast<S>(kLeast), kHigh = static_cast<S>(kMost);
  const bool fits = (x > kLow) & (x < kHigh);
  const D inside = static_cast<D>(fits ? x : S{0});
  const D below = x <= kLow ? kLeast : inside;
  return x >= kHigh ? kMost : below;
}

template <class D, class S, Integral integral, bool flushes>
void truncate(Warp& w, const Instruction& i, Mask m) {
  const Source<S> a(w, i.a);
  each_result<D>(w, i, m, [&](int l) {
    Value<S> x = a[l];
    if constexpr (flushes) x = flush(x);
    return fitted<D>(integral_part<integral>(x));
  });
}

template <class D, class S, bool flushes>
Handler truncation(Integral integral) {
  switch (integral) {
    case Integral::kNearest:
      return truncate<D, S, Integral::kNearest, flushes>;
    case Integral::kZero:
      return truncate<D, S, Integral::kZero, flushes>;
    case Integral::kDown:
      return truncate<D, S, Integral::kDown, flushes>;
    case Integral::kUp:
      return truncate<D, S, Integral::kUp, flushes>;
    default:
      return nullptr;
  }
}

// .sat changes nothing: these conversions always saturate.
template <class D>
Handler from_float_to_integer(const Type& type, const How& how) {
  if (how.has_rounding || (how.flushes && type.bits != 32)) return nullptr;
  if (type.bits == 16) return truncation<D, Half, false>(how.integral);
  if (type.bits == 64) return truncation<D, double, false>(how.integral);
  return how.flushes ? truncation<D, float, true>(how.integral)
                     : truncation<D, float, false>(how.integral);
}

// --- from integers to floating-point numbers ---

template <class D, class S, bool saturates>
void convert(Warp& w, const Instruction& i, Mask m) {
  const In<S> a(w, i.a);
  each_lane<D>(w, i.d, m, [&](int l) {
    const S x = a[l];
    // Zero is positive, even if it was made of a difference and that was rounded down.
    const D result = x == 0 ? D{0} : static_cast<D>(x);
    return saturates ? saturate(result) : result;
  });
}

template <class S>
void convert_to_half(Warp& w, const Instruction& i, Mask m) {
  const In<S> a(w, i.a);
  const auto rounding = static_cast<Rounding>(i.immediate);
  each_lane<uint16_t>(w, i.d, m, [&](int l) {
    // What this clamps is infinite all the same; what it does not is exact in double.
    return half_from(static_cast<double>(clamped<int32_t>(a[l])), rounding);
  });
}

template <Handler run>
Handler rounded(Rounding rounding) {
  return rounding == Rounding::kNearest ? run : directed<run>;
}

template <class D>
Handler from_integer_to_float(const Type& type, const How& how) {
  return for_integer(type, [&](auto zero) -> Handler {
    using S = decltype(zero);
    return how.saturates ? rounded<convert<D, S, true>>(how.rounding)
                         : rounded<convert<D, S, false>>(how.rounding);
  });
}

Handler from_integer_to_half(const Type& type, const How& how) {
  if (how.saturates) return nullptr;
  return for_integer(type, [&](auto zero) -> Handler {
    return rounded<convert_to_half<decltype(zero)>>(how.rounding);
  });
}

// --- between floating-point numbers ---

template <class D, class S, Integral integral, bool flushes, bool saturates>
void transfer(Warp& w, const Instruction& i, Mask m) {
  const Source<S> a(w, i.a);
  each_lane<D>(w, i.d, m, [&](int l) {
    Value<S> x = a[l];
    if constexpr (flushes && sizeof(x) == 4) x = flush(x);
    D result = static_cast<D>(integral_part<integral>(x));
    if constexpr (flushes && sizeof(result) == 4) result = flush(result);
    return saturates ? saturate(result) : result;
  });
}

template <class D, class S, Integral integral>
Handler transfer_handler(const How& how) {
  constexpr Handler kRuns[] = {
      transfer<D, S, integral, false, false>, transfer<D, S, integral, true, false>,
      transfer<D, S, integral, false, true>, transfer<D, S, integral, true, true>};
  return kRuns[(how.flushes ? 1 : 0) + (how.saturates ? 2 : 0)];
}

// Between numbers of one width, which may be made integral.
template <class T>
Handler same_width(const How& how) {
  if (how.has_rounding) return nullptr;
  switch (how.integral) {
    case Integral::kNearest:
      return transfer_handler<T, T, Integral::kNearest>(how);
    case Integral::kZero:
      return transfer_handler<T, T, Integral::kZero>(how);
    case Integral::kDown:
      return transfer_handler<T, T, Integral::kDown>(how);
    case Integral::kUp:
      return transfer_handler<T, T, Integral::kUp>(how);
    default:
      return transfer_handler<T, T, Integral::kNone>(how);
  }
}

Handler narrowing(const How& how) {
  constexpr Integral kNone = Integral::kNone;
  if (how.flushes) {
    return how.saturates ? rounded<transfer<float, double, kNone, true, true>>(how.rounding)
                         : rounded<transfer<float, double, kNone, true, false>>(how.rounding);
  }
  return how.saturates ? rounded<transfer<float, double, kNone, false, true>>(how.rounding)
                       : rounded<transfer<float, double, kNone, false, false>>(how.rounding);
}

void narrow_to_nearest_half(Warp& w, const Instruction& i, Mask m) {
  const In<float> a(w, i.a);
  each_lane<uint16_t>(w, i.d, m, [&](int l) { return nearest_half(a[l]); });
}

template <class S, bool flushes, bool saturates>
void narrow_to_half(Warp& w, const Instruction& i, Mask m) {
  const In<S> a(w, i.a);
  const auto rounding = static_cast<Rounding>(i.immediate);
  each_lane<uint16_t>(w, i.d, m, [&](int l) {
    S x = a[l];
    if constexpr (flushes) x = flush(x);
    if constexpr (saturates) x = saturate(x);
    return half_from(x, rounding);
  });
}

template <class S, bool flushes>
Handler narrowing_to_half(const How& how) {
  return how.saturates ? rounded<narrow_to_half<S, flushes, true>>(how.rounding)
                       : rounded<narrow_to_half<S, flushes, false>>(how.rounding);
}

// What is no integer on either side.
Handler from_float_to_float(const Type& result, const Type& type, const How& how) {
  if (how.flushes && result.bits != 32 && type.bits != 32) return nullptr;
  if (result.bits == type.bits) {
    if (result.bits == 16) return nullptr;
    return result.bits == 64 ? same_width<double>(how) : same_width<float>(how);
  }
  if (how.integral != Integral::kNone) return nullptr;
  if (result.bits > type.bits) {
    if (how.has_rounding) return nullptr;
    if (type.bits == 32) return transfer_handler<double, float, Integral::kNone>(how);
    return result.bits == 64 ? transfer_handler<double, Half, Integral::kNone>(how)
                             : transfer_handler<float, Half, Integral::kNone>(how);
  }
  if (!how.has_rounding) return nullptr;
  if (result.bits == 32) return narrowing(how);
  if (type.bits == 64) return narrowing_to_half<double, false>(how);
  if (how.flushes) return narrowing_to_half<float, true>(how);
  const bool is_usual = how.rounding == Rounding::kNearest && !how.saturates;
  return is_usual ? narrow_to_nearest_half : narrowing_to_half<float, false>(how);
}

Handler conversion(const Type& result, const Type& type, const How& how) {
  if (result.elements != 1 || type.elements != 1) return nullptr;
  if (result.is_integer()) {
    return for_integer(result, [&](auto zero) -> Handler {
      using D = decltype(zero);
      if (type.is_float()) return from_float_to_integer<D>(type, how);
      return from_integer_to_integer<D>(type, how);
    });
  }
  if (!result.is_float()) return nullptr;
  if (type.is_float()) return from_float_to_float(result, type, how);
  if (!how.has_rounding || how.flushes || how.integral != Integral::kNone) return nullptr;
  if (result.bits == 16) return from_integer_to_half(type, how);
  return result.bits == 64 ? from_integer_to_float<double>(type, how)
                           : from_integer_to_float<float>(type, how);
}

// --- bfloat16, and two numbers of 16 bits made of two floats ---

void from_brain(Warp& w, const Instruction& i, Mask m) {
  const In<uint16_t> a(w, i.a);
  each_lane<float>(w, i.d, m, [&](int l) { return brain_to_float(a[l]); });
}

void to_brain(Warp& w, const Instruction& i, Mask m) {
  const In<float> a(w, i.a);
  const bool is_cut = static_cast<Rounding>(i.immediate) == Rounding::kZero;
  each_lane<uint16_t>(w, i.d, m, [&](int l) { return brain_from(a[l], is_cut); });
}

// The first operand becomes the upper half.
template <bool is_brain>
void pack_floats(Warp& w, const Instruction& i, Mask m) {
  const In<float> a(w, i.a), b(w, i.b);
  const auto rounding = static_cast<Rounding>(i.immediate);
  const auto half = [&](float x) {
    return is_brain ? brain_from(x, rounding == Rounding::kZero) : half_from(x, rounding);
  };
  each_lane<uint32_t>(w, i.d, m, [&](int l) { return uint32_t{half(a[l])} << 16 | half(b[l]); });
}

Handler conversion_of_16_bits(const Type& result, const Type& type, const How& how) {
  if (how.flushes || how.saturates || how.integral != Integral::kNone) return nullptr;
  const bool is_single = type.is_float() && type.bits == 32;
  const bool is_brain = result.kind == Type::Kind::kBrainFloat;
  if (type.kind == Type::Kind::kBrainFloat) {
    const bool fits = type.elements == 1 && result.is_float() && result.bits == 32;
    return fits && !how.has_rounding ? from_brain : nullptr;
  }
  const bool is_known = how.rounding == Rounding::kNearest || how.rounding == Rounding::kZero;
  if (!is_single || !how.has_rounding || !is_known) return nullptr;
  if (result.elements == 1) return is_brain ? to_brain : nullptr;
  return is_brain ? rounded<pack_floats<true>>(how.rounding)
                  : rounded<pack_floats<false>>(how.rounding);
}

How take_how(Modifiers& mods) {
  How how;
  const std::string integral = mods.take_one({"rni", "rzi", "rmi", "rpi"});
  how.integral = integral == "rni"   ? Integral::kNearest
                 : integral == "rzi" ? Integral::kZero
                 : integral == "rmi" ? Integral::kDown
                 : integral == "rpi" ? Integral::kUp
                                     : Integral::kNone;
  const std::string rounding = mods.take_one({"rn", "rz", "rm", "rp"});
  how.has_rounding = !rounding.empty();
  how.rounding = rounding_named(rounding);
  how.flushes = mods.take("ftz");
  how.saturates = mods.take("sat");
  return how;
}

void decode_cvt(Decoder& d, Modifiers& mods) {
  const How how = take_how(mods);
  const Type result = mods.take_type(), type = mods.take_type();
  const bool is_brain =
      result.kind == Type::Kind::kBrainFloat || type.kind == Type::Kind::kBrainFloat;
  const bool is_pair = result.elements == 2;
  const Handler run = is_brain || is_pair ? conversion_of_16_bits(result, type, how)
                                          : conversion(result, type, how);
  if (run == nullptr) d.fail("this conversion is not supported");
  const Row a = d.source(d.operand(1), type);
  const Row b = is_pair ? d.source(d.operand(2), type) : kNoRow;
  Instruction& i = d.emit(run, Category::kConvert);
  i.a = a, i.b = b, i.immediate = static_cast<int64_t>(how.rounding);
  i.d = d.destination(d.operand(0), result);
}

}  // namespace

void add_convert(OpcodeTable& table) { table["cvt"] = decode_cvt; }

}  // namespace softcuda
