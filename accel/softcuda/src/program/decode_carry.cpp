// Arithmetic of extended precision: add, sub and mad that leave a carry for the next, or take one.
// There is one carry a lane.
#include "integer.h"

namespace softcuda {

using ptx::Type;

namespace {

enum class Kind { kAdd, kSub, kMadLow, kMadHigh };

template <class U, Kind kind>
struct CarrySum {
  // What is added to c, of mad.
  template <class T>
  static U first(T a, T b) {
    if constexpr (kind == Kind::kMadLow) return static_cast<U>(MulLow::apply<T>(a, b));
    if constexpr (kind == Kind::kMadHigh) return static_cast<U>(MulHigh::apply<T>(a, b));
    return static_cast<U>(a);
  }
  static U sum(U a, U b, U carry) { return kind == Kind::kSub ? a - b - carry : a + b + carry; }
  // The carry out of the highest bit, or what is borrowed there, by logic on bits alone.
  static bool carries(U a, U b, U carry) {
    const U result = sum(a, b, carry);
    const U out =
        kind == Kind::kSub ? (~a & b) | ((~a | b) & result) : (a & b) | ((a | b) & ~result);
    return (out >> (8 * sizeof(U) - 1)) != 0;
  }
};

template <class T, Kind kind, bool in, bool out>
void with_carry(Warp& w, const Instruction& i, Mask m) {
  using U = Unsigned<T>;
  using Op = CarrySum<U, kind>;
  constexpr bool kIsMad = kind == Kind::kMadLow || kind == Kind::kMadHigh;
  const In<T> a(w, i.a), b(w, i.b), c(w, kIsMad ? i.c : i.b);
  const Mask before = w.carry;
  const auto carry = [&](int l) { return in ? U{(before >> l) & 1u} : U{0}; };
  const auto first = [&](int l) { return Op::template first<T>(a[l], b[l]); };
  const auto second = [&](int l) { return static_cast<U>(c[l]); };
  if constexpr (out) {
    const Mask after =
        lanes_where([&](int l) { return Op::carries(first(l), second(l), carry(l)); });
    w.carry = (before & ~m) | (after & m);
  }
  each_lane<U>(w, i.d, m, [&](int l) { return Op::sum(first(l), second(l), carry(l)); });
}

template <Kind kind>
Handler handler(const Type& type, bool in, bool out) {
  return for_integer(type, [&](auto zero) -> Handler {
    using T = decltype(zero);
    if constexpr (sizeof(T) < 4) {
      return nullptr;
    } else {
      if (in) return out ? with_carry<T, kind, true, true> : with_carry<T, kind, true, false>;
      return with_carry<T, kind, false, true>;
    }
  });
}

template <Kind kind>
void decode_carry(Decoder& d, Modifiers& mods) {
  const bool out = mods.take("cc");
  const Type type = mods.take_type();
  emit_integer(d, handler<kind>(type, true, out), type, 2);
}

void decode_madc(Decoder& d, Modifiers& mods) {
  const std::string part = mods.take_one({"lo", "hi"});
  if (part.empty()) d.fail("madc needs .lo or .hi");
  const bool out = mods.take("cc");
  const Type type = mods.take_type();
  emit_integer(d,
               part == "lo" ? handler<Kind::kMadLow>(type, true, out)
                            : handler<Kind::kMadHigh>(type, true, out),
               type, 3);
}

}  // namespace

void decode_carry_out(Decoder& d, Modifiers& mods) {
  if (!mods.take("cc")) d.fail(".cc is missing");
  const std::string part = mods.take_one({"lo", "hi"});
  const Type type = mods.take_type();
  const std::string& opcode = d.statement().opcode;
  if (opcode == "add") emit_integer(d, handler<Kind::kAdd>(type, false, true), type, 2);
  if (opcode == "sub") emit_integer(d, handler<Kind::kSub>(type, false, true), type, 2);
  if (opcode != "mad") return;
  if (part.empty()) d.fail("mad.cc needs .lo or .hi");
  emit_integer(d,
               part == "lo" ? handler<Kind::kMadLow>(type, false, true)
                            : handler<Kind::kMadHigh>(type, false, true),
               type, 3);
}

void add_carry(OpcodeTable& table) {
  table["addc"] = decode_carry<Kind::kAdd>;
  table["subc"] = decode_carry<Kind::kSub>;
  table["madc"] = decode_madc;
}

}  // namespace softcuda
