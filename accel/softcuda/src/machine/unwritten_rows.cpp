// Registers that hold what was never written: moved at will, reported where they are used.
#include "../program/rows.h"
#include "machine.h"

namespace softcuda {

Mask Warp::written(Row row) const {
  if (!frame_->has_unwritten || !is_frame_row(row)) return kFullMask;
  return *in<Mask>(frame_->function->written_of_place[row / sizeof(Mask)]);
}

void Warp::mark_unwritten(Row row, Mask lanes) {
  frame_->has_unwritten = true;
  *out<Mask>(frame_->function->written_of_place[row / sizeof(Mask)]) &= ~lanes;
}

void Warp::use_unwritten(Mask lanes) {
  const Instruction* by = frame_->unwritten_by;
  const std::string what = by == nullptr
                               ? "a register is read that was never written"
                               : frame_->unwritten_words + "; what was read is used at " +
                                     source_words(*block_.grid().launch().program, here());
  const Fault fault{Status::kLaunchFailed, "uninitialised read", lowest_lane(lanes), what, by};
  if (!block_.grid().limits().checks.race) throw fault;
  worker_.suspect(fault, block_);
}

// Before an instruction of a frame that has unwritten rows: does it use one? What it writes is
// written then, or as unwritten as what it moves. (Loads and stores see to their data themselves.)
void Warp::check_rows(const Instruction& i, Mask all, Mask lanes) {
  Mask result = kFullMask;
  if (i.moves == Moves::kAll) result = written(i.a);
  if (i.moves == Moves::kSelected) {
    const Mask selects = predicate(i.c) ^ (i.immediate != 0 ? kFullMask : 0);
    result = (selects & written(i.a)) | (~selects & written(i.b));
  }
  const bool is_store =
      i.operand == OperandKind::kMemory && static_cast<const MemoryOperand*>(i.extra)->is_store;
  each_row(const_cast<Instruction&>(i), [&](Row& row, bool is_written) {
    Mask& written = *out<Mask>(function().written_of_place[row / sizeof(Mask)]);
    if (is_written) {
      written = (written & ~lanes) | (lanes & result);
      return;
    }
    const bool is_moved = i.moves != Moves::kNothing &&
                          (&row == &i.a || (&row == &i.b && i.moves == Moves::kSelected));
    const bool is_own = &row == &i.a || &row == &i.b || &row == &i.c || &row == &i.c2;
    const Mask missing = (&row == &i.guard ? all : lanes) & ~written;
    if (missing == 0 || is_moved || (is_store && !is_own && &row != &i.guard)) return;
    use_unwritten(missing);
    written |= missing;
  });
}

}  // namespace softcuda
