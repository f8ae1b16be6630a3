// Where each lane of a team is: which sequence it steps, and at which row.
#pragma once

namespace refrnn {

// The sequences of a batch, and the lanes that the host has laid them on.
struct Schedule {
  const long long* offsets;  // (B + 1): first row of each sequence
  const int* order;          // sequences, lane after lane; none is empty
  const int* first_of_lane;  // (lanes + 1), in `order`
  const int* steps;          // of each team: those of its longest lane
  int lanes;                 // in all
  int lanes_of_team;
  int direction;  // of the walk: 1 from first row to last, or -1
};

struct Cursor {
  long long row;
  int left;  // steps, this one counted; 0: the lane is done
  int sequence;
  int next, end;   // in `order`
  unsigned steps;  // that the lane has made

  __device__ bool is_active() const { return left > 0; }
  __device__ bool is_last_step() const { return left == 1; }

  __device__ static Cursor at_lane(const Schedule& schedule, int lane) {
    Cursor cursor = {};
    if (lane >= schedule.lanes) return cursor;
    cursor.next = schedule.first_of_lane[lane];
    cursor.end = schedule.first_of_lane[lane + 1];
    cursor.begin_next(schedule);
    return cursor;
  }

  // A step further; where the lane is done, it stays.
  __device__ Cursor advanced(const Schedule& schedule) const {
    Cursor cursor = *this;
    if (!is_active()) return cursor;
    cursor.row += schedule.direction;
    ++cursor.steps;
    if (--cursor.left == 0) cursor.begin_next(schedule);
    return cursor;
  }

 private:
  __device__ void begin_next(const Schedule& schedule) {
    if (next == end) return;
    sequence = schedule.order[next++];
    const long long first = schedule.offsets[sequence], end_row = schedule.offsets[sequence + 1];
    left = static_cast<int>(end_row - first);
    row = schedule.direction > 0 ? first : end_row - 1;
  }
};

// The lanes of a team, in the shared memory of each of its blocks: where they are in the last step,
// in this one and in the next; in the step after that while it is being made.
class Lanes {
 public:
  __device__ Lanes(const Schedule& schedule, Cursor* cursors)
      : schedule_(schedule), cursors_(cursors) {}

  __device__ int count() const { return schedule_.lanes_of_team; }
  __device__ Cursor* end() const { return cursors_ + 4 * count(); }
  __device__ const Cursor& at(int lane, int step) const {
    return cursors_[(step & 3) * count() + lane];
  }

  __device__ void begin(int team) {
    const int lane = threadIdx.x;
    if (lane >= count()) return;
    write(lane, -1, {});
    write(lane, 0, Cursor::at_lane(schedule_, team * count() + lane));
    prepare(lane, 1);
  }
  // What comes after the step that follows this one.
  __device__ void prepare_after(int step) {
    if (threadIdx.x < count()) prepare(threadIdx.x, step + 2);
  }

 private:
  __device__ void write(int lane, int step, const Cursor& cursor) {
    cursors_[(step & 3) * count() + lane] = cursor;
  }
  __device__ void prepare(int lane, int step) {
    write(lane, step, at(lane, step - 1).advanced(schedule_));
  }

  const Schedule& schedule_;
  Cursor* cursors_;
};

}  // namespace refrnn
