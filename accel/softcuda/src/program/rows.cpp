#include "rows.h"

#include <algorithm>
#include <set>

namespace softcuda {
namespace {

// A set of rows, a bit each.
class Bits {
 public:
  explicit Bits(size_t count) : words_((count + 63) / 64, 0) {}
  bool has(size_t k) const { return ((words_[k / 64] >> (k % 64)) & 1) != 0; }
  void add(size_t k) { words_[k / 64] |= uint64_t{1} << (k % 64); }
  void remove(size_t k) { words_[k / 64] &= ~(uint64_t{1} << (k % 64)); }
  // True if that added something.
  bool unite(const Bits& other) {
    uint64_t added = 0;
    for (size_t k = 0; k < words_.size(); ++k) {
      added |= other.words_[k] & ~words_[k];
      words_[k] |= other.words_[k];
    }
    return added != 0;
  }
  template <class F>
  void each(F visit) const {
    for (size_t k = 0; k < words_.size(); ++k) {
      for (uint64_t left = words_[k]; left != 0; left &= left - 1) {
        visit(64 * k + static_cast<size_t>(__builtin_ctzll(left)));
      }
    }
  }

 private:
  std::vector<uint64_t> words_;
};

size_t number_of(Row row) { return row / 2; }

// From the first to the last instruction at which a row is alive. An instruction may not read and
// write one place through two rows, so both ends belong to it.
struct Life {
  size_t row;
  int64_t begin = INT64_MAX, end = -1;
  void reach(int64_t pc) { begin = std::min(begin, pc), end = std::max(end, pc); }
};

constexpr int64_t kEntry = -1;  // before the first instruction

class Liveness {
 public:
  Liveness(Function& function, const std::vector<BasicBlock>& blocks)
      : function_(function), blocks_(blocks) {
    const Bits none(function.rows.size());
    alive_in_.assign(blocks.size(), none);
    find();
  }

  const Bits& at_entry() const { return alive_in_[0]; }

  std::vector<Life> lives() const {
    std::vector<Life> all(function_.rows.size());
    for (size_t k = 0; k < all.size(); ++k) all[k].row = k;
    for (size_t b = 0; b < blocks_.size(); ++b) {
      const BasicBlock& block = blocks_[b];
      alive_in_[b].each([&](size_t k) { all[k].reach(block.first); });
      for (int n : block.next) {
        alive_in_[static_cast<size_t>(n)].each([&](size_t k) { all[k].reach(block.last); });
      }
      for (uint32_t pc = block.first; pc <= block.last; ++pc) {
        each_row(function_.code[pc], [&](Row row, bool) { all[number_of(row)].reach(pc); });
      }
    }
    at_entry().each([&](size_t k) { all[k].reach(kEntry); });
    for (const SpecialRegister& one : function_.specials) all[number_of(one.row)].reach(kEntry);
    all.erase(std::remove_if(all.begin(), all.end(), [](const Life& l) { return l.end < l.begin; }),
              all.end());
    return all;
  }

 private:
  // A write under a guard leaves the lanes alone for which the guard does not hold.
  static bool always_writes(const Instruction& i) { return i.guard == kNoRow; }

  Bits before(size_t b) const {
    const BasicBlock& block = blocks_[b];
    Bits alive(function_.rows.size());
    for (int n : block.next) alive.unite(alive_in_[static_cast<size_t>(n)]);
    for (uint32_t pc = block.last + 1; pc-- > block.first;) {
      Instruction& i = function_.code[pc];
      each_row(i, [&](Row row, bool is_written) {
        if (is_written && always_writes(i)) alive.remove(number_of(row));
      });
      each_row(i, [&](Row row, bool is_written) {
        if (!is_written) alive.add(number_of(row));
      });
    }
    return alive;
  }

  void find() {
    std::vector<std::vector<size_t>> previous(blocks_.size());
    for (size_t b = 0; b < blocks_.size(); ++b) {
      for (int n : blocks_[b].next) previous[static_cast<size_t>(n)].push_back(b);
    }
    std::set<size_t, std::greater<>> work;  // from the end, against the flow
    for (size_t b = 0; b < blocks_.size(); ++b) work.insert(b);
    while (!work.empty()) {
      const size_t b = *work.begin();
      work.erase(work.begin());
      if (alive_in_[b].unite(before(b))) work.insert(previous[b].begin(), previous[b].end());
    }
  }

  Function& function_;
  const std::vector<BasicBlock>& blocks_;
  std::vector<Bits> alive_in_;
};

// Rows of one size, given out and taken back.
class Places {
 public:
  Places(uint32_t bytes, uint32_t& end) : bytes_(bytes), end_(end) {}
  Row take() {
    if (free_.empty()) {
      const Row place = end_;
      end_ += bytes_;
      return place;
    }
    const Row place = free_.back();
    free_.pop_back();
    return place;
  }
  void give_back(Row place) { free_.push_back(place); }

 private:
  uint32_t bytes_;
  uint32_t& end_;
  std::vector<Row> free_;
};

// Linear scan (Poletto and Sarkar, 1999), without spilling: there is always another place.
std::vector<Row> place_rows(Function& function, std::vector<Life> lives) {
  std::sort(lives.begin(), lives.end(), [](const Life& a, const Life& b) {
    return a.begin != b.begin ? a.begin < b.begin : a.row < b.row;
  });
  std::vector<Row> places(function.rows.size(), kNoRow);
  uint32_t registers = 0, most = 0;
  // Wide rows first, so that each is aligned to its size.
  for (const uint8_t lane_bytes : std::initializer_list<uint8_t>{16, 8, 4, 0}) {
    Places pool(lane_bytes == 0 ? sizeof(Mask) : lane_bytes * uint32_t{kLanes},
                function.frame_bytes);
    std::set<std::pair<int64_t, size_t>> active;  // by end
    for (const Life& life : lives) {
      if (function.rows[life.row] != lane_bytes) continue;
      while (!active.empty() && active.begin()->first < life.begin) {
        pool.give_back(places[active.begin()->second]);
        active.erase(active.begin());
      }
      places[life.row] = pool.take();
      active.emplace(life.end, life.row);
    }
    if (lane_bytes != 0)
      function.ends[lane_bytes == 16 ? 0 : lane_bytes == 8 ? 1 : 2] = function.frame_bytes;
  }
  std::vector<std::pair<int64_t, int>> changes;  // of the registers alive
  for (const Life& life : lives) {
    const int size = function.rows[life.row] / 4;
    changes.emplace_back(2 * life.begin, size);
    changes.emplace_back(2 * life.end + 1, -size);
  }
  std::sort(changes.begin(), changes.end());
  for (const auto& change : changes) {
    registers += static_cast<uint32_t>(change.second);
    most = std::max(most, registers);
  }
  constexpr uint32_t kFewest = 16;
  const auto limit = static_cast<uint32_t>(function.most_registers);
  function.registers = static_cast<int>(std::clamp(most, kFewest, limit));
  return places;
}

// A row of lanes beside every place, and which places may be read before they are written.
void watch(Function& function, const Liveness& liveness, const std::vector<Row>& places) {
  function.written_begin = function.frame_bytes;
  function.written_of_place.assign(function.frame_bytes / sizeof(Mask), kNoRow);
  for (const Row place : places) {
    if (place == kNoRow) continue;
    Row& written = function.written_of_place[place / sizeof(Mask)];
    if (written != kNoRow) continue;
    written = function.frame_bytes;
    function.frame_bytes += sizeof(Mask);
  }
  std::set<size_t> given;
  for (const SpecialRegister& one : function.specials) given.insert(number_of(one.row));
  liveness.at_entry().each([&](size_t k) {
    if (given.count(k) == 0)
      function.unwritten_at_entry.push_back(function.written_of_place[places[k] / sizeof(Mask)]);
  });
}

}  // namespace

void share_rows(Function& function, const std::vector<BasicBlock>& blocks, bool watches) {
  const Liveness liveness(function, blocks);
  const std::vector<Row> places = place_rows(function, liveness.lives());
  if (watches) watch(function, liveness, places);
  for (Instruction& i : function.code) {
    each_row(i, [&](Row& row, bool) { row = places[number_of(row)]; });
  }
  for (SpecialRegister& one : function.specials) one.row = places[number_of(one.row)];
  function.rows.clear();
}

}  // namespace softcuda
