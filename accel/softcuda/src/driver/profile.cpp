#include "profile.h"

#include <cxxabi.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <set>

#include "settings.h"

namespace softcuda {
namespace {

void add_access(KernelProfile& profile, const MemoryOperand& operand, const Count& count) {
  Traffic& traffic = operand.is_atomic  ? profile.atomics
                     : operand.is_store ? profile.stores
                                        : profile.loads;
  traffic.requests += count.global_requests;
  traffic.sectors += count.sectors;
  if (operand.is_atomic) profile.atomic_operations += count.lanes;
}

std::string demangled(const std::string& name) {
  int status = 0;
  char* text = abi::__cxa_demangle(name.c_str(), nullptr, nullptr, &status);
  const std::string result = status == 0 ? text : name;
  std::free(text);
  return result;
}

// --- JSON ---

std::string quoted(const std::string& text) {
  std::string out = "\"";
  for (const char c : text) {
    if (static_cast<unsigned char>(c) < ' ') {
      char code[8];
      std::snprintf(code, sizeof code, "\\u%04x", c);
      out += code;
      continue;
    }
    if (c == '"' || c == '\\') out += '\\';
    out += c;
  }
  return out + "\"";
}

// The members of an object, one after another.
class Members {
 public:
  void add(const std::string& name, const std::string& value) {
    text_ += (text_.empty() ? "" : ", ") + quoted(name) + ": " + value;
  }
  void add(const std::string& name, uint64_t value) { add(name, std::to_string(value)); }
  void add_counts(const std::string& name, const Traffic& traffic) {
    add(name + "_requests", traffic.requests);
    add(name + "_sectors", traffic.sectors);
  }
  std::string object() const { return "{" + text_ + "}"; }

 private:
  std::string text_;
};

void add_totals(Members& members, const Count& total) {
  members.add("warp_instructions", total.warps);
  members.add("lane_instructions", total.lanes);
  members.add("global_requests", total.global_requests);
  members.add("global_sectors", total.sectors);
  members.add("shared_requests", total.shared_requests);
  members.add("shared_wavefronts", total.wavefronts);
  members.add("divergent_branches", total.divided);
}

std::string classes_of(const KernelProfile& kernel) {
  Members classes;
  for (size_t k = 0; k < kernel.classes.size(); ++k) {
    if (kernel.classes[k].first == 0) continue;
    Members one;
    one.add("warps", kernel.classes[k].first);
    one.add("lanes", kernel.classes[k].second);
    classes.add(category_name(static_cast<Category>(k)), one.object());
  }
  return classes.object();
}

std::string lines_of(const KernelProfile& kernel) {
  std::string out;
  for (const auto& [place, count] : kernel.lines) {
    Members line;
    line.add("file", quoted(place.first));
    line.add("line", static_cast<uint64_t>(place.second));
    add_totals(line, count);
    out += (out.empty() ? "\n      " : ",\n      ") + line.object();
  }
  return "[" + out + "]";
}

std::string json(const KernelProfile& kernel) {
  Members members;
  members.add("name", quoted(kernel.name));
  members.add("demangled", quoted(kernel.demangled));
  members.add("is_entry", kernel.is_entry ? "true" : "false");
  members.add("launches", kernel.launches);
  members.add("registers", static_cast<uint64_t>(kernel.registers));
  members.add("registers_source", quoted(kernel.registers_source));
  add_totals(members, kernel.total);
  members.add("flops", kernel.flops);
  members.add_counts("global_load", kernel.loads);
  members.add_counts("global_store", kernel.stores);
  members.add_counts("global_atomic", kernel.atomics);
  members.add("shared_ideal_wavefronts", kernel.total.ideal_wavefronts);
  members.add("shared_conflicts", kernel.total.wavefronts - kernel.total.ideal_wavefronts);
  members.add("atomics", kernel.atomic_operations);
  members.add("barriers", kernel.barriers);
  members.add("classes", classes_of(kernel));
  members.add("lines", lines_of(kernel));
  return members.object();
}

}  // namespace

KernelProfile profile_of(const Function& function, const Program& program, uint64_t launches) {
  KernelProfile result;
  result.name = function.name;
  result.demangled = demangled(function.name);
  result.is_entry = function.is_entry;
  result.launches = launches;
  result.registers = function.registers;
  result.registers_source = function.registers_source;
  std::set<const void*> accesses;
  for (const auto& operand : function.memory_operands) accesses.insert(operand.get());
  for (size_t k = 0; k < function.code.size(); ++k) {
    const Instruction& i = function.code[k];
    Count count = function.sites[k].count;
    if (count.warps == 0) continue;
    if (accesses.count(i.extra) != 0) {
      add_access(result, *static_cast<const MemoryOperand*>(i.extra), count);
    }
    if (i.flow == Flow::kBarrier) result.barriers += count.warps;
    if (i.is_auxiliary) count.warps = count.lanes = 0;
    result.flops += count.lanes * i.flops;
    auto& of_class = result.classes[static_cast<size_t>(i.category)];
    of_class.first += count.warps, of_class.second += count.lanes;
    result.total += count;
    const auto file = program.sources.files.find(i.source.file);
    if (file == program.sources.files.end() || i.source.line == 0) continue;
    result.lines[{file->second, i.source.line}] += count;
  }
  return result;
}

std::string json(const std::vector<KernelProfile>& kernels, const Settings& settings) {
  std::string list;
  for (const KernelProfile& kernel : kernels) {
    list += (list.empty() ? "\n    " : ",\n    ") + json(kernel);
  }
  Members members;
  members.add("device", quoted("softcuda (software)"));
  members.add("note", quoted("functional emulation of PTX, not a GPU: no SASS, no timing"));
  if (settings.architecture != nullptr) {  // cuInit was called
    members.add("compute_capability", static_cast<uint64_t>(settings.architecture->capability));
  }
  members.add("kernels", "[" + list + "]");
  return members.object() + "\n";
}

void write_profile(const std::vector<KernelProfile>& kernels, const Settings& settings) {
  std::string name = settings.profile;
  for (size_t at = name.find("%p"); at != std::string::npos; at = name.find("%p", at)) {
    name.replace(at, 2, std::to_string(getpid()));
  }
  std::FILE* file = std::fopen(name.c_str(), "w");
  const std::string text = json(kernels, settings);
  const bool is_written =
      file != nullptr && std::fwrite(text.data(), 1, text.size(), file) == text.size();
  if (file != nullptr && std::fclose(file) == 0 && is_written) return;
  std::fprintf(stderr, "softcuda: cannot write the profile to %s\n", name.c_str());
}

}  // namespace softcuda
