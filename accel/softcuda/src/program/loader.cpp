// From a parsed module to one that can run: memory for variables, shared memory laid out, functions
// decoded.
#include <algorithm>

#include "../machine/architecture.h"
#include "../memory/device_memory.h"
#include "decoder.h"

namespace softcuda {
namespace {

using ptx::Space;
using ptx::Variable;

constexpr uint64_t kMostShared = 8 * 1024 * 1024;
constexpr uint32_t kCallBytes = 16;  // a call takes of the stack at least: where to return to, ...

class Loader {
 public:
  Loader(const ptx::Module& module, DeviceMemory& memory, uint64_t approximation_seed)
      : module_(module), memory_(memory), program_(std::make_unique<Program>()) {
    program_->approximation_seed = approximation_seed;
  }

  // What was allocated goes where the rest of the module cannot be loaded.
  std::unique_ptr<Program> run() {
    try {
      load();
    } catch (...) {
      for (const auto& variable : program_->variables) memory_.release(variable.second.first);
      throw;
    }
    return std::move(program_);
  }

 private:
  void load() {
    program_->version = module_.version;
    program_->target = module_.target.number;
    program_->sources = module_.sources;
    symbols_.module = &module_;
    symbols_.program = program_.get();
    symbols_.watches_registers = memory_.watches();
    place_variables();
    place_shared();
    make_functions();
    initialize_variables();
    for (const ptx::Function& f : module_.functions) {
      if (f.is_declaration) continue;
      Function& function = *program_->functions[f.name];
      Decoder(f, symbols_, function).run();
      if (!f.is_entry) function.local_bytes += kCallBytes;
    }
    find_calls();
  }

  static bool has_memory(const Variable& v) {
    return (v.space == Space::kGlobal || v.space == Space::kConst) && !v.is_extern;
  }

  void place(const Variable& v, const std::string& name) {
    const auto kind =
        v.space == Space::kConst ? Allocation::Kind::kConstant : Allocation::Kind::kVariable;
    Allocation& one = memory_.allocate(v.bytes, kind, v.name, std::max<uint64_t>(v.align, 1));
    std::memset(one.host, 0, v.bytes);  // variables without an initial value are zero
    program_->variables[name] = {one.address, v.bytes};
  }

  void place_variables() {
    for (const Variable& v : module_.variables) {
      if (has_memory(v)) place(v, v.name);
    }
    for (const ptx::Function& f : module_.functions) {
      for (const Variable& v : f.variables) {
        if (has_memory(v)) place(v, f.name + "/" + v.name);
      }
    }
  }

  // Shared variables of the module and of device functions have places of their own; those of
  // entries lie over one another, since one entry runs at a time. `extern` ones begin after all.
  void place_shared() {
    uint64_t end = 0;
    const auto add = [](const Variable& v, uint64_t& cursor) {
      cursor = round_up(cursor, std::max<uint64_t>(v.align, 1));
      const uint64_t at = cursor;
      cursor += v.bytes;
      if (cursor > kMostShared) throw PtxError(1, "shared variable " + v.name + " is too large");
      return static_cast<uint32_t>(at);
    };
    for (const Variable& v : module_.variables) {
      if (v.space == Space::kShared && !v.is_extern) symbols_.shared[v.name] = add(v, end);
    }
    for (const ptx::Function& f : module_.functions) {
      for (const Variable& v : f.variables) {
        if (v.space == Space::kShared && !f.is_entry)
          symbols_.shared[f.name + "/" + v.name] = add(v, end);
      }
    }
    const uint64_t common = end;
    uint64_t most = common;
    for (const ptx::Function& f : module_.functions) {
      uint64_t cursor = common;
      for (const Variable& v : f.variables) {
        if (v.space == Space::kShared && f.is_entry)
          symbols_.shared[f.name + "/" + v.name] = add(v, cursor);
      }
      shared_end_[f.name] = static_cast<uint32_t>(cursor);
      most = std::max(most, cursor);
    }
    symbols_.dynamic_shared = static_cast<uint32_t>(round_up(most, 1024));
    for (const Variable& v : module_.variables) {
      if (v.space == Space::kShared && v.is_extern)
        symbols_.shared[v.name] = symbols_.dynamic_shared;
    }
  }

  void make_functions() {
    uint64_t address = kFunctionWindow;
    for (const ptx::Function& f : module_.functions) {
      if (f.is_declaration) continue;
      auto one = std::make_unique<Function>();
      one->name = f.name;
      one->is_entry = f.is_entry;
      one->shared_end = shared_end_[f.name];
      one->dynamic_shared = symbols_.dynamic_shared;
      one->max_threads = f.max_threads != 0 ? std::min(f.max_threads, 1024) : 1024;
      if (f.max_threads != 0) {
        // ptxas sees to it that there are enough for so many. Each scheduler has a warp of four.
        const int four_warps = 4 * kLanes;
        const int threads = (one->max_threads + four_warps - 1) / four_warps * four_warps;
        const int each = Architecture::kRegisters / threads / 8 * 8;
        one->most_registers = std::min(255, each);
      }
      std::copy(f.required_threads, f.required_threads + 3, one->required_threads);
      std::copy(f.cluster, f.cluster + 3, one->cluster);
      program_->function_addresses[address] = one.get();
      address += 16;
      program_->functions[f.name] = std::move(one);
    }
  }

  // What functions are said to do, their callers do too.
  void find_calls() {
    for (bool has_changed = true; has_changed;) {
      has_changed = false;
      for (auto& entry : program_->functions) {
        Function& f = *entry.second;
        for (const auto& call : f.call_operands) {
          if (call->callee == nullptr || !call->callee->communicates || f.communicates) continue;
          f.communicates = has_changed = true;
        }
      }
    }
  }

  void initialize_variables() {
    for (const Variable& v : module_.variables) {
      if (has_memory(v)) initialize(v, v.name);
    }
    for (const ptx::Function& f : module_.functions) {
      for (const Variable& v : f.variables) {
        if (has_memory(v)) initialize(v, f.name + "/" + v.name);
      }
    }
  }

  void initialize(const Variable& v, const std::string& name) {
    if (v.initializers.empty()) return;
    char* host = memory_.host(program_->variables[name].first, v.bytes);
    for (const ptx::Initializer& one : v.initializers) {
      uint64_t value = one.value;
      if (!one.symbol.empty()) value += address_of(one.symbol);
      if (one.offset + static_cast<uint64_t>(one.bytes) > v.bytes) {
        throw PtxError(1, "variable " + v.name + " has more initial values than it holds");
      }
      std::memcpy(host + one.offset, &value,
                  std::min<size_t>(static_cast<size_t>(one.bytes), sizeof value));
    }
  }

  uint64_t address_of(const std::string& symbol) const {
    const auto variable = program_->variables.find(symbol);
    if (variable != program_->variables.end()) return variable->second.first;
    for (const auto& entry : program_->function_addresses) {
      if (entry.second->name == symbol) return entry.first;
    }
    throw PtxError(1, "initial value '" + symbol + "' is not known");
  }

  const ptx::Module& module_;
  DeviceMemory& memory_;
  std::unique_ptr<Program> program_;
  Symbols symbols_;
  std::map<std::string, uint32_t> shared_end_;
};

}  // namespace

std::unique_ptr<Program> load_program(const ptx::Module& module, DeviceMemory& memory,
                                      uint64_t approximation_seed) {
  return Loader(module, memory, approximation_seed).run();
}

}  // namespace softcuda
