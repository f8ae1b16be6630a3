// Zstandard frames (RFC 8878), without dictionaries.
#pragma once

#include <string>

#include "bytes.h"

namespace softcuda {

// The `size` bytes that a frame stands for. Throws ApiError kInvalidImage if it stands for others.
// A checksum is passed over: what comes out is looked at closely anyway.
std::string decompress_zstd(const Bytes& frame, size_t size);

}  // namespace softcuda
