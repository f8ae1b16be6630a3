// What one multiprocessor of a GPU holds, by compute capability.
#pragma once

#include <string>

#include "../common.h"

namespace softcuda {

struct Architecture {
  int capability;  // 86 is 8.6
  int threads;     // that one multiprocessor holds at a time, as are blocks and shared memory
  int blocks;
  int shared;  // bytes

  int major() const { return capability / 10; }
  int minor() const { return capability % 10; }
  int warps() const { return threads / kLanes; }
  // Bytes of shared memory that a block takes beside its own.
  int reserved_shared() const { return capability >= 80 ? 1024 : 0; }
  // Bytes of shared memory of a block that asks for more than the usual kShared.
  int most_shared() const { return shared - reserved_shared(); }
  bool has_clusters() const { return capability >= 90; }

  // The same for all of them.
  static constexpr int kRegisters = 64 * 1024;  // of a multiprocessor, and of a block
  static constexpr int kShared = 48 * 1024;     // of a block
  static constexpr int kThreads = 1024;         // of a block
  static constexpr int kDeepestBlock = 64;      // threads in z
  static constexpr int kHighestGrid = 65535;    // blocks in y and in z
  static constexpr int kPortableCluster = 8;    // blocks
  static constexpr int kLargestCluster = 16;    // of a kernel that says it is not portable
};

// Throws ApiError for a compute capability that no GPU has, or that is too old.
const Architecture& architecture(int capability);

// "75, 80, 86, ...".
std::string known_capabilities();

// Blocks that one multiprocessor holds at a time, 0 if not even one fits: `registers` are those of
// a thread, `shared` are bytes of a block.
uint64_t resident_blocks(const Architecture& architecture, uint64_t threads, int registers,
                         uint64_t shared);

}  // namespace softcuda
