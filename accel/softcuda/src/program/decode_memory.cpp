// Loads and stores.
#include "../machine/access.h"
#include "lanes.h"
#include "memory_operand.h"

namespace softcuda {
namespace {

using ptx::Operand;
using ptx::Space;
using ptx::Type;
using Shape = Access::Shape;

const MemoryOperand& operand_of(const Instruction& i) {
  return *static_cast<const MemoryOperand*>(i.extra);
}

template <class T>
T read(const char* from) {
  T value;
  std::memcpy(&value, from, sizeof value);
  return value;
}

// One element of each lane's access, to a row. What is narrower than its lane is extended, with its
// sign where T has one.
template <class T, class L>
void load_part(Warp& w, const Access& access, Row row, Mask m, uint32_t stride, uint32_t offset) {
  L* out = w.out<L>(row);
  if (m == kFullMask && access.shape == Shape::kSame) {
    const L value = static_cast<L>(read<T>(access.origin + offset));
    for (int l = 0; l < kLanes; ++l) out[l] = value;
  } else if (m == kFullMask && access.shape == Shape::kConsecutive) {
    const char* from = access.origin + offset;
    if (sizeof(T) == sizeof(L) && stride == sizeof(T)) {
      std::memcpy(out, from, sizeof(L) * kLanes);
    } else {
      for (uint32_t l = 0; l < kLanes; ++l) out[l] = static_cast<L>(read<T>(from + l * stride));
    }
  } else {
    for (Mask left = m; left != 0; left &= left - 1) {
      const int l = lowest_lane(left);
      out[l] = static_cast<L>(read<T>(access.at(l, stride) + offset));
    }
  }
}

template <class T>
void load(Warp& w, const Instruction& i, Mask m) {
  const MemoryOperand& op = operand_of(i);
  Access access;
  locate(w, i, op, m, access);
  for (uint32_t k = 0; k < op.elements; ++k) {
    if (op.parts[k] == kNoRow) continue;
    const uint32_t offset = k * static_cast<uint32_t>(sizeof(T));
    if constexpr (sizeof(T) == 16)
      load_part<T, T>(w, access, op.parts[k], m, op.bytes(), offset);
    else if (op.part_bytes[k] == 8)
      load_part<T, uint64_t>(w, access, op.parts[k], m, op.bytes(), offset);
    else
      load_part<T, uint32_t>(w, access, op.parts[k], m, op.bytes(), offset);
  }
}

// True if memory is not what it was.
template <class T, class L>
bool store_part(Warp& w, const Access& access, Row row, Mask m, uint32_t stride, uint32_t offset) {
  const L* values = w.in<L>(row);
  if (m == kFullMask && access.shape == Shape::kConsecutive && sizeof(T) == sizeof(L) &&
      stride == sizeof(T)) {
    const bool is_new = std::memcmp(access.origin, values, sizeof(L) * kLanes) != 0;
    std::memcpy(access.origin, values, sizeof(L) * kLanes);
    return is_new;
  }
  bool is_new = false;
  for (Mask left = m; left != 0; left &= left - 1) {
    const int l = lowest_lane(left);
    const T value = static_cast<T>(values[l]);
    char* to = access.at(l, stride) + offset;
    is_new |= std::memcmp(to, &value, sizeof value) != 0;
    std::memcpy(to, &value, sizeof value);
  }
  return is_new;
}

template <class T>
void store(Warp& w, const Instruction& i, Mask m) {
  const MemoryOperand& op = operand_of(i);
  Access access;
  locate(w, i, op, m, access);
  bool is_new = false;
  for (uint32_t k = 0; k < op.elements; ++k) {
    const uint32_t offset = k * static_cast<uint32_t>(sizeof(T));
    if constexpr (sizeof(T) == 16)
      is_new |= store_part<T, T>(w, access, op.parts[k], m, op.bytes(), offset);
    else if (op.part_bytes[k] == 8)
      is_new |= store_part<T, uint64_t>(w, access, op.parts[k], m, op.bytes(), offset);
    else
      is_new |= store_part<T, uint32_t>(w, access, op.parts[k], m, op.bytes(), offset);
  }
  if (is_new && op.space != Space::kLocal) w.worker().note_progress();
}

// --- decoding ---

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
    case 16:
      return load<UInt128>;
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
    case 16:
      return store<UInt128>;
    default:
      return nullptr;
  }
}

uint8_t lane_bytes(const Type& type) { return type.bits == 128 ? 16 : type.bits == 64 ? 8 : 4; }

// The rows of a vector's elements, or the one of a number.
void decode_parts(Decoder& d, const Operand& data, const Type& type, MemoryOperand& op) {
  const std::vector<Operand> parts =
      data.kind == Operand::Kind::kVector ? data.parts : std::vector<Operand>{data};
  if (parts.size() != op.elements) d.fail("the vector has the wrong number of elements");
  for (size_t k = 0; k < parts.size(); ++k) {
    op.part_bytes[k] = lane_bytes(type);
    if (parts[k].kind == Operand::Kind::kSink && !op.is_store && parts.size() > 1) continue;
    if (parts[k].kind == Operand::Kind::kRegister) {
      const Type& held = d.register_type(parts[k]);
      op.is_store ? d.check_source(parts[k], type) : d.check_destination(parts[k], type);
      op.part_bytes[k] = lane_bytes(held);
      if ((held.bits == 128) != (type.bits == 128)) d.fail("128 bits need a register of 128 bits");
      op.parts[k] = d.source(parts[k], held);
    } else if (op.is_store) {
      op.parts[k] = d.source(parts[k], type);
    } else {
      d.fail("expected a register");
    }
  }
}

template <bool is_store>
void decode_access(Decoder& d, Modifiers& mods) {
  MemoryOperand& op = new_memory_operand(d);
  op.is_store = is_store;
  take_order(mods, op);
  op.space = take_space(mods, &op.reaches_cluster);
  op.is_read_only = !is_store && mods.take("nc");
  if (op.is_read_only && op.space != Space::kGlobal) d.fail(".nc needs .global");
  take_hints(mods);
  if (!is_store) mods.take("unified");
  const std::string vector = mods.take_one({"v2", "v4", "v8"});
  const Type type = mods.take_type();
  op.element_bytes = static_cast<uint8_t>(type.bytes());
  op.elements = vector.empty() ? 1 : static_cast<uint8_t>(vector[1] - '0');
  const Handler run = is_store ? store_handler(type) : load_handler(type);
  if (run == nullptr || op.bytes() > 32) d.fail("this type is not supported here");
  const Address address = decode_address(d, d.operand(is_store ? 0 : 1), op.space);
  decode_parts(d, d.operand(is_store ? 1 : 0), type, op);
  attach(d, d.emit(run, category_of(op.space)), address, op);
}

}  // namespace

void add_memory(OpcodeTable& table) {
  table["ld"] = decode_access<false>;
  table["ldu"] = decode_access<false>;
  table["st"] = decode_access<true>;
}

}  // namespace softcuda
