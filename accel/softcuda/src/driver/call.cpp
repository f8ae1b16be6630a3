#include "call.h"

#include <cstdio>

namespace softcuda {
namespace {

Status run(Driver& driver, Needs needs, const std::function<void(Driver&)>& body) {
  try {
    if (!driver.is_initialized) return Status::kNotInitialized;
    if (needs == Needs::kContext) {
      const Status fault = driver.current().fault;
      if (fault != Status::kSuccess) return fault;
    }
    body(driver);
  } catch (const ApiError& error) {
    return error.status;
  } catch (const std::bad_alloc&) {
    return Status::kOutOfMemory;
  } catch (const std::exception& error) {
    std::fprintf(stderr, "softcuda: %s\n", error.what());
    return Status::kUnknown;
  }
  if (needs != Needs::kCleanUp || Driver::stack().empty()) return Status::kSuccess;
  Context* context = Driver::stack().back();
  return driver.is_live(context) ? context->fault : Status::kSuccess;
}

}  // namespace

int call(Needs needs, const std::function<void(Driver&)>& body) {
  Driver& driver = Driver::get();
  const std::lock_guard<std::mutex> lock(driver.mutex);
  return static_cast<int>(run(driver, needs, body));
}

}  // namespace softcuda
