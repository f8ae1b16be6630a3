// What the environment asks for.
#pragma once

#include <string>

#include "../machine/architecture.h"
#include "../machine/machine.h"

namespace softcuda {

struct Settings {
  const Architecture* architecture = nullptr;
  uint64_t memory_bytes = uint64_t{4} << 30;
  Limits limits;
  bool has_lazy_streams = false;
  std::string profile;  // a file for the counters, or empty
  std::string ptxas;    // a program, or empty
  std::string faults;   // a file to which reports are appended, or empty

  // Throws ApiError for what the environment cannot mean.
  static Settings from_environment();
};

}  // namespace softcuda
