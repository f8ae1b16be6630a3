// How a warp executes: one split at a time, which divides at branches and comes together again.
#include <algorithm>

#include "../program/rows.h"
#include "builtins.h"
#include "machine.h"

namespace softcuda {
namespace {

constexpr int64_t kTurn = 20'000;  // instructions of one split while others of its warp wait

// Lanes for which a guard holds.
Mask guarded(const char* rows, const Instruction& i, Mask lanes) {
  if (i.guard == kNoRow) return lanes;
  Mask p;
  std::memcpy(&p, rows + i.guard, sizeof p);
  return lanes & (i.guard_negated ? ~p : p);
}

// A mask of lanes in words: "0-6, 9".
std::string lane_words(Mask lanes) {
  std::string out;
  for (int lane = 0; lane < kLanes; ++lane) {
    if (!has_lane(lanes, lane)) continue;
    const int first = lane;
    while (lane + 1 < kLanes && has_lane(lanes, lane + 1)) ++lane;
    out += (out.empty() ? "" : ", ") + std::to_string(first);
    if (lane != first) out += "-" + std::to_string(lane);
  }
  return out;
}

}  // namespace

Warp::Warp(Block& block, int index, Mask lanes)
    : block_(block), worker_(block.worker()), index_(index), live_(lanes) {
  const Launch& launch = block.grid().launch();
  const Function& entry = *launch.entry;
  local_bytes_ = entry.local_bytes + (entry.makes_calls ? block.grid().limits().stack_bytes : 0);
  if (block.grid().limits().checks.race) {
    order_ = std::make_unique<WarpOrder>(static_cast<uint32_t>(block.number()),
                                         static_cast<uint32_t>(index * kLanes));
  }
  Split first;
  first.lanes = lanes;
  first.frame = new_frame(entry, Ref<Frame>());
  for (size_t at = 0; at < first.frame->params.size(); at += std::max(entry.param_bytes, 1u)) {
    std::copy(launch.params.begin(), launch.params.end(),
              first.frame->params.begin() + static_cast<ptrdiff_t>(at));
  }
  splits_.push_back(first);
}

Warp::~Warp() = default;

Ref<Frame> Warp::new_frame(const Function& function, Ref<Frame> parent) {
  constexpr size_t kAlign = 64;
  constexpr char kPoison = '\x5A';
  Ref<Frame> frame(new Frame);
  frame->function = &function;
  frame->sites = worker_.sites(function);
  if (parent) frame->local_base = parent->local_base + parent->function->local_bytes;
  frame->parent = std::move(parent);
  if (frame->local_base + function.local_bytes > local_bytes_ || frame->local_base > local_bytes_) {
    throw Fault{
        Status::kIllegalAddress, "stack overflow", lowest_lane(running().lanes),
        "a thread has no more than " + std::to_string(local_bytes_) + " bytes of local memory"};
  }
  if (function.local_bytes != 0) {
    local_.resize(size_t{local_bytes_} * kLanes, kPoison);
    if (block_.grid().limits().checks.uninitialised) {
      local_written_.resize(local_.size(), 0);
      const Mask lanes = splits_.empty() ? kFullMask : running().lanes;
      for (int lane = 0; lane < kLanes; ++lane) {
        if (has_lane(lanes, lane))
          std::memset(local_written(lane) + frame->local_base, 0, function.local_bytes);
      }
    }
  }
  frame->storage.resize(function.frame_bytes + kAlign, kPoison);
  const uint64_t start = reinterpret_cast<uint64_t>(frame->storage.data());
  frame->rows = frame->storage.data() + (round_up(start, kAlign) - start);
  const bool is_common = function.has_common_params;
  frame->params_of_lane = is_common ? 0 : function.param_bytes;
  frame->params.assign(size_t{function.param_bytes} * (is_common ? 1 : kLanes), kPoison);
  for (const SpecialRegister& special : function.specials) {
    for (int lane = 0; lane < kLanes; ++lane) {
      const uint64_t value = special.value(*this, *frame, lane);
      const size_t bytes = special.is_wide ? 8 : 4;
      std::memcpy(frame->rows + special.row + bytes * static_cast<size_t>(lane), &value, bytes);
    }
  }
  if (function.written_begin != 0) {
    std::memset(frame->rows + function.written_begin, 0xFF,
                function.frame_bytes - function.written_begin);
  }
  for (const Row written : function.unwritten_at_entry) {
    frame->has_unwritten = true;
    std::memset(frame->rows + written, 0, sizeof(Mask));
  }
  return frame;
}

Dim Warp::thread_of(int lane) const {
  const Dim size = block_.grid().launch().block;
  return place_in(size, static_cast<uint64_t>(index_ * kLanes + lane));
}

const Instruction& Warp::here() const {
  const Split& split = splits_[static_cast<size_t>(current_)];
  return split.frame->function->code[split.pc];
}

void Warp::locate(int index, Report& report, int lane, const Instruction* at) const {
  const Split& split = splits_[static_cast<size_t>(index)];
  const Instruction& i = at != nullptr ? *at : split.frame->function->code[split.pc];
  report.function = split.frame->function->name;
  report.ptx_line = i.ptx_line;
  report.source_line = i.source.line;
  const ptx::SourceMap& sources = block_.grid().launch().program->sources;
  const auto file = sources.files.find(i.source.file);
  if (file != sources.files.end()) report.file = file->second;
  report.inlined = sources.inlining(i.source.frame);
  report.thread = thread_of(lane);
}

int Warp::stand_at_first() {
  current_ = 0;
  return lowest_lane(splits_[0].lanes);
}

std::string Warp::places() const {
  std::string out;
  for (const Split& s : splits_) {
    const Instruction& i = s.frame->function->code[s.pc];
    out += (out.empty() ? " at " : ", ") + source_words(*block_.grid().launch().program, i);
  }
  return out;
}

bool Warp::is_ready() const {
  return std::any_of(splits_.begin(), splits_.end(),
                     [](const Split& s) { return s.state == Split::State::kReady; });
}

Mask Warp::lanes_at_barrier(int id) const {
  Mask lanes = 0;
  for (const Split& s : splits_) {
    if (s.state == Split::State::kBarrier && s.barrier == id) lanes |= s.lanes;
  }
  return lanes;
}

// --- whose turn it is ----------------------------------------------------------------------------

bool Warp::choose() {
  const Schedule schedule = block_.grid().limits().schedule;
  if (schedule == Schedule::kLowestPc) merge_equal();
  if (splits_.size() == 1) {
    current_ = splits_[0].state == Split::State::kReady ? 0 : -1;
    return current_ == 0 || (release_parked() && choose());
  }
  std::vector<size_t> ready;
  for (size_t k = 0; k < splits_.size(); ++k) {
    if (splits_[k].state == Split::State::kReady) ready.push_back(k);
  }
  if (ready.empty()) {
    current_ = -1;
    return release_parked() && choose();
  }
  // A split whose turn has run out may be spinning for another of its warp: whatever the schedule,
  // the others come next.
  const auto after = std::upper_bound(ready.begin(), ready.end(), last_);
  size_t chosen = after == ready.end() ? ready[0] : *after;
  if (schedule == Schedule::kAdversarial) {
    chosen = ready[worker_.random() % ready.size()];
  } else if (schedule == Schedule::kLowestPc && turn_ > 0) {
    chosen = *std::min_element(ready.begin(), ready.end(), [this](size_t a, size_t b) {
      return splits_[a].pc < splits_[b].pc;
    });
  }
  current_ = static_cast<int>(chosen);
  return true;
}

// All that could go on waits at barriers: lanes that stand where ways meet need not wait there for
// these. (They may be on their way to the same barrier, or to the end.)
bool Warp::release_parked() {
  for (const Split& waiting : splits_) {
    for (Join* join = waiting.join.get(); join != nullptr; join = join->outer.get()) {
      if (join->arrived == 0) continue;
      Split split;
      split.lanes = join->arrived;
      split.frame = join->frame;
      split.join = join->outer;
      split.pc = join->pc;
      join->expected &= ~join->arrived;
      join->arrived = 0;
      splits_.push_back(split);
      return true;
    }
  }
  return false;
}

void Warp::merge_equal() {
  for (size_t a = 0; a < splits_.size(); ++a) {
    for (size_t b = splits_.size() - 1; b > a; --b) {
      const bool is_same = splits_[a].state == Split::State::kReady &&
                           splits_[b].state == Split::State::kReady &&
                           splits_[a].pc == splits_[b].pc && splits_[a].frame == splits_[b].frame;
      if (!is_same) continue;
      splits_[a].lanes |= splits_[b].lanes;
      splits_.erase(splits_.begin() + static_cast<ptrdiff_t>(b));
    }
  }
}

void Warp::run(int64_t& budget) {
  const Schedule schedule = block_.grid().limits().schedule;
  while (budget > 0 && live_ != 0 && choose()) {
    Split* split = &running();
    frame_ = split->frame.get();
    rows_ = frame_->rows;
    constants_ = frame_->function->constants.data();
    last_ = static_cast<size_t>(current_);
    const bool is_alone = splits_.size() == 1;
    turn_ = is_alone ? budget : std::min(budget, kTurn);
    if (schedule == Schedule::kAdversarial) {
      turn_ = static_cast<int64_t>(1 + worker_.random() % 64);
    }
    const int64_t executed = run_split(*split);
    budget -= executed;
    worker_.note_executed(executed);
  }
}

// Execute one split until its turn is over, it changes course, or it meets others.
int64_t Warp::run_split(Split& split) {
  const int64_t start = turn_;
  int64_t turn = turn_;
  const Instruction* code = frame_->function->code.data();
  Site* sites = frame_->sites;
  const Mask all = split.lanes;
  const bool meets = split.join && split.join->frame.get() == frame_;
  const uint32_t meet = meets ? split.join->pc : kNoJoin;
  uint32_t pc = split.pc;
  while (turn > 0) {
    const Instruction& i = code[pc];
    const Mask lanes = guarded(rows_, i, all);
    Count& count = sites[pc].count;
    ++count.warps;
    count.lanes += static_cast<uint64_t>(count_lanes(lanes));
    --turn;
    if (frame_->has_unwritten) {
      split.pc = pc;
      check_rows(i, all, lanes);
    }
    if (i.flow == Flow::kNext) {
      split.pc = pc;
      if (lanes != 0) i.run(*this, i, lanes);
      ++pc;
    } else if (i.flow == Flow::kBranch && (lanes == 0 || lanes == all)) {
      pc = lanes == 0 ? pc + 1 : i.target;
    } else {
      split.pc = pc;
      turn_ = turn;
      flow(i, lanes);
      return start - turn;
    }
    if (pc == meet) break;
  }
  turn_ = turn;
  advance(static_cast<size_t>(current_), pc);
  return start - turn;
}

// --- what was never written ----------------------------------------------------------------------

Mask Warp::written(Row row) const {
  if (!frame_->has_unwritten || !is_frame_row(row)) return kFullMask;
  return *in<Mask>(frame_->function->written_of_place[row / sizeof(Mask)]);
}

void Warp::mark_unwritten(Row row, Mask lanes) {
  frame_->has_unwritten = true;
  *out<Mask>(frame_->function->written_of_place[row / sizeof(Mask)]) &= ~lanes;
}

void Warp::use_unwritten(Mask lanes) {
  const Instruction* by = frame_->unwritten_by;
  const std::string what = by == nullptr
                               ? "a register is read that was never written"
                               : frame_->unwritten_words + "; what was read is used at " +
                                     source_words(*block_.grid().launch().program, here());
  const Fault fault{Status::kLaunchFailed, "uninitialised read", lowest_lane(lanes), what, by};
  if (!block_.grid().limits().checks.race) throw fault;
  worker_.suspect(fault, block_);
}

// Before an instruction of a frame that has unwritten rows: does it use one? What it writes is
// written then, or as unwritten as what it moves. (Loads and stores see to their data themselves.)
void Warp::check_rows(const Instruction& i, Mask all, Mask lanes) {
  Mask result = kFullMask;
  if (i.moves == Moves::kAll) result = written(i.a);
  if (i.moves == Moves::kSelected) {
    const Mask selects = predicate(i.c) ^ (i.immediate != 0 ? kFullMask : 0);
    result = (selects & written(i.a)) | (~selects & written(i.b));
  }
  const bool is_store =
      i.operand == OperandKind::kMemory && static_cast<const MemoryOperand*>(i.extra)->is_store;
  each_row(const_cast<Instruction&>(i), [&](Row& row, bool is_written) {
    Mask& written = *out<Mask>(function().written_of_place[row / sizeof(Mask)]);
    if (is_written) {
      written = (written & ~lanes) | (lanes & result);
      return;
    }
    const bool is_moved = i.moves != Moves::kNothing && (&row == &i.a || &row == &i.b);
    const bool is_own = &row == &i.a || &row == &i.b || &row == &i.c || &row == &i.c2;
    const Mask missing = (&row == &i.guard ? all : lanes) & ~written;
    if (missing == 0 || is_moved || (is_store && !is_own && &row != &i.guard)) return;
    use_unwritten(missing);
    written |= missing;
  });
}

// --- where it goes -------------------------------------------------------------------------------

void Warp::flow(const Instruction& i, Mask lanes) {
  if (lanes == 0) return advance(static_cast<size_t>(current_), running().pc + 1);
  switch (i.flow) {
    case Flow::kBranch: {
      const uint32_t next = running().pc + 1;
      ++site().count.divided;
      divide(lanes, i.target, i.join);
      return advance(static_cast<size_t>(current_), next);
    }
    case Flow::kBranchTable:
      return branch_table(i, lanes);
    case Flow::kCall:
      return call(i, lanes);
    case Flow::kReturn:
      return return_from(lanes);
    case Flow::kExit:
      return exit(lanes);
    case Flow::kBarrier:
      return barrier(i, lanes);
    case Flow::kWarpSync:
      return warp_sync(i, lanes);
    case Flow::kPause:
      worker_.note_progress();
      turn_ = 0;
      return advance(static_cast<size_t>(current_), running().pc + 1);
    case Flow::kTrap:
      throw Fault{Status::kLaunchFailed, "trap", lowest_lane(lanes), "the kernel executed trap"};
    case Flow::kNext:
      break;
  }
}

// From here on, both ways of a branch wait for each other at `pc`.
void Warp::add_join(Split& split, uint32_t pc) {
  if (block_.grid().limits().schedule != Schedule::kPostDominator || pc == kNoJoin) return;
  const bool is_there = split.join && split.join->frame == split.frame && split.join->pc == pc;
  if (is_there) return;
  Ref<Join> join(new Join);
  join->outer = split.join;
  join->frame = split.frame;
  join->pc = pc;
  join->expected = split.lanes;
  split.join = join;
}

// Some lanes of the running split become one of their own, at `pc`; the others keep their place.
void Warp::divide(Mask lanes, uint32_t pc, uint32_t join_pc) {
  add_join(running(), join_pc);
  Split other = running();
  other.lanes = lanes;
  running().lanes &= ~lanes;
  splits_.push_back(other);
  advance(splits_.size() - 1, pc);
}

// Let a split go on at `pc`. Where others are awaited it parks, and the last to come wakes all.
void Warp::advance(size_t index, uint32_t pc) {
  Split& split = splits_[index];
  split.pc = pc;
  const Ref<Join> join = split.join;
  if (!join || pc != join->pc || split.frame != join->frame) return;
  join->arrived |= split.lanes;
  remove(index);
  finish(join);
}

void Warp::remove(size_t index) {
  splits_.erase(splits_.begin() + static_cast<ptrdiff_t>(index));
  if (current_ == static_cast<int>(index)) {
    current_ = -1;
  } else if (current_ > static_cast<int>(index)) {
    --current_;
  }
}

// If all that a join expects have arrived, they go on as one split.
void Warp::finish(Ref<Join> join) {
  while (join && join->expected == join->arrived) {
    if (join->expected != 0) {
      Split split;
      split.lanes = join->expected;
      split.frame = join->frame;
      split.join = join->outer;
      splits_.push_back(split);
      return advance(splits_.size() - 1, join->pc);
    }
    join = join->outer;
  }
}

void Warp::branch_table(const Instruction& i, Mask lanes) {
  const auto& table = *static_cast<const std::vector<uint32_t>*>(i.extra);
  const uint32_t* index = in<uint32_t>(i.a);
  for (int lane = 0; lane < kLanes; ++lane) {
    if (!has_lane(lanes, lane) || index[lane] < table.size()) continue;
    throw Fault{Status::kIllegalInstruction, "branch out of range", lane,
                "brx.idx has index " + std::to_string(index[lane]) + " of " +
                    std::to_string(table.size()) + " targets"};
  }
  const uint32_t target = table[index[lowest_lane(lanes)]];
  Mask same = 0;
  for (int lane = 0; lane < kLanes; ++lane) {
    if (has_lane(lanes, lane) && table[index[lane]] == target) same |= Mask{1} << lane;
  }
  // The others come back to this instruction as a split of their own.
  const Mask others = running().lanes & ~same;
  if (others != 0) {
    ++site().count.divided;
    divide(others, running().pc, i.join);
  }
  advance(static_cast<size_t>(current_), target);
}

void Warp::call(const Instruction& i, Mask lanes) {
  const auto& operand = *static_cast<const CallOperand*>(i.extra);
  const uint32_t next = running().pc + 1;
  Mask callers = lanes;
  const Function* callee = operand.callee;
  if (operand.target != kNoRow) {
    const uint64_t* address = in<uint64_t>(operand.target);
    const uint64_t first = address[lowest_lane(lanes)];
    callee = find_callee(*this, first, lowest_lane(lanes));
    for (int lane = 0; lane < kLanes; ++lane) {
      if (has_lane(lanes, lane) && address[lane] != first) callers &= ~(Mask{1} << lane);
    }
  }
  if (callee == nullptr) {
    call_builtin(*this, operand, lanes);
    return advance(static_cast<size_t>(current_), next);
  }
  if (callers != running().lanes) divide(running().lanes & ~callers, running().pc, next);
  add_join(running(), next);
  Split& split = running();
  Ref<Frame> frame = new_frame(*callee, split.frame);
  frame->call = &operand;
  frame->return_pc = next;
  copy_params(*split.frame, operand.arguments, *frame, callee->parameters, callers);
  split.frame = frame;
  split.pc = 0;
}

void Warp::return_from(Mask lanes) {
  if (!running().frame->parent) return exit(lanes);
  if (lanes != running().lanes) {
    const uint32_t next = running().pc + 1;
    divide(running().lanes & ~lanes, next, kNoJoin);
  }
  Split& split = running();
  const Ref<Frame> frame = split.frame;
  copy_params(*frame, frame->function->results, *frame->parent, frame->call->results, lanes);
  split.frame = frame->parent;
  advance(static_cast<size_t>(current_), frame->return_pc);
}

void Warp::exit(Mask lanes) {
  live_ &= ~lanes;
  Split& split = running();
  split.lanes &= ~lanes;
  const Ref<Join> join = split.join;
  if (split.lanes == 0) {
    remove(static_cast<size_t>(current_));
  } else {
    advance(static_cast<size_t>(current_), split.pc + 1);
  }
  for (Join* j = join.get(); j != nullptr; j = j->outer.get()) j->expected &= ~lanes;
  finish(join);
  block_.note_exit(*this, lanes);
  worker_.note_progress();
}

// --- waiting for each other ----------------------------------------------------------------------

void Warp::barrier(const Instruction& i, Mask lanes) {
  const auto& operand = *static_cast<const BarrierOperand*>(i.extra);
  using Kind = BarrierOperand::Kind;
  if (operand.kind == Kind::kClusterArrive || operand.kind == Kind::kClusterWait) {
    return cluster_barrier(operand, lanes);
  }
  const int first = lowest_lane(lanes);
  const uint32_t id = operand.id == kNoRow ? 0 : in<uint32_t>(operand.id)[first];
  const uint32_t expected = operand.count == kNoRow ? 0 : in<uint32_t>(operand.count)[first];
  if (id >= 16 || expected % kLanes != 0) {
    throw Fault{Status::kIllegalInstruction, "bad barrier", first,
                "barrier " + std::to_string(id) + " for " + std::to_string(expected) +
                    " threads; expected one of 16, for a multiple of 32"};
  }
  if (operand.is_aligned && block_.grid().limits().checks.barrier) {
    for (const Split& s : splits_) {
      if (s.state != Split::State::kBarrier || s.pc == running().pc) continue;
      const Instruction& other = s.frame->function->code[s.pc];
      throw Fault{Status::kLaunchFailed, "barrier divergence", first,
                  "other lanes of the warp wait at another barrier, at " +
                      source_words(*block_.grid().launch().program, other)};
    }
  }
  Mask predicates = 0;
  if (operand.predicate != kNoRow) {
    predicates = predicate(operand.predicate) ^ (operand.is_negated ? kFullMask : 0);
  }
  if (lanes != running().lanes) {
    divide(running().lanes & ~lanes, running().pc + 1, kNoJoin);
  }
  worker_.note_progress();
  turn_ = 0;
  const bool waits = operand.kind != Kind::kArrive;
  if (waits) {
    running().state = Split::State::kBarrier;
    running().barrier = static_cast<int>(id);
  } else {
    advance(static_cast<size_t>(current_), running().pc + 1);
  }
  block_.arrive(*this, operand, static_cast<int>(id), expected, lanes, predicates & lanes);
}

// barrier.cluster: arriving and waiting are two instructions.
void Warp::cluster_barrier(const BarrierOperand& operand, Mask lanes) {
  const bool arrives = operand.kind == BarrierOperand::Kind::kClusterArrive;
  const Mask wrong = arrives ? lanes & cluster_arrived_ : lanes & ~cluster_arrived_;
  if (wrong != 0) {
    throw Fault{Status::kIllegalInstruction, "bad barrier", lowest_lane(wrong),
                arrives ? "a thread arrives twice at the cluster's barrier without a wait"
                        : "a thread waits at the cluster's barrier without having arrived"};
  }
  if (lanes != running().lanes) divide(running().lanes & ~lanes, running().pc + 1, kNoJoin);
  worker_.note_progress();
  turn_ = 0;
  Cluster& cluster = block_.cluster();
  cluster_arrived_ ^= lanes;
  if (arrives) {
    advance(static_cast<size_t>(current_), running().pc + 1);
    cluster.arrive(*this, lanes, !operand.is_relaxed);
  } else if (cluster.has_passed(*this, lanes)) {
    if (order_ != nullptr && cluster.past()) order_->take(lanes, cluster.past());
    advance(static_cast<size_t>(current_), running().pc + 1);
  } else {
    running().state = Split::State::kBarrier;
    running().barrier = kClusterBarrier;
  }
}

void Warp::release_barrier(int id, bool has_result, uint32_t result) {
  for (size_t k = 0; k < splits_.size();) {
    Split& split = splits_[k];
    if (split.state != Split::State::kBarrier || split.barrier != id) {
      ++k;
      continue;
    }
    const Instruction& i = split.frame->function->code[split.pc];
    if (has_result) {
      const auto& operand = *static_cast<const BarrierOperand*>(i.extra);
      char* row = split.frame->rows + i.d;
      for (int lane = 0; lane < kLanes; ++lane) {
        if (!has_lane(split.lanes, lane)) continue;
        if (operand.kind == BarrierOperand::Kind::kReducePopc) {
          std::memcpy(row + 4 * lane, &result, sizeof result);
        } else {
          Mask p;
          std::memcpy(&p, row, sizeof p);
          p = result != 0 ? p | (Mask{1} << lane) : p & ~(Mask{1} << lane);
          std::memcpy(row, &p, sizeof p);
        }
      }
    }
    split.state = Split::State::kReady;
    advance(k, split.pc + 1);
    k = 0;
  }
}

// Lanes that the masks of `who` name and that are not present. Throws Fault for a mask that cannot
// be: one that does not name its own lane, or that names one that has ended.
Mask Warp::missing_members(const uint32_t* members, Mask who, Mask present) const {
  Mask missing = 0;
  for (Mask left = who; left != 0; left &= left - 1) {
    const int lane = lowest_lane(left);
    if (!has_lane(members[lane], lane)) {
      throw Fault{Status::kLaunchFailed, "missing lanes", lane,
                  "a lane executes a warp operation whose mask does not name it"};
    }
    if ((members[lane] & ~live_) != 0) {
      throw Fault{Status::kLaunchFailed, "missing lanes", lane,
                  "the mask of a warp operation names a lane that has exited"};
    }
    missing |= members[lane] & ~present;
  }
  return missing;
}

// Execute a warp operation once for the lanes of each mask.
void Warp::run_by_mask(const Instruction& i, const uint32_t* members, Mask lanes) {
  for (Mask left = lanes; left != 0;) {
    const uint32_t mask = members[lowest_lane(left)];
    Mask same = 0;
    for (int lane = 0; lane < kLanes; ++lane) {
      if (has_lane(left, lane) && members[lane] == mask) same |= Mask{1} << lane;
    }
    i.run(*this, i, same);
    left &= ~same;
  }
}

void Warp::warp_sync(const Instruction& i, Mask lanes) {
  const uint32_t pc = running().pc;
  if (!block_.grid().limits().checks.lanes) {
    i.run(*this, i, lanes);
    return advance(static_cast<size_t>(current_), pc + 1);
  }
  const uint32_t* members = in<uint32_t>(i.c2);
  auto is_here = [&](const Split& s) {
    return s.state == Split::State::kWarpSync && s.pc == pc && s.frame == running().frame;
  };
  Mask present = lanes;
  for (const Split& s : splits_) {
    if (is_here(s)) present |= guarded(rows_, i, s.lanes);
  }
  const bool all_can = missing_members(members, present, present) == 0;
  if (!all_can && missing_members(members, lanes, lanes) != 0) {
    running().state = Split::State::kWarpSync;
    turn_ = 0;
    return;
  }
  run_by_mask(i, members, all_can ? present : lanes);
  if (all_can) {
    for (Split& s : splits_) {
      if (is_here(s)) s.state = Split::State::kWarpPassed;
    }
    for (size_t k = 0; k < splits_.size();) {
      if (splits_[k].state != Split::State::kWarpPassed) {
        ++k;
        continue;
      }
      splits_[k].state = Split::State::kReady;
      advance(k, pc + 1);
      k = 0;
    }
  }
  if (current_ >= 0) advance(static_cast<size_t>(current_), pc + 1);
}

void Warp::check_stuck() {
  for (size_t k = 0; k < splits_.size(); ++k) {
    const Split& s = splits_[k];
    const Instruction& i = s.frame->function->code[s.pc];
    const int lane = lowest_lane(s.lanes);
    if (s.state == Split::State::kWarpSync) {
      current_ = static_cast<int>(k);
      throw Fault{Status::kLaunchFailed, "missing lanes", lane,
                  "lanes that the mask of a warp operation names do not come"};
    }
    if (s.state != Split::State::kBarrier) continue;
    const bool is_aligned = static_cast<const BarrierOperand*>(i.extra)->is_aligned;
    if (is_aligned && block_.grid().limits().checks.barrier &&
        lanes_at_barrier(s.barrier) != live_) {
      current_ = static_cast<int>(k);
      throw Fault{Status::kLaunchFailed, "barrier divergence", lane,
                  "only lanes " + lane_words(lanes_at_barrier(s.barrier)) + " of the warp's " +
                      lane_words(live_) + " came to the barrier"};
    }
  }
}

}  // namespace softcuda
