#include "zstd.h"

#include <algorithm>
#include <array>

#include "entropy.h"

namespace softcuda {
namespace zstd {
namespace {

constexpr uint32_t kMagic = 0xFD2FB528;
constexpr size_t kMostBlock = 128 * 1024;

// Lengths and offsets are written as a code for where their range starts and how many bits follow.
struct Range {
  uint32_t start;
  int bits;
};

// Of a run of literals: 0 to 15 are their own codes.
Range literals_range(uint8_t code) {
  constexpr Range kRanges[] = {{16, 1},    {18, 1},    {20, 1},     {22, 1},     {24, 2},
                               {28, 2},    {32, 3},    {40, 3},     {48, 4},     {64, 6},
                               {128, 7},   {256, 8},   {512, 9},    {1024, 10},  {2048, 11},
                               {4096, 12}, {8192, 13}, {16384, 14}, {32768, 15}, {65536, 16}};
  if (code < 16) return {code, 0};
  if (code - 16u >= std::size(kRanges)) fail();
  return kRanges[code - 16];
}

// Of a match, which has 3 bytes at least: 0 to 31 are codes of 3 to 34.
Range match_range(uint8_t code) {
  constexpr Range kRanges[] = {
      {35, 1},    {37, 1},    {39, 1},    {41, 1},    {43, 2},     {47, 2},     {51, 3},
      {59, 3},    {67, 4},    {83, 4},    {99, 5},    {131, 7},    {259, 8},    {515, 9},
      {1027, 10}, {2051, 11}, {4099, 12}, {8195, 13}, {16387, 14}, {32771, 15}, {65539, 16}};
  if (code < 32) return {code + 3u, 0};
  if (code - 32u >= std::size(kRanges)) fail();
  return kRanges[code - 32];
}

// One of the three codes of sequences: what it may be, what it is if nothing is said, and what it
// was in the block before.
struct SequenceCode {
  int most_log;
  size_t symbols;
  FseTable predefined;
  FseTable current;
};

const std::vector<int> kLiteralCounts = {4, 3, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 1, 1,  1,  2,  2,
                                         2, 2, 2, 2, 2, 2, 2, 3, 2, 1, 1, 1, 1, 1, -1, -1, -1, -1};
const std::vector<int> kMatchCounts = {1, 4, 3, 2, 2, 2, 2, 2, 2, 1, 1,  1,  1,  1,  1,  1,  1, 1,
                                       1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1,  1,  1,  1,  1,  1,  1, 1,
                                       1, 1, 1, 1, 1, 1, 1, 1, 1, 1, -1, -1, -1, -1, -1, -1, -1};
const std::vector<int> kOffsetCounts = {1, 1, 1, 1, 1, 1, 2, 2, 2, 1,  1,  1,  1,  1, 1,
                                        1, 1, 1, 1, 1, 1, 1, 1, 1, -1, -1, -1, -1, -1};

class Decoder {
 public:
  Decoder(const Bytes& frame, size_t size) : bytes_(frame), size_(size) {}

  std::string run() {
    header();
    bool is_last = false;
    while (!is_last) {
      const uint32_t head = bytes_.at<uint16_t>(at_) | uint32_t{bytes_.at<uint8_t>(at_ + 2)} << 16;
      at_ += 3;
      is_last = (head & 1) != 0;
      block(head >> 1 & 3, head >> 3);
    }
    if (out_.size() != size_) fail();
    return std::move(out_);
  }

 private:
  // The frame's own size and its window do not matter: the caller knows the size, and all that was
  // decoded is kept.
  void header() {
    if (bytes_.at<uint32_t>(0) != kMagic) fail();
    const auto descriptor = bytes_.at<uint8_t>(4);
    const bool is_single_segment = (descriptor & 32) != 0;
    if ((descriptor & 3) != 0) throw ApiError(Status::kInvalidImage, "a frame has a dictionary");
    const int size_code = descriptor >> 6;
    const size_t size_bytes = size_code == 0 ? is_single_segment : size_t{1} << size_code;
    at_ = 5 + (is_single_segment ? 0 : 1) + size_bytes;
  }

  void block(uint32_t kind, size_t size) {
    if (size > kMostBlock) fail();
    if (kind == 0) {
      append(take(size));
    } else if (kind == 1) {
      const auto byte = bytes_.at<char>(at_++);
      make_room(size);
      out_.append(size, byte);
    } else if (kind == 2) {
      compressed(take(size));
    } else {
      fail();
    }
  }

  Bytes take(size_t size) {
    const Bytes part = bytes_.part(at_, size);
    at_ += size;
    return part;
  }
  void make_room(size_t count) const {
    if (count > size_ - out_.size()) fail();
  }
  void append(const Bytes& bytes) {
    make_room(bytes.size());
    out_.append(bytes.data(), bytes.size());
  }

  void compressed(const Bytes& block) {
    size_t at = 0;
    literals(block, at);
    sequences(block, at);
  }

  // --- literals ---

  void literals(const Bytes& block, size_t& at) {
    const auto first = block.at<uint8_t>(at);
    const int kind = first & 3, form = first >> 2 & 3;
    literals_.clear();
    if (kind >= 2) return huffman_literals(block, at, kind == 3, form);
    const size_t header = form == 1 ? 2 : form == 3 ? 3 : 1;
    const size_t count = number(block, at, header) >> (header == 1 ? 3 : 4);
    if (count > kMostBlock) fail();
    at += header;
    if (kind == 1) {
      literals_.assign(count, block.at<char>(at++));
    } else {
      const Bytes part = block.part(at, count);
      literals_.assign(part.data(), count);
      at += count;
    }
  }

  void huffman_literals(const Bytes& block, size_t& at, bool keeps_table, int form) {
    const size_t header = form < 2 ? 3 : static_cast<size_t>(form) + 2;
    const int width = form < 2 ? 10 : form == 2 ? 14 : 18;
    const uint64_t both = number(block, at, header) >> 4, mask = (uint64_t{1} << width) - 1;
    const size_t count = both & mask, size = both >> width & mask;
    if (count > kMostBlock) fail();
    const Bytes part = block.part(at + header, size);
    at += header + size;
    size_t start = 0;
    if (!keeps_table) huffman_ = HuffmanTable::read(part, start);
    if (huffman_.is_empty()) fail();
    const Bytes streams = part.part(start, part.size() - start);
    if (form == 0) return huffman_.decode(streams, count, literals_);
    // Four streams, each of a quarter; the sizes of the first three come before them.
    const size_t quarter = (count + 3) / 4;
    if (3 * quarter > count) fail();
    size_t from = 6;
    for (size_t k = 0; k < 4; ++k) {
      const size_t bytes = k < 3 ? streams.at<uint16_t>(2 * k) : streams.size() - from;
      huffman_.decode(streams.part(from, bytes), k < 3 ? quarter : count - 3 * quarter, literals_);
      from += bytes;
    }
  }

  static uint64_t number(const Bytes& block, size_t at, size_t bytes) {
    uint64_t value = 0;
    for (size_t k = 0; k < bytes; ++k) value |= uint64_t{block.at<uint8_t>(at + k)} << 8 * k;
    return value;
  }

  // --- sequences: a run of literals each, and a match ---

  void sequences(const Bytes& block, size_t at) {
    size_t count = block.at<uint8_t>(at++);
    if (count == 255) {
      count = size_t{block.at<uint16_t>(at)} + 0x7F00;
      at += 2;
    } else if (count >= 128) {
      count = (count - 128) << 8 | block.at<uint8_t>(at++);
    }
    size_t used = 0;
    if (count != 0) {
      const auto modes = block.at<uint8_t>(at++);
      choose(literals_code_, modes >> 6 & 3, block, at);
      choose(offset_code_, modes >> 4 & 3, block, at);
      choose(match_code_, modes >> 2 & 3, block, at);
      execute(BackwardBits(block.part(at, block.size() - at)), count, used);
    }
    append(Bytes(literals_.data() + used, literals_.size() - used));
  }

  static void choose(SequenceCode& code, int mode, const Bytes& block, size_t& at) {
    if (mode == 0) {
      code.current = code.predefined;
    } else if (mode == 1) {
      code.current = FseTable(block.at<uint8_t>(at++));
    } else if (mode == 2) {
      code.current = FseTable::read(block, at, code.most_log, code.symbols);
    } else if (code.current.is_empty()) {
      fail();  // the table of the block before, and there is none
    }
  }

  void execute(BackwardBits bits, size_t count, size_t& used) {
    const FseTable &of_literals = literals_code_.current, &of_offset = offset_code_.current,
                   &of_match = match_code_.current;
    size_t l = of_literals.start(bits), o = of_offset.start(bits), m = of_match.start(bits);
    for (; count > 0; --count) {
      const uint8_t offset_symbol = of_offset.symbol(o);
      if (offset_symbol > 31) fail();
      const uint64_t offset = (uint64_t{1} << offset_symbol) + bits.take(offset_symbol);
      const Range match = match_range(of_match.symbol(m));
      const size_t matched = match.start + bits.take(match.bits);
      const Range run = literals_range(of_literals.symbol(l));
      const size_t literals = run.start + bits.take(run.bits);
      if (bits.left() < 0 || literals > literals_.size() - used) fail();
      append(Bytes(literals_.data() + used, literals));
      used += literals;
      copy(distance(offset, literals == 0), matched);
      if (count == 1) break;
      l = of_literals.next(l, bits), m = of_match.next(m, bits), o = of_offset.next(o, bits);
    }
    if (bits.left() != 0) fail();
  }

  // Offsets 1 to 3 stand for the last three; where no literals came before, so that the very last
  // would have made the match before longer, for the second, the third, and the last minus 1.
  uint64_t distance(uint64_t offset, bool is_shifted) {
    if (offset > 3) {
      last_ = {offset - 3, last_[0], last_[1]};
      return last_[0];
    }
    const size_t which = offset - 1 + (is_shifted ? 1 : 0);
    const uint64_t value = which < 3 ? last_[which] : last_[0] - 1;
    if (which >= 2) last_[2] = last_[1];
    if (which >= 1) last_[1] = last_[0];
    last_[0] = value;
    return value;
  }

  // Byte by byte: a match may reach into what it writes.
  void copy(uint64_t offset, size_t count) {
    if (offset == 0 || offset > out_.size()) fail();
    make_room(count);
    for (size_t from = out_.size() - offset; count > 0; --count) out_.push_back(out_[from++]);
  }

  const Bytes& bytes_;
  size_t size_;
  size_t at_ = 0;
  std::string out_, literals_;
  HuffmanTable huffman_;
  SequenceCode literals_code_{9, 36, FseTable(kLiteralCounts, 6), {}};
  SequenceCode match_code_{9, 53, FseTable(kMatchCounts, 6), {}};
  SequenceCode offset_code_{8, 32, FseTable(kOffsetCounts, 5), {}};
  std::array<uint64_t, 3> last_ = {1, 4, 8};
};

}  // namespace
}  // namespace zstd

std::string decompress_zstd(const Bytes& frame, size_t size) {
  return zstd::Decoder(frame, size).run();
}

}  // namespace softcuda
