// The two entropy codes of Zstandard (RFC 8878, section 4): finite state entropy and Huffman.
#pragma once

#include <string>
#include <vector>

#include "bytes.h"

namespace softcuda::zstd {

[[noreturn]] void fail();  // ApiError kInvalidImage

inline int highest_bit(uint32_t value) { return 31 - __builtin_clz(value); }

// A stream that was written forwards and is read backwards: from the last byte, whose highest set
// bit marks the end, to the first. Before the first byte there are zeros.
class BackwardBits {
 public:
  explicit BackwardBits(const Bytes& bytes);

  // The next bits, at most 57 of them, without taking them.
  uint64_t peek(int count) const;
  uint64_t take(int count) {
    const uint64_t value = peek(count);
    left_ -= count;
    return value;
  }
  void skip(int count) { left_ -= count; }
  int64_t left() const { return left_; }  // negative: more were taken than there are

 private:
  Bytes bytes_;
  int64_t left_;
};

// Finite state entropy: a state stands for a symbol, and says how many bits lead to the next one.
class FseTable {
 public:
  struct State {
    uint8_t symbol = 0, bits = 0;
    uint16_t base = 0;
  };

  FseTable() = default;
  // Of one symbol that takes no bits.
  explicit FseTable(uint8_t symbol) : states_(1) { states_[0].symbol = symbol; }
  // Of how often each symbol comes, which sums up to 2^log; -1 is less than once.
  FseTable(const std::vector<int>& counts, int log);
  // As it is written at `at`, which is moved behind it.
  static FseTable read(const Bytes& bytes, size_t& at, int most_log, size_t most_symbols);

  bool is_empty() const { return states_.empty(); }
  size_t start(BackwardBits& bits) const { return bits.take(log_); }
  uint8_t symbol(size_t state) const { return states_[state].symbol; }
  size_t next(size_t state, BackwardBits& bits) const {
    return states_[state].base + bits.take(states_[state].bits);
  }
  int bits(size_t state) const { return states_[state].bits; }

 private:
  int log_ = 0;
  std::vector<State> states_;
};

// A Huffman code of bytes: the next bits, as many as the longest code has, index the table.
class HuffmanTable {
 public:
  HuffmanTable() = default;
  // As it is written at `at`, which is moved behind it.
  static HuffmanTable read(const Bytes& bytes, size_t& at);

  bool is_empty() const { return codes_.empty(); }
  // Append the `count` bytes that a stream stands for.
  void decode(const Bytes& stream, size_t count, std::string& out) const;

 private:
  struct Code {
    uint8_t symbol = 0, bits = 0;
  };
  explicit HuffmanTable(std::vector<uint8_t> weights);

  int longest_ = 0;
  std::vector<Code> codes_;
};

}  // namespace softcuda::zstd
