// Modules from images: read, parsed, decoded, and what went wrong written where the caller looks.
#pragma once

#include <string>

#include "state.h"

namespace softcuda {

// Where a JIT writes what went wrong: options 3 and 5 are buffers, 4 and 6 their sizes, in and out.
class Log {
 public:
  Log(unsigned count, const int* options, void** values)
      : count_(count), options_(options), values_(values) {}

  void write(const std::string& errors) const {
    put(3, 4, "");
    put(5, 6, errors);
  }

 private:
  void put(int buffer_option, int size_option, const std::string& text) const;

  unsigned count_;
  const int* options_;
  void** values_;
};

// Load an image into the current context. `size` is 0 where it is not known.
//
// Throws ApiError, after the reason was written to the log and to stderr.
ModuleHandle* load(Driver& driver, const char* data, size_t size, const Log& log);

}  // namespace softcuda
