#include "process_memory.h"

#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "../common.h"

namespace softcuda {

// The system call itself: AddressSanitizer takes a write() that runs out of an object for an
// overflow, and what is asked here is just how far memory can be read. The bytes beyond an image
// whose own header says too much are refused by whoever reads it.
std::string readable(const char* data, size_t size) {
  const int file = memfd_create("softcuda", MFD_CLOEXEC);
  if (file < 0) throw ApiError(Status::kOutOfMemory, "no memory to look at an image");
  std::string copy;
  size_t done = 0;
  for (ssize_t wrote = 1; done < size && wrote > 0;
       done += wrote > 0 ? static_cast<size_t>(wrote) : 0) {
    wrote = syscall(SYS_write, file, data + done, size - done);
  }
  copy.resize(done);
  const ssize_t got = pread(file, copy.data(), done, 0);
  close(file);
  copy.resize(got > 0 ? static_cast<size_t>(got) : 0);
  return copy;
}

}  // namespace softcuda
