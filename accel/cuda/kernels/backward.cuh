// Backward with W_hh on the chip: the lanes of forward, walked from the last steps to the first.
#pragma once

#include "cells.cuh"
#include "exchange.cuh"
#include "schedule.cuh"
#include "slice.cuh"

namespace refrnn {

template <class T>
struct BackwardArguments {
  Schedule schedule;
  Meeting meeting;
  const Vector<T>* weights;
  const T *h_0, *c_0;      // (B, H)
  const T *a, *y, *c, *q;  // the tape
  const T* d_y;            // (N, H)
  const T *d_h_n, *d_c_n;  // (B, H)
  T* d_a;                  // (N, cotangents * H)
  T* rh;                   // (N, H): r h_prev of GRU reset_before, which the gradient of W_hn needs
  T *d_h_0, *d_c_0;        // (B, H)
  int hidden_size;
};

template <class Cell, class Slice, template <class> class Exchange>
class Backward {
 public:
  using T = typename Slice::T;

  __device__ Backward(const BackwardArguments<T>& arguments, char* shared)
      : with_(arguments), exchange_(arguments.meeting) {
    const int lanes = with_.schedule.lanes_of_team;
    shared_weights_ = reinterpret_cast<Vector<T>*>(shared);
    sums_ = reinterpret_cast<T*>(shared_weights_ + Weights<Slice>::kShared * Slice::kThreads);
    own_ = reinterpret_cast<Carried<T>*>(sums_ + 2 * lanes * kSums);
    cursors_ = reinterpret_cast<Cursor*>(own_ + lanes * Slice::kThreads);
    received_ = reinterpret_cast<T*>(cursors_ + 3 * lanes);
  }

  __device__ void run() {
    exchange_.join(Slice::kBlocks, with_.schedule.lanes_of_team);
    unit_ = exchange_.rank() * Slice::kUnits + Slice::unit_of_block();
    weights_.load(with_.weights, exchange_.rank(), shared_weights_);
    begin();
    if (!exchange_.barrier()) return;
    for (int lane = 0; lane < lanes(); ++lane) {
      if (cursor_of(lane).is_active()) begin(lane, cursor_of(lane).sequence);
    }
    const int steps = with_.schedule.steps[exchange_.team()];
    for (int step = 0; step < steps; ++step) {
      now_ = step % 3;
      if constexpr (Cell::kPhases == 2) {
        for (int lane = 0; lane < lanes(); ++lane) candidate(lane);
        if (!exchange_all(0, 0)) return;
      }
      const int buffer = Cell::kPhases == 2 ? 1 : step % 2;
      for (int lane = 0; lane < lanes(); ++lane) this->step(lane, buffer);
      if (threadIdx.x < lanes()) {
        Cursor cursor = cursor_of(threadIdx.x);
        if (cursor.is_active()) cursor.advance(with_.schedule);
        cursors_[(step + 1) % 3 * lanes() + threadIdx.x] = cursor;
      }
      if (!exchange_all(1, buffer)) return;
      for (int lane = 0; lane < lanes(); ++lane) finish(lane, buffer);
    }
    exchange_.barrier();
  }

 private:
  static constexpr int kGates = Cell::kGates, kCotangents = Cell::kCotangents;
  // The warps' sums lie so far apart that the threads of a warp, which ask for neighbouring columns
  // of several warps, want different banks.
  static constexpr int kApart = 128 / Slice::kSplit / sizeof(T);
  static constexpr int kStride =
      Slice::kColumns + (kApart > Slice::kVectorSize ? kApart : Slice::kVectorSize);
  static constexpr int kSums = Slice::kWarps * kStride;

  __device__ int lanes() const { return with_.schedule.lanes_of_team; }
  __device__ bool exists() const { return unit_ < with_.hidden_size; }
  __device__ const Cursor& cursor_of(int lane) const { return cursors_[now_ * lanes() + lane]; }
  __device__ Carried<T>& own(int lane) const { return own_[lane * Slice::kThreads + threadIdx.x]; }
  __device__ T* sums(int buffer, int lane) const {
    return sums_ + (buffer * lanes() + lane) * kSums;
  }
  __device__ size_t at(long long row) const {
    return static_cast<size_t>(row) * with_.hidden_size + unit_;
  }

  __device__ void begin() {
    if (threadIdx.x < lanes()) {
      const int lane = exchange_.team() * lanes() + threadIdx.x;
      cursors_[threadIdx.x] = Cursor::at_lane(with_.schedule, lane);
    }
    now_ = 0;
  }

  // A lane at the end of a sequence.
  __device__ void begin(int lane, int sequence) {
    Carried<T> d = {};
    if (exists()) {
      d.h = with_.d_h_n[at(sequence)];
      if constexpr (Cell::kHasC) d.c = with_.d_c_n[at(sequence)];
    }
    own(lane) = d;
  }

  __device__ void load(const Cursor& cursor, T (&a)[kGates], Carried<T>& before) const {
    before = {};
#pragma unroll
    for (int g = 0; g < kGates; ++g) a[g] = 0;
    if (!exists()) return;
    const int H = with_.hidden_size;
#pragma unroll
    for (int g = 0; g < kGates; ++g) {
      a[g] = with_.a[(static_cast<size_t>(cursor.row) * kGates + g) * H + unit_];
    }
    const bool is_first = cursor.is_last_step();  // of the sequence, the last that is walked
    const size_t place = at(is_first ? cursor.sequence : cursor.row + with_.schedule.direction);
    if constexpr (Cell::kHasC) before.c = is_first ? with_.c_0[place] : with_.c[place];
    if constexpr (!Cell::kHasC && kGates > 1) {  // GRU
      before.h = is_first ? with_.h_0[place] : with_.y[place];
    }
  }

  __device__ void save(const Cursor& cursor, const T (&d_a)[kCotangents]) const {
    if (Slice::part() != 0 || !exists()) return;
    const int H = with_.hidden_size;
#pragma unroll
    for (int k = 0; k < kCotangents; ++k) {
      with_.d_a[(static_cast<size_t>(cursor.row) * kCotangents + k) * H + unit_] = d_a[k];
    }
  }

  // The first of two phases.
  __device__ void candidate(int lane) {
    const Cursor cursor = cursor_of(lane);
    if (!cursor.is_active()) return;
    T a[kGates], d_a[kCotangents] = {};
    Carried<T> before;
    load(cursor, a, before);
    T d_h = own(lane).h + (exists() ? with_.d_y[at(cursor.row)] : T(0));
    Cell::backward_candidate(a, before.h, d_h, d_a);
    own(lane) = {d_h, d_a[1]};  // c has nothing else to carry
    const T d_sum[1] = {d_a[2]};
    if (Slice::part() == 0 && exists()) {
      with_.d_a[(static_cast<size_t>(cursor.row) * kCotangents + 2) * with_.hidden_size + unit_] =
          d_a[2];
      with_.rh[at(cursor.row)] = sigmoid(a[0]) * before.h;
    }
    weights_.template transposed_times<2, 1>(d_sum, sums_of_warp(0, lane));
  }

  __device__ void step(int lane, int buffer) {
    const Cursor cursor = cursor_of(lane);
    if (!cursor.is_active()) return;
    T a[kGates];
    Carried<T> before, d = own(lane);
    load(cursor, a, before);
    if constexpr (Cell::kPhases == 1) {
      T d_a[kCotangents], d_sum[kGates], c = 0, q = 0;
      if (exists()) {
        d.h += with_.d_y[at(cursor.row)];
        if constexpr (Cell::kHasC) c = with_.c[at(cursor.row)];
        if constexpr (Cell::kHasQ) q = with_.q[at(cursor.row)];
      }
      if constexpr (Cell::kHasQ) {
        Cell::backward(a, c, q, before, d, d_a, d_sum);
      } else {
        Cell::backward(a, c, q, before, d, d_a, d_sum);
      }
      save(cursor, d_a);
      own(lane) = d;
      weights_.template transposed_times<0, kGates>(d_sum, sums_of_warp(buffer, lane));
    } else {
      T d_a[kCotangents] = {T(0), d.c, T(0)};
      Cell::backward_gates(a, before.h, received(0, 0, lane, cursor), d.h, d_a);
      own(lane) = {d.h, T(0)};
      if (Slice::part() == 0 && exists()) {
        const size_t first = static_cast<size_t>(cursor.row) * kCotangents * with_.hidden_size;
        with_.d_a[first + unit_] = d_a[0];
        with_.d_a[first + with_.hidden_size + unit_] = d_a[1];
      }
      const T d_sum[2] = {d_a[0], d_a[1]};
      weights_.template transposed_times<0, 2>(d_sum, sums_of_warp(buffer, lane));
    }
  }

  __device__ void finish(int lane, int buffer) {
    const Cursor cursor = cursor_of(lane);
    if (!cursor.is_active()) return;
    Carried<T> d = own(lane);
    d.h += received(1, buffer, lane, cursor);
    if (!cursor.is_last_step()) {
      own(lane) = d;
      return;
    }
    if (Slice::part() == 0 && exists()) {
      with_.d_h_0[at(cursor.sequence)] = d.h;
      if constexpr (Cell::kHasC) with_.d_c_0[at(cursor.sequence)] = d.c;
    }
    if (cursor.has_next()) begin(lane, with_.schedule.order[cursor.next]);
  }

  __device__ T* sums_of_warp(int buffer, int lane) const {
    return sums(buffer, lane) + threadIdx.x / 32 * kStride;
  }

  // Wait for the warps' sums and, in a team, send them to the blocks whose columns they are.
  __device__ bool exchange_all(int phase, int buffer) {
    if constexpr (Slice::kBlocks == 1) {
      return exchange_.barrier();
    } else if constexpr (Exchange<Slice>::kCollects) {
      if (!exchange_.barrier()) return false;
      send(buffer, [&](int lane, const Cursor& cursor, int column, T sum) {
        exchange_.put(phase, lane, cursor.steps, exchange_.rank(), column, sum);
      });
      return true;
    } else {
      __syncthreads();
      send(buffer, [&](int lane, const Cursor&, int column, T sum) {
        const int to = column / Slice::kUnits;
        *exchange_.of(received_of(buffer, lane, exchange_.rank()) + column % Slice::kUnits, to) =
            sum;
      });
      return exchange_.barrier();
    }
  }

  template <class Send>
  __device__ void send(int buffer, Send send_one) {
    for (int lane = 0; lane < lanes(); ++lane) {
      const Cursor cursor = cursor_of(lane);
      if (!cursor.is_active()) continue;
      const T* const from = sums(buffer, lane);
      for (int column = threadIdx.x; column < with_.hidden_size; column += Slice::kThreads) {
        send_one(lane, cursor, column, tree_sum<Slice::kWarps, 1, T>(0, [&](int warp) {
                   return from[warp * kStride + column];
                 }));
      }
    }
  }

  __device__ T* received_of(int buffer, int lane, int rank) const {
    return received_ + ((buffer * lanes() + lane) * Slice::kBlocks + rank) * Slice::kUnits;
  }

  // The unit's sum over all units.
  __device__ T received(int phase, int buffer, int lane, const Cursor& cursor) {
    if constexpr (Slice::kBlocks == 1) {
      const T* const from = sums(buffer, lane) + Slice::unit_of_block();
      return tree_sum<Slice::kWarps, Slice::kSplit, T>(
          Slice::part(), [&](int warp) { return from[warp * kStride]; });
    } else if constexpr (Exchange<Slice>::kCollects) {
      return tree_sum<Slice::kBlocks, Slice::kSplit, T>(Slice::part(), [&](int rank) {
        const bool is_there = exists() && rank < exchange_.blocks();
        return is_there ? exchange_.take(phase, lane, cursor.steps, rank, unit_) : T(0);
      });
    } else {
      return tree_sum<Slice::kBlocks, Slice::kSplit, T>(Slice::part(), [&](int rank) {
        return exists() ? received_of(buffer, lane, rank)[Slice::unit_of_block()] : T(0);
      });
    }
  }

  const BackwardArguments<T>& with_;
  Exchange<Slice> exchange_;
  Weights<Slice> weights_;
  Vector<T>* shared_weights_;
  T *sums_, *received_;
  Carried<T>* own_;
  Cursor* cursors_;
  int unit_ = 0, now_ = 0;
};

}  // namespace refrnn
