// The driver API: the words for an error code.
#include "call.h"

using namespace softcuda;

namespace {

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
    {Status::kUnsupportedLimit, "limit is not supported on this architecture"},
    {Status::kInvalidPtx, "a PTX JIT compilation failed"},
    {Status::kInvalidSource, "device kernel image is invalid"},
    {Status::kFileNotFound, "file not found"},
    {Status::kInvalidHandle, "invalid resource handle"},
    {Status::kNotFound, "named symbol not found"},
    {Status::kNotReady, "device not ready"},
    {Status::kIllegalAddress, "an illegal memory access was encountered"},
    {Status::kLaunchOutOfResources, "too many resources requested for launch"},
    {Status::kLaunchTimeout, "the launch timed out and was terminated"},
    {Status::kContextIsDestroyed, "context is destroyed"},
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
    {Status::kInvalidClusterSize, "cluster misconfiguration"},
    {Status::kUnknown, "unknown error"},
};

}  // namespace

SOFTCUDA_API int cuGetErrorString(int error, const char** text) {
  if (text == nullptr) return static_cast<int>(Status::kInvalidValue);
  for (const ErrorName& one : kErrors) {
    if (static_cast<int>(one.status) != error) continue;
    *text = one.text;
    return 0;
  }
  *text = nullptr;
  return static_cast<int>(Status::kInvalidValue);
}
