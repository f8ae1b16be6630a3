// Which operands may stand for a type (PTX ISA, sections "Operand Type Checking" and "Operand Size
// Exceeding Instruction-Type Size").
#include "decoder.h"

namespace softcuda {
namespace {

using ptx::Operand;
using ptx::Type;
using Kind = Type::Kind;

int width(const Type& type) { return type.bits * type.elements; }

bool is_untyped(const Type& type) { return type.kind == Kind::kBits; }

// Bits may be anything, an integer of either sign the other; a floating-point number is itself.
bool is_compatible(const Type& held, const Type& type) {
  if (is_untyped(held) || is_untyped(type)) return true;
  if (held.is_integer() && type.is_integer()) return true;
  return held.kind == type.kind && held.elements == type.elements;
}

// Loads, stores and conversions take registers that are wider than what they move.
bool takes_wider(const ptx::Statement& s) {
  return s.opcode == "ld" || s.opcode == "ldu" || s.opcode == "st" || s.opcode == "cvt";
}

bool fits(const Type& held, const Type& type, const ptx::Statement& s) {
  if (width(held) == width(type)) return is_compatible(held, type);
  const bool are_integers = !held.is_float() && !type.is_float();
  return takes_wider(s) && width(held) > width(type) && (is_untyped(held) || are_integers);
}

}  // namespace

void Decoder::check_source(const Operand& o, const Type& type) const {
  switch (o.kind) {
    case Operand::Kind::kRegister:
      if (register_type(o).is_predicate()) fail("a predicate cannot stand here");
      if (!fits(register_type(o), type, *statement_))
        fail("register " + o.name + " is of another type");
      return;
    case Operand::Kind::kInteger:
      if (type.is_float()) fail("expected a floating-point number, found an integer");
      return;
    case Operand::Kind::kFloat32:
    case Operand::Kind::kFloat64:
      if (type.is_integer() && !is_untyped(type))
        fail("expected an integer, found a floating-point number");
      if (is_untyped(type) && type.bits != (o.kind == Operand::Kind::kFloat32 ? 32 : 64))
        fail("the floating-point number has another size");
      return;
    default:
      return;
  }
}

void Decoder::check_destination(const Operand& o, const Type& type) const {
  if (o.kind == Operand::Kind::kSink) {
    const bool is_whole = !statement_->operands.empty() && &o == &statement_->operands[0];
    if (is_whole && statement_->opcode != "atom") fail("a result cannot be discarded here");
    return;
  }
  const Type& held = register_type(o);
  if (held.is_predicate()) fail("a predicate cannot stand here");
  if (!fits(held, type, *statement_)) fail("register " + o.name + " is of another type");
}

}  // namespace softcuda
