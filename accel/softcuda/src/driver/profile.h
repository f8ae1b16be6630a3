// What kernels did: the counts of their instructions, added up, and written as JSON.
#pragma once

#include <array>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "../program/instruction.h"

namespace softcuda {

struct Settings;

// Warps that accessed a memory, and what that took.
struct Traffic {
  uint64_t requests = 0;
  uint64_t sectors = 0;
};

struct KernelProfile {
  std::string name, demangled;
  bool is_entry = false;
  uint64_t launches = 0;
  int registers = 0;
  std::string registers_source;  // who said so
  Count total;                   // of all instructions
  uint64_t flops = 0;
  Traffic loads, stores, atomics;  // of global memory
  uint64_t atomic_operations = 0;  // of lanes, in whatever memory
  uint64_t barriers = 0;           // of warps
  std::array<std::pair<uint64_t, uint64_t>, static_cast<size_t>(Category::kCount)> classes{};
  std::map<std::pair<std::string, int>, Count> lines;  // by file and line of the source
};

KernelProfile profile_of(const Function& function, const Program& program, uint64_t launches);

std::string json(const std::vector<KernelProfile>& kernels, const Settings& settings);

// To the file of the settings, %p in whose name is the number of the process.
void write_profile(const std::vector<KernelProfile>& kernels, const Settings& settings);

}  // namespace softcuda
