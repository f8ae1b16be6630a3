// PTX as it is written: modules, functions, variables and statements, names resolved to registers.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "../common.h"
#include "architecture.h"
#include "source_frames.h"

namespace softcuda::ptx {

enum class Space { kNone, kRegister, kParam, kLocal, kShared, kGlobal, kConst };

// A fundamental type, `.f32` and so on.
struct Type {
  enum class Kind { kNone, kPredicate, kBits, kUnsigned, kSigned, kFloat, kBrainFloat };
  Kind kind = Kind::kNone;
  int bits = 0;      // of one element
  int elements = 1;  // 2 for .f16x2 and .bf16x2

  int bytes() const { return bits * elements / 8; }
  bool is_integer() const {
    return kind == Kind::kBits || kind == Kind::kUnsigned || kind == Kind::kSigned;
  }
  bool is_signed() const { return kind == Kind::kSigned; }
  bool is_float() const { return kind == Kind::kFloat; }
  bool is_predicate() const { return kind == Kind::kPredicate; }
  bool operator==(const Type& o) const {
    return kind == o.kind && bits == o.bits && elements == o.elements;
  }
};

// The type that a name such as "u32" stands for; kind kNone if it stands for none.
Type type_named(const std::string& name);

struct Register {
  std::string name;
  Type type;
};

// A number written into a variable's memory, or the address of another variable.
struct Initializer {
  uint64_t offset = 0;  // bytes from the start of the variable
  int bytes = 0;
  uint64_t value = 0;
  std::string symbol;  // if not empty: its address plus value
};

struct Variable {
  std::string name;
  Space space = Space::kNone;
  Type type;
  uint64_t bytes = 0;
  uint64_t align = 1;
  bool is_extern = false;
  std::vector<Initializer> initializers;
};

struct Operand {
  enum class Kind {
    kRegister,  // index
    kSpecial,   // name, such as %tid.x
    kInteger,   // value
    kFloat32,   // value: its bits
    kFloat64,   // value: its bits
    kSymbol,    // name (+ value): a variable, function or label
    kVariable,  // index into the function's variables (+ value)
    kAddress,   // [parts[0] + value]
    kVector,    // {parts}
    kSink,      // _
  };
  Kind kind = Kind::kSink;
  int index = -1;
  bool negated = false;
  uint64_t value = 0;
  std::string name;
  std::vector<Operand> parts;
};

struct Statement {
  int guard = -1;  // register index of @%p, or -1
  bool guard_negated = false;
  std::string opcode;
  std::vector<std::string> modifiers;
  std::vector<Operand> operands;   // of a call: the callee first
  std::vector<Operand> results;    // of a call; elsewhere d|p puts p here
  std::vector<Operand> arguments;  // of a call
  int line = 0;                    // of the PTX text
  SourceLocation source;
};

struct Function {
  std::string name;
  bool is_entry = false;
  bool is_declaration = false;
  bool is_visible = false;
  std::vector<int> parameters;  // indices into variables
  std::vector<int> results;
  std::vector<Register> registers;
  std::vector<Variable> variables;  // parameters, and what the body declares
  std::vector<Statement> body;
  std::map<std::string, int> labels;                               // index into body
  std::map<std::string, std::vector<std::string>> branch_targets;  // of brx.idx
  int max_threads = 0;                  // .maxntid, product; 0 if not given
  int required_threads[3] = {0, 0, 0};  // .reqntid
  int cluster[3] = {0, 0, 0};           // .reqnctapercluster
  int line = 0;
};

struct Module {
  int version = 0;  // 85 for 8.5
  Architecture target;
  int target_line = 0;
  std::vector<Variable> variables;
  std::vector<Function> functions;
  SourceMap sources;
};

// Parse a PTX text.
//
// Throws PtxError, with the line, for what is not PTX or not known here.
Module parse(const std::string& text);

}  // namespace softcuda::ptx
