// What is asked of the device: the shape of a launch, what is looked for, and what comes of it.
#pragma once

#include <string>
#include <vector>

#include "../common.h"

namespace softcuda {

struct Function;
struct Instruction;
struct Architecture;
class KernelHeap;
class PrintBuffer;
struct Program;

struct Dim {
  uint32_t x = 1, y = 1, z = 1;
  uint64_t product() const { return uint64_t{x} * y * z; }
};

// The element of a box with a number, x fastest.
inline Dim place_in(const Dim& box, uint64_t number) {
  return {static_cast<uint32_t>(number % box.x), static_cast<uint32_t>(number / box.x % box.y),
          static_cast<uint32_t>(number / box.x / box.y)};
}

// How a warp that has diverged comes together again.
enum class Schedule { kPostDominator, kLowestPc, kAdversarial };

// What is looked for beside bounds and alignment, which always are.
struct Checks {
  bool use_after_free = true;  // off: addresses are given out again
  bool uninitialised = false;
  bool race = false;
  bool barrier = true;
  bool lanes = true;
  bool deadlock = true;
};

struct Limits {
  Checks checks;
  int threads = 1;  // of the host, for blocks that do not communicate
  Schedule schedule = Schedule::kPostDominator;
  uint64_t seed = 0;
  uint64_t approximation_seed = 0;  // of errors of .approx instructions; 0: none
  const Architecture* architecture = nullptr;
  int multiprocessors = 4;
  uint64_t quantum = 200'000;        // instructions of a block before the next has its turn
  uint64_t patience = 200'000'000;   // instructions without a change in memory: a deadlock
  uint64_t budget = UINT64_MAX;      // instructions of a launch, until it is stopped
  uint32_t stack_bytes = 16 * 1024;  // local memory of a thread beside what the entry needs
  KernelHeap* heap = nullptr;        // of malloc in kernels; of the context, as is
  PrintBuffer* prints = nullptr;     // what printf in kernels wrote
};

struct Launch {
  Function* entry = nullptr;
  const Program* program = nullptr;
  Dim grid, block, cluster;
  bool is_explicit_cluster = false;
  uint32_t dynamic_shared = 0;
  std::vector<char> params;
};

// An error of the running kernel, thrown by handlers. The worker adds where it happened.
struct Fault {
  Status status;
  std::string kind;  // "out-of-bounds write", "barrier divergence", ...
  int lane;
  std::string what;
  const Instruction* at = nullptr;  // if it is another than the one that runs
};

// What a fault becomes: the report, and the code that the launch ends in.
struct Report {
  Status status = Status::kSuccess;
  std::string kind, kernel, function, file, inlined, what;
  int source_line = 0, ptx_line = 0;
  Dim block, thread;
  std::string text() const;
};

// The source line of an instruction, "file:line", or its line of the PTX.
std::string source_words(const Program& program, const Instruction& i);

}  // namespace softcuda
