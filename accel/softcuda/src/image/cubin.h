// Cubins: ELF files with machine code, of which softcuda takes all but that.
#pragma once

#include <map>
#include <string>

#include "bytes.h"
#include "lines.h"

namespace softcuda {

struct Cubin {
  int architecture = 0;                  // 86 for sm_86
  std::string ptx;                       // empty: it was compiled without -lineinfo
  bool is_relocatable = false;           // with -rdc=true, linked or not: several PTX texts
  std::map<std::string, int> registers;  // by kernel: 32-bit ones a thread
  SourceLines lines;
};

constexpr uint32_t kElfMagic = 0x464C457F;

// A cubin of unknown size in this process's memory, as far as its headers say that it goes.
std::string whole_cubin(const char* data);

// Throws ApiError kInvalidImage for what is none.
Cubin read_cubin(const Bytes& elf);

}  // namespace softcuda
