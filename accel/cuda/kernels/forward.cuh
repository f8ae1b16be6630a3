// Forward with W_hh on the chip: a team of blocks steps its lanes until they are through.
#pragma once

#include "cells.cuh"
#include "exchange.cuh"
#include "rows.cuh"
#include "schedule.cuh"
#include "slice.cuh"

namespace refrnn {

// Rows are those of the ragged batch. Gates lie one after the other in a row of `a`, H units each.
template <class T>
struct ForwardArguments {
  Schedule schedule;
  Meeting meeting;
  const Vector<T>* weights;  // packed as Weights::load takes them
  const T* b_hn;             // (H) of GRU reset_after
  const T *h_0, *c_0;        // (B, H)
  T* a;                      // (N, gates * H): W_ih x + biases; becomes the pre-activations
  T *y, *c, *q;              // (N, H)
  T *h_n, *c_n;              // (B, H)
  int hidden_size;
};

template <class Cell, class Slice, template <class> class Exchange>
class Forward {
 public:
  using T = typename Slice::T;

  __device__ Forward(const ForwardArguments<T>& arguments, char* shared)
      : with_(arguments),
        exchange_(arguments.meeting),
        shared_weights_(reinterpret_cast<Vector<T>*>(shared)),
        lanes_(arguments.schedule,
               reinterpret_cast<Cursor*>(shared_weights_ +
                                         Weights<Slice>::kShared * Slice::kThreads)) {
    exchange_.join(1, lanes_.count());
    first_ = exchange_.rank() * Slice::kUnits;
    unit_ = first_ + Slice::unit_of_block();
    h_ = reinterpret_cast<T*>(lanes_.end());
    rh_ = h_ + 2 * lanes_.count() * Slice::kColumns;
    rows_.shared = rh_ + (Cell::kPhases - 1) * lanes_.count() * Slice::kColumns;
    rows_.units = with_.hidden_size - first_;
    own_ = rows_.shared + lanes_.count() * StepRows::kOfLane;
  }

  __device__ void run() {
    weights_.load(with_.weights, exchange_.rank(), shared_weights_);
    if constexpr (Cell::kHasQ) b_hn_ = exists() ? with_.b_hn[unit_] : T(0);
    if (!begin()) return;
    const int steps = with_.schedule.steps[exchange_.team()];
    for (now_ = 0; now_ < steps; ++now_) {
      if constexpr (Cell::kPhases == 2) {
        for (int lane = 0; lane < lanes_.count(); ++lane) gates(lane);
        collect<0>();
        if (!exchange_.barrier()) return;
      }
      for (int lane = 0; lane < lanes_.count(); ++lane) {
        take_away(lane);
        const Cursor& next = lanes_.at(lane, now_ + 1);
        typename StepRows::Brought brought;
        if (next.is_active()) brought = bring(next);
        step(lane);
        if (next.is_active()) rows_.put(brought, rows_.of(lane, now_ + 1));
      }
      collect<1>();
      lanes_.prepare_after(now_);
      if (!exchange_.barrier()) return;
    }
    for (int lane = 0; lane < lanes_.count(); ++lane) take_away(lane);
  }

 private:
  static constexpr int kGates = Cell::kGates;
  // What a step leaves of a unit: pre-activations, where it has brought W_ih x, then h, then c or
  // q.
  static constexpr int kLeft = kGates + 1 + (Cell::kHasC || Cell::kHasQ);
  // What a thread keeps of a lane: c, or else the h that gates are multiplied with.
  static constexpr int kOwn = kGates > 1;
  using StepRows = Rows<Slice, kLeft, kGates>;

  __device__ bool exists() const { return unit_ < with_.hidden_size; }
  __device__ T* h(int step, int lane) const {
    return h_ + ((step & 1) * lanes_.count() + lane) * Slice::kColumns;
  }
  __device__ T& own(int lane) const { return own_[lane * Slice::kThreads + threadIdx.x]; }
  __device__ size_t at(long long row) const {
    return static_cast<size_t>(row) * with_.hidden_size + unit_;
  }

  // All lanes at their first sequences. Columns that no unit has stay zero.
  __device__ bool begin() {
    for (int n = threadIdx.x; n < (Cell::kPhases + 1) * lanes_.count() * Slice::kColumns;
         n += Slice::kThreads) {
      h_[n] = 0;
    }
    rows_.clear(lanes_.count());
    lanes_.begin(exchange_.team());
    if (!exchange_.barrier()) return false;
    for (int lane = 0; lane < lanes_.count(); ++lane) {
      const Cursor& cursor = lanes_.at(lane, 0);
      if (!cursor.is_active()) continue;
      begin(lane, cursor.sequence);
      const size_t first = static_cast<size_t>(cursor.sequence) * with_.hidden_size;
      for (int n = threadIdx.x; n < with_.hidden_size; n += Slice::kThreads) {
        h(0, lane)[Slice::place(n)] = with_.h_0[first + n];
      }
      rows_.put(bring(cursor), rows_.of(lane, 0));
    }
    return exchange_.barrier();
  }

  // What a thread keeps of a lane at the start of a sequence; the unit's h there.
  __device__ T begin(int lane, int sequence) {
    const T h = exists() ? with_.h_0[at(sequence)] : T(0);
    if constexpr (Cell::kHasC) {
      own(lane) = exists() ? with_.c_0[at(sequence)] : T(0);
    } else if constexpr (kOwn) {
      own(lane) = h;
    }
    return h;
  }

  __device__ typename StepRows::Brought bring(const Cursor& cursor) const {
    return rows_.bring([a = row(cursor, 0), this](int value, int unit) {
      return a + value * with_.hidden_size + unit;
    });
  }

  __device__ void take_away(int lane) const {
    const Cursor& last = lanes_.at(lane, now_ - 1);
    if (!last.is_active()) return;
    rows_.template take_away<kLeft>(rows_.of(lane, now_ - 1), [&last, this](int value, int unit) {
      return row(last, value) + (value < kGates ? value * with_.hidden_size : 0) + unit;
    });
  }

  // The block's units in the row of a value in global memory.
  __device__ T* row(const Cursor& cursor, int value) const {
    const size_t first = static_cast<size_t>(cursor.row) * with_.hidden_size;
    if (value < kGates) return with_.a + first * kGates + first_;
    T* const rest = Cell::kHasC ? with_.c : with_.q;
    return (value == kGates ? with_.y : rest) + first + first_;
  }

  // The first of two phases: the gates that the second one's product needs.
  __device__ void gates(int lane) {
    const Cursor& cursor = lanes_.at(lane, now_);
    if (!cursor.is_active()) return;
    T* const row = rows_.of(lane, now_) + Slice::unit_of_block();
    T sum[2];
    weights_.template times<0, 2>(h(now_, lane), sum);
    T a[kGates] = {row[0], row[Slice::kUnits]};
    const T rh = Cell::forward_gates(a, sum, own(lane));
    __syncwarp();  // all threads of the unit have read what one of them overwrites
    if (Slice::part() == 0) {
      row[0] = a[0];
      row[Slice::kUnits] = a[1];
    }
    if (exists()) exchange_.spread(rh_ + lane * Slice::kColumns, 0, lane, cursor.steps, rh);
  }

  __device__ void step(int lane) {
    const Cursor& cursor = lanes_.at(lane, now_);
    if (!cursor.is_active()) return;
    const Cursor& next = lanes_.at(lane, now_ + 1);
    T a[kGates], q = 0;
    Carried<T> state = {};
    if constexpr (Cell::kPhases == 1) {
      T sum[kGates];
      weights_.template times<0, kGates>(h(now_, lane), sum);
      load(lane, a, state);
      Cell::forward(a, sum, b_hn_, q, state);
    } else {
      T sum[1];
      weights_.template times<2, 1>(rh_ + lane * Slice::kColumns, sum);
      load(lane, a, state);
      Cell::forward_candidate(a, sum[0], state);
    }
    __syncwarp();  // all threads of the unit have read what one of them overwrites
    if (Slice::part() == 0 && exists()) save(lane, cursor, a, q, state);
    if (cursor.is_last_step()) {
      if (!next.is_active()) return;
      state.h = begin(lane, next.sequence);
    } else if constexpr (kOwn) {
      own(lane) = Cell::kHasC ? state.c : state.h;
    }
    if (exists()) exchange_.spread(h(now_ + 1, lane), 1, lane, cursor.steps, state.h);
  }

  __device__ void load(int lane, T (&a)[kGates], Carried<T>& state) const {
    const T* const row = rows_.of(lane, now_) + Slice::unit_of_block();
#pragma unroll
    for (int g = 0; g < kGates; ++g) a[g] = row[g * Slice::kUnits];
    if constexpr (kOwn) (Cell::kHasC ? state.c : state.h) = own(lane);
  }

  __device__ void save(int lane, const Cursor& cursor, const T (&a)[kGates], T q,
                       const Carried<T>& state) {
    T* const row = rows_.of(lane, now_) + Slice::unit_of_block();
#pragma unroll
    for (int g = 0; g < kGates; ++g) row[g * Slice::kUnits] = a[g];
    row[kGates * Slice::kUnits] = state.h;
    if constexpr (kLeft > kGates + 1) {
      row[(kGates + 1) * Slice::kUnits] = Cell::kHasC ? state.c : q;
    }
    if (!cursor.is_last_step()) return;
    with_.h_n[at(cursor.sequence)] = state.h;
    if constexpr (Cell::kHasC) with_.c_n[at(cursor.sequence)] = state.c;
  }

  // What the other blocks of the team have spread: r h in phase 0, h in phase 1.
  template <int PHASE>
  __device__ void collect() {
    if constexpr (Exchange<Slice>::kCollects) {
      for (int lane = 0; lane < lanes_.count(); ++lane) {
        const Cursor& cursor = lanes_.at(lane, now_);
        if (!lanes_.at(lane, now_ + PHASE).is_active()) continue;
        T* const to = PHASE == 0 ? rh_ + lane * Slice::kColumns : h(now_ + 1, lane);
        for (int n = threadIdx.x; n < with_.hidden_size; n += Slice::kThreads) {
          to[Slice::place(n)] = exchange_.take(PHASE, lane, cursor.steps, 0, n);
        }
      }
    }
  }

  const ForwardArguments<T>& with_;
  Exchange<Slice> exchange_;
  Weights<Slice> weights_;
  Vector<T>* shared_weights_;
  Lanes lanes_;
  T *h_, *rh_, *own_;
  StepRows rows_;
  T b_hn_ = 0;
  int first_, unit_;  // of the block, of the thread
  int now_ = 0;
};

}  // namespace refrnn
