// From a statement of PTX to instructions: operands to rows, modifiers taken one by one.
#pragma once

#include <map>
#include <string>
#include <unordered_map>
#include <vector>

#include "../ptx/ast.h"
#include "instruction.h"

namespace softcuda {

// The modifiers of a statement. Whatever reads one takes it; what nobody took is an error.
class Modifiers {
 public:
  explicit Modifiers(const ptx::Statement& statement)
      : statement_(statement), left_(statement.modifiers) {}

  bool take(const std::string& word);
  // The one of these that stands there, or "".
  std::string take_one(const std::vector<std::string>& words);
  // The same, where one of them must stand. Throws PtxError if none does.
  std::string require_one(const std::vector<std::string>& words);
  // The first type among what is left. Throws PtxError if there is none.
  ptx::Type take_type();
  // Throws PtxError if something is left.
  void finish() const;
  [[noreturn]] void fail(const std::string& what) const;

 private:
  const ptx::Statement& statement_;
  std::vector<std::string> left_;
};

enum class Rounding : uint8_t { kNearest, kZero, kDown, kUp };

// Where the names of a module lie.
struct Symbols {
  const ptx::Module* module = nullptr;
  Program* program = nullptr;
  std::map<std::string, uint32_t> shared;  // offset; dynamic ones too
  std::map<std::string, bool> is_dynamic;
  std::map<std::string, const ptx::Function*> declarations;
  uint32_t dynamic_shared = 0;
  bool watches_registers = false;  // for reads of what was never written
};

// Decodes one function.
class Decoder {
 public:
  Decoder(const ptx::Function& source, const Symbols& symbols, Function& function);
  void run();

  // --- for the decoders of instructions ---

  // A row to read, of lanes of 4 or 8 bytes as the type has; a register of another width is
  // brought to it, with its sign where the type has one.
  Row source(const ptx::Operand& operand, const ptx::Type& type);
  // A row to write. What is narrower than the register is extended after the instruction.
  Row destination(const ptx::Operand& operand, const ptx::Type& type);
  // What source() and destination() look at first: may this operand stand for the type?
  void check_source(const ptx::Operand& operand, const ptx::Type& type) const;
  void check_destination(const ptx::Operand& operand, const ptx::Type& type) const;
  Row predicate(const ptx::Operand& operand);         // to read; fails if negated
  Row predicate_result(const ptx::Operand& operand);  // kNoRow for _
  Row constant(uint64_t bits, int lane_bytes);
  Row special(const std::string& name);
  Row temporary(int lane_bytes);
  // The operand with this number, which is then one that the instruction has. Throws PtxError if
  // it is missing.
  const ptx::Operand& operand(size_t index);
  size_t num_operands() const { return statement_->operands.size(); }
  const ptx::Statement& statement() const { return *statement_; }
  const ptx::Type& register_type(const ptx::Operand& operand) const;
  // Append an instruction that stands for the statement, with its guard.
  Instruction& emit(Handler handler, Category category);
  [[noreturn]] void fail(const std::string& what) const;

  Function& function() { return function_; }
  const Symbols& symbols() const { return symbols_; }
  uint32_t local_offset(int variable);
  uint32_t param_offset(int variable) const;
  uint32_t shared_offset(const ptx::Operand& operand);
  bool address_of(const ptx::Operand& operand, ptx::Space& space, uint64_t& address);
  const ptx::Function& source_function() const { return source_; }
  uint32_t label(const std::string& name) const;  // index of a statement

 private:
  void place_rows();
  void place_variables();
  void resolve_branches();

  const ptx::Function& source_;
  const Symbols& symbols_;
  Function& function_;
  const ptx::Statement* statement_ = nullptr;
  size_t taken_operands_ = 0;      // of the statement
  std::vector<Row> rows_;          // of registers
  std::vector<uint32_t> offsets_;  // of variables
  std::map<std::pair<uint64_t, int>, Row> constants_;
  std::map<std::string, Row> specials_;
  std::vector<uint32_t> starts_;  // first instruction of each statement
  struct Pending {
    Row from, to;
    int from_bytes, to_bytes;
    int sign_bits;
  };
  std::vector<Pending> pending_;  // extensions after the current instruction
};

using Decode = void (*)(Decoder&, Modifiers&);
using OpcodeTable = std::unordered_map<std::string, Decode>;

void add_integer(OpcodeTable& table);    // with the two below
void add_carry(OpcodeTable& table);      // arithmetic of extended precision
void add_bit_field(OpcodeTable& table);  // counting bits, fields of bits
void add_logic(OpcodeTable& table);      // with the two below
void add_compare(OpcodeTable& table);    // setp, set, selp, slct
void add_move(OpcodeTable& table);
void add_float(OpcodeTable& table);
void add_convert(OpcodeTable& table);
void add_memory(OpcodeTable& table);
void add_atomic(OpcodeTable& table);
void add_address(OpcodeTable& table);
void add_control(OpcodeTable& table);
void add_warp(OpcodeTable& table);

// A handler for the C++ type that a PTX type stands for: choose(T{}) with T one of the integers, or
// of float and double. Null for any other.
template <class F>
Handler for_integer(const ptx::Type& type, F choose) {
  if (!type.is_integer() || type.elements != 1) return nullptr;
  const bool is_signed = type.is_signed();
  switch (type.bits) {
    case 8:
      return is_signed ? choose(int8_t{}) : choose(uint8_t{});
    case 16:
      return is_signed ? choose(int16_t{}) : choose(uint16_t{});
    case 32:
      return is_signed ? choose(int32_t{}) : choose(uint32_t{});
    case 64:
      return is_signed ? choose(int64_t{}) : choose(uint64_t{});
    default:
      return nullptr;
  }
}

template <class F>
Handler for_float(const ptx::Type& type, F choose) {
  if (!type.is_float() || type.elements != 1) return nullptr;
  if (type.bits == 32) return choose(float{});
  if (type.bits == 64) return choose(double{});
  return nullptr;
}

}  // namespace softcuda
