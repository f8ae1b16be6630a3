// A launch as it runs: grid, blocks, warps, and the parts of a warp that have diverged.
#pragma once

#include <array>
#include <deque>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "../common.h"
#include "../memory/device_memory.h"
#include "../program/instruction.h"

namespace softcuda {

class Block;
class Grid;

struct Dim {
  uint32_t x = 1, y = 1, z = 1;
  uint64_t product() const { return uint64_t{x} * y * z; }
};

// An error of the running kernel, thrown by handlers. The grid adds where it happened.
struct Fault {
  Status status;
  std::string kind;  // "out-of-bounds write", "barrier divergence", ...
  int lane;
  std::string what;
};

// What a fault becomes: the report, and the code that the launch ends in.
struct Report {
  Status status = Status::kSuccess;
  std::string kind, kernel, function, file, what;
  int source_line = 0, ptx_line = 0;
  Dim block, thread;
  std::string text() const;
};

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
  int multiprocessors = 4;
  uint64_t quantum = 200'000;             // instructions of a block before the next has its turn
  uint64_t patience = 200'000'000;        // instructions without a change in memory: a deadlock
  uint32_t stack_bytes = 16 * 1024;       // local memory of a thread beside what the entry needs
  uint32_t heap_bytes = 8 * 1024 * 1024;  // of malloc in kernels
};

// The registers and .param variables of one call of a function, for all lanes in it.
struct Frame {
  std::shared_ptr<Frame> parent;
  const Function* function = nullptr;
  const CallOperand* call = nullptr;
  uint32_t return_pc = 0;  // in the parent's function
  uint32_t local_base = 0;
  char* rows = nullptr;
  std::vector<char> storage;
  std::vector<char> params;  // lane by lane
};

// Lanes that wait where two ways meet, until all that are expected have come.
struct Join {
  std::shared_ptr<Join> outer;
  std::shared_ptr<Frame> frame;
  uint32_t pc = 0;
  Mask expected = 0, arrived = 0;
};

// Lanes of a warp that execute together.
struct Split {
  enum class State { kReady, kBarrier, kWarpSync, kWarpPassed };
  Mask lanes = 0;
  uint32_t pc = 0;
  std::shared_ptr<Frame> frame;
  std::shared_ptr<Join> join;
  State state = State::kReady;
  int barrier = 0;
};

class Warp {
 public:
  Warp(Block& block, int index, Mask lanes);
  Warp(const Warp&) = delete;
  Warp& operator=(const Warp&) = delete;

  // Execute until `budget` is used up or no split can go on.
  void run(int64_t& budget);
  bool is_done() const { return live_ == 0; }
  bool is_ready() const;
  Mask lanes_at_barrier(int id) const;
  // Let splits that wait at a barrier go on; results of a reduction are written for them.
  void release_barrier(int id, bool has_result, uint32_t result);
  // If lanes wait for others that cannot come: the fault that this is.
  void check_stuck() const;

  // --- for handlers ---

  template <class T>
  T* out(Row row) {
    return reinterpret_cast<T*>(rows_ + row);
  }
  template <class T>
  const T* in(Row row) const {
    const char* base = (row & kConstantRow) != 0 ? constants_ : rows_;
    return reinterpret_cast<const T*>(base + (row & ~kConstantRow));
  }
  Mask predicate(Row row) const { return *in<Mask>(row); }
  void set_predicate(Row row, Mask lanes, Mask values) {
    Mask& p = *out<Mask>(row);
    p = (p & ~lanes) | (values & lanes);
  }
  char* params(int lane) {
    return frame_->params.data() + static_cast<size_t>(lane) * frame_->function->param_bytes;
  }
  char* local(int lane) { return local_.data() + static_cast<size_t>(lane) * local_bytes_; }
  uint32_t local_bytes() const { return local_bytes_; }
  uint32_t local_base() const { return frame_->local_base; }
  Mask split_lanes() const { return splits_[current_].lanes; }
  Mask live() const { return live_; }
  Block& block() { return block_; }
  int index() const { return index_; }
  Mask carry = 0;  // of add.cc and its like

  // Where the split that runs is.
  const Instruction& here() const;
  const Function& function() const { return *frame_->function; }
  Dim thread_of(int lane) const;
  void locate(int split, Report& report, int lane) const;
  int current() const { return current_; }
  // What a row of the current instruction's access costs.
  Count& count();

 private:
  friend class Block;
  bool choose();
  int64_t run_split(Split& split);
  void flow(const Instruction& i, Mask lanes);
  void branch_table(const Instruction& i, Mask lanes);
  void call(const Instruction& i, Mask lanes);
  void return_from(Mask lanes);
  void exit(Mask lanes);
  void barrier(const Instruction& i, Mask lanes);
  void warp_sync(const Instruction& i, Mask lanes);
  void add_join(Split& split, uint32_t pc);
  void divide(Mask lanes, uint32_t pc, uint32_t join_pc);
  void advance(size_t split, uint32_t pc);
  void remove(size_t split);
  void finish(std::shared_ptr<Join> join);
  std::shared_ptr<Frame> new_frame(const Function& function, std::shared_ptr<Frame> parent);
  void merge_equal();
  Split& running() { return splits_[static_cast<size_t>(current_)]; }

  Block& block_;
  int index_;
  Mask live_;
  std::vector<Split> splits_;
  int current_ = -1;
  Frame* frame_ = nullptr;  // of the split that runs, as are rows and constants
  char* rows_ = nullptr;
  const char* constants_ = nullptr;
  std::vector<char> local_;
  uint32_t local_bytes_ = 0;
  int64_t turn_ = 0;
  size_t last_ = 0;  // the split that ran before
};

class Block {
 public:
  Block(Grid& grid, uint64_t index);
  ~Block();

  // Give every warp a turn. True while some warp can go on.
  bool run(int64_t budget);
  bool is_done() const { return running_ == 0; }
  void check_stuck() const;

  // A split arrives at a barrier; true if it completed it.
  void arrive(Warp& warp, const BarrierOperand& barrier, int id, uint64_t expected, Mask lanes,
              Mask predicates);
  void check_barriers();
  void warp_ended() { --running_; }

  Grid& grid() { return grid_; }
  const Grid& grid() const { return grid_; }
  Dim index() const { return index_; }
  char* shared() { return shared_.data(); }
  uint32_t shared_bytes() const { return static_cast<uint32_t>(shared_.size()); }
  bool shared_contains(uint64_t first, uint64_t bytes) const;
  const std::vector<std::unique_ptr<Warp>>& warps() const { return warps_; }
  const Warp* running() const { return turn_; }

 private:
  struct Barrier {
    std::vector<Mask> arrived;     // of every warp
    std::vector<Mask> predicates;  // of a reduction
    uint64_t expected = 0;         // threads; 0: all of the block
    BarrierOperand::Kind kind = BarrierOperand::Kind::kSync;
    bool is_in_use = false;
  };
  void complete(int id);
  bool is_complete(const Barrier& barrier) const;

  Grid& grid_;
  Dim index_;
  std::vector<char> shared_;
  std::vector<std::unique_ptr<Warp>> warps_;
  std::array<Barrier, 16> barriers_;
  int running_ = 0;
  const Warp* turn_ = nullptr;
};

struct Launch {
  Function* entry = nullptr;
  const Program* program = nullptr;
  Dim grid, block;
  uint32_t dynamic_shared = 0;
  std::vector<char> params;
};

class Grid {
 public:
  Grid(const Launch& launch, DeviceMemory& memory, const Limits& limits);

  // Run to the end. The report of the first fault, or one of status kSuccess.
  Report run();

  const Launch& launch() const { return launch_; }
  DeviceMemory& memory() { return memory_; }
  const Limits& limits() const { return limits_; }
  uint64_t random();
  // Memory has changed, or time was read: whoever waits may go on.
  void note_progress() { progress_ = true; }

 private:
  Report report(const Fault& fault, const Block& block) const;
  void run_blocks(Report& result);

  const Launch& launch_;
  DeviceMemory& memory_;
  const Limits& limits_;
  uint64_t resident_;
  bool progress_ = true;
  uint64_t random_state_;
};

// What %clock64 or, in nanoseconds, %globaltimer reads. Whoever reads it is not stuck.
uint64_t clock_now(Warp& warp, bool is_timer);

}  // namespace softcuda
