#include "lexer.h"

#include <cctype>
#include <cstdlib>

namespace softcuda::ptx {
namespace {

bool starts_name(char c) {
  return std::isalpha(static_cast<unsigned char>(c)) || c == '_' || c == '$' || c == '%';
}
bool continues_name(char c) {
  return std::isalnum(static_cast<unsigned char>(c)) || c == '_' || c == '$';
}

class Lexer {
 public:
  explicit Lexer(const std::string& text) : text_(text) {}

  std::vector<Token> run() {
    std::vector<Token> tokens;
    for (;;) {
      const size_t before = at_;
      skip_space_and_comments();
      Token token = next();
      token.joined = at_start_ == before && before != 0;
      tokens.push_back(token);
      if (token.kind == Token::Kind::kEnd) return tokens;
    }
  }

 private:
  char peek(size_t ahead = 0) const {
    return at_ + ahead < text_.size() ? text_[at_ + ahead] : '\0';
  }

  void skip_space_and_comments() {
    while (at_ < text_.size()) {
      const char c = text_[at_];
      if (c == '\n') {
        ++line_;
        ++at_;
      } else if (c == '\0' || std::isspace(static_cast<unsigned char>(c))) {
        ++at_;
      } else if (c == '/' && peek(1) == '/') {
        while (at_ < text_.size() && text_[at_] != '\n') ++at_;
      } else if (c == '/' && peek(1) == '*') {
        const size_t end = text_.find("*/", at_ + 2);
        if (end == std::string::npos) throw PtxError(line_, "a comment is not closed");
        for (; at_ < end + 2; ++at_) line_ += text_[at_] == '\n';
      } else {
        break;
      }
    }
    at_start_ = at_;
  }

  Token next() {
    Token token;
    token.line = line_;
    if (at_ >= text_.size()) return token;
    const char c = peek();
    if (starts_name(c)) {
      token.kind = Token::Kind::kIdentifier;
      const size_t start = at_++;
      while (continues_name(peek())) ++at_;
      token.text = text_.substr(start, at_ - start);
    } else if (std::isdigit(static_cast<unsigned char>(c))) {
      number(token);
    } else if (c == '"') {
      const size_t end = text_.find('"', at_ + 1);
      if (end == std::string::npos) throw PtxError(line_, "a string is not closed");
      token.kind = Token::Kind::kString;
      token.text = text_.substr(at_ + 1, end - at_ - 1);
      for (size_t i = at_; i < end; ++i) line_ += text_[i] == '\n';
      at_ = end + 1;
    } else {
      token.kind = Token::Kind::kPunctuation;
      token.text = c == ':' && peek(1) == ':' ? "::" : std::string(1, c);
      at_ += token.text.size();
    }
    return token;
  }

  void number(Token& token) {
    const size_t start = at_;
    if (peek() == '0' && (peek(1) == 'f' || peek(1) == 'F' || peek(1) == 'd' || peek(1) == 'D')) {
      const bool is_single = peek(1) == 'f' || peek(1) == 'F';
      const size_t digits = is_single ? 8 : 16;
      token.kind = is_single ? Token::Kind::kFloat32 : Token::Kind::kFloat64;
      token.value = hexadecimal(at_ + 2, digits);
      at_ += 2 + digits;
      return;
    }
    const char* begin = text_.c_str() + start;
    char* end = nullptr;
    const bool is_binary = peek() == '0' && (peek(1) == 'b' || peek(1) == 'B');
    token.kind = Token::Kind::kInteger;
    token.value = is_binary ? std::strtoull(begin + 2, &end, 2) : std::strtoull(begin, &end, 0);
    const char* after = end;
    // An element selector, 4.x, does not exist: a dot or an exponent makes a floating-point number.
    const bool is_hexadecimal = begin[0] == '0' && (begin[1] == 'x' || begin[1] == 'X');
    if (!is_hexadecimal && (*after == '.' || *after == 'e' || *after == 'E')) {
      const double value = std::strtod(begin, &end);
      token.kind = Token::Kind::kFloat64;
      std::memcpy(&token.value, &value, sizeof value);
    } else if (*after == 'U') {
      ++end;
    }
    at_ += static_cast<size_t>(end - begin);
    // A modifier such as .1d or .128B: keep the letters as a name.
    if (continues_name(peek())) {
      while (continues_name(peek())) ++at_;
      token.kind = Token::Kind::kIdentifier;
      token.text = text_.substr(start, at_ - start);
    }
  }

  uint64_t hexadecimal(size_t start, size_t digits) const {
    uint64_t value = 0;
    for (size_t i = 0; i < digits; ++i) {
      const char c = start + i < text_.size() ? text_[start + i] : '\0';
      if (!std::isxdigit(static_cast<unsigned char>(c))) {
        throw PtxError(line_, "a hexadecimal number has too few digits");
      }
      value = value * 16 + static_cast<uint64_t>(std::isdigit(static_cast<unsigned char>(c))
                                                     ? c - '0'
                                                     : (std::tolower(c) - 'a' + 10));
    }
    return value;
  }

  const std::string& text_;
  size_t at_ = 0;
  size_t at_start_ = 0;
  int line_ = 1;
};

}  // namespace

std::vector<Token> tokenize(const std::string& text) { return Lexer(text).run(); }

}  // namespace softcuda::ptx
