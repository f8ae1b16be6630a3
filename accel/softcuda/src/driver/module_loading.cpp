#include "module_loading.h"

#include <algorithm>
#include <cstdio>
#include <memory>
#include <string>

#include "../image/image.h"

namespace softcuda {
namespace {

// What a damaged text says of itself may be no text: whoever reads the log expects one.
std::string printable(std::string text) {
  for (char& c : text) {
    if (c != '\n' && (c < ' ' || c > '~')) c = '?';
  }
  return text;
}

// In a cubin the PTX has lost its .loc lines: give every statement the one that the cubin knows.
void name_source_lines(ptx::Module& module, const SourceLines& lines) {
  module.sources = lines.sources;
  for (ptx::Function& f : module.functions) {
    for (ptx::Statement& s : f.body) {
      const auto found = lines.frames.find(s.line);
      s.source = module.sources.location(found == lines.frames.end() ? 0 : found->second);
    }
  }
}

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
    const int device = driver.settings.compute_major * 10 + driver.settings.compute_minor;
    const Image image = read_image(data, size, device);
    auto module = std::make_unique<ModuleHandle>();
    ptx::Module parsed = ptx::parse(image.ptx);
    check_target(parsed, image.is_machine_code, device);
    if (!image.lines.frames.empty()) name_source_lines(parsed, image.lines);
    module->program = load_program(parsed, *driver.memory);
    for (auto& entry : module->program->functions) {
      const auto found = image.registers.find(entry.first);
      if (found != image.registers.end() && found->second > 0)
        entry.second->registers = found->second;
      auto handle = std::make_unique<FunctionHandle>();
      handle->module = module.get();
      handle->function = entry.second.get();
      driver.functions.insert(handle.get());
      module->functions[entry.first] = std::move(handle);
    }
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

}  // namespace softcuda
