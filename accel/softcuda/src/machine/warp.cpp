// How a warp executes: one split at a time, which divides at branches and comes together again.
#include <algorithm>

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

}  // namespace

Warp::Warp(Block& block, int index, Mask lanes) : block_(block), index_(index), live_(lanes) {
  const Launch& launch = block.grid().launch();
  local_bytes_ = launch.entry->local_bytes + block.grid().limits().stack_bytes;
  Split first;
  first.lanes = lanes;
  first.frame = new_frame(*launch.entry, nullptr);
  for (int lane = 0; lane < kLanes; ++lane) {
    std::copy(
        launch.params.begin(), launch.params.end(),
        first.frame->params.begin() + static_cast<ptrdiff_t>(lane) * launch.entry->param_bytes);
  }
  splits_.push_back(first);
}

std::shared_ptr<Frame> Warp::new_frame(const Function& function, std::shared_ptr<Frame> parent) {
  constexpr size_t kAlign = 64;
  constexpr char kPoison = '\x5A';
  auto frame = std::make_shared<Frame>();
  frame->function = &function;
  if (parent != nullptr) {
    frame->local_base = parent->local_base + parent->function->local_bytes;
  }
  frame->parent = std::move(parent);
  if (frame->local_base + function.local_bytes > local_bytes_ || frame->local_base > local_bytes_) {
    throw Fault{
        Status::kIllegalAddress, "stack overflow", lowest_lane(running().lanes),
        "a thread has no more than " + std::to_string(local_bytes_) + " bytes of local memory"};
  }
  if (local_.empty() && function.local_bytes != 0) {
    local_.assign(size_t{local_bytes_} * kLanes, kPoison);
  }
  frame->storage.resize(function.frame_bytes + kAlign, kPoison);
  const uint64_t start = reinterpret_cast<uint64_t>(frame->storage.data());
  frame->rows = frame->storage.data() + (round_up(start, kAlign) - start);
  frame->params.assign(size_t{function.param_bytes} * kLanes, kPoison);
  fill_special_registers(*this, *frame);
  return frame;
}

Dim Warp::thread_of(int lane) const {
  const Dim size = block_.grid().launch().block;
  const uint32_t linear = static_cast<uint32_t>(index_ * kLanes + lane);
  return {linear % size.x, linear / size.x % size.y, linear / size.x / size.y};
}

const Instruction& Warp::here() const {
  const Split& split = splits_[static_cast<size_t>(current_)];
  return split.frame->function->code[split.pc];
}

Count& Warp::count() { return const_cast<Function*>(frame_->function)->counts[running().pc]; }

void Warp::locate(int index, Report& report, int lane) const {
  const Split& split = splits_[static_cast<size_t>(index)];
  const Instruction& i = split.frame->function->code[split.pc];
  report.function = split.frame->function->name;
  report.ptx_line = i.ptx_line;
  report.source_line = i.source.line;
  const ptx::SourceMap& sources = block_.grid().launch().program->sources;
  const auto file = sources.files.find(i.source.file);
  if (file != sources.files.end()) report.file = file->second;
  report.inlined = sources.inlining(i.source.frame);
  report.thread = thread_of(lane);
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
    return current_ == 0;
  }
  std::vector<size_t> ready;
  for (size_t k = 0; k < splits_.size(); ++k) {
    if (splits_[k].state == Split::State::kReady) ready.push_back(k);
  }
  if (ready.empty()) {
    current_ = -1;
    return false;
  }
  // A split whose turn has run out may be spinning for another of its warp: whatever the schedule,
  // the others come next.
  const auto after = std::upper_bound(ready.begin(), ready.end(), last_);
  size_t chosen = after == ready.end() ? ready[0] : *after;
  if (schedule == Schedule::kAdversarial) {
    chosen = ready[block_.grid().random() % ready.size()];
  } else if (schedule == Schedule::kLowestPc && turn_ > 0) {
    chosen = *std::min_element(ready.begin(), ready.end(), [this](size_t a, size_t b) {
      return splits_[a].pc < splits_[b].pc;
    });
  }
  current_ = static_cast<int>(chosen);
  return true;
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
      turn_ = static_cast<int64_t>(1 + block_.grid().random() % 64);
    }
    budget -= run_split(*split);
  }
}

// Execute one split until its turn is over, it changes course, or it meets others.
int64_t Warp::run_split(Split& split) {
  const int64_t start = turn_;
  int64_t turn = turn_;
  const Instruction* code = frame_->function->code.data();
  Count* counts = const_cast<Function*>(frame_->function)->counts.data();
  const Mask all = split.lanes;
  const bool meets = split.join != nullptr && split.join->frame.get() == frame_;
  const uint32_t meet = meets ? split.join->pc : kNoJoin;
  uint32_t pc = split.pc;
  while (turn > 0) {
    const Instruction& i = code[pc];
    const Mask lanes = guarded(rows_, i, all);
    ++counts[pc].warps;
    counts[pc].lanes += static_cast<uint64_t>(count_lanes(lanes));
    --turn;
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

// --- where it goes -------------------------------------------------------------------------------

void Warp::flow(const Instruction& i, Mask lanes) {
  if (lanes == 0) return advance(static_cast<size_t>(current_), running().pc + 1);
  switch (i.flow) {
    case Flow::kBranch: {
      const uint32_t next = running().pc + 1;
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
      block_.grid().note_progress();
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
  const bool is_there =
      split.join != nullptr && split.join->frame == split.frame && split.join->pc == pc;
  if (is_there) return;
  auto join = std::make_shared<Join>();
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
  const std::shared_ptr<Join> join = split.join;
  if (join == nullptr || pc != join->pc || split.frame != join->frame) return;
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
void Warp::finish(std::shared_ptr<Join> join) {
  while (join != nullptr && join->expected == join->arrived) {
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
  if (others != 0) divide(others, running().pc, i.join);
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
  auto frame = new_frame(*callee, split.frame);
  frame->call = &operand;
  frame->return_pc = next;
  copy_params(*split.frame, operand.arguments, *frame, callee->parameters, callers);
  split.frame = frame;
  split.pc = 0;
}

void Warp::return_from(Mask lanes) {
  if (running().frame->parent == nullptr) return exit(lanes);
  if (lanes != running().lanes) {
    const uint32_t next = running().pc + 1;
    divide(running().lanes & ~lanes, next, kNoJoin);
  }
  Split& split = running();
  const std::shared_ptr<Frame> frame = split.frame;
  copy_params(*frame, frame->function->results, *frame->parent, frame->call->results, lanes);
  split.frame = frame->parent;
  advance(static_cast<size_t>(current_), frame->return_pc);
}

void Warp::exit(Mask lanes) {
  live_ &= ~lanes;
  Split& split = running();
  split.lanes &= ~lanes;
  const std::shared_ptr<Join> join = split.join;
  if (split.lanes == 0) {
    remove(static_cast<size_t>(current_));
  } else {
    advance(static_cast<size_t>(current_), split.pc + 1);
  }
  for (Join* j = join.get(); j != nullptr; j = j->outer.get()) j->expected &= ~lanes;
  finish(join);
  if (live_ == 0) block_.warp_ended();
  block_.check_barriers();
  block_.grid().note_progress();
}

// --- waiting for each other ----------------------------------------------------------------------

void Warp::barrier(const Instruction& i, Mask lanes) {
  const auto& operand = *static_cast<const BarrierOperand*>(i.extra);
  const int first = lowest_lane(lanes);
  const uint32_t id = operand.id == kNoRow ? 0 : in<uint32_t>(operand.id)[first];
  const uint32_t expected = operand.count == kNoRow ? 0 : in<uint32_t>(operand.count)[first];
  if (id >= 16 || expected % kLanes != 0) {
    throw Fault{Status::kIllegalInstruction, "bad barrier", first,
                "barrier " + std::to_string(id) + " for " + std::to_string(expected) +
                    " threads; expected one of 16, for a multiple of 32"};
  }
  if (operand.is_aligned) {
    for (const Split& s : splits_) {
      if (s.state == Split::State::kBarrier && s.pc != running().pc) {
        throw Fault{Status::kLaunchFailed, "barrier divergence", first,
                    "lanes of one warp wait at two barriers, " + std::to_string(s.pc)};
      }
    }
  }
  Mask predicates = 0;
  if (operand.predicate != kNoRow) {
    predicates = predicate(operand.predicate) ^ (operand.is_negated ? kFullMask : 0);
  }
  if (lanes != running().lanes) {
    divide(running().lanes & ~lanes, running().pc + 1, kNoJoin);
  }
  block_.grid().note_progress();
  turn_ = 0;
  const bool waits = operand.kind != BarrierOperand::Kind::kArrive;
  if (waits) {
    running().state = Split::State::kBarrier;
    running().barrier = static_cast<int>(id);
  } else {
    advance(static_cast<size_t>(current_), running().pc + 1);
  }
  block_.arrive(*this, operand, static_cast<int>(id), expected, lanes, predicates & lanes);
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

void Warp::warp_sync(const Instruction& i, Mask lanes) {
  const uint32_t* members = in<uint32_t>(i.c2);
  const uint32_t pc = running().pc;
  auto is_here = [&](const Split& s) {
    return s.state == Split::State::kWarpSync && s.pc == pc && s.frame == running().frame;
  };
  Mask present = lanes;
  for (const Split& s : splits_) {
    if (is_here(s)) present |= guarded(rows_, i, s.lanes);
  }
  auto misses = [&](Mask who) {
    Mask missing = 0;
    for (int lane = 0; lane < kLanes; ++lane) {
      if (!has_lane(who, lane)) continue;
      if (!has_lane(members[lane], lane) || (members[lane] & ~live_) != 0) {
        const bool is_own = !has_lane(members[lane], lane);
        throw Fault{Status::kLaunchFailed, "missing lanes", lane,
                    is_own ? "a lane executes a warp operation whose mask does not name it"
                           : "the mask of a warp operation names a lane that has exited"};
      }
      missing |= members[lane] & ~present;
    }
    return missing;
  };
  const bool all_can = misses(present) == 0;
  if (!all_can) {
    present = lanes;
    if (misses(lanes) != 0) {
      running().state = Split::State::kWarpSync;
      turn_ = 0;
      return;
    }
  }
  for (Mask left = present; left != 0;) {
    const uint32_t mask = members[lowest_lane(left)];
    Mask same = 0;
    for (int lane = 0; lane < kLanes; ++lane) {
      if (has_lane(left, lane) && members[lane] == mask) same |= Mask{1} << lane;
    }
    i.run(*this, i, same);
    left &= ~same;
  }
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

void Warp::check_stuck() const {
  for (size_t k = 0; k < splits_.size(); ++k) {
    const Split& s = splits_[k];
    const Instruction& i = s.frame->function->code[s.pc];
    const int lane = lowest_lane(s.lanes);
    if (s.state == Split::State::kWarpSync) {
      const_cast<Warp*>(this)->current_ = static_cast<int>(k);
      throw Fault{Status::kLaunchFailed, "missing lanes", lane,
                  "lanes that the mask of a warp operation names do not come"};
    }
    if (s.state != Split::State::kBarrier) continue;
    const bool is_aligned = static_cast<const BarrierOperand*>(i.extra)->is_aligned;
    if (is_aligned && lanes_at_barrier(s.barrier) != live_) {
      const_cast<Warp*>(this)->current_ = static_cast<int>(k);
      throw Fault{Status::kLaunchFailed, "barrier divergence", lane,
                  "only lanes " + std::to_string(lanes_at_barrier(s.barrier)) +
                      " (a mask) of the warp came to the barrier"};
    }
  }
}

}  // namespace softcuda
