// The driver API: memory of the device and of the host.
#include <cstdlib>

#include "call.h"

using namespace softcuda;

namespace {

void* new_host_memory(Driver& driver, size_t bytes, const HostBlock& block) {
  constexpr size_t kAlign = 4096;
  require(bytes != 0);
  // More than there is of the device's memory is more than is wanted of the host's.
  require(bytes <= driver.memory->limit(), Status::kOutOfMemory);
  void* memory = std::aligned_alloc(kAlign, round_up(bytes, kAlign));
  require(memory != nullptr, Status::kOutOfMemory);
  std::memset(memory, 0, bytes);
  driver.memory->adopt(memory, bytes);
  driver.host_blocks[memory] = block;
  return memory;
}

// Nobody may come too late to memory that goes.
void finish_all(Driver& driver) { driver.work.finish(driver.work.pending()); }

void free_host_memory(Driver& driver, void* memory) {
  finish_all(driver);
  driver.memory->forget(memory);
  driver.host_blocks.erase(memory);
  std::free(memory);
}

void allocate(Driver& driver, uint64_t* address, uint64_t bytes) {
  *address = driver.memory->allocate(bytes, Allocation::Kind::kDevice, "", 1).address;
  driver.current().allocations.insert(*address);
}

void free_device_memory(Driver& driver, uint64_t address) {
  for (Context* context : driver.contexts) {
    if (context->allocations.count(address) == 0) continue;
    finish_all(driver);
    driver.memory->release(address);
    context->allocations.erase(address);
    return;
  }
  throw ApiError(Status::kInvalidValue, "no allocation begins at this address");
}

// The page-locked memory, allocated or registered, that holds an address.
const HostBlock& host_block(const Driver& driver, void* address) {
  const Allocation* one = driver.memory->find(reinterpret_cast<uint64_t>(address));
  require(one != nullptr && one->kind == Allocation::Kind::kHost);
  return driver.host_blocks.at(one->host);
}

// cuda.h: CU_MEMHOSTALLOC_ and CU_MEMHOSTREGISTER_
constexpr unsigned kPortable = 1, kDeviceMap = 2, kWriteCombined = 4, kIoMemory = 4, kReadOnly = 8;

}  // namespace

// --- device memory -------------------------------------------------------------------------------

SOFTCUDA_API int cuMemGetInfo_v2(size_t* free, size_t* total) {
  return call(Needs::kContext, [&](Driver& driver) {
    given(free), given(total);
    *total = driver.memory->limit();
    *free = driver.memory->limit() - driver.memory->used();
  });
}
SOFTCUDA_API int cuMemAlloc_v2(uint64_t* address, size_t bytes) {
  return call(Needs::kContext, [&](Driver& driver) {
    given(address);
    require(bytes != 0);
    allocate(driver, address, bytes);
  });
}
SOFTCUDA_API int cuMemAllocPitch_v2(uint64_t* address, size_t* pitch, size_t width, size_t height,
                                    unsigned element) {
  return call(Needs::kContext, [&](Driver& driver) {
    constexpr size_t kPitch = 512;
    given(address), given(pitch);
    require(width != 0 && height != 0 && (element == 4 || element == 8 || element == 16));
    const uint64_t most = driver.memory->limit();
    require(width <= most && height <= most / round_up(width, kPitch), Status::kOutOfMemory);
    allocate(driver, address, round_up(width, kPitch) * height);
    *pitch = round_up(width, kPitch);
  });
}
SOFTCUDA_API int cuMemFree_v2(uint64_t address) {
  return call(Needs::kCleanUp, [&](Driver& driver) {
    if (address == 0) return;
    const auto managed = driver.host_blocks.find(reinterpret_cast<void*>(address));
    if (managed != driver.host_blocks.end() && managed->second.is_managed) {
      return free_host_memory(driver, managed->first);
    }
    free_device_memory(driver, address);
  });
}
SOFTCUDA_API int cuMemGetAddressRange_v2(uint64_t* base, size_t* bytes, uint64_t address) {
  return call(Needs::kContext, [&](Driver& driver) {
    const Allocation* one = driver.memory->find(address);
    require(one != nullptr, Status::kNotFound);
    if (base != nullptr) *base = one->address;
    if (bytes != nullptr) *bytes = one->bytes;
  });
}
SOFTCUDA_API int cuMemAllocManaged(uint64_t* address, size_t bytes, unsigned flags) {
  return call(Needs::kContext, [&](Driver& driver) {
    constexpr unsigned kGlobal = 1, kHost = 2;
    given(address);
    require(flags == kGlobal || flags == kHost);
    HostBlock block;
    block.flags = flags;
    block.is_owned = block.is_managed = true;
    *address = reinterpret_cast<uint64_t>(new_host_memory(driver, bytes, block));
  });
}

// --- host memory ---------------------------------------------------------------------------------

SOFTCUDA_API int cuMemHostAlloc(void** memory, size_t bytes, unsigned flags) {
  return call(Needs::kContext, [&](Driver& driver) {
    given(memory);
    require((flags & ~(kPortable | kDeviceMap | kWriteCombined)) == 0);
    HostBlock block;
    block.flags = flags;
    block.is_owned = true;
    *memory = new_host_memory(driver, bytes, block);
  });
}
SOFTCUDA_API int cuMemFreeHost(void* memory) {
  return call(Needs::kCleanUp, [&](Driver& driver) {
    const auto found = driver.host_blocks.find(memory);
    require(found != driver.host_blocks.end() && found->second.is_owned &&
            !found->second.is_managed);
    free_host_memory(driver, memory);
  });
}
SOFTCUDA_API int cuMemHostRegister_v2(void* memory, size_t bytes, unsigned flags) {
  return call(Needs::kContext, [&](Driver& driver) {
    require(memory != nullptr && bytes != 0);
    require((flags & ~(kPortable | kDeviceMap | kIoMemory | kReadOnly)) == 0);
    require((flags & (kIoMemory | kReadOnly)) == 0, Status::kNotSupported);
    driver.memory->adopt(memory, bytes);
    HostBlock block;
    block.flags = flags;
    driver.host_blocks[memory] = block;
  });
}
SOFTCUDA_API int cuMemHostUnregister(void* memory) {
  return call(Needs::kCleanUp, [&](Driver& driver) {
    require(memory != nullptr);
    const auto found = driver.host_blocks.find(memory);
    require(found != driver.host_blocks.end() && !found->second.is_owned,
            Status::kHostMemoryNotRegistered);
    finish_all(driver);
    driver.memory->forget(memory);
    driver.host_blocks.erase(found);
  });
}
SOFTCUDA_API int cuMemHostGetDevicePointer_v2(uint64_t* address, void* memory, unsigned flags) {
  return call(Needs::kContext, [&](Driver& driver) {
    given(address);
    require(flags == 0);
    host_block(driver, memory);
    *address = reinterpret_cast<uint64_t>(memory);
  });
}
SOFTCUDA_API int cuMemHostGetFlags(unsigned* flags, void* memory) {
  return call(Needs::kContext, [&](Driver& driver) {
    given(flags);
    *flags = host_block(driver, memory).flags;
  });
}
