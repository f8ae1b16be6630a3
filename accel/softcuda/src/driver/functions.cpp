// The driver API: attributes of functions.
#include "functions.h"

#include <algorithm>

#include "call.h"
#include "module_loading.h"

namespace softcuda {

int most_threads(const Function& function, const Architecture& architecture) {
  int threads = Architecture::kThreads;
  while (threads > kLanes && resident_blocks(architecture, static_cast<uint64_t>(threads),
                                             function.registers, 0) == 0) {
    threads -= kLanes;
  }
  return std::min(threads, function.max_threads);
}

int static_shared(const Function& function) {
  return static_cast<int>(function.shared_end - function.shared_begin);
}

int most_dynamic_shared(const FunctionHandle& handle) {
  if (handle.dynamic_shared_limit >= 0) return handle.dynamic_shared_limit;
  return std::max(0, Architecture::kShared - static_shared(*handle.function));
}

Dim dim_of(const int (&sizes)[3]) {
  return {static_cast<uint32_t>(sizes[0]), static_cast<uint32_t>(std::max(sizes[1], 1)),
          static_cast<uint32_t>(std::max(sizes[2], 1))};
}

Dim cluster_of(const FunctionHandle& handle) {
  const int (&compiled)[3] = handle.function->cluster;
  return compiled[0] == 0 ? handle.cluster : dim_of(compiled);
}

}  // namespace softcuda

using namespace softcuda;
using Attribute = FunctionAttribute;

namespace {

// Bytes of all constant variables of the module.
int constant_bytes(const Driver& driver, const Program& program) {
  uint64_t sum = 0;
  for (const auto& entry : program.variables) {
    const Allocation* one = driver.memory->find(entry.second.first);
    if (one != nullptr && one->kind == Allocation::Kind::kConstant) sum += one->bytes;
  }
  return static_cast<int>(sum);
}

int attribute_of(const Driver& driver, const FunctionHandle& handle, Attribute attribute) {
  const Function& f = *handle.function;
  const Architecture& architecture = *driver.settings.architecture;
  switch (attribute) {
    case Attribute::kMaxThreadsPerBlock:
      return most_threads(f, architecture);
    case Attribute::kSharedSizeBytes:
      return static_shared(f);
    case Attribute::kConstSizeBytes:
      return constant_bytes(driver, *handle.module->program);
    case Attribute::kLocalSizeBytes:
      return static_cast<int>(f.local_bytes);
    case Attribute::kNumRegs:
      return f.registers;
    case Attribute::kPtxVersion:
      return handle.module->program->target;
    case Attribute::kBinaryVersion:
      return architecture.capability;
    case Attribute::kCacheModeCa:
      return 0;
    case Attribute::kMaxDynamicSharedSizeBytes:
      return most_dynamic_shared(handle);
    case Attribute::kPreferredSharedMemoryCarveout:
      return handle.carveout;
    case Attribute::kClusterSizeMustBeSet:
      return f.cluster[0] != 0 ? 1 : 0;
    case Attribute::kRequiredClusterWidth:
      return static_cast<int>(cluster_of(handle).x);
    case Attribute::kRequiredClusterHeight:
      return static_cast<int>(cluster_of(handle).y);
    case Attribute::kRequiredClusterDepth:
      return static_cast<int>(cluster_of(handle).z);
    case Attribute::kNonPortableClusterSizeAllowed:
      return handle.allows_large_clusters;
    case Attribute::kClusterSchedulingPolicyPreference:
      return handle.cluster_policy;
  }
  throw ApiError(Status::kInvalidValue, "an unknown attribute");
}

void set_cluster(FunctionHandle& handle, uint32_t Dim::* side, int value) {
  require(handle.function->cluster[0] == 0, Status::kNotPermitted);
  require(value >= 0);
  handle.cluster.*side = static_cast<uint32_t>(value);
}

void set_attribute(const Driver& driver, FunctionHandle& handle, Attribute attribute, int value) {
  switch (attribute) {
    case Attribute::kMaxDynamicSharedSizeBytes:
      require(value >= 0 && value <= driver.settings.architecture->most_shared() -
                                         static_shared(*handle.function));
      handle.dynamic_shared_limit = value;
      return;
    case Attribute::kPreferredSharedMemoryCarveout:
      require(value >= -1 && value <= 100);
      handle.carveout = value;
      return;
    case Attribute::kRequiredClusterWidth:
      return set_cluster(handle, &Dim::x, value);
    case Attribute::kRequiredClusterHeight:
      return set_cluster(handle, &Dim::y, value);
    case Attribute::kRequiredClusterDepth:
      return set_cluster(handle, &Dim::z, value);
    case Attribute::kNonPortableClusterSizeAllowed:
      require(value == 0 || value == 1);
      handle.allows_large_clusters = value;
      return;
    case Attribute::kClusterSchedulingPolicyPreference:
      require(value >= 0 && value <= 2);
      handle.cluster_policy = value;
      return;
    default:
      throw ApiError(Status::kInvalidValue, "this attribute cannot be set");
  }
}

}  // namespace

SOFTCUDA_API int cuFuncGetAttribute(int* value, int attribute, FunctionHandle* function) {
  return call(Needs::kContext, [&](Driver& driver) {
    given(value);
    const FunctionHandle& handle = live(driver.functions, function);
    measure_registers(driver, *handle.module);
    *value = attribute_of(driver, handle, static_cast<Attribute>(attribute));
  });
}
SOFTCUDA_API int cuFuncSetAttribute(FunctionHandle* function, int attribute, int value) {
  return call(Needs::kContext, [&](Driver& driver) {
    FunctionHandle& handle = live(driver.functions, function);
    set_attribute(driver, handle, static_cast<Attribute>(attribute), value);
  });
}
// A preference: no cache is modelled that it could change.
SOFTCUDA_API int cuFuncSetCacheConfig(FunctionHandle* function, int config) {
  return call(Needs::kContext, [&](Driver& driver) {
    FunctionHandle& handle = live(driver.functions, function);
    require(config >= 0 && config <= 3);
    handle.cache_config = config;
  });
}
