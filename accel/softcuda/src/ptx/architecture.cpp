#include "architecture.h"

namespace softcuda::ptx {

std::string Architecture::name() const {
  std::string text = "sm_" + std::to_string(number);
  if (suffix != 0) text += suffix;
  return text;
}

bool Architecture::machine_code_runs_on(int device) const {
  if (suffix == 'a') return device == number;
  return device / 10 == number / 10 && device >= number;
}

bool Architecture::ptx_runs_on(int device) const {
  return suffix == 0 ? device >= number : machine_code_runs_on(device);
}

Architecture architecture_named(const std::string& name) {
  Architecture result;
  size_t at = 3;
  if (name.compare(0, at, "sm_") != 0) return result;
  for (; at < name.size() && name[at] >= '0' && name[at] <= '9' && result.number < 1000; ++at) {
    result.number = result.number * 10 + (name[at] - '0');
  }
  if (at < name.size()) result.suffix = name[at++];
  const bool is_one = result.suffix == 0 || result.suffix == 'a' || result.suffix == 'f';
  return is_one && at == name.size() ? result : Architecture{};
}

}  // namespace softcuda::ptx
