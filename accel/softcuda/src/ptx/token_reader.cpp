#include "token_reader.h"

#include <algorithm>

namespace softcuda::ptx {

const Token& TokenReader::here(size_t ahead) const {
  return tokens_[std::min(at_ + ahead, tokens_.size() - 1)];
}

Token TokenReader::take() {
  Token token = here();
  if (at_ + 1 < tokens_.size()) ++at_;
  return token;
}

bool TokenReader::accept(const char* punctuation) {
  if (!here().is(punctuation)) return false;
  take();
  return true;
}

void TokenReader::expect(const char* punctuation) {
  if (!accept(punctuation)) fail(std::string("expected '") + punctuation + "'");
}

std::string TokenReader::name(const char* what) {
  if (here().kind != Token::Kind::kIdentifier) fail(std::string("expected ") + what);
  return take().text;
}

uint64_t TokenReader::integer() {
  const bool negative = accept("-");
  if (here().kind != Token::Kind::kInteger) fail("expected an integer");
  const uint64_t value = take().value;
  return negative ? 0 - value : value;
}

std::string TokenReader::directive() const {
  const bool is_one = here().is(".") && here(1).kind == Token::Kind::kIdentifier;
  return is_one ? here(1).text : std::string();
}

bool TokenReader::accept_directive(const char* word) {
  if (directive() != word) return false;
  take_directive();
  return true;
}

void TokenReader::take_directive() {
  take();
  take();
}

void TokenReader::skip_line(int line) {
  while (!at_end() && here().line == line) take();
}

void TokenReader::skip_statement() {
  while (!at_end() && !accept(";")) take();
}

void TokenReader::fail(const std::string& what) const {
  const Token& token = here();
  const std::string found = at_end() ? "the end" : "'" + token.text + "'";
  throw PtxError(token.line, what + ", found " + found);
}

}  // namespace softcuda::ptx
