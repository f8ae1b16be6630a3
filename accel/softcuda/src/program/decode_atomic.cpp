// Atomics: atom, with the old value as result, and red, without.
#include <algorithm>

#include "../machine/access.h"
#include "lanes.h"
#include "memory_operand.h"

namespace softcuda {
namespace {

using ptx::Operand;
using ptx::Space;
using ptx::Type;

enum class Atomic : uint8_t { kAdd, kMin, kMax, kAnd, kOr, kXor, kExch, kCas, kInc, kDec };

template <class T>
T combine(Atomic which, T old, T b, T c) {
  if constexpr (std::is_floating_point_v<T>) {
    return which == Atomic::kAdd ? old + b : old;
  } else if constexpr (sizeof(T) == 16) {
    if (which == Atomic::kExch) return b;
    return old == b ? c : old;
  } else {
    using U = std::make_unsigned_t<T>;
    switch (which) {
      case Atomic::kAdd:
        return static_cast<T>(static_cast<U>(old) + static_cast<U>(b));
      case Atomic::kMin:
        return std::min(old, b);
      case Atomic::kMax:
        return std::max(old, b);
      case Atomic::kAnd:
        return old & b;
      case Atomic::kOr:
        return old | b;
      case Atomic::kXor:
        return old ^ b;
      case Atomic::kExch:
        return b;
      case Atomic::kCas:
        return old == b ? c : old;
      case Atomic::kInc:
        return static_cast<U>(old) >= static_cast<U>(b) ? 0 : static_cast<T>(old + 1);
      case Atomic::kDec:
        return old == 0 || static_cast<U>(old) > static_cast<U>(b) ? b : static_cast<T>(old - 1);
    }
    return old;
  }
}

// One lane after the other, from the lowest.
template <class T>
void atomic(Warp& w, const Instruction& i, Mask m) {
  const auto& op = *static_cast<const MemoryOperand*>(i.extra);
  Access access;
  locate(w, i, op, m, access);
  const In<T> b(w, i.b), c(w, i.c != kNoRow ? i.c : i.b);
  bool is_new = false;
  for (Mask left = m; left != 0; left &= left - 1) {
    const int l = lowest_lane(left);
    char* place = access.at(l, sizeof(T));
    T old;
    std::memcpy(&old, place, sizeof old);
    const T value = combine<T>(static_cast<Atomic>(op.operation), old, b[l], c[l]);
    is_new |= std::memcmp(&old, &value, sizeof old) != 0;
    std::memcpy(place, &value, sizeof value);
    if (i.d != kNoRow) w.out<Lane<T>>(i.d)[l] = to_lane<T>(old);
  }
  if (is_new) w.worker().note_progress();
}

// --- decoding ---

Atomic atomic_named(Decoder& d, Modifiers& mods) {
  static const std::vector<std::string> names = {"add", "min",  "max", "and", "or",
                                                 "xor", "exch", "cas", "inc", "dec"};
  const std::string name = mods.take_one(names);
  for (size_t k = 0; k < names.size(); ++k) {
    if (names[k] == name) return static_cast<Atomic>(k);
  }
  d.fail("an atomic operation is needed");
}

// Those that move bits, whatever these mean.
bool is_plain(Atomic which) { return which == Atomic::kExch || which == Atomic::kCas; }

Handler atomic_handler(const Type& type, Atomic which) {
  if (type.is_float() && which == Atomic::kAdd) {
    return for_float(type, [](auto zero) -> Handler { return atomic<decltype(zero)>; });
  }
  if (type.is_float() && !is_plain(which)) return nullptr;
  if (type.bits == 128) return is_plain(which) ? atomic<UInt128> : nullptr;
  Type integer = type;
  if (type.is_float()) integer.kind = Type::Kind::kBits;
  // Two bytes only for cas, and unsigned only for inc and dec.
  const bool is_counter = which == Atomic::kInc || which == Atomic::kDec;
  if ((type.bits == 16 && which != Atomic::kCas) || (is_counter && type.is_signed())) {
    return nullptr;
  }
  return for_integer(integer, [](auto zero) -> Handler {
    using T = decltype(zero);
    if constexpr (sizeof(T) == 1)
      return nullptr;
    else
      return atomic<T>;
  });
}

template <bool has_result>
void decode_atomic(Decoder& d, Modifiers& mods) {
  MemoryOperand& op = new_memory_operand(d);
  op.is_store = op.is_atomic = true;
  take_order(mods, op);
  op.space = take_space(mods, &op.reaches_cluster);
  const Atomic which = atomic_named(d, mods);
  if (!has_result && is_plain(which)) d.fail("red has no exch and no cas, expected atom");
  mods.take("noftz");
  take_hints(mods);
  const Type type = mods.take_type();
  op.element_bytes = static_cast<uint8_t>(type.bytes());
  op.operation = static_cast<uint8_t>(which);
  const Handler run = atomic_handler(type, which);
  if (run == nullptr) d.fail("this type is not supported here");
  const size_t first = has_result ? 1 : 0;
  const Address address = decode_address(d, d.operand(first), op.space);
  const Row b = d.source(d.operand(first + 1), type);
  const Row c = which == Atomic::kCas ? d.source(d.operand(first + 2), type) : kNoRow;
  Instruction& i = d.emit(run, Category::kAtomic);
  attach(d, i, address, op);
  i.b = b, i.c = c, i.flops = type.is_float() && which == Atomic::kAdd ? 1 : 0;
  if (has_result && d.operand(0).kind != Operand::Kind::kSink)
    i.d = d.destination(d.operand(0), type);
}

}  // namespace

void add_atomic(OpcodeTable& table) {
  table["atom"] = decode_atomic<true>;
  table["red"] = decode_atomic<false>;
}

}  // namespace softcuda
