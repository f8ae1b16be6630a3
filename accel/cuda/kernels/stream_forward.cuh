// Forward with W_hh read at every step.
#pragma once

#include "cells.cuh"
#include "forward.cuh"
#include "stream_product.cuh"

namespace refrnn {

// The next row comes to L2 while this one is computed.
__device__ inline void prefetch(const void* address) {
  asm volatile("prefetch.global.L2 [%0];" ::"l"(address));
}

template <class Cell, class Stream>
class StreamForward {
 public:
  using T = typename Stream::T;

  __device__ StreamForward(const ForwardArguments<T>& arguments, char* shared)
      : with_(arguments),
        lanes_(arguments.schedule, reinterpret_cast<Place*>(shared)),
        product_(arguments.weights, arguments.hidden_size,
                 reinterpret_cast<T*>(reinterpret_cast<Place*>(shared) + lanes_.kPlaces)) {}

  __device__ void run() {
    lanes_.begin();
    __syncthreads();
    const int steps = with_.schedule.steps[blockIdx.x];
    for (int step = 0; step < steps; ++step) {
      const unsigned active = lanes_.active();
      const auto state = [&](int lane) { return previous(lane); };
      if constexpr (Cell::kPhases == 1) {
        product_.template multiply<0, kGates>(
            active, state,
            [&](int unit, int lane, const T(&sum)[kGates]) { this->step(unit, lane, sum); });
      } else {
        product_.template multiply<0, 2>(
            active, state, [&](int unit, int lane, const T(&sum)[2]) { gates(unit, lane, sum); });
        product_.template multiply<2, 1>(
            active, [&](int lane) { return rh(lane); },
            [&](int unit, int lane, const T(&sum)[1]) { candidate(unit, lane, sum[0]); });
      }
      lanes_.advance();
      __syncthreads();
      for (int lane = 0; lane < Stream::kLanes; ++lane) end(lane);
      lanes_.turn();
    }
  }

 private:
  static constexpr int kGates = Cell::kGates;

  __device__ size_t at(long long row) const { return static_cast<size_t>(row) * with_.hidden_size; }
  __device__ T* a(const Cursor& cursor, int gate) const {
    return with_.a + at(cursor.row * kGates + gate);
  }

  // The state before the lane's step.
  __device__ const T* previous(int lane) const { return previous(lane, with_.h_0, with_.y); }
  __device__ const T* previous(int lane, const T* first, const T* rows) const {
    const Place& place = lanes_[lane];
    if (place.is_first_step) return first + at(place.cursor.sequence);
    return rows + at(place.cursor.row - with_.schedule.direction);
  }

  // r h of the step is where the last state will be.
  __device__ T* rh(int lane) const { return with_.h_n + at(lanes_[lane].cursor.sequence); }

  __device__ void load(const Cursor& cursor, int unit, T (&a)[kGates]) const {
#pragma unroll
    for (int g = 0; g < kGates; ++g) a[g] = this->a(cursor, g)[unit];
    if (cursor.is_last_step()) return;
#pragma unroll
    for (int g = 0; g < kGates; ++g) {
      prefetch(with_.a + at((cursor.row + with_.schedule.direction) * kGates + g) + unit);
    }
  }

  // The first of two phases.
  __device__ void gates(int unit, int lane, const T (&sum)[2]) const {
    const Cursor cursor = lanes_[lane].cursor;
    T a[kGates];
    load(cursor, unit, a);
    rh(lane)[unit] = Cell::forward_gates(a, sum, previous(lane)[unit]);
    this->a(cursor, 0)[unit] = a[0];
    this->a(cursor, 1)[unit] = a[1];
  }

  __device__ void candidate(int unit, int lane, T sum) const {
    const Cursor cursor = lanes_[lane].cursor;
    T a[kGates];
#pragma unroll
    for (int g = 0; g < kGates; ++g) a[g] = this->a(cursor, g)[unit];
    Carried<T> state = {previous(lane)[unit], T(0)};
    Cell::forward_candidate(a, sum, state);
    this->a(cursor, 2)[unit] = a[2];
    with_.y[at(cursor.row) + unit] = state.h;
  }

  __device__ void step(int unit, int lane, const T (&sum)[kGates]) const {
    const Cursor cursor = lanes_[lane].cursor;
    const size_t place = at(cursor.row) + unit;
    T a[kGates], q = 0;
    load(cursor, unit, a);
    Carried<T> state = {previous(lane)[unit], T(0)};
    if constexpr (Cell::kHasC) state.c = previous(lane, with_.c_0, with_.c)[unit];
    Cell::forward(a, sum, Cell::kHasQ ? with_.b_hn[unit] : T(0), q, state);
#pragma unroll
    for (int g = 0; g < kGates; ++g) this->a(cursor, g)[unit] = a[g];
    with_.y[place] = state.h;
    if constexpr (Cell::kHasC) with_.c[place] = state.c;
    if constexpr (Cell::kHasQ) with_.q[place] = q;
  }

  // After a step: that was a sequence's last.
  __device__ void end(int lane) const {
    const Cursor& cursor = lanes_[lane].cursor;
    if (!cursor.is_last_step()) return;
    const size_t row = at(cursor.row), last = at(cursor.sequence);
    for (int unit = threadIdx.x; unit < with_.hidden_size; unit += Stream::kThreads) {
      with_.h_n[last + unit] = with_.y[row + unit];
      if constexpr (Cell::kHasC) with_.c_n[last + unit] = with_.c[row + unit];
    }
  }

  const ForwardArguments<T>& with_;
  StreamedLanes<Stream> lanes_;
  StreamedProduct<Stream> product_;
};

}  // namespace refrnn
