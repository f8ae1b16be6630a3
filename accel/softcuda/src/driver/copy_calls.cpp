// The driver API: copies and memsets.
#include "call.h"
#include "copies.h"

using namespace softcuda;

namespace {

// --- one row -------------------------------------------------------------------------------------

using Memory = Side::Memory;

// `stream` is null for the calls that wait: they work in the legacy default stream.
int copy_row(Memory to_memory, uint64_t to, Memory from_memory, uint64_t from, size_t bytes,
             Wait wait, void* stream) {
  return call(Needs::kContext, [&](Driver& driver) {
    copy(driver, driver.stream(stream), {from_memory, from, bytes, 1}, {to_memory, to, bytes, 1},
         {bytes, 1, 1}, wait);
  });
}
int to_device(uint64_t to, const void* from, size_t bytes, Wait wait, void* stream) {
  return copy_row(Memory::kDevice, to, Memory::kHost, reinterpret_cast<uint64_t>(from), bytes, wait,
                  stream);
}
int to_host(void* to, uint64_t from, size_t bytes, Wait wait, void* stream) {
  return copy_row(Memory::kHost, reinterpret_cast<uint64_t>(to), Memory::kDevice, from, bytes, wait,
                  stream);
}
int on_device(uint64_t to, uint64_t from, size_t bytes, Wait wait, void* stream) {
  return copy_row(Memory::kDevice, to, Memory::kDevice, from, bytes, wait, stream);
}

// --- rows and slices -----------------------------------------------------------------------------

// One side as the structures of the API have it.
struct GivenSide {
  size_t x, y, z;
  int type;
  const void* host;
  uint64_t device;
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

  GivenSide from() const { return {src_x, src_y, 0, src_type, src_host, src_device, src_pitch, 0}; }
  GivenSide to() const { return {dst_x, dst_y, 0, dst_type, dst_host, dst_device, dst_pitch, 0}; }
  Box box() const { return {width, height, 1}; }
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

  GivenSide from() const {
    return {src_x, src_y, src_z, src_type, src_host, src_device, src_pitch, src_height};
  }
  GivenSide to() const {
    return {dst_x, dst_y, dst_z, dst_type, dst_host, dst_device, dst_pitch, dst_height};
  }
  Box box() const { return {width, height, depth}; }
};

Side side_of(const Driver& driver, const GivenSide& given_side, const Box& box) {
  // cuda.h: CUmemorytype
  constexpr int kHost = 1, kDevice = 2, kArray = 3, kUnified = 4;
  const GivenSide& s = given_side;
  require(s.type != kArray, Status::kNotSupported);
  require(s.type == kHost || s.type == kDevice || s.type == kUnified);
  constexpr uint64_t kMost = uint64_t{1} << 48;
  require(s.x < kMost && s.y < kMost && box.width < kMost && box.height < kMost);
  Side side;
  side.pitch = s.pitch != 0 ? s.pitch : s.x + box.width;
  side.height = s.height != 0 ? s.height : s.y + box.height;
  require(side.pitch >= s.x + box.width || box.is_row());
  require(side.height >= s.y + box.height || box.depth == 1);
  const uint64_t base = s.type == kHost ? reinterpret_cast<uint64_t>(s.host) : s.device;
  require(base != 0);
  side.address = base + offset_of(side, s.x, s.y, s.z);
  const bool is_unknown = s.type == kUnified && driver.memory->find(side.address) == nullptr;
  side.memory = s.type == kHost || is_unknown ? Memory::kHost : Memory::kDevice;
  return side;
}

template <class Copy>
int copy_box(const Copy* what, Wait wait, void* stream) {
  return call(Needs::kContext, [&](Driver& driver) {
    const Box box = given(what).box();
    const GivenSide from = what->from(), to = what->to();
    if (box.is_empty()) return;
    copy(driver, driver.stream(stream), side_of(driver, from, box), side_of(driver, to, box), box,
         wait);
  });
}

template <class T>
int set(uint64_t address, size_t pitch, T value, size_t width, size_t height, Wait wait,
        void* stream) {
  return call(Needs::kContext, [&](Driver& driver) {
    fill(driver, driver.stream(stream), address, pitch, value, sizeof(T), width, height, wait);
  });
}

}  // namespace

SOFTCUDA_API int cuMemcpyHtoD_v2(uint64_t to, const void* from, size_t bytes) {
  return to_device(to, from, bytes, Wait::kForCopy, nullptr);
}
SOFTCUDA_API int cuMemcpyHtoDAsync_v2(uint64_t to, const void* from, size_t bytes, void* stream) {
  return to_device(to, from, bytes, Wait::kAsDocumented, stream);
}
SOFTCUDA_API int cuMemcpyDtoH_v2(void* to, uint64_t from, size_t bytes) {
  return to_host(to, from, bytes, Wait::kForCopy, nullptr);
}
SOFTCUDA_API int cuMemcpyDtoHAsync_v2(void* to, uint64_t from, size_t bytes, void* stream) {
  return to_host(to, from, bytes, Wait::kAsDocumented, stream);
}
SOFTCUDA_API int cuMemcpyDtoD_v2(uint64_t to, uint64_t from, size_t bytes) {
  return on_device(to, from, bytes, Wait::kForCopy, nullptr);
}
SOFTCUDA_API int cuMemcpyDtoDAsync_v2(uint64_t to, uint64_t from, size_t bytes, void* stream) {
  return on_device(to, from, bytes, Wait::kAsDocumented, stream);
}
SOFTCUDA_API int cuMemcpy2D_v2(const Copy2D* what) {
  return copy_box(what, Wait::kForCopy, nullptr);
}
SOFTCUDA_API int cuMemcpy2DUnaligned_v2(const Copy2D* what) {
  return copy_box(what, Wait::kForCopy, nullptr);
}
SOFTCUDA_API int cuMemcpy2DAsync_v2(const Copy2D* what, void* stream) {
  return copy_box(what, Wait::kAsDocumented, stream);
}
SOFTCUDA_API int cuMemcpy3D_v2(const Copy3D* what) {
  return copy_box(what, Wait::kForCopy, nullptr);
}
SOFTCUDA_API int cuMemcpy3DAsync_v2(const Copy3D* what, void* stream) {
  return copy_box(what, Wait::kAsDocumented, stream);
}

// --- memsets -------------------------------------------------------------------------------------

SOFTCUDA_API int cuMemsetD8_v2(uint64_t to, uint8_t value, size_t count) {
  return set(to, 0, value, count, 1, Wait::kForCopy, nullptr);
}
SOFTCUDA_API int cuMemsetD8Async(uint64_t to, uint8_t value, size_t count, void* stream) {
  return set(to, 0, value, count, 1, Wait::kAsDocumented, stream);
}
SOFTCUDA_API int cuMemsetD16_v2(uint64_t to, uint16_t value, size_t count) {
  return set(to, 0, value, count, 1, Wait::kForCopy, nullptr);
}
SOFTCUDA_API int cuMemsetD16Async(uint64_t to, uint16_t value, size_t count, void* stream) {
  return set(to, 0, value, count, 1, Wait::kAsDocumented, stream);
}
SOFTCUDA_API int cuMemsetD32_v2(uint64_t to, uint32_t value, size_t count) {
  return set(to, 0, value, count, 1, Wait::kForCopy, nullptr);
}
SOFTCUDA_API int cuMemsetD32Async(uint64_t to, uint32_t value, size_t count, void* stream) {
  return set(to, 0, value, count, 1, Wait::kAsDocumented, stream);
}
SOFTCUDA_API int cuMemsetD2D8_v2(uint64_t to, size_t pitch, uint8_t value, size_t width,
                                 size_t height) {
  return set(to, pitch, value, width, height, Wait::kForCopy, nullptr);
}
SOFTCUDA_API int cuMemsetD2D8Async(uint64_t to, size_t pitch, uint8_t value, size_t width,
                                   size_t height, void* stream) {
  return set(to, pitch, value, width, height, Wait::kAsDocumented, stream);
}
SOFTCUDA_API int cuMemsetD2D16_v2(uint64_t to, size_t pitch, uint16_t value, size_t width,
                                  size_t height) {
  return set(to, pitch, value, width, height, Wait::kForCopy, nullptr);
}
SOFTCUDA_API int cuMemsetD2D16Async(uint64_t to, size_t pitch, uint16_t value, size_t width,
                                    size_t height, void* stream) {
  return set(to, pitch, value, width, height, Wait::kAsDocumented, stream);
}
SOFTCUDA_API int cuMemsetD2D32_v2(uint64_t to, size_t pitch, uint32_t value, size_t width,
                                  size_t height) {
  return set(to, pitch, value, width, height, Wait::kForCopy, nullptr);
}
SOFTCUDA_API int cuMemsetD2D32Async(uint64_t to, size_t pitch, uint32_t value, size_t width,
                                    size_t height, void* stream) {
  return set(to, pitch, value, width, height, Wait::kAsDocumented, stream);
}
