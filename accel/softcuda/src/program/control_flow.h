// How control flows through a function: its basic blocks, and where the ways of a branch meet.
#pragma once

#include <vector>

#include "instruction.h"

namespace softcuda {

// Instructions one after another, entered at the first and left at the last only.
struct BasicBlock {
  uint32_t first, last;
  std::vector<int> next;
};

std::vector<BasicBlock> basic_blocks(const std::vector<Instruction>& code);

// Set Instruction::join of every branch to its immediate post-dominator.
void find_joins(Function& function, const std::vector<BasicBlock>& blocks);

}  // namespace softcuda
