#include "image.h"

#include <algorithm>
#include <vector>

#include "cubin.h"
#include "fatbin.h"
#include "process_memory.h"

namespace softcuda {
namespace {

const std::string kCompileWithPtx =
    "compile with nvcc -lineinfo (for PyCUDA, PYCUDA_DEFAULT_NVCC_FLAGS=-lineinfo), or load PTX";

std::string device_name(int device) {
  return "the device has compute capability " + std::to_string(device / 10) + "." +
         std::to_string(device % 10);
}

Image image_of(Cubin cubin) {
  Image image;
  image.ptx = std::move(cubin.ptx);
  image.registers = std::move(cubin.registers);
  image.lines = std::move(cubin.lines);
  image.is_machine_code = true;
  return image;
}

Image read_one_cubin(const Bytes& elf, int device) {
  Cubin cubin = read_cubin(elf);
  const ptx::Architecture architecture{cubin.architecture, 0};
  if (!architecture.machine_code_runs_on(device)) {
    throw ApiError(Status::kNoBinaryForGpu,
                   "this cubin is for " + architecture.name() + ", and " + device_name(device) +
                       ": compile for it, or set SOFTCUDA_COMPUTE_CAPABILITY");
  }
  if (cubin.is_relocatable) {
    throw ApiError(Status::kNoBinaryForGpu,
                   "this cubin was compiled with -rdc=true: code that is linked is not supported");
  }
  if (cubin.ptx.empty()) {
    throw ApiError(Status::kNoBinaryForGpu, "this cubin carries no PTX: " + kCompileWithPtx);
  }
  return image_of(std::move(cubin));
}

// Entries of a kind that run on the device, the best first.
std::vector<FatbinEntry> that_run(const std::vector<FatbinEntry>& entries, FatbinEntry::Kind kind,
                                  int device) {
  std::vector<FatbinEntry> result;
  for (const FatbinEntry& e : entries) {
    const bool runs = kind == FatbinEntry::Kind::kPtx ? e.architecture.ptx_runs_on(device)
                                                      : e.architecture.machine_code_runs_on(device);
    if (e.kind == kind && runs) result.push_back(e);
  }
  std::stable_sort(result.begin(), result.end(), [](const FatbinEntry& a, const FatbinEntry& b) {
    return a.architecture.number > b.architecture.number;
  });
  return result;
}

std::string list_of(const std::vector<FatbinEntry>& entries) {
  std::string text;
  for (const FatbinEntry& e : entries) {
    text += (text.empty() ? "" : ", ") +
            std::string(e.kind == FatbinEntry::Kind::kPtx ? "PTX" : "machine code") + " for " +
            e.architecture.name();
  }
  return text.empty() ? "nothing that can be run" : text;
}

// Machine code comes first, as on a GPU, if its PTX is in it. Otherwise the newest PTX is taken;
// registers are still those of the machine code that a GPU would run.
Image read_fatbin(const Bytes& fatbin, int device) {
  const std::vector<FatbinEntry> entries = fatbin_entries(fatbin);
  const auto cubins = that_run(entries, FatbinEntry::Kind::kCubin, device);
  const auto texts = that_run(entries, FatbinEntry::Kind::kPtx, device);
  Image image;
  for (const FatbinEntry& entry : cubins) {
    const std::string elf = contents(entry);
    Cubin cubin = read_cubin(Bytes(elf.data(), elf.size()));
    if (!cubin.ptx.empty()) return image_of(std::move(cubin));
    if (image.registers.empty()) image.registers = std::move(cubin.registers);
  }
  if (texts.empty()) {
    const std::string holds = "this fatbin holds " + list_of(entries);
    if (cubins.empty()) {
      throw ApiError(Status::kNoBinaryForGpu,
                     holds + ", and " + device_name(device) +
                         ": compile for it, or set SOFTCUDA_COMPUTE_CAPABILITY");
    }
    throw ApiError(Status::kNoBinaryForGpu,
                   holds + ", but no PTX for " + device_name(device) + ": " + kCompileWithPtx);
  }
  image.ptx = contents(texts[0]).c_str();  // without the zeros that pad it
  return image;
}

// PTX of unknown length: to its zero byte, or as far as memory can be read. What was meant to be a
// cubin or a fatbin may have lost its first bytes, and has no zero byte where a text ends.
std::string whole_text(const char* data) {
  constexpr size_t kPiece = size_t{1} << 16;
  std::string text;
  for (;;) {
    const std::string piece = readable(data + text.size(), kPiece);
    const size_t end = std::min(piece.find('\0'), piece.size());
    text.append(piece, 0, end);
    if (end < kPiece) return text;
  }
}

}  // namespace

Image read_image(const char* data, size_t size, int device) {
  uint32_t magic = 0;
  const std::string start = size == 0 ? readable(data, sizeof magic) : std::string();
  const Bytes first = size == 0 ? Bytes(start.data(), start.size()) : Bytes(data, size);
  if (first.size() >= sizeof magic) magic = first.at<uint32_t>(0);
  std::string whole;
  if (magic == kElfMagic) {
    if (size == 0) whole = whole_cubin(data);
    return read_one_cubin(size == 0 ? Bytes(whole.data(), whole.size()) : Bytes(data, size),
                          device);
  }
  if (magic == kFatbinMagic || (magic == kFatbinWrapperMagic && size == 0)) {
    if (size == 0) whole = whole_fatbin(data);
    return read_fatbin(size == 0 ? Bytes(whole.data(), whole.size()) : Bytes(data, size), device);
  }
  Image image;
  image.ptx = size == 0 ? whole_text(data) : std::string(data, strnlen(data, size));
  return image;
}

}  // namespace softcuda
