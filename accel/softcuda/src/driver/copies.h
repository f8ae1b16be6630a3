// Copies and memsets, as work for a stream.
#pragma once

#include "state.h"

namespace softcuda {

// One side of a copy: a box in memory whose rows are `pitch` bytes apart, and whose slices are
// `height` rows apart.
struct Side {
  enum class Memory { kHost, kDevice };
  Memory memory = Memory::kDevice;
  uint64_t address = 0;  // of the first byte
  uint64_t pitch = 0, height = 0;
};

// Bytes from the first of a side to one in a row and slice. Throws ApiError if they are more than
// memory can have.
uint64_t offset_of(const Side& side, uint64_t x, uint64_t y, uint64_t z);

struct Box {
  uint64_t width = 0, height = 1, depth = 1;  // of a row in bytes, rows, slices
  bool is_row() const { return height == 1 && depth == 1; }
  bool is_empty() const { return width == 0 || height == 0 || depth == 0; }
};

// How a call behaves to the thread that makes it.
enum class Wait {
  kForCopy,      // the usual calls: until it is done, unless it stays on the device
  kAsDocumented  // ..Async: not at all, but for what goes to memory that is not page-locked
};

// Throws ApiError, before anything is done, for an address range that is not in one allocation.
void copy(Driver& driver, Stream& stream, Side from, Side to, const Box& box, Wait wait);

// Set elements of 1, 2 or 4 bytes; `pitch` is the distance of rows.
void fill(Driver& driver, Stream& stream, uint64_t address, uint64_t pitch, uint32_t value,
          size_t element, uint64_t width, uint64_t height, Wait wait);

}  // namespace softcuda
