#include "image.h"

#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <vector>

namespace softcuda {
namespace {

constexpr size_t kElfHeader = 64, kSectionHeader = 64;
constexpr uint32_t kNoBits = 8;

struct Section {
  std::string name;
  uint32_t type, info;
  uint64_t offset, size;
};

// The memory of this process from `data` on, as far as it can be read: the kernel looks, so that a
// pointer that runs out of it is no crash.
std::string readable(const char* data, size_t size) {
  const int file = memfd_create("softcuda", MFD_CLOEXEC);
  if (file < 0) throw ApiError(Status::kOutOfMemory, "no memory to look at an image");
  std::string copy;
  size_t done = 0;
  for (ssize_t wrote = 1; done < size && wrote > 0;
       done += wrote > 0 ? static_cast<size_t>(wrote) : 0) {
    wrote = write(file, data + done, size - done);
  }
  copy.resize(done);
  const ssize_t got = pread(file, copy.data(), done, 0);
  close(file);
  copy.resize(got > 0 ? static_cast<size_t>(got) : 0);
  return copy;
}

// An ELF file of unknown size, as far as its headers say that it goes.
std::string whole_elf(const char* data) {
  constexpr uint64_t kMost = uint64_t{1} << 30;
  const std::string start = readable(data, kElfHeader);
  const Bytes header(start.data(), start.size());
  const auto segments = header.at<uint64_t>(0x20), sections = header.at<uint64_t>(0x28);
  const uint64_t segment_bytes = uint64_t{header.at<uint16_t>(0x36)} * header.at<uint16_t>(0x38);
  const uint64_t count = header.at<uint16_t>(0x3C);
  if (segments > kMost || sections > kMost)
    throw ApiError(Status::kInvalidImage, "the image is too large");
  uint64_t end = std::max(sections + kSectionHeader * count, segments + segment_bytes);
  const std::string table = readable(data + sections, kSectionHeader * count);
  const Bytes headers(table.data(), table.size());
  for (uint64_t k = 0; k < count; ++k) {
    const size_t at = k * kSectionHeader;
    const auto offset = headers.at<uint64_t>(at + 24), size = headers.at<uint64_t>(at + 32);
    if (headers.at<uint32_t>(at + 4) == kNoBits) continue;
    if (offset > kMost || size > kMost)
      throw ApiError(Status::kInvalidImage, "the image is too large");
    end = std::max(end, offset + size);
  }
  return readable(data, end);
}

std::vector<Section> sections_of(const Bytes& elf) {
  const auto table = elf.at<uint64_t>(0x28);
  const auto count = elf.at<uint16_t>(0x3C), names = elf.at<uint16_t>(0x3E);
  const auto header = [&](size_t k) { return static_cast<size_t>(table) + k * kSectionHeader; };
  const Bytes strings =
      elf.part(elf.at<uint64_t>(header(names) + 24), elf.at<uint64_t>(header(names) + 32));
  std::vector<Section> result;
  for (size_t k = 0; k < count; ++k) {
    const size_t at = header(k);
    result.push_back({strings.string(elf.at<uint32_t>(at)), elf.at<uint32_t>(at + 4),
                      elf.at<uint32_t>(at + 44), elf.at<uint64_t>(at + 24),
                      elf.at<uint64_t>(at + 32)});
  }
  return result;
}

Image read_elf(const Bytes& elf) {
  Image image;
  Bytes source_lines, ptx_lines;
  for (const Section& s : sections_of(elf)) {
    if (s.type == kNoBits) continue;
    const std::string text_prefix = ".text.";
    if (s.name == ".nv_debug_ptx_txt") {
      const Bytes text = elf.part(s.offset, s.size);
      image.ptx.assign(text.data(), text.size());
      std::replace(image.ptx.begin(), image.ptx.end(), '\0', '\n');
    } else if (s.name == ".debug_line") {
      source_lines = elf.part(s.offset, s.size);
    } else if (s.name == ".nv_debug_line_sass") {
      ptx_lines = elf.part(s.offset, s.size);
    } else if (s.name.rfind(text_prefix, 0) == 0) {
      // The number of registers stands in the upper byte of the section's sh_info.
      image.registers[s.name.substr(text_prefix.size())] = static_cast<int>(s.info >> 24);
    }
  }
  if (image.ptx.empty()) {
    throw ApiError(Status::kNoBinaryForGpu,
                   "this cubin carries no PTX: compile with nvcc -lineinfo (for PyCUDA, "
                   "PYCUDA_DEFAULT_NVCC_FLAGS=-lineinfo), or load PTX");
  }
  if (source_lines.size() != 0 && ptx_lines.size() != 0) {
    image.lines = join_lines(source_lines, ptx_lines);
  }
  return image;
}

}  // namespace

Image read_image(const char* data, size_t size) {
  constexpr uint32_t kElfMagic = 0x464C457F, kFatbinMagic = 0xBA55ED50;
  uint32_t magic = 0;
  if (size == 0 || size >= 4) std::memcpy(&magic, data, 4);
  if (magic == kElfMagic) {
    if (size != 0) return read_elf(Bytes(data, size));
    const std::string elf = whole_elf(data);
    return read_elf(Bytes(elf.data(), elf.size()));
  }
  if (magic == kFatbinMagic) {
    throw ApiError(Status::kNoBinaryForGpu, "fatbins are not supported: load a cubin or PTX");
  }
  Image image;
  image.ptx = size == 0 ? std::string(data) : std::string(data, strnlen(data, size));
  return image;
}

}  // namespace softcuda
