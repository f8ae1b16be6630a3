// Blocks: whose turn it is among the warps, and barriers.
#include "block.h"

#include <algorithm>

#include "machine.h"
#include "race.h"

namespace softcuda {
namespace {

constexpr char kPoison = '\x6B';

// Instructions of a warp before the next has its turn: fewer where it may be spinning for another.
constexpr int64_t kTurn = 4096, kShortTurn = 128;

}  // namespace

Block::Block(Cluster& cluster, uint32_t rank, const Dim& index)
    : cluster_(cluster),
      worker_(cluster.worker()),
      grid_(cluster.worker().grid()),
      rank_(rank),
      index_(index) {
  const Launch& launch = grid_.launch();
  const Function& entry = *launch.entry;
  const bool has_dynamic = launch.dynamic_shared != 0;
  shared_.assign(has_dynamic ? entry.dynamic_shared + launch.dynamic_shared : entry.shared_end,
                 kPoison);
  if (grid_.limits().checks.uninitialised) shared_written_.assign(shared_.size(), 0);
  const uint64_t warps = (uint64_t{threads()} + kLanes - 1) / kLanes;
  for (uint64_t w = 0; w < warps; ++w) {
    const uint64_t lanes = std::min<uint64_t>(kLanes, threads() - w * kLanes);
    const Mask mask = lanes == kLanes ? kFullMask : (Mask{1} << lanes) - 1;
    warps_.push_back(std::make_unique<Warp>(*this, static_cast<int>(w), mask));
  }
  running_ = static_cast<int>(warps);
}

Block::~Block() = default;

uint32_t Block::threads() const { return static_cast<uint32_t>(grid_.launch().block.product()); }

uint64_t Block::number() const {
  const Dim& grid = grid_.launch().grid;
  return index_.x + uint64_t{grid.x} * (index_.y + uint64_t{grid.y} * index_.z);
}

bool Block::shared_contains(uint64_t first, uint64_t bytes) const {
  const Function& entry = *grid_.launch().entry;
  const uint64_t end = first + bytes;
  if (end < first) return false;
  if (end <= entry.shared_end) return true;
  return first >= entry.dynamic_shared &&
         end <= uint64_t{entry.dynamic_shared} + grid_.launch().dynamic_shared;
}

RaceShadow& Block::race_shadow() {
  if (race_shadow_ == nullptr) race_shadow_ = std::make_unique<RaceShadow>(shared_.size());
  return *race_shadow_;
}

bool Block::run(int64_t budget) {
  const bool is_adversarial = grid_.limits().schedule == Schedule::kAdversarial;
  bool has_run = true;
  while (has_run && budget > 0 && running_ > 0) {
    has_run = false;
    const uint64_t changes = worker_.changes();
    const size_t start = is_adversarial ? worker_.random() % warps_.size() : 0;
    for (size_t k = 0; k < warps_.size(); ++k) {
      Warp& warp = *warps_[(start + k) % warps_.size()];
      if (warp.is_done() || !warp.is_ready()) continue;
      has_run = true;
      turn_ = &warp;
      int64_t share = warp.is_spinning() ? kShortTurn : kTurn;
      if (is_adversarial) share = static_cast<int64_t>(1 + worker_.random() % 256);
      share = std::min(share, budget);
      const int64_t before = share;
      warp.run(share);
      budget -= before - share;
      if (budget <= 0) break;
    }
    // Who has changed nothing may be waiting for another block: let it have its turn.
    if (worker_.changes() == changes) break;
  }
  return running_ > 0 && (has_run || budget <= 0);
}

void Block::check_stuck() {
  for (const auto& warp : warps_) {
    turn_ = warp.get();
    warp->check_stuck();
  }
}

void Block::note_exit(Warp& warp, Mask lanes) {
  if (warp.order() != nullptr) {
    Gathering all;
    all.add(ended_);
    warp.order()->give(lanes, all);
    ended_ = all.take(threads());
  }
  if (warp.is_done()) --running_;
  check_barriers();
  cluster_.check_barrier();
}

int Block::stand_at_first() {
  const auto first =
      std::find_if(warps_.begin(), warps_.end(), [](const auto& warp) { return !warp->is_done(); });
  turn_ = first->get();
  return (*first)->stand_at_first();
}

// --- barriers ------------------------------------------------------------------------------------

void Block::arrive(Warp& warp, const BarrierOperand& operand, int id, uint64_t expected, Mask lanes,
                   Mask predicates) {
  Barrier& barrier = barriers_[static_cast<size_t>(id)];
  if (!barrier.is_in_use) {
    barrier.arrived.assign(warps_.size(), 0);
    barrier.predicates.assign(warps_.size(), 0);
    barrier.is_in_use = true;
    barrier.expected = 0;
  }
  const auto w = static_cast<size_t>(warp.index());
  if (expected != 0) barrier.expected = expected;
  barrier.arrived[w] |= lanes;
  barrier.predicates[w] |= predicates;
  if (warp.order() != nullptr) {
    warp.order()->give_fenced(lanes, barrier.fenced);
    warp.order()->give(lanes, barrier.past);
  }
  if (is_complete(barrier)) complete(id);
}

bool Block::is_complete(const Barrier& barrier) const {
  uint64_t threads = 0;
  for (size_t w = 0; w < warps_.size(); ++w) {
    const Mask live = warps_[w]->live();
    if (barrier.expected == 0) {
      if ((live & ~barrier.arrived[w]) != 0) return false;
    } else if (barrier.arrived[w] != 0 && (live & ~barrier.arrived[w]) == 0) {
      threads += kLanes;  // barriers count whole warps
    }
  }
  return barrier.expected == 0 || threads >= barrier.expected;
}

void Block::complete(int id) {
  Barrier& barrier = barriers_[static_cast<size_t>(id)];
  BarrierTally tally;
  for (size_t w = 0; w < warps_.size(); ++w) {
    tally.set += static_cast<uint32_t>(count_lanes(barrier.predicates[w]));
    tally.all += static_cast<uint32_t>(count_lanes(barrier.arrived[w]));
  }
  const std::vector<Mask> arrived = barrier.arrived;
  barrier.is_in_use = false;
  if (!barrier.past.is_empty()) {
    if (barrier.expected == 0) barrier.past.add(ended_);
    const Ref<Knowledge> past = barrier.past.take(threads());
    const Ref<Knowledge> fenced =
        barrier.fenced.is_empty() ? Ref<Knowledge>() : barrier.fenced.take(threads());
    for (const auto& warp : warps_) {
      const Mask lanes = warp->lanes_at_barrier(id);
      warp->order()->take(lanes, past);
      if (fenced) warp->order()->take_fenced(lanes, fenced);
    }
  }
  for (size_t w = 0; w < warps_.size(); ++w) {
    if (arrived[w] != 0) warps_[w]->release_barrier(id, tally);
  }
}

void Block::check_barriers() {
  for (size_t id = 0; id < barriers_.size(); ++id) {
    const Barrier& barrier = barriers_[id];
    if (!barrier.is_in_use || !is_complete(barrier)) continue;
    const bool is_awaited = std::any_of(warps_.begin(), warps_.end(), [id](const auto& warp) {
      return warp->lanes_at_barrier(static_cast<int>(id)) != 0;
    });
    if (is_awaited) complete(static_cast<int>(id));
  }
}

}  // namespace softcuda
