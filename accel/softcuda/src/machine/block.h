// Blocks as they run: warps, shared memory and barriers; and the clusters that they form.
#pragma once

#include <array>
#include <memory>
#include <vector>

#include "order.h"
#include "warp.h"

namespace softcuda {

class Cluster;
class Grid;
class RaceShadow;

class Block {
 public:
  Block(Cluster& cluster, uint32_t rank, const Dim& index);
  ~Block();

  // Give every warp a turn. True while some warp can go on.
  bool run(int64_t budget);
  bool is_done() const { return running_ == 0; }
  // If threads wait for others that cannot come: throws the fault that this is.
  void check_stuck();

  int stand_at_first();

  // Lanes of a warp arrive at a barrier; if they complete it, all go on.
  void arrive(Warp& warp, int id, uint64_t expected, Mask lanes, Mask predicates);
  // Lanes of a warp have ended: they count as arrived everywhere.
  void note_exit(Warp& warp, Mask lanes);

  Cluster& cluster() { return cluster_; }
  Worker& worker() { return worker_; }
  Grid& grid() { return grid_; }
  const Grid& grid() const { return grid_; }
  Dim index() const { return index_; }
  uint64_t number() const;                 // in the grid
  uint32_t rank() const { return rank_; }  // in the cluster
  uint32_t threads() const;
  char* shared() { return shared_.data(); }
  // A byte for each of shared(): whether it was written. Empty where nobody asks.
  std::vector<uint8_t>& shared_written() { return shared_written_; }
  uint32_t shared_bytes() const { return static_cast<uint32_t>(shared_.size()); }
  bool shared_contains(uint64_t first, uint64_t bytes) const;
  const std::vector<std::unique_ptr<Warp>>& warps() const { return warps_; }
  const Warp* running() const { return turn_; }
  // What its threads did that have ended.
  const Ref<Knowledge>& past_of_ended() const { return ended_; }
  // Who accessed its shared memory; only where races are looked for.
  RaceShadow& race_shadow();

 private:
  struct Barrier {
    std::vector<Mask> arrived;     // of every warp
    std::vector<Mask> predicates;  // of a reduction
    uint64_t expected = 0;         // threads; 0: all of the block
    bool is_in_use = false;
    Gathering past, fenced;
  };
  void complete(int id);
  bool is_complete(const Barrier& barrier) const;
  void check_barriers();

  Cluster& cluster_;
  Worker& worker_;
  Grid& grid_;
  uint32_t rank_;
  Dim index_;
  std::vector<char> shared_;
  std::vector<uint8_t> shared_written_;
  std::vector<std::unique_ptr<Warp>> warps_;
  std::array<Barrier, 16> barriers_;
  int running_ = 0;
  const Warp* turn_ = nullptr;
  std::unique_ptr<RaceShadow> race_shadow_;
  Ref<Knowledge> ended_;
};

// The barrier's number of a warp that waits for its cluster.
constexpr int kClusterBarrier = 16;

// Blocks that are on the device together and reach each other's shared memory. A launch without
// clusters has one of one block for each of its blocks.
class Cluster {
 public:
  Cluster(Worker& worker, uint64_t number);

  // Give every block a turn. True while some block can go on.
  bool run(int64_t budget);
  bool is_done() const;
  void check_stuck();

  Worker& worker() { return worker_; }
  const std::vector<std::unique_ptr<Block>>& blocks() const { return blocks_; }
  // Let the first warp that has not ended have its turn; its first lane.
  int stand_at_first();
  // The one that has its turn.
  const Block& running() const { return *blocks_[turn_]; }

  // barrier.cluster: a warp's lanes arrive; true if a wait of theirs has nothing to wait for.
  void arrive(Warp& warp, Mask lanes, bool orders_memory);
  bool has_passed(const Warp& warp, Mask lanes) const;
  void check_barrier();
  // What lanes that have waited know.
  const Ref<Knowledge>& past() const { return passed_; }

 private:
  size_t place_of(const Warp& warp) const;

  Worker& worker_;
  std::vector<std::unique_ptr<Block>> blocks_;
  size_t turn_ = 0;
  std::vector<Mask> arrived_;  // of every warp of every block
  bool is_in_use_ = false;
  Gathering past_;
  Ref<Knowledge> passed_;
};

}  // namespace softcuda
