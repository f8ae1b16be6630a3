#include "print.h"

#include <algorithm>
#include <cstdio>

#include "builtins.h"

namespace softcuda {
namespace {

constexpr int kWidest = 4096;  // characters that one conversion may be told to fill

// What stands between % and the letter of a conversion.
struct Conversion {
  std::string flags;  // and width and precision, as C's printf takes them
  std::string size;   // "", "h", "hh", "l", "ll"
  char kind = '\0';
};

// C's printf on the packed arguments of vprintf: each lies at a multiple of its size.
class Formatter {
 public:
  Formatter(Warp& warp, int lane, uint64_t arguments)
      : warp_(warp), lane_(lane), arguments_(arguments) {}

  std::string run(const std::string& pattern) {
    std::string out;
    for (size_t at = 0; at < pattern.size();) {
      if (pattern[at] != '%') {
        out += pattern[at++];
        continue;
      }
      const size_t start = at++;
      const Conversion one = read(pattern, at);
      if (one.kind == '%') {
        out += '%';
      } else if (!convert(one, out)) {
        out += pattern.substr(start, at - start);
      }
    }
    return out;
  }
  int32_t count() const { return count_; }
  uint64_t string_bytes() const { return string_bytes_; }

 private:
  Conversion read(const std::string& pattern, size_t& at) {
    Conversion one;
    for (; at < pattern.size(); ++at) {
      const char c = pattern[at];
      if (c == '*') {
        one.flags += std::to_string(static_cast<int>(take(4)));
      } else if (std::strchr("hlLjzt", c) != nullptr) {
        one.size += c == 'h' ? 'h' : 'l';  // all wide ones are of 8 bytes
      } else if (std::strchr("-+ #0123456789.", c) != nullptr) {
        one.flags += c;
      } else {
        one.kind = pattern[at++];
        break;
      }
    }
    return one;
  }

  // False for a conversion that there is not.
  bool convert(const Conversion& one, std::string& out) {
    const bool is_known = one.kind != '\0' && std::strchr("diuxXocspeEfFgGaA", one.kind) != nullptr;
    if (!is_known || is_too_wide(one.flags)) return false;
    ++count_;
    if (one.kind == 's') {
      const std::string text = read_string(warp_, lane_, take(8));
      string_bytes_ += text.size() + 1;
      append(out, one.flags + "s", text.c_str());
    } else if (one.kind == 'p') {
      append(out, one.flags + "p", reinterpret_cast<void*>(take(8)));
    } else if (one.kind == 'c') {
      append(out, one.flags + "c", static_cast<int>(take(4)));
    } else if (std::strchr("diuxXo", one.kind) != nullptr) {
      append(out, one.flags + "ll" + one.kind, integer(one));
    } else {
      const uint64_t bits = take(8);
      double value;
      std::memcpy(&value, &bits, sizeof value);
      append(out, one.flags + one.kind, value);
    }
    return true;
  }

  long long integer(const Conversion& one) {
    const bool is_signed = one.kind == 'd' || one.kind == 'i';
    const uint64_t bits = take(!one.size.empty() && one.size[0] == 'l' ? 8 : 4);
    if (one.size == "hh") return is_signed ? static_cast<int8_t>(bits) : static_cast<uint8_t>(bits);
    if (one.size == "h")
      return is_signed ? static_cast<int16_t>(bits) : static_cast<uint16_t>(bits);
    if (!one.size.empty()) return static_cast<long long>(bits);
    return is_signed ? static_cast<long long>(static_cast<int32_t>(bits))
                     : static_cast<long long>(static_cast<uint32_t>(bits));
  }

  static bool is_too_wide(const std::string& flags) {
    int number = 0;
    for (const char c : flags) {
      number = c >= '0' && c <= '9' ? number * 10 + (c - '0') : 0;
      if (number > kWidest) return true;
    }
    return false;
  }

  template <class T>
  static void append(std::string& out, const std::string& conversion, T value) {
    char small[128];
    const std::string format = "%" + conversion;
    const int size = std::snprintf(small, sizeof small, format.c_str(), value);
    if (size < 0) return;
    if (static_cast<size_t>(size) < sizeof small) {
      out.append(small, static_cast<size_t>(size));
      return;
    }
    std::string large(static_cast<size_t>(size) + 1, '\0');
    std::snprintf(large.data(), large.size(), format.c_str(), value);
    out.append(large.data(), static_cast<size_t>(size));
  }

  uint64_t take(size_t bytes) {
    offset_ = round_up(offset_, bytes);
    uint64_t value = 0;
    read_bytes(warp_, lane_, arguments_ + offset_, &value, bytes);
    offset_ += bytes;
    return value;
  }

  Warp& warp_;
  int lane_;
  uint64_t arguments_;
  uint64_t offset_ = 0, string_bytes_ = 0;
  int32_t count_ = 0;
};

}  // namespace

void PrintBuffer::add(const std::string& text, uint64_t bytes) {
  const std::lock_guard<std::mutex> lock(mutex_);
  is_in_use_ = true;
  if (bytes > limit_ - used_) {
    ++lost_;
    lost_bytes_ += bytes;
    return;
  }
  used_ += bytes;
  text_ += text;
}

void PrintBuffer::flush(const std::string& kernel) {
  const std::lock_guard<std::mutex> lock(mutex_);
  if (!text_.empty()) {
    std::fwrite(text_.data(), 1, text_.size(), stdout);
    std::fflush(stdout);
  }
  if (lost_ != 0) {
    std::fprintf(
        stderr,
        "softcuda: kernel %s printed more than the %llu bytes of CU_LIMIT_PRINTF_FIFO_SIZE "
        "hold: %llu calls of printf with %llu bytes were lost\n",
        kernel.c_str(), static_cast<unsigned long long>(limit_),
        static_cast<unsigned long long>(lost_), static_cast<unsigned long long>(lost_bytes_));
  }
  text_.clear();
  used_ = lost_ = lost_bytes_ = 0;
}

int32_t print(Warp& warp, int lane, uint64_t format, uint64_t arguments) {
  constexpr uint64_t kHeader = 16, kSlot = 8;  // what a call takes of the buffer
  if (format == 0) return -1;
  Formatter formatter(warp, lane, arguments);
  const std::string text = formatter.run(read_string(warp, lane, format));
  const uint64_t bytes =
      kHeader + kSlot * static_cast<uint64_t>(formatter.count()) + formatter.string_bytes();
  warp.block().grid().limits().prints->add(text, bytes);
  return formatter.count();
}

}  // namespace softcuda
