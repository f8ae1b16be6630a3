// Blocks and the grid: who is resident, whose turn it is, and when nobody can go on.
#include <algorithm>

#include "../program/rounding.h"
#include "machine.h"

namespace softcuda {
namespace {

constexpr char kPoison = '\x6B';
constexpr int kWarpsOfMultiprocessor = 48;
constexpr uint64_t kBlocksOfMultiprocessor = 16;
constexpr uint64_t kRegistersOfMultiprocessor = 65536;
constexpr uint64_t kSharedOfMultiprocessor = 100 * 1024;

// Blocks that are on the device at the same time: what one multiprocessor holds, times their
// number.
uint64_t residency(const Launch& launch, const Limits& limits) {
  const uint64_t threads = round_up(launch.block.product(), kLanes);
  const uint64_t warps = threads / kLanes;
  const uint64_t shared =
      launch.entry->shared_end - launch.entry->shared_begin + launch.dynamic_shared;
  const uint64_t registers = threads * std::max<uint64_t>(launch.entry->registers, 16);
  uint64_t blocks = std::min<uint64_t>(kBlocksOfMultiprocessor, kWarpsOfMultiprocessor / warps);
  blocks = std::min(blocks, kRegistersOfMultiprocessor / registers);
  if (shared != 0) blocks = std::min(blocks, kSharedOfMultiprocessor / shared);
  return std::max<uint64_t>(blocks, 1) * static_cast<uint64_t>(limits.multiprocessors);
}

}  // namespace

// --- blocks --------------------------------------------------------------------------------------

Block::Block(Grid& grid, uint64_t index) : grid_(grid) {
  const Launch& launch = grid.launch();
  index_ = {static_cast<uint32_t>(index % launch.grid.x),
            static_cast<uint32_t>(index / launch.grid.x % launch.grid.y),
            static_cast<uint32_t>(index / launch.grid.x / launch.grid.y)};
  const Function& entry = *launch.entry;
  const bool has_dynamic = launch.dynamic_shared != 0;
  shared_.assign(has_dynamic ? entry.dynamic_shared + launch.dynamic_shared : entry.shared_end,
                 kPoison);
  const uint64_t threads = launch.block.product();
  const uint64_t warps = (threads + kLanes - 1) / kLanes;
  for (uint64_t w = 0; w < warps; ++w) {
    const uint64_t lanes = std::min<uint64_t>(kLanes, threads - w * kLanes);
    const Mask mask = lanes == kLanes ? kFullMask : (Mask{1} << lanes) - 1;
    warps_.push_back(std::make_unique<Warp>(*this, static_cast<int>(w), mask));
  }
  running_ = static_cast<int>(warps);
}

Block::~Block() = default;

bool Block::shared_contains(uint64_t first, uint64_t bytes) const {
  const Function& entry = *grid_.launch().entry;
  const uint64_t end = first + bytes;
  if (end < first) return false;
  if (end <= entry.shared_end) return true;
  return first >= entry.dynamic_shared &&
         end <= entry.dynamic_shared + grid_.launch().dynamic_shared;
}

bool Block::run(int64_t budget) {
  const bool is_adversarial = grid_.limits().schedule == Schedule::kAdversarial;
  bool has_run = true;
  while (has_run && budget > 0 && running_ > 0) {
    has_run = false;
    const size_t start = is_adversarial ? grid_.random() % warps_.size() : 0;
    for (size_t k = 0; k < warps_.size(); ++k) {
      Warp& warp = *warps_[(start + k) % warps_.size()];
      if (warp.is_done() || !warp.is_ready()) continue;
      has_run = true;
      turn_ = &warp;
      int64_t share = is_adversarial ? static_cast<int64_t>(1 + grid_.random() % 256) : 4096;
      share = std::min(share, budget);
      const int64_t before = share;
      warp.run(share);
      budget -= before - share;
      if (budget <= 0) break;
    }
  }
  return running_ > 0 && (has_run || budget <= 0);
}

void Block::check_stuck() const {
  for (const auto& warp : warps_) {
    const_cast<Block*>(this)->turn_ = warp.get();
    warp->check_stuck();
  }
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
    barrier.kind = operand.kind;
  }
  const auto w = static_cast<size_t>(warp.index());
  if (expected != 0) barrier.expected = expected;
  if (operand.kind != BarrierOperand::Kind::kArrive) barrier.kind = operand.kind;
  barrier.arrived[w] |= lanes;
  barrier.predicates[w] |= predicates;
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
  uint32_t set = 0, all = 0;
  for (size_t w = 0; w < warps_.size(); ++w) {
    set += static_cast<uint32_t>(count_lanes(barrier.predicates[w]));
    all += static_cast<uint32_t>(count_lanes(barrier.arrived[w]));
  }
  using Kind = BarrierOperand::Kind;
  const bool has_result = barrier.kind == Kind::kReducePopc || barrier.kind == Kind::kReduceAnd ||
                          barrier.kind == Kind::kReduceOr;
  const uint32_t result = barrier.kind == Kind::kReducePopc  ? set
                          : barrier.kind == Kind::kReduceAnd ? static_cast<uint32_t>(set == all)
                                                             : static_cast<uint32_t>(set != 0);
  const std::vector<Mask> arrived = barrier.arrived;
  barrier.is_in_use = false;
  for (size_t w = 0; w < warps_.size(); ++w) {
    if (arrived[w] != 0) warps_[w]->release_barrier(id, has_result, result);
  }
}

// A thread that exits counts as arrived everywhere.
void Block::check_barriers() {
  for (size_t id = 0; id < barriers_.size(); ++id) {
    const Barrier& barrier = barriers_[id];
    if (!barrier.is_in_use || barrier.expected != 0 || !is_complete(barrier)) continue;
    const bool is_awaited = std::any_of(warps_.begin(), warps_.end(), [id](const auto& warp) {
      return warp->lanes_at_barrier(static_cast<int>(id)) != 0;
    });
    if (is_awaited) complete(static_cast<int>(id));
  }
}

// --- the grid ------------------------------------------------------------------------------------

std::string Report::text() const {
  std::string out = "softcuda: " + kind + " in kernel " + kernel;
  if (function != kernel && !function.empty()) out += ", function " + function;
  out += "\n  at " + (source_line != 0 ? file + ":" + std::to_string(source_line)
                                       : "line " + std::to_string(ptx_line) + " of the PTX");
  const auto triple = [](const Dim& d) {
    return "(" + std::to_string(d.x) + "," + std::to_string(d.y) + "," + std::to_string(d.z) + ")";
  };
  out += " by thread " + triple(thread) + " of block " + triple(block) + "\n  " + what + "\n";
  return out;
}

Grid::Grid(const Launch& launch, DeviceMemory& memory, const Limits& limits)
    : launch_(launch),
      memory_(memory),
      limits_(limits),
      resident_(residency(launch, limits)),
      random_state_(limits.seed * 2 + 1) {}

// xorshift64*: the same sequence for a seed on every machine.
uint64_t Grid::random() {
  random_state_ ^= random_state_ >> 12;
  random_state_ ^= random_state_ << 25;
  random_state_ ^= random_state_ >> 27;
  return (random_state_ * 0x2545F4914F6CDD1DULL) >> 33;
}

Report Grid::report(const Fault& fault, const Block& block) const {
  Report result;
  result.status = fault.status;
  result.kind = fault.kind;
  result.what = fault.what;
  result.kernel = launch_.entry->name;
  result.block = block.index();
  const Warp* warp = block.running();
  if (warp != nullptr && warp->current() >= 0) warp->locate(warp->current(), result, fault.lane);
  return result;
}

Report Grid::run() {
  const FloatingPointScope scope;
  Report result;
  run_blocks(result);
  return result;
}

void Grid::run_blocks(Report& result) {
  const uint64_t all = launch_.grid.product();
  std::vector<uint64_t> order;  // only where it is not 0, 1, 2, ...
  if (limits_.schedule == Schedule::kAdversarial) {
    for (uint64_t k = 0; k < all; ++k) order.push_back(k);
    for (uint64_t k = all; k > 1; --k) std::swap(order[k - 1], order[random() % k]);
  }
  std::deque<std::unique_ptr<Block>> resident;
  uint64_t next = 0, idle = 0;
  while (next < all || !resident.empty()) {
    // A block is made when its turn comes: where none waits for another, one at a time is there.
    if (next < all && resident.size() < resident_) {
      resident.push_back(std::make_unique<Block>(*this, order.empty() ? next : order[next]));
      std::rotate(resident.begin(), resident.end() - 1, resident.end());
      ++next;
    }
    Block& block = *resident.front();
    progress_ = false;
    try {
      const bool can_go_on = block.run(static_cast<int64_t>(limits_.quantum));
      if (!block.is_done() && !can_go_on) {
        block.check_stuck();
        throw Fault{Status::kLaunchTimeout, "deadlock", 0,
                    "all threads of the block wait at barriers"};
      }
    } catch (const Fault& fault) {
      result = report(fault, block);
      return;
    }
    idle = progress_ || block.is_done() ? 0 : idle + limits_.quantum;
    if (block.is_done()) {
      resident.pop_front();
    } else {
      resident.push_back(std::move(resident.front()));
      resident.pop_front();
    }
    const bool all_are_here = next == all || resident.size() == resident_;
    if (idle > limits_.patience && all_are_here && !resident.empty()) {
      const Fault fault{Status::kLaunchTimeout, "deadlock", 0,
                        "no thread on the device has changed memory for " + std::to_string(idle) +
                            " instructions"};
      result = report(fault, *resident.front());
      return;
    }
  }
}

}  // namespace softcuda
