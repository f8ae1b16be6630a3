// Where the splits of a warp go: they divide at branches, call and return, end, and come together
// again.
#include <algorithm>

#include "builtins.h"
#include "machine.h"

namespace softcuda {

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
      turn_ = 0;
      has_paused_ = true;
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
  complete_warp_syncs();
  block_.note_exit(*this, lanes);
  worker_.note_progress();
}

}  // namespace softcuda
