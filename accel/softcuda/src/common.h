// What every part of softcuda shares: the width of a warp, lane masks, and the two kinds of error.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <stdexcept>
#include <string>
#include <utility>

namespace softcuda {

constexpr int kLanes = 32;

// One bit a lane of a warp.
using Mask = uint32_t;
constexpr Mask kFullMask = ~Mask{0};

inline bool has_lane(Mask mask, int lane) { return (mask >> lane) & 1u; }
inline int lowest_lane(Mask mask) { return __builtin_ctz(mask); }
inline int count_lanes(Mask mask) { return __builtin_popcount(mask); }

inline uint64_t round_up(uint64_t value, uint64_t multiple) {
  return (value + multiple - 1) / multiple * multiple;
}

// The result codes of the driver API that softcuda returns (values of cuda.h, CUresult).
enum class Status : int {
  kSuccess = 0,
  kInvalidValue = 1,
  kOutOfMemory = 2,
  kNotInitialized = 3,
  kInvalidDevice = 101,
  kInvalidImage = 200,
  kInvalidContext = 201,
  kNoBinaryForGpu = 209,
  kUnsupportedLimit = 215,
  kInvalidPtx = 218,
  kInvalidSource = 300,
  kFileNotFound = 301,
  kInvalidHandle = 400,
  kNotFound = 500,
  kNotReady = 600,
  kIllegalAddress = 700,
  kLaunchOutOfResources = 701,
  kLaunchTimeout = 702,
  kContextIsDestroyed = 709,
  kHostMemoryAlreadyRegistered = 712,
  kHostMemoryNotRegistered = 713,
  kAssert = 710,
  kHardwareStackError = 714,
  kIllegalInstruction = 715,
  kMisalignedAddress = 716,
  kInvalidAddressSpace = 717,
  kInvalidPc = 718,
  kLaunchFailed = 719,
  kNotPermitted = 800,
  kNotSupported = 801,
  kInvalidClusterSize = 912,
  kUnknown = 999,
};

// An API call that cannot be served: becomes its return value.
class ApiError : public std::runtime_error {
 public:
  ApiError(Status code, const std::string& what) : std::runtime_error(what), status(code) {}
  Status status;
};

// Base of what a Ref points to: counted without atomics, for objects that one thread of the host
// works on at a time.
struct Counted {
  uint32_t references = 0;
};

// A shared owner of a Counted object.
template <class T>
class Ref {
 public:
  Ref() = default;
  explicit Ref(T* object) : object_(object) { retain(); }
  Ref(const Ref& other) : object_(other.object_) { retain(); }
  Ref(Ref&& other) noexcept : object_(std::exchange(other.object_, nullptr)) {}
  Ref& operator=(Ref other) noexcept {
    std::swap(object_, other.object_);
    return *this;
  }
  ~Ref() {
    if (object_ != nullptr && --object_->references == 0) delete object_;
  }
  T* get() const { return object_; }
  T* operator->() const { return object_; }
  T& operator*() const { return *object_; }
  explicit operator bool() const { return object_ != nullptr; }
  bool operator==(const Ref& other) const { return object_ == other.object_; }
  bool operator!=(const Ref& other) const { return object_ != other.object_; }

 private:
  void retain() {
    if (object_ != nullptr) ++object_->references;
  }
  T* object_ = nullptr;
};

// PTX that cannot be run, with the line of the PTX text.
class PtxError : public std::runtime_error {
 public:
  PtxError(int of_text, const std::string& what)
      : std::runtime_error("line " + std::to_string(of_text) + ": " + what), line(of_text) {}
  int line;
};

}  // namespace softcuda
