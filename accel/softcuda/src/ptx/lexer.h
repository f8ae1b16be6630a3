// PTX text to tokens.
#pragma once

#include <string>
#include <vector>

#include "../common.h"

namespace softcuda::ptx {

struct Token {
  enum class Kind { kIdentifier, kInteger, kFloat32, kFloat64, kString, kPunctuation, kEnd };
  Kind kind = Kind::kEnd;
  std::string text;    // of identifiers, strings and punctuation
  uint64_t value = 0;  // of numbers; of floats their bits
  int line = 0;
  bool joined = false;  // no space between this token and the one before

  bool is(const char* punctuation) const {
    return kind == Kind::kPunctuation && text == punctuation;
  }
  bool is_word(const char* word) const { return kind == Kind::kIdentifier && text == word; }
};

// All tokens of a text, the last of kind kEnd. Throws PtxError.
std::vector<Token> tokenize(const std::string& text);

}  // namespace softcuda::ptx
