// Clusters: blocks that run together and wait for each other at barrier.cluster.
#include <algorithm>

#include "machine.h"

namespace softcuda {

Cluster::Cluster(Worker& worker, uint64_t number) : worker_(worker) {
  const Launch& launch = worker.grid().launch();
  const Dim& size = launch.cluster;
  const Dim place =
      place_in({launch.grid.x / size.x, launch.grid.y / size.y, launch.grid.z / size.z}, number);
  for (uint32_t rank = 0; rank < size.product(); ++rank) {
    const Dim inside = place_in(size, rank);
    const Dim index = {place.x * size.x + inside.x, place.y * size.y + inside.y,
                       place.z * size.z + inside.z};
    blocks_.push_back(std::make_unique<Block>(*this, rank, index));
  }
}

bool Cluster::run(int64_t budget) {
  bool can_go_on = false;
  const bool is_adversarial = worker_.grid().limits().schedule == Schedule::kAdversarial;
  const size_t start = is_adversarial ? worker_.random() % blocks_.size() : 0;
  for (size_t k = 0; k < blocks_.size(); ++k) {
    turn_ = (start + k) % blocks_.size();
    Block& block = *blocks_[turn_];
    if (!block.is_done()) can_go_on |= block.run(budget);
  }
  // A block may have been let go on by one that ran after it.
  for (const auto& block : blocks_) {
    const auto& warps = block->warps();
    can_go_on |= std::any_of(warps.begin(), warps.end(),
                             [](const auto& warp) { return !warp->is_done() && warp->is_ready(); });
  }
  return can_go_on;
}

bool Cluster::is_done() const {
  return std::all_of(blocks_.begin(), blocks_.end(),
                     [](const auto& block) { return block->is_done(); });
}

void Cluster::check_stuck() {
  for (turn_ = 0; turn_ < blocks_.size(); ++turn_) blocks_[turn_]->check_stuck();
}

int Cluster::stand_at_first() {
  turn_ = 0;
  while (blocks_[turn_]->is_done()) ++turn_;
  return blocks_[turn_]->stand_at_first();
}

// --- the barrier ---------------------------------------------------------------------------------

size_t Cluster::place_of(const Warp& warp) const {
  return warp.block().rank() * blocks_[0]->warps().size() + static_cast<size_t>(warp.index());
}

void Cluster::arrive(Warp& warp, Mask lanes, bool orders_memory) {
  if (!is_in_use_) arrived_.assign(blocks_.size() * blocks_[0]->warps().size(), 0);
  is_in_use_ = true;
  arrived_[place_of(warp)] |= lanes;
  if (warp.order() != nullptr && orders_memory) warp.order()->give(lanes, past_);
  check_barrier();
}

bool Cluster::has_passed(const Warp& warp, Mask lanes) const {
  return !is_in_use_ || (arrived_[place_of(warp)] & lanes) == 0;
}

// Complete it, if every thread has arrived or ended.
void Cluster::check_barrier() {
  if (!is_in_use_) return;
  for (const auto& block : blocks_) {
    for (const auto& warp : block->warps()) {
      if ((warp->live() & ~arrived_[place_of(*warp)]) != 0) return;
    }
  }
  is_in_use_ = false;
  for (const auto& block : blocks_) past_.add(block->past_of_ended());
  if (!past_.is_empty()) passed_ = past_.take(blocks_[0]->threads());
  for (const auto& block : blocks_) {
    for (const auto& warp : block->warps()) {
      if (warp->order() != nullptr && passed_)
        warp->order()->take(warp->lanes_at_barrier(kClusterBarrier), passed_);
      warp->release_barrier(kClusterBarrier, {});
    }
  }
}

}  // namespace softcuda
