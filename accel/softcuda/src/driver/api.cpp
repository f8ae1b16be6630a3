// The driver API: device, contexts, modules, functions, launches, streams and events.
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <sstream>

#include "../image/image.h"
#include "state.h"

using namespace softcuda;

namespace {

constexpr int kDriverVersion = 13000;
constexpr uint32_t kMostShared = 99 * 1024;  // of a block that asks for it
constexpr char kDeviceName[] = "softcuda (software)";
constexpr char kBusId[] = "0000:00:00.0";

void require(bool condition, Status status = Status::kInvalidValue) {
  if (!condition) throw ApiError(status, "a bad argument");
}

// Values of CUdevice_attribute; whatever is not named is 0.
int device_attribute(const Driver& driver, int attribute) {
  switch (attribute) {
    case 1:
    case 2:
    case 3:
      return 1024;  // threads of a block; its size in x and y
    case 4:
      return 64;  // in z
    case 5:
      return INT32_MAX;  // size of a grid in x
    case 6:
    case 7:
      return 65535;
    case 8:
      return 48 * 1024;  // shared memory of a block
    case 9:
      return 64 * 1024;  // constant memory
    case 10:
      return kLanes;
    case 11:
      return INT32_MAX;  // pitch
    case 12:
    case 82:
      return 64 * 1024;  // registers of a block, of a multiprocessor
    case 13:
      return 2'000'000;  // clock in kHz
    case 14:
      return 512;  // alignment of textures
    case 15:
      return 1;  // copies beside kernels
    case 16:
      return driver.settings.limits.multiprocessors;
    case 19:
      return 1;  // maps host memory
    case 31:
      return 1;  // concurrent kernels
    case 36:
      return 1'000'000;  // memory clock in kHz
    case 37:
      return 256;  // bits of the memory bus
    case 38:
      return 4 << 20;  // L2 cache
    case 39:
      return 1536;  // threads of a multiprocessor
    case 40:
      return 1;  // copy engines
    case 41:
      return 1;  // unified addresses
    case 51:
      return 32;  // alignment of a texture's pitch
    case 75:
      return driver.settings.compute_major;
    case 76:
      return driver.settings.compute_minor;
    case 81:
      return 100 * 1024;  // shared memory of a multiprocessor
    case 83:
      return 1;  // managed memory
    case 89:
      return 1;  // concurrent managed access
    case 97:
      return static_cast<int>(kMostShared);
    case 106:
      return 16;  // blocks of a multiprocessor
    case 111:
      return 1024;  // reserved shared memory of a block
    default:
      return 0;
  }
}

struct ErrorName {
  Status status;
  const char* text;
};
constexpr ErrorName kErrors[] = {
    {Status::kSuccess, "no error"},
    {Status::kInvalidValue, "invalid argument"},
    {Status::kOutOfMemory, "out of memory"},
    {Status::kNotInitialized, "initialization error"},
    {Status::kInvalidDevice, "invalid device ordinal"},
    {Status::kInvalidImage, "device kernel image is invalid"},
    {Status::kInvalidContext, "invalid device context"},
    {Status::kNoBinaryForGpu, "no kernel image is available for execution on the device"},
    {Status::kInvalidPtx, "a PTX JIT compilation failed"},
    {Status::kInvalidSource, "device kernel image is invalid"},
    {Status::kFileNotFound, "file not found"},
    {Status::kInvalidHandle, "invalid resource handle"},
    {Status::kNotFound, "named symbol not found"},
    {Status::kNotReady, "device not ready"},
    {Status::kIllegalAddress, "an illegal memory access was encountered"},
    {Status::kLaunchOutOfResources, "too many resources requested for launch"},
    {Status::kLaunchTimeout, "the launch timed out and was terminated"},
    {Status::kAssert, "device-side assert triggered"},
    {Status::kHostMemoryAlreadyRegistered,
     "part or all of the requested memory range is already mapped"},
    {Status::kHostMemoryNotRegistered, "pointer does not correspond to a registered memory region"},
    {Status::kHardwareStackError, "hardware stack error"},
    {Status::kIllegalInstruction, "an illegal instruction was encountered"},
    {Status::kMisalignedAddress, "misaligned address"},
    {Status::kInvalidAddressSpace, "operation not supported on global/shared address space"},
    {Status::kInvalidPc, "invalid program counter"},
    {Status::kLaunchFailed, "unspecified launch failure"},
    {Status::kNotPermitted, "operation not permitted"},
    {Status::kNotSupported, "operation not supported"},
    {Status::kUnknown, "unknown error"},
};

// --- modules ---

// Where a JIT writes what went wrong: options 3 and 5 are buffers, 4 and 6 their sizes, in and out.
class Log {
 public:
  Log(unsigned count, const int* options, void** values)
      : count_(count), options_(options), values_(values) {}

  void write(const std::string& errors) const {
    put(3, 4, "");
    put(5, 6, errors);
  }

 private:
  void put(int buffer_option, int size_option, const std::string& text) const {
    char* buffer = nullptr;
    void** size = nullptr;
    for (unsigned k = 0; k < count_; ++k) {
      if (options_[k] == buffer_option) buffer = static_cast<char*>(values_[k]);
      if (options_[k] == size_option) size = &values_[k];
    }
    if (size == nullptr) return;
    const auto room = static_cast<size_t>(reinterpret_cast<uintptr_t>(*size) & 0xFFFFFFFFu);
    const size_t written = buffer == nullptr || room == 0 ? 0 : std::min(text.size(), room - 1);
    if (written != 0) std::memcpy(buffer, text.data(), written);
    if (buffer != nullptr && room != 0) buffer[written] = '\0';
    *size = reinterpret_cast<void*>(static_cast<uintptr_t>(written));
  }

  unsigned count_;
  const int* options_;
  void** values_;
};

// What a damaged text says of itself may be no text: whoever reads the log expects one.
std::string printable(std::string text) {
  for (char& c : text) {
    if (c != '\n' && (c < ' ' || c > '~')) c = '?';
  }
  return text;
}

// In a cubin the PTX has lost its .loc lines: give every statement the one that the cubin knows.
void name_source_lines(ptx::Module& module, const SourceLines& lines) {
  std::map<std::string, int> numbers;
  module.files.clear();
  for (ptx::Function& f : module.functions) {
    for (ptx::Statement& s : f.body) {
      const auto found = lines.find(s.line);
      if (found == lines.end()) continue;
      const auto number =
          numbers.emplace(found->second.first, static_cast<int>(numbers.size()) + 1);
      module.files[number.first->second] = found->second.first;
      s.source = {number.first->second, found->second.second};
    }
  }
}

ModuleHandle* load(Driver& driver, const char* data, size_t size, const Log& log) {
  Context& context = driver.current();
  try {
    const Image image = read_image(data, size);
    auto module = std::make_unique<ModuleHandle>();
    ptx::Module parsed = ptx::parse(image.ptx);
    if (!image.lines.empty()) name_source_lines(parsed, image.lines);
    module->program =
        load_program(parsed, *driver.memory, driver.settings.limits.approximation_seed);
    for (auto& entry : module->program->functions) {
      const auto found = image.registers.find(entry.first);
      if (found != image.registers.end() && found->second > 0)
        entry.second->registers = found->second;
      auto handle = std::make_unique<FunctionHandle>();
      handle->module = module.get();
      handle->function = entry.second.get();
      driver.functions.insert(handle.get());
      module->functions[entry.first] = std::move(handle);
    }
    log.write("");
    driver.modules.insert(module.get());
    context.modules.insert(module.get());
    return module.release();
  } catch (const PtxError& error) {
    const std::string text = printable(error.what());
    log.write("softcuda: " + text);
    std::fprintf(stderr, "softcuda: cannot load a module: %s\n", text.c_str());
    throw ApiError(Status::kInvalidPtx, text);
  } catch (const ApiError& error) {
    const std::string text = printable(error.what());
    log.write("softcuda: " + text);
    std::fprintf(stderr, "softcuda: cannot load a module: %s\n", text.c_str());
    throw;
  }
}

// --- launches ---

std::vector<char> launch_parameters(const Function& f, void** params, void** extra) {
  std::vector<char> bytes(f.param_bytes, 0);
  if (params != nullptr) {
    for (size_t k = 0; k < f.parameters.size(); ++k) {
      std::memcpy(bytes.data() + f.parameters[k].first, params[k], f.parameters[k].second);
    }
    return bytes;
  }
  const char* buffer = nullptr;
  size_t size = 0;
  for (void** item = extra; item != nullptr && *item != nullptr; item += 2) {
    const auto key = reinterpret_cast<uintptr_t>(*item);
    if (key == 1)
      buffer = static_cast<const char*>(item[1]);
    else if (key == 2)
      size = *static_cast<const size_t*>(item[1]);
    else
      throw ApiError(Status::kInvalidValue, "an unknown launch parameter");
  }
  require(size == 0 || buffer != nullptr);
  if (size < f.kernel_param_bytes) {
    std::fprintf(stderr, "softcuda: kernel %s takes %u bytes of parameters and was given %zu\n",
                 f.name.c_str(), f.kernel_param_bytes, size);
    throw ApiError(Status::kInvalidValue, "too few parameters");
  }
  if (f.kernel_param_bytes != 0) std::memcpy(bytes.data(), buffer, f.kernel_param_bytes);
  return bytes;
}

void launch(Driver& driver, FunctionHandle& handle, Dim grid, Dim block, uint32_t shared,
            void** params, void** extra) {
  Function& f = *handle.function;
  require(f.is_entry);
  require(grid.x != 0 && grid.y != 0 && grid.z != 0 && grid.x <= INT32_MAX && grid.y <= 65535 &&
          grid.z <= 65535);
  require(block.x != 0 && block.y != 0 && block.z != 0 && block.x <= 1024 && block.y <= 1024 &&
          block.z <= 64);
  require(block.product() <= 1024);
  require(block.product() <= static_cast<uint64_t>(f.max_threads));
  const uint64_t statics = f.shared_end - f.shared_begin;
  require(statics + shared <=
              std::max<uint64_t>(handle.dynamic_shared_limit + statics, 48 * 1024) &&
          shared <= handle.dynamic_shared_limit);
  if (block.product() * static_cast<uint64_t>(f.registers) > 65536 + 1024) {
    throw ApiError(Status::kLaunchOutOfResources, "too many registers");
  }
  Launch what;
  what.entry = &f;
  what.program = handle.module->program.get();
  what.grid = grid;
  what.block = block;
  what.dynamic_shared = shared;
  what.params = launch_parameters(f, params, extra);
  ++handle.launches;
  Limits limits = driver.settings.limits;
  limits.stack_bytes =
      static_cast<uint32_t>(std::max<uint64_t>(limits.stack_bytes, driver.current().stack_limit));
  const Report report = Grid(what, *driver.memory, limits).run();
  std::fflush(stdout);
  if (report.status == Status::kSuccess) return;
  std::fputs(report.text().c_str(), stderr);
  std::fflush(stderr);
  // As on a GPU, the launch itself succeeds; what follows fails until the context goes.
  driver.current().fault = report.status;
}

int64_t now() {
  return std::chrono::duration_cast<std::chrono::nanoseconds>(
             std::chrono::steady_clock::now().time_since_epoch())
      .count();
}

// A stream is a handle, or one of the default streams 0, 1 and 2.
void check_stream(const Driver& driver, void* stream) {
  if (reinterpret_cast<uintptr_t>(stream) > 2) live(driver.streams, stream);
}

}  // namespace

// --- the device ----------------------------------------------------------------------------------

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

SOFTCUDA_API int cuGetErrorString(int error, const char** text) {
  for (const ErrorName& one : kErrors) {
    if (static_cast<int>(one.status) == error) {
      *text = one.text;
      return 0;
    }
  }
  *text = nullptr;
  return static_cast<int>(Status::kInvalidValue);
}

SOFTCUDA_API int cuDriverGetVersion(int* version) {
  *version = kDriverVersion;
  return 0;
}

SOFTCUDA_API int cuDeviceGetCount(int* count) {
  return call(false, [&](Driver&) { *count = 1; });
}
SOFTCUDA_API int cuDeviceGet(int* device, int ordinal) {
  return call(false, [&](Driver&) {
    require(ordinal == 0, Status::kInvalidDevice);
    *device = 0;
  });
}
SOFTCUDA_API int cuDeviceGetName(char* name, int length, int device) {
  return call(false, [&](Driver&) {
    require(device == 0, Status::kInvalidDevice);
    require(length > 0);
    std::snprintf(name, static_cast<size_t>(length), "%s", kDeviceName);
  });
}
SOFTCUDA_API int cuDeviceGetPCIBusId(char* name, int length, int device) {
  return call(false, [&](Driver&) {
    require(device == 0, Status::kInvalidDevice);
    require(length > 0);
    std::snprintf(name, static_cast<size_t>(length), "%s", kBusId);
  });
}
SOFTCUDA_API int cuDeviceGetByPCIBusId(int* device, const char* name) {
  return call(false, [&](Driver&) {
    require(std::strcmp(name, kBusId) == 0, Status::kInvalidDevice);
    *device = 0;
  });
}
SOFTCUDA_API int cuDeviceTotalMem_v2(size_t* bytes, int device) {
  return call(false, [&](Driver& driver) {
    require(device == 0, Status::kInvalidDevice);
    *bytes = driver.memory->limit();
  });
}
SOFTCUDA_API int cuDeviceComputeCapability(int* major, int* minor, int device) {
  return call(false, [&](Driver& driver) {
    require(device == 0, Status::kInvalidDevice);
    *major = driver.settings.compute_major;
    *minor = driver.settings.compute_minor;
  });
}
SOFTCUDA_API int cuDeviceGetAttribute(int* value, int attribute, int device) {
  return call(false, [&](Driver& driver) {
    require(device == 0, Status::kInvalidDevice);
    require(attribute > 0 && attribute < 200);
    *value = device_attribute(driver, attribute);
  });
}
SOFTCUDA_API int cuDeviceCanAccessPeer(int* answer, int, int) {
  return call(false, [&](Driver&) { *answer = 0; });
}

// --- contexts ------------------------------------------------------------------------------------

SOFTCUDA_API int cuCtxCreate_v4(Context** context, void*, unsigned flags, int device) {
  return call(false, [&](Driver& driver) {
    require(device == 0, Status::kInvalidDevice);
    auto* one = new Context;
    one->flags = flags;
    one->references = 1;
    driver.contexts.insert(one);
    Driver::stack().push_back(one);
    *context = one;
  });
}
SOFTCUDA_API int cuDevicePrimaryCtxRetain(Context** context, int device) {
  return call(false, [&](Driver& driver) {
    require(device == 0, Status::kInvalidDevice);
    ++driver.primary.references;
    *context = &driver.primary;
  });
}
SOFTCUDA_API int cuDevicePrimaryCtxRelease_v2(int device) {
  return call(false, [&](Driver& driver) {
    require(device == 0, Status::kInvalidDevice);
    require(driver.primary.references > 0, Status::kInvalidContext);
    if (--driver.primary.references == 0) driver.destroy(driver.primary);
  });
}
SOFTCUDA_API int cuCtxAttach(Context** context, unsigned) {
  return call(true, [&](Driver& driver) {
    ++driver.current().references;
    *context = &driver.current();
  });
}
SOFTCUDA_API int cuCtxDetach(Context* context) {
  return call(false, [&](Driver& driver) {
    Context& one = live(driver.contexts, context);
    if (--one.references == 0) driver.destroy(one);
  });
}
SOFTCUDA_API int cuCtxDestroy_v2(Context* context) {
  return call(false, [&](Driver& driver) { driver.destroy(live(driver.contexts, context)); });
}
SOFTCUDA_API int cuCtxPushCurrent_v2(Context* context) {
  return call(false, [&](Driver& driver) {
    if (context != &driver.primary && driver.contexts.count(context) == 0)
      throw ApiError(Status::kInvalidContext, "no such context");
    Driver::stack().push_back(context);
  });
}
SOFTCUDA_API int cuCtxPopCurrent_v2(Context** context) {
  return call(false, [&](Driver&) {
    require(!Driver::stack().empty(), Status::kInvalidContext);
    if (context != nullptr) *context = Driver::stack().back();
    Driver::stack().pop_back();
  });
}
SOFTCUDA_API int cuCtxGetDevice(int* device) {
  return call(true, [&](Driver&) { *device = 0; });
}
SOFTCUDA_API int cuCtxSynchronize() {
  return call(true, [](Driver&) {});
}
SOFTCUDA_API int cuCtxGetApiVersion(Context*, unsigned* version) {
  return call(false, [&](Driver&) { *version = kDriverVersion; });
}
SOFTCUDA_API int cuCtxGetLimit(size_t* value, int limit) {
  return call(true, [&](Driver& driver) {
    const Context& c = driver.current();
    require(limit >= 0 && limit <= 2);
    *value = limit == 0 ? c.stack_limit : limit == 1 ? c.printf_limit : c.heap_limit;
  });
}
SOFTCUDA_API int cuCtxSetLimit(int limit, size_t value) {
  return call(true, [&](Driver& driver) {
    Context& c = driver.current();
    require(limit >= 0 && limit <= 2 && value <= (size_t{1} << 30));
    (limit == 0 ? c.stack_limit : limit == 1 ? c.printf_limit : c.heap_limit) = value;
  });
}
SOFTCUDA_API int cuCtxGetCacheConfig(int* config) {
  return call(true, [&](Driver& driver) { *config = driver.current().cache_config; });
}
SOFTCUDA_API int cuCtxSetCacheConfig(int config) {
  return call(true, [&](Driver& driver) { driver.current().cache_config = config; });
}
SOFTCUDA_API int cuCtxGetSharedMemConfig(int* config) {
  return call(true, [&](Driver& driver) { *config = driver.current().shared_config; });
}
SOFTCUDA_API int cuCtxSetSharedMemConfig(int config) {
  return call(true, [&](Driver& driver) { driver.current().shared_config = config; });
}

// --- modules and functions -----------------------------------------------------------------------

SOFTCUDA_API int cuModuleLoadDataEx(ModuleHandle** module, const void* image, unsigned count,
                                    int* options, void** values) {
  return call(true, [&](Driver& driver) {
    require(image != nullptr);
    *module = load(driver, static_cast<const char*>(image), 0, Log(count, options, values));
  });
}
SOFTCUDA_API int cuModuleLoadData(ModuleHandle** module, const void* image) {
  return cuModuleLoadDataEx(module, image, 0, nullptr, nullptr);
}
SOFTCUDA_API int cuModuleLoad(ModuleHandle** module, const char* name) {
  return call(true, [&](Driver& driver) {
    std::ifstream file(name, std::ios::binary);
    require(file.good(), Status::kFileNotFound);
    std::stringstream text;
    text << file.rdbuf();
    const std::string bytes = text.str();
    *module = load(driver, bytes.data(), bytes.size(), Log(0, nullptr, nullptr));
  });
}
SOFTCUDA_API int cuModuleUnload(ModuleHandle* module) {
  return call(false, [&](Driver& driver) {
    live(driver.modules, module);
    driver.unload(module);
  });
}
SOFTCUDA_API int cuModuleGetFunction(FunctionHandle** function, ModuleHandle* module,
                                     const char* name) {
  return call(true, [&](Driver& driver) {
    const auto& all = live(driver.modules, module).functions;
    const auto found = all.find(name);
    require(found != all.end() && found->second->function->is_entry, Status::kNotFound);
    *function = found->second.get();
  });
}
SOFTCUDA_API int cuModuleGetGlobal_v2(uint64_t* address, size_t* bytes, ModuleHandle* module,
                                      const char* name) {
  return call(true, [&](Driver& driver) {
    const auto& all = live(driver.modules, module).program->variables;
    const auto found = all.find(name);
    require(found != all.end(), Status::kNotFound);
    if (address != nullptr) *address = found->second.first;
    if (bytes != nullptr) *bytes = found->second.second;
  });
}
SOFTCUDA_API int cuFuncGetAttribute(int* value, int attribute, FunctionHandle* function) {
  return call(true, [&](Driver& driver) {
    const FunctionHandle& handle = live(driver.functions, function);
    const Function& f = *handle.function;
    const int capability = driver.settings.compute_major * 10 + driver.settings.compute_minor;
    switch (attribute) {
      case 0:
        *value = std::min(f.max_threads, 65536 / std::max(f.registers, 1) / kLanes * kLanes);
        break;
      case 1:
        *value = static_cast<int>(f.shared_end - f.shared_begin);
        break;
      case 2:
        *value = 0;
        break;
      case 3:
        *value = static_cast<int>(f.local_bytes);
        break;
      case 4:
        *value = f.registers;
        break;
      case 5:
        *value = handle.module->program->target;
        break;
      case 6:
        *value = capability;
        break;
      case 7:
        *value = 0;
        break;
      case 8:
        *value = static_cast<int>(handle.dynamic_shared_limit);
        break;
      case 9:
        *value = handle.carveout;
        break;
      default:
        require(attribute > 0 && attribute < 20);
        *value = 0;
    }
  });
}
SOFTCUDA_API int cuFuncSetAttribute(FunctionHandle* function, int attribute, int value) {
  return call(true, [&](Driver& driver) {
    FunctionHandle& handle = live(driver.functions, function);
    if (attribute == 8) {
      require(value >= 0 &&
              static_cast<uint32_t>(value) + handle.function->shared_end <= kMostShared);
      handle.dynamic_shared_limit = static_cast<uint32_t>(value);
    } else if (attribute == 9) {
      require(value >= -1 && value <= 100);
      handle.carveout = value;
    } else {
      throw ApiError(Status::kInvalidValue, "this attribute cannot be set");
    }
  });
}
SOFTCUDA_API int cuFuncSetCacheConfig(FunctionHandle* function, int) {
  return call(true, [&](Driver& driver) { live(driver.functions, function); });
}
SOFTCUDA_API int cuLaunchKernel(FunctionHandle* function, unsigned gx, unsigned gy, unsigned gz,
                                unsigned bx, unsigned by, unsigned bz, unsigned shared,
                                void* stream, void** params, void** extra) {
  return call(true, [&](Driver& driver) {
    check_stream(driver, stream);
    launch(driver, live(driver.functions, function), {gx, gy, gz}, {bx, by, bz}, shared, params,
           extra);
  });
}

// Launches as they were before cuLaunchKernel: piece by piece.

namespace {

int set_parameter(FunctionHandle* function, int offset, const void* value, size_t bytes) {
  return call(true, [&](Driver& driver) {
    std::vector<char>& parameters = live(driver.functions, function).parameters;
    require(offset >= 0 && static_cast<size_t>(offset) + bytes <= 4096);
    parameters.resize(std::max(parameters.size(), static_cast<size_t>(offset) + bytes));
    std::memcpy(parameters.data() + offset, value, bytes);
  });
}

int launch_prepared(FunctionHandle* function, int width, int height, void* stream) {
  return call(true, [&](Driver& driver) {
    check_stream(driver, stream);
    FunctionHandle& handle = live(driver.functions, function);
    require(width > 0 && height > 0);
    size_t size = handle.parameters.size();
    void* extra[] = {reinterpret_cast<void*>(1), handle.parameters.data(),
                     reinterpret_cast<void*>(2), &size, nullptr};
    launch(driver, handle, {static_cast<uint32_t>(width), static_cast<uint32_t>(height), 1},
           handle.block, handle.shared, nullptr, extra);
  });
}

}  // namespace

SOFTCUDA_API int cuFuncSetBlockShape(FunctionHandle* function, int x, int y, int z) {
  return call(true, [&](Driver& driver) {
    require(x > 0 && y > 0 && z > 0);
    live(driver.functions, function).block = {static_cast<uint32_t>(x), static_cast<uint32_t>(y),
                                              static_cast<uint32_t>(z)};
  });
}
SOFTCUDA_API int cuFuncSetSharedSize(FunctionHandle* function, unsigned bytes) {
  return call(true, [&](Driver& driver) { live(driver.functions, function).shared = bytes; });
}
SOFTCUDA_API int cuParamSetSize(FunctionHandle* function, unsigned bytes) {
  return call(true, [&](Driver& driver) {
    require(bytes <= 4096);
    live(driver.functions, function).parameters.resize(bytes);
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

// --- streams and events: everything is done when a call returns ----------------------------------

SOFTCUDA_API int cuStreamCreate(Stream** stream, unsigned flags) {
  return call(true, [&](Driver& driver) {
    *stream = *driver.streams.insert(new Stream{&driver.current(), flags}).first;
  });
}
SOFTCUDA_API int cuStreamDestroy_v2(Stream* stream) {
  return call(false, [&](Driver& driver) {
    live(driver.streams, stream);
    driver.streams.erase(stream);
    delete stream;
  });
}
SOFTCUDA_API int cuStreamSynchronize(void* stream) {
  return call(true, [&](Driver& driver) { check_stream(driver, stream); });
}
SOFTCUDA_API int cuStreamQuery(void* stream) {
  return call(true, [&](Driver& driver) { check_stream(driver, stream); });
}
SOFTCUDA_API int cuStreamWaitEvent(void* stream, Event* event, unsigned) {
  return call(true, [&](Driver& driver) {
    check_stream(driver, stream);
    live(driver.events, event);
  });
}
SOFTCUDA_API int cuStreamAttachMemAsync(void* stream, uint64_t, size_t, unsigned) {
  return call(true, [&](Driver& driver) { check_stream(driver, stream); });
}
SOFTCUDA_API int cuEventCreate(Event** event, unsigned flags) {
  return call(true, [&](Driver& driver) {
    auto* one = new Event;
    one->flags = flags;
    driver.events.insert(one);
    *event = one;
  });
}
SOFTCUDA_API int cuEventDestroy_v2(Event* event) {
  return call(false, [&](Driver& driver) {
    live(driver.events, event);
    driver.events.erase(event);
    delete event;
  });
}
SOFTCUDA_API int cuEventRecord(Event* event, void* stream) {
  return call(true, [&](Driver& driver) {
    check_stream(driver, stream);
    Event& one = live(driver.events, event);
    one.is_recorded = true;
    one.nanoseconds = now();
  });
}
SOFTCUDA_API int cuEventQuery(Event* event) {
  return call(true, [&](Driver& driver) { live(driver.events, event); });
}
SOFTCUDA_API int cuEventSynchronize(Event* event) {
  return call(true, [&](Driver& driver) { live(driver.events, event); });
}
SOFTCUDA_API int cuEventElapsedTime_v2(float* milliseconds, Event* start, Event* end) {
  return call(true, [&](Driver& driver) {
    const Event &from = live(driver.events, start), &to = live(driver.events, end);
    constexpr unsigned kWithoutTiming = 2;
    require(from.is_recorded && to.is_recorded && ((from.flags | to.flags) & kWithoutTiming) == 0,
            Status::kInvalidHandle);
    // Programs divide by it: a time is never 0.
    const auto difference = static_cast<float>(to.nanoseconds - from.nanoseconds) * 1e-6f;
    *milliseconds = difference >= 0 ? std::max(difference, 5e-4f) : difference;
  });
}
SOFTCUDA_API int cuProfilerStart() {
  return call(true, [](Driver&) {});
}
SOFTCUDA_API int cuProfilerStop() {
  return call(true, [](Driver&) {});
}

// --- softcuda's own: for the Python package ------------------------------------------------------

// What was counted since the last reset, as JSON. Valid until the next call.
SOFTCUDA_API const char* softcuda_profile() {
  static std::string text;
  Driver& driver = Driver::get();
  const std::lock_guard<std::mutex> lock(driver.mutex);
  text = driver.profile();
  return text.c_str();
}

SOFTCUDA_API void softcuda_reset() {
  Driver& driver = Driver::get();
  const std::lock_guard<std::mutex> lock(driver.mutex);
  driver.unloaded.clear();
  for (ModuleHandle* module : driver.modules) {
    for (auto& entry : module->functions) {
      entry.second->launches = 0;
      Function& f = *entry.second->function;
      f.counts.assign(f.code.size(), Count{});
    }
  }
}
