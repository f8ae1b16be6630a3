// Branches, calls, barriers, and the end of a thread.
#include "decoder.h"
#include "lanes.h"

namespace softcuda {
namespace {

using ptx::Operand;
using ptx::Type;

const Type kU32 = ptx::type_named("u32");

void nothing(Warp&, const Instruction&, Mask) {}

Instruction& emit_flow(Decoder& d, Flow flow, Category category = Category::kControl) {
  Instruction& i = d.emit(nothing, category);
  i.flow = flow;
  return i;
}

// Targets are statements until every statement has its instructions.
void decode_bra(Decoder& d, Modifiers& mods) {
  mods.take("uni");
  const uint32_t target = d.label(d.operand(0).name);
  emit_flow(d, Flow::kBranch).target = target;
}

void decode_brx(Decoder& d, Modifiers& mods) {
  if (!mods.take("idx")) d.fail("brx needs .idx");
  mods.take("uni");
  const auto& tables = d.source_function().branch_targets;
  const auto found = tables.find(d.operand(1).name);
  if (found == tables.end()) d.fail("'" + d.operand(1).name + "' is no list of .branchtargets");
  auto table = std::make_unique<std::vector<uint32_t>>();
  for (const std::string& name : found->second) table->push_back(d.label(name));
  const Row a = d.source(d.operand(0), kU32);
  Instruction& i = emit_flow(d, Flow::kBranchTable);
  i.a = a, i.extra = table.get(), i.operand = OperandKind::kBranchTable;
  d.function().branch_tables.push_back(std::move(table));
}

void decode_ret(Decoder& d, Modifiers& mods) {
  mods.take("uni");
  emit_flow(d, Flow::kReturn);
}

void decode_exit(Decoder& d, Modifiers&) { emit_flow(d, Flow::kExit); }
void decode_trap(Decoder& d, Modifiers&) { emit_flow(d, Flow::kTrap); }
void decode_nanosleep(Decoder& d, Modifiers& mods) {
  const Row time = d.source(d.operand(0), mods.take_type());
  emit_flow(d, Flow::kPause).a = time;
}
void decode_nothing(Decoder& d, Modifiers&) { d.emit(nothing, Category::kControl); }

// Where the .param variables of a call lie in the caller's frame.
std::vector<std::pair<uint32_t, uint32_t>> places(Decoder& d,
                                                  const std::vector<Operand>& operands) {
  std::vector<std::pair<uint32_t, uint32_t>> result;
  for (const Operand& o : operands) {
    if (o.kind != Operand::Kind::kVariable) d.fail("an argument of a call is a .param variable");
    const ptx::Variable& v = d.source_function().variables[static_cast<size_t>(o.index)];
    result.emplace_back(d.param_offset(o.index), static_cast<uint32_t>(v.bytes));
  }
  return result;
}

void decode_call(Decoder& d, Modifiers& mods) {
  mods.take("uni");
  auto call = std::make_unique<CallOperand>();
  call->arguments = places(d, d.statement().arguments);
  call->results = places(d, d.statement().results);
  const Operand& callee = d.operand(0);
  if (callee.kind == Operand::Kind::kRegister) {
    call->target = d.source(callee, d.register_type(callee));
    d.function().makes_calls = d.function().communicates = true;
  } else {
    const auto& functions = d.symbols().program->functions;
    const auto found = functions.find(callee.name);
    const bool is_builtin = callee.name == "vprintf" || callee.name == "__assertfail" ||
                            callee.name == "malloc" || callee.name == "free";
    if (found != functions.end()) {
      call->callee = found->second.get();
      d.function().makes_calls = true;
    } else if (is_builtin) {
      call->builtin = callee.name;
      d.function().communicates = true;
    } else {
      d.fail("function " + callee.name + " is not defined here");
    }
  }
  Instruction& i = emit_flow(d, Flow::kCall);
  i.extra = call.get(), i.operand = OperandKind::kCall;
  d.function().call_operands.push_back(std::move(call));
}

BarrierOperand& new_barrier(Decoder& d) {
  d.function().barrier_operands.push_back(std::make_unique<BarrierOperand>());
  return *d.function().barrier_operands.back();
}

void decode_cluster_barrier(Decoder& d, Modifiers& mods) {
  BarrierOperand& op = new_barrier(d);
  const std::string what = mods.take_one({"arrive", "wait"});
  if (what.empty()) d.fail("barrier.cluster needs .arrive or .wait");
  op.kind =
      what == "arrive" ? BarrierOperand::Kind::kClusterArrive : BarrierOperand::Kind::kClusterWait;
  const std::string order = mods.take_one({"release", "relaxed", "acquire"});
  if (order == (what == "arrive" ? "acquire" : "release") || (what == "wait" && order == "relaxed"))
    d.fail("arrive takes .release or .relaxed, wait takes .acquire");
  op.is_relaxed = order == "relaxed";
  op.is_aligned = mods.take("aligned");
  Instruction& i = emit_flow(d, Flow::kBarrier, Category::kBarrier);
  i.extra = &op, i.operand = OperandKind::kBarrier;
}

void decode_barrier(Decoder& d, Modifiers& mods, bool is_aligned) {
  if (mods.take("cluster")) return decode_cluster_barrier(d, mods);
  BarrierOperand& op = new_barrier(d);
  mods.take("cta");
  const std::string what = mods.take_one({"sync", "arrive", "red"});
  const std::string reduction = what == "red" ? mods.require_one({"popc", "and", "or"}) : "";
  op.is_aligned = mods.take("aligned") || is_aligned;
  size_t at = 0;
  Row result = kNoRow;
  if (what == "red") {
    op.kind = reduction == "popc"  ? BarrierOperand::Kind::kReducePopc
              : reduction == "and" ? BarrierOperand::Kind::kReduceAnd
                                   : BarrierOperand::Kind::kReduceOr;
    if (!mods.take(reduction == "popc" ? "u32" : "pred")) d.fail("a type is missing");
    if (d.num_operands() < 3) d.fail("an operand is missing");
    result =
        reduction == "popc" ? d.destination(d.operand(0), kU32) : d.predicate_result(d.operand(0));
    at = 1;
  } else if (what == "arrive") {
    op.kind = BarrierOperand::Kind::kArrive;
  } else if (what.empty()) {
    d.fail("a barrier needs .sync, .arrive or .red");
  }
  const size_t end = d.num_operands() - (what == "red" ? 1 : 0);
  op.id = d.source(d.operand(at++), kU32);
  if (at < end) op.count = d.source(d.operand(at++), kU32);
  if (what == "red") {
    Operand p = d.operand(d.num_operands() - 1);
    op.is_negated = p.negated;
    p.negated = false;
    op.predicate = d.predicate(p);
  }
  Instruction& i = emit_flow(d, Flow::kBarrier, Category::kBarrier);
  i.extra = &op, i.operand = OperandKind::kBarrier;
  i.d = result;
}

}  // namespace

void add_control(OpcodeTable& table) {
  table["bra"] = decode_bra;
  table["brx"] = decode_brx;
  table["call"] = decode_call;
  table["ret"] = decode_ret;
  table["exit"] = decode_exit;
  table["trap"] = decode_trap;
  table["brkpt"] = decode_nothing;
  table["nanosleep"] = decode_nanosleep;
  table["bar"] = [](Decoder& d, Modifiers& mods) { decode_barrier(d, mods, true); };
  table["barrier"] = [](Decoder& d, Modifiers& mods) { decode_barrier(d, mods, false); };
}

}  // namespace softcuda
