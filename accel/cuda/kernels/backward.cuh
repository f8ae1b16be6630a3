// Backward with W_hh on the chip: the lanes of forward, walked from the last steps to the first.
#pragma once

#include "cells.cuh"
#include "exchange.cuh"
#include "rows.cuh"
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
      : with_(arguments),
        exchange_(arguments.meeting),
        shared_weights_(reinterpret_cast<Vector<T>*>(shared)),
        lanes_(arguments.schedule,
               reinterpret_cast<Cursor*>(shared_weights_ +
                                         Weights<Slice>::kShared * Slice::kThreads)) {
    exchange_.join(Slice::kBlocks, lanes_.count());
    first_ = exchange_.rank() * Slice::kUnits;
    unit_ = first_ + Slice::unit_of_block();
    sums_ = reinterpret_cast<T*>(lanes_.end());
    rows_.shared = sums_ + 2 * lanes_.count() * WarpSums::kSize;
    rows_.units = with_.hidden_size - first_;
    own_ = rows_.shared + lanes_.count() * StepRows::kOfLane;
    received_ = own_ + kOwn * lanes_.count() * Slice::kThreads;
  }

  __device__ void run() {
    weights_.load(with_.weights, exchange_.rank(), shared_weights_);
    if (!begin()) return;
    const int steps = with_.schedule.steps[exchange_.team()];
    for (now_ = 0; now_ < steps; ++now_) {
      if constexpr (Cell::kPhases == 2) {
        for (int lane = 0; lane < lanes_.count(); ++lane) candidate(lane);
        if (!exchange_all(0, 0)) return;
      }
      const int buffer = Cell::kPhases == 2 ? 1 : now_ & 1;
      for (int lane = 0; lane < lanes_.count(); ++lane) {
        take_away(lane);
        const Cursor& next = lanes_.at(lane, now_ + 1);
        typename StepRows::Brought brought;
        if (next.is_active()) brought = bring(next);
        step(lane, buffer);
        if (next.is_active()) rows_.put(brought, rows_.of(lane, now_ + 1));
      }
      lanes_.prepare_after(now_);
      if (!exchange_all(1, buffer)) return;
      for (int lane = 0; lane < lanes_.count(); ++lane) finish(lane, buffer);
    }
    for (int lane = 0; lane < lanes_.count(); ++lane) take_away(lane);
  }

 private:
  static constexpr int kGates = Cell::kGates, kCotangents = Cell::kCotangents;
  using WarpSums = TermRows<T, Slice::kWarps, Slice::kSplit, Slice::kColumns>;
  using BlockSums = TermRows<T, Slice::kBlocks, Slice::kSplit, Slice::kUnits>;
  // What a step needs of a unit: pre-activations, d_y, the c or h before it, q. What it leaves in
  // their place: cotangents of the pre-activations, r h.
  static constexpr int kDY = kGates, kBefore = kGates + 1, kQ = kGates + 2;
  static constexpr int kNeeded = kGates + 1 + (kGates > 1) + Cell::kHasQ;
  static constexpr int kLeft = kCotangents + (Cell::kPhases == 2);
  static_assert(kLeft <= kNeeded);
  using StepRows = Rows<Slice, kNeeded, kNeeded>;
  // What a thread keeps of a lane: d_h; of LSTM d_c, and the c that a step had before it, which the
  // next one has after it.
  static constexpr int kOwn = Cell::kHasC ? 3 : 1;

  __device__ bool exists() const { return unit_ < with_.hidden_size; }
  __device__ T& own(int lane, int which) const {
    return own_[(lane * kOwn + which) * Slice::kThreads + threadIdx.x];
  }
  __device__ T* sums(int buffer, int lane) const {
    return sums_ + (buffer * lanes_.count() + lane) * WarpSums::kSize;
  }
  __device__ size_t at(long long row) const {
    return static_cast<size_t>(row) * with_.hidden_size + unit_;
  }

  // All lanes at the ends of their first sequences.
  __device__ bool begin() {
    rows_.clear(lanes_.count());
    lanes_.begin(exchange_.team());
    if (!exchange_.barrier()) return false;
    for (int lane = 0; lane < lanes_.count(); ++lane) {
      const Cursor& cursor = lanes_.at(lane, 0);
      if (!cursor.is_active()) continue;
      begin(lane, cursor);
      rows_.put(bring(cursor), rows_.of(lane, 0));
    }
    return exchange_.barrier();
  }

  // A lane at the end of a sequence.
  __device__ void begin(int lane, const Cursor& cursor) {
    own(lane, 0) = exists() ? with_.d_h_n[at(cursor.sequence)] : T(0);
    if constexpr (Cell::kHasC) {
      own(lane, 1) = exists() ? with_.d_c_n[at(cursor.sequence)] : T(0);
      own(lane, 2) = exists() ? with_.c[at(cursor.row)] : T(0);
    }
  }

  __device__ typename StepRows::Brought bring(const Cursor& cursor) const {
    const size_t row = cursor.row, H = with_.hidden_size;
    const bool is_first = cursor.is_last_step();  // of the sequence, the last that is walked
    const size_t before = is_first ? cursor.sequence : cursor.row + with_.schedule.direction;
    return rows_.bring([=](int value, int unit) {
      const T* whole = with_.a + (row * kGates + value) * H;
      if (value == kDY) whole = with_.d_y + row * H;
      if constexpr (kGates > 1) {
        const T* const first = Cell::kHasC ? with_.c_0 : with_.h_0;
        const T* const other = Cell::kHasC ? with_.c : with_.y;
        if (value == kBefore) whole = (is_first ? first : other) + before * H;
      }
      if constexpr (Cell::kHasQ) {
        if (value == kQ) whole = with_.q + row * H;
      }
      return whole + first_ + unit;
    });
  }

  __device__ void take_away(int lane) const {
    const Cursor& last = lanes_.at(lane, now_ - 1);
    if (!last.is_active()) return;
    const size_t row = last.row, H = with_.hidden_size;
    rows_.template take_away<kLeft>(rows_.of(lane, now_ - 1), [=](int value, int unit) {
      T* const whole =
          value < kCotangents ? with_.d_a + (row * kCotangents + value) * H : with_.rh + row * H;
      return whole + first_ + unit;
    });
  }

  // The first of two phases.
  __device__ void candidate(int lane) {
    if (!lanes_.at(lane, now_).is_active()) return;
    T* const row = rows_.of(lane, now_) + Slice::unit_of_block();
    T a[kGates], d_a[kCotangents] = {};
#pragma unroll
    for (int g = 0; g < kGates; ++g) a[g] = row[g * Slice::kUnits];
    const T h_prev = row[kBefore * Slice::kUnits];
    T d_h = own(lane, 0) + row[kDY * Slice::kUnits];
    Cell::backward_candidate(a, h_prev, d_h, d_a);
    own(lane, 0) = d_h;
    __syncwarp();  // all threads of the unit have read what one of them overwrites
    if (Slice::part() == 0) {
      row[Slice::kUnits] = d_a[1];
      row[2 * Slice::kUnits] = d_a[2];
      row[3 * Slice::kUnits] = sigmoid(a[0]) * h_prev;
    }
    const T d_sum[1] = {d_a[2]};
    weights_.template transposed_times<2, 1>(d_sum, sums_of_warp(0, lane));
  }

  __device__ void step(int lane, int buffer) {
    if (!lanes_.at(lane, now_).is_active()) return;
    T* const row = rows_.of(lane, now_) + Slice::unit_of_block();
    T a[kGates];
#pragma unroll
    for (int g = 0; g < kGates; ++g) a[g] = row[g * Slice::kUnits];
    Carried<T> before = {}, d = {own(lane, 0), T(0)};
    if constexpr (Cell::kPhases == 1) {
      T d_a[kCotangents], d_sum[kGates], c = 0, q = 0;
      d.h += row[kDY * Slice::kUnits];
      if constexpr (kGates > 1) (Cell::kHasC ? before.c : before.h) = row[kBefore * Slice::kUnits];
      if constexpr (Cell::kHasQ) q = row[kQ * Slice::kUnits];
      if constexpr (Cell::kHasC) {
        d.c = own(lane, 1);
        c = own(lane, 2);
      }
      Cell::backward(a, c, q, before, d, d_a, d_sum);
      if constexpr (Cell::kHasC) {
        own(lane, 1) = d.c;
        own(lane, 2) = before.c;
      }
      save(row, d_a);
      own(lane, 0) = d.h;
      weights_.template transposed_times<0, kGates>(d_sum, sums_of_warp(buffer, lane));
    } else {
      T d_a[kCotangents] = {T(0), a[1]};  // where the first phase has left d_a[1]
      const T d_rh = received(0, 0, lane, lanes_.at(lane, now_));
      Cell::backward_gates(a, row[kBefore * Slice::kUnits], d_rh, d.h, d_a);
      own(lane, 0) = d.h;
      const T d_sum[2] = {d_a[0], d_a[1]};
      __syncwarp();
      if (Slice::part() == 0) row[0] = d_a[0];
      weights_.template transposed_times<0, 2>(d_sum, sums_of_warp(buffer, lane));
    }
  }

  __device__ void save(T* row, const T (&d_a)[kCotangents]) const {
    __syncwarp();  // all threads of the unit have read what one of them overwrites
    if (Slice::part() != 0) return;
#pragma unroll
    for (int k = 0; k < kCotangents; ++k) row[k * Slice::kUnits] = d_a[k];
  }

  __device__ void finish(int lane, int buffer) {
    const Cursor& cursor = lanes_.at(lane, now_);
    if (!cursor.is_active()) return;
    const T d_h = own(lane, 0) + received(1, buffer, lane, cursor);
    if (!cursor.is_last_step()) {
      own(lane, 0) = d_h;
      return;
    }
    if (Slice::part() == 0 && exists()) {
      with_.d_h_0[at(cursor.sequence)] = d_h;
      if constexpr (Cell::kHasC) with_.d_c_0[at(cursor.sequence)] = own(lane, 1);
    }
    const Cursor& next = lanes_.at(lane, now_ + 1);
    if (next.is_active()) begin(lane, next);
  }

  __device__ T* sums_of_warp(int buffer, int lane) const {
    return sums(buffer, lane) + WarpSums::of(threadIdx.x / 32);
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
        T* const mine = received_of(buffer, lane, exchange_.rank()) + column % Slice::kUnits;
        exchange_.store_to(to, mine, sum);
      });
      return exchange_.barrier();
    }
  }

  template <class Send>
  __device__ void send(int buffer, Send send_one) {
    for (int lane = 0; lane < lanes_.count(); ++lane) {
      const Cursor& cursor = lanes_.at(lane, now_);
      if (!cursor.is_active()) continue;
      const T* const from = sums(buffer, lane);
      for (int column = threadIdx.x; column < with_.hidden_size; column += Slice::kThreads) {
        const int place = Slice::place(column);
        send_one(lane, cursor, column, tree_sum<Slice::kWarps, 1, T>(0, [&](int warp) {
                   return from[WarpSums::of(warp) + place];
                 }));
      }
    }
  }

  __device__ T* received_of(int buffer, int lane, int rank) const {
    return received_ + (buffer * lanes_.count() + lane) * BlockSums::kSize + BlockSums::of(rank);
  }

  // The unit's sum over all units. Of a unit that does not exist it is 0: its weights are, but 0
  // times NaN would stay in its rows, which are never brought anew, for the next sequence.
  __device__ T received(int phase, int buffer, int lane, const Cursor& cursor) {
    const T sum = sum_received(phase, buffer, lane, cursor);
    return exists() ? sum : T(0);
  }

  __device__ T sum_received(int phase, int buffer, int lane, const Cursor& cursor) {
    if constexpr (Slice::kBlocks == 1) {
      const T* const from = sums(buffer, lane) + Slice::place(Slice::unit_of_block());
      return tree_sum<Slice::kWarps, Slice::kSplit, T>(
          Slice::part(), [&](int warp) { return from[WarpSums::of(warp)]; });
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
  Lanes lanes_;
  T *sums_, *own_, *received_;
  StepRows rows_;
  int first_, unit_;  // of the block, of the thread
  int now_ = 0;
};

}  // namespace refrnn
