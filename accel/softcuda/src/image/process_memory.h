// Memory of this process that a caller points to, as far as it can be read.
#pragma once

#include <string>

namespace softcuda {

// The bytes from `data` on, fewer than `size` where memory ends before: the kernel looks, so that a
// pointer that runs out of it is no crash.
//
// Throws ApiError kOutOfMemory.
std::string readable(const char* data, size_t size);

}  // namespace softcuda
