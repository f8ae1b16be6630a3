#include "race.h"

#include <algorithm>

namespace softcuda {
namespace {

using ptx::Space;

constexpr uint64_t kOffsetMask = (uint64_t{1} << kRankShift) - 1;

// A read that every lane of a warp knows of: later writes that know this warp know it too.
bool is_known(WarpOrder& order, Mask lanes, const RaceRead& read) {
  if (order.all_know(lanes, read.block, read.clock)) return true;
  for (int l = 0; l < kLanes; ++l) {
    if (!has_lane(lanes, l)) continue;
    for (int k = 0; k < kLanes; ++k) {
      const uint32_t thread = uint32_t{read.warp} * kLanes + static_cast<uint32_t>(k);
      const bool is_own = read.block == order.block() && thread == order.thread(l);
      if (has_lane(read.lanes, k) && !is_own && !order.knows(l, read.block, thread, read.clock))
        return false;
    }
  }
  return true;
}

}  // namespace

RaceDetector::RaceDetector(Grid& grid) : grid_(grid) {
  static uint64_t launches = 0;
  number_ = ++launches;
}

RaceDetector::Place RaceDetector::place_of(Warp& warp, uint64_t address) {
  if (address - kSharedWindow < kWindowBytes) {
    const uint64_t at = address - kSharedWindow;
    Block& block = *block_of_shared(warp.block(), at);
    const uint64_t offset = at & kOffsetMask;
    return {&block.race_shadow(), offset,
            uint64_t{1} << 63 | block.number() << kRankShift | offset};
  }
  if (address - kLocalWindow < kWindowBytes) return {};
  const Allocation* one = warp.site().last;
  if (one == nullptr || !one->contains(address, 1)) one = grid_.memory().find(address);
  if (one->race_launch != number_) {
    shadows_.push_back(std::make_unique<RaceShadow>(one->bytes));
    one->race_launch = number_;
    one->race_shadow = shadows_.back().get();
  }
  return {one->race_shadow, address - one->address, address};
}

// Whole warps that read whole lines, lane by lane.
bool RaceDetector::read_lines(Warp& warp, const Instruction& i, const MemoryOperand& op,
                              const Place& place, uint32_t bytes) {
  const uint32_t lanes = RaceLine::kBytes / bytes;  // of a line
  if (place.offset % RaceLine::kBytes != 0 || bytes < 4 || op.is_read_only) return false;
  for (uint32_t at = 0; at < kLanes * bytes; at += RaceLine::kBytes) {
    if (place.shadow->line(place.offset + at).has_cells()) return false;
  }
  WarpOrder& order = *warp.order();
  const Mask of_line = lanes >= kLanes ? kFullMask : (Mask{1} << lanes) - 1;
  for (uint32_t at = 0; at < kLanes * bytes; at += RaceLine::kBytes) {
    const RaceRead now{&i,
                       order.block(),
                       order.clock(),
                       of_line << (at / bytes),
                       static_cast<uint16_t>(warp.index()),
                       op.scope,
                       static_cast<uint8_t>(bytes)};
    RaceReads& reads = place.shadow->line(place.offset + at).whole();
    // One that reads in other pieces, or by other lanes, does not stand for this line as a whole.
    const bool is_alike =
        reads.is_empty() || (reads.first.bytes == now.bytes && reads.first.lanes == now.lanes);
    if (!is_alike) return false;
    reads.add(now, [&](const RaceRead& read) { return is_known(order, now.lanes, read); });
  }
  return true;
}

void RaceDetector::access(Warp& warp, const Instruction& i, const MemoryOperand& op, Mask lanes,
                          const Access& access) {
  if (op.space == Space::kParam || op.space == Space::kConst || op.space == Space::kLocal) return;
  const uint32_t bytes = op.bytes();
  const bool is_one = access.shape == Access::Shape::kSame && !op.is_store;
  const bool is_together = access.shape != Access::Shape::kScattered;
  Place place;
  uint64_t origin = 0;
  for (Mask left = lanes; left != 0; left &= left - 1) {
    const int l = lowest_lane(left);
    const uint64_t address = generic_address(op.space, access.address[l]);
    if (left == lanes || !is_together) {
      place = place_of(warp, address);
      origin = address;
      const bool is_row = access.shape == Access::Shape::kConsecutive && lanes == kFullMask;
      const bool is_plain = is_row && !op.is_store && op.scope == Scope::kWeak;
      if (is_plain && place.shadow != nullptr && read_lines(warp, i, op, place, bytes)) return;
    }
    if (place.shadow == nullptr) continue;
    const Attempt attempt{warp, i, op, access, is_one ? lanes : Mask{1} << l, lanes, address};
    const uint64_t offset = place.offset + (address - origin);
    RaceCell *cell, *end;
    place.shadow->line(offset).select(offset % RaceLine::kBytes, bytes, cell, end);
    for (; cell != end; ++cell) check(attempt, *cell);
    if (op.scope != Scope::kWeak) synchronise(attempt, place.key + (address - origin));
    if (is_one) break;
  }
}

void RaceDetector::check(const Attempt& attempt, RaceCell& cell) {
  WarpOrder& order = *attempt.warp.order();
  if (cell.weak.by != nullptr) check_write(attempt, cell.weak);
  if (cell.strong.by != nullptr) check_write(attempt, cell.strong);
  if (!attempt.op.is_store) {
    const RaceRead now{&attempt.i,
                       order.block(),
                       order.clock(),
                       attempt.lanes,
                       static_cast<uint16_t>(attempt.warp.index()),
                       attempt.op.scope};
    cell.reads.add(now, [&](const RaceRead& read) { return is_known(order, now.lanes, read); });
    return;
  }
  if (!cell.reads.is_empty()) check_read(attempt, cell.reads.first);
  if (cell.reads.more != nullptr) {
    for (const RaceRead& read : *cell.reads.more) check_read(attempt, read);
  }
  cell.reads.clear();
  const bool is_weak = attempt.op.scope == Scope::kWeak;
  if (is_weak) cell.strong.by = nullptr;
  (is_weak ? cell.weak : cell.strong) = {
      &attempt.i, order.block(), order.clock(),
      static_cast<uint16_t>(order.thread(lowest_lane(attempt.lanes))), attempt.op.scope};
}

void RaceDetector::check_write(const Attempt& attempt, const RaceWrite& write) {
  if (attempt.op.is_read_only) {
    report(attempt, lowest_lane(attempt.lanes), "ld.global.nc reads what this launch wrote: a",
           *write.by, write.block, write.thread);
  }
  WarpOrder& order = *attempt.warp.order();
  for (Mask left = attempt.lanes; left != 0; left &= left - 1) {
    const int l = lowest_lane(left);
    const bool is_own = write.block == order.block() && write.thread == order.thread(l);
    if (is_own || order.knows(l, write.block, write.thread, write.clock)) continue;
    if (reach_each_other(attempt.op.scope, write.scope, write.block, attempt.warp)) continue;
    const bool is_same_instruction = write.by == &attempt.i && write.block == order.block() &&
                                     write.clock == order.clock() &&
                                     write.thread / kLanes == order.thread(l) / kLanes;
    if (is_same_instruction && stores_the_same(attempt, l, write.thread % kLanes)) continue;
    report(attempt, l, "races with a", *write.by, write.block, write.thread);
  }
}

void RaceDetector::check_read(const Attempt& attempt, const RaceRead& read) {
  WarpOrder& order = *attempt.warp.order();
  if (is_known(order, attempt.lanes, read)) return;
  if (reach_each_other(attempt.op.scope, read.scope, read.block, attempt.warp)) return;
  const int l = lowest_lane(attempt.lanes);
  for (int k = 0; k < kLanes; ++k) {
    const uint32_t thread = uint32_t{read.warp} * kLanes + static_cast<uint32_t>(k);
    const bool is_own = read.block == order.block() && thread == order.thread(l);
    if (has_lane(read.lanes, k) && !is_own && !order.knows(l, read.block, thread, read.clock))
      report(attempt, l, "races with a", *read.by, read.block, thread);
  }
}

// A strong read of what others have published: known at once, or after the next fence.
void RaceDetector::hear(const Attempt& attempt, int lane, uint64_t key) {
  const auto found = published_.find(key);
  if (found == published_.end()) return;
  WarpOrder& order = *attempt.warp.order();
  const Order kind = attempt.op.order;
  const uint32_t threads = attempt.warp.block().threads();
  std::vector<Published> heard;
  for (const Published& p : found->second) {
    if (!reach_each_other(attempt.op.scope, p.scope, p.block, attempt.warp)) continue;
    // Both reach each other; what the fence after this read may narrow is its own scope.
    heard.push_back({p.known, p.block, Scope::kDevice});
  }
  if (kind == Order::kAcquire || kind == Order::kAcquireRelease) {
    order.acquire(lane, heard, threads);
  } else {
    for (const Published& p : heard) join(order.lane(lane).received, p, threads);
  }
}

// What strong accesses carry from thread to thread.
void RaceDetector::synchronise(const Attempt& attempt, uint64_t key) {
  WarpOrder& order = *attempt.warp.order();
  const MemoryOperand& op = attempt.op;
  const uint32_t threads = attempt.warp.block().threads();
  const bool releases = op.order == Order::kRelease || op.order == Order::kAcquireRelease;
  for (Mask left = attempt.lanes; left != 0; left &= left - 1) {
    const int l = lowest_lane(left);
    WarpOrder::Lane& lane = order.lane(l);
    if (!op.is_store || op.is_atomic) hear(attempt, l, key);
    if (!op.is_store) continue;
    const Published now = releases ? order.release(l, op.scope, threads) : lane.released;
    std::vector<Published>& at = published_[key];
    if (!op.is_atomic) at.clear();
    if (now.scope != Scope::kWeak) join(at, now, threads);
  }
  if (releases && op.is_store) order.tick();
}

bool RaceDetector::reach_each_other(Scope one, Scope other, uint32_t block,
                                    const Warp& warp) const {
  const Scope least = std::min(one, other);
  const uint64_t own = warp.block().number();
  if (block == own) return least >= Scope::kBlock;
  const auto& blocks = const_cast<Warp&>(warp).block().cluster().blocks();
  const bool is_in_cluster = std::any_of(blocks.begin(), blocks.end(),
                                         [block](const auto& b) { return b->number() == block; });
  return least >= (is_in_cluster ? Scope::kCluster : Scope::kDevice);
}

// Lanes that store the same in one instruction do not harm each other.
bool RaceDetector::stores_the_same(const Attempt& attempt, int lane, int other) const {
  const MemoryOperand& op = attempt.op;
  if (op.is_atomic || !has_lane(attempt.all, other) ||
      attempt.access.address[lane] != attempt.access.address[other]) {
    return false;
  }
  for (size_t k = 0; k < op.elements; ++k) {
    const bool is_wide = op.part_bytes[k] == 8;
    const Row row = op.parts[k];
    const bool is_same =
        is_wide ? attempt.warp.in<uint64_t>(row)[lane] == attempt.warp.in<uint64_t>(row)[other]
                : attempt.warp.in<uint32_t>(row)[lane] == attempt.warp.in<uint32_t>(row)[other];
    if (!is_same) return false;
  }
  return true;
}

void RaceDetector::report(const Attempt& attempt, int lane, const char* what,
                          const Instruction& other, uint32_t block, uint32_t thread) const {
  const Launch& launch = grid_.launch();
  const auto triple = [](const Dim& d) {
    return "(" + std::to_string(d.x) + "," + std::to_string(d.y) + "," + std::to_string(d.z) + ")";
  };
  const auto& other_op = *static_cast<const MemoryOperand*>(other.extra);
  const bool is_shared = attempt.address - kSharedWindow < kWindowBytes;
  const std::string where =
      is_shared ? "shared memory at byte " +
                      std::to_string((attempt.address - kSharedWindow) & kOffsetMask)
                : "global memory that " + grid_.memory().describe(attempt.address);
  throw Fault{Status::kLaunchFailed, "data race", lane,
              access_words(attempt.op, attempt.address) + " in " + where + "\n  " + what + " " +
                  access_name(other_op) + " at " + source_words(*launch.program, other) +
                  " by thread " + triple(place_in(launch.block, thread)) + " of block " +
                  triple(place_in(launch.grid, block))};
}

}  // namespace softcuda
