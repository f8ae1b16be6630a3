// The driver API: memory of the device and of the host, copies, memsets.
#include <algorithm>
#include <cstdlib>

#include "state.h"

using namespace softcuda;

namespace {

void require(bool condition, Status status = Status::kInvalidValue) {
  if (!condition) throw ApiError(status, "a bad argument");
}

void* new_host_memory(Driver& driver, size_t bytes, HostBlock block) {
  constexpr size_t kAlign = 4096;
  require(bytes != 0);
  void* memory = std::aligned_alloc(kAlign, round_up(bytes, kAlign));
  if (memory == nullptr) throw ApiError(Status::kOutOfMemory, "out of host memory");
  std::memset(memory, 0, bytes);
  driver.memory->adopt(memory, bytes);
  driver.host_blocks[memory] = block;
  return memory;
}

void free_host_memory(Driver& driver, void* memory) {
  driver.memory->forget(memory);
  driver.host_blocks.erase(memory);
  std::free(memory);
}

// One side of a copy.
struct Side {
  size_t x, y, z;
  int type;
  const void* host;
  uint64_t device;
  void* array;
  size_t pitch, height;
};

// cuda.h: CUDA_MEMCPY2D
struct Copy2D {
  size_t src_x, src_y;
  int src_type;
  const void* src_host;
  uint64_t src_device;
  void* src_array;
  size_t src_pitch;
  size_t dst_x, dst_y;
  int dst_type;
  void* dst_host;
  uint64_t dst_device;
  void* dst_array;
  size_t dst_pitch;
  size_t width, height;
};

// cuda.h: CUDA_MEMCPY3D
struct Copy3D {
  size_t src_x, src_y, src_z, src_lod;
  int src_type;
  const void* src_host;
  uint64_t src_device;
  void* src_array;
  void* reserved0;
  size_t src_pitch, src_height;
  size_t dst_x, dst_y, dst_z, dst_lod;
  int dst_type;
  void* dst_host;
  uint64_t dst_device;
  void* dst_array;
  void* reserved1;
  size_t dst_pitch, dst_height;
  size_t width, height, depth;
};

constexpr int kHost = 1, kDevice = 2, kArray = 3, kUnified = 4;

char* row(Driver& driver, const Side& s, size_t y, size_t z, size_t width) {
  const size_t offset = ((s.z + z) * s.height + s.y + y) * s.pitch + s.x;
  if (s.type == kArray) throw ApiError(Status::kNotSupported, "arrays are not supported");
  if (s.type == kHost) return static_cast<char*>(const_cast<void*>(s.host)) + offset;
  require(s.type == kDevice || s.type == kUnified);
  const uint64_t address = s.device + offset;
  if (s.type == kUnified && driver.memory->find(address) == nullptr)
    return reinterpret_cast<char*>(address);
  return driver.memory->host(address, width);
}

void copy_rows(Driver& driver, Side from, Side to, size_t width, size_t height, size_t depth) {
  for (Side* s : {&from, &to}) {
    if (s->pitch == 0) s->pitch = s->x + width;
    if (s->height == 0) s->height = s->y + height;
    require(s->pitch >= s->x + width || height * depth <= 1);
  }
  for (size_t z = 0; z < depth; ++z) {
    for (size_t y = 0; y < height; ++y) {
      std::memmove(row(driver, to, y, z, width), row(driver, from, y, z, width), width);
    }
  }
}

int copy_2d(const Copy2D* c) {
  return call(true, [&](Driver& driver) {
    require(c != nullptr);
    copy_rows(driver,
              {c->src_x, c->src_y, 0, c->src_type, c->src_host, c->src_device, c->src_array,
               c->src_pitch, 0},
              {c->dst_x, c->dst_y, 0, c->dst_type, c->dst_host, c->dst_device, c->dst_array,
               c->dst_pitch, 0},
              c->width, c->height, 1);
  });
}

int copy_3d(const Copy3D* c) {
  return call(true, [&](Driver& driver) {
    require(c != nullptr);
    copy_rows(driver,
              {c->src_x, c->src_y, c->src_z, c->src_type, c->src_host, c->src_device, c->src_array,
               c->src_pitch, c->src_height},
              {c->dst_x, c->dst_y, c->dst_z, c->dst_type, c->dst_host, c->dst_device, c->dst_array,
               c->dst_pitch, c->dst_height},
              c->width, c->height, c->depth);
  });
}

template <class T>
int fill(uint64_t address, size_t pitch, T value, size_t width, size_t height) {
  return call(true, [&](Driver& driver) {
    for (size_t y = 0; y < height; ++y) {
      char* to = driver.memory->host_to_write(address + y * pitch, width * sizeof(T));
      for (size_t x = 0; x < width; ++x) std::memcpy(to + x * sizeof(T), &value, sizeof value);
    }
  });
}

int to_device(uint64_t to, const void* from, size_t bytes) {
  return call(true, [&](Driver& driver) {
    if (bytes != 0) std::memcpy(driver.memory->host_to_write(to, bytes), from, bytes);
  });
}
int to_host(void* to, uint64_t from, size_t bytes) {
  return call(true, [&](Driver& driver) {
    if (bytes != 0) std::memcpy(to, driver.memory->host(from, bytes), bytes);
  });
}
int on_device(uint64_t to, uint64_t from, size_t bytes) {
  return call(true, [&](Driver& driver) {
    if (bytes != 0) driver.memory->copy(to, from, bytes);
  });
}

}  // namespace

// --- device memory -------------------------------------------------------------------------------

SOFTCUDA_API int cuMemGetInfo_v2(size_t* free, size_t* total) {
  return call(true, [&](Driver& driver) {
    *total = driver.memory->limit();
    *free = driver.memory->limit() - driver.memory->used();
  });
}
SOFTCUDA_API int cuMemAlloc_v2(uint64_t* address, size_t bytes) {
  return call(true, [&](Driver& driver) {
    require(bytes != 0);
    *address = driver.memory->allocate(bytes, Allocation::Kind::kDevice, "", 1).address;
    driver.current().allocations.insert(*address);
  });
}
SOFTCUDA_API int cuMemAllocPitch_v2(uint64_t* address, size_t* pitch, size_t width, size_t height,
                                    unsigned element) {
  return call(true, [&](Driver& driver) {
    require(width != 0 && height != 0 && (element == 4 || element == 8 || element == 16));
    constexpr size_t kPitch = 512;
    *pitch = round_up(width, kPitch);
    *address = driver.memory->allocate(*pitch * height, Allocation::Kind::kDevice, "", 1).address;
    driver.current().allocations.insert(*address);
  });
}
SOFTCUDA_API int cuMemFree_v2(uint64_t address) {
  return call(false, [&](Driver& driver) {
    if (address == 0) return;
    const auto managed = driver.host_blocks.find(reinterpret_cast<void*>(address));
    if (managed != driver.host_blocks.end() && managed->second.is_managed) {
      return free_host_memory(driver, managed->first);
    }
    driver.memory->release(address);
    for (Context* context : driver.contexts) context->allocations.erase(address);
    driver.primary.allocations.erase(address);
  });
}
SOFTCUDA_API int cuMemGetAddressRange_v2(uint64_t* base, size_t* bytes, uint64_t address) {
  return call(true, [&](Driver& driver) {
    const Allocation* one = driver.memory->find(address);
    require(one != nullptr, Status::kNotFound);
    if (base != nullptr) *base = one->address;
    if (bytes != nullptr) *bytes = one->bytes;
  });
}
SOFTCUDA_API int cuMemAllocManaged(uint64_t* address, size_t bytes, unsigned flags) {
  return call(true, [&](Driver& driver) {
    HostBlock block;
    block.flags = flags;
    block.is_owned = block.is_managed = true;
    *address = reinterpret_cast<uint64_t>(new_host_memory(driver, bytes, block));
  });
}

// --- host memory ---------------------------------------------------------------------------------

SOFTCUDA_API int cuMemHostAlloc(void** memory, size_t bytes, unsigned flags) {
  return call(true, [&](Driver& driver) {
    HostBlock block;
    block.flags = flags;
    block.is_owned = true;
    *memory = new_host_memory(driver, bytes, block);
  });
}
SOFTCUDA_API int cuMemFreeHost(void* memory) {
  return call(false, [&](Driver& driver) {
    const auto found = driver.host_blocks.find(memory);
    require(found != driver.host_blocks.end() && found->second.is_owned);
    free_host_memory(driver, memory);
  });
}
SOFTCUDA_API int cuMemHostRegister_v2(void* memory, size_t bytes, unsigned flags) {
  return call(true, [&](Driver& driver) {
    require(memory != nullptr && bytes != 0);
    driver.memory->adopt(memory, bytes);
    HostBlock block;
    block.flags = flags;
    driver.host_blocks[memory] = block;
  });
}
SOFTCUDA_API int cuMemHostUnregister(void* memory) {
  return call(false, [&](Driver& driver) {
    const auto found = driver.host_blocks.find(memory);
    require(found != driver.host_blocks.end() && !found->second.is_owned,
            Status::kHostMemoryNotRegistered);
    driver.memory->forget(memory);
    driver.host_blocks.erase(found);
  });
}
SOFTCUDA_API int cuMemHostGetDevicePointer_v2(uint64_t* address, void* memory, unsigned flags) {
  return call(true, [&](Driver& driver) {
    require(flags == 0 && driver.memory->find(reinterpret_cast<uint64_t>(memory)) != nullptr);
    *address = reinterpret_cast<uint64_t>(memory);
  });
}
SOFTCUDA_API int cuMemHostGetFlags(unsigned* flags, void* memory) {
  return call(true, [&](Driver& driver) {
    const auto found = driver.host_blocks.find(memory);
    require(found != driver.host_blocks.end());
    *flags = found->second.flags;
  });
}

// --- copies --------------------------------------------------------------------------------------

SOFTCUDA_API int cuMemcpyHtoD_v2(uint64_t to, const void* from, size_t bytes) {
  return to_device(to, from, bytes);
}
SOFTCUDA_API int cuMemcpyHtoDAsync_v2(uint64_t to, const void* from, size_t bytes, void*) {
  return to_device(to, from, bytes);
}
SOFTCUDA_API int cuMemcpyDtoH_v2(void* to, uint64_t from, size_t bytes) {
  return to_host(to, from, bytes);
}
SOFTCUDA_API int cuMemcpyDtoHAsync_v2(void* to, uint64_t from, size_t bytes, void*) {
  return to_host(to, from, bytes);
}
SOFTCUDA_API int cuMemcpyDtoD_v2(uint64_t to, uint64_t from, size_t bytes) {
  return on_device(to, from, bytes);
}
SOFTCUDA_API int cuMemcpyDtoDAsync_v2(uint64_t to, uint64_t from, size_t bytes, void*) {
  return on_device(to, from, bytes);
}
SOFTCUDA_API int cuMemcpy2D_v2(const Copy2D* copy) { return copy_2d(copy); }
SOFTCUDA_API int cuMemcpy2DUnaligned_v2(const Copy2D* copy) { return copy_2d(copy); }
SOFTCUDA_API int cuMemcpy2DAsync_v2(const Copy2D* copy, void*) { return copy_2d(copy); }
SOFTCUDA_API int cuMemcpy3D_v2(const Copy3D* copy) { return copy_3d(copy); }
SOFTCUDA_API int cuMemcpy3DAsync_v2(const Copy3D* copy, void*) { return copy_3d(copy); }

// --- memsets -------------------------------------------------------------------------------------

SOFTCUDA_API int cuMemsetD8_v2(uint64_t to, uint8_t value, size_t count) {
  return fill(to, 0, value, count, 1);
}
SOFTCUDA_API int cuMemsetD16_v2(uint64_t to, uint16_t value, size_t count) {
  return fill(to, 0, value, count, 1);
}
SOFTCUDA_API int cuMemsetD32_v2(uint64_t to, uint32_t value, size_t count) {
  return fill(to, 0, value, count, 1);
}
SOFTCUDA_API int cuMemsetD8Async(uint64_t to, uint8_t value, size_t count, void*) {
  return fill(to, 0, value, count, 1);
}
SOFTCUDA_API int cuMemsetD16Async(uint64_t to, uint16_t value, size_t count, void*) {
  return fill(to, 0, value, count, 1);
}
SOFTCUDA_API int cuMemsetD32Async(uint64_t to, uint32_t value, size_t count, void*) {
  return fill(to, 0, value, count, 1);
}
SOFTCUDA_API int cuMemsetD2D8_v2(uint64_t to, size_t pitch, uint8_t value, size_t width,
                                 size_t height) {
  return fill(to, pitch, value, width, height);
}
SOFTCUDA_API int cuMemsetD2D16_v2(uint64_t to, size_t pitch, uint16_t value, size_t width,
                                  size_t height) {
  return fill(to, pitch, value, width, height);
}
SOFTCUDA_API int cuMemsetD2D32_v2(uint64_t to, size_t pitch, uint32_t value, size_t width,
                                  size_t height) {
  return fill(to, pitch, value, width, height);
}
SOFTCUDA_API int cuMemsetD2D8Async(uint64_t to, size_t pitch, uint8_t value, size_t width,
                                   size_t height, void*) {
  return fill(to, pitch, value, width, height);
}
SOFTCUDA_API int cuMemsetD2D16Async(uint64_t to, size_t pitch, uint16_t value, size_t width,
                                    size_t height, void*) {
  return fill(to, pitch, value, width, height);
}
SOFTCUDA_API int cuMemsetD2D32Async(uint64_t to, size_t pitch, uint32_t value, size_t width,
                                    size_t height, void*) {
  return fill(to, pitch, value, width, height);
}
