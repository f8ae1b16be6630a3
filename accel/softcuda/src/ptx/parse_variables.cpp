// Variables: their state space, type, size, and what they hold before the program runs.
#include <algorithm>

#include "parser.h"

namespace softcuda::ptx {
namespace {

constexpr uint64_t kMostBytes = uint64_t{1} << 40;
constexpr uint64_t kMostAlign = 1024;

double as_double(uint64_t bits) {
  double value;
  std::memcpy(&value, &bits, sizeof value);
  return value;
}

double single_as_double(uint64_t bits) {
  float value;
  std::memcpy(&value, &bits, sizeof value);
  return value;
}

uint64_t bits_of(double value, const Type& type) {
  uint64_t bits = 0;
  if (type.bits == 32) {
    const float single = static_cast<float>(value);
    std::memcpy(&bits, &single, sizeof single);
  } else {
    std::memcpy(&bits, &value, sizeof value);
  }
  return bits;
}

}  // namespace

// space attributes (declarator ['=' initializer]),* ';'
// as in `.global .align 4 .f32 x = 0f3F800000, y[4];`. In a function its scopes learn the names.
void Parser::variables(std::vector<Variable>& into, bool is_extern, Scopes* scopes) {
  Variable common;
  common.is_extern = is_extern;
  common.space = space();
  attributes(common);
  do {
    Variable v = common;
    declarator(v);
    if (accept("=")) initializer(v);
    if (scopes != nullptr) scopes->add_variable(v.name, static_cast<int>(into.size()));
    into.push_back(v);
  } while (accept(","));
  expect(";");
}

// '.global' | '.const' | '.shared' | '.local' | '.param'
Space Parser::space() {
  if (accept_directive("global")) return Space::kGlobal;
  if (accept_directive("const")) return Space::kConst;
  if (accept_directive("shared")) return Space::kShared;
  if (accept_directive("local")) return Space::kLocal;
  if (accept_directive("param")) return Space::kParam;
  fail("expected a directive that is known");
}

// (type | '.v2' | '.v4' | '.v8' | other_attribute)*, of which one is the type.
void Parser::attributes(Variable& v) {
  uint64_t align = 0;
  int vector = 1;
  for (std::string word = directive(); !word.empty(); word = directive()) {
    const Type type = type_named(word);
    if (type.kind != Type::Kind::kNone) {
      v.type = type;
      take_directive();
    } else if (word == "v2" || word == "v4" || word == "v8") {
      vector = word[1] - '0';
      take_directive();
    } else if (!other_attribute(word, align)) {
      fail("expected a type that is known");
    }
  }
  if (v.type.kind == Type::Kind::kNone) fail("expected a type");
  v.bytes = static_cast<uint64_t>(std::max(v.type.bytes(), 1)) * static_cast<uint64_t>(vector);
  v.align = align != 0 ? align : v.bytes;
}

// '.align' n | '.ptr' [space] ['.align' n] | '.attribute' '(' '.managed' ')'
// What follows .ptr is about the memory that a parameter points to, and changes nothing here.
bool Parser::other_attribute(const std::string& word, uint64_t& align) {
  if (word == "align") {
    take_directive();
    align = alignment();
  } else if (word == "ptr") {
    take_directive();
    for (const char* s : {"global", "const", "shared", "local"}) accept_directive(s);
    if (accept_directive("align")) alignment();
  } else if (word == "attribute") {
    take_directive();
    expect("(");
    if (!accept_directive("managed")) fail("expected .managed");
    expect(")");
  } else {
    return false;
  }
  return true;
}

uint64_t Parser::alignment() {
  const uint64_t value = integer();
  if (value == 0 || (value & (value - 1)) != 0 || value > kMostAlign) {
    fail("expected a power of two");
  }
  return value;
}

// name ('[' [count] ']')*
void Parser::declarator(Variable& v) {
  v.name = name("a variable's name");
  while (accept("[")) {
    uint64_t count = 0;
    if (!here().is("]")) count = integer();
    expect("]");
    if (count != 0 && v.bytes > kMostBytes / count) fail("expected a size that fits into memory");
    v.bytes *= count;
  }
}

// --- initial values ---

// initializer_list; an array without a count is as long as that.
void Parser::initializer(Variable& v) {
  uint64_t offset = 0;
  initializer_list(v, offset, 0);
  if (v.bytes == 0) v.bytes = offset;
  if (offset > v.bytes) fail("expected no more initial values than the variable holds");
}

// initial_value | '{' [initializer_list,*] '}'
void Parser::initializer_list(Variable& v, uint64_t& offset, int depth) {
  if (depth > kDeepestScope) fail("expected fewer nested braces");
  if (!accept("{")) {
    initial_value(v, offset);
    return;
  }
  if (accept("}")) return;
  do {
    initializer_list(v, offset, depth + 1);
  } while (accept(","));
  expect("}");
}

// address_constant | number
void Parser::initial_value(Variable& v, uint64_t& offset) {
  Initializer one;
  one.offset = offset;
  one.bytes = v.type.bytes();
  if (here().kind == Token::Kind::kIdentifier) {
    address_constant(one);
  } else {
    one.value = number_of_type(v.type);
  }
  offset += static_cast<uint64_t>(one.bytes);
  v.initializers.push_back(one);
}

// (name | 'generic' '(' name ')') ['+' integer | '-' integer]
// Of global memory both are the same address here.
void Parser::address_constant(Initializer& one) {
  one.symbol = name("a name");
  if (one.symbol == "generic" && accept("(")) {
    one.symbol = name("a name");
    expect(")");
  }
  if (accept("+")) one.value = integer();
  if (here().is("-")) one.value += integer();
}

// ['-'] number, as the bits that a variable of the type holds.
uint64_t Parser::number_of_type(const Type& type) {
  const bool negative = accept("-");
  const Token token = take();
  double value = 0;
  if (token.kind == Token::Kind::kInteger) {
    if (!type.is_float()) return negative ? 0 - token.value : token.value;
    value = static_cast<double>(token.value);
  } else if (token.kind == Token::Kind::kFloat32) {
    if (type.bits == 32 || !type.is_float()) return token.value ^ (negative ? 0x80000000u : 0u);
    value = single_as_double(token.value);
  } else if (token.kind == Token::Kind::kFloat64) {
    value = as_double(token.value);
  } else {
    fail("expected a number");
  }
  return bits_of(negative ? -value : value, type);
}

}  // namespace softcuda::ptx
