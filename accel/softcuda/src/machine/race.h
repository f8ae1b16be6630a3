// Data races: two accesses to the same memory, one of them a write, by threads of which neither
// knows what the other did, unless both are strong.
#pragma once

#include <memory>
#include <unordered_map>
#include <vector>

#include "access.h"
#include "order.h"

namespace softcuda {

// Who accessed a piece of memory: the last write, and the reads that a next write must know of.
struct RaceCell {
  struct Write {
    const Instruction* by = nullptr;
    uint32_t block = 0, clock = 0;
    uint16_t thread = 0;
    Scope scope = Scope::kWeak;
  };
  struct Read {
    const Instruction* by = nullptr;
    uint32_t block = 0, clock = 0;
    Mask lanes = 0;
    uint16_t warp = 0;
    Scope scope = Scope::kWeak;
  };
  Write write;
  Read read;
  std::unique_ptr<std::vector<Read>> more;  // reads beside the first
};

// The cells of an allocation, or of a block's shared memory: one for 4 bytes, or, once something
// smaller was accessed, one for each byte.
class RaceShadow {
 public:
  explicit RaceShadow(uint64_t bytes) : bytes_(bytes) {}
  // Make cells for accesses of so many bytes possible.
  void refine(uint32_t bytes) {
    if (bytes < (uint32_t{1} << shift_)) split_cells();
  }
  int shift() const { return shift_; }
  RaceCell& cell(uint64_t number);

 private:
  static constexpr int kPageShift = 8;
  struct Page {
    RaceCell cells[1 << kPageShift];
  };
  void split_cells();

  uint64_t bytes_;
  int shift_ = 2;
  std::vector<std::unique_ptr<Page>> pages_;
};

// Looks at every access of one launch.
class RaceDetector {
 public:
  explicit RaceDetector(Grid& grid) : grid_(grid) {}

  // Lanes of a warp access memory, before they do. Throws Fault.
  void access(Warp& warp, const Instruction& i, const MemoryOperand& op, Mask lanes,
              const Access& access);

 private:
  struct Place {
    RaceShadow* shadow = nullptr;
    uint64_t offset = 0;
    uint64_t key = 0;  // of the address, among those at which something was published
  };
  // One access of lanes that share their place.
  struct Attempt {
    Warp& warp;
    const Instruction& i;
    const MemoryOperand& op;
    const Access& access;
    Mask lanes;  // at this place
    Mask all;    // of the instruction
    uint64_t address;
  };

  Place place_of(Warp& warp, uint64_t address);
  void check(const Attempt& attempt, RaceCell& cell);
  void check_write(const Attempt& attempt, const RaceCell::Write& write);
  void check_read(const Attempt& attempt, const RaceCell::Read& read);
  void note_read(const Attempt& attempt, RaceCell& cell);
  void synchronise(const Attempt& attempt, uint64_t key);
  bool reach_each_other(Scope one, Scope other, uint32_t block, const Warp& warp) const;
  bool stores_the_same(const Attempt& attempt, int lane, int other) const;
  [[noreturn]] void report(const Attempt& attempt, int lane, const char* what,
                           const Instruction& other, uint32_t block, uint32_t thread) const;

  Grid& grid_;
  std::unordered_map<const Allocation*, std::unique_ptr<RaceShadow>> shadows_;
  std::unordered_map<uint64_t, std::vector<Published>> published_;
};

}  // namespace softcuda
