// The tokens of a PTX text one after the other: what any rule of its grammar is written in.
#pragma once

#include <string>
#include <vector>

#include "lexer.h"

namespace softcuda::ptx {

// The text is read once, from the front; rules look two tokens ahead at most. Whatever has to stand
// here and does not is a PtxError that says what was expected and what was found.
class TokenReader {
 public:
  explicit TokenReader(const std::string& text) : tokens_(tokenize(text)) {}

  const Token& here(size_t ahead = 0) const;
  bool at_end() const { return here().kind == Token::Kind::kEnd; }
  Token take();

  bool accept(const char* punctuation);  // take it if it stands here
  void expect(const char* punctuation);
  std::string name(const char* what);
  uint64_t integer();  // with its sign

  // The word after a dot, where one stands here: ".visible" gives "visible".
  std::string directive() const;
  bool accept_directive(const char* word);
  void take_directive();  // the one that stands here

  void skip_line(int line);
  void skip_statement();  // with its ';'

  [[noreturn]] void fail(const std::string& what) const;

 private:
  std::vector<Token> tokens_;
  size_t at_ = 0;
};

}  // namespace softcuda::ptx
