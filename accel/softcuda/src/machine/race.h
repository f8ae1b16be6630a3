// Data races: two accesses to the same memory, one of them a write, by threads of which neither
// knows what the other did, unless both are strong.
#pragma once

#include <memory>
#include <unordered_map>
#include <vector>

#include "access.h"
#include "race_shadow.h"

namespace softcuda {

// Looks at every access of one launch.
class RaceDetector {
 public:
  explicit RaceDetector(Grid& grid);

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
  bool read_lines(Warp& warp, const Instruction& i, const MemoryOperand& op, const Place& place,
                  uint32_t bytes);
  void check(const Attempt& attempt, RaceCell& cell);
  void check_write(const Attempt& attempt, const RaceWrite& write);
  void check_read(const Attempt& attempt, const RaceRead& read);
  void synchronise(const Attempt& attempt, uint64_t key);
  void hear(const Attempt& attempt, int lane, uint64_t key);
  bool reach_each_other(Scope one, Scope other, uint32_t block, const Warp& warp) const;
  bool stores_the_same(const Attempt& attempt, int lane, int other) const;
  [[noreturn]] void report(const Attempt& attempt, int lane, const char* what,
                           const Instruction& other, uint32_t block, uint32_t thread) const;

  Grid& grid_;
  uint64_t number_;  // of the launch: what an allocation remembers of others is void
  std::vector<std::unique_ptr<RaceShadow>> shadows_;
  std::unordered_map<uint64_t, std::vector<Published>> published_;
};

}  // namespace softcuda
