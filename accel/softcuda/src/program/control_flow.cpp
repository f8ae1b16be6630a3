#include "control_flow.h"

#include <algorithm>

namespace softcuda {
namespace {

std::vector<uint32_t> targets_of(const Instruction& i) {
  if (i.flow == Flow::kBranch) return {i.target};
  if (i.flow == Flow::kBranchTable) return *static_cast<const std::vector<uint32_t>*>(i.extra);
  return {};
}

bool ends_block(const Instruction& i) {
  return i.flow == Flow::kBranch || i.flow == Flow::kBranchTable || i.flow == Flow::kReturn ||
         i.flow == Flow::kExit;
}

bool falls_through(const Instruction& i) { return !ends_block(i) || i.guard != kNoRow; }

// Immediate post-dominators by the algorithm of Cooper, Harvey and Kennedy (2001) on the reversed
// graph; the number of blocks stands for the end of the function.
std::vector<int> post_dominators(const std::vector<BasicBlock>& blocks) {
  const int end = static_cast<int>(blocks.size());
  std::vector<std::vector<int>> before(static_cast<size_t>(end) + 1);
  for (int b = 0; b < end; ++b) {
    const auto& next = blocks[static_cast<size_t>(b)].next;
    if (next.empty()) before[static_cast<size_t>(end)].push_back(b);
    for (int n : next) before[static_cast<size_t>(n)].push_back(b);
  }
  // Reverse post-order of the reversed graph, from the end.
  std::vector<int> order, position(static_cast<size_t>(end) + 1, -1);
  std::vector<std::pair<int, size_t>> stack = {{end, 0}};
  std::vector<bool> seen(static_cast<size_t>(end) + 1, false);
  seen[static_cast<size_t>(end)] = true;
  while (!stack.empty()) {
    auto& [node, at] = stack.back();
    const auto& from = before[static_cast<size_t>(node)];
    if (at < from.size()) {
      const int b = from[at++];
      if (!seen[static_cast<size_t>(b)]) {
        seen[static_cast<size_t>(b)] = true;
        stack.emplace_back(b, 0);
      }
    } else {
      order.push_back(node);
      stack.pop_back();
    }
  }
  for (size_t k = 0; k < order.size(); ++k)
    position[static_cast<size_t>(order[k])] = static_cast<int>(k);
  std::vector<int> dominator(static_cast<size_t>(end) + 1, -1);
  dominator[static_cast<size_t>(end)] = end;
  const auto common = [&](int a, int b) {
    while (a != b) {
      while (position[static_cast<size_t>(a)] < position[static_cast<size_t>(b)])
        a = dominator[static_cast<size_t>(a)];
      while (position[static_cast<size_t>(b)] < position[static_cast<size_t>(a)])
        b = dominator[static_cast<size_t>(b)];
    }
    return a;
  };
  for (bool changed = true; changed;) {
    changed = false;
    for (size_t k = order.size() - 1; k-- > 0;) {
      const int b = order[k];
      const auto& next = blocks[static_cast<size_t>(b)].next;
      int found = next.empty() ? end : -1;
      for (int n : next) {
        if (position[static_cast<size_t>(n)] < 0 || dominator[static_cast<size_t>(n)] < 0) continue;
        found = found < 0 ? n : common(found, n);
      }
      if (found >= 0 && dominator[static_cast<size_t>(b)] != found) {
        dominator[static_cast<size_t>(b)] = found;
        changed = true;
      }
    }
  }
  return dominator;
}

}  // namespace

std::vector<BasicBlock> basic_blocks(const std::vector<Instruction>& code) {
  const auto size = static_cast<uint32_t>(code.size());
  std::vector<bool> leads(size + 1, false);
  leads[0] = true;
  for (uint32_t pc = 0; pc < size; ++pc) {
    for (uint32_t target : targets_of(code[pc])) leads[target] = true;
    if (ends_block(code[pc])) leads[pc + 1] = true;
  }
  std::vector<BasicBlock> blocks;
  std::vector<int> block_of(size, 0);
  for (uint32_t pc = 0; pc < size; ++pc) {
    if (leads[pc]) blocks.push_back({pc, pc, {}});
    blocks.back().last = pc;
    block_of[pc] = static_cast<int>(blocks.size()) - 1;
  }
  for (BasicBlock& b : blocks) {
    const Instruction& i = code[b.last];
    for (uint32_t target : targets_of(i)) b.next.push_back(block_of[target]);
    if (falls_through(i) && b.last + 1 < size) b.next.push_back(block_of[b.last + 1]);
  }
  return blocks;
}

void find_joins(Function& function, const std::vector<BasicBlock>& blocks) {
  const std::vector<int> dominator = post_dominators(blocks);
  for (size_t b = 0; b < blocks.size(); ++b) {
    const int d = dominator[b];
    const bool is_inside = d >= 0 && d < static_cast<int>(blocks.size());
    function.code[blocks[b].last].join = is_inside ? blocks[static_cast<size_t>(d)].first : kNoJoin;
  }
}

}  // namespace softcuda
