#include "decoder.h"

#include <algorithm>
#include <limits>
#include <set>

#include "../machine/special_registers.h"
#include "control_flow.h"
#include "lanes.h"
#include "rows.h"

namespace softcuda {

using ptx::Operand;
using ptx::Space;
using ptx::Type;

const char* category_name(Category category) {
  static const char* const names[] = {"move",    "integer", "convert", "float32", "float64",
                                      "special", "global",  "shared",  "local",   "const",
                                      "param",   "atomic",  "control", "barrier", "warp"};
  return names[static_cast<size_t>(category)];
}

Count& Count::operator+=(const Count& other) {
  warps += other.warps, lanes += other.lanes;
  global_requests += other.global_requests, sectors += other.sectors;
  shared_requests += other.shared_requests, wavefronts += other.wavefronts;
  ideal_wavefronts += other.ideal_wavefronts, divided += other.divided;
  return *this;
}

// --- modifiers -----------------------------------------------------------------------------------

bool Modifiers::take(const std::string& word) {
  const auto found = std::find(left_.begin(), left_.end(), word);
  if (found == left_.end()) return false;
  left_.erase(found);
  return true;
}

std::string Modifiers::take_one(const std::vector<std::string>& words) {
  for (size_t k = 0; k < left_.size(); ++k) {
    const std::string word = left_[k];
    if (std::find(words.begin(), words.end(), word) == words.end()) continue;
    left_.erase(left_.begin() + static_cast<ptrdiff_t>(k));
    return word;
  }
  return "";
}

std::string Modifiers::require_one(const std::vector<std::string>& words) {
  const std::string word = take_one(words);
  if (!word.empty()) return word;
  std::string list;
  for (const std::string& one : words) list += (list.empty() ? "." : ", .") + one;
  fail("expected one of " + list);
}

Type Modifiers::take_type() {
  for (size_t k = 0; k < left_.size(); ++k) {
    const Type type = ptx::type_named(left_[k]);
    if (type.kind == Type::Kind::kNone) continue;
    left_.erase(left_.begin() + static_cast<ptrdiff_t>(k));
    return type;
  }
  fail("a type is missing");
}

void Modifiers::finish() const {
  if (!left_.empty()) fail("modifier ." + left_[0] + " is not supported here");
}

void Modifiers::fail(const std::string& what) const {
  std::string text = statement_.opcode;
  for (const std::string& word : statement_.modifiers) text += "." + word;
  throw PtxError(statement_.line, text + ": " + what);
}

// --- moves that bring a register to another width ------------------------------------------------

namespace {

template <class To, class From>
void resize(Warp& w, const Instruction& i, Mask m) {
  const In<From> a(w, i.a);
  each_lane<To>(w, i.d, m, [&](int l) { return static_cast<To>(a[l]); });
}

// From a lane that holds a number of `bits`, signed or not, to a lane of 4 or 8 bytes.
Handler resizing(int bits, bool is_signed, int to_bytes) {
  if (to_bytes == 8) {
    if (bits <= 8) return is_signed ? resize<int64_t, int8_t> : resize<uint64_t, uint8_t>;
    if (bits <= 16) return is_signed ? resize<int64_t, int16_t> : resize<uint64_t, uint16_t>;
    if (bits <= 32) return is_signed ? resize<int64_t, int32_t> : resize<uint64_t, uint32_t>;
    return resize<uint64_t, uint64_t>;
  }
  return resize<uint32_t, uint64_t>;  // the low part
}

int lane_bytes(const Type& type) {
  const int bits = type.bits * type.elements;
  return bits == 128 ? 16 : bits == 64 ? 8 : 4;
}

const OpcodeTable& opcodes() {
  static const OpcodeTable table = [] {
    OpcodeTable t;
    add_integer(t), add_logic(t), add_float(t), add_convert(t);
    add_memory(t), add_atomic(t), add_address(t);
    add_control(t), add_warp(t);
    return t;
  }();
  return table;
}

void add_constant(Warp& w, const Instruction& i, Mask m) {
  const In<uint64_t> a(w, i.a);
  each_lane<uint64_t>(w, i.d, m, [&](int l) { return a[l] + static_cast<uint64_t>(i.immediate); });
}

}  // namespace

// --- one function --------------------------------------------------------------------------------

Decoder::Decoder(const ptx::Function& source, const Symbols& symbols, Function& function)
    : source_(source), symbols_(symbols), function_(function) {
  place_rows();
  place_variables();
}

void Decoder::place_rows() {
  for (const ptx::Register& r : source_.registers) {
    rows_.push_back(temporary(r.type.is_predicate() ? 0 : lane_bytes(r.type)));
  }
}

Row Decoder::temporary(int bytes) {
  constexpr size_t kMostRows = size_t{1} << 21;
  if (function_.rows.size() >= kMostRows) throw PtxError(source_.line, "too many registers");
  function_.rows.push_back(static_cast<uint8_t>(bytes));
  return static_cast<Row>(2 * (function_.rows.size() - 1));
}

void Decoder::place_variables() {
  uint64_t param = 0, local = 0;
  for (const ptx::Variable& v : source_.variables) {
    uint64_t* cursor = v.space == Space::kParam   ? &param
                       : v.space == Space::kLocal ? &local
                                                  : nullptr;
    if (cursor == nullptr) {
      offsets_.push_back(0);
      continue;
    }
    *cursor = round_up(*cursor, std::max<uint64_t>(v.align, 1));
    if (*cursor + v.bytes > (uint64_t{1} << 24))
      throw PtxError(source_.line, "variable " + v.name + " is too large");
    offsets_.push_back(static_cast<uint32_t>(*cursor));
    *cursor += v.bytes;
  }
  const auto is_param = [](const ptx::Variable& v) { return v.space == Space::kParam; };
  const auto params = std::count_if(source_.variables.begin(), source_.variables.end(), is_param);
  function_.has_common_params =
      source_.is_entry && static_cast<size_t>(params) == source_.parameters.size();
  function_.param_bytes = static_cast<uint32_t>(round_up(param, 16));
  function_.variable_bytes = static_cast<uint32_t>(local);
  function_.local_bytes = static_cast<uint32_t>(round_up(local, 16));
  const auto place = [this](int index) {
    const auto& v = source_.variables[static_cast<size_t>(index)];
    return std::make_pair(offsets_[static_cast<size_t>(index)], static_cast<uint32_t>(v.bytes));
  };
  for (int index : source_.parameters) function_.parameters.push_back(place(index));
  for (int index : source_.results) function_.results.push_back(place(index));
  for (const auto& p : function_.parameters) {
    if (source_.is_entry) function_.kernel_param_bytes = p.first + p.second;
  }
}

uint32_t Decoder::param_offset(int variable) const {
  if (source_.variables[static_cast<size_t>(variable)].space != Space::kParam) {
    fail("a .param variable is needed");
  }
  return offsets_[static_cast<size_t>(variable)];
}

void Decoder::run() {
  for (const ptx::Statement& s : source_.body) {
    starts_.push_back(static_cast<uint32_t>(function_.code.size()));
    statement_ = &s;
    taken_operands_ = 0;
    Modifiers mods(s);
    auto found = opcodes().find(s.opcode);
    if (found == opcodes().end()) {
      // add, mul and their like: of floats or of integers.
      const bool is_float =
          std::any_of(s.modifiers.begin(), s.modifiers.end(), [](const std::string& word) {
            const Type type = ptx::type_named(word);
            return type.is_float() || type.kind == Type::Kind::kBrainFloat;
          });
      found = opcodes().find(s.opcode + (is_float ? ".float" : ".int"));
    }
    if (found == opcodes().end()) fail("this instruction is not supported");
    if (s.opcode == "bar" && mods.take("warp")) found = opcodes().find("bar.warp");
    static const std::set<std::string> with_two_results = {"call", "elect", "match", "setp",
                                                           "shfl"};
    if (!s.results.empty() && with_two_results.count(s.opcode) == 0)
      fail("there is one result only");
    found->second(*this, mods);
    mods.finish();
    if (taken_operands_ < num_operands()) {
      fail("expected " + std::to_string(taken_operands_) + " operands, found " +
           std::to_string(num_operands()));
    }
    for (const Pending& p : pending_) {
      const Row a = p.from, to = p.to;
      Instruction& i =
          emit(resizing(p.sign_bits < 0 ? -p.sign_bits : p.sign_bits, p.sign_bits < 0, p.to_bytes),
               Category::kMove);
      i.a = a, i.d = to, i.is_auxiliary = true;
    }
    pending_.clear();
  }
  statement_ = &source_.body.back();
  resolve_branches();
  const std::vector<BasicBlock> blocks = basic_blocks(function_.code);
  find_joins(function_, blocks);
  share_rows(function_, blocks, symbols_.watches_registers);
  function_.sites.resize(function_.code.size());
}

void Decoder::resolve_branches() {
  for (Instruction& i : function_.code) {
    if (i.flow == Flow::kBranch) i.target = starts_[i.target];
  }
  for (auto& table : function_.branch_tables) {
    for (uint32_t& target : *table) target = starts_[target];
  }
}

uint32_t Decoder::label(const std::string& name) const {
  const auto found = source_.labels.find(name);
  if (found == source_.labels.end()) fail("label '" + name + "' is not known");
  return static_cast<uint32_t>(found->second);
}

Instruction& Decoder::emit(Handler handler, Category category) {
  Instruction i;
  i.run = handler;
  i.category = category;
  i.ptx_line = statement_->line;
  i.source = statement_->source;
  if (statement_->guard >= 0) {
    i.guard = rows_[static_cast<size_t>(statement_->guard)];
    i.guard_negated = statement_->guard_negated;
  }
  function_.code.push_back(i);
  return function_.code.back();
}

void Decoder::fail(const std::string& what) const {
  std::string text = statement_->opcode;
  for (const std::string& word : statement_->modifiers) text += "." + word;
  throw PtxError(statement_->line, text + ": " + what);
}

const Operand& Decoder::operand(size_t index) {
  taken_operands_ = std::max(taken_operands_, index + 1);
  if (index >= statement_->operands.size()) fail("an operand is missing");
  return statement_->operands[index];
}

const Type& Decoder::register_type(const Operand& o) const {
  if (o.kind != Operand::Kind::kRegister || o.index < 0 ||
      static_cast<size_t>(o.index) >= source_.registers.size()) {
    fail("expected a register");
  }
  return source_.registers[static_cast<size_t>(o.index)].type;
}

Row Decoder::constant(uint64_t bits, int bytes) {
  const auto key = std::make_pair(bytes == 8 ? bits : bits & 0xFFFFFFFFu, bytes);
  const auto found = constants_.find(key);
  if (found != constants_.end()) return found->second;
  const Row row = static_cast<Row>(function_.constants.size()) | kConstantRow;
  for (int lane = 0; lane < kLanes; ++lane) {
    const char* from = reinterpret_cast<const char*>(&key.first);
    function_.constants.insert(function_.constants.end(), from, from + bytes);
  }
  constants_[key] = row;
  return row;
}

Row Decoder::special(const std::string& name) {
  const auto found = specials_.find(name);
  if (found != specials_.end()) return found->second;
  const SpecialValue value = special_value(name);
  if (value == nullptr) fail("'" + name + "' is not supported");
  const bool is_wide = name == kLocalBase;
  const Row row = temporary(is_wide ? 8 : 4);
  specials_[name] = row;
  function_.specials.push_back({value, is_wide, row});
  return row;
}

// Whether a name stands for an address, and which. Of .local variables: the offset in the frame.
bool Decoder::address_of(const Operand& o, Space& space, uint64_t& address) {
  if (o.kind == Operand::Kind::kVariable) {
    const ptx::Variable& v = source_.variables[static_cast<size_t>(o.index)];
    space = v.space;
    if (v.space == Space::kShared) {
      address = symbols_.shared.at(source_.name + "/" + v.name);
    } else if (v.space == Space::kParam || v.space == Space::kLocal) {
      address = offsets_[static_cast<size_t>(o.index)];
    } else {
      const auto found = symbols_.program->variables.find(source_.name + "/" + v.name);
      if (found == symbols_.program->variables.end()) return false;
      address = found->second.first;
    }
    return true;
  }
  if (o.kind != Operand::Kind::kSymbol) return false;
  const auto shared = symbols_.shared.find(o.name);
  if (shared != symbols_.shared.end()) {
    space = Space::kShared;
    address = shared->second;
    return true;
  }
  const auto variable = symbols_.program->variables.find(o.name);
  if (variable != symbols_.program->variables.end()) {
    space = Space::kGlobal;
    address = variable->second.first;
    return true;
  }
  for (const auto& entry : symbols_.program->function_addresses) {
    if (entry.second->name == o.name) {
      space = Space::kGlobal;
      address = entry.first;
      return true;
    }
  }
  return false;
}

Row Decoder::source(const Operand& o, const Type& type) {
  check_source(o, type);
  const int bytes = lane_bytes(type);
  if (bytes == 16 && o.kind != Operand::Kind::kRegister) fail("expected a register of 128 bits");
  switch (o.kind) {
    case Operand::Kind::kRegister: {
      const Type& held = register_type(o);
      if (o.negated || held.is_predicate()) fail("a predicate cannot stand here");
      const Row row = rows_[static_cast<size_t>(o.index)];
      if (lane_bytes(held) == bytes) return row;
      if (held.bits == 128 || bytes == 16) fail("128 bits go into registers of 128 bits only");
      const Row brought = temporary(bytes);
      Instruction& i = emit(resizing(held.bits, type.is_signed(), bytes), Category::kMove);
      i.a = row, i.d = brought, i.is_auxiliary = true;
      return brought;
    }
    case Operand::Kind::kSpecial: {
      if (o.name == "WARP_SZ") return constant(kLanes, bytes);
      const Row row = special(o.name);
      if (statement_->opcode != "mov" && statement_->opcode != "cvt")
        fail("'" + o.name + "' stands in mov and cvt only");
      if (bytes == 4) return row;
      const Row brought = temporary(8);
      Instruction& i = emit(resizing(32, false, 8), Category::kMove);
      i.a = row, i.d = brought, i.is_auxiliary = true;
      return brought;
    }
    case Operand::Kind::kInteger: {
      if (!type.is_float()) return constant(o.value, bytes);
      const double value = static_cast<double>(static_cast<int64_t>(o.value));
      uint64_t bits = 0;
      const float single = static_cast<float>(value);
      if (bytes == 8)
        std::memcpy(&bits, &value, sizeof value);
      else
        std::memcpy(&bits, &single, sizeof single);
      return constant(bits, bytes);
    }
    case Operand::Kind::kFloat32:
    case Operand::Kind::kFloat64: {
      const bool is_single = o.kind == Operand::Kind::kFloat32;
      double value;
      float single;
      std::memcpy(&single, &o.value, sizeof single);
      std::memcpy(&value, &o.value, sizeof value);
      if (is_single == (bytes == 4)) return constant(o.value, bytes);
      uint64_t bits = 0;
      if (is_single) {
        value = single;
        std::memcpy(&bits, &value, sizeof value);
      } else {
        single = static_cast<float>(value);
        std::memcpy(&bits, &single, sizeof single);
      }
      return constant(bits, bytes);
    }
    case Operand::Kind::kVariable:
    case Operand::Kind::kSymbol: {
      if (o.name == "WARP_SZ") return constant(kLanes, bytes);
      Space space = Space::kNone;
      uint64_t address = 0;
      if (!address_of(o, space, address)) fail("'" + o.name + "' is not known");
      if (space != Space::kLocal) return constant(address + o.value, bytes);
      const Row base = special(kLocalBase), sum = temporary(8);
      Instruction& i = emit(add_constant, Category::kMove);
      i.a = base, i.d = sum, i.is_auxiliary = true;
      i.immediate = static_cast<int64_t>(address + o.value);
      if (bytes == 8) return sum;
      const Row low = temporary(4);
      Instruction& j = emit(resizing(64, false, 4), Category::kMove);
      j.a = sum, j.d = low, j.is_auxiliary = true;
      return low;
    }
    default:
      fail("this operand cannot stand here");
  }
}

Row Decoder::destination(const Operand& o, const Type& type) {
  check_destination(o, type);
  if (o.kind == Operand::Kind::kSink) return temporary(lane_bytes(type));
  const Type& held = register_type(o);
  if (held.is_predicate()) fail("a predicate cannot stand here");
  const Row row = rows_[static_cast<size_t>(o.index)];
  const int from = lane_bytes(type), to = lane_bytes(held);
  if (from == to) return row;
  if (from == 16 || to == 16) fail("128 bits go into registers of 128 bits only");
  const Row written = temporary(from);
  pending_.push_back({written, row, from, to, type.is_signed() ? -type.bits : type.bits});
  return written;
}

Row Decoder::predicate(const Operand& o) {
  if (o.kind == Operand::Kind::kInteger) return constant(o.value != 0 ? kFullMask : 0, 4);
  if (o.negated || !register_type(o).is_predicate()) fail("expected a predicate");
  return rows_[static_cast<size_t>(o.index)];
}

Row Decoder::predicate_result(const Operand& o) {
  if (o.kind == Operand::Kind::kSink) return kNoRow;
  if (o.kind != Operand::Kind::kRegister) fail("expected a predicate");
  return predicate(o);
}

}  // namespace softcuda
