// Where the ways of a branch meet again.
#pragma once

#include "instruction.h"

namespace softcuda {

// Set Instruction::join of every branch to its immediate post-dominator.
void find_joins(Function& function);

}  // namespace softcuda
