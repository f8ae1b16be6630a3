// Where the lanes of a warp wait for each other: barriers, and operations of several lanes.
#include "../program/rows.h"
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
  block_.arrive(*this, static_cast<int>(id), expected, lanes, predicates & lanes);
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

// What a split that waited at a reduction is given. Others may have come to the same barrier by an
// instruction that has no result.
void Warp::reduce(const Split& split, const BarrierTally& tally) {
  using Kind = BarrierOperand::Kind;
  const Instruction& i = split.frame->function->code[split.pc];
  const Kind kind = static_cast<const BarrierOperand*>(i.extra)->kind;
  char* row = split.frame->rows + i.d;
  if (kind == Kind::kReducePopc) {
    for (int lane = 0; lane < kLanes; ++lane) {
      if (has_lane(split.lanes, lane)) std::memcpy(row + 4 * lane, &tally.set, sizeof tally.set);
    }
  } else if (kind == Kind::kReduceAnd || kind == Kind::kReduceOr) {
    const bool result = kind == Kind::kReduceAnd ? tally.set == tally.all : tally.set != 0;
    Mask p;
    std::memcpy(&p, row, sizeof p);
    p = result ? p | split.lanes : p & ~split.lanes;
    std::memcpy(row, &p, sizeof p);
  }
}

void Warp::release_barrier(int id, const BarrierTally& tally) {
  for (size_t k = 0; k < splits_.size();) {
    Split& split = splits_[k];
    if (split.state != Split::State::kBarrier || split.barrier != id) {
      ++k;
      continue;
    }
    reduce(split, tally);
    split.state = Split::State::kReady;
    advance(k, split.pc + 1);
    k = 0;
  }
}

// --- operations of several lanes -----------------------------------------------------------------

// Lanes that have come to an operation wait for the others that their masks name, wherever these
// are on their way: in another split, in another call of the same function. That they end instead
// is an error; that the block never had them is not.
void Warp::warp_sync(const Instruction& i, Mask lanes) {
  const uint32_t pc = running().pc;
  const Mask* members = in<Mask>(i.c2);
  const Mask first = members[lowest_lane(lanes)];
  Mask different = 0, unnamed = 0;
  for (int lane = 0; lane < kLanes; ++lane) {
    different |= static_cast<Mask>(members[lane] != first) << lane;
    unnamed |= static_cast<Mask>(!has_lane(members[lane], lane)) << lane;
  }
  const bool is_checked = block_.grid().limits().checks.lanes;
  if (is_checked && (unnamed & lanes) != 0) {
    throw Fault{Status::kLaunchFailed, "missing lanes", lowest_lane(unnamed & lanes),
                "a lane executes a warp operation whose mask does not name it"};
  }
  for (Mask left = is_checked && ended() != 0 ? lanes : 0; left != 0; left &= left - 1) {
    const int lane = lowest_lane(left);
    if ((members[lane] & ended()) != 0) name_ended(members[lane], lane);
  }
  // All are here already, as they nearly always are; or nobody cares who is missing.
  if (!is_checked || ((different & lanes) == 0 && (first & live_ & ~lanes) == 0)) {
    i.run(*this, i, lanes);
    return advance(static_cast<size_t>(current_), pc + 1);
  }
  if (lanes != running().lanes) divide(running().lanes & ~lanes, pc + 1, kNoJoin);
  running().state = Split::State::kWarpSync;
  turn_ = 0;
  complete_warp_syncs();
}

void Warp::name_ended(Mask mask, int lane) const {
  throw Fault{
      Status::kLaunchFailed, "missing lanes", lane,
      "the mask of a warp operation names lanes that have ended: " + lane_words(mask & ended())};
}

// Let all go on whose operation has all lanes that it waits for.
void Warp::complete_warp_syncs() {
  for (size_t k = 0; k < splits_.size();) {
    const bool can_go_on = splits_[k].state == Split::State::kWarpSync && complete_warp_sync(k);
    k = can_go_on ? 0 : k + 1;
  }
}

namespace {

const Instruction& instruction_of(const Split& s) { return s.frame->function->code[s.pc]; }

// Whether lanes of two splits may take part in one operation. A barrier of the warp is one whatever
// its place; what exchanges data is one instruction.
bool belong_together(const Split& a, const Split& b) {
  if (a.state != Split::State::kWarpSync || b.state != Split::State::kWarpSync) return false;
  const Instruction &one = instruction_of(a), &other = instruction_of(b);
  if (one.category == Category::kBarrier) return one.run == other.run;
  return &one == &other;
}

// Some lanes of a row from one frame of a function to another.
void copy_lanes(const Function& f, Row row, Mask lanes, const char* from, char* to) {
  const size_t bytes = row < f.ends[0] ? 16 : row < f.ends[1] ? 8 : row < f.ends[2] ? 4 : 0;
  if (bytes == 0) {
    Mask source, target;
    std::memcpy(&source, from + row, sizeof source);
    std::memcpy(&target, to + row, sizeof target);
    target = (target & ~lanes) | (source & lanes);
    std::memcpy(to + row, &target, sizeof target);
    return;
  }
  for (Mask left = lanes; left != 0; left &= left - 1) {
    const size_t place = row + bytes * static_cast<size_t>(lowest_lane(left));
    std::memcpy(to + place, from + place, bytes);
  }
}

}  // namespace

// The operation at which a split waits, for each mask of its lanes that is complete.
bool Warp::complete_warp_sync(size_t index) {
  Mask members[kLanes] = {};
  Mask present = 0, passing = 0;
  for (const Split& s : splits_) {
    if (!belong_together(s, splits_[index])) continue;
    const Row row = instruction_of(s).c2;
    const char* base = is_frame_row(row) ? s.frame->rows : s.frame->function->constants.data();
    for (Mask left = s.lanes; left != 0; left &= left - 1) {
      const auto lane = static_cast<size_t>(lowest_lane(left));
      std::memcpy(&members[lane], base + (row & ~kConstantRow) + lane * sizeof(Mask), sizeof(Mask));
    }
    present |= s.lanes;
  }
  std::vector<Mask> groups;
  for (Mask left = splits_[index].lanes; left != 0;) {
    const Mask mask = members[lowest_lane(left)];
    Mask group = 0;
    for (int lane = 0; lane < kLanes; ++lane) {
      if (has_lane(present, lane) && members[lane] == mask) group |= Mask{1} << lane;
    }
    if ((mask & ended()) != 0) {
      stand_at(index);
      name_ended(mask, lowest_lane(left));
    }
    left &= ~group;
    if ((mask & live_ & ~group) != 0) continue;
    groups.push_back(group);
    passing |= group;
  }
  if (passing == 0) return false;
  stand_at(index);
  run_together(groups, passing);
  pass(passing);
  return true;
}

// Execute the instruction of the running split for groups of lanes, some of which may be in other
// calls of its function: their registers come from there, and go back.
void Warp::run_together(const std::vector<Mask>& groups, Mask lanes) {
  Instruction& i = const_cast<Instruction&>(here());
  const auto each_foreign = [&](bool is_result, auto copy) {
    for (const Split& s : splits_) {
      if (!belong_together(s, running()) || s.frame.get() == frame_) continue;
      if (s.frame->function != frame_->function) continue;  // a barrier: it has no registers
      each_row(i, [&](Row row, bool is_written) {
        if (is_written == is_result) copy(row, s.lanes & lanes, s.frame->rows);
      });
    }
  };
  each_foreign(false, [&](Row row, Mask who, const char* rows) {
    copy_lanes(function(), row, who, rows, rows_);
  });
  for (const Mask group : groups) i.run(*this, i, group);
  each_foreign(
      true, [&](Row row, Mask who, char* rows) { copy_lanes(function(), row, who, rows_, rows); });
}

// Lanes that have waited go on.
void Warp::pass(Mask lanes) {
  for (size_t k = 0; k < splits_.size();) {
    Split& s = splits_[k];
    const Mask part = s.lanes & lanes;
    if (s.state != Split::State::kWarpSync || part == 0) {
      ++k;
      continue;
    }
    const uint32_t next = s.pc + 1;
    if (part == s.lanes) {
      s.state = Split::State::kReady;
      advance(k, next);
    } else {
      Split other = s;
      s.lanes &= ~part;
      other.lanes = part;
      other.state = Split::State::kReady;
      splits_.push_back(other);
      advance(splits_.size() - 1, next);
    }
    k = 0;
  }
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
