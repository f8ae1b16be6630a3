#include "copies.h"

#include <memory>

#include "call.h"

namespace softcuda {
namespace {

// Throws ApiError if a box is not inside one allocation.
void check(const Driver& driver, const Side& side, const Box& box) {
  require(side.address != 0);
  require(side.pitch >= box.width || box.is_row());
  if (side.memory == Side::Memory::kDevice) {
    const uint64_t span = offset_of(side, box.width, box.height - 1, box.depth - 1);
    driver.memory->host(side.address, span);
  }
}

// Memory of the host that the device cannot reach: neither allocated by the driver nor registered.
bool is_pageable(const Driver& driver, const Side& side) {
  return side.memory == Side::Memory::kHost && driver.memory->find(side.address) == nullptr;
}

bool is_host(const Driver& driver, const Side& side) {
  if (side.memory == Side::Memory::kHost) return true;
  return driver.memory->find(side.address)->kind == Allocation::Kind::kHost;
}

void copy_row(DeviceMemory& memory, Side::Memory from_memory, uint64_t from, Side::Memory to_memory,
              uint64_t to, uint64_t bytes) {
  const bool reads_device = from_memory == Side::Memory::kDevice;
  const bool writes_device = to_memory == Side::Memory::kDevice;
  if (reads_device && writes_device) return memory.copy(to, from, bytes);
  const char* source =
      reads_device ? memory.host(from, bytes) : reinterpret_cast<const char*>(from);
  char* target = writes_device ? memory.host_to_write(to, bytes) : reinterpret_cast<char*>(to);
  std::memmove(target, source, bytes);
}

void copy_box(DeviceMemory& memory, const Side& from, const Side& to, const Box& box) {
  for (uint64_t z = 0; z < box.depth; ++z) {
    for (uint64_t y = 0; y < box.height; ++y) {
      copy_row(memory, from.memory, from.address + (z * from.height + y) * from.pitch, to.memory,
               to.address + (z * to.height + y) * to.pitch, box.width);
    }
  }
}

// The source of a copy as it is now: what happens to it later is not seen.
std::shared_ptr<std::vector<char>> stage(const Driver& driver, Side& from, const Box& box) {
  auto staged = std::make_shared<std::vector<char>>(box.width * box.height * box.depth);
  Side packed;
  packed.memory = Side::Memory::kHost;
  packed.address = reinterpret_cast<uint64_t>(staged->data());
  packed.pitch = box.width;
  packed.height = box.height;
  copy_box(*driver.memory, from, packed, box);
  from = packed;
  return staged;
}

}  // namespace

uint64_t offset_of(const Side& side, uint64_t x, uint64_t y, uint64_t z) {
  uint64_t rows = 0, bytes = 0;
  const bool is_too_far =
      __builtin_mul_overflow(z, side.height, &rows) || __builtin_add_overflow(rows, y, &rows) ||
      __builtin_mul_overflow(rows, side.pitch, &bytes) || __builtin_add_overflow(bytes, x, &bytes);
  require(!is_too_far && bytes <= uint64_t{1} << 48);
  return bytes;
}

void copy(Driver& driver, Stream& stream, Side from, Side to, const Box& box, Wait wait) {
  if (box.is_empty()) return;
  check(driver, from, box);
  check(driver, to, box);
  // What the driver API documents of copies that involve memory of the host: from pageable memory
  // they read before they return, to pageable memory and within the host they are done then.
  const bool is_local = !is_host(driver, from) && !is_host(driver, to);
  const bool is_awaited =
      wait == Wait::kForCopy
          ? !is_local || stream.context->has_synchronous_copies()
          : is_pageable(driver, to) || (is_host(driver, from) && is_host(driver, to));
  std::shared_ptr<std::vector<char>> staged;
  const bool is_deferred = driver.settings.has_lazy_streams && !is_awaited;
  if (is_deferred && is_pageable(driver, from)) staged = stage(driver, from, box);
  const Ticket ticket = driver.work.submit(
      stream, [&driver, from, to, box, staged] { copy_box(*driver.memory, from, to, box); });
  if (is_awaited) driver.wait(*stream.context, {ticket});
}

void fill(Driver& driver, Stream& stream, uint64_t address, uint64_t pitch, uint32_t value,
          size_t element, uint64_t width, uint64_t height, Wait wait) {
  require(width <= uint64_t{1} << 48 && address % element == 0);
  const Box box{width * element, height, 1};
  if (box.is_empty()) return;
  Side to;
  to.address = address;
  to.pitch = pitch;
  require(pitch % element == 0 || height == 1);
  check(driver, to, box);
  const Ticket ticket = driver.work.submit(stream, [&driver, to, box, value, element] {
    for (uint64_t y = 0; y < box.height; ++y) {
      char* row = driver.memory->host_to_write(to.address + y * to.pitch, box.width);
      for (uint64_t x = 0; x < box.width; x += element) std::memcpy(row + x, &value, element);
    }
  });
  const bool is_awaited =
      wait == Wait::kForCopy && (is_host(driver, to) || stream.context->has_synchronous_copies());
  if (is_awaited) driver.wait(*stream.context, {ticket});
}

}  // namespace softcuda
