// Statements: guard, opcode with modifiers, operands.
#include "parser.h"

namespace softcuda::ptx {
namespace {

constexpr int kDeepestOperand = 3;

}  // namespace

// [guard] opcode (call | [operand ['|' operand]],*) ';'
// as in `@%p1 setp.lt.s32 %p2|%p3, %r1, 5;`.
void Parser::statement() {
  Statement s;
  s.line = here().line;
  s.source.frame = frame_;
  guard(s);
  s.line = here().line;
  opcode(s);
  if (s.opcode == "call") {
    call(s);
  } else if (!here().is(";")) {
    do {
      s.operands.push_back(operand(0));
      if (here().is("|") && s.operands.size() != 1) fail("expected ','");
      if (accept("|")) s.results.push_back(operand(0));
    } while (accept(","));
  }
  expect(";");
  function_->body.push_back(std::move(s));
}

// ['@' ['!'] predicate]
void Parser::guard(Statement& s) {
  if (!accept("@")) return;
  s.guard_negated = accept("!");
  const std::string text = name("a predicate");
  s.guard = scopes_.find_register(text);
  if (s.guard < 0) throw PtxError(s.line, text + " is no register");
}

// name ('.' name ('::' name)*)*, as in `ld.acquire.gpu.shared::cluster.b32`.
void Parser::opcode(Statement& s) {
  s.opcode = name("an instruction");
  while (accept(".")) {
    std::string modifier = name("a modifier");
    while (accept("::")) modifier += "::" + name("a modifier");
    s.modifiers.push_back(modifier);
  }
}

// [operand_list ','] operand [',' operand_list] [',' prototype]
// The results, what is called, its arguments.
void Parser::call(Statement& s) {
  if (here().is("(")) {
    s.results = operand_list();
    expect(",");
  }
  s.operands.push_back(operand(0));
  if (!accept(",")) return;
  if (here().is("(")) {
    s.arguments = operand_list();
    if (!accept(",")) return;
  }
  name("a prototype");
}

// '(' [operand,*] ')'
std::vector<Operand> Parser::operand_list() {
  std::vector<Operand> list;
  expect("(");
  if (accept(")")) return list;
  do {
    list.push_back(operand(0));
  } while (accept(","));
  expect(")");
  return list;
}

// '{' vector_operand | '[' address_operand | ['!'] (named_operand | number_operand)
Operand Parser::operand(int depth) {
  if (depth > kDeepestOperand) fail("expected a simpler operand");
  if (accept("{")) return vector_operand(depth);
  if (accept("[")) return address_operand(depth);
  Operand o;
  o.negated = accept("!");
  return here().kind == Token::Kind::kIdentifier ? named_operand(o) : number_operand(o);
}

// operand,* '}'
Operand Parser::vector_operand(int depth) {
  Operand o;
  o.kind = Operand::Kind::kVector;
  do {
    o.parts.push_back(operand(depth + 1));
  } while (accept(","));
  expect("}");
  return o;
}

// operand ']': what is added to the base is kept apart from it.
Operand Parser::address_operand(int depth) {
  Operand o;
  o.kind = Operand::Kind::kAddress;
  o.parts.push_back(operand(depth + 1));
  o.value = o.parts[0].value;
  if (o.parts[0].kind != Operand::Kind::kInteger) o.parts[0].value = 0;
  expect("]");
  return o;
}

// ['-'] number, as the bits that stand there.
Operand Parser::number_operand(Operand o) {
  const bool negative = accept("-");
  const Token token = take();
  o.value = token.value;
  if (token.kind == Token::Kind::kInteger) {
    o.kind = Operand::Kind::kInteger;
    if (negative) o.value = 0 - o.value;
  } else if (token.kind == Token::Kind::kFloat32) {
    o.kind = Operand::Kind::kFloat32;
    if (negative) o.value ^= 0x80000000u;
  } else if (token.kind == Token::Kind::kFloat64) {
    o.kind = Operand::Kind::kFloat64;
    if (negative) o.value ^= uint64_t{1} << 63;
  } else {
    throw PtxError(token.line, "expected an operand, found '" + token.text + "'");
  }
  return o;
}

// '_' | (register [element] | '%'name ['.' name] | name) ['+' integer | '-' integer]
// A name that is no register and has no % is a variable of the function or, by its name alone, one
// of the module, a function or a label, which may be declared later.
Operand Parser::named_operand(Operand o) {
  const std::string text = take().text;
  o.name = text;
  if (text == "_") {
    o.kind = Operand::Kind::kSink;
    return o;
  }
  o.index = scopes_.find_register(text);
  if (o.index >= 0) {
    o.kind = Operand::Kind::kRegister;
    if (here().is(".") && here().joined) o.index += element();
  } else if (text[0] == '%') {
    o.kind = Operand::Kind::kSpecial;
    if (accept(".")) o.name += "." + name("x, y or z");
  } else {
    o.index = scopes_.find_variable(text);
    o.kind = o.index >= 0 ? Operand::Kind::kVariable : Operand::Kind::kSymbol;
  }
  if (accept("+")) {
    o.value = integer();
  } else if (here().is("-")) {
    o.value = integer();
  }
  return o;
}

// '.' ('x' | 'y' | 'z' | 'w'), as a number.
int Parser::element() {
  take();
  const std::string which = name("x, y, z or w");
  const size_t found = std::string("xyzw").find(which);
  if (which.size() != 1 || found == std::string::npos) fail("expected x, y, z or w");
  return static_cast<int>(found);
}

}  // namespace softcuda::ptx
