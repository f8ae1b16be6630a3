// Where each lane is: which sequence it steps, and at which row.
#pragma once

#include <cstdint>

namespace refrnn {

// The sequences of a batch, and the lanes that they lie on, one after the other.
struct Schedule {
  const std::int64_t* offsets;        // (B + 1): first row of each sequence
  const std::int32_t* order;          // sequences, lane after lane; none is empty
  const std::int32_t* first_of_lane;  // (lanes + 1), in `order`
  std::int64_t rows;                  // in all
  int lanes;
  int direction;  // of the walk: 1 from first row to last, or -1
};

class Cursor {
 public:
  Cursor(const Schedule& schedule, int lane)
      : next_(schedule.first_of_lane[lane]), end_(schedule.first_of_lane[lane + 1]) {
    begin_next(schedule);
  }

  bool is_active() const { return left_ > 0; }
  bool is_first_step() const { return is_first_; }
  bool is_last_step() const { return left_ == 1; }
  std::int64_t row() const { return row_; }
  std::int32_t sequence() const { return sequence_; }

  void advance(const Schedule& schedule) {
    row_ += schedule.direction;
    is_first_ = false;
    if (--left_ == 0) begin_next(schedule);
  }

 private:
  void begin_next(const Schedule& schedule) {
    if (next_ == end_) return;
    sequence_ = schedule.order[next_++];
    const std::int64_t first = schedule.offsets[sequence_], end = schedule.offsets[sequence_ + 1];
    left_ = end - first;
    row_ = schedule.direction > 0 ? first : end - 1;
    is_first_ = true;
  }

  std::int64_t row_ = 0, left_ = 0;
  std::int32_t sequence_ = 0, next_, end_;
  bool is_first_ = false;
};

}  // namespace refrnn
