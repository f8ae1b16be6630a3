// The memory of the device: allocations by address, never two of them side by side.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "../common.h"

namespace softcuda {

// Where generic addresses of shared and local memory lie. No allocation and no host pointer does.
constexpr uint64_t kSharedWindow = uint64_t{0x41} << 56;
constexpr uint64_t kLocalWindow = uint64_t{0x42} << 56;
constexpr uint64_t kWindowBytes = uint64_t{1} << 32;
constexpr uint64_t kFunctionWindow = uint64_t{0x43} << 56;  // addresses of functions
// Where allocations lie: beyond every pointer of a process, so that none can be mistaken.
constexpr uint64_t kDeviceBase = uint64_t{0x02} << 56;

struct Allocation {
  enum class Kind { kDevice, kVariable, kConstant, kHost, kHeap };
  uint64_t address = 0;
  uint64_t bytes = 0;
  Kind kind = Kind::kDevice;
  char* host = nullptr;
  std::string name;  // of a variable
  uint64_t serial = 0;
  bool is_live = true;

  bool contains(uint64_t first, uint64_t count) const {
    return first - address < bytes && count <= bytes - (first - address);
  }
};

class DeviceMemory {
 public:
  explicit DeviceMemory(uint64_t limit) : limit_(limit) {}
  ~DeviceMemory();
  DeviceMemory(const DeviceMemory&) = delete;
  DeviceMemory& operator=(const DeviceMemory&) = delete;

  // Fresh memory, filled with poison. Throws ApiError kOutOfMemory; what kernels allocate (kHeap)
  // has a limit of its own and is not counted here.
  Allocation& allocate(uint64_t bytes, Allocation::Kind kind, const std::string& name,
                       uint64_t align);
  // Make memory of the host known under its own address.
  Allocation& adopt(void* host, uint64_t bytes);
  // Throws ApiError kInvalidValue for an address that is not the start of a live allocation.
  void release(uint64_t address);
  // Take back what adopt() was given. Throws ApiError.
  void forget(void* host);

  // The live allocation that holds an address, or null.
  Allocation* find(uint64_t address) const;
  // The host pointer to a range. Throws ApiError kInvalidValue if it is not in one allocation.
  char* host(uint64_t address, uint64_t bytes) const;
  // Which allocation an address misses and by how much, in words.
  std::string describe(uint64_t address) const;

  uint64_t limit() const { return limit_; }
  uint64_t used() const { return used_; }

 private:
  Allocation* nearest(uint64_t address) const;

  uint64_t limit_;
  uint64_t used_ = 0;
  uint64_t next_address_ = kDeviceBase;
  uint64_t next_serial_ = 1;
  // Freed allocations stay as records: their addresses are never given out again.
  std::map<uint64_t, std::unique_ptr<Allocation>> allocations_;
};

}  // namespace softcuda
