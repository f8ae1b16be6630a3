// printf in kernels: the text, and the buffer in which it waits for the end of the launch.
#pragma once

#include <cstdint>
#include <mutex>
#include <string>

namespace softcuda {

class Warp;

// As on a GPU, a launch can print no more than the buffer holds. There the oldest is overwritten;
// here what comes first is kept, and how much was lost is said.
class PrintBuffer {
 public:
  // What a thread prints: `bytes` is what it takes of the buffer, where a GPU keeps the arguments
  // and not the text.
  void add(const std::string& text, uint64_t bytes);
  // Write to stdout what was printed, and to stderr what was lost.
  void flush(const std::string& kernel);

  uint64_t limit() const { return limit_; }
  // Kernels have printed: too late for another limit.
  bool is_in_use() const { return is_in_use_; }
  void set_limit(uint64_t bytes) { limit_ = bytes; }

 private:
  std::mutex mutex_;
  uint64_t limit_ = 1 << 20;
  uint64_t used_ = 0, lost_ = 0, lost_bytes_ = 0;
  bool is_in_use_ = false;
  std::string text_;
};

// vprintf of one lane: a format and packed arguments, both by generic address. The number of
// arguments that were printed, or -1 for a format that is null. Throws Fault.
int32_t print(Warp& warp, int lane, uint64_t format, uint64_t arguments);

}  // namespace softcuda
