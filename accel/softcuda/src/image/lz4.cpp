#include "lz4.h"

#include <algorithm>

namespace softcuda {
namespace {

constexpr unsigned kLongLength = 15;  // of four bits: more bytes follow
constexpr size_t kShortestMatch = 4;

[[noreturn]] void fail() { throw ApiError(Status::kInvalidImage, "an LZ4 block is damaged"); }

class Decoder {
 public:
  Decoder(const Bytes& block, size_t size) : block_(block), size_(size) {}

  // A sequence is a token with two lengths, literals, and a match: the bytes from `offset` before
  // the end once more. The last one has literals only.
  std::string run() {
    while (at_ < block_.size()) {
      const auto token = take();
      literals(length(token >> 4));
      if (at_ == block_.size()) break;
      const size_t low = take(), offset = low | static_cast<size_t>(take()) << 8;
      match(offset, length(token & 15) + kShortestMatch);
    }
    if (out_.size() != size_) fail();
    return std::move(out_);
  }

 private:
  uint8_t take() { return block_.at<uint8_t>(at_++); }

  size_t length(unsigned bits) {
    size_t value = bits;
    if (bits != kLongLength) return value;
    for (uint8_t more = 255; more == 255;) {
      more = take();
      value += more;
    }
    return value;
  }

  void literals(size_t count) {
    if (count > size_ - out_.size()) fail();
    const Bytes part = block_.part(at_, count);
    out_.append(part.data(), count);
    at_ += count;
  }

  // Byte by byte: a match may reach into what it writes.
  void match(size_t offset, size_t count) {
    if (offset == 0 || offset > out_.size() || count > size_ - out_.size()) fail();
    for (size_t from = out_.size() - offset; count > 0; --count) out_.push_back(out_[from++]);
  }

  const Bytes& block_;
  size_t size_;
  size_t at_ = 0;
  std::string out_;
};

}  // namespace

std::string decompress_lz4(const Bytes& block, size_t size) { return Decoder(block, size).run(); }

}  // namespace softcuda
