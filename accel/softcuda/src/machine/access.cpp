#include "access.h"

#include <algorithm>
#include <cstdio>

#include "race.h"

namespace softcuda {
namespace {

using ptx::Space;
using Shape = Access::Shape;

constexpr uint64_t kSectorBytes = 32;
constexpr uint32_t kBankBytes = 4;
constexpr uint32_t kBanks = 32;
constexpr uint64_t kOffsetMask = (uint64_t{1} << kRankShift) - 1;

[[noreturn]] void out_of_bounds(const MemoryOperand& op, int lane, uint64_t address,
                                const std::string& where, const char* space) {
  throw Fault{Status::kIllegalAddress, std::string("out-of-bounds ") + access_name(op), lane,
              access_words(op, address) + " in " + space + " memory " + where};
}

std::string offset_words(uint64_t offset, uint64_t size) {
  return "lies at byte " + std::to_string(offset) + " of " + std::to_string(size);
}

// --- what it costs -------------------------------------------------------------------------------

bool contains(const uint64_t* seen, int count, uint64_t value) {
  bool found = false;
  for (int k = 0; k < count; ++k) found |= seen[k] == value;
  return found;
}

void count_sectors(Count& count, const Access& access, Mask m, uint32_t bytes) {
  const auto sectors_from = [](uint64_t first, uint64_t size) {
    return (first + size - 1) / kSectorBytes - first / kSectorBytes + 1;
  };
  ++count.global_requests;
  if (access.shape == Shape::kSame) {
    count.sectors += sectors_from(access.address[lowest_lane(m)], bytes);
  } else if (access.shape == Shape::kConsecutive && m == kFullMask) {
    count.sectors += sectors_from(access.address[0], uint64_t{bytes} * kLanes);
  } else {
    uint64_t seen[2 * kLanes];  // an access is aligned, and no larger than a sector
    int distinct = 0;
    for (int l = 0; l < kLanes; ++l) {
      if (!has_lane(m, l)) continue;
      const uint64_t sector = access.address[l] / kSectorBytes;
      if (!contains(seen, distinct, sector)) seen[distinct++] = sector;
    }
    count.sectors += static_cast<uint64_t>(distinct);
  }
}

// Words of one bank take a wavefront each; lanes that read the same word share it. What is wider
// than 4 bytes goes by half and quarter warps.
void count_wavefronts(Count& count, const Access& access, Mask m, uint32_t bytes) {
  const int groups = bytes <= kBankBytes ? 1 : static_cast<int>(bytes / kBankBytes);
  ++count.shared_requests;
  const bool is_simple =
      m == kFullMask && (access.shape == Shape::kSame ||
                         (access.shape == Shape::kConsecutive && bytes >= kBankBytes));
  if (is_simple) {
    count.wavefronts += static_cast<uint64_t>(groups);
    count.ideal_wavefronts += static_cast<uint64_t>(groups);
    return;
  }
  const int lanes = kLanes / groups;
  for (int g = 0; g < groups; ++g) {
    uint64_t words[kLanes * 4];
    int distinct = 0;
    uint8_t in_bank[kBanks] = {};
    uint8_t most = 0;
    for (int l = g * lanes; l < (g + 1) * lanes; ++l) {
      if (!has_lane(m, l)) continue;
      const uint64_t last = (access.address[l] + bytes - 1) / kBankBytes;
      for (uint64_t word = access.address[l] / kBankBytes; word <= last; ++word) {
        if (contains(words, distinct, word)) continue;
        words[distinct++] = word;
        most = std::max(most, ++in_bank[word % kBanks]);
      }
    }
    count.wavefronts += most;
    count.ideal_wavefronts += most != 0 ? 1 : 0;
  }
}

// --- where it goes -------------------------------------------------------------------------------

void find_addresses(Warp& w, const Instruction& i, const MemoryOperand& op, uint64_t* address) {
  if (i.a == kNoRow) {
    std::fill(address, address + kLanes, static_cast<uint64_t>(i.immediate));
  } else if (op.is_wide) {
    const uint64_t* base = w.in<uint64_t>(i.a);
    for (int l = 0; l < kLanes; ++l) address[l] = base[l] + static_cast<uint64_t>(i.immediate);
  } else {
    const uint32_t* base = w.in<uint32_t>(i.a);
    for (int l = 0; l < kLanes; ++l)
      address[l] = static_cast<uint32_t>(base[l] + static_cast<uint32_t>(i.immediate));
  }
}

Shape shape_of(const uint64_t* address, Mask m, uint32_t bytes) {
  const int first = lowest_lane(m);
  const uint64_t origin = address[first] - static_cast<uint64_t>(first) * bytes;
  uint64_t from_same = 0, from_row = 0;
  if (m == kFullMask) {
    for (uint32_t l = 0; l < kLanes; ++l) {
      from_same |= address[l] ^ address[0];
      from_row |= address[l] ^ (origin + uint64_t{l} * bytes);
    }
  } else {
    for (uint32_t l = 0; l < kLanes; ++l) {
      const uint64_t on = uint64_t{0} - ((m >> l) & 1u);
      from_same |= (address[l] ^ address[first]) & on;
      from_row |= (address[l] ^ (origin + uint64_t{l} * bytes)) & on;
    }
  }
  return from_same == 0 ? Shape::kSame : from_row == 0 ? Shape::kConsecutive : Shape::kScattered;
}

// What a generic address stands for; `at` becomes the offset in that space.
Space resolve(Space space, uint64_t& at) {
  if (space != Space::kNone) return space;
  if (at - kSharedWindow < kWindowBytes) {
    at -= kSharedWindow;
    return Space::kShared;
  }
  if (at - kLocalWindow < kWindowBytes) {
    at -= kLocalWindow;
    return Space::kLocal;
  }
  return Space::kGlobal;
}

const Allocation* find_allocation(Warp& w, const MemoryOperand& op, uint64_t at, uint64_t bytes) {
  const Allocation*& last = w.site().last;
  if (last == nullptr || !last->is_live || !last->contains(at, bytes)) {
    const Allocation* found = w.block().grid().memory().find(at);
    if (found == nullptr || !found->contains(at, bytes)) return nullptr;
    last = found;
  }
  const bool may = !op.is_store || last->kind != Allocation::Kind::kConstant;
  return may ? last : nullptr;
}

// The host's pointer to a range that all lanes share, or null: then each lane tells what is wrong.
char* find_together(Warp& w, const MemoryOperand& op, Space space, uint64_t at, uint64_t bytes) {
  switch (space) {
    case Space::kShared:
      return at <= kOffsetMask && w.block().shared_contains(at, bytes) ? w.block().shared() + at
                                                                       : nullptr;
    case Space::kParam: {
      const Frame& frame = w.frame();
      return frame.params_of_lane == 0 && at + bytes <= frame.params.size() ? w.params(0) + at
                                                                            : nullptr;
    }
    case Space::kLocal:
      return nullptr;
    default: {
      const Allocation* one = find_allocation(w, op, at, bytes);
      return one == nullptr ? nullptr : one->host + (at - one->address);
    }
  }
}

char* shared_place(Warp& w, const MemoryOperand& op, int lane, uint64_t at, uint32_t bytes) {
  Block* block = block_of_shared(w.block(), at);
  const uint64_t offset = at & kOffsetMask;
  if (block == nullptr)
    out_of_bounds(op, lane, at, "of a block that the cluster does not have", "shared");
  if (block != &w.block() && op.space == Space::kShared && !op.reaches_cluster) {
    out_of_bounds(op, lane, at, "of another block, by an instruction without ::cluster", "shared");
  }
  if (block->is_done()) {
    throw Fault{Status::kLaunchFailed, "exited block", lane,
                std::string(access_name(op)) + " in the shared memory of block " +
                    std::to_string(block->rank()) + " of the cluster, which has ended"};
  }
  if (!block->shared_contains(offset, bytes)) {
    out_of_bounds(op, lane, at, offset_words(offset, block->shared_bytes()), "shared");
  }
  return block->shared() + offset;
}

char* global_place(Warp& w, const MemoryOperand& op, int lane, uint64_t at, uint32_t bytes) {
  const Allocation* one = find_allocation(w, op, at, bytes);
  if (one != nullptr) return one->host + (at - one->address);
  const DeviceMemory& memory = w.block().grid().memory();
  const Allocation* wrong = memory.find(at);
  const bool is_constant = wrong != nullptr && wrong->kind == Allocation::Kind::kConstant;
  if (memory.was_freed(at)) {
    throw Fault{Status::kIllegalAddress, "use after free", lane,
                access_words(op, at) + " in global memory " + memory.describe(at)};
  }
  out_of_bounds(op, lane, at, memory.describe(at), is_constant ? "constant" : "global");
}

char* place(Warp& w, const MemoryOperand& op, int lane, Space space, uint64_t at, uint32_t bytes) {
  switch (space) {
    case Space::kShared:
      return shared_place(w, op, lane, at, bytes);
    case Space::kLocal:
      // A thread may reach the variables of its callers, which lie before its own.
      if (at + bytes < at || at + bytes > w.local_end())
        out_of_bounds(op, lane, at, offset_words(at, w.local_end()), "local");
      return w.local(lane) + at;
    case Space::kParam:
      if (at + bytes < at || at + bytes > w.function().param_bytes)
        out_of_bounds(op, lane, at, offset_words(at, w.function().param_bytes), "param");
      return w.params(lane) + at;
    default:
      return global_place(w, op, lane, at, bytes);
  }
}

[[noreturn]] void misaligned(int lane, uint64_t address, uint32_t bytes) {
  throw Fault{Status::kMisalignedAddress, "misaligned address", lane,
              "access of " + std::to_string(bytes) + " bytes at an address that is " +
                  std::to_string(address % bytes) + " beyond a multiple of it"};
}

// All lanes at once, where they stand together in one piece of memory.
bool locate_together(Warp& w, const MemoryOperand& op, Mask m, Access& access) {
  if (access.shape == Shape::kScattered) return false;
  const int first = lowest_lane(m), last = kLanes - 1 - __builtin_clz(m);
  const uint32_t bytes = op.bytes();
  const bool is_row = access.shape == Shape::kConsecutive;
  uint64_t at = access.address[first];
  if ((at & (bytes - 1)) != 0) misaligned(first, at, bytes);
  const Space space = resolve(op.space, at);
  const auto lanes = static_cast<uint64_t>(last - first + 1);
  char* host = find_together(w, op, space, at, is_row ? bytes * lanes : bytes);
  if (host == nullptr) return false;
  access.origin = is_row ? host - static_cast<int64_t>(first) * bytes : host;
  if (space == Space::kGlobal) count_sectors(w.site().count, access, m, bytes);
  if (space == Space::kShared) count_wavefronts(w.site().count, access, m, bytes);
  return true;
}

void locate_each(Warp& w, const MemoryOperand& op, Mask m, Access& access) {
  const uint32_t bytes = op.bytes();
  Mask global = 0, shared = 0;
  access.shape = Shape::kScattered;
  for (int l = 0; l < kLanes; ++l) {
    if (!has_lane(m, l)) continue;
    uint64_t at = access.address[l];
    if ((at & (bytes - 1)) != 0) misaligned(l, at, bytes);
    const Space space = resolve(op.space, at);
    access.host[l] = place(w, op, l, space, at, bytes);
    if (space == Space::kGlobal) global |= Mask{1} << l;
    if (space == Space::kShared) shared |= Mask{1} << l;
  }
  if (global != 0) count_sectors(w.site().count, access, global, bytes);
  if (shared != 0) count_wavefronts(w.site().count, access, shared, bytes);
}

}  // namespace

const char* access_name(const MemoryOperand& op) {
  return op.is_atomic ? "atomic" : op.is_store ? "write" : "read";
}

std::string access_words(const MemoryOperand& op, uint64_t address) {
  char number[24];
  std::snprintf(number, sizeof number, "0x%llx", static_cast<unsigned long long>(address));
  return std::string(access_name(op)) + " of " + std::to_string(op.bytes()) + " bytes at " + number;
}

uint64_t generic_address(Space space, uint64_t address) {
  if (space == Space::kShared) return kSharedWindow + address;
  if (space == Space::kLocal) return kLocalWindow + address;
  return address;
}

Block* block_of_shared(Block& own, uint64_t offset) {
  const uint64_t code = offset >> kRankShift;
  if (code == 0) return &own;
  const auto& blocks = own.cluster().blocks();
  return code <= blocks.size() ? blocks[code - 1].get() : nullptr;
}

void locate(Warp& w, const Instruction& i, const MemoryOperand& op, Mask m, Access& access) {
  w.worker().note_access();
  find_addresses(w, i, op, access.address);
  access.shape = shape_of(access.address, m, op.bytes());
  if (!locate_together(w, op, m, access)) locate_each(w, op, m, access);
  if (!w.worker().watches_memory()) return;
  const Checks& checks = w.block().grid().limits().checks;
  if (checks.uninitialised) check_written(w, op, m, access);
  if (checks.race) w.block().grid().race()->access(w, i, op, m, access);
}

}  // namespace softcuda
