// Functions: parameters, limits, and the body with its blocks, labels, registers and .loc lines.
#include <algorithm>

#include "parser.h"

namespace softcuda::ptx {
namespace {

constexpr int kMostRegisters = 1 << 20;

}  // namespace

// ['(' parameters] name ['(' parameters] performance_directives (';' | '{' block)
void Parser::function(bool is_entry, bool is_extern, bool is_visible) {
  Function f;
  f.is_entry = is_entry;
  f.is_visible = is_visible;
  f.line = here().line;
  scopes_.clear();
  frames_at_.clear();
  function_ = &f;
  if (accept("(")) f.results = parameters();
  f.name = name("a function's name");
  if (accept("(")) f.parameters = parameters();
  performance_directives(f);
  if (accept(";")) {
    f.is_declaration = true;
  } else {
    if (is_extern) fail("expected ';' after an .extern function");
    expect("{");
    block(0);
    add_last_statement(f);
  }
  function_ = nullptr;
  module_.functions.push_back(std::move(f));
}

// [(space attributes declarator),*] ')'
std::vector<int> Parser::parameters() {
  std::vector<int> indices;
  if (accept(")")) return indices;
  do {
    if (directive() == "reg") fail("expected .param: parameters in registers are not supported");
    Variable v;
    v.space = space();
    attributes(v);
    declarator(v);
    const int index = static_cast<int>(function_->variables.size());
    scopes_.add_variable(v.name, index);
    function_->variables.push_back(v);
    indices.push_back(index);
  } while (accept(","));
  expect(")");
  return indices;
}

// ('.noreturn' | '.explicitcluster' | '.pragma' ... ';' | performance_directive)*
void Parser::performance_directives(Function& f) {
  for (std::string word = directive(); !word.empty(); word = directive()) {
    take_directive();
    if (word == "noreturn" || word == "explicitcluster") continue;
    if (word == "pragma") {
      skip_statement();
    } else {
      performance_directive(f, word);
    }
  }
}

// ('.maxntid' | '.reqntid' | '.reqnctapercluster' | ...) integer [',' integer [',' integer]]
// The others tell the compiler how many registers it may use; they change no result.
void Parser::performance_directive(Function& f, const std::string& word) {
  const bool is_known = word == "maxntid" || word == "reqntid" || word == "minnctapersm" ||
                        word == "maxnreg" || word == "maxnctapersm" ||
                        word == "reqnctapercluster" || word == "maxclusterrank";
  if (!is_known) fail("expected a directive of a function that is known");
  int sizes[3] = {1, 1, 1};
  for (int& size : sizes) {
    size = static_cast<int>(integer());
    if (!accept(",")) break;
  }
  if (word == "maxntid") f.max_threads = sizes[0] * sizes[1] * sizes[2];
  if (word == "reqntid") std::copy(sizes, sizes + 3, f.required_threads);
  if (word == "reqnctapercluster") std::copy(sizes, sizes + 3, f.cluster);
}

// A label after the last statement needs one to stand for: a `ret` that nothing else reaches.
void Parser::add_last_statement(Function& f) {
  Statement last;
  last.opcode = f.is_entry ? "exit" : "ret";
  last.line = here().line;
  last.source.frame = frame_;
  f.body.push_back(last);
  frame_ = 0;
}

// --- bodies ---

// ('{' block | body_directive | label | statement | ';')* '}'
void Parser::block(int depth) {
  if (depth > kDeepestScope) fail("expected fewer nested braces");
  while (!accept("}")) {
    if (at_end()) fail("a function is not closed");
    if (accept("{")) {
      scopes_.enter();
      block(depth + 1);
      scopes_.leave();
    } else if (!directive().empty()) {
      body_directive(directive());
    } else if (here().kind == Token::Kind::kIdentifier && here(1).is(":")) {
      label();
    } else if (!accept(";")) {
      statement();
    }
  }
}

// name ':' ['.branchtargets' name,* ';' | ('.callprototype' | '.calltargets') ... ';']
// The prototype of an indirect call is not needed: its statement has all its arguments.
void Parser::label() {
  const std::string text = take().text;
  expect(":");
  const std::string word = directive();
  if (word == "branchtargets") {
    take_directive();
    std::vector<std::string>& targets = function_->branch_targets[text];
    do {
      targets.push_back(name("a label"));
    } while (accept(","));
    expect(";");
  } else if (word == "callprototype" || word == "calltargets") {
    skip_statement();
  } else if (!function_->labels.emplace(text, static_cast<int>(function_->body.size())).second) {
    fail("label " + text + " stands twice");
  }
}

// '.reg' registers | '.loc' location | '.pragma' ... ';' | '.section' ... | variables
void Parser::body_directive(const std::string& word) {
  const int line = here().line;
  if (word == "reg") {
    take_directive();
    registers();
  } else if (word == "loc") {
    take_directive();
    location(line);
  } else if (word == "pragma") {
    skip_statement();
  } else if (word == "section") {
    skip_section();
  } else {
    variables(function_->variables, false, &scopes_);
  }
}

// --- registers ---

// register_type (name ['<' count '>']),* ';'
// as in `.reg .b32 %r<100>, %last;`. The elements of a vector register follow one another.
void Parser::registers() {
  int vector = 1;
  const Type type = register_type(vector);
  do {
    const std::string base = name("a register's name");
    if (!accept("<")) {
      scopes_.add_register(base, add_register(base, type, vector));
      continue;
    }
    const uint64_t count = integer();
    expect(">");
    if (vector != 1 || count > kMostRegisters) fail("expected fewer registers");
    const int number = static_cast<int>(count);
    scopes_.add_registers(base, add_register(base, type, number), number);
  } while (accept(","));
  expect(";");
}

// (type | '.v2' | '.v4')*, of which one is the type.
Type Parser::register_type(int& vector) {
  Type type;
  for (std::string word = directive(); !word.empty(); word = directive()) {
    const Type found = type_named(word);
    if (found.kind != Type::Kind::kNone) {
      type = found;
    } else if (word == "v2" || word == "v4") {
      vector = word[1] - '0';
    } else {
      fail("expected a type");
    }
    take_directive();
  }
  if (type.kind == Type::Kind::kNone) fail("expected a type");
  return type;
}

int Parser::add_register(const std::string& base, const Type& type, int count) {
  std::vector<Register>& all = function_->registers;
  const int first = static_cast<int>(all.size());
  if (first + count > kMostRegisters) fail("expected fewer registers");
  for (int i = 0; i < count; ++i) {
    all.push_back({count == 1 ? base : base + std::to_string(i), type});
  }
  return first;
}

// --- lines of the source ---

// source_place [',' 'function_name' label ',' 'inlined_at' source_place]
// The second place is one that an earlier .loc has given, with where it was inlined in turn.
void Parser::location(int line) {
  const Place place = source_place(line);
  int caller = 0;
  while (!at_end() && here().line == line) {
    if (here().text != "inlined_at") {
      take();
      continue;
    }
    take();
    const Place at = source_place(line);
    const auto known = frames_at_.find(at);
    caller = known != frames_at_.end() ? known->second : frames_.add({at[0], at[1], 0});
  }
  frame_ = frames_.add({place[0], place[1], caller});
  frames_at_[place] = frame_;
}

// file line [column]
Parser::Place Parser::source_place(int line) {
  Place place = {static_cast<int>(integer()), static_cast<int>(integer()), 0};
  if (here().line == line && here().kind == Token::Kind::kInteger) {
    place[2] = static_cast<int>(integer());
  }
  return place;
}

}  // namespace softcuda::ptx
