// Where the lanes of a warp wait for each other: barriers, and operations of several lanes.
#include "machine.h"

namespace softcuda {
namespace {

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
