#include "process_memory.h"

#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>

#include "../common.h"

namespace softcuda {

namespace {
constexpr size_t kPage = 4096;  // no system has smaller ones
}

// The system call itself: AddressSanitizer takes a write() that runs out of an object for an
// overflow, and what is asked here is just how far memory can be read. The bytes beyond an image
// whose own header says too much are refused by whoever reads it.
std::string readable(const char* data, size_t size) {
  const int file = memfd_create("softcuda", MFD_CLOEXEC);
  if (file < 0) throw ApiError(Status::kOutOfMemory, "no memory to look at an image");
  std::string copy;
  size_t done = 0;
  while (done < size) {
    // Not beyond a page at once: of a range that is there in part an emulator of Linux writes
    // nothing.
    const size_t of_page = kPage - (reinterpret_cast<uintptr_t>(data) + done) % kPage;
    const ssize_t wrote = syscall(SYS_write, file, data + done, std::min(size - done, of_page));
    if (wrote <= 0) break;
    done += static_cast<size_t>(wrote);
  }
  copy.resize(done);
  const ssize_t got = pread(file, copy.data(), done, 0);
  close(file);
  copy.resize(got > 0 ? static_cast<size_t>(got) : 0);
  return copy;
}

}  // namespace softcuda
