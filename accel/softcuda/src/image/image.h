// What is loaded as a module: PTX text, a cubin or a fatbin, to the PTX in it.
#pragma once

#include <map>
#include <string>

#include "../common.h"
#include "lines.h"

namespace softcuda {

struct Image {
  std::string ptx;
  // From a cubin, by kernel: 32-bit registers a thread.
  std::map<std::string, int> registers;
  SourceLines lines;             // of a cubin; PTX text has its own
  bool is_machine_code = false;  // the PTX is a cubin's
};

// Read an image for a device of compute capability `device`, such as 86. `size` is 0 where it is
// not known: then the image tells where it ends.
//
// Throws ApiError: kNoBinaryForGpu where nothing in it has PTX and runs on the device,
// kInvalidImage for what is none.
Image read_image(const char* data, size_t size, int device);

}  // namespace softcuda
