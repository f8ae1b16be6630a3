// Reads of memory that was never written: a byte of each allocation, of shared and of local memory
// has a flag beside it.
#include <algorithm>

#include "access.h"

namespace softcuda {
namespace {

using ptx::Space;

constexpr uint64_t kOffsetMask = (uint64_t{1} << kRankShift) - 1;

// The flags of memory at a generic address; null where all of it counts as written.
uint8_t* flags_at(Warp& w, int lane, uint64_t address) {
  if (address - kSharedWindow < kWindowBytes) {
    const uint64_t at = address - kSharedWindow;
    return block_of_shared(w.block(), at)->shared_written().data() + (at & kOffsetMask);
  }
  if (address - kLocalWindow < kWindowBytes)
    return w.local_written(lane) + (address - kLocalWindow);
  const Allocation* one = w.site().last;
  if (one == nullptr || !one->contains(address, 1)) one = w.block().grid().memory().find(address);
  return one->written == nullptr ? nullptr : one->written.get() + (address - one->address);
}

std::string words_of(Warp& w, const MemoryOperand& op, uint64_t address) {
  std::string where;
  if (address - kSharedWindow < kWindowBytes)
    where = "shared memory at byte " + std::to_string((address - kSharedWindow) & kOffsetMask);
  else if (address - kLocalWindow < kWindowBytes)
    where = "local memory at byte " + std::to_string(address - kLocalWindow);
  else
    where = "global memory that " + w.block().grid().memory().describe(address);
  return access_words(op, address) + " in " + where + " and was never written";
}

bool all_written(const uint8_t* flags, uint64_t bytes) {
  return flags == nullptr || std::memchr(flags, 0, bytes) == nullptr;
}

// A lane has read unwritten memory. What it read may be moved on; an atomic uses it at once.
void note_unwritten(Warp& w, const MemoryOperand& op, int lane, const uint8_t* flags,
                    uint64_t address, bool is_first) {
  if (is_first) {
    w.frame().unwritten_by = &w.here();
    w.frame().unwritten_words = words_of(w, op, address);
  }
  if (op.is_atomic) return w.use_unwritten(Mask{1} << lane);
  for (size_t k = 0; k < op.elements; ++k) {
    const bool is_unwritten = !all_written(flags + k * op.element_bytes, op.element_bytes);
    if (is_unwritten && op.parts[k] != kNoRow) w.mark_unwritten(op.parts[k], Mask{1} << lane);
  }
}

// A lane writes: what it writes may be unwritten itself. Memory of one block only holds that as
// well as a register does; in global memory others will use it, unless it is part of a vector: the
// padding of a structure is copied so.
void write_flags(Warp& w, const MemoryOperand& op, int lane, uint8_t* flags, bool is_global) {
  std::memset(flags, 1, op.bytes());
  if (op.is_atomic || !w.frame().has_unwritten) return;
  bool is_any_written = false;
  for (size_t k = 0; k < op.elements; ++k) {
    is_any_written |= has_lane(w.written(op.parts[k]), lane);
  }
  for (size_t k = 0; k < op.elements; ++k) {
    if (has_lane(w.written(op.parts[k]), lane)) continue;
    if (is_global && !is_any_written)
      w.use_unwritten(Mask{1} << lane);
    else
      std::memset(flags + k * op.element_bytes, 0, op.element_bytes);
  }
}

// All lanes at once, if none of them has to do with what is unwritten.
bool check_together(Warp& w, const MemoryOperand& op, uint8_t* flags, uint64_t bytes) {
  if (flags == nullptr) return !op.is_store || !w.frame().has_unwritten;
  const bool reads = !op.is_store || op.is_atomic;
  if (reads && !all_written(flags, bytes)) return false;
  if (op.is_store && w.frame().has_unwritten) return false;
  if (op.is_store) std::memset(flags, 1, bytes);
  return true;
}

}  // namespace

void check_written(Warp& w, const MemoryOperand& op, Mask m, const Access& access) {
  if (op.space == Space::kParam || op.space == Space::kConst) return;
  const uint32_t bytes = op.bytes();
  const auto generic = [&](int l) { return generic_address(op.space, access.address[l]); };
  const bool is_row = access.shape == Access::Shape::kConsecutive && m == kFullMask;
  if (is_row || access.shape == Access::Shape::kSame) {
    const int l = lowest_lane(m);
    const uint64_t range = is_row ? uint64_t{bytes} * kLanes : bytes;
    if (check_together(w, op, flags_at(w, l, generic(l)), range)) return;
  }
  bool is_first = true;
  for (Mask left = m; left != 0; left &= left - 1) {
    const int l = lowest_lane(left);
    const uint64_t address = generic(l);
    uint8_t* flags = flags_at(w, l, address);
    const bool is_global =
        address - kSharedWindow >= kWindowBytes && address - kLocalWindow >= kWindowBytes;
    const bool reads = !op.is_store || op.is_atomic;
    if (reads && !all_written(flags, bytes)) {
      note_unwritten(w, op, l, flags, address, is_first);
      is_first = false;
    }
    uint8_t all[32];  // of memory that nobody asks about
    if (op.is_store) write_flags(w, op, l, flags != nullptr ? flags : all, is_global);
  }
}

}  // namespace softcuda
