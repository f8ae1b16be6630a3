// The heap from which kernels allocate: malloc and free of all launches in a context.
#pragma once

#include <map>
#include <mutex>

#include "../memory/device_memory.h"

namespace softcuda {

class KernelHeap {
 public:
  // The address of fresh memory, or 0 if the heap has not as much left.
  uint64_t allocate(DeviceMemory& memory, uint64_t bytes);
  // False if malloc did not give this address, or it was freed.
  bool release(DeviceMemory& memory, uint64_t address);
  // Free all that kernels have not.
  void clear(DeviceMemory& memory);

  uint64_t limit() const { return limit_; }
  // Kernels have allocated: too late for another limit.
  bool is_in_use() const { return is_in_use_; }
  void set_limit(uint64_t bytes) { limit_ = bytes; }

 private:
  std::mutex mutex_;
  uint64_t limit_ = 8 << 20;
  uint64_t used_ = 0;
  bool is_in_use_ = false;
  std::map<uint64_t, uint64_t> blocks_;  // address and bytes
};

}  // namespace softcuda
