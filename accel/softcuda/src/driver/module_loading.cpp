#include "module_loading.h"

#include <algorithm>
#include <cstdio>
#include <map>
#include <memory>

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
  std::map<std::string, int> numbers;
  module.files.clear();
  for (ptx::Function& f : module.functions) {
    for (ptx::Statement& s : f.body) {
      const auto found = lines.find(s.line);
      if (found == lines.end()) continue;
      const auto number =
          numbers.emplace(found->second.first, static_cast<int>(numbers.size()) + 1);
      module.files[number.first->second] = found->second.first;
      s.source = {number.first->second, found->second.second};
    }
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
    const Image image = read_image(data, size);
    auto module = std::make_unique<ModuleHandle>();
    ptx::Module parsed = ptx::parse(image.ptx);
    if (!image.lines.empty()) name_source_lines(parsed, image.lines);
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
