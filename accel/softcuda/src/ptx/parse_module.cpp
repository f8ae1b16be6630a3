// The top level of a PTX text: what it is made for, then functions and variables.
#include "parser.h"

namespace softcuda::ptx {

Module parse(const std::string& text) { return Parser(text).run(); }

// module_item*
Module Parser::run() {
  while (!at_end()) module_item();
  name_sources();
  if (module_.version == 0 || module_.target.number == 0) {
    throw PtxError(1, "a PTX text begins with .version and .target");
  }
  return std::move(module_);
}

// '.version' version | '.target' target | '.address_size' '64' | '.file' file | '.section' ... |
// '.pragma' ... ';' | declaration | ';'
void Parser::module_item() {
  if (accept(";")) return;
  const std::string word = directive();
  const int line = here().line;
  if (word.empty()) fail("expected a directive");
  if (word == "section") return skip_section();
  if (word == "pragma") return skip_statement();
  const bool is_header =
      word == "version" || word == "target" || word == "address_size" || word == "file";
  if (!is_header) return declaration();
  take_directive();
  if (word == "version") return version();
  if (word == "target") return target(line);
  if (word == "file") return file(line);
  if (integer() != 64) throw PtxError(line, ".address_size has a value other than 64");
}

// major '.' minor, as in 8.5: the lexer takes that for a floating-point number.
void Parser::version() {
  const Token token = take();
  if (token.kind == Token::Kind::kFloat64) {
    double value = 0;
    std::memcpy(&value, &token.value, sizeof value);
    module_.version = static_cast<int>(value * 10 + 0.5);
  } else if (token.kind == Token::Kind::kInteger && token.value < 100) {
    module_.version = static_cast<int>(token.value) * 10;
  } else {
    fail("expected a version such as 8.5");
  }
}

// (architecture | mode),*
void Parser::target(int line) {
  do {
    const std::string word = name("a target");
    if (word == "texmode_unified" || word == "texmode_independent" || word == "debug") continue;
    module_.target = architecture_named(word);
    if (module_.target.number == 0) throw PtxError(line, "target " + word + " is not known");
  } while (accept(","));
  if (module_.target.number == 0) throw PtxError(line, ".target names no sm_ architecture");
  module_.target_line = line;
}

// number '"path"' [',' time ',' size]: the file that .loc means by this number.
void Parser::file(int line) {
  const int number = static_cast<int>(integer());
  if (here().kind != Token::Kind::kString) fail("expected a file name");
  module_.sources.files[number] = take().text;
  skip_line(line);
}

// '.section' name '{' ... '}': debugging information as bytes.
void Parser::skip_section() {
  while (!here().is("{")) {
    if (at_end()) fail("expected '{' after .section");
    take();
  }
  int depth = 0;
  do {
    if (at_end()) fail("a .section is not closed");
    depth += here().is("{") - here().is("}");
    take();
  } while (depth > 0);
}

// ('.extern' | '.visible' | '.weak' | '.common')* ('.entry' function | '.func' function |
// variables)
void Parser::declaration() {
  bool is_extern = false, is_visible = false;
  for (;;) {
    if (accept_directive("extern")) {
      is_extern = true;
    } else if (accept_directive("visible") || accept_directive("weak") ||
               accept_directive("common")) {
      is_visible = true;
    } else {
      break;
    }
  }
  if (accept_directive("entry")) {
    function(true, is_extern, is_visible);
  } else if (accept_directive("func")) {
    function(false, is_extern, is_visible);
  } else {
    variables(module_.variables, is_extern, nullptr);
  }
}

// Only at the end is it known which files are the user's, and so which frames.
void Parser::name_sources() {
  module_.sources.frames = frames_.frames();
  for (Function& f : module_.functions) {
    for (Statement& s : f.body) s.source = module_.sources.location(s.source.frame);
  }
}

}  // namespace softcuda::ptx
