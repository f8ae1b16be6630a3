// What a warp does that is neither arithmetic nor control flow: calls into the system, parameters.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "machine.h"

namespace softcuda {

// .param variables of some lanes from one frame to another.
void copy_params(const Frame& from, const std::vector<std::pair<uint32_t, uint32_t>>& sources,
                 Frame& to, const std::vector<std::pair<uint32_t, uint32_t>>& targets, Mask lanes);

// The function at an address, for an indirect call. Throws Fault.
const Function* find_callee(const Warp& warp, uint64_t address, int lane);

// What a generic address of a lane points to. Throws Fault if it is not that lane's to read.
void read_bytes(Warp& warp, int lane, uint64_t address, void* to, size_t bytes);
std::string read_string(Warp& warp, int lane, uint64_t address);

// vprintf, __assertfail, malloc and free. Throws Fault.
void call_builtin(Warp& warp, const CallOperand& operand, Mask lanes);

}  // namespace softcuda
