// Reads that stay inside: whatever a file says of itself may be wrong.
#pragma once

#include <string>

#include "../common.h"

namespace softcuda {

class Bytes {
 public:
  Bytes() = default;
  Bytes(const char* data, size_t size) : data_(data), size_(size) {}

  template <class T>
  T at(size_t offset) const {
    check(offset, sizeof(T));
    T value;
    std::memcpy(&value, data_ + offset, sizeof value);
    return value;
  }
  Bytes part(size_t offset, size_t size) const {
    check(offset, size);
    return Bytes(data_ + offset, size);
  }
  // The text from here to the next zero byte, or to the end.
  std::string string(size_t offset) const {
    if (offset >= size_) return "";
    return std::string(data_ + offset, strnlen(data_ + offset, size_ - offset));
  }
  const char* data() const { return data_; }
  size_t size() const { return size_; }

 private:
  void check(size_t offset, size_t size) const {
    if (offset > size_ || size > size_ - offset) {
      throw ApiError(Status::kInvalidImage, "the image is cut off");
    }
  }

  const char* data_ = nullptr;
  size_t size_ = 0;
};

}  // namespace softcuda
