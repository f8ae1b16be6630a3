#include "heap.h"

namespace softcuda {

uint64_t KernelHeap::allocate(DeviceMemory& memory, uint64_t bytes) {
  constexpr uint64_t kAlign = 16;
  const std::lock_guard<std::mutex> lock(mutex_);
  is_in_use_ = true;
  if (bytes == 0 || bytes > limit_ || used_ + round_up(bytes, kAlign) > limit_) return 0;
  const uint64_t address = memory.allocate(bytes, Allocation::Kind::kHeap, "", kAlign).address;
  blocks_[address] = round_up(bytes, kAlign);
  used_ += round_up(bytes, kAlign);
  return address;
}

bool KernelHeap::release(DeviceMemory& memory, uint64_t address) {
  const std::lock_guard<std::mutex> lock(mutex_);
  const auto found = blocks_.find(address);
  if (found == blocks_.end()) return false;
  memory.release(address);
  used_ -= found->second;
  blocks_.erase(found);
  return true;
}

void KernelHeap::clear(DeviceMemory& memory) {
  const std::lock_guard<std::mutex> lock(mutex_);
  for (const auto& block : blocks_) memory.release(block.first);
  blocks_.clear();
  used_ = 0;
}

}  // namespace softcuda
