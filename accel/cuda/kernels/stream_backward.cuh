// Backward with W_hh read at every step.
#pragma once

#include "backward.cuh"
#include "cells.cuh"
#include "stream_transpose.cuh"

namespace refrnn {

// What a sequence carries back from step to step is where the gradients of its first state will be.
template <class Cell, class Stream>
class StreamBackward {
 public:
  using T = typename Stream::T;

  __device__ StreamBackward(const BackwardArguments<T>& arguments, char* shared)
      : with_(arguments),
        lanes_(arguments.schedule, reinterpret_cast<Place*>(shared)),
        product_(arguments.weights, arguments.hidden_size,
                 reinterpret_cast<char*>(reinterpret_cast<Place*>(shared) + lanes_.kPlaces)) {}

  __device__ void run() {
    lanes_.begin();
    __syncthreads();
    const int steps = with_.schedule.steps[blockIdx.x];
    for (int step = 0; step < steps; ++step) {
      const unsigned active = lanes_.active();
      for (int lane = 0; lane < Stream::kLanes; ++lane) {
        if ((active >> lane & 1) == 0) continue;
        for (int unit = threadIdx.x; unit < with_.hidden_size; unit += Stream::kThreads) {
          if constexpr (Cell::kPhases == 1) {
            this->step(unit, lane);
          } else {
            candidate(unit, lane);
          }
        }
      }
      __syncthreads();
      if constexpr (Cell::kPhases == 2) {
        product_.template multiply<2, 1>(
            active, [&](int lane, int) { return d_a(lane, 2); },
            [&](int unit, int lane, T sum) { gates(unit, lane, sum); });
        __syncthreads();
      }
      product_.template multiply<0, Cell::kPhases == 2 ? 2 : kGates>(
          active, [&](int lane, int gate) { return d_a(lane, block_of_gate(gate)); },
          [&](int unit, int lane, T sum) { with_.d_h_0[carried(lane) + unit] += sum; });
      lanes_.advance();
      __syncthreads();
      lanes_.turn();
    }
  }

 private:
  static constexpr int kGates = Cell::kGates, kCotangents = Cell::kCotangents;

  // Which of the cotangents meets W_hh: of n of GRU reset_after, the one where it does.
  __device__ static int block_of_gate(int gate) { return Cell::kHasQ && gate == 2 ? 3 : gate; }

  __device__ size_t at(long long row) const { return static_cast<size_t>(row) * with_.hidden_size; }
  __device__ size_t carried(int lane) const { return at(lanes_[lane].cursor.sequence); }
  __device__ T* d_a(int lane, int block) const {
    return with_.d_a + at(lanes_[lane].cursor.row * kCotangents + block);
  }
  __device__ T a(int lane, int gate, int unit) const {
    return with_.a[at(lanes_[lane].cursor.row * kGates + gate) + unit];
  }

  // A state before the lane's step.
  __device__ T before(int unit, int lane, const T* first, const T* rows) const {
    const Cursor& cursor = lanes_[lane].cursor;
    const bool is_first = cursor.is_last_step();  // of the sequence, the last that is walked
    if (is_first) return first[at(cursor.sequence) + unit];
    return rows[at(cursor.row + with_.schedule.direction) + unit];
  }

  // The cotangent of the state after it.
  __device__ Carried<T> cotangent(int unit, int lane) const {
    const Place& place = lanes_[lane];
    const size_t last = carried(lane) + unit;
    Carried<T> d = {};
    d.h = (place.is_first_step ? with_.d_h_n : with_.d_h_0)[last];
    if constexpr (Cell::kHasC) d.c = (place.is_first_step ? with_.d_c_n : with_.d_c_0)[last];
    d.h += with_.d_y[at(place.cursor.row) + unit];
    return d;
  }

  __device__ void step(int unit, int lane) const {
    const size_t row = at(lanes_[lane].cursor.row) + unit;
    T a[kGates], d_a[kCotangents], d_sum[kGates], c = 0, q = 0;
#pragma unroll
    for (int g = 0; g < kGates; ++g) a[g] = this->a(lane, g, unit);
    Carried<T> state = {}, d = cotangent(unit, lane);
    if constexpr (Cell::kHasC) {
      state.c = before(unit, lane, with_.c_0, with_.c);
      c = with_.c[row];
    } else if constexpr (kGates > 1) {  // GRU
      state.h = before(unit, lane, with_.h_0, with_.y);
    }
    if constexpr (Cell::kHasQ) q = with_.q[row];
    Cell::backward(a, c, q, state, d, d_a, d_sum);
#pragma unroll
    for (int k = 0; k < kCotangents; ++k) this->d_a(lane, k)[unit] = d_a[k];
    with_.d_h_0[carried(lane) + unit] = d.h;
    if constexpr (Cell::kHasC) with_.d_c_0[carried(lane) + unit] = d.c;
  }

  // The first of two phases.
  __device__ void candidate(int unit, int lane) const {
    T a[kGates], d_a[kCotangents] = {};
#pragma unroll
    for (int g = 0; g < kGates; ++g) a[g] = this->a(lane, g, unit);
    const T h = before(unit, lane, with_.h_0, with_.y);
    T d_h = cotangent(unit, lane).h;
    Cell::backward_candidate(a, h, d_h, d_a);
    this->d_a(lane, 1)[unit] = d_a[1];
    this->d_a(lane, 2)[unit] = d_a[2];
    with_.rh[at(lanes_[lane].cursor.row) + unit] = sigmoid(a[0]) * h;
    with_.d_h_0[carried(lane) + unit] = d_h;
  }

  __device__ void gates(int unit, int lane, T d_rh) const {
    T a[kGates], d_a[kCotangents] = {};
#pragma unroll
    for (int g = 0; g < kGates; ++g) a[g] = this->a(lane, g, unit);
    T& d_h = with_.d_h_0[carried(lane) + unit];
    Cell::backward_gates(a, before(unit, lane, with_.h_0, with_.y), d_rh, d_h, d_a);
    this->d_a(lane, 0)[unit] = d_a[0];
  }

  const BackwardArguments<T>& with_;
  StreamedLanes<Stream> lanes_;
  StreamedTranspose<Stream> product_;
};

}  // namespace refrnn
