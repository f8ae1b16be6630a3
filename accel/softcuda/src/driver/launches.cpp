// The driver API: launches.
#include <algorithm>
#include <cstdio>

#include "call.h"
#include "functions.h"
#include "module_loading.h"

using namespace softcuda;

namespace {

constexpr size_t kMostParameters = 4096;  // bytes, of the calls before cuLaunchKernel

// Why goes to stderr too: a code says little.
[[noreturn]] void refuse(const Function& f, Status status, const std::string& what) {
  std::fprintf(stderr, "softcuda: cannot launch %s: %s\n", f.name.c_str(), what.c_str());
  throw ApiError(status, what);
}

std::string words(const Dim& dim) {
  return "(" + std::to_string(dim.x) + ", " + std::to_string(dim.y) + ", " + std::to_string(dim.z) +
         ")";
}

// --- parameters ---

std::vector<char> from_pointers(const Function& f, void** pointers) {
  std::vector<char> bytes(f.param_bytes, 0);
  for (size_t k = 0; k < f.parameters.size(); ++k) {
    const auto [place, size] = f.parameters[k];
    std::memcpy(bytes.data() + place, &given(static_cast<char*>(pointers[k])), size);
  }
  return bytes;
}

// A list of keys and values: where the parameters are, and how many bytes.
std::vector<char> from_buffer(const Function& f, void** list) {
  constexpr uintptr_t kPointer = 1, kSize = 2;
  const char* buffer = nullptr;
  size_t size = 0;
  for (void** item = list; item != nullptr && *item != nullptr; item += 2) {
    const auto key = reinterpret_cast<uintptr_t>(*item);
    require(key == kPointer || key == kSize);
    if (key == kPointer) buffer = static_cast<const char*>(item[1]);
    if (key == kSize) size = given(static_cast<const size_t*>(item[1]));
  }
  require(size == 0 || buffer != nullptr);
  if (size < f.kernel_param_bytes) {
    refuse(f, Status::kInvalidValue,
           "it is given " + std::to_string(size) + " bytes of parameters, expected " +
               std::to_string(f.kernel_param_bytes));
  }
  std::vector<char> bytes(f.param_bytes, 0);
  if (f.kernel_param_bytes != 0) std::memcpy(bytes.data(), buffer, f.kernel_param_bytes);
  return bytes;
}

// --- what is allowed ---

void check_shape(const Function& f, const Dim& grid, const Dim& block) {
  const Status bad = Status::kInvalidValue;
  const bool is_grid = grid.x != 0 && grid.y != 0 && grid.z != 0 && grid.x <= INT32_MAX &&
                       grid.y <= Architecture::kHighestGrid && grid.z <= Architecture::kHighestGrid;
  if (!is_grid) {
    refuse(f, bad,
           "the grid has size " + words(grid) + ", expected 1 to 2147483647, 65535 and 65535");
  }
  const bool is_block = block.x != 0 && block.y != 0 && block.z != 0 &&
                        block.x <= Architecture::kThreads && block.y <= Architecture::kThreads &&
                        block.z <= Architecture::kDeepestBlock &&
                        block.product() <= Architecture::kThreads;
  if (!is_block) {
    refuse(f, bad,
           "a block has size " + words(block) +
               ", expected 1 to 1024, 1024 and 64, and at most 1024 threads");
  }
  if (block.product() > static_cast<uint64_t>(f.max_threads)) {
    refuse(f, bad,
           "a block has " + std::to_string(block.product()) + " threads, expected at most the " +
               std::to_string(f.max_threads) + " for which the kernel was compiled");
  }
  const Dim needed = dim_of(f.required_threads);
  const bool is_required = f.required_threads[0] == 0 ||
                           (block.x == needed.x && block.y == needed.y && block.z == needed.z);
  if (!is_required) {
    refuse(f, bad,
           "a block has size " + words(block) + ", expected the " + words(needed) +
               " for which the kernel was compiled");
  }
}

void check_resources(const Driver& driver, const FunctionHandle& handle, const Dim& block,
                     uint32_t shared) {
  const Function& f = *handle.function;
  if (static_shared(f) > Architecture::kShared) {
    refuse(f, Status::kLaunchOutOfResources,
           "its variables take " + std::to_string(static_shared(f)) +
               " bytes of shared memory, expected at most " +
               std::to_string(Architecture::kShared));
  }
  const auto most = static_cast<uint32_t>(most_dynamic_shared(handle));
  if (shared > most) {
    refuse(f, Status::kInvalidValue,
           "it is given " + std::to_string(shared) + " bytes of shared memory, expected at most " +
               std::to_string(most) + " (CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES)");
  }
  if (resident_blocks(*driver.settings.architecture, block.product(), f.registers, 0) == 0) {
    refuse(f, Status::kLaunchOutOfResources,
           std::to_string(block.product()) + " threads of " + std::to_string(f.registers) +
               " registers are more than a multiprocessor has");
  }
}

void check_cluster(const Driver& driver, const FunctionHandle& handle, const Dim& grid) {
  const Dim cluster = cluster_of(handle);
  if (cluster.x == 0 && cluster.y == 0 && cluster.z == 0) return;
  const Function& f = *handle.function;
  const Status bad = Status::kInvalidClusterSize;
  if (!driver.settings.architecture->has_clusters()) {
    refuse(f, bad, "it has clusters, expected compute capability 9.0 or higher");
  }
  const int most = handle.allows_large_clusters != 0 ? Architecture::kLargestCluster
                                                     : Architecture::kPortableCluster;
  if (cluster.product() == 0 || cluster.product() > static_cast<uint64_t>(most)) {
    refuse(f, bad,
           "a cluster has size " + words(cluster) + ", expected 1 to " + std::to_string(most) +
               " blocks");
  }
  if (grid.x % cluster.x != 0 || grid.y % cluster.y != 0 || grid.z % cluster.z != 0) {
    refuse(f, bad,
           "the grid has size " + words(grid) + ", expected a multiple of its clusters' " +
               words(cluster));
  }
}

// Bytes of local memory of the deepest chain of calls in which no function comes twice. Recursion
// and calls through pointers live on the stack that the context allows beside it.
uint32_t call_depth(const Function& f, std::map<const Function*, uint32_t>& known) {
  constexpr uint32_t kBegun = ~uint32_t{0};
  const auto [found, is_new] = known.emplace(&f, kBegun);
  if (!is_new) return found->second == kBegun ? 0 : found->second;
  uint32_t most = 0;
  for (const auto& operand : f.call_operands) {
    if (operand->callee != nullptr) most = std::max(most, call_depth(*operand->callee, known));
  }
  return known[&f] = most + (f.is_entry ? 0 : f.local_bytes);
}

// --- the launch ---

void tell(const std::string& report, const Settings& settings) {
  std::fputs(report.c_str(), stderr);
  std::fflush(stderr);
  if (settings.faults.empty()) return;
  std::FILE* file = std::fopen(settings.faults.c_str(), "a");
  if (file == nullptr) {
    std::fprintf(stderr, "softcuda: cannot write to %s\n", settings.faults.c_str());
    return;
  }
  std::fputs(report.c_str(), file);
  std::fclose(file);
}

void run(Driver& driver, FunctionHandle& handle, const Launch& what, Context& context) {
  ++handle.launches;
  Limits limits = driver.settings.limits;
  std::map<const Function*, uint32_t> known;
  limits.stack_bytes = call_depth(*what.entry, known) + static_cast<uint32_t>(context.stack_limit);
  limits.heap = &context.heap;
  limits.prints = &context.prints;
  const Report report = Grid(what, *driver.memory, limits).run();
  context.prints.flush(what.entry->name);
  if (report.status == Status::kSuccess) return;
  tell(report.text(), driver.settings);
  // As on a GPU, the launch itself has succeeded; what follows fails until the context goes.
  context.fault = report.status;
}

void launch(Driver& driver, FunctionHandle& handle, const Dim& grid, const Dim& block,
            uint32_t shared, Stream& stream, void** pointers, void** list) {
  Context& context = *stream.context;
  require(context.modules.count(handle.module) != 0, Status::kInvalidHandle);
  measure_registers(driver, *handle.module);
  check_shape(*handle.function, grid, block);
  check_resources(driver, handle, block, shared);
  check_cluster(driver, handle, grid);
  require(pointers == nullptr || list == nullptr);
  Launch what;
  what.entry = handle.function;
  what.program = handle.module->program.get();
  what.grid = grid;
  what.block = block;
  const Dim cluster = cluster_of(handle);
  what.is_explicit_cluster = cluster.product() != 0;
  if (what.is_explicit_cluster) what.cluster = cluster;
  what.dynamic_shared = shared;
  what.params =
      pointers != nullptr ? from_pointers(*what.entry, pointers) : from_buffer(*what.entry, list);
  driver.work.submit(stream,
                     [&driver, &handle, what, &context] { run(driver, handle, what, context); });
}

}  // namespace

SOFTCUDA_API int cuLaunchKernel(FunctionHandle* function, unsigned gx, unsigned gy, unsigned gz,
                                unsigned bx, unsigned by, unsigned bz, unsigned shared,
                                void* stream, void** pointers, void** list) {
  return call(Needs::kContext, [&](Driver& driver) {
    launch(driver, live(driver.functions, function), {gx, gy, gz}, {bx, by, bz}, shared,
           driver.stream(stream), pointers, list);
  });
}

// --- launches as they were before cuLaunchKernel: piece by piece ---------------------------------

namespace {

int set_parameter(FunctionHandle* function, int offset, const void* value, size_t bytes) {
  return call(Needs::kContext, [&](Driver& driver) {
    std::vector<char>& parameters = live(driver.functions, function).parameters;
    require(value != nullptr && offset >= 0);
    const size_t end = static_cast<size_t>(offset) + bytes;
    require(end <= kMostParameters);
    parameters.resize(std::max(parameters.size(), end));
    std::memcpy(parameters.data() + offset, value, bytes);
  });
}

int launch_prepared(FunctionHandle* function, int width, int height, void* stream) {
  return call(Needs::kContext, [&](Driver& driver) {
    FunctionHandle& handle = live(driver.functions, function);
    require(width > 0 && height > 0);
    size_t size = handle.parameters.size();
    void* list[] = {reinterpret_cast<void*>(1), handle.parameters.data(),
                    reinterpret_cast<void*>(2), &size, nullptr};
    launch(driver, handle, {static_cast<uint32_t>(width), static_cast<uint32_t>(height), 1},
           handle.block, handle.shared, driver.stream(stream), nullptr, list);
  });
}

}  // namespace

SOFTCUDA_API int cuFuncSetBlockShape(FunctionHandle* function, int x, int y, int z) {
  return call(Needs::kContext, [&](Driver& driver) {
    FunctionHandle& handle = live(driver.functions, function);
    require(x > 0 && y > 0 && z > 0);
    handle.block = {static_cast<uint32_t>(x), static_cast<uint32_t>(y), static_cast<uint32_t>(z)};
  });
}
SOFTCUDA_API int cuFuncSetSharedSize(FunctionHandle* function, unsigned bytes) {
  return call(Needs::kContext,
              [&](Driver& driver) { live(driver.functions, function).shared = bytes; });
}
SOFTCUDA_API int cuParamSetSize(FunctionHandle* function, unsigned bytes) {
  return call(Needs::kContext, [&](Driver& driver) {
    FunctionHandle& handle = live(driver.functions, function);
    require(bytes <= kMostParameters);
    handle.parameters.resize(bytes);
  });
}
SOFTCUDA_API int cuParamSeti(FunctionHandle* function, int offset, unsigned value) {
  return set_parameter(function, offset, &value, sizeof value);
}
SOFTCUDA_API int cuParamSetf(FunctionHandle* function, int offset, float value) {
  return set_parameter(function, offset, &value, sizeof value);
}
SOFTCUDA_API int cuParamSetv(FunctionHandle* function, int offset, void* value, unsigned bytes) {
  return set_parameter(function, offset, value, bytes);
}
SOFTCUDA_API int cuLaunch(FunctionHandle* function) {
  return launch_prepared(function, 1, 1, nullptr);
}
SOFTCUDA_API int cuLaunchGrid(FunctionHandle* function, int width, int height) {
  return launch_prepared(function, width, height, nullptr);
}
SOFTCUDA_API int cuLaunchGridAsync(FunctionHandle* function, int width, int height, void* stream) {
  return launch_prepared(function, width, height, stream);
}
