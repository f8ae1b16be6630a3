// The rows of a lane, on their way between global memory and the chip.
//
// A unit's threads are neighbours, so a warp has few units, and what it would read or write of a
// row by itself is less than a sector. Rows pass through shared memory therefore, in two buffers in
// turn: every number of a step has one thread, which brings it a step before it is used, and a step
// after takes away what has been put in its place. Neighbouring threads have neighbouring numbers.
#pragma once

#include "slice.cuh"

namespace refrnn {

// VALUES: of a unit, in a step. IN of them are brought.
template <class Slice, int VALUES, int IN>
struct Rows {
  using T = typename Slice::T;
  static constexpr int kOfStep = VALUES * Slice::kUnits, kOfLane = 2 * kOfStep;  // numbers
  static constexpr int kShare = (IN + Slice::kSplit - 1) / Slice::kSplit;

  // What a thread has brought, until the others have read what was there before.
  struct Brought {
    T at[kShare];
  };

  T* shared;
  int units;  // that exist, from the block's first one on

  // The numbers of a lane's step, value after value.
  __device__ T* of(int lane, int step) const {
    return shared + lane * kOfLane + (step & 1) * kOfStep;
  }

  // Those of units that do not exist stay zero.
  __device__ void clear(int lanes) const {
    for (int n = threadIdx.x; n < lanes * kOfLane; n += Slice::kThreads) shared[n] = 0;
  }

  // `from(value, unit)`: where a number lies in global memory.
  template <class From>
  __device__ Brought bring(From from) const {
    Brought brought;
    each<IN>([&](int n, int, int value, int unit) { brought.at[n] = *from(value, unit); });
    return brought;
  }

  __device__ void put(const Brought& brought, T* step) const {
    each<IN>([&](int n, int place, int, int) { step[place] = brought.at[n]; });
  }

  // The first OUT of the values.
  template <int OUT, class To>
  __device__ void take_away(const T* step, To to) const {
    each<OUT>([&](int, int place, int value, int unit) { *to(value, unit) = step[place]; });
  }

 private:
  template <int COUNT, class Do>
  __device__ void each(Do do_one) const {
#pragma unroll
    for (int n = 0; n * Slice::kThreads < COUNT * Slice::kUnits; ++n) {
      const int place = n * Slice::kThreads + threadIdx.x;
      const int value = place / Slice::kUnits, unit = place % Slice::kUnits;
      if (value < COUNT && unit < units) do_one(n, place, value, unit);
    }
  }
};

}  // namespace refrnn
