#include "device_memory.h"

#include <algorithm>
#include <cstdlib>

namespace softcuda {
namespace {

constexpr uint64_t kAlignment = 512;    // of every allocation, more than CUDA's 256
constexpr uint64_t kRedZone = 1 << 16;  // between two allocations
constexpr int kPoison = 0xA5;           // what fresh memory holds

}  // namespace

DeviceMemory::~DeviceMemory() {
  for (auto& entry : allocations_) {
    if (entry.second->kind != Allocation::Kind::kHost) std::free(entry.second->host);
  }
}

Allocation& DeviceMemory::allocate(uint64_t bytes, Allocation::Kind kind, const std::string& name,
                                   uint64_t align) {
  const bool is_counted = kind != Allocation::Kind::kHeap;
  if (is_counted && (bytes > limit_ || used_ + bytes > limit_)) {
    throw ApiError(Status::kOutOfMemory, "out of device memory");
  }
  auto one = std::make_unique<Allocation>();
  align = std::max<uint64_t>(align, kAlignment);
  one->host =
      static_cast<char*>(std::aligned_alloc(align, round_up(std::max<uint64_t>(bytes, 1), align)));
  if (one->host == nullptr) throw ApiError(Status::kOutOfMemory, "out of host memory");
  std::memset(one->host, kPoison, bytes);
  one->address = place(bytes, align);
  one->bytes = bytes;
  one->kind = kind;
  one->name = name;
  one->serial = next_serial_++;
  if (watches_ && (kind == Allocation::Kind::kDevice || kind == Allocation::Kind::kHeap)) {
    one->written = std::make_unique<uint8_t[]>(std::max<uint64_t>(bytes, 1));
  }
  if (is_counted) used_ += bytes;
  Allocation& result = *one;
  auto& place = allocations_[one->address];
  if (place != nullptr) replaced_.push_back(std::move(place));
  place = std::move(one);
  return result;
}

// An address for new memory: of freed memory that was as large, if that may be, or a fresh one.
uint64_t DeviceMemory::place(uint64_t bytes, uint64_t align) {
  if (reuses_) {
    for (const auto& entry : allocations_) {
      const Allocation& old = *entry.second;
      const bool fits = !old.is_live && old.kind != Allocation::Kind::kHost && old.bytes == bytes &&
                        old.address % align == 0;
      if (fits) return old.address;
    }
  }
  const uint64_t address = round_up(next_address_, align);
  next_address_ = address + bytes + kRedZone;
  return address;
}

Allocation& DeviceMemory::adopt(void* host, uint64_t bytes) {
  const uint64_t address = reinterpret_cast<uint64_t>(host);
  Allocation* before = nearest(address + (bytes != 0 ? bytes - 1 : 0));
  if (before != nullptr && before->is_live && before->kind == Allocation::Kind::kHost &&
      before->address + before->bytes > address) {
    throw ApiError(Status::kHostMemoryAlreadyRegistered, "memory is registered already");
  }
  auto one = std::make_unique<Allocation>();
  one->address = address;
  one->bytes = bytes;
  one->kind = Allocation::Kind::kHost;
  one->host = static_cast<char*>(host);
  one->serial = next_serial_++;
  Allocation& result = *one;
  auto& place = allocations_[address];
  if (place != nullptr) replaced_.push_back(std::move(place));
  place = std::move(one);
  return result;
}

void DeviceMemory::release(uint64_t address) {
  const auto found = allocations_.find(address);
  if (found == allocations_.end() || !found->second->is_live ||
      found->second->kind == Allocation::Kind::kHost) {
    throw ApiError(Status::kInvalidValue, "no allocation begins at this address");
  }
  Allocation& one = *found->second;
  std::free(one.host);
  one.host = nullptr;
  one.is_live = false;
  one.written.reset();
  if (one.kind != Allocation::Kind::kHeap) used_ -= one.bytes;
}

void DeviceMemory::forget(void* host) {
  const auto found = allocations_.find(reinterpret_cast<uint64_t>(host));
  if (found == allocations_.end() || found->second->kind != Allocation::Kind::kHost) {
    throw ApiError(Status::kHostMemoryNotRegistered, "memory is not registered");
  }
  found->second->is_live = false;
  replaced_.push_back(std::move(found->second));
  allocations_.erase(found);
}

Allocation* DeviceMemory::nearest(uint64_t address) const {
  auto after = allocations_.upper_bound(address);
  return after == allocations_.begin() ? nullptr : std::prev(after)->second.get();
}

Allocation* DeviceMemory::find(uint64_t address) const {
  Allocation* one = nearest(address);
  const bool holds = one != nullptr && one->is_live && address - one->address < one->bytes;
  return holds ? one : nullptr;
}

Allocation& DeviceMemory::part(uint64_t address, uint64_t bytes) const {
  Allocation* one = nearest(address);
  if (one == nullptr || !one->is_live || !(one->contains(address, bytes) || bytes == 0)) {
    throw ApiError(Status::kInvalidValue, "address range " + describe(address));
  }
  return *one;
}

char* DeviceMemory::host(uint64_t address, uint64_t bytes) const {
  const Allocation& one = part(address, bytes);
  return one.host + (address - one.address);
}

char* DeviceMemory::host_to_write(uint64_t address, uint64_t bytes) {
  Allocation& one = part(address, bytes);
  if (one.written != nullptr) std::memset(one.written.get() + (address - one.address), 1, bytes);
  return one.host + (address - one.address);
}

void DeviceMemory::copy(uint64_t to, uint64_t from, uint64_t bytes) {
  Allocation &target = part(to, bytes), &source = part(from, bytes);
  std::memmove(target.host + (to - target.address), source.host + (from - source.address), bytes);
  if (target.written == nullptr) return;
  uint8_t* flags = target.written.get() + (to - target.address);
  if (source.written == nullptr)
    std::memset(flags, 1, bytes);
  else
    std::memmove(flags, source.written.get() + (from - source.address), bytes);
}

bool DeviceMemory::was_freed(uint64_t address) const {
  const Allocation* one = nearest(address);
  return one != nullptr && !one->is_live && address - one->address < one->bytes;
}

std::string DeviceMemory::describe(uint64_t address) const {
  const Allocation* best = nearest(address);
  const auto after = allocations_.upper_bound(address);
  if (after != allocations_.end()) {
    const Allocation* next = after->second.get();
    const bool is_nearer =
        best == nullptr || next->address - address < address - (best->address + best->bytes);
    if (is_nearer && next->address - address < kRedZone) best = next;
  }
  if (best == nullptr) return "lies in no allocation";
  const std::string what = (best->name.empty() ? "allocation " + std::to_string(best->serial)
                                               : "variable " + best->name) +
                           " of " + std::to_string(best->bytes) + " bytes";
  if (address < best->address) {
    return "lies " + std::to_string(best->address - address) + " bytes before " + what;
  }
  const uint64_t offset = address - best->address;
  if (!best->is_live)
    return "lies at byte " + std::to_string(offset) + " of " + what + ", which was freed";
  if (offset < best->bytes) return "lies at byte " + std::to_string(offset) + " of " + what;
  if (offset - best->bytes >= (uint64_t{1} << 40)) return "lies in no allocation";
  return "lies " + std::to_string(offset - best->bytes) + " bytes after " + what;
}

}  // namespace softcuda
