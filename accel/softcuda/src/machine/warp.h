// A warp as it runs: its frames, and the parts into which it has diverged.
#pragma once

#include <memory>
#include <vector>

#include "../program/instruction.h"
#include "launch.h"

namespace softcuda {

class Block;
class Worker;
class WarpOrder;

// The registers and .param variables of one call of a function, for all lanes in it.
struct Frame : Counted {
  Ref<Frame> parent;
  const Function* function = nullptr;
  const CallOperand* call = nullptr;
  uint32_t return_pc = 0;  // in the parent's function
  uint32_t local_base = 0;
  char* rows = nullptr;
  Site* sites = nullptr;
  std::vector<char> storage;
  std::vector<char> params;     // lane by lane, or the same for all lanes
  uint32_t params_of_lane = 0;  // bytes from one lane's to the next
  // Some lane of some row holds what was never written: this instruction has read it, as the words
  // say; or nothing has.
  bool has_unwritten = false;
  const Instruction* unwritten_by = nullptr;
  std::string unwritten_words;
};

// Lanes that wait where two ways meet, until all that are expected have come.
struct Join : Counted {
  Ref<Join> outer;
  Ref<Frame> frame;
  uint32_t pc = 0;
  Mask expected = 0, arrived = 0;
};

// Lanes of a warp that execute together.
struct Split {
  enum class State { kReady, kBarrier, kWarpSync };
  Mask lanes = 0;
  uint32_t pc = 0;
  Ref<Frame> frame;
  Ref<Join> join;
  State state = State::kReady;
  int barrier = 0;
};

// Of the threads that came to a barrier: how many, and how many with a predicate that holds.
struct BarrierTally {
  uint32_t all = 0, set = 0;
};

// The lanes for which an instruction's guard holds.
inline Mask guarded(const char* rows, const Instruction& i, Mask lanes) {
  if (i.guard == kNoRow) return lanes;
  Mask p;
  std::memcpy(&p, rows + i.guard, sizeof p);
  return lanes & (i.guard_negated ? ~p : p);
}

class Warp {
 public:
  Warp(Block& block, int index, Mask lanes);
  ~Warp();
  Warp(const Warp&) = delete;
  Warp& operator=(const Warp&) = delete;

  // Execute until `budget` is used up or no split can go on.
  void run(int64_t& budget);
  bool is_done() const { return live_ == 0; }
  bool is_ready() const;
  // Whether its last turn has run out and changed no memory.
  bool is_spinning() const { return is_spinning_; }
  Mask lanes_at_barrier(int id) const;
  // Let splits that wait at a barrier go on; results of a reduction are written for them.
  void release_barrier(int id, const BarrierTally& tally);
  // If lanes wait for others that cannot come: the fault that this is.
  void check_stuck();
  int stand_at_first();
  // Where its splits are, in words.
  std::string places() const;

  // --- for handlers ---

  template <class T>
  T* out(Row row) {
    return reinterpret_cast<T*>(rows_ + row);
  }
  template <class T>
  const T* in(Row row) const {
    const char* base = is_frame_row(row) ? rows_ : constants_;
    return reinterpret_cast<const T*>(base + (row & ~kConstantRow));
  }
  Mask predicate(Row row) const { return *in<Mask>(row); }
  void set_predicate(Row row, Mask lanes, Mask values) {
    Mask& p = *out<Mask>(row);
    p = (p & ~lanes) | (values & lanes);
  }
  Frame& frame() { return *frame_; }
  // .param variables of the running frame.
  char* params(int lane) {
    return frame_->params.data() + size_t{frame_->params_of_lane} * static_cast<uint32_t>(lane);
  }
  char* local(int lane) {
    return local_.data() + size_t{local_bytes_} * static_cast<uint32_t>(lane);
  }
  // A byte for each of local(): whether it was written. Empty where nobody asks.
  uint8_t* local_written(int lane) {
    return local_written_.data() + size_t{local_bytes_} * static_cast<uint32_t>(lane);
  }
  uint32_t local_bytes() const { return local_bytes_; }
  // Where the variables of the running frame end.
  uint32_t local_end() const { return frame_->local_base + frame_->function->variable_bytes; }
  Mask split_lanes() const { return splits_[static_cast<size_t>(current_)].lanes; }
  Mask live() const { return live_; }
  // Lanes that have ended; not those that the block never had.
  Mask ended() const { return born_ & ~live_; }
  Block& block() { return block_; }
  const Block& block() const { return block_; }
  Worker& worker() { return worker_; }
  int index() const { return index_; }
  Mask carry = 0;  // of add.cc and its like

  // Where the split that runs is.
  const Instruction& here() const;
  Site& site() { return frame_->sites[running().pc]; }
  const Function& function() const { return *frame_->function; }
  Dim thread_of(int lane) const;
  void locate(int split, Report& report, int lane, const Instruction* at) const;
  int current() const { return current_; }
  // The lanes of a row of the frame that have been written; all where nobody asks.
  Mask written(Row row) const;
  // Lanes of a row hold what was never written.
  void mark_unwritten(Row row, Mask lanes);
  // Lanes use what was never written: throws Fault, or remembers it where races are looked for too,
  // since this may be half of one: the write is still to come.
  void use_unwritten(Mask lanes);
  // What its lanes know of the others' past; only where races are looked for.
  WarpOrder* order() { return order_.get(); }

 private:
  bool choose();
  int64_t run_split(Split& split);
  void check_rows(const Instruction& i, Mask all, Mask lanes);
  void flow(const Instruction& i, Mask lanes);
  void branch_table(const Instruction& i, Mask lanes);
  void call(const Instruction& i, Mask lanes);
  void return_from(Mask lanes);
  void exit(Mask lanes);
  void barrier(const Instruction& i, Mask lanes);
  void reduce(const Split& split, const BarrierTally& tally);
  void cluster_barrier(const BarrierOperand& operand, Mask lanes);
  void warp_sync(const Instruction& i, Mask lanes);
  void complete_warp_syncs();
  bool complete_warp_sync(size_t split);
  [[noreturn]] void name_ended(Mask mask, int lane) const;
  void run_together(const std::vector<Mask>& groups, Mask lanes);
  void pass(Mask lanes);
  void stand_at(size_t split);
  void add_join(Split& split, uint32_t pc);
  void divide(Mask lanes, uint32_t pc, uint32_t join_pc);
  void advance(size_t split, uint32_t pc);
  void remove(size_t split);
  void finish(Ref<Join> join);
  Ref<Frame> new_frame(const Function& function, Ref<Frame> parent);
  void merge_equal();
  bool release_parked();
  bool has_parked() const;
  Split& running() { return splits_[static_cast<size_t>(current_)]; }

  Block& block_;
  Worker& worker_;
  int index_;
  const Mask born_;
  Mask live_;
  std::vector<Split> splits_;
  int current_ = -1;
  Frame* frame_ = nullptr;  // of the split that runs, as are rows and constants
  char* rows_ = nullptr;
  const char* constants_ = nullptr;
  std::vector<char> local_;
  std::vector<uint8_t> local_written_;
  uint32_t local_bytes_ = 0;
  int64_t turn_ = 0;
  bool has_paused_ = false;  // by nanosleep: the other warps come first
  size_t last_ = 0;          // the split that ran before
  uint64_t changes_seen_ = 0;
  int64_t idle_ = 0;  // instructions since memory has changed
  bool is_spinning_ = false;
  Mask cluster_arrived_ = 0;  // lanes that have not waited since
  std::unique_ptr<WarpOrder> order_;
};

}  // namespace softcuda
