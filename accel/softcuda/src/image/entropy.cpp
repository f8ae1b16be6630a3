#include "entropy.h"

#include <algorithm>

namespace softcuda::zstd {

void fail() { throw ApiError(Status::kInvalidImage, "a Zstandard frame is damaged"); }

namespace {

constexpr int kLongestCode = 11;
constexpr int kMostWeightLog = 6;
constexpr size_t kMostWeights = 255;  // that of the last symbol follows from the others

// Bits of the description of a table: from the lowest bit of the first byte on.
class ForwardBits {
 public:
  ForwardBits(const Bytes& bytes, size_t at) : bytes_(bytes), at_(at * 8) {}

  uint32_t peek(int count) const {
    uint32_t value = 0;
    for (int k = 0; k < count; ++k) {
      const size_t bit = at_ + static_cast<size_t>(k);
      if (bit / 8 >= bytes_.size()) break;
      value |= ((bytes_.at<uint8_t>(bit / 8) >> bit % 8) & 1u) << k;
    }
    return value;
  }
  void skip(int count) {
    at_ += static_cast<size_t>(count);
    if (at_ > bytes_.size() * 8) fail();
  }
  uint32_t take(int count) {
    const uint32_t value = peek(count);
    skip(count);
    return value;
  }
  size_t bytes_read() const { return (at_ + 7) / 8; }

 private:
  const Bytes& bytes_;
  size_t at_;
};

}  // namespace

// --- bits ----------------------------------------------------------------------------------------

BackwardBits::BackwardBits(const Bytes& bytes) : bytes_(bytes) {
  if (bytes.size() == 0) fail();
  const auto last = bytes.at<uint8_t>(bytes.size() - 1);
  if (last == 0) fail();
  left_ = static_cast<int64_t>(bytes.size() - 1) * 8 + highest_bit(last);
}

uint64_t BackwardBits::peek(int count) const {
  const int64_t first = left_ - count, from = std::max<int64_t>(first, 0);
  if (left_ <= 0) return 0;
  const auto byte = static_cast<size_t>(from / 8);
  uint64_t word = 0;
  std::memcpy(&word, bytes_.data() + byte, std::min<size_t>(sizeof word, bytes_.size() - byte));
  const uint64_t mask = (uint64_t{1} << (left_ - from)) - 1;
  return ((word >> from % 8) & mask) << (from - first);
}

// --- finite state entropy ------------------------------------------------------------------------

FseTable::FseTable(const std::vector<int>& counts, int log) : log_(log) {
  const size_t size = size_t{1} << log;
  states_.resize(size);
  std::vector<uint32_t> next(counts.size());
  // Symbols that come less than once have one state each, at the end.
  size_t end = size;
  for (size_t s = 0; s < counts.size(); ++s) {
    next[s] = static_cast<uint32_t>(std::abs(counts[s]));
    if (counts[s] == -1) states_[--end].symbol = static_cast<uint8_t>(s);
  }
  // The states of the others are spread over the rest.
  const size_t step = size / 2 + size / 8 + 3;
  size_t at = 0;
  for (size_t s = 0; s < counts.size(); ++s) {
    for (int k = 0; k < counts[s]; ++k) {
      states_[at].symbol = static_cast<uint8_t>(s);
      do {
        at = (at + step) % size;
      } while (at >= end);
    }
  }
  for (State& state : states_) {
    const uint32_t number = next[state.symbol]++;
    state.bits = static_cast<uint8_t>(log - highest_bit(number));
    state.base = static_cast<uint16_t>((number << state.bits) - size);
  }
}

// Each count is one of 0 to `left` and -1, and is written plus 1 with as many bits as these take;
// the lower half of what these bits leave unused is written with one bit less.
FseTable FseTable::read(const Bytes& bytes, size_t& at, int most_log, size_t most_symbols) {
  ForwardBits bits(bytes, at);
  const int log = static_cast<int>(bits.take(4)) + 5;
  if (log > most_log) fail();
  std::vector<int> counts;
  int left = 1 << log;
  while (left > 0) {
    const auto most = static_cast<uint32_t>(left) + 1;
    const int width = highest_bit(most) + 1;
    const uint32_t half = 1u << (width - 1), unused = 2 * half - 1 - most;
    uint32_t value = bits.peek(width);
    const bool is_short = value % half < unused;
    bits.skip(is_short ? width - 1 : width);
    if (is_short) {
      value %= half;
    } else if (value >= half) {
      value -= unused;
    }
    const int count = static_cast<int>(value) - 1;
    counts.push_back(count);
    left -= std::abs(count);
    for (uint32_t zeros = count == 0 ? 3 : 0; zeros == 3;) {
      zeros = bits.take(2);
      counts.insert(counts.end(), zeros, 0);
    }
    if (counts.size() > most_symbols) fail();
  }
  if (left != 0) fail();
  at = bits.bytes_read();
  return FseTable(counts, log);
}

// --- Huffman -------------------------------------------------------------------------------------

namespace {

// Weights as half bytes, or in a code of their own: of two states that take turns.
std::vector<uint8_t> read_weights(const Bytes& bytes, size_t& at) {
  const auto header = bytes.at<uint8_t>(at++);
  std::vector<uint8_t> weights;
  if (header >= 128) {
    for (int k = 0; k < header - 127; ++k) {
      const auto pair = bytes.at<uint8_t>(at + static_cast<size_t>(k) / 2);
      weights.push_back(static_cast<uint8_t>(k % 2 == 0 ? pair >> 4 : pair & 15));
    }
    at += static_cast<size_t>(header - 126) / 2;
    return weights;
  }
  const Bytes coded = bytes.part(at, header);
  at += header;
  size_t start = 0;
  const FseTable table = FseTable::read(coded, start, kMostWeightLog, kMostWeights);
  BackwardBits bits(coded.part(start, coded.size() - start));
  size_t state = table.start(bits), other = table.start(bits);
  if (bits.left() < 0) fail();
  while (weights.size() < kMostWeights) {
    weights.push_back(table.symbol(state));
    if (table.bits(state) > bits.left()) {  // the end: the other state has the last one
      weights.push_back(table.symbol(other));
      return weights;
    }
    state = table.next(state, bits);
    std::swap(state, other);
  }
  fail();
}

}  // namespace

// A symbol of weight w > 0 has 2^(w-1) places of the table. Those of the last symbol, whose weight
// is not written, fill it up to a power of two.
HuffmanTable::HuffmanTable(std::vector<uint8_t> weights) {
  if (weights.size() > kMostWeights) fail();
  uint32_t sum = 0;
  for (uint8_t w : weights) {
    if (w > kLongestCode) fail();
    if (w > 0) sum += 1u << (w - 1);
  }
  if (sum == 0) fail();
  longest_ = highest_bit(sum) + 1;
  const uint32_t rest = (1u << longest_) - sum;
  if (longest_ > kLongestCode || (rest & (rest - 1)) != 0) fail();
  weights.push_back(static_cast<uint8_t>(highest_bit(rest) + 1));
  for (int w = 1; w <= longest_; ++w) {
    for (size_t s = 0; s < weights.size(); ++s) {
      if (weights[s] != w) continue;
      const Code code{static_cast<uint8_t>(s), static_cast<uint8_t>(longest_ + 1 - w)};
      codes_.insert(codes_.end(), size_t{1} << (w - 1), code);
    }
  }
}

HuffmanTable HuffmanTable::read(const Bytes& bytes, size_t& at) {
  return HuffmanTable(read_weights(bytes, at));
}

void HuffmanTable::decode(const Bytes& stream, size_t count, std::string& out) const {
  BackwardBits bits(stream);
  for (; count > 0 && bits.left() > 0; --count) {
    const Code& code = codes_[bits.peek(longest_)];
    out.push_back(static_cast<char>(code.symbol));
    bits.skip(code.bits);
  }
  if (count != 0 || bits.left() != 0) fail();
}

}  // namespace softcuda::zstd
