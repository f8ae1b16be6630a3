// Where the registers of a function lie: rows whose lives do not overlap share a place.
#pragma once

#include <vector>

#include "control_flow.h"

namespace softcuda {

// Give every row of a decoded function its place in the frame, by the time in which it is alive.
// Sets Function::registers to the most 32-bit registers that are alive at the same time. With
// `watches`, each place gets a row of the lanes that have written it.
void share_rows(Function& function, const std::vector<BasicBlock>& blocks, bool watches);

// Call visit(row, is_written) for every row of the frame that an instruction names.
template <class F>
void each_row(Instruction& i, F visit) {
  const auto see = [&](Row& row, bool is_written) {
    if (row != kNoRow && is_frame_row(row)) visit(row, is_written);
  };
  for (Row* row : {&i.a, &i.b, &i.c, &i.c2, &i.guard}) see(*row, false);
  if (i.operand == OperandKind::kMemory) {
    auto& op = *static_cast<MemoryOperand*>(const_cast<void*>(i.extra));
    for (size_t k = 0; k < op.elements; ++k) see(op.parts[k], !op.is_store);
  } else if (i.operand == OperandKind::kBarrier) {
    auto& op = *static_cast<BarrierOperand*>(const_cast<void*>(i.extra));
    for (Row* row : {&op.id, &op.count, &op.predicate}) see(*row, false);
  } else if (i.operand == OperandKind::kCall) {
    see(static_cast<CallOperand*>(const_cast<void*>(i.extra))->target, false);
  }
  for (Row* row : {&i.d, &i.e}) see(*row, true);
}

}  // namespace softcuda
