// What every call of the API begins with: the lock, the context, and arguments that can be used.
#pragma once

#include <functional>
#include <set>

#include "state.h"

#define SOFTCUDA_API extern "C" __attribute__((visibility("default")))

namespace softcuda {

enum class Needs {
  kDevice,   // no more than cuInit
  kContext,  // a current context without a fault
  kCleanUp,  // is done in any case, and then tells of a fault in the current context
};

// Run the body of an API call, and turn errors into codes.
int call(Needs needs, const std::function<void(Driver&)>& body);

inline void require(bool condition, Status status = Status::kInvalidValue) {
  if (!condition) throw ApiError(status, "a bad argument");
}

// What a pointer points to that must not be null.
template <class T>
T& given(T* pointer) {
  require(pointer != nullptr);
  return *pointer;
}

template <class T>
T& live(const std::set<T*>& all, void* handle) {
  const auto found = all.find(static_cast<T*>(handle));
  if (found == all.end()) throw ApiError(Status::kInvalidHandle, "the handle is not live");
  return **found;
}

}  // namespace softcuda
