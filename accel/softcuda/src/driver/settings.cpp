#include "settings.h"

#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <utility>
#include <vector>

namespace softcuda {
namespace {

uint64_t number(const char* name, uint64_t otherwise, uint64_t least, uint64_t most) {
  const char* text = std::getenv(name);
  if (text == nullptr || *text == '\0') return otherwise;
  char* end = nullptr;
  const uint64_t value = std::strtoull(text, &end, 10);
  if (*text < '0' || *text > '9' || *end != '\0' || value < least || value > most) {
    throw ApiError(Status::kNotPermitted,
                   std::string(name) + " has value '" + text + "', expected an integer from " +
                       std::to_string(least) + " to " + std::to_string(most));
  }
  return value;
}

std::string text(const char* name) {
  const char* value = std::getenv(name);
  return value == nullptr ? "" : value;
}

// The value of a variable that is one of some words; the first of them if it is not set.
std::string word(const char* name, const std::vector<std::string>& words) {
  const std::string value = text(name);
  if (value.empty()) return words[0];
  if (std::find(words.begin(), words.end(), value) != words.end()) return value;
  std::string list = words[0];
  for (size_t k = 1; k < words.size(); ++k) {
    list += (k + 1 == words.size() ? " or " : ", ") + words[k];
  }
  throw ApiError(Status::kNotPermitted,
                 std::string(name) + " has value '" + value + "', expected " + list);
}

const Architecture& chosen_architecture() {
  constexpr char kName[] = "SOFTCUDA_COMPUTE_CAPABILITY";
  const uint64_t capability = number(kName, 86, 0, INT32_MAX);
  try {
    return architecture(static_cast<int>(capability));
  } catch (const ApiError&) {
    throw ApiError(Status::kNotPermitted, std::string(kName) + " has value '" +
                                              std::to_string(capability) + "', expected one of " +
                                              known_capabilities());
  }
}

Schedule chosen_schedule() {
  const std::string name =
      word("SOFTCUDA_SCHEDULE", {"post-dominator", "lowest-pc", "adversarial"});
  return name == "adversarial" ? Schedule::kAdversarial
         : name == "lowest-pc" ? Schedule::kLowestPc
                               : Schedule::kPostDominator;
}

// "exact", or the seed of the errors that .approx instructions are given.
uint64_t approximation_seed() {
  constexpr char kName[] = "SOFTCUDA_APPROX";
  if (text(kName) == "exact") return 0;
  try {
    return number(kName, 0, 1, INT64_MAX);
  } catch (const ApiError& error) {
    throw ApiError(error.status, std::string(error.what()) + ", or exact");
  }
}

// A list such as "race,uninit" beside what is looked for anyway; "all", "none", and names with a
// minus sign take part from left to right.
Checks checks_of(const std::string& list) {
  Checks checks;
  const std::pair<const char*, bool Checks::*> names[] = {
      {"free", &Checks::use_after_free}, {"uninit", &Checks::uninitialised},
      {"race", &Checks::race},           {"barrier", &Checks::barrier},
      {"lanes", &Checks::lanes},         {"deadlock", &Checks::deadlock},
  };
  for (size_t at = 0; at < list.size();) {
    const size_t end = std::min(list.find(',', at), list.size());
    std::string word = list.substr(at, end - at);
    at = end + 1;
    const bool value = word[0] != '-';
    if (!value) word.erase(0, 1);
    bool is_known = false;
    for (const auto& [name, member] : names) {
      if (word != name && word != "all" && word != "none") continue;
      checks.*member = value != (word == "none");
      is_known = true;
    }
    if (!is_known) {
      throw ApiError(Status::kNotPermitted,
                     "SOFTCUDA_CHECK has value '" + list +
                         "', expected a list of free, uninit, race, barrier, lanes, deadlock, "
                         "all and none, each with a minus sign to leave it out");
    }
  }
  return checks;
}

}  // namespace

Settings Settings::from_environment() {
  Settings s;
  s.limits.seed = number("SOFTCUDA_SEED", 0, 0, UINT64_MAX / 4);
  s.limits.multiprocessors = static_cast<int>(number("SOFTCUDA_MULTIPROCESSORS", 4, 1, 256));
  s.memory_bytes = number("SOFTCUDA_MEMORY_MB", 4096, 16, 1 << 20) << 20;
  s.limits.patience = number("SOFTCUDA_PATIENCE", 200'000'000, 1'000'000, UINT64_MAX / 4);
  s.limits.approximation_seed = approximation_seed();
  s.limits.budget = number("SOFTCUDA_BUDGET", UINT64_MAX, 1, UINT64_MAX / 4);
  s.limits.threads = static_cast<int>(number("SOFTCUDA_THREADS", 1, 1, 64));
  s.limits.checks = checks_of(text("SOFTCUDA_CHECK"));
  s.limits.architecture = s.architecture = &chosen_architecture();
  s.limits.schedule = chosen_schedule();
  if (s.limits.schedule == Schedule::kAdversarial) s.limits.quantum = 2'000;
  s.has_lazy_streams = word("SOFTCUDA_STREAMS", {"synchronous", "lazy"}) == "lazy";
  s.profile = text("SOFTCUDA_PROFILE");
  s.faults = text("SOFTCUDA_FAULTS");
  s.ptxas = text("SOFTCUDA_PTXAS");
  if (!s.ptxas.empty() && access(s.ptxas.c_str(), X_OK) != 0) {
    throw ApiError(Status::kNotPermitted,
                   "SOFTCUDA_PTXAS has value '" + s.ptxas + "', expected the path of ptxas");
  }
  return s;
}

}  // namespace softcuda
