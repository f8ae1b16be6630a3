// What threads know of each other's past: happens-before, by vector clocks.
//
// A warp has a clock that moves on whenever one of its lanes makes its past known: at a barrier, a
// fence, a release. An access is stamped with thread and clock. Another thread may touch the same
// memory if it knows of that thread up to that clock. Knowledge is never changed once it is made,
// so all threads that leave a barrier share one.
#pragma once

#include <map>
#include <vector>

#include "../common.h"
#include "../program/instruction.h"

namespace softcuda {

// By thread of a block: up to which time of its clock it is known.
struct Clocks : Counted {
  uint32_t least = 0;  // of all threads of the block
  std::vector<uint32_t> of;
};

struct Knowledge : Counted {
  struct Part {
    uint32_t block;
    Ref<Clocks> clocks;
  };
  std::vector<Part> parts;  // by block

  bool reaches(uint32_t block, uint32_t thread, uint32_t clock) const;
  bool reaches_all(uint32_t block, uint32_t clock) const;
};

// A thread at a time of its clock.
struct Moment {
  uint32_t block = 0, thread = 0, clock = 0;
};

// Knowledge that is being put together from what several threads know.
class Gathering {
 public:
  void add(const Ref<Knowledge>& known);
  void add(const Moment& moment);
  bool is_empty() const { return parts_.empty(); }
  // What was gathered, for blocks of this many threads; starts anew.
  Ref<Knowledge> take(uint32_t threads);

 private:
  struct Part {
    Ref<Clocks> shared;         // as it came, where nothing had to be added to it
    std::vector<uint32_t> own;  // otherwise
  };
  std::map<uint32_t, Part> parts_;
  Ref<Knowledge> last_;  // most threads that meet share what they know
};

// What threads of one block have made known: at a fence, or at an address by releases.
struct Published {
  Ref<Knowledge> known;
  uint32_t block = 0;
  Scope scope = Scope::kWeak;
};

// Add something to a list of what was published, which has one of each block and scope.
void join(std::vector<Published>& list, const Published& one, uint32_t threads);

// The order of one warp's lanes among all threads.
class WarpOrder {
 public:
  struct Lane {
    Ref<Knowledge> known;
    Published released;               // at its last fence
    std::vector<Published> received;  // by strong reads since: known after the next fence
  };

  WarpOrder(uint32_t block, uint32_t first_thread) : block_(block), first_(first_thread) {}

  uint32_t clock() const { return clock_; }
  uint32_t block() const { return block_; }
  uint32_t thread(int lane) const { return first_ + static_cast<uint32_t>(lane); }
  Moment moment(int lane) const { return {block_, thread(lane), clock_}; }
  Lane& lane(int k) { return lanes_[k]; }
  void tick() { ++clock_; }

  bool knows(int lane, uint32_t block, uint32_t thread, uint32_t clock) const {
    const Knowledge* known = lanes_[lane].known.get();
    return known != nullptr && known->reaches(block, thread, clock);
  }

  // Whether all of the lanes know all threads of a block up to a time.
  bool all_know(Mask lanes, uint32_t block, uint32_t clock) const;

  // Add all that the lanes know, and what they did, and move on.
  void give(Mask lanes, Gathering& to);
  void take(Mask lanes, const Ref<Knowledge>& known);
  // What the lanes have fenced for the whole device. If a thread publishes after a barrier what all
  // have fenced before it, that is made known too: these fences stand in one order with the one of
  // whoever reads it.
  void give_fenced(Mask lanes, Gathering& to) const;
  void take_fenced(Mask lanes, const Ref<Knowledge>& fenced);
  // A lane publishes all that it knows, and what it did.
  Published release(int lane, Scope scope, uint32_t threads) const;
  // bar.warp.sync: what one knows, all know.
  void meet(Mask lanes, uint32_t threads);
  void fence(Mask lanes, Scope scope, uint32_t threads);
  // Take what was published into what a lane knows.
  void acquire(int lane, const std::vector<Published>& published, uint32_t threads);

 private:
  uint32_t block_, first_;
  uint32_t clock_ = 1;
  Lane lanes_[kLanes];
};

}  // namespace softcuda
