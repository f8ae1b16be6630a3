// mov: registers, special registers, addresses; the parts of a register put together and taken
// apart.
#include "decoder.h"
#include "lanes.h"

namespace softcuda {
namespace {

using ptx::Operand;
using ptx::Type;

struct Copy {
  template <class T>
  static T apply(T a) {
    return a;
  }
};

void copy_predicate(Warp& w, const Instruction& i, Mask m) {
  w.set_predicate(i.d, m, w.predicate(i.a));
}

template <class W, class N, int parts>
void pack(Warp& w, const Instruction& i, Mask m) {
  const In<N> a(w, i.a), b(w, i.b), c(w, parts == 4 ? i.c : i.a), e(w, parts == 4 ? i.c2 : i.a);
  constexpr int kShift = 8 * sizeof(N);
  each_lane<W>(w, i.d, m, [&](int l) {
    W result = static_cast<W>(static_cast<W>(a[l]) | static_cast<W>(b[l]) << kShift);
    if constexpr (parts == 4)
      result |= static_cast<W>(c[l]) << (2 * kShift) | static_cast<W>(e[l]) << (3 * kShift);
    return result;
  });
}

// One of the parts, or two neighbours. A result may lie where the operand does: it is read before
// anything is written.
template <class W, class N>
void unpack(Warp& w, const Instruction& i, Mask m) {
  const In<W> a(w, i.a);
  N low[kLanes], high[kLanes];
  for (int l = 0; l < kLanes; ++l) {
    const W rest = static_cast<W>(a[l] >> i.immediate);
    low[l] = static_cast<N>(rest), high[l] = static_cast<N>(rest >> (8 * sizeof(N)));
  }
  if (i.d != kNoRow) each_lane<N>(w, i.d, m, [&](int l) { return low[l]; });
  if (i.e != kNoRow) each_lane<N>(w, i.e, m, [&](int l) { return high[l]; });
}

struct Packing {
  int whole, part;  // bits
  Handler pack, unpack;
};

constexpr Packing kPackings[] = {
    {128, 64, pack<UInt128, uint64_t, 2>, unpack<UInt128, uint64_t>},
    {128, 32, pack<UInt128, uint32_t, 4>, unpack<UInt128, uint32_t>},
    {64, 32, pack<uint64_t, uint32_t, 2>, unpack<uint64_t, uint32_t>},
    {64, 16, pack<uint64_t, uint16_t, 4>, unpack<uint64_t, uint16_t>},
    {32, 16, pack<uint32_t, uint16_t, 2>, unpack<uint32_t, uint16_t>},
    {32, 8, pack<uint32_t, uint8_t, 4>, unpack<uint32_t, uint8_t>},
    {16, 8, pack<uint16_t, uint8_t, 2>, unpack<uint16_t, uint8_t>},
};

const Packing& packing(const Decoder& d, const Type& type, const std::vector<Operand>& parts) {
  for (const Packing& one : kPackings) {
    if (type.bits == one.whole && one.whole == one.part * static_cast<int>(parts.size()))
      return one;
  }
  d.fail("this number of parts is not supported");
}

// Registers of parts are as wide as these; bytes have no registers of their own in most of PTX.
void check_width(const Decoder& d, const Operand& part, int bits) {
  if (part.kind != Operand::Kind::kRegister || bits == 8) return;
  const Type& held = d.register_type(part);
  if (held.bits * held.elements != bits)
    d.fail("a part needs a register of " + std::to_string(bits) + " bits");
}

Type bits_type(int bits) { return ptx::type_named("b" + std::to_string(bits)); }

void decode_pack(Decoder& d, const Type& type) {
  const std::vector<Operand>& parts = d.operand(1).parts;
  const Packing& how = packing(d, type, parts);
  Row rows[4] = {kNoRow, kNoRow, kNoRow, kNoRow};
  for (size_t k = 0; k < parts.size(); ++k) {
    check_width(d, parts[k], how.part);
    rows[k] = d.source(parts[k], bits_type(how.part));
  }
  Instruction& i = d.emit(how.pack, Category::kMove);
  i.a = rows[0], i.b = rows[1], i.c = rows[2], i.c2 = rows[3],
  i.d = d.destination(d.operand(0), type);
}

void decode_unpack(Decoder& d, const Type& type) {
  const std::vector<Operand>& parts = d.operand(0).parts;
  const Packing& how = packing(d, type, parts);
  const Row source = d.source(d.operand(1), type);
  const bool is_last_read = parts.size() == 2;
  const auto result = [&](const Operand& part) {
    if (part.kind == Operand::Kind::kSink) return kNoRow;
    check_width(d, part, how.part);
    const Row row = d.destination(part, bits_type(how.part));
    if (row == source && !is_last_read) d.fail("a part cannot be the register that is read");
    return row;
  };
  for (size_t k = 0; k < parts.size(); k += 2) {
    Instruction& i = d.emit(how.unpack, Category::kMove);
    i.a = source, i.immediate = static_cast<int64_t>(k) * how.part, i.is_auxiliary = k != 0;
    i.d = result(parts[k]), i.e = result(parts[k + 1]);
    if (i.d == kNoRow && i.e == kNoRow) i.d = d.temporary(how.part == 64 ? 8 : 4);
  }
}

constexpr int64_t kTimer = 1, kHighHalf = 2;

template <class T>
void read_clock(Warp& w, const Instruction& i, Mask m) {
  const uint64_t now = clock_now(w, (i.immediate & kTimer) != 0);
  const int shift = (i.immediate & kHighHalf) != 0 ? 32 : 0;
  each_lane<T>(w, i.d, m, [&](int) { return static_cast<T>(now >> shift); });
}

void decode_mov(Decoder& d, Modifiers& mods) {
  const Type type = mods.take_type();
  const Operand& from = d.operand(1);
  if (type.is_predicate()) {
    const Row a = d.predicate(from);
    Instruction& i = d.emit(copy_predicate, Category::kMove);
    i.a = a, i.d = d.predicate_result(d.operand(0));
    if (i.d == kNoRow) i.d = d.temporary(0);
    return;
  }
  if (from.kind == Operand::Kind::kVector) return decode_pack(d, type);
  if (d.operand(0).kind == Operand::Kind::kVector) return decode_unpack(d, type);
  if (from.kind == Operand::Kind::kSpecial && type.bits != 128) {
    const bool is_timer = from.name.rfind("%globaltimer", 0) == 0;
    if (is_timer || from.name.rfind("%clock", 0) == 0) {
      const bool is_high = from.name == "%clock_hi" || from.name == "%globaltimer_hi";
      Instruction& i =
          d.emit(type.bits == 64 ? read_clock<uint64_t> : read_clock<uint32_t>, Category::kMove);
      i.immediate = (is_timer ? kTimer : 0) | (is_high ? kHighHalf : 0);
      i.d = d.destination(d.operand(0), type);
      return;
    }
  }
  const Row a = d.source(from, type);
  const Handler run = type.bits == 128  ? unary<Copy, UInt128>
                      : type.bits == 64 ? unary<Copy, uint64_t>
                                        : unary<Copy, uint32_t>;
  Instruction& i = d.emit(run, Category::kMove);
  i.a = a, i.d = d.destination(d.operand(0), type), i.moves = Moves::kAll;
}

}  // namespace

void add_move(OpcodeTable& table) { table["mov"] = decode_mov; }

}  // namespace softcuda
