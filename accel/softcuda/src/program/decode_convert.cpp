// cvt: between integers and floating-point numbers of all widths.
#include <cfenv>
#include <cmath>
#include <limits>

#include "decoder.h"
#include "lanes.h"

namespace softcuda {
namespace {

using ptx::Type;

enum class ToInteger : int64_t { kNone, kNearest, kZero, kDown, kUp };
constexpr int64_t kFlush = 1, kSaturate = 2, kRoundingShift = 2, kIntegerShift = 4;

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
T to_integral(T x, ToInteger how) {
  switch (how) {
    case ToInteger::kNearest:
      return std::nearbyint(x);
    case ToInteger::kZero:
      return std::trunc(x);
    case ToInteger::kDown:
      return std::floor(x);
    case ToInteger::kUp:
      return std::ceil(x);
    default:
      return x;
  }
}

// NaN gives 0; what does not fit, the nearest number that does.
template <class D, class S>
D saturating_cast(S x) {
  if (x != x) return 0;
  constexpr D kLeast = std::numeric_limits<D>::min(), kMost = std::numeric_limits<D>::max();
  if (x <= static_cast<S>(kLeast)) return kLeast;
  if (x >= static_cast<S>(kMost)) return kMost;
  return static_cast<D>(x);
}

template <class D, class S>
D clamp_integer(S x) {
  const __int128 wide = x;
  if (wide < __int128{std::numeric_limits<D>::min()}) return std::numeric_limits<D>::min();
  if (wide > __int128{std::numeric_limits<D>::max()}) return std::numeric_limits<D>::max();
  return static_cast<D>(x);
}

template <class T>
T flush(T x) {
  return std::fpclassify(x) == FP_SUBNORMAL ? std::copysign(T{0}, x) : x;
}

template <class T>
T finish(T x, int64_t how) {
  if ((how & kFlush) != 0 && sizeof(T) == 4) x = flush(x);
  if ((how & kSaturate) != 0) x = x > T{0} ? (x < T{1} ? x : T{1}) : T{0};
  return x;
}

// Between types of C++ without any modifier.
template <class D, class S>
void plain(Warp& w, const Instruction& i, Mask m) {
  const In<S> a(w, i.a);
  each_lane<D>(w, i.d, m, [&](int l) { return static_cast<D>(a[l]); });
}

template <class D, class S>
void general(Warp& w, const Instruction& i, Mask m) {
  const RoundingScope scope((i.immediate >> kRoundingShift) & 3);
  const auto integral = static_cast<ToInteger>(i.immediate >> kIntegerShift);
  const In<S> a(w, i.a);
  each_lane<D>(w, i.d, m, [&](int l) -> D {
    S x = a[l];
    if constexpr (std::is_floating_point_v<S>) {
      if ((i.immediate & kFlush) != 0 && sizeof(S) == 4) x = flush(x);
      // Rounding to nearest must not be disturbed by a directed mode: they exclude each other.
      x = to_integral(x, integral);
      if constexpr (std::is_integral_v<D>)
        return saturating_cast<D>(x);
      else
        return finish(static_cast<D>(x), i.immediate);
    } else if constexpr (std::is_integral_v<D>) {
      return (i.immediate & kSaturate) != 0 ? clamp_integer<D>(x) : static_cast<D>(x);
    } else {
      return finish(static_cast<D>(x), i.immediate);
    }
  });
}

uint16_t half_from(float x) {
  const _Float16 h = static_cast<_Float16>(x);
  uint16_t bits;
  std::memcpy(&bits, &h, sizeof bits);
  return bits;
}

float half_to(uint16_t bits) {
  _Float16 h;
  std::memcpy(&h, &bits, sizeof bits);
  return static_cast<float>(h);
}

void half_to_float(Warp& w, const Instruction& i, Mask m) {
  const In<uint16_t> a(w, i.a);
  each_lane<float>(w, i.d, m, [&](int l) { return half_to(a[l]); });
}

void float_to_half(Warp& w, const Instruction& i, Mask m) {
  const In<float> a(w, i.a);
  each_lane<uint16_t>(w, i.d, m, [&](int l) { return half_from(finish(a[l], i.immediate)); });
}

template <class D>
Handler from(const Type& type, bool is_general) {
  const auto choose = [is_general](auto zero) -> Handler {
    using S = decltype(zero);
    constexpr bool kIsToInteger = std::is_floating_point_v<S> && std::is_integral_v<D>;
    if (is_general || kIsToInteger) return general<D, S>;
    if constexpr (kIsToInteger)
      return nullptr;
    else
      return plain<D, S>;
  };
  const Handler run = for_integer(type, choose);
  return run != nullptr ? run : for_float(type, choose);
}

void decode_cvt(Decoder& d, Modifiers& mods) {
  const std::string integral = mods.take_one({"rni", "rzi", "rmi", "rpi"});
  const std::string rounding = mods.take_one({"rn", "rz", "rm", "rp"});
  int64_t how = mods.take("ftz") ? kFlush : 0;
  how |= mods.take("sat") ? kSaturate : 0;
  const int64_t mode = rounding == "rz" ? 1 : rounding == "rm" ? 2 : rounding == "rp" ? 3 : 0;
  const auto to = integral == "rni"   ? ToInteger::kNearest
                  : integral == "rzi" ? ToInteger::kZero
                  : integral == "rmi" ? ToInteger::kDown
                  : integral == "rpi" ? ToInteger::kUp
                                      : ToInteger::kNone;
  how |= mode << kRoundingShift | static_cast<int64_t>(to) << kIntegerShift;
  const Type result = mods.take_type(), type = mods.take_type();
  Handler run = nullptr;
  const bool from_half = type.is_float() && type.bits == 16,
             to_half = result.is_float() && result.bits == 16;
  if (from_half && result.is_float() && result.bits == 32 && how == 0) run = half_to_float;
  if (to_half && type.is_float() && type.bits == 32 && mode == 0 && to == ToInteger::kNone)
    run = float_to_half;
  if (!from_half && !to_half) {
    const auto choose = [&](auto zero) { return from<decltype(zero)>(type, how != 0); };
    run = for_integer(result, choose);
    if (run == nullptr) run = for_float(result, choose);
  }
  if (run == nullptr) d.fail("this conversion is not supported");
  const Row a = d.source(d.operand(1), type);
  Instruction& i = d.emit(run, Category::kConvert);
  i.a = a, i.immediate = how, i.d = d.destination(d.operand(0), result);
}

}  // namespace

void add_convert(OpcodeTable& table) { table["cvt"] = decode_cvt; }

}  // namespace softcuda
