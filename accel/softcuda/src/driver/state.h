// The one device, its contexts, and what handles of the API stand for.
#pragma once

#include <map>
#include <memory>
#include <mutex>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include "../machine/heap.h"
#include "../machine/print.h"
#include "../memory/device_memory.h"
#include "../program/instruction.h"
#include "profile.h"
#include "settings.h"
#include "streams.h"

namespace softcuda {

struct FunctionHandle;

struct ModuleHandle {
  std::unique_ptr<Program> program;
  std::map<std::string, std::unique_ptr<FunctionHandle>> functions;
  // Plain PTX, until somebody asks for its registers, and the architecture it is for.
  std::string unmeasured_ptx, architecture;
};

struct FunctionHandle {
  ModuleHandle* module = nullptr;
  Function* function = nullptr;
  uint64_t launches = 0;
  // Attributes that can be set.
  int dynamic_shared_limit = -1;  // -1: what is usual
  int carveout = -1;
  int cache_config = 0;
  Dim cluster{0, 0, 0};  // of a kernel that was compiled without one
  int allows_large_clusters = 0;
  int cluster_policy = 0;
  // What the calls before cuLaunchKernel left behind: the next cuLaunch takes it.
  Dim block;
  uint32_t shared = 0;
  std::vector<char> parameters;
};

struct Context {
  int references = 0;
  unsigned flags = 0;
  Status fault = Status::kSuccess;  // sticky: what every later call returns
  uint64_t stack_limit = 1024;
  KernelHeap heap;
  PrintBuffer prints;
  int cache_config = 0, shared_config = 0;
  Stream legacy{this, Stream::Kind::kLegacy};
  std::map<std::thread::id, Stream> of_threads;  // CU_STREAM_PER_THREAD
  std::set<ModuleHandle*> modules;
  std::set<uint64_t> allocations;

  // CU_CTX_SYNC_MEMOPS: copies and memsets are done when the call returns.
  bool has_synchronous_copies() const { return (flags & 0x80) != 0; }
};

struct Event {
  Context* context = nullptr;
  unsigned flags = 0;
  Ticket record;  // the last; null if there was none
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
  WorkQueue work;
  std::set<Context*> contexts;
  Context* primary = nullptr;  // one of them, or null while nobody retains it
  // Destroyed, and kept: no later one may have the same address, which some thread still holds.
  std::vector<std::unique_ptr<Context>> former_contexts;
  std::set<ModuleHandle*> modules;
  std::vector<KernelProfile> unloaded;  // what modules did that are gone
  bool writes_profile = false;          // at the end of the process
  std::set<FunctionHandle*> functions;
  std::set<Stream*> streams;
  std::set<Event*> events;
  std::map<void*, HostBlock> host_blocks;

  void initialize();
  Context& create_context(unsigned flags);
  // The calling thread's contexts; the last is current.
  static std::vector<Context*>& stack();
  Context& current();
  bool is_live(Context* context) const { return contexts.count(context) != 0; }
  void destroy(Context& context);
  void unload(ModuleHandle* module);
  // Of a handle of the API, or of one of the default streams 0, 1 and 2.
  Stream& stream(void* handle);
  // Wait for work. Throws ApiError with the fault of the context, if it has one.
  void wait(Context& context, std::vector<Ticket> wanted);
  std::vector<KernelProfile> profile() const;
  void reset_profile();
};

}  // namespace softcuda
