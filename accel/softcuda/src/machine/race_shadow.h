// Who accessed memory in a launch: for each piece of it the last write, and the reads that the next
// write must know of.
#pragma once

#include <memory>
#include <vector>

#include "../program/instruction.h"

namespace softcuda {

struct RaceWrite {
  const Instruction* by = nullptr;
  uint32_t block = 0, clock = 0;
  uint16_t thread = 0;
  Scope scope = Scope::kWeak;
};

// By some lanes of a warp at one time of its clock.
struct RaceRead {
  const Instruction* by = nullptr;
  uint32_t block = 0, clock = 0;
  Mask lanes = 0;
  uint16_t warp = 0;
  Scope scope = Scope::kWeak;
  uint8_t bytes = 0;  // of each lane, in the reads of a line

  bool is_beside(const RaceRead& other) const {
    return block == other.block && warp == other.warp && clock == other.clock &&
           scope == other.scope;
  }
};

// The first of some reads in place, the others in a list.
struct RaceReads {
  RaceRead first;
  std::unique_ptr<std::vector<RaceRead>> more;

  bool is_empty() const { return first.by == nullptr; }
  void clear() {
    first.by = nullptr;
    more.reset();
  }
  // Add a read. What `known` says that the reader knows of, a later write that knows the reader
  // knows as well: it is left out.
  template <class Known>
  void add(const RaceRead& now, Known known);
};

struct RaceCell {
  // The last of each kind: a strong one does not hide the weak one before it from strong accesses
  // of others.
  RaceWrite weak, strong;
  RaceReads reads;
};

// 128 bytes. As long as they are only read by whole warps, one lane after the other, that is all
// there is to remember; then there is a cell for each 4 bytes, or, once something smaller was
// accessed, for each byte.
class RaceLine {
 public:
  static constexpr uint32_t kBytes = 128;

  bool has_cells() const { return !cells_.empty(); }
  RaceReads& whole() { return whole_; }
  // The cells from a byte of the line to another.
  void select(uint32_t first, uint32_t bytes, RaceCell*& begin, RaceCell*& end);

 private:
  void make_cells();
  void make_fine();

  RaceReads whole_;
  std::vector<RaceCell> cells_;
};

// The lines of an allocation, or of a block's shared memory.
class RaceShadow {
 public:
  explicit RaceShadow(uint64_t bytes) : pages_(bytes / (kLines * RaceLine::kBytes) + 1) {}
  RaceLine& line(uint64_t offset) {
    auto& page = pages_[offset / (kLines * RaceLine::kBytes)];
    if (page == nullptr) page = std::make_unique<RaceLine[]>(kLines);
    return page[offset / RaceLine::kBytes % kLines];
  }

 private:
  static constexpr uint64_t kLines = 16;
  std::vector<std::unique_ptr<RaceLine[]>> pages_;
};

// --- inline --------------------------------------------------------------------------------------

template <class Known>
void RaceReads::add(const RaceRead& now, Known is_known) {
  const auto known = [&](const RaceRead& read) {
    return now.scope <= read.scope && is_known(read);
  };
  if (first.by != nullptr && first.is_beside(now)) {
    first.lanes |= now.lanes;
    return;
  }
  if (first.by == nullptr || (more == nullptr && known(first))) {
    first = now;
    return;
  }
  if (more == nullptr) more = std::make_unique<std::vector<RaceRead>>();
  for (RaceRead& read : *more) {
    if (!read.is_beside(now)) continue;
    read.lanes |= now.lanes;
    return;
  }
  size_t kept = 0;
  for (const RaceRead& read : *more) {
    if (!known(read)) (*more)[kept++] = read;
  }
  more->resize(kept);
  if (known(first))
    first = now;
  else
    more->push_back(now);
}

}  // namespace softcuda
