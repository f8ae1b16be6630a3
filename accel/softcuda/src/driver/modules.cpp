// The driver API: modules, and what is found in them.
#include <fstream>
#include <sstream>

#include "call.h"
#include "module_loading.h"

using namespace softcuda;

namespace {

// cuda.h: CUjit_option. Buffers for what the compiler says are filled; how it is to compile PTX
// changes nothing here; what links modules or tells names is not offered.
void check_options(unsigned count, const int* options, void** values) {
  constexpr int kWallTime = 2, kFirstOfLinking = 17, kLastOfLinking = 30, kLast = 35;
  require(count == 0 || (options != nullptr && values != nullptr));
  for (unsigned k = 0; k < count; ++k) {
    const int option = options[k];
    require(option >= 0 && option <= kLast);
    const bool is_offered =
        option != kWallTime && (option < kFirstOfLinking || option > kLastOfLinking);
    require(is_offered, Status::kNotSupported);
  }
}

int load_image(ModuleHandle** module, const void* image, unsigned count, int* options,
               void** values) {
  return call(Needs::kContext, [&](Driver& driver) {
    given(module);
    require(image != nullptr);
    check_options(count, options, values);
    *module = load(driver, static_cast<const char*>(image), 0, Log(count, options, values));
  });
}

}  // namespace

SOFTCUDA_API int cuModuleLoadDataEx(ModuleHandle** module, const void* image, unsigned count,
                                    int* options, void** values) {
  return load_image(module, image, count, options, values);
}
SOFTCUDA_API int cuModuleLoadData(ModuleHandle** module, const void* image) {
  return load_image(module, image, 0, nullptr, nullptr);
}
SOFTCUDA_API int cuModuleLoad(ModuleHandle** module, const char* name) {
  return call(Needs::kContext, [&](Driver& driver) {
    given(module);
    std::ifstream file(&given(name), std::ios::binary);
    require(file.good(), Status::kFileNotFound);
    std::stringstream text;
    text << file.rdbuf();
    const std::string bytes = text.str();
    require(!bytes.empty(), Status::kInvalidImage);
    *module = load(driver, bytes.data(), bytes.size(), Log(0, nullptr, nullptr));
  });
}
SOFTCUDA_API int cuModuleUnload(ModuleHandle* module) {
  return call(Needs::kCleanUp,
              [&](Driver& driver) { driver.unload(&live(driver.modules, module)); });
}
SOFTCUDA_API int cuModuleGetFunction(FunctionHandle** function, ModuleHandle* module,
                                     const char* name) {
  return call(Needs::kContext, [&](Driver& driver) {
    given(function), given(name);
    const auto& all = live(driver.modules, module).functions;
    const auto found = all.find(name);
    require(found != all.end() && found->second->function->is_entry, Status::kNotFound);
    *function = found->second.get();
  });
}
SOFTCUDA_API int cuModuleGetGlobal_v2(uint64_t* address, size_t* bytes, ModuleHandle* module,
                                      const char* name) {
  return call(Needs::kContext, [&](Driver& driver) {
    given(name);
    require(address != nullptr || bytes != nullptr);
    const auto& all = live(driver.modules, module).program->variables;
    const auto found = all.find(name);
    require(found != all.end(), Status::kNotFound);
    if (address != nullptr) *address = found->second.first;
    if (bytes != nullptr) *bytes = found->second.second;
  });
}
