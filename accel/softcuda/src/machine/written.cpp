// Reads of memory that was never written: a byte of each allocation, of shared and of local memory
// has a flag beside it.
#include <algorithm>

#include "access.h"

namespace softcuda {
namespace {

using ptx::Space;

struct Flags {
  uint8_t* first = nullptr;  // null: all of that memory counts as written
  std::string where;         // of the memory that they are about
};

Flags flags_of(Warp& w, int lane, uint64_t address) {
  if (address - kSharedWindow < kWindowBytes) {
    const uint64_t at = address - kSharedWindow;
    Block& block = *block_of_shared(w.block(), at);
    const uint64_t offset = at & ((uint64_t{1} << kRankShift) - 1);
    return {block.shared_written().data() + offset,
            "shared memory at byte " + std::to_string(offset)};
  }
  if (address - kLocalWindow < kWindowBytes) {
    const uint64_t offset = address - kLocalWindow;
    return {w.local_written(lane) + offset, "local memory at byte " + std::to_string(offset)};
  }
  const DeviceMemory& memory = w.block().grid().memory();
  const Allocation* one = memory.find(address);
  if (one == nullptr || one->written == nullptr) return {};
  return {one->written.get() + (address - one->address), ""};
}

[[noreturn]] void unwritten(Warp& w, const MemoryOperand& op, int lane, const Flags& flags,
                            uint64_t address) {
  const std::string where =
      flags.where.empty() ? "global memory that " + w.block().grid().memory().describe(address)
                          : flags.where;
  throw Fault{Status::kLaunchFailed, "uninitialised read", lane,
              std::string(access_name(op)) + " of " + std::to_string(op.bytes()) + " bytes in " +
                  where + " and was never written"};
}

bool all_written(const uint8_t* flags, uint64_t bytes) {
  return std::memchr(flags, 0, bytes) == nullptr;
}

// All lanes in one piece of global memory; false if they are not.
bool check_together(Warp& w, const MemoryOperand& op, Mask m, const Access& access) {
  const Allocation* one = w.site().last;
  if (access.shape == Access::Shape::kScattered || one == nullptr) return false;
  const int first = lowest_lane(m), last = kLanes - 1 - __builtin_clz(m);
  const bool is_row = access.shape == Access::Shape::kConsecutive;
  if (is_row && m != kFullMask >> (kLanes - 1 - last) << first) return false;
  const uint64_t bytes = is_row ? uint64_t{op.bytes()} * (last - first + 1u) : op.bytes();
  const uint64_t at = access.address[first];
  if (op.space == Space::kShared || op.space == Space::kLocal || !one->contains(at, bytes))
    return false;
  if (one->written == nullptr) return true;
  uint8_t* flags = one->written.get() + (at - one->address);
  const bool reads = !op.is_store || op.is_atomic;
  if (reads && !all_written(flags, bytes)) return false;  // which lane, the slow way tells
  if (op.is_store) std::memset(flags, 1, bytes);
  return true;
}

}  // namespace

void check_written(Warp& w, const MemoryOperand& op, Mask m, const Access& access) {
  if (op.space == Space::kParam || op.space == Space::kConst) return;
  if (check_together(w, op, m, access)) return;
  const uint32_t bytes = op.bytes();
  for (int l = 0; l < kLanes; ++l) {
    if (!has_lane(m, l)) continue;
    const uint64_t address = generic_address(op.space, access.address[l]);
    const Flags flags = flags_of(w, l, address);
    if (flags.first == nullptr) continue;
    const bool reads = !op.is_store || op.is_atomic;
    if (reads && !all_written(flags.first, bytes)) unwritten(w, op, l, flags, address);
    if (op.is_store) std::memset(flags.first, 1, bytes);
  }
}

}  // namespace softcuda
