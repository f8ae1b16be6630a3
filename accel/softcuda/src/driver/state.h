// The one device, its contexts, and what handles of the API stand for.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <set>
#include <string>
#include <vector>

#include "../machine/machine.h"
#include "../memory/device_memory.h"
#include "../program/instruction.h"

#define SOFTCUDA_API extern "C" __attribute__((visibility("default")))

namespace softcuda {

// What the environment asks for. Throws ApiError for what it cannot mean.
struct Settings {
  int compute_major = 8, compute_minor = 6;
  uint64_t memory_bytes = uint64_t{4} << 30;
  Limits limits;
  std::string profile;  // a file, or empty
  std::string ptxas;    // a program, or empty
  static Settings from_environment();
};

struct FunctionHandle;

struct ModuleHandle {
  std::unique_ptr<Program> program;
  std::map<std::string, std::unique_ptr<FunctionHandle>> functions;
  std::string unmeasured_ptx;  // until ptxas was asked how many registers its kernels take
  std::string architecture;    // for which it is asked: "sm_86"
};

struct FunctionHandle {
  ModuleHandle* module = nullptr;
  Function* function = nullptr;
  uint32_t dynamic_shared_limit = 48 * 1024;
  int carveout = -1;
  uint64_t launches = 0;
  // What the calls before cuLaunchKernel left behind: the next cuLaunch takes it.
  Dim block;
  uint32_t shared = 0;
  std::vector<char> parameters;
};

struct Context {
  bool is_primary = false;
  int references = 0;
  unsigned flags = 0;
  Status fault = Status::kSuccess;  // sticky: what every later call returns
  uint64_t stack_limit = 1024, printf_limit = 1 << 20, heap_limit = 8 << 20;
  int cache_config = 0, shared_config = 0;
  std::set<ModuleHandle*> modules;
  std::set<uint64_t> allocations;
};

struct Stream {
  Context* context;
  unsigned flags;
};

struct Event {
  unsigned flags = 0;
  bool is_recorded = false;
  int64_t nanoseconds = 0;
};

struct HostBlock {
  unsigned flags = 0;
  bool is_owned = false;    // allocated here
  bool is_managed = false;  // freed by cuMemFree
};

// One lock around every call: the device does one thing at a time.
class Driver {
 public:
  static Driver& get();

  std::mutex mutex;
  bool is_initialized = false;
  Settings settings;
  std::unique_ptr<DeviceMemory> memory;
  Context primary;
  std::set<Context*> contexts;
  std::set<ModuleHandle*> modules;
  std::vector<std::unique_ptr<ModuleHandle>> unloaded;  // their counters are reported at the end
  std::set<FunctionHandle*> functions;
  std::set<Stream*> streams;
  std::set<Event*> events;
  std::map<void*, HostBlock> host_blocks;

  void initialize();
  // The calling thread's contexts; the last is current.
  static std::vector<Context*>& stack();
  Context& current();
  void destroy(Context& context);
  void unload(ModuleHandle* module);
  std::string profile() const;
};

// Run the body of an API call: locks, checks that there is a healthy context where one is needed,
// and turns errors into codes.
int call(bool needs_context, const std::function<void(Driver&)>& body);

// The body of calls that softcuda does not offer.
int not_supported(const char* name);

template <class T>
T& live(const std::set<T*>& all, void* handle) {
  const auto found = all.find(static_cast<T*>(handle));
  if (found == all.end()) throw ApiError(Status::kInvalidHandle, "the handle is not live");
  return **found;
}

}  // namespace softcuda
