// An access to memory by the lanes of a warp: where it goes, whether it may, and what it costs.
#pragma once

#include "machine.h"

namespace softcuda {

struct Access {
  enum class Shape : uint8_t {
    kScattered,    // every lane has a place of its own
    kConsecutive,  // one lane after the other
    kSame,         // all lanes at one place
  };
  Shape shape = Shape::kScattered;
  char* origin = nullptr;  // of all lanes, or of lane 0 where they are consecutive
  char* host[kLanes];      // of each lane where they are scattered
  alignas(64) uint64_t address[kLanes];

  char* at(int lane, uint32_t bytes) const {
    if (shape == Shape::kSame) return origin;
    if (shape == Shape::kConsecutive) return origin + static_cast<uint64_t>(lane) * bytes;
    return host[lane];
  }
};

// Find the memory of every lane of the mask, check it, and count what the access costs. Throws
// Fault.
void locate(Warp& warp, const Instruction& i, const MemoryOperand& op, Mask lanes, Access& access);

// An address of a state space as a generic one.
uint64_t generic_address(ptx::Space space, uint64_t address);

// Addresses of shared memory name the block of the cluster in the upper bits: 0 is the own one,
// 1 + rank any.
constexpr int kRankShift = 24;

// The block whose shared memory an offset in the shared window lies in, or null.
Block* block_of_shared(Block& own, uint64_t offset);

// What an access is called: "read", "write" or "atomic"; and in full, "read of 4 bytes at 0x80".
const char* access_name(const MemoryOperand& op);
std::string access_words(const MemoryOperand& op, uint64_t address);

// Of loads: lanes that read a byte that was never written are noted. Of stores: bytes are written
// now, or hold what was noted. Throws Fault where that is used.
void check_written(Warp& warp, const MemoryOperand& op, Mask lanes, const Access& access);

}  // namespace softcuda
