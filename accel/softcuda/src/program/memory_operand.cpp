#include "memory_operand.h"

#include "../machine/special_registers.h"
#include "../memory/device_memory.h"

namespace softcuda {

using ptx::Operand;
using ptx::Space;
using ptx::Type;

Space take_space(Modifiers& mods, bool* reaches_cluster) {
  if (mods.take("global")) return Space::kGlobal;
  if (reaches_cluster != nullptr && mods.take("shared::cluster")) {
    *reaches_cluster = true;
    return Space::kShared;
  }
  if (mods.take("shared") || mods.take("shared::cta")) return Space::kShared;
  if (mods.take("local")) return Space::kLocal;
  if (mods.take("const")) return Space::kConst;
  if (mods.take("param") || mods.take("param::entry") || mods.take("param::func"))
    return Space::kParam;
  return Space::kNone;
}

void take_hints(Modifiers& mods) {
  mods.take_one({"ca", "cg", "cs", "lu", "cv", "wb", "wt"});
  mods.take_one({"L1::evict_normal", "L1::evict_unchanged", "L1::evict_first", "L1::evict_last",
                 "L1::no_allocate"});
  mods.take_one({"L2::evict_normal", "L2::evict_first", "L2::evict_last"});
  mods.take_one({"L2::64B", "L2::128B", "L2::256B"});
}

Scope take_scope(Modifiers& mods, Scope otherwise) {
  const std::string name = mods.take_one({"cta", "cluster", "gpu", "sys"});
  if (name.empty()) return otherwise;
  return name == "cta" ? Scope::kBlock : name == "cluster" ? Scope::kCluster : Scope::kDevice;
}

void take_order(Modifiers& mods, MemoryOperand& op) {
  const std::string order =
      mods.take_one({"volatile", "relaxed", "acquire", "release", "acq_rel", "weak", "mmio"});
  if (order == "mmio") mods.take("relaxed");
  constexpr Scope kNoScope = Scope::kWeak;
  const Scope scope = take_scope(mods, kNoScope);
  const bool is_ordered = !order.empty() && order != "weak" && order != "volatile";
  if (op.is_atomic) {
    op.scope = scope == kNoScope ? Scope::kDevice : scope;
  } else {
    if (is_ordered && scope == kNoScope) mods.fail("." + order + " needs a scope");
    if (!is_ordered && scope != kNoScope) mods.fail("a scope needs an order");
    if (order == "acq_rel" || order == (op.is_store ? "acquire" : "release"))
      mods.fail("this order is not one of the instruction");
    if (is_ordered) op.scope = scope;
    if (order == "volatile") op.scope = Scope::kDevice;
  }
  if (order == "weak" || (order.empty() && !op.is_atomic)) return;
  op.order = order == "acquire"   ? Order::kAcquire
             : order == "release" ? Order::kRelease
             : order == "acq_rel" ? Order::kAcquireRelease
                                  : Order::kRelaxed;
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

Address decode_address(Decoder& d, const Operand& operand, Space space) {
  if (operand.kind != Operand::Kind::kAddress) d.fail("expected an address in brackets");
  const Operand& base = operand.parts[0];
  Address result;
  result.offset = static_cast<int64_t>(operand.value);
  if (base.kind == Operand::Kind::kRegister) {
    const Type& type = d.register_type(base);
    result.is_wide = type.bits == 64;
    if (type.is_float() || (!result.is_wide && type.bits != 32))
      d.fail("an address is in a register of 32 or 64 bits");
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
      result.base = d.special(kLocalBase);
      result.is_wide = true;
    }
    result.offset = static_cast<int64_t>(operand.value + address);  // may wrap
  }
  return result;
}

MemoryOperand& new_memory_operand(Decoder& d) {
  d.function().memory_operands.push_back(std::make_unique<MemoryOperand>());
  return *d.function().memory_operands.back();
}

void attach(Decoder& d, Instruction& i, const Address& address, MemoryOperand& op) {
  op.is_wide = address.is_wide;
  i.a = address.base, i.immediate = address.offset;
  i.extra = &op, i.operand = OperandKind::kMemory;
  const bool may_be_global = op.space == Space::kGlobal || op.space == Space::kNone;
  if (op.scope != Scope::kWeak && may_be_global) d.function().communicates = true;
}

}  // namespace softcuda
