#include "module_loading.h"

#include <algorithm>
#include <cstdio>
#include <memory>
#include <string>

#include "../image/image.h"
#include "ptxas.h"

namespace softcuda {
namespace {

// What a damaged text says of itself may be no text: whoever reads the log expects one.
std::string printable(std::string text) {
  for (char& c : text) {
    if (c != '\n' && (c < ' ' || c > '~')) c = '?';
  }
  return text;
}

int device_of(const Driver& driver) { return driver.settings.architecture->capability; }

// As a GPU's driver does, which compiles PTX for its device: not for an older one than was asked.
void check_target(const ptx::Module& module, bool is_machine_code, int device) {
  if (module.target.ptx_runs_on(device)) return;
  const PtxError error(module.target_line,
                       "the target is " + module.target.name() +
                           ", and the device has compute capability " +
                           std::to_string(device / 10) + "." + std::to_string(device % 10) +
                           ": compile for it, or set SOFTCUDA_COMPUTE_CAPABILITY");
  if (is_machine_code) throw ApiError(Status::kNoBinaryForGpu, error.what());
  throw error;
}

void take_registers(ModuleHandle& module, const Image& image) {
  for (auto& [name, function] : module.program->functions) {
    const auto found = image.registers.find(name);
    if (found == image.registers.end() || found->second <= 0) continue;
    function->registers = found->second;
    function->registers_source = "cubin";
  }
}

void add_handles(Driver& driver, ModuleHandle& module) {
  for (auto& [name, function] : module.program->functions) {
    auto handle = std::make_unique<FunctionHandle>();
    handle->module = &module;
    handle->function = function.get();
    driver.functions.insert(handle.get());
    module.functions[name] = std::move(handle);
  }
}

}  // namespace

void Log::put(int buffer_option, int size_option, const std::string& text) const {
  char* buffer = nullptr;
  void** size = nullptr;
  for (unsigned k = 0; k < count_; ++k) {
    if (options_[k] == buffer_option) buffer = static_cast<char*>(values_[k]);
    if (options_[k] == size_option) size = &values_[k];
  }
  if (size == nullptr) return;
  const auto room = static_cast<size_t>(reinterpret_cast<uintptr_t>(*size) & 0xFFFFFFFFu);
  const size_t written = buffer == nullptr || room == 0 ? 0 : std::min(text.size(), room - 1);
  if (written != 0) std::memcpy(buffer, text.data(), written);
  if (buffer != nullptr && room != 0) buffer[written] = '\0';
  *size = reinterpret_cast<void*>(static_cast<uintptr_t>(written));
}

ModuleHandle* load(Driver& driver, const char* data, size_t size, const Log& log) {
  Context& context = driver.current();
  try {
    const int device = device_of(driver);
    const Image image = read_image(data, size, device);
    auto module = std::make_unique<ModuleHandle>();
    ptx::Module parsed = ptx::parse(image.ptx);
    check_target(parsed, image.is_machine_code, device);
    if (!image.lines.frames.empty()) name_source_lines(parsed, image.lines);
    module->program =
        load_program(parsed, *driver.memory, driver.settings.limits.approximation_seed);
    take_registers(*module, image);
    if (image.registers.empty()) {
      const ptx::Architecture native{device, 0};
      module->unmeasured_ptx = image.ptx;
      module->architecture = (parsed.target.suffix != 0 ? parsed.target : native).name();
    }
    add_handles(driver, *module);
    log.write("");
    driver.modules.insert(module.get());
    context.modules.insert(module.get());
    return module.release();
  } catch (const PtxError& error) {
    const std::string text = printable(error.what());
    log.write("softcuda: " + text);
    std::fprintf(stderr, "softcuda: cannot load a module: %s\n", text.c_str());
    throw ApiError(Status::kInvalidPtx, text);
  } catch (const ApiError& error) {
    const std::string text = printable(error.what());
    log.write("softcuda: " + text);
    std::fprintf(stderr, "softcuda: cannot load a module: %s\n", text.c_str());
    throw;
  }
}

void measure_registers(const Driver& driver, ModuleHandle& module) {
  if (module.unmeasured_ptx.empty() || driver.settings.ptxas.empty()) return;
  const std::string text = std::move(module.unmeasured_ptx);
  module.unmeasured_ptx.clear();
  for (const auto& [name, count] :
       registers_by_ptxas(driver.settings.ptxas, text, module.architecture)) {
    const auto found = module.program->functions.find(name);
    if (found == module.program->functions.end()) continue;
    found->second->registers = count;
    found->second->registers_source = "ptxas";
  }
}

}  // namespace softcuda
