// Fatbins: containers of PTX and cubins for several architectures, compressed or not.
//
// NVIDIA does not describe the format; what is read here is what fatbinary of CUDA 13 writes.
#pragma once

#include <string>
#include <vector>

#include "../ptx/architecture.h"
#include "bytes.h"

namespace softcuda {

constexpr uint32_t kFatbinMagic = 0xBA55ED50;

// What compiled programs hold: a struct that points to a fatbin.
constexpr uint32_t kFatbinWrapperMagic = 0x466243B1;

struct FatbinEntry {
  enum class Kind { kPtx, kCubin };
  enum class Compression { kNone, kLz4, kZstd };
  Kind kind;
  ptx::Architecture architecture;
  Compression compression;
  Bytes stored;
  size_t stored_size;   // of what is stored, after decompression
  size_t offset, size;  // in it
};

// A fatbin of unknown size in this process's memory, directly or through its wrapper.
std::string whole_fatbin(const char* data);

// The entries of all containers that follow one another, but for those that are neither PTX nor
// cubins. They refer to the fatbin.
//
// Throws ApiError kInvalidImage for what is none.
std::vector<FatbinEntry> fatbin_entries(const Bytes& fatbin);

// The PTX or the cubin.
std::string contents(const FatbinEntry& entry);

}  // namespace softcuda
