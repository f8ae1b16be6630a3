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

// Where races are looked for too, this may be half of one: the write is still to come.
void unwritten(Warp& w, const MemoryOperand& op, int lane, uint64_t address) {
  std::string where;
  if (address - kSharedWindow < kWindowBytes)
    where = "shared memory at byte " + std::to_string((address - kSharedWindow) & kOffsetMask);
  else if (address - kLocalWindow < kWindowBytes)
    where = "local memory at byte " + std::to_string(address - kLocalWindow);
  else
    where = "global memory that " + w.block().grid().memory().describe(address);
  const Fault fault{Status::kLaunchFailed, "uninitialised read", lane,
                    std::string(access_name(op)) + " of " + std::to_string(op.bytes()) +
                        " bytes in " + where + " and was never written"};
  if (!w.block().grid().limits().checks.race) throw fault;
  w.worker().suspect(fault, w.block());
}

// Look at the flags of a range, and set them if it is written. False if one is missing.
bool check_range(const MemoryOperand& op, uint8_t* flags, uint64_t bytes) {
  if (flags == nullptr) return true;
  const bool reads = !op.is_store || op.is_atomic;
  if (reads && std::memchr(flags, 0, bytes) != nullptr) return false;
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
    if (check_range(op, flags_at(w, l, generic(l)), range)) return;  // else: which lane?
  }
  for (Mask left = m; left != 0; left &= left - 1) {
    const int l = lowest_lane(left);
    if (!check_range(op, flags_at(w, l, generic(l)), bytes)) unwritten(w, op, l, generic(l));
  }
}

}  // namespace softcuda
