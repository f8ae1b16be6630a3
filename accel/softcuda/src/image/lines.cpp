#include "lines.h"

#include <algorithm>
#include <vector>

namespace softcuda {
namespace {

struct Row {
  uint64_t address;
  uint64_t file;
  int64_t line;
  uint64_t caller;  // the row of the call that it was inlined at, from 1 on; 0: none
};

// A line program: files by number, and for each function its rows by address.
struct LineProgram {
  std::vector<std::string> files;
  std::vector<std::vector<Row>> sequences;
};

// Reads the line number program of DWARF 2 and 3 (DWARF 3 standard, section 6.2), and what ptxas
// adds to it: extended opcode 0x90 says at which row what follows was inlined.
class Reader {
 public:
  explicit Reader(const Bytes& bytes) : bytes_(bytes) {}

  LineProgram run() {
    const auto length = take<uint32_t>();
    const size_t end = std::min<size_t>(at_ + length, bytes_.size());
    take<uint16_t>();  // version
    const auto header_length = take<uint32_t>();
    const size_t start = at_ + header_length;
    instruction_bytes_ = take<uint8_t>();
    take<uint8_t>();  // whether rows are statements by default
    line_base_ = take<int8_t>();
    line_range_ = std::max<uint8_t>(take<uint8_t>(), 1);
    opcode_base_ = take<uint8_t>();
    std::vector<uint8_t> operands;
    for (int k = 1; k < opcode_base_; ++k) operands.push_back(take<uint8_t>());
    files();
    at_ = start;
    while (at_ < end) step(operands);
    return std::move(program_);
  }

 private:
  template <class T>
  T take() {
    const T value = bytes_.at<T>(at_);
    at_ += sizeof(T);
    return value;
  }

  uint64_t leb(bool is_signed) {
    uint64_t value = 0;
    unsigned shift = 0;
    uint8_t byte;
    do {
      byte = take<uint8_t>();
      if (shift < 64) value |= uint64_t{byte & 0x7Fu} << shift;
      shift += 7;
    } while ((byte & 0x80) != 0);
    if (is_signed && (byte & 0x40) != 0 && shift < 64) value |= ~uint64_t{0} << shift;
    return value;
  }

  std::string text() {
    const std::string value = bytes_.string(at_);
    at_ += value.size() + 1;
    return value;
  }

  void files() {
    std::vector<std::string> folders = {""};
    for (std::string folder = text(); !folder.empty(); folder = text()) folders.push_back(folder);
    program_.files.emplace_back();  // they are counted from 1
    for (std::string name = text(); !name.empty(); name = text()) {
      const uint64_t folder = leb(false);
      leb(false), leb(false);  // time and size
      const bool is_bare = folder == 0 || folder >= folders.size() || name[0] == '/';
      program_.files.push_back(is_bare ? name : folders[folder] + "/" + name);
    }
  }

  void add_row() { rows_.push_back({address_, file_, line_, caller_}); }

  void end_sequence() {
    program_.sequences.push_back(std::move(rows_));
    rows_.clear();
    address_ = 0, file_ = 1, line_ = 1, caller_ = 0;
  }

  void step(const std::vector<uint8_t>& operands) {
    const auto opcode = take<uint8_t>();
    if (opcode >= opcode_base_) {
      const int adjusted = opcode - opcode_base_;
      address_ += static_cast<uint64_t>(adjusted / line_range_) * instruction_bytes_;
      line_ += line_base_ + adjusted % line_range_;
      return add_row();
    }
    switch (opcode) {
      case 0:
        return extended();
      case 1:
        return add_row();
      case 2:
        address_ += leb(false) * instruction_bytes_;
        return;
      case 3:
        line_ += static_cast<int64_t>(leb(true));
        return;
      case 4:
        file_ = leb(false);
        return;
      case 8:
        address_ += static_cast<uint64_t>((255 - opcode_base_) / line_range_) * instruction_bytes_;
        return;
      case 9:
        address_ += take<uint16_t>();
        return;
      default:
        for (int k = 0; k < operands[opcode - 1u]; ++k) leb(false);
    }
  }

  void extended() {
    const uint64_t length = leb(false);
    const size_t after = at_ + length;
    if (length != 0) {
      const auto opcode = take<uint8_t>();
      if (opcode == 1) end_sequence();
      if (opcode == 2) address_ = take<uint64_t>();
      if (opcode == 0x90) caller_ = leb(false);  // after it the place of the function's name
    }
    if (after < at_) throw ApiError(Status::kInvalidImage, "a line program is damaged");
    at_ = after;
  }

  const Bytes& bytes_;
  size_t at_ = 0;
  uint8_t instruction_bytes_ = 1, line_range_ = 1, opcode_base_ = 1;
  int8_t line_base_ = 0;
  uint64_t address_ = 0, file_ = 1, caller_ = 0;
  int64_t line_ = 1;
  std::vector<Row> rows_;
  LineProgram program_;
};

// The frame of each row of a function. Rows of callers come first.
std::vector<int> frames_of(const std::vector<Row>& rows, ptx::FrameTable& table) {
  std::vector<int> frames;
  for (const Row& row : rows) {
    const bool is_inlined = row.caller != 0 && row.caller <= frames.size();
    const int caller = is_inlined ? frames[row.caller - 1] : 0;
    frames.push_back(table.add({static_cast<int>(row.file), static_cast<int>(row.line), caller}));
  }
  return frames;
}

}  // namespace

SourceLines join_lines(const Bytes& source, const Bytes& ptx) {
  const LineProgram lines = Reader(source).run(), of_ptx = Reader(ptx).run();
  SourceLines result;
  for (size_t k = 1; k < lines.files.size(); ++k) {
    result.sources.files[static_cast<int>(k)] = lines.files[k];
  }
  ptx::FrameTable table;
  // Both have one sequence a function, in the same order.
  for (size_t k = 0; k < std::min(lines.sequences.size(), of_ptx.sequences.size()); ++k) {
    const std::vector<Row>& rows = lines.sequences[k];
    const std::vector<int> frames = frames_of(rows, table);
    for (const Row& row : of_ptx.sequences[k]) {
      const auto after = std::upper_bound(rows.begin(), rows.end(), row.address,
                                          [](uint64_t a, const Row& r) { return a < r.address; });
      if (after == rows.begin()) continue;
      const auto found = static_cast<size_t>(after - rows.begin()) - 1;
      result.frames.emplace(static_cast<int>(row.line), frames[found]);
    }
  }
  result.sources.frames = table.frames();
  return result;
}

// Where a .loc line was, a blank one is left: what stands on lines that follow one another has one
// place. So what ptxas has dropped or merged takes it from its neighbours, where it has one.
void name_source_lines(ptx::Module& module, const SourceLines& lines) {
  module.sources = lines.sources;
  const auto known = [&](const ptx::Statement& s) {
    const auto found = lines.frames.find(s.line);
    return found == lines.frames.end() ? 0 : found->second;
  };
  for (ptx::Function& f : module.functions) {
    for (auto group = f.body.begin(), end = group; group != f.body.end(); group = end) {
      int frame = 0;
      for (int line = group->line; end != f.body.end() && end->line <= line + 1; ++end) {
        line = end->line;
        if (frame == 0) frame = known(*end);
      }
      for (; group != end; ++group) {
        if (known(*group) != 0) frame = known(*group);
        group->source = module.sources.location(frame);
      }
    }
  }
}

}  // namespace softcuda
