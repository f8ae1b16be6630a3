// Counting bits, finding them, and fields of bits.
#include <algorithm>

#include "integer.h"

namespace softcuda {
namespace {

using ptx::Type;

const Type kU32 = ptx::type_named("u32");

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

// Halves, quarters and so on change places.
template <class T>
T reversed(T x) {
  constexpr uint64_t kOdd[] = {0x5555555555555555, 0x3333333333333333, 0x0F0F0F0F0F0F0F0F,
                               0x00FF00FF00FF00FF, 0x0000FFFF0000FFFF, 0x00000000FFFFFFFF};
  constexpr int kSteps = sizeof(T) == 8 ? 6 : 5;
  for (int k = 0; k < kSteps; ++k) {
    const T mask = static_cast<T>(kOdd[k]);
    x = static_cast<T>(((x >> (1 << k)) & mask) | ((x & mask) << (1 << k)));
  }
  return x;
}

template <class T>
void brev(Warp& w, const Instruction& i, Mask m) {
  const In<T> a(w, i.a);
  each_lane<T>(w, i.d, m, [&](int l) { return reversed(a[l]); });
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
    const T ones = length >= kBits ? ~T{0} : static_cast<T>((T{1} << (length & (kBits - 1))) - 1);
    const T field = position >= kBits ? T{0} : static_cast<T>(ones << (position & (kBits - 1)));
    return static_cast<T>((b[l] & ~field) | ((a[l] << (position & (kBits - 1))) & field));
  });
}

// Instruction::immediate: whether counts wrap at 32 or end there.
uint32_t count_of(const Instruction& i, uint32_t n) {
  return i.immediate != 0 ? n & 31u : std::min<uint32_t>(n, 32);
}

template <class T>
void szext(Warp& w, const Instruction& i, Mask m) {
  const In<T> a(w, i.a);
  const In<uint32_t> b(w, i.b);
  each_lane<T>(w, i.d, m, [&](int l) -> T {
    const uint32_t n = count_of(i, b[l]);
    if (n == 0) return 0;
    if (n >= 32) return a[l];
    return static_cast<T>(static_cast<T>(static_cast<uint32_t>(a[l]) << (32 - n)) >> (32 - n));
  });
}

void bmsk(Warp& w, const Instruction& i, Mask m) {
  const In<uint32_t> a(w, i.a), b(w, i.b);
  each_lane<uint32_t>(w, i.d, m, [&](int l) -> uint32_t {
    const uint32_t start = count_of(i, a[l]), width = count_of(i, b[l]);
    return static_cast<uint32_t>(((uint64_t{1} << width) - 1) << start);
  });
}

// The place of the n-th set bit of a from the place b on: upwards, or downwards where n is
// negative. With n = 0, of that bit itself.
uint32_t nth_set(uint32_t bits, uint32_t base, int32_t n) {
  const int step = n < 0 ? -1 : 1;
  int64_t left = n < 0 ? -int64_t{n} : n;
  for (int64_t at = base; at >= 0 && at < kLanes; at += step) {
    if (((bits >> at) & 1) != 0 && --left <= 0) return static_cast<uint32_t>(at);
    if (n == 0) break;
  }
  return ~uint32_t{0};
}

void fns(Warp& w, const Instruction& i, Mask m) {
  const In<uint32_t> a(w, i.a), b(w, i.b);
  const In<int32_t> c(w, i.c);
  each_lane<uint32_t>(w, i.d, m, [&](int l) { return nth_set(a[l], b[l], c[l]); });
}

// --- decoding ---

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
  const Handler run = type.bits == 32 ? brev<uint32_t> : type.bits == 64 ? brev<uint64_t> : nullptr;
  emit_integer(d, run, type, 1);
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

bool take_wrap(Decoder& d, Modifiers& mods) {
  const std::string word = mods.take_one({"wrap", "clamp"});
  if (word.empty()) d.fail("needs .wrap or .clamp");
  return word == "wrap";
}

void decode_szext(Decoder& d, Modifiers& mods) {
  const bool wraps = take_wrap(d, mods);
  const Type type = mods.take_type();
  if (type.bits != 32) d.fail("szext needs .u32 or .s32");
  const Row a = d.source(d.operand(1), type), b = d.source(d.operand(2), kU32);
  Instruction& i = d.emit(type.is_signed() ? szext<int32_t> : szext<uint32_t>, Category::kInteger);
  i.a = a, i.b = b, i.immediate = wraps;
  i.d = d.destination(d.operand(0), type);
}

void decode_bmsk(Decoder& d, Modifiers& mods) {
  const bool wraps = take_wrap(d, mods);
  const Type type = mods.take_type();
  if (type.bits != 32) d.fail("bmsk needs .b32");
  emit_integer(d, bmsk, type, 2).immediate = wraps;
}

void decode_fns(Decoder& d, Modifiers& mods) {
  const Type type = mods.take_type();
  if (type.bits != 32) d.fail("fns needs .b32");
  emit_integer(d, fns, type, 3);
}

}  // namespace

void add_bit_field(OpcodeTable& table) {
  table["popc"] = decode_popc;
  table["clz"] = decode_clz;
  table["bfind"] = decode_bfind;
  table["brev"] = decode_brev;
  table["bfe"] = decode_bfe;
  table["bfi"] = decode_bfi;
  table["szext"] = decode_szext;
  table["bmsk"] = decode_bmsk;
  table["fns"] = decode_fns;
}

}  // namespace softcuda
