// The grammar of PTX, a function a rule, each with what it reads in a comment. It is read by
// recursive descent; names become indices as they are read, since PTX declares before it uses
// (labels are the exception).
//
// In these comments 'x' is x as it stands, [x] may be missing, x* repeats, a | b is either, and
// x,* is a list with commas.
#pragma once

#include <array>
#include <map>
#include <string>
#include <vector>

#include "ast.h"
#include "scopes.h"
#include "source_frames.h"
#include "token_reader.h"

namespace softcuda::ptx {

// Braces in braces, of blocks and of initial values: each is a call of the parser in another.
constexpr int kDeepestScope = 200;

class Parser : private TokenReader {
 public:
  explicit Parser(const std::string& text) : TokenReader(text) {}
  Module run();

 private:
  // File, line and column of a .loc.
  using Place = std::array<int, 3>;

  // --- modules (parse_module.cpp) ---
  void module_item();
  void version();
  void target(int line);
  void file(int line);
  void skip_section();
  void declaration();
  void name_sources();

  // --- variables (parse_variables.cpp) ---
  void variables(std::vector<Variable>& into, bool is_extern, Scopes* scopes);
  Space space();
  void attributes(Variable& v);
  bool other_attribute(const std::string& word, uint64_t& align);
  uint64_t alignment();
  void declarator(Variable& v);
  void initializer(Variable& v);
  void initializer_list(Variable& v, uint64_t& offset, int depth);
  void initial_value(Variable& v, uint64_t& offset);
  void address_constant(Initializer& one);
  uint64_t number_of_type(const Type& type);

  // --- functions (parse_functions.cpp) ---
  void function(bool is_entry, bool is_extern, bool is_visible);
  std::vector<int> parameters();
  void performance_directives(Function& f);
  void performance_directive(Function& f, const std::string& word);
  void add_last_statement(Function& f);
  void block(int depth);
  void label();
  void body_directive(const std::string& word);
  void registers();
  Type register_type(int& vector);
  int add_register(const std::string& base, const Type& type, int count);
  void location(int line);
  Place source_place(int line);

  // --- statements (parse_statements.cpp) ---
  void statement();
  void guard(Statement& s);
  void opcode(Statement& s);
  void call(Statement& s);
  std::vector<Operand> operand_list();
  Operand operand(int depth);
  Operand vector_operand(int depth);
  Operand address_operand(int depth);
  Operand number_operand(Operand o);
  Operand named_operand(Operand o);
  int element();

  Module module_;
  // Of the function that is read:
  Function* function_ = nullptr;
  Scopes scopes_;
  int frame_ = 0;                   // of what follows the last .loc
  std::map<Place, int> frames_at_;  // the last one of each place
  FrameTable frames_;               // of the module
};

}  // namespace softcuda::ptx
