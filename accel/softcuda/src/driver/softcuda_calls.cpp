// Calls of softcuda's own, for the Python package.
#include "call.h"

using namespace softcuda;

// What was counted since the last reset, as JSON; all work that was given is done first. The text
// is valid until the next call.
SOFTCUDA_API const char* softcuda_profile() {
  static std::string text;
  Driver& driver = Driver::get();
  const std::lock_guard<std::mutex> lock(driver.mutex);
  driver.work.finish(driver.work.pending());
  text = json(driver.profile(), driver.settings);
  return text.c_str();
}

SOFTCUDA_API void softcuda_reset() {
  Driver& driver = Driver::get();
  const std::lock_guard<std::mutex> lock(driver.mutex);
  driver.work.finish(driver.work.pending());
  driver.reset_profile();
}
