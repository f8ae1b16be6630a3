// LZ4, as fatbins hold it: one block without a frame around it.
#pragma once

#include <string>

#include "bytes.h"

namespace softcuda {

// The `size` bytes that a block stands for. Throws ApiError kInvalidImage if it stands for others.
std::string decompress_lz4(const Bytes& block, size_t size);

}  // namespace softcuda
