#include "fatbin.h"

#include <algorithm>

#include "lz4.h"
#include "process_memory.h"
#include "zstd.h"

namespace softcuda {
namespace {

constexpr size_t kContainerHeader = 16, kEntryHeader = 64;
constexpr uint64_t kMostBytes = uint64_t{1} << 28;  // of a fatbin, and of what an entry stands for

// Values in the header of an entry.
constexpr uint16_t kPtx = 1, kCubin = 2, kGroup = 0x100;
constexpr uint64_t kLz4 = 0x2000, kZstd = 0x8000, kThisOnly = 0x100000, kFamily = 0x200000;

// The header of an entry. A group is an entry whose name is a table of such headers, and whose
// payload is the payloads of these one after another, compressed as one.
struct Header {
  explicit Header(const Bytes& b)
      : kind(b.at<uint16_t>(0)),
        header_size(b.at<uint32_t>(4)),
        size(b.at<uint64_t>(8)),
        compressed_size(b.at<uint32_t>(16)),
        options(b.at<uint32_t>(20)),
        architecture(b.at<uint32_t>(28)),
        name(b.at<uint32_t>(32)),
        name_size(b.at<uint32_t>(36)),
        flags(b.at<uint64_t>(40)),
        real_size(b.at<uint64_t>(56)) {}

  uint16_t kind;
  uint32_t header_size;  // in a group: where the payload begins
  uint64_t size;         // padded
  uint32_t compressed_size;
  uint32_t options;  // offset of two numbers: where the text of the options is, and how long
  uint32_t architecture;
  uint32_t name, name_size;
  uint64_t flags;
  uint64_t real_size;  // after decompression
};

ptx::Architecture architecture_of(const Header& h) {
  const char suffix = (h.flags & kThisOnly) != 0 ? 'a' : (h.flags & kFamily) != 0 ? 'f' : '\0';
  return {static_cast<int>(std::min<uint32_t>(h.architecture, 1000)), suffix};
}

// How far the header of a group's entry goes: to the end of its name and its options, which are
// padded to 8 bytes, a zero byte included.
size_t header_end(const Header& h, const Bytes& b) {
  const auto padded = [](uint64_t end) { return static_cast<size_t>(round_up(end + 1, 8)); };
  size_t end = kEntryHeader;
  if (h.name_size != 0) end = padded(uint64_t{h.name} + h.name_size);
  if (h.options != 0) {
    const uint64_t text = b.at<uint32_t>(h.options), size = b.at<uint32_t>(h.options + 4u);
    end = std::max(end, padded(text + size));
  }
  return end;
}

class Reader {
 public:
  explicit Reader(const Bytes& bytes) : bytes_(bytes) {}

  std::vector<FatbinEntry> run() {
    for (size_t at = 0; at < bytes_.size();) {
      if (bytes_.at<uint32_t>(at) != kFatbinMagic) {
        if (at != 0) break;  // padding behind the last container
        throw ApiError(Status::kInvalidImage, "this is no fatbin");
      }
      const size_t header = bytes_.at<uint16_t>(at + 6);
      const auto size = bytes_.at<uint64_t>(at + 8);
      if (header < kContainerHeader) {
        throw ApiError(Status::kInvalidImage, "the header of the fatbin is damaged");
      }
      container(bytes_.part(at + header, size));
      at += header + size;
    }
    return std::move(entries_);
  }

 private:
  void container(const Bytes& container) {
    for (size_t at = 0; at < container.size();) {
      const Header h(container.part(at, kEntryHeader));
      if (h.header_size < kEntryHeader) {
        throw ApiError(Status::kInvalidImage, "an entry of the fatbin is damaged");
      }
      const Bytes head = container.part(at, h.header_size);
      add(h, head, container.part(at + h.header_size, h.size));
      at += h.header_size + h.size;
    }
  }

  void add(const Header& h, const Bytes& head, const Bytes& payload) {
    FatbinEntry entry{};
    entry.stored = payload;
    entry.stored_size = payload.size();
    if ((h.flags & (kLz4 | kZstd)) != 0) {
      using Compression = FatbinEntry::Compression;
      entry.compression = (h.flags & kZstd) != 0 ? Compression::kZstd : Compression::kLz4;
      entry.stored = payload.part(0, h.compressed_size);
      entry.stored_size = h.real_size;
      if (h.real_size > kMostBytes)
        throw ApiError(Status::kInvalidImage, "an entry of the fatbin is too large");
    }
    entry.size = entry.stored_size;
    if (h.kind == kGroup) return add_group(entry, head);
    add_one(entry, h);
  }

  // The table: how many there are, how many bytes they take, and their headers.
  void add_group(const FatbinEntry& group, const Bytes& head) {
    const auto count = head.at<uint32_t>(kEntryHeader);
    size_t at = kEntryHeader + 8;
    for (uint32_t k = 0; k < count; ++k) {
      const Bytes rest = head.part(at, head.size() - at);
      const Header h(rest);
      FatbinEntry entry = group;
      entry.offset = h.header_size;
      entry.size = h.size;
      if (entry.offset > group.size || entry.size > group.size - entry.offset)
        throw ApiError(Status::kInvalidImage, "an entry of the fatbin is damaged");
      add_one(entry, h);
      at += header_end(h, rest);
    }
  }

  void add_one(FatbinEntry entry, const Header& h) {
    if (h.kind != kPtx && h.kind != kCubin) return;
    entry.kind = h.kind == kPtx ? FatbinEntry::Kind::kPtx : FatbinEntry::Kind::kCubin;
    entry.architecture = architecture_of(h);
    entries_.push_back(entry);
  }

  const Bytes& bytes_;
  std::vector<FatbinEntry> entries_;
};

}  // namespace

std::string whole_fatbin(const char* data) {
  const std::string start = readable(data, kContainerHeader);
  const Bytes header(start.data(), start.size());
  if (header.at<uint32_t>(0) == kFatbinWrapperMagic) {
    const char* fatbin = nullptr;
    const auto address = header.at<uint64_t>(8);
    std::memcpy(&fatbin, &address, sizeof fatbin);
    const std::string magic = readable(fatbin, sizeof kFatbinMagic);
    if (Bytes(magic.data(), magic.size()).at<uint32_t>(0) != kFatbinMagic)
      throw ApiError(Status::kInvalidImage, "the wrapper points to no fatbin");
    return whole_fatbin(fatbin);
  }
  const auto size = header.at<uint64_t>(8);
  if (size > kMostBytes) throw ApiError(Status::kInvalidImage, "the fatbin is too large");
  return readable(data, header.at<uint16_t>(6) + size);
}

std::vector<FatbinEntry> fatbin_entries(const Bytes& fatbin) { return Reader(fatbin).run(); }

std::string contents(const FatbinEntry& entry) {
  std::string all;
  switch (entry.compression) {
    case FatbinEntry::Compression::kNone:
      all.assign(entry.stored.data(), entry.stored.size());
      break;
    case FatbinEntry::Compression::kLz4:
      all = decompress_lz4(entry.stored, entry.stored_size);
      break;
    case FatbinEntry::Compression::kZstd:
      all = decompress_zstd(entry.stored, entry.stored_size);
      break;
  }
  return all.substr(entry.offset, entry.size);
}

}  // namespace softcuda
