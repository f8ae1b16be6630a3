#include "race_shadow.h"

namespace softcuda {
namespace {

constexpr uint32_t kWord = 4;
constexpr size_t kWords = RaceLine::kBytes / kWord;

void copy(const RaceCell& from, RaceCell& to) {
  to.weak = from.weak, to.strong = from.strong;
  to.reads.first = from.reads.first;
  if (from.reads.more != nullptr)
    to.reads.more = std::make_unique<std::vector<RaceRead>>(*from.reads.more);
}

}  // namespace

void RaceLine::select(uint32_t first, uint32_t bytes, RaceCell*& begin, RaceCell*& end) {
  if (cells_.empty()) make_cells();
  if (bytes < kWord && cells_.size() == kWords) make_fine();
  const uint32_t size = kBytes / static_cast<uint32_t>(cells_.size());
  begin = cells_.data() + first / size;
  end = cells_.data() + (first + bytes + size - 1) / size;
}

// What a whole warp read, by the word.
void RaceLine::make_cells() {
  cells_ = std::vector<RaceCell>(kWords);
  const auto spread = [this](const RaceRead& read) {
    const int first_lane = lowest_lane(read.lanes);
    for (uint32_t word = 0; word < kWords; ++word) {
      RaceRead one = read;
      one.lanes = Mask{1} << (static_cast<uint32_t>(first_lane) + word * kWord / read.bytes);
      cells_[word].reads.add(one, [](const RaceRead&) { return false; });
    }
  };
  if (!whole_.is_empty()) spread(whole_.first);
  if (whole_.more != nullptr) {
    for (const RaceRead& read : *whole_.more) spread(read);
  }
  whole_.clear();
}

void RaceLine::make_fine() {
  const std::vector<RaceCell> before = std::move(cells_);
  cells_ = std::vector<RaceCell>(kBytes);
  for (size_t k = 0; k < kBytes; ++k) copy(before[k / kWord], cells_[k]);
}

}  // namespace softcuda
