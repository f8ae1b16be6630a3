// Memory of a call.
#pragma once

#include <cstddef>
#include <cstdint>

#include "vectors.h"

namespace refrnn {

// Deals out parts of a block of memory, each at the start of a cache line. Of no memory it only
// counts how much there must be.
template <class T>
class Scratch {
 public:
  Scratch() = default;
  explicit Scratch(T* memory) : memory_(memory) {
    const auto address = reinterpret_cast<std::uintptr_t>(memory);
    taken_ = (kLineBytes - address % kLineBytes) % kLineBytes / sizeof(T);
  }

  T* take(size_t numbers) {
    T* const found = memory_ == nullptr ? nullptr : memory_ + taken_;
    taken_ += (numbers + kLine - 1) / kLine * kLine;
    return found;
  }
  // Numbers that are needed for what was taken, wherever the memory begins.
  size_t needed() const { return taken_ + kLine; }

 private:
  static constexpr size_t kLineBytes = 64, kLine = kLineBytes / sizeof(T);

  T* memory_ = nullptr;
  size_t taken_ = 0;
};

}  // namespace refrnn
