// Special registers that do not change while a thread runs: %tid and its like.
#pragma once

#include <string>

#include "../program/instruction.h"

namespace softcuda {

// How the value of a special register is found, or null if the name is none.
SpecialValue special_value(const std::string& name);

// Bytes from the start of local memory to the variables of the running function's frame.
constexpr char kLocalBase[] = "%softcuda_local";

}  // namespace softcuda
