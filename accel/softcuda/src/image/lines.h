// Source lines of the PTX in a cubin.
#pragma once

#include <map>
#include <string>
#include <utility>

#include "bytes.h"

namespace softcuda {

// Line of the PTX -> file and line of the source.
using SourceLines = std::map<int, std::pair<std::string, int>>;

// Join two DWARF line programs of a cubin by the address of its machine code: `source` (section
// .debug_line) has the source's lines, `ptx` (section .nv_debug_line_sass) those of the PTX.
//
// Throws ApiError kInvalidImage for what is no line program.
SourceLines join_lines(const Bytes& source, const Bytes& ptx);

}  // namespace softcuda
