#include "scopes.h"

#include <cstdlib>

namespace softcuda::ptx {

int Scopes::find_register(const std::string& name) const {
  constexpr size_t kMostDigits = 7;
  const size_t digits = name.find_last_not_of("0123456789") + 1;
  const bool may_be_of_range = digits != name.size() && name.size() - digits <= kMostDigits;
  for (auto scope = scopes_.rbegin(); scope != scopes_.rend(); ++scope) {
    const auto single = scope->registers.find(name);
    if (single != scope->registers.end()) return single->second;
    if (!may_be_of_range) continue;
    const auto range = scope->ranges.find(name.substr(0, digits));
    if (range == scope->ranges.end()) continue;
    const auto [first, count] = range->second;
    const int number = std::atoi(name.c_str() + digits);
    if (number < count) return first + number;
  }
  return -1;
}

int Scopes::find_variable(const std::string& name) const {
  for (auto scope = scopes_.rbegin(); scope != scopes_.rend(); ++scope) {
    const auto found = scope->variables.find(name);
    if (found != scope->variables.end()) return found->second;
  }
  return -1;
}

}  // namespace softcuda::ptx
