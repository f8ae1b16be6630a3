// Source lines of the PTX in a cubin.
#pragma once

#include <map>

#include "../ptx/ast.h"
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

// In a cubin the PTX has lost its .loc lines: give every statement the line that the cubin knows.
void name_source_lines(ptx::Module& module, const SourceLines& lines);

}  // namespace softcuda
