// What NVIDIA's assembler says of PTX: the registers that a kernel would take on a GPU.
#pragma once

#include <map>
#include <string>

namespace softcuda {

// Run `program` on a PTX text for an architecture such as "sm_86": the 32-bit registers a thread of
// each kernel. Empty, after a line on stderr that says why, where it fails or takes too long.
std::map<std::string, int> registers_by_ptxas(const std::string& program, const std::string& ptx,
                                              const std::string& architecture);

}  // namespace softcuda
