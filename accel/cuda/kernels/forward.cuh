// Forward with W_hh on the chip: a team of blocks steps its lanes until they are through.
#pragma once

#include "cells.cuh"
#include "exchange.cuh"
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

// The next row comes to L2 while this one is computed.
__device__ inline void prefetch(const void* address) {
  asm volatile("prefetch.global.L2 [%0];" ::"l"(address));
}

template <class Cell, class Slice, template <class> class Exchange>
class Forward {
 public:
  using T = typename Slice::T;

  __device__ Forward(const ForwardArguments<T>& arguments, char* shared)
      : with_(arguments), exchange_(arguments.meeting) {
    const int lanes = with_.schedule.lanes_of_team;
    shared_weights_ = reinterpret_cast<Vector<T>*>(shared);
    h_ = reinterpret_cast<T*>(shared_weights_ + Weights<Slice>::kShared * Slice::kThreads);
    rh_ = h_ + 2 * lanes * Slice::kColumns;
    own_ = reinterpret_cast<Carried<T>*>(rh_ + (Cell::kPhases - 1) * lanes * Slice::kColumns);
    kept_ = reinterpret_cast<T*>(own_ + lanes * Slice::kThreads);
    cursors_ = reinterpret_cast<Cursor*>(kept_ + (Cell::kPhases - 1) * lanes * kKept);
  }

  __device__ void run() {
    exchange_.join(1, with_.schedule.lanes_of_team);
    unit_ = exchange_.rank() * Slice::kUnits + Slice::unit_of_block();
    weights_.load(with_.weights, exchange_.rank(), shared_weights_);
    if (!begin()) return;
    const int steps = with_.schedule.steps[exchange_.team()];
    for (int step = 0; step < steps; ++step) {
      now_ = step % 2;
      const int lanes = with_.schedule.lanes_of_team;
      if constexpr (Cell::kPhases == 2) {
        for (int lane = 0; lane < lanes; ++lane) gates(lane);
        collect<0>();
        if (!exchange_.barrier()) return;
      }
      for (int lane = 0; lane < lanes; ++lane) this->step(lane);
      collect<1>();
      if (threadIdx.x < lanes) {
        Cursor cursor = cursor_of(threadIdx.x);
        if (cursor.is_active()) cursor.advance(with_.schedule);
        cursors_[(1 - now_) * lanes + threadIdx.x] = cursor;
      }
      if (!exchange_.barrier()) return;
    }
  }

 private:
  static constexpr int kGates = Cell::kGates;
  static constexpr int kKept = kGates * Slice::kThreads;

  __device__ bool exists() const { return unit_ < with_.hidden_size; }
  __device__ T* h(int which, int lane) const {
    return h_ + (which * with_.schedule.lanes_of_team + lane) * Slice::kColumns;
  }
  __device__ const Cursor& cursor_of(int lane) const {
    return cursors_[now_ * with_.schedule.lanes_of_team + lane];
  }
  __device__ size_t at(long long row) const {
    return static_cast<size_t>(row) * with_.hidden_size + unit_;
  }
  __device__ size_t at_gate(long long row, int gate) const {
    return (static_cast<size_t>(row) * kGates + gate) * with_.hidden_size + unit_;
  }

  // All lanes at their first sequences. Columns that no unit has stay zero.
  __device__ bool begin() {
    const int lanes = with_.schedule.lanes_of_team;
    for (int n = threadIdx.x; n < (Cell::kPhases + 1) * lanes * Slice::kColumns;
         n += Slice::kThreads) {
      h_[n] = 0;
    }
    if (threadIdx.x < lanes) {
      const int lane = exchange_.team() * lanes + threadIdx.x;
      cursors_[threadIdx.x] = Cursor::at_lane(with_.schedule, lane);
    }
    now_ = 0;
    if (!exchange_.barrier()) return false;
    for (int lane = 0; lane < lanes; ++lane) {
      if (cursor_of(lane).is_active()) begin(lane, 0, cursor_of(lane).sequence);
    }
    return exchange_.barrier();
  }

  // A lane at the start of a sequence, in one of the two buffers of h.
  __device__ void begin(int lane, int which, int sequence) {
    const int H = with_.hidden_size;
    const size_t first = static_cast<size_t>(sequence) * H;
    for (int n = threadIdx.x; n < H; n += Slice::kThreads) {
      h(which, lane)[n] = with_.h_0[first + n];
    }
    Carried<T> state = {};
    if (exists()) {
      state.h = with_.h_0[first + unit_];
      if constexpr (Cell::kHasC) state.c = with_.c_0[first + unit_];
    }
    own_[lane * Slice::kThreads + threadIdx.x] = state;
  }

  __device__ void load(const Cursor& cursor, T (&a)[kGates]) const {
#pragma unroll
    for (int g = 0; g < kGates; ++g) a[g] = exists() ? with_.a[at_gate(cursor.row, g)] : T(0);
    if (!exists() || cursor.is_last_step()) return;
#pragma unroll
    for (int g = 0; g < kGates; g += Slice::kSplit) {
      const int gate = g + Slice::part();
      if (gate < kGates) prefetch(&with_.a[at_gate(cursor.row + with_.schedule.direction, gate)]);
    }
  }

  // The first of two phases: the gates that the second one's product needs.
  __device__ void gates(int lane) {
    const Cursor cursor = cursor_of(lane);
    if (!cursor.is_active()) return;
    T a[kGates], sum[2];
    load(cursor, a);
    weights_.template times<0, 2>(h(now_, lane), sum);
    const T h_prev = own_[lane * Slice::kThreads + threadIdx.x].h;
    const T rh = Cell::forward_gates(a, sum, h_prev);
    T* const kept = kept_ + lane * kKept + threadIdx.x;
#pragma unroll
    for (int g = 0; g < kGates; ++g) kept[g * Slice::kThreads] = a[g];
    exchange_.spread(rh_ + lane * Slice::kColumns, 0, lane, cursor.steps, rh);
  }

  __device__ void step(int lane) {
    const Cursor cursor = cursor_of(lane);
    if (!cursor.is_active()) return;
    Carried<T>& own = own_[lane * Slice::kThreads + threadIdx.x];
    Carried<T> state = own;
    T a[kGates], q = 0;
    if constexpr (Cell::kPhases == 1) {
      T sum[kGates];
      load(cursor, a);
      weights_.template times<0, kGates>(h(now_, lane), sum);
      const T b_hn = Cell::kHasQ && exists() ? with_.b_hn[unit_] : T(0);
      Cell::forward(a, sum, b_hn, q, state);
      __syncwarp();  // all threads of the unit have read the row that one of them overwrites
    } else {
      T sum[1];
      const T* const kept = kept_ + lane * kKept + threadIdx.x;
#pragma unroll
      for (int g = 0; g < kGates; ++g) a[g] = kept[g * Slice::kThreads];
      weights_.template times<2, 1>(rh_ + lane * Slice::kColumns, sum);
      Cell::forward_candidate(a, sum[0], state);
    }
    if (Slice::part() == 0 && exists()) save(cursor, a, q, state);
    if (!cursor.is_last_step()) {
      own = state;
      const T h = exists() ? state.h : T(0);
      exchange_.spread(this->h(1 - now_, lane), 1, lane, cursor.steps - cursor.sequences, h);
    } else if (cursor.has_next()) {
      begin(lane, 1 - now_, with_.schedule.order[cursor.next]);
    }
  }

  __device__ void save(const Cursor& cursor, const T (&a)[kGates], T q, const Carried<T>& state) {
#pragma unroll
    for (int g = 0; g < kGates; ++g) with_.a[at_gate(cursor.row, g)] = a[g];
    with_.y[at(cursor.row)] = state.h;
    if constexpr (Cell::kHasC) with_.c[at(cursor.row)] = state.c;
    if constexpr (Cell::kHasQ) with_.q[at(cursor.row)] = q;
    if (!cursor.is_last_step()) return;
    with_.h_n[at(cursor.sequence)] = state.h;
    if constexpr (Cell::kHasC) with_.c_n[at(cursor.sequence)] = state.c;
  }

  // What the other blocks of the team have spread: r h in phase 0, h in phase 1.
  template <int PHASE>
  __device__ void collect() {
    if constexpr (Exchange<Slice>::kCollects) {
      for (int lane = 0; lane < with_.schedule.lanes_of_team; ++lane) {
        const Cursor cursor = cursor_of(lane);
        if (!cursor.is_active() || (PHASE == 1 && cursor.is_last_step())) continue;
        const unsigned count = PHASE == 0 ? cursor.steps : cursor.steps - cursor.sequences;
        T* const to = PHASE == 0 ? rh_ + lane * Slice::kColumns : h(1 - now_, lane);
        for (int n = threadIdx.x; n < with_.hidden_size; n += Slice::kThreads) {
          to[n] = exchange_.take(PHASE, lane, count, 0, n);
        }
      }
    }
  }

  const ForwardArguments<T>& with_;
  Exchange<Slice> exchange_;
  Weights<Slice> weights_;
  Vector<T>* shared_weights_;
  T *h_, *rh_, *kept_;
  Carried<T>* own_;
  Cursor* cursors_;
  int unit_ = 0, now_ = 0;
};

}  // namespace refrnn
