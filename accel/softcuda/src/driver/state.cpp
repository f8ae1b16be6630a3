#include "state.h"

#include <unistd.h>

#include <cstdlib>

#include "call.h"

namespace softcuda {

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
  memory =
      std::make_unique<DeviceMemory>(settings.memory_bytes, !settings.limits.checks.use_after_free,
                                     settings.limits.checks.uninitialised);
  work.configure(settings.has_lazy_streams, settings.limits.seed);
  is_initialized = true;
}

Context& Driver::create_context(unsigned flags) {
  auto* context = new Context;
  context->flags = flags;
  context->references = 1;
  contexts.insert(context);
  // Who only asks what the device is has nothing to tell, and must not overwrite what another told.
  if (!settings.profile.empty() && !writes_profile) {
    std::atexit([] { write_profile(Driver::get().profile(), Driver::get().settings); });
    writes_profile = true;
  }
  return *context;
}

Context& Driver::current() {
  if (stack().empty()) throw ApiError(Status::kInvalidContext, "no context is current");
  Context* context = stack().back();
  if (!is_live(context)) {
    throw ApiError(Status::kContextIsDestroyed, "the current context was destroyed");
  }
  return *context;
}

Stream& Driver::stream(void* handle) {
  constexpr uintptr_t kLegacy = 1, kPerThread = 2;
  const auto number = reinterpret_cast<uintptr_t>(handle);
  if (number <= kLegacy) return current().legacy;
  if (number > kPerThread) return live(streams, handle);
  Stream fresh{&current(), Stream::Kind::kBlocking};
  return current().of_threads.emplace(std::this_thread::get_id(), fresh).first->second;
}

void Driver::wait(Context& context, std::vector<Ticket> wanted) {
  work.finish(std::move(wanted));
  if (context.fault != Status::kSuccess) throw ApiError(context.fault, "a fault in the context");
}

void Driver::unload(ModuleHandle* module) {
  work.finish(work.pending());
  for (const auto& variable : module->program->variables) memory->release(variable.second.first);
  for (auto& [name, handle] : module->functions) {
    KernelProfile counted = profile_of(*handle->function, *module->program, handle->launches);
    if (counted.total.warps != 0) unloaded.push_back(std::move(counted));
    functions.erase(handle.get());
  }
  modules.erase(module);
  for (Context* context : contexts) context->modules.erase(module);
  delete module;
}

void Driver::destroy(Context& context) {
  work.finish(work.pending(&context));
  while (!context.modules.empty()) unload(*context.modules.begin());
  for (uint64_t address : context.allocations) memory->release(address);
  context.allocations.clear();
  context.heap.clear(*memory);
  for (auto at = streams.begin(); at != streams.end();) {
    Stream* stream = *at;
    at = stream->context == &context ? streams.erase(at) : std::next(at);
    if (stream->context == &context) delete stream;
  }
  for (auto at = events.begin(); at != events.end();) {
    Event* event = *at;
    at = event->context == &context ? events.erase(at) : std::next(at);
    if (event->context == &context) delete event;
  }
  if (&context == primary) primary = nullptr;
  contexts.erase(&context);
  former_contexts.emplace_back(&context);
  auto& current = stack();
  while (!current.empty() && current.back() == &context) current.pop_back();
}

std::vector<KernelProfile> Driver::profile() const {
  std::vector<KernelProfile> all = unloaded;
  for (const ModuleHandle* module : modules) {
    for (const auto& [name, handle] : module->functions) {
      KernelProfile counted = profile_of(*handle->function, *module->program, handle->launches);
      if (counted.total.warps != 0) all.push_back(std::move(counted));
    }
  }
  return all;
}

void Driver::reset_profile() {
  unloaded.clear();
  for (ModuleHandle* module : modules) {
    for (auto& [name, handle] : module->functions) {
      handle->launches = 0;
      Function& f = *handle->function;
      for (Site& site : f.sites) site.count = Count{};
    }
  }
}

}  // namespace softcuda
