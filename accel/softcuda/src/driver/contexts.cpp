// The driver API: contexts, and what is set in them.
#include <algorithm>

#include "call.h"

using namespace softcuda;

namespace {

constexpr int kContextVersion = 3020;  // of the API that contexts offer

// cuda.h: CUctxCreateParams
struct CreateParameters {
  void* affinities;
  int affinity_count;
  void* graphics;
};

// cuda.h: CUctx_flags
constexpr unsigned kScheduling = 0x7, kMapHost = 0x8, kKeepLocalMemory = 0x10, kCoreDumps = 0x60,
                   kSynchronousCopies = 0x80;

void check_flags(unsigned flags) {
  constexpr unsigned kAll =
      kScheduling | kMapHost | kKeepLocalMemory | kCoreDumps | kSynchronousCopies;
  const unsigned scheduling = flags & kScheduling;
  require((flags & ~kAll) == 0 && (scheduling & (scheduling - 1)) == 0);
  require((flags & kCoreDumps) == 0, Status::kNotSupported);
}

Context& live_context(Driver& driver, Context* context) {
  require(driver.is_live(context), Status::kInvalidContext);
  return *context;
}

// cuda.h: CUlimit
constexpr int kStackSize = 0, kPrintfFifoSize = 1, kMallocHeapSize = 2, kLastLimit = 10;

void check_limit(int limit) {
  require(limit >= 0 && limit <= kLastLimit);
  require(limit <= kMallocHeapSize, Status::kUnsupportedLimit);
}

void set_limit(Driver& driver, Context& context, int limit, size_t value) {
  constexpr size_t kLocalMemory = 512 << 10;  // of a thread
  switch (limit) {
    case kStackSize:
      require(value <= kLocalMemory);
      context.stack_limit = value;
      break;
    case kPrintfFifoSize:
      require(value <= driver.memory->limit(), Status::kOutOfMemory);
      require(!context.prints.is_in_use());
      context.prints.set_limit(value);
      break;
    default:
      require(value <= driver.memory->limit(), Status::kOutOfMemory);
      require(!context.heap.is_in_use());
      context.heap.set_limit(value);
  }
}

}  // namespace

SOFTCUDA_API int cuCtxCreate_v4(Context** context, const CreateParameters* parameters,
                                unsigned flags, int device) {
  return call(Needs::kDevice, [&](Driver& driver) {
    given(context);
    require(device == 0, Status::kInvalidDevice);
    check_flags(flags);
    const bool is_plain = parameters == nullptr ||
                          (parameters->affinity_count == 0 && parameters->graphics == nullptr);
    require(is_plain, Status::kNotSupported);
    *context = &driver.create_context(flags);
    Driver::stack().push_back(*context);
  });
}
SOFTCUDA_API int cuDevicePrimaryCtxRetain(Context** context, int device) {
  return call(Needs::kDevice, [&](Driver& driver) {
    given(context);
    require(device == 0, Status::kInvalidDevice);
    if (driver.primary == nullptr) {
      driver.primary = &driver.create_context(0);
    } else {
      ++driver.primary->references;
    }
    *context = driver.primary;
  });
}
SOFTCUDA_API int cuDevicePrimaryCtxRelease_v2(int device) {
  return call(Needs::kDevice, [&](Driver& driver) {
    require(device == 0, Status::kInvalidDevice);
    require(driver.primary != nullptr, Status::kInvalidContext);
    if (--driver.primary->references == 0) driver.destroy(*driver.primary);
  });
}
SOFTCUDA_API int cuCtxAttach(Context** context, unsigned flags) {
  return call(Needs::kContext, [&](Driver& driver) {
    given(context);
    require(flags == 0);
    ++driver.current().references;
    *context = &driver.current();
  });
}
SOFTCUDA_API int cuCtxDetach(Context* context) {
  return call(Needs::kDevice, [&](Driver& driver) {
    Context& one = live_context(driver, context);
    require(&one != driver.primary, Status::kInvalidContext);
    if (--one.references == 0) driver.destroy(one);
  });
}
SOFTCUDA_API int cuCtxDestroy_v2(Context* context) {
  return call(Needs::kDevice, [&](Driver& driver) {
    Context& one = live_context(driver, context);
    require(&one != driver.primary, Status::kInvalidContext);
    driver.destroy(one);
  });
}
SOFTCUDA_API int cuCtxPushCurrent_v2(Context* context) {
  return call(Needs::kDevice,
              [&](Driver& driver) { Driver::stack().push_back(&live_context(driver, context)); });
}
SOFTCUDA_API int cuCtxPopCurrent_v2(Context** context) {
  return call(Needs::kDevice, [&](Driver&) {
    require(!Driver::stack().empty(), Status::kInvalidContext);
    if (context != nullptr) *context = Driver::stack().back();
    Driver::stack().pop_back();
  });
}
SOFTCUDA_API int cuCtxGetDevice(int* device) {
  return call(Needs::kContext, [&](Driver&) { given(device) = 0; });
}
SOFTCUDA_API int cuCtxSynchronize() {
  return call(Needs::kContext, [](Driver& driver) {
    driver.wait(driver.current(), driver.work.pending(&driver.current()));
  });
}
SOFTCUDA_API int cuCtxGetApiVersion(Context* context, unsigned* version) {
  return call(Needs::kDevice, [&](Driver& driver) {
    given(version);
    if (context == nullptr) {
      driver.current();
    } else {
      live_context(driver, context);
    }
    *version = kContextVersion;
  });
}
SOFTCUDA_API int cuCtxGetLimit(size_t* value, int limit) {
  return call(Needs::kContext, [&](Driver& driver) {
    given(value);
    check_limit(limit);
    const Context& context = driver.current();
    *value = limit == kStackSize        ? context.stack_limit
             : limit == kPrintfFifoSize ? context.prints.limit()
                                        : context.heap.limit();
  });
}
SOFTCUDA_API int cuCtxSetLimit(int limit, size_t value) {
  return call(Needs::kContext, [&](Driver& driver) {
    check_limit(limit);
    set_limit(driver, driver.current(), limit, value);
  });
}

// --- preferences: no cache and no bank is modelled that they could change ------------------------

SOFTCUDA_API int cuCtxGetCacheConfig(int* config) {
  return call(Needs::kContext,
              [&](Driver& driver) { given(config) = driver.current().cache_config; });
}
SOFTCUDA_API int cuCtxSetCacheConfig(int config) {
  return call(Needs::kContext, [&](Driver& driver) {
    require(config >= 0 && config <= 3);
    driver.current().cache_config = config;
  });
}
SOFTCUDA_API int cuCtxGetSharedMemConfig(int* config) {
  return call(Needs::kContext,
              [&](Driver& driver) { given(config) = driver.current().shared_config; });
}
SOFTCUDA_API int cuCtxSetSharedMemConfig(int config) {
  return call(Needs::kContext, [&](Driver& driver) {
    require(config >= 0 && config <= 2);
    driver.current().shared_config = config;
  });
}
