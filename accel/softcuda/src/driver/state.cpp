#include "state.h"

#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstdio>
#include <cstdlib>

namespace softcuda {
namespace {

uint64_t number(const char* name, uint64_t otherwise, uint64_t least, uint64_t most) {
  const char* text = std::getenv(name);
  if (text == nullptr || *text == '\0') return otherwise;
  char* end = nullptr;
  const uint64_t value = std::strtoull(text, &end, 10);
  if (*end != '\0' || value < least || value > most) {
    throw ApiError(Status::kNotPermitted,
                   std::string(name) + " has value '" + text + "', expected an integer from " +
                       std::to_string(least) + " to " + std::to_string(most));
  }
  return value;
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

// "exact", or the seed of the errors that .approx instructions are given.
uint64_t approximation_seed() {
  const char* text = std::getenv("SOFTCUDA_APPROX");
  if (text == nullptr || *text == '\0' || std::string(text) == "exact") return 0;
  char* end = nullptr;
  const uint64_t seed = std::strtoull(text, &end, 10);
  if (*end == '\0' && *text >= '0' && *text <= '9' && seed != 0 && seed <= INT64_MAX) return seed;
  throw ApiError(Status::kNotPermitted, std::string("SOFTCUDA_APPROX has value '") + text +
                                            "', expected exact, or a seed: an integer from 1 to " +
                                            std::to_string(INT64_MAX));
}

}  // namespace

Settings Settings::from_environment() {
  Settings s;
  s.limits.seed = number("SOFTCUDA_SEED", 0, 0, UINT64_MAX / 4);
  s.limits.approximation_seed = approximation_seed();
  s.limits.multiprocessors = static_cast<int>(number("SOFTCUDA_MULTIPROCESSORS", 4, 1, 256));
  s.memory_bytes = number("SOFTCUDA_MEMORY_MB", 4096, 16, 1 << 20) << 20;
  s.limits.patience = number("SOFTCUDA_PATIENCE", 200'000'000, 1'000'000, UINT64_MAX / 4);
  s.limits.threads = static_cast<int>(number("SOFTCUDA_THREADS", 1, 1, 64));
  const char* checks = std::getenv("SOFTCUDA_CHECK");
  if (checks != nullptr) s.limits.checks = checks_of(checks);
  const uint64_t capability = number("SOFTCUDA_COMPUTE_CAPABILITY", 86, 75, 120);
  s.compute_major = static_cast<int>(capability / 10);
  s.compute_minor = static_cast<int>(capability % 10);
  const char* schedule = std::getenv("SOFTCUDA_SCHEDULE");
  const std::string name = schedule == nullptr || *schedule == '\0' ? "post-dominator" : schedule;
  if (name == "post-dominator") {
    s.limits.schedule = Schedule::kPostDominator;
  } else if (name == "lowest-pc") {
    s.limits.schedule = Schedule::kLowestPc;
  } else if (name == "adversarial") {
    s.limits.schedule = Schedule::kAdversarial;
    s.limits.quantum = 2'000;
  } else {
    throw ApiError(Status::kNotPermitted,
                   "SOFTCUDA_SCHEDULE has value '" + name +
                       "', expected post-dominator, lowest-pc or adversarial");
  }
  const char* profile = std::getenv("SOFTCUDA_PROFILE");
  if (profile != nullptr) s.profile = profile;
  return s;
}

Driver& Driver::get() {
  static Driver* driver = new Driver;  // never destroyed: Python's own teardown may come later
  return *driver;
}

std::vector<Context*>& Driver::stack() {
  static thread_local std::vector<Context*> contexts;
  return contexts;
}

void Driver::initialize() {
  if (is_initialized) return;
  if (access("/proc/driver/nvidia/version", F_OK) == 0 &&
      std::getenv("SOFTCUDA_FORCE") == nullptr) {
    throw ApiError(
        Status::kNotPermitted,
        "this machine has a real driver: set SOFTCUDA_FORCE=1 to use softcuda all the same");
  }
  settings = Settings::from_environment();
  memory = std::make_unique<DeviceMemory>(settings.memory_bytes);
  primary.is_primary = true;
  is_initialized = true;
  if (!settings.profile.empty()) {
    std::atexit([] {
      Driver& driver = Driver::get();
      std::FILE* file = std::fopen(driver.settings.profile.c_str(), "w");
      if (file == nullptr) {
        std::fprintf(stderr, "softcuda: cannot write %s\n", driver.settings.profile.c_str());
        return;
      }
      const std::string text = driver.profile();
      std::fwrite(text.data(), 1, text.size(), file);
      std::fclose(file);
    });
  }
}

Context& Driver::current() {
  if (stack().empty() || stack().back() == nullptr)
    throw ApiError(Status::kInvalidContext, "no context is current");
  Context* context = stack().back();
  if (context != &primary && contexts.count(context) == 0) {
    throw ApiError(Status::kInvalidContext, "the current context was destroyed");
  }
  return *context;
}

void Driver::unload(ModuleHandle* module) {
  for (const auto& variable : module->program->variables) memory->release(variable.second.first);
  for (auto& entry : module->functions) functions.erase(entry.second.get());
  modules.erase(module);
  for (Context* context : contexts) context->modules.erase(module);
  primary.modules.erase(module);
  unloaded.emplace_back(module);
}

void Driver::destroy(Context& context) {
  while (!context.modules.empty()) unload(*context.modules.begin());
  for (uint64_t address : context.allocations) memory->release(address);
  context.allocations.clear();
  context.fault = Status::kSuccess;
  if (&context == &primary) return;
  contexts.erase(&context);
  auto& current = stack();
  while (!current.empty() && current.back() == &context) current.pop_back();
  delete &context;
}

// --- counters ---

std::string Driver::profile() const {
  std::string out = "{\"device\": \"softcuda (software)\", \"kernels\": [";
  bool is_first = true;
  const auto add = [&](const ModuleHandle& module) {
    for (const auto& entry : module.program->functions) {
      const Function& f = *entry.second;
      std::array<std::pair<uint64_t, uint64_t>, static_cast<size_t>(Category::kCount)> classes{};
      Count sum;
      uint64_t flops = 0;
      for (size_t k = 0; k < f.code.size(); ++k) {
        const Count& c = f.counts[k];
        if (f.code[k].is_auxiliary) continue;
        auto& one = classes[static_cast<size_t>(f.code[k].category)];
        one.first += c.warps, one.second += c.lanes;
        sum.warps += c.warps, sum.lanes += c.lanes;
        sum.global_requests += c.global_requests, sum.shared_requests += c.shared_requests;
        sum.sectors += c.sectors, sum.wavefronts += c.wavefronts;
        flops += c.lanes * f.code[k].flops;
      }
      if (sum.warps == 0) continue;
      const auto handle = module.functions.find(f.name);
      const uint64_t launches = handle == module.functions.end() ? 0 : handle->second->launches;
      out += is_first ? "\n" : ",\n";
      is_first = false;
      out += "  {\"name\": \"" + f.name + "\", \"launches\": " + std::to_string(launches) +
             ", \"warp_instructions\": " + std::to_string(sum.warps) +
             ", \"lane_instructions\": " + std::to_string(sum.lanes) +
             ", \"flops\": " + std::to_string(flops) +
             ", \"global_requests\": " + std::to_string(sum.global_requests) +
             ", \"global_sectors\": " + std::to_string(sum.sectors) +
             ", \"shared_requests\": " + std::to_string(sum.shared_requests) +
             ", \"shared_wavefronts\": " + std::to_string(sum.wavefronts) + ", \"classes\": {";
      bool first_class = true;
      for (size_t k = 0; k < classes.size(); ++k) {
        if (classes[k].first == 0) continue;
        out += std::string(first_class ? "" : ", ") + "\"" +
               category_name(static_cast<Category>(k)) +
               "\": {\"warps\": " + std::to_string(classes[k].first) +
               ", \"lanes\": " + std::to_string(classes[k].second) + "}";
        first_class = false;
      }
      out += "}}";
    }
  };
  for (const auto& module : unloaded) add(*module);
  for (const ModuleHandle* module : modules) add(*module);
  return out + "\n]}\n";
}

// --- calls ---

int call(bool needs_context, const std::function<void(Driver&)>& body) {
  Driver& driver = Driver::get();
  const std::lock_guard<std::mutex> lock(driver.mutex);
  try {
    if (!driver.is_initialized) throw ApiError(Status::kNotInitialized, "cuInit was not called");
    if (needs_context) {
      const Status fault = driver.current().fault;
      if (fault != Status::kSuccess) return static_cast<int>(fault);
    }
    body(driver);
    return 0;
  } catch (const ApiError& error) {
    return static_cast<int>(error.status);
  } catch (const std::bad_alloc&) {
    return static_cast<int>(Status::kOutOfMemory);
  } catch (const std::exception& error) {
    std::fprintf(stderr, "softcuda: %s\n", error.what());
    return static_cast<int>(Status::kUnknown);
  }
}

int not_supported(const char*) { return static_cast<int>(Status::kNotSupported); }

}  // namespace softcuda
