#include "image.h"

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

// The end of an ELF file as its headers tell it.
size_t elf_size(const char* data) {
  uint64_t sections, segments;
  uint16_t section_bytes, section_count, segment_bytes, segment_count;
  std::memcpy(&segments, data + 0x20, 8);
  std::memcpy(&sections, data + 0x28, 8);
  std::memcpy(&segment_bytes, data + 0x36, 2);
  std::memcpy(&segment_count, data + 0x38, 2);
  std::memcpy(&section_bytes, data + 0x3A, 2);
  std::memcpy(&section_count, data + 0x3C, 2);
  uint64_t end = std::max(sections + uint64_t{section_bytes} * section_count,
                          segments + uint64_t{segment_bytes} * segment_count);
  for (uint64_t k = 0; k < section_count; ++k) {
    uint32_t type;
    uint64_t offset, size;
    std::memcpy(&type, data + sections + k * section_bytes + 4, 4);
    std::memcpy(&offset, data + sections + k * section_bytes + 24, 8);
    std::memcpy(&size, data + sections + k * section_bytes + 32, 8);
    if (type != kNoBits) end = std::max(end, offset + size);
  }
  return end;
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
  constexpr uint32_t kFatbinMagic = 0xBA55ED50;
  uint32_t magic = 0;
  if (size == 0 || size >= 4) std::memcpy(&magic, data, 4);
  if (std::memcmp(&magic,
                  "\x7F"
                  "ELF",
                  4) == 0) {
    if (size == 0) size = elf_size(data);
    if (size < kElfHeader) throw ApiError(Status::kInvalidImage, "the image is cut off");
    return read_elf(Bytes(data, size));
  }
  if (magic == kFatbinMagic) {
    throw ApiError(Status::kNoBinaryForGpu, "fatbins are not supported: load a cubin or PTX");
  }
  Image image;
  image.ptx = size == 0 ? std::string(data) : std::string(data, strnlen(data, size));
  return image;
}

}  // namespace softcuda
