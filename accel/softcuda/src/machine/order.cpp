#include "order.h"

#include <algorithm>

namespace softcuda {

bool Knowledge::reaches(uint32_t block, uint32_t thread, uint32_t clock) const {
  for (const Part& part : parts) {
    if (part.block != block) continue;
    const Clocks& clocks = *part.clocks;
    return clocks.least >= clock || (thread < clocks.of.size() && clocks.of[thread] >= clock);
  }
  return false;
}

bool Knowledge::reaches_all(uint32_t block, uint32_t clock) const {
  for (const Part& part : parts) {
    if (part.block == block) return part.clocks->least >= clock;
  }
  return false;
}

// --- gathering -----------------------------------------------------------------------------------

void Gathering::add(const Ref<Knowledge>& known) {
  if (!known || known == last_) return;
  last_ = known;
  for (const Knowledge::Part& from : known->parts) {
    Part& part = parts_[from.block];
    if (part.own.empty() && !part.shared) {
      part.shared = from.clocks;
      continue;
    }
    if (part.shared == from.clocks) continue;
    if (part.own.empty()) part.own = part.shared->of;
    const std::vector<uint32_t>& other = from.clocks->of;
    part.own.resize(std::max(part.own.size(), other.size()), 0);
    for (size_t k = 0; k < other.size(); ++k) part.own[k] = std::max(part.own[k], other[k]);
  }
}

void Gathering::add(const Moment& moment) {
  Part& part = parts_[moment.block];
  if (part.own.empty() && part.shared) part.own = part.shared->of;
  if (part.own.size() <= moment.thread) part.own.resize(moment.thread + 1, 0);
  part.own[moment.thread] = std::max(part.own[moment.thread], moment.clock);
}

Ref<Knowledge> Gathering::take(uint32_t threads) {
  Ref<Knowledge> result(new Knowledge);
  for (auto& [block, part] : parts_) {
    if (part.own.empty()) {
      result->parts.push_back({block, part.shared});
      continue;
    }
    Ref<Clocks> clocks(new Clocks);
    clocks->of = std::move(part.own);
    if (clocks->of.size() == threads)
      clocks->least = *std::min_element(clocks->of.begin(), clocks->of.end());
    result->parts.push_back({block, clocks});
  }
  parts_.clear();
  last_ = Ref<Knowledge>();
  return result;
}

// --- one warp ------------------------------------------------------------------------------------

bool WarpOrder::all_know(Mask lanes, uint32_t block, uint32_t clock) const {
  const Knowledge* known = lanes_[lowest_lane(lanes)].known.get();
  if (known == nullptr || !known->reaches_all(block, clock)) return false;
  for (int lane = 0; lane < kLanes; ++lane) {
    if (has_lane(lanes, lane) && lanes_[lane].known.get() != known) return false;
  }
  return true;
}

void WarpOrder::give(Mask lanes, Gathering& to) {
  for (int lane = 0; lane < kLanes; ++lane) {
    if (!has_lane(lanes, lane)) continue;
    to.add(lanes_[lane].known);
    to.add(moment(lane));
  }
  tick();
}

void WarpOrder::take(Mask lanes, const Ref<Knowledge>& known) {
  for (int lane = 0; lane < kLanes; ++lane) {
    if (has_lane(lanes, lane)) lanes_[lane].known = known;
  }
}

void WarpOrder::meet(Mask lanes, uint32_t threads) {
  Gathering all;
  give(lanes, all);
  take(lanes, all.take(threads));
}

void WarpOrder::give_fenced(Mask lanes, Gathering& to) const {
  for (int lane = 0; lane < kLanes; ++lane) {
    if (has_lane(lanes, lane) && lanes_[lane].released.scope == Scope::kDevice)
      to.add(lanes_[lane].released.known);
  }
}

void WarpOrder::take_fenced(Mask lanes, const Ref<Knowledge>& fenced) {
  for (int lane = 0; lane < kLanes; ++lane) {
    if (has_lane(lanes, lane)) lanes_[lane].released = {fenced, block_, Scope::kDevice};
  }
}

Published WarpOrder::release(int lane, Scope scope, uint32_t threads) const {
  Gathering all;
  all.add(lanes_[lane].known);
  all.add(moment(lane));
  return {all.take(threads), block_, scope};
}

void WarpOrder::fence(Mask lanes, Scope scope, uint32_t threads) {
  for (int lane = 0; lane < kLanes; ++lane) {
    if (!has_lane(lanes, lane)) continue;
    Lane& one = lanes_[lane];
    for (Published& p : one.received) p.scope = std::min(p.scope, scope);
    acquire(lane, one.received, threads);
    one.received.clear();
    one.released = release(lane, scope, threads);
  }
  tick();
}

void WarpOrder::acquire(int lane, const std::vector<Published>& published, uint32_t threads) {
  Gathering all;
  all.add(lanes_[lane].known);
  bool has_news = false;
  for (const Published& p : published) {
    // What was made known to a block only is nothing to others. (A cluster is told apart when the
    // address is read.)
    if (p.scope == Scope::kWeak || (p.scope == Scope::kBlock && p.block != block_)) continue;
    all.add(p.known);
    has_news = true;
  }
  if (has_news) lanes_[lane].known = all.take(threads);
}

void join(std::vector<Published>& list, const Published& one, uint32_t threads) {
  for (Published& other : list) {
    if (other.block != one.block || other.scope != one.scope) continue;
    if (other.known == one.known) return;
    Gathering both;
    both.add(other.known);
    both.add(one.known);
    other.known = both.take(threads);
    return;
  }
  list.push_back(one);
}

}  // namespace softcuda
