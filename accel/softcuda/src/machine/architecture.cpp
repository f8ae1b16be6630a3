#include "architecture.h"

#include <algorithm>

namespace softcuda {
namespace {

// From the table of technical specifications in NVIDIA's CUDA programming guide.
constexpr Architecture kArchitectures[] = {
    {75, 1024, 16, 64 * 1024},   {80, 2048, 32, 164 * 1024},  {86, 1536, 16, 100 * 1024},
    {87, 1536, 16, 164 * 1024},  {88, 1536, 16, 100 * 1024},  {89, 1536, 24, 100 * 1024},
    {90, 2048, 32, 228 * 1024},  {100, 2048, 32, 228 * 1024}, {103, 2048, 32, 228 * 1024},
    {110, 1536, 24, 228 * 1024}, {120, 1536, 24, 100 * 1024},
};

}  // namespace

const Architecture& architecture(int capability) {
  for (const Architecture& one : kArchitectures) {
    if (one.capability == capability) return one;
  }
  throw ApiError(Status::kNotPermitted, "compute capability " + std::to_string(capability) +
                                            " is not known, expected one of " +
                                            known_capabilities());
}

std::string known_capabilities() {
  std::string list;
  for (const Architecture& one : kArchitectures) {
    list += (list.empty() ? "" : ", ") + std::to_string(one.capability);
  }
  return list;
}

uint64_t resident_blocks(const Architecture& architecture, uint64_t threads, int registers,
                         uint64_t shared) {
  // Registers are given out to warps in units, and warps have one of four schedulers each.
  constexpr uint64_t kRegisterUnit = 256, kSchedulers = 4;
  const uint64_t shared_unit = architecture.capability >= 80 ? 128 : 256;
  const uint64_t warps = (threads + kLanes - 1) / kLanes;
  const uint64_t of_warp =
      round_up(static_cast<uint64_t>(std::max(registers, 1)) * kLanes, kRegisterUnit);
  const uint64_t warps_by_registers =
      Architecture::kRegisters / of_warp / kSchedulers * kSchedulers;
  const uint64_t of_block =
      round_up(shared + static_cast<uint64_t>(architecture.reserved_shared()), shared_unit);
  uint64_t blocks = static_cast<uint64_t>(architecture.blocks);
  blocks = std::min(blocks, static_cast<uint64_t>(architecture.warps()) / warps);
  blocks = std::min(blocks, warps_by_registers / warps);
  if (of_block != 0)
    blocks = std::min(blocks, static_cast<uint64_t>(architecture.shared) / of_block);
  return blocks;
}

}  // namespace softcuda
