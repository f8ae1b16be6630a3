// The driver API: the library itself, and the one device.
#include <cstdio>

#include "call.h"
#include "device_attributes.h"

using namespace softcuda;

namespace {

constexpr int kDriverVersion = 13000;
constexpr char kDeviceName[] = "softcuda (software)";
constexpr char kBusId[] = "0000:00:00.0";

int device_attribute(const Settings& settings, int attribute) {
  const Architecture& architecture = *settings.architecture;
  switch (attribute) {
    case MAX_THREADS_PER_BLOCK:
    case MAX_BLOCK_DIM_X:
    case MAX_BLOCK_DIM_Y:
      return Architecture::kThreads;
    case MAX_BLOCK_DIM_Z:
      return Architecture::kDeepestBlock;
    case MAX_GRID_DIM_X:
    case MAX_PITCH:
      return INT32_MAX;
    case MAX_GRID_DIM_Y:
    case MAX_GRID_DIM_Z:
      return Architecture::kHighestGrid;
    case MAX_SHARED_MEMORY_PER_BLOCK:
      return Architecture::kShared;
    case TOTAL_CONSTANT_MEMORY:
      return 64 * 1024;
    case WARP_SIZE:
      return kLanes;
    case MAX_REGISTERS_PER_BLOCK:
    case MAX_REGISTERS_PER_MULTIPROCESSOR:
      return Architecture::kRegisters;
    case CLOCK_RATE:
      return 2'000'000;  // programs divide by it, as by the next two
    case MEMORY_CLOCK_RATE:
      return 1'000'000;
    case GLOBAL_MEMORY_BUS_WIDTH:
      return 256;
    case TEXTURE_ALIGNMENT:
      return 512;
    case TEXTURE_PITCH_ALIGNMENT:
      return 32;
    case MULTIPROCESSOR_COUNT:
      return settings.limits.multiprocessors;
    case L2_CACHE_SIZE:
      return 4 << 20;
    case MAX_THREADS_PER_MULTIPROCESSOR:
      return architecture.threads;
    case COMPUTE_CAPABILITY_MAJOR:
      return architecture.major();
    case COMPUTE_CAPABILITY_MINOR:
      return architecture.minor();
    case MAX_SHARED_MEMORY_PER_MULTIPROCESSOR:
      return architecture.shared;
    case MAX_SHARED_MEMORY_PER_BLOCK_OPTIN:
      return architecture.most_shared();
    case MAX_BLOCKS_PER_MULTIPROCESSOR:
      return architecture.blocks;
    case RESERVED_SHARED_MEMORY_PER_BLOCK:
      return architecture.reserved_shared();
    case CLUSTER_LAUNCH:
      return architecture.has_clusters() ? 1 : 0;
    case HOST_NUMA_ID:
      return -1;
    case GPU_OVERLAP:
    case CAN_MAP_HOST_MEMORY:
    case CONCURRENT_KERNELS:
    case ASYNC_ENGINE_COUNT:
    case UNIFIED_ADDRESSING:
    case GLOBAL_L1_CACHE_SUPPORTED:
    case LOCAL_L1_CACHE_SUPPORTED:
    case MANAGED_MEMORY:
    case CONCURRENT_MANAGED_ACCESS:
    case CAN_USE_HOST_POINTER_FOR_REGISTERED_MEM:
    case HOST_REGISTER_SUPPORTED:
    case DIRECT_MANAGED_MEM_ACCESS_FROM_HOST:
      return 1;
    default:
      return 0;  // there is none, or it cannot be done
  }
}

void require_device(int device) { require(device == 0, Status::kInvalidDevice); }

int copy_name(const char* from, char* to, int length, int device) {
  return call(Needs::kDevice, [&](Driver&) {
    given(to);
    require_device(device);
    require(length > 0);
    std::snprintf(to, static_cast<size_t>(length), "%s", from);
  });
}

}  // namespace

SOFTCUDA_API int cuInit(unsigned flags) {
  Driver& driver = Driver::get();
  const std::lock_guard<std::mutex> lock(driver.mutex);
  if (flags != 0) return static_cast<int>(Status::kInvalidValue);
  try {
    driver.initialize();
    return 0;
  } catch (const ApiError& error) {
    std::fprintf(stderr, "softcuda: %s\n", error.what());
    return static_cast<int>(error.status);
  }
}

SOFTCUDA_API int cuDriverGetVersion(int* version) {
  if (version == nullptr) return static_cast<int>(Status::kInvalidValue);
  *version = kDriverVersion;
  return 0;
}

SOFTCUDA_API int cuDeviceGetCount(int* count) {
  return call(Needs::kDevice, [&](Driver&) { given(count) = 1; });
}
SOFTCUDA_API int cuDeviceGet(int* device, int ordinal) {
  return call(Needs::kDevice, [&](Driver&) {
    given(device);
    require_device(ordinal);
    *device = ordinal;
  });
}
SOFTCUDA_API int cuDeviceGetName(char* name, int length, int device) {
  return copy_name(kDeviceName, name, length, device);
}
SOFTCUDA_API int cuDeviceGetPCIBusId(char* name, int length, int device) {
  return copy_name(kBusId, name, length, device);
}
SOFTCUDA_API int cuDeviceGetByPCIBusId(int* device, const char* name) {
  return call(Needs::kDevice, [&](Driver&) {
    given(device);
    const std::string text = &given(name);
    // With or without the domain, and the function.
    require(text == kBusId || text == "00:00.0" || text == "0000:00:00", Status::kInvalidDevice);
    *device = 0;
  });
}
SOFTCUDA_API int cuDeviceTotalMem_v2(size_t* bytes, int device) {
  return call(Needs::kDevice, [&](Driver& driver) {
    given(bytes);
    require_device(device);
    *bytes = driver.memory->limit();
  });
}
SOFTCUDA_API int cuDeviceComputeCapability(int* major, int* minor, int device) {
  return call(Needs::kDevice, [&](Driver& driver) {
    given(major), given(minor);
    require_device(device);
    *major = driver.settings.architecture->major();
    *minor = driver.settings.architecture->minor();
  });
}
SOFTCUDA_API int cuDeviceGetAttribute(int* value, int attribute, int device) {
  return call(Needs::kDevice, [&](Driver& driver) {
    given(value);
    require_device(device);
    require(attribute > 0 && attribute <= LAST_DEVICE_ATTRIBUTE);
    *value = device_attribute(driver.settings, attribute);
  });
}
SOFTCUDA_API int cuDeviceCanAccessPeer(int* answer, int device, int peer) {
  return call(Needs::kDevice, [&](Driver&) {
    given(answer);
    require_device(device);
    require_device(peer);
    *answer = 0;
  });
}
