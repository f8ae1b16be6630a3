#include "cubin.h"

#include <algorithm>
#include <vector>

#include "process_memory.h"

namespace softcuda {
namespace {

constexpr size_t kElfHeader = 64, kSectionHeader = 64;
constexpr uint32_t kNoBits = 8;

struct Section {
  std::string name;
  uint32_t type, info;
  uint64_t offset, size;
};

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

// It stands in the flags of the header: since CUDA 13 in the second byte, before in the first.
int architecture_of(const Bytes& elf) {
  constexpr uint8_t kSecondByte = 8;  // version of the ABI
  const auto flags = elf.at<uint32_t>(0x30);
  return static_cast<int>((elf.at<uint8_t>(8) >= kSecondByte ? flags >> 8 : flags) & 0xFF);
}

}  // namespace

std::string whole_cubin(const char* data) {
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

Cubin read_cubin(const Bytes& elf) {
  Cubin cubin;
  if (elf.at<uint32_t>(0) != kElfMagic) {
    throw ApiError(Status::kInvalidImage, "a cubin in the image is no ELF file");
  }
  cubin.architecture = architecture_of(elf);
  Bytes source_lines, ptx_lines;
  for (const Section& s : sections_of(elf)) {
    if (s.type == kNoBits) continue;
    const std::string text_prefix = ".text.";
    if (s.name == ".nv_debug_ptx_txt") {
      const Bytes text = elf.part(s.offset, s.size);
      cubin.ptx.assign(text.data(), text.size());
      std::replace(cubin.ptx.begin(), cubin.ptx.end(), '\0', '\n');
    } else if (s.name.rfind(".nv_debug_ptx_txt.", 0) == 0) {
      cubin.is_relocatable = true;
    } else if (s.name == ".debug_line") {
      source_lines = elf.part(s.offset, s.size);
    } else if (s.name == ".nv_debug_line_sass") {
      ptx_lines = elf.part(s.offset, s.size);
    } else if (s.name.rfind(text_prefix, 0) == 0) {
      // The number of registers stands in the upper byte of the section's sh_info.
      cubin.registers[s.name.substr(text_prefix.size())] = static_cast<int>(s.info >> 24);
    }
  }
  if (source_lines.size() != 0 && ptx_lines.size() != 0) {
    cubin.lines = join_lines(source_lines, ptx_lines);
  }
  return cubin;
}

}  // namespace softcuda
