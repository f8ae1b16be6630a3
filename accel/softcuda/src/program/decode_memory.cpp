// Loads, stores, atomics, and what is done with addresses.
#include <algorithm>
#include <atomic>

#include "decoder.h"
#include "lanes.h"

namespace softcuda {
namespace {

using ptx::Operand;
using ptx::Space;
using ptx::Type;

constexpr uint64_t kSectorBytes = 32;
constexpr uint32_t kBanks = 32;

// Host pointers of the lanes of an access.
struct Places {
  char* host[kLanes];
};

[[noreturn]] void out_of_bounds(const MemoryOperand& op, int lane, const std::string& where,
                                const char* space) {
  const std::string kind = op.is_atomic ? "atomic" : op.is_store ? "write" : "read";
  const int bytes = op.element_bytes * op.elements;
  throw Fault{Status::kIllegalAddress, "out-of-bounds " + kind, lane,
              kind + " of " + std::to_string(bytes) + " bytes in " + space + " memory " + where};
}

std::string offset_words(uint64_t offset, uint64_t size) {
  return "lies at byte " + std::to_string(offset) + " of " + std::to_string(size);
}

void count_sectors(Count& count, const uint64_t* address, Mask m, uint32_t bytes) {
  uint64_t seen[2 * kLanes];
  int distinct = 0;
  uint64_t last = ~uint64_t{0};
  for (int l = 0; l < kLanes; ++l) {
    if (!has_lane(m, l)) continue;
    const uint64_t first = address[l] / kSectorBytes, end = (address[l] + bytes - 1) / kSectorBytes;
    for (uint64_t sector = first; sector <= end; ++sector) {
      if (sector == last) continue;
      last = sector;
      if (std::find(seen, seen + distinct, sector) == seen + distinct && distinct < 2 * kLanes) {
        seen[distinct++] = sector;
      }
    }
  }
  ++count.global_requests;
  count.sectors += static_cast<uint64_t>(distinct);
}

// Words of one bank take a wavefront each; lanes that read the same word share it. What is wider
// than 4 bytes goes by half and quarter warps.
void count_wavefronts(Count& count, const uint64_t* address, Mask m, uint32_t bytes) {
  const int groups = bytes <= 4 ? 1 : static_cast<int>(bytes / 4);
  const int lanes = kLanes / groups;
  uint64_t total = 0;
  for (int g = 0; g < groups; ++g) {
    uint64_t words[kLanes * 4];
    int distinct = 0;
    uint8_t in_bank[kBanks] = {};
    uint8_t most = 0;
    for (int l = g * lanes; l < (g + 1) * lanes; ++l) {
      if (!has_lane(m, l)) continue;
      for (uint64_t word = address[l] / 4; word <= (address[l] + bytes - 1) / 4; ++word) {
        if (std::find(words, words + distinct, word) != words + distinct) continue;
        words[distinct++] = word;
        most = std::max(most, ++in_bank[word % kBanks]);
      }
    }
    total += most;
  }
  ++count.shared_requests;
  count.wavefronts += total;
}

char* global_place(Warp& w, const MemoryOperand& op, int lane, uint64_t address, uint32_t bytes,
                   const Allocation*& last) {
  if (last == nullptr || !last->contains(address, bytes)) {
    DeviceMemory& memory = w.block().grid().memory();
    last = memory.find(address);
    if (last == nullptr || !last->contains(address, bytes)) {
      out_of_bounds(op, lane, memory.describe(address), "global");
    }
    if (op.is_store && last->kind == Allocation::Kind::kConstant) {
      out_of_bounds(op, lane, memory.describe(address), "constant");
    }
  }
  return last->host + (address - last->address);
}

char* shared_place(Warp& w, const MemoryOperand& op, int lane, uint64_t offset, uint32_t bytes) {
  if (!w.block().shared_contains(offset, bytes)) {
    out_of_bounds(op, lane, offset_words(offset, w.block().shared_bytes()), "shared");
  }
  return w.block().shared() + offset;
}

char* local_place(Warp& w, const MemoryOperand& op, int lane, uint64_t offset, uint32_t bytes) {
  if (offset + bytes < offset || offset + bytes > w.local_bytes()) {
    out_of_bounds(op, lane, offset_words(offset, w.local_bytes()), "local");
  }
  return w.local(lane) + offset;
}

// Find and check the memory of every lane, and count what the access costs.
void locate(Warp& w, const Instruction& i, const MemoryOperand& op, Mask m, Places& places) {
  alignas(64) uint64_t address[kLanes];
  if (i.a == kNoRow) {
    std::fill(address, address + kLanes, static_cast<uint64_t>(i.immediate));
  } else if (op.is_wide) {
    const uint64_t* base = w.in<uint64_t>(i.a);
    for (int l = 0; l < kLanes; ++l) address[l] = base[l] + static_cast<uint64_t>(i.immediate);
  } else {
    const uint32_t* base = w.in<uint32_t>(i.a);
    for (int l = 0; l < kLanes; ++l)
      address[l] = static_cast<uint32_t>(base[l] + static_cast<uint32_t>(i.immediate));
  }
  const uint32_t bytes = static_cast<uint32_t>(op.element_bytes) * op.elements;
  for (int l = 0; l < kLanes; ++l) {
    if (has_lane(m, l) && (address[l] & (bytes - 1)) != 0) {
      throw Fault{Status::kMisalignedAddress, "misaligned address", l,
                  "access of " + std::to_string(bytes) + " bytes at an address that is " +
                      std::to_string(address[l] % bytes) + " beyond a multiple of it"};
    }
  }
  Mask global = 0, shared = 0;
  const Allocation* last = nullptr;
  for (int l = 0; l < kLanes; ++l) {
    if (!has_lane(m, l)) continue;
    uint64_t at = address[l];
    Space space = op.space;
    if (space == Space::kNone) {
      if (at - kSharedWindow < kWindowBytes) {
        space = Space::kShared;
        at -= kSharedWindow;
      } else if (at - kLocalWindow < kWindowBytes) {
        space = Space::kLocal;
        at -= kLocalWindow;
      } else {
        space = Space::kGlobal;
      }
    }
    switch (space) {
      case Space::kShared:
        places.host[l] = shared_place(w, op, l, at, bytes);
        address[l] = at;
        shared |= Mask{1} << l;
        break;
      case Space::kLocal:
        places.host[l] = local_place(w, op, l, at, bytes);
        break;
      case Space::kParam:
        places.host[l] = w.params(l) + at;
        break;
      default:
        places.host[l] = global_place(w, op, l, at, bytes, last);
        global |= Mask{1} << l;
    }
  }
  if (global != 0 && op.space != Space::kConst) count_sectors(w.count(), address, global, bytes);
  if (shared != 0) count_wavefronts(w.count(), address, shared, bytes);
}

// What is narrower than its lane: zero-extended, or with its sign.
template <class T, class L>
void load_part(Warp& w, const Places& places, Row row, Mask m, uint32_t offset) {
  L* out = w.out<L>(row);
  for (int l = 0; l < kLanes; ++l) {
    if (!has_lane(m, l)) continue;
    T value;
    std::memcpy(&value, places.host[l] + offset, sizeof value);
    out[l] = static_cast<L>(value);
  }
}

template <class T>
void load(Warp& w, const Instruction& i, Mask m) {
  const auto& op = *static_cast<const MemoryOperand*>(i.extra);
  Places places;
  locate(w, i, op, m, places);
  for (uint32_t k = 0; k < op.elements; ++k) {
    if (op.parts[k] == kNoRow) continue;
    const uint32_t offset = k * static_cast<uint32_t>(sizeof(T));
    if (op.part_bytes[k] == 8)
      load_part<T, uint64_t>(w, places, op.parts[k], m, offset);
    else
      load_part<T, uint32_t>(w, places, op.parts[k], m, offset);
  }
}

template <class T>
void store(Warp& w, const Instruction& i, Mask m) {
  const auto& op = *static_cast<const MemoryOperand*>(i.extra);
  Places places;
  locate(w, i, op, m, places);
  w.block().grid().note_progress();
  for (uint32_t k = 0; k < op.elements; ++k) {
    const uint32_t offset = k * static_cast<uint32_t>(sizeof(T));
    const bool wide = op.part_bytes[k] == 8;
    for (int l = 0; l < kLanes; ++l) {
      if (!has_lane(m, l)) continue;
      const T value =
          static_cast<T>(wide ? w.in<uint64_t>(op.parts[k])[l] : w.in<uint32_t>(op.parts[k])[l]);
      std::memcpy(places.host[l] + offset, &value, sizeof value);
    }
  }
}

// --- atomics ---

enum class Atomic : int64_t { kAdd, kMin, kMax, kAnd, kOr, kXor, kExch, kCas, kInc, kDec };

template <class T>
T combine(Atomic which, T old, T b, T c) {
  if constexpr (std::is_floating_point_v<T>) {
    return which == Atomic::kAdd ? old + b : old;
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
  Places places;
  locate(w, i, op, m, places);
  const In<T> b(w, i.b), c(w, i.c != kNoRow ? i.c : i.b);
  bool has_changed = false;
  for (int l = 0; l < kLanes; ++l) {
    if (!has_lane(m, l)) continue;
    T old;
    std::memcpy(&old, places.host[l], sizeof old);
    const T value = combine<T>(static_cast<Atomic>(op.part_bytes[0]), old, b[l], c[l]);
    has_changed |= std::memcmp(&old, &value, sizeof old) != 0;
    std::memcpy(places.host[l], &value, sizeof value);
    if (i.d != kNoRow) w.out<Lane<T>>(i.d)[l] = to_lane<T>(old);
  }
  if (has_changed) w.block().grid().note_progress();
}

// --- decoding ---

Space take_space(Modifiers& mods) {
  if (mods.take("global")) return Space::kGlobal;
  if (mods.take("shared") || mods.take("shared::cta")) return Space::kShared;
  if (mods.take("local")) return Space::kLocal;
  if (mods.take("const")) return Space::kConst;
  if (mods.take("param") || mods.take("param::entry") || mods.take("param::func"))
    return Space::kParam;
  return Space::kNone;
}

// Hints to the caches, which have no meaning here. (They may not be forgotten: each is named.)
void take_hints(Modifiers& mods) {
  mods.take_one({"ca", "cg", "cs", "lu", "cv", "wb", "wt"});
  mods.take_one({"L1::evict_normal", "L1::evict_unchanged", "L1::evict_first", "L1::evict_last",
                 "L1::no_allocate"});
  mods.take_one({"L2::evict_normal", "L2::evict_first", "L2::evict_last"});
  mods.take_one({"L2::64B", "L2::128B", "L2::256B"});
}

// The order that an access has; true for volatile, relaxed and stronger.
bool take_order(Modifiers& mods) {
  const std::string order =
      mods.take_one({"volatile", "relaxed", "acquire", "release", "acq_rel", "weak", "mmio"});
  mods.take_one({"cta", "cluster", "gpu", "sys"});
  return !order.empty() && order != "weak";
}

Category category_of(Space space) {
  switch (space) {
    case Space::kShared:
      return Category::kShared;
    case Space::kLocal:
      return Category::kLocal;
    case Space::kConst:
      return Category::kConst;
    case Space::kParam:
      return Category::kParam;
    default:
      return Category::kGlobal;
  }
}

// The base row and the offset of an address.
struct Address {
  Row base = kNoRow;
  bool is_wide = true;
  int64_t offset = 0;
};

Address decode_address(Decoder& d, const Operand& operand, Space space) {
  if (operand.kind != Operand::Kind::kAddress) d.fail("expected an address in brackets");
  const Operand& base = operand.parts[0];
  Address result;
  result.offset = static_cast<int64_t>(operand.value);
  if (base.kind == Operand::Kind::kRegister) {
    const Type& type = d.register_type(base);
    result.is_wide = type.bits == 64;
    if (!result.is_wide && type.bits != 32) d.fail("an address is in a register of 32 or 64 bits");
    result.base = d.source(base, type);
  } else if (base.kind == Operand::Kind::kInteger) {
    result.offset = static_cast<int64_t>(base.value);
  } else {
    Space named = Space::kNone;
    uint64_t address = 0;
    if (!d.address_of(base, named, address)) d.fail("'" + base.name + "' is not known");
    if (space == Space::kNone && named == Space::kShared) address += kSharedWindow;
    if (named == Space::kLocal) {
      // A frame's variables lie at its own base.
      result.base = d.special("%softcuda_local");
      result.is_wide = true;
    }
    result.offset += static_cast<int64_t>(address);
  }
  return result;
}

MemoryOperand& new_operand(Decoder& d) {
  d.function().memory_operands.push_back(std::make_unique<MemoryOperand>());
  return *d.function().memory_operands.back();
}

// Handlers by the width of an element; signed loads extend.
Handler load_handler(const Type& type) {
  switch (type.bytes()) {
    case 1:
      return type.is_signed() ? load<int8_t> : load<uint8_t>;
    case 2:
      return type.is_signed() ? load<int16_t> : load<uint16_t>;
    case 4:
      return type.is_signed() ? load<int32_t> : load<uint32_t>;
    case 8:
      return load<uint64_t>;
    default:
      return nullptr;
  }
}

Handler store_handler(const Type& type) {
  switch (type.bytes()) {
    case 1:
      return store<uint8_t>;
    case 2:
      return store<uint16_t>;
    case 4:
      return store<uint32_t>;
    case 8:
      return store<uint64_t>;
    default:
      return nullptr;
  }
}

template <bool is_store>
void decode_access(Decoder& d, Modifiers& mods) {
  MemoryOperand& op = new_operand(d);
  op.is_store = is_store;
  op.is_strong = take_order(mods);
  op.space = take_space(mods);
  op.is_read_only = mods.take("nc");
  take_hints(mods);
  mods.take("unified");
  const std::string vector = mods.take_one({"v2", "v4", "v8"});
  const Type type = mods.take_type();
  op.element_bytes = static_cast<uint8_t>(type.bytes());
  op.elements = vector.empty() ? 1 : static_cast<uint8_t>(vector[1] - '0');
  const Handler run = is_store ? store_handler(type) : load_handler(type);
  if (run == nullptr) d.fail("this type is not supported here");
  const Address address = decode_address(d, d.operand(is_store ? 0 : 1), op.space);
  op.is_wide = address.is_wide;
  const Operand& data = d.operand(is_store ? 1 : 0);
  const std::vector<Operand> parts =
      data.kind == Operand::Kind::kVector ? data.parts : std::vector<Operand>{data};
  if (parts.size() != op.elements) d.fail("the vector has the wrong number of elements");
  for (size_t k = 0; k < parts.size(); ++k) {
    op.parts[k] = kNoRow;
    op.part_bytes[k] = type.bits == 64 ? 8 : 4;
    if (parts[k].kind == Operand::Kind::kSink) continue;
    if (parts[k].kind == Operand::Kind::kRegister) {
      const Type& held = d.register_type(parts[k]);
      op.part_bytes[k] = held.bits == 64 ? 8 : 4;
      op.parts[k] = d.source(parts[k], held);
    } else if (is_store) {
      op.parts[k] = d.source(parts[k], type);
    } else {
      d.fail("expected a register");
    }
  }
  Instruction& i = d.emit(run, category_of(op.space));
  i.a = address.base, i.immediate = address.offset, i.extra = &op;
}

Atomic atomic_named(Decoder& d, Modifiers& mods) {
  static const std::vector<std::string> names = {"add", "min",  "max", "and", "or",
                                                 "xor", "exch", "cas", "inc", "dec"};
  const std::string name = mods.take_one(names);
  for (size_t k = 0; k < names.size(); ++k) {
    if (names[k] == name) return static_cast<Atomic>(k);
  }
  d.fail("an atomic operation is needed");
}

template <bool has_result>
void decode_atomic(Decoder& d, Modifiers& mods) {
  MemoryOperand& op = new_operand(d);
  op.is_store = op.is_atomic = op.is_strong = true;
  take_order(mods);
  op.space = take_space(mods);
  const Atomic which = atomic_named(d, mods);
  mods.take("noftz");
  take_hints(mods);
  const Type type = mods.take_type();
  op.element_bytes = static_cast<uint8_t>(type.bytes());
  op.part_bytes[0] = static_cast<uint8_t>(which);
  Handler run = nullptr;
  if (type.is_float() && which == Atomic::kAdd) {
    run = for_float(type, [](auto zero) -> Handler { return atomic<decltype(zero)>; });
  } else if (!type.is_float() || which == Atomic::kExch || which == Atomic::kCas) {
    Type integer = type;
    if (type.is_float()) integer.kind = Type::Kind::kBits;
    run = for_integer(integer, [](auto zero) -> Handler {
      using T = decltype(zero);
      if constexpr (sizeof(T) == 1)
        return nullptr;
      else
        return atomic<T>;
    });
  }
  if (run == nullptr) d.fail("this type is not supported here");
  const size_t first = has_result ? 1 : 0;
  const Address address = decode_address(d, d.operand(first), op.space);
  op.is_wide = address.is_wide;
  const Row b = d.source(d.operand(first + 1), type);
  const Row c = which == Atomic::kCas ? d.source(d.operand(first + 2), type) : kNoRow;
  Instruction& i = d.emit(run, Category::kAtomic);
  i.a = address.base, i.immediate = address.offset, i.b = b, i.c = c, i.extra = &op;
  if (has_result && d.operand(0).kind != Operand::Kind::kSink)
    i.d = d.destination(d.operand(0), type);
}

// --- addresses ---

template <class T>
void add_immediate(Warp& w, const Instruction& i, Mask m) {
  const In<T> a(w, i.a);
  each_lane<T>(w, i.d, m,
               [&](int l) { return static_cast<T>(a[l] + static_cast<T>(i.immediate)); });
}

void decode_cvta(Decoder& d, Modifiers& mods) {
  const bool from_generic = mods.take("to");
  const Space space = take_space(mods);
  const Type type = mods.take_type();
  if (type.bits != 64) d.fail("addresses have 64 bits here");
  if (space == Space::kParam || space == Space::kNone)
    d.fail("this state space is not supported here");
  int64_t window = space == Space::kShared  ? static_cast<int64_t>(kSharedWindow)
                   : space == Space::kLocal ? static_cast<int64_t>(kLocalWindow)
                                            : 0;
  if (from_generic) window = -window;
  const Row a = d.source(d.operand(1), type);
  Instruction& i = d.emit(add_immediate<uint64_t>, Category::kInteger);
  i.a = a, i.immediate = window, i.d = d.destination(d.operand(0), type);
}

void isspacep(Warp& w, const Instruction& i, Mask m) {
  const In<uint64_t> a(w, i.a);
  const auto space = static_cast<Space>(i.immediate);
  w.set_predicate(i.d, m, lanes_where([&](int l) {
                    const bool is_shared = a[l] - kSharedWindow < kWindowBytes,
                               is_local = a[l] - kLocalWindow < kWindowBytes;
                    if (space == Space::kShared) return is_shared;
                    if (space == Space::kLocal) return is_local;
                    const Allocation* one = w.block().grid().memory().find(a[l]);
                    const bool is_const =
                        one != nullptr && one->kind == Allocation::Kind::kConstant;
                    return space == Space::kConst ? is_const : !is_shared && !is_local && !is_const;
                  }));
}

void decode_isspacep(Decoder& d, Modifiers& mods) {
  const Space space = take_space(mods);
  const Row a = d.source(d.operand(1), ptx::type_named("u64"));
  Instruction& i = d.emit(isspacep, Category::kInteger);
  i.a = a, i.immediate = static_cast<int64_t>(space), i.d = d.predicate_result(d.operand(0));
}

void nothing(Warp&, const Instruction&, Mask) {}

void decode_prefetch(Decoder& d, Modifiers& mods) {
  take_space(mods);
  mods.take_one({"L1", "L2"});
  mods.take_one({"L2::evict_last", "L2::evict_normal"});
  d.emit(nothing, Category::kGlobal);
}

void fence(Warp&, const Instruction&, Mask) { std::atomic_signal_fence(std::memory_order_seq_cst); }

void decode_membar(Decoder& d, Modifiers& mods) {
  if (mods.take_one({"cta", "gl", "sys"}).empty()) d.fail("membar needs .cta, .gl or .sys");
  d.emit(fence, Category::kBarrier);
}

void decode_fence(Decoder& d, Modifiers& mods) {
  mods.take_one({"sc", "acq_rel", "acquire", "release"});
  mods.take_one({"cta", "cluster", "gpu", "sys"});
  d.emit(fence, Category::kBarrier);
}

}  // namespace

void add_memory(OpcodeTable& table) {
  table["ld"] = decode_access<false>;
  table["ldu"] = decode_access<false>;
  table["st"] = decode_access<true>;
  table["atom"] = decode_atomic<true>;
  table["red"] = decode_atomic<false>;
  table["cvta"] = decode_cvta;
  table["isspacep"] = decode_isspacep;
  table["prefetch"] = decode_prefetch;
  table["prefetchu"] = decode_prefetch;
  table["membar"] = decode_membar;
  table["fence"] = decode_fence;
}

}  // namespace softcuda
