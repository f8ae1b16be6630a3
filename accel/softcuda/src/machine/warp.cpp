// How a warp executes: one split at a time, whose turn it is, and where each of them is.
#include <algorithm>
#include <utility>

#include "builtins.h"
#include "machine.h"

namespace softcuda {
namespace {

constexpr int64_t kTurn = 20'000;      // instructions of one split while others of its warp wait
constexpr int64_t kLongSpin = 50'000;  // instructions without a change in memory

}  // namespace

Warp::Warp(Block& block, int index, Mask lanes)
    : block_(block), worker_(block.worker()), index_(index), born_(lanes), live_(lanes) {
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
  return has_parked() || std::any_of(splits_.begin(), splits_.end(), [](const Split& s) {
           return s.state == Split::State::kReady;
         });
}

// Whether lanes stand where ways meet and wait for others.
bool Warp::has_parked() const {
  for (const Split& waiting : splits_) {
    for (const Join* join = waiting.join.get(); join != nullptr; join = join->outer.get()) {
      if (join->arrived != 0) return true;
    }
  }
  return false;
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

// Make a split the one that runs.
void Warp::stand_at(size_t split) {
  current_ = static_cast<int>(split);
  frame_ = splits_[split].frame.get();
  rows_ = frame_->rows;
  constants_ = frame_->function->constants.data();
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
  const uint64_t changes = worker_.changes();
  while (budget > 0 && live_ != 0 && choose()) {
    Split* split = &running();
    stand_at(static_cast<size_t>(current_));
    last_ = static_cast<size_t>(current_);
    const bool is_alone = splits_.size() == 1;
    turn_ = is_alone ? budget : std::min(budget, kTurn);
    if (schedule == Schedule::kAdversarial) {
      turn_ = static_cast<int64_t>(1 + worker_.random() % 64);
    }
    const int64_t executed = run_split(*split);
    budget -= executed;
    worker_.note_executed(executed);
    // Lanes that have changed nothing for long may spin for what others would do that stand where
    // ways meet: these need not wait for them there.
    idle_ = worker_.changes() == changes_seen_ ? idle_ + executed : 0;
    changes_seen_ = worker_.changes();
    if (idle_ > kLongSpin && release_parked()) idle_ = 0;
    if (std::exchange(has_paused_, false)) return;
  }
  is_spinning_ = budget <= 0 && worker_.changes() == changes;
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

}  // namespace softcuda
