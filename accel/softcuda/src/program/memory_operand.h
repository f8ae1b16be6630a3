// What loads, stores and atomics have in common when they are decoded.
#pragma once

#include "decoder.h"

namespace softcuda {

// The base row and the offset of an address.
struct Address {
  Row base = kNoRow;
  bool is_wide = true;
  int64_t offset = 0;
};
Address decode_address(Decoder& d, const ptx::Operand& operand, ptx::Space space);

MemoryOperand& new_memory_operand(Decoder& d);
void attach(Decoder& d, Instruction& i, const Address& address, MemoryOperand& op);

// .global, .shared::cluster and so on; kNone is a generic address.
ptx::Space take_space(Modifiers& mods, bool* reaches_cluster = nullptr);
// .relaxed.gpu and so on. Volatile is relaxed for the whole system; so is an atomic for the device
// where nothing is written.
void take_order(Modifiers& mods, MemoryOperand& op);
Scope take_scope(Modifiers& mods, Scope otherwise);
// Hints to the caches, which have no meaning here. (They may not be forgotten: each is named.)
void take_hints(Modifiers& mods);
Category category_of(ptx::Space space);

}  // namespace softcuda
