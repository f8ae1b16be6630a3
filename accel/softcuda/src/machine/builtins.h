// What a warp does that is neither arithmetic nor control flow: calls into the system, parameters.
#pragma once

#include <utility>
#include <vector>

#include "machine.h"

namespace softcuda {

// .param variables of some lanes from one frame to another.
void copy_params(const Frame& from, const std::vector<std::pair<uint32_t, uint32_t>>& sources,
                 Frame& to, const std::vector<std::pair<uint32_t, uint32_t>>& targets, Mask lanes);

// The function at an address, for an indirect call. Throws Fault.
const Function* find_callee(const Warp& warp, uint64_t address, int lane);

// vprintf, __assertfail, malloc and free. Throws Fault.
void call_builtin(Warp& warp, const CallOperand& operand, Mask lanes);

}  // namespace softcuda
