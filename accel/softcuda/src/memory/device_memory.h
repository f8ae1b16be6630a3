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

class RaceShadow;

struct Allocation {
  enum class Kind { kDevice, kVariable, kConstant, kHost, kHeap };
  uint64_t address = 0;
  uint64_t bytes = 0;
  Kind kind = Kind::kDevice;
  char* host = nullptr;
  std::string name;  // of a variable
  uint64_t serial = 0;
  bool is_live = true;
  // A byte for each: whether it was written. Null where nobody asks, or all counts as written.
  std::unique_ptr<uint8_t[]> written;
  // Who accessed it, where races are looked for: of one launch, by number.
  mutable RaceShadow* race_shadow = nullptr;
  mutable uint64_t race_launch = 0;

  bool contains(uint64_t first, uint64_t count) const {
    return first - address < bytes && count <= bytes - (first - address);
  }
};

class DeviceMemory {
 public:
  // `reuses`: addresses are given out again once they are free. `watches`: for reads of what was
  // never written.
  DeviceMemory(uint64_t limit, bool reuses, bool watches)
      : limit_(limit), reuses_(reuses), watches_(watches) {}
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
  // The host pointer to a range that is read. Throws ApiError kInvalidValue if it is not in one
  // allocation.
  char* host(uint64_t address, uint64_t bytes) const;
  // The same for a range that will be written.
  char* host_to_write(uint64_t address, uint64_t bytes);
  // Copy, and with the bytes what is known of them. Ranges may overlap.
  void copy(uint64_t to, uint64_t from, uint64_t bytes);
  // Whether an address lies in memory that was freed.
  bool was_freed(uint64_t address) const;
  // Which allocation an address misses and by how much, in words.
  std::string describe(uint64_t address) const;

  // Whether reads of what was never written are looked for.
  bool watches() const { return watches_; }
  uint64_t limit() const { return limit_; }
  uint64_t used() const { return used_; }

 private:
  Allocation* nearest(uint64_t address) const;

  Allocation& part(uint64_t address, uint64_t bytes) const;
  uint64_t place(uint64_t bytes, uint64_t align);

  uint64_t limit_;
  bool reuses_, watches_;
  uint64_t used_ = 0;
  uint64_t next_address_ = kDeviceBase;
  uint64_t next_serial_ = 1;
  // Freed allocations stay as records: unless it reuses them, their addresses are never given out
  // again.
  std::map<uint64_t, std::unique_ptr<Allocation>> allocations_;
  // Records that another one has replaced. Instructions may remember them: they are never deleted.
  std::vector<std::unique_ptr<Allocation>> replaced_;
};

}  // namespace softcuda
