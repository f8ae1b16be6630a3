// Source lines of the PTX in a cubin.
#pragma once

#include <map>

#include "../ptx/source_frames.h"
#include "bytes.h"

namespace softcuda {

struct SourceLines {
  ptx::SourceMap sources;
  std::map<int, int> frames;  // by line of the PTX
};

// Join two DWARF line programs of a cubin by the address of its machine code: `source` (section
// .debug_line) has the source's lines, `ptx` (section .nv_debug_line_sass) those of the PTX.
//
// Throws ApiError kInvalidImage for what is no line program.
SourceLines join_lines(const Bytes& source, const Bytes& ptx);

}  // namespace softcuda
