// Backward: the lanes of forward from the last steps to the first, then the products of all rows.
#pragma once

#include "forward.h"
#include "gradients.h"

namespace refrnn {

// Rows of `d_a` are as Sizes has them; those of the matrices' gradients are in the order of the
// matrices, and padded to whole groups.
template <class T>
struct BackwardArguments {
  Schedule schedule;  // walked back: its direction is the opposite of forward's
  int input_size, hidden_size;
  const T *x, *W_ih, *W_hh;
  const T *h_0, *c_0;      // (B, H)
  const T *a, *y, *c, *q;  // the tape
  const T* d_y;            // (N, H)
  const T *d_h_n, *d_c_n;  // (B, H)
  T *d_a, *rh;             // rh, (N, H): r h of GRU reset_before
  T* d_x;                  // (N, I)
  T *d_h_0, *d_c_0;        // (B, H)
  T *d_W_ih, *d_W_hh;
  T *d_b_ih, *d_b_hh;  // each may be null
};

template <template <class> class Cell, class T>
class Backward {
 public:
  using C = Cell<T>;
  using V = Vector<T>;

  Backward(const BackwardArguments<T>& with, const Sizes<Cell, T>& sizes,
           const BackwardWeights<Cell, T>& weights, Barrier& barrier, Teams teams, int thread,
           T* carried)
      : with_(with),
        sizes_(sizes),
        weights_(weights),
        barrier_(barrier),
        member_(teams.member(thread)) {
    const int team = teams.team(thread);
    own_ = share(sizes.units / kGroup<T>, member_, teams.members,
                 std::max(1, kTileVectors / kGroupVectors));
    for (int lane = team; lane < with.schedule.lanes; lane += teams.count) {
      cursors_.emplace_back(with.schedule, lane);
      d_h_of_lane_.push_back(carried + static_cast<size_t>(lane) *
                                           static_cast<size_t>(kCarried * sizes.units));
    }
    const size_t lanes = cursors_.size();
    before_.resize(lanes), d_h_.resize(lanes), d_rh_.resize(lanes), cursor_.resize(lanes);
    d_gates_.resize(lanes), d_candidate_.resize(lanes);
  }

  void run() {
    while (place()) {
      each_unit([&](size_t n, int unit) {
        if (n + 1 < static_cast<size_t>(count_)) prefetch(n + 1, unit);
        units(n, unit);
      });
      barrier_.wait(member_);
      if constexpr (C::kHasRh) {
        multiply(weights_.candidate, own_.begin * kGroupVectors, own_.end * kGroupVectors,
                 Rows<T>{d_candidate_.data(), d_rh_.data(), count_}, Start::kZero);
        each_unit([&](size_t n, int unit) { reset(n, unit); });
        barrier_.wait(member_);
      }
      multiply(weights_.gates, own_.begin * kGroupVectors, own_.end * kGroupVectors,
               Rows<T>{d_gates_.data(), d_h_.data(), count_},
               C::kHasCandidate ? Start::kThere : Start::kZero);
      for (size_t lane = 0; lane < cursors_.size(); ++lane) {
        Cursor& cursor = cursors_[lane];
        if (!cursor.is_active()) continue;
        if (cursor.is_last_step()) finish(cursor, d_h_of_lane_[lane]);
        cursor.advance(with_.schedule);
      }
    }
  }

  // Numbers that a unit of a lane carries: d_h; d_c; d_rh.
  static constexpr int kCarried = 1 + C::kHasC + C::kHasRh;

 private:
  size_t at(std::int64_t row) const {
    return static_cast<size_t>(row) * static_cast<size_t>(sizes_.hidden);
  }
  T* d_row(std::int64_t row) const {
    return with_.d_a + static_cast<size_t>(row) * static_cast<size_t>(sizes_.d_row);
  }

  // The rows of this step; false if no lane has one.
  bool place() {
    count_ = 0;
    for (size_t lane = 0; lane < cursors_.size(); ++lane) {
      const Cursor& cursor = cursors_[lane];
      if (!cursor.is_active()) continue;
      const size_t n = static_cast<size_t>(count_++);
      T* const carried = d_h_of_lane_[lane];
      cursor_[n] = &cursor;
      before_[n] =
          at(cursor.is_last_step() ? cursor.sequence() : cursor.row() + with_.schedule.direction);
      d_h_[n] = carried;
      d_rh_[n] = carried + sizes_.units;
      d_candidate_[n] = d_row(cursor.row());
      d_gates_[n] = d_candidate_[n] + sizes_.fused;
      if (cursor.is_first_step()) begin(cursor, carried);
    }
    return count_ > 0;
  }

  template <class Do>
  void each_unit(Do do_one) {
    for (int n = 0; n < count_; ++n) {
      for (int unit = own_.begin * kGroup<T>; unit < own_.end * kGroup<T>; unit += kWidth<T>) {
        do_one(static_cast<size_t>(n), unit);
      }
    }
  }

  // The end of a sequence: own units of what comes from beyond it.
  void begin(const Cursor& cursor, T* carried) const {
    const size_t row = at(cursor.sequence());
    for (int unit = own_.begin * kGroup<T>; unit < own_.end * kGroup<T>; unit += kWidth<T>) {
      const size_t from = row + static_cast<size_t>(unit);
      store(carried + unit, load(with_.d_h_n + from, sizes_.hidden - unit));
      if constexpr (C::kHasC) {
        store(carried + sizes_.units + unit, load(with_.d_c_n + from, sizes_.hidden - unit));
      }
    }
  }

  // The state before a step, h or c.
  const T* before(size_t n, const T* first, const T* rows) const {
    return (cursor_[n]->is_last_step() ? first : rows) + before_[n];
  }

  // Brings what units() will want: rows of other lanes lie where no processor expects them.
  void prefetch(size_t n, int unit) const {
    const size_t row = static_cast<size_t>(cursor_[n]->row());
    const size_t place = at(cursor_[n]->row()) + static_cast<size_t>(unit);
    const int gate = sizes_.fused + first_gate<T>(unit, C::kFused);
    const T* const gates = with_.a + row * static_cast<size_t>(sizes_.row) + gate;
    for (int k = 0; k < C::kFused; ++k) {
      __builtin_prefetch(gates + k * kGroup<T>);
      __builtin_prefetch(d_candidate_[n] + gate + k * kGroup<T>, 1);
    }
    __builtin_prefetch(with_.d_y + place);
    if constexpr (C::kHasC) {
      __builtin_prefetch(with_.c + place);
      __builtin_prefetch(before(n, with_.c_0, with_.c) + unit);
    }
    if constexpr (C::kHasCandidate) {
      __builtin_prefetch(with_.a + row * static_cast<size_t>(sizes_.row) + unit);
      __builtin_prefetch(d_candidate_[n] + unit, 1);
      __builtin_prefetch(before(n, with_.h_0, with_.y) + unit);
    }
  }

  // A vector of units of a lane: the cotangents of its pre-activations.
  REFRNN_FLAT void units(size_t n, int unit) {
    const int count = sizes_.hidden - unit;
    const size_t row = static_cast<size_t>(cursor_[n]->row());
    const T* const a = with_.a + row * static_cast<size_t>(sizes_.row);
    const T* const gates = a + sizes_.fused + first_gate<T>(unit, C::kFused);
    T* const d_gates = d_gates_[n] + first_gate<T>(unit, C::kFused);
    T* const d_h_there = d_h_[n] + unit;
    const size_t place = at(cursor_[n]->row()) + static_cast<size_t>(unit);
    V d_h = load(d_h_there) + load(with_.d_y + place, count);
    if constexpr (!C::kHasCandidate) {
      V g[C::kFused], d_g[C::kFused], c_prev = {}, c = {}, d_c = {};
      for (int k = 0; k < C::kFused; ++k) g[k] = load(gates + k * kGroup<T>);
      if constexpr (C::kHasC) {
        c_prev = load(before(n, with_.c_0, with_.c) + unit, count);
        c = load(with_.c + place, count);
        d_c = load(d_h_there + sizes_.units);
      }
      C::backward(g, d_h, c_prev, c, d_c, d_g);
      for (int k = 0; k < C::kFused; ++k)
        store(d_gates + k * kGroup<T>, first_of<T>(d_g[k], count));
      if constexpr (C::kHasC) store(d_h_there + sizes_.units, d_c);
    } else {
      const V r = load(gates), z = load(gates + kGroup<T>), candidate = load(a + unit);
      const V h_prev = load(before(n, with_.h_0, with_.y) + unit, count);
      T* const d_n = d_candidate_[n] + unit;
      if constexpr (C::kHasQ) {
        const V q = load(with_.q + row * static_cast<size_t>(sizes_.units) + unit);
        V d[4];
        C::backward(r, z, candidate, q, h_prev, d_h, d);
        store(d_n, first_of<T>(d[0], count));
        store(d_gates, first_of<T>(d[1], count));
        store(d_gates + kGroup<T>, first_of<T>(d[2], count));
        store(d_n + 3 * sizes_.units, first_of<T>(d[3], count));
      } else {
        V d_candidate, d_z;
        C::backward(z, candidate, h_prev, d_h, d_candidate, d_z);
        store(d_n, first_of<T>(d_candidate, count));
        store(d_gates + kGroup<T>, first_of<T>(d_z, count));
        store(with_.rh + place, C::reset(r, h_prev), count);
      }
      store(d_h_there, d_h);
    }
  }

  // The second of two phases.
  void reset(size_t n, int unit) {
    const int count = sizes_.hidden - unit;
    const size_t row = static_cast<size_t>(cursor_[n]->row());
    const T* const gates = with_.a + row * static_cast<size_t>(sizes_.row) + sizes_.fused +
                           first_gate<T>(unit, C::kFused);
    const V h_prev = load(before(n, with_.h_0, with_.y) + unit, count);
    V d_h = load(d_h_[n] + unit), d_r;
    C::backward_reset(load(gates), h_prev, load(d_rh_[n] + unit), d_h, d_r);
    store(d_gates_[n] + first_gate<T>(unit, C::kFused), first_of<T>(d_r, count));
    store(d_h_[n] + unit, d_h);
  }

  // What reaches a sequence's first state.
  void finish(const Cursor& cursor, const T* carried) const {
    const size_t row = at(cursor.sequence());
    for (int unit = own_.begin * kGroup<T>; unit < own_.end * kGroup<T>; unit += kWidth<T>) {
      const size_t to = row + static_cast<size_t>(unit);
      store(with_.d_h_0 + to, load(carried + unit), sizes_.hidden - unit);
      if constexpr (C::kHasC) {
        store(with_.d_c_0 + to, load(carried + sizes_.units + unit), sizes_.hidden - unit);
      }
    }
  }

  const BackwardArguments<T>& with_;
  const Sizes<Cell, T>& sizes_;
  const BackwardWeights<Cell, T>& weights_;
  Barrier& barrier_;
  int member_;
  Range own_;  // groups of units
  std::vector<Cursor> cursors_;
  std::vector<T*> d_h_of_lane_;
  int count_ = 0;
  std::vector<const Cursor*> cursor_;
  std::vector<size_t> before_;
  std::vector<T*> d_gates_, d_candidate_, d_h_, d_rh_;
};

// The state before each row.
template <class T>
std::vector<const T*> previous_states(const BackwardArguments<T>& with) {
  std::vector<const T*> made(static_cast<size_t>(with.schedule.rows));
  const size_t H = static_cast<size_t>(with.hidden_size);
  const int direction = -with.schedule.direction;
  for (int n = 0; n < with.schedule.first_of_lane[with.schedule.lanes]; ++n) {
    const std::int32_t sequence = with.schedule.order[n];
    const std::int64_t begin = with.schedule.offsets[sequence];
    const std::int64_t end = with.schedule.offsets[sequence + 1];
    const std::int64_t first = direction > 0 ? begin : end - 1;
    for (std::int64_t row = begin; row < end; ++row) {
      made[static_cast<size_t>(row)] = row == first
                                           ? with.h_0 + static_cast<size_t>(sequence) * H
                                           : with.y + static_cast<size_t>(row - direction) * H;
    }
  }
  return made;
}

constexpr int kRowsUnprojected = 8 * kTileRows;  // at a time

// Rows of d_a in a range times the transpose of W_ih's gates: gradients of the inputs. `padded` has
// room for so many rows, as long as whole groups.
template <template <class> class Cell, class T>
void unproject(const BackwardArguments<T>& with, const Sizes<Cell, T>& sizes,
               const BackwardWeights<Cell, T>& weights, std::int64_t begin, std::int64_t end,
               T* padded) {
  const size_t I = static_cast<size_t>(sizes.input);
  const bool is_whole = sizes.input % kWidth<T> == 0;
  const size_t width = static_cast<size_t>(rounded_up<T>(sizes.input));
  const T* in[kRowsUnprojected];
  T* out[kRowsUnprojected];
  for (std::int64_t first = begin; first < end; first += kRowsUnprojected) {
    const int count = static_cast<int>(std::min<std::int64_t>(kRowsUnprojected, end - first));
    T* const d_x = with.d_x + static_cast<size_t>(first) * I;
    for (int n = 0; n < count; ++n) {
      const size_t row = static_cast<size_t>(n);
      in[n] = with.d_a + (static_cast<size_t>(first) + row) * static_cast<size_t>(sizes.d_row);
      out[n] = is_whole ? d_x + row * I : padded + row * width;
    }
    multiply(weights.input, 0, weights.input.vectors(), Rows<T>{in, out, count}, Start::kZero);
    for (int n = 0; !is_whole && n < count; ++n) {
      std::copy_n(out[n], I, d_x + static_cast<size_t>(n) * I);
    }
  }
}

// What threads share, and what each has of its own.
template <template <class> class Cell, class T>
struct BackwardMemory {
  BackwardWeights<Cell, T> weights;
  T* sums;  // of the columns of d_a
  std::deque<WeightGradient<T>> of_input, of_state;
  std::vector<T*> padded;  // rows of d_x, where they end within a vector

  BackwardMemory(const Sizes<Cell, T>& sizes, int threads, Scratch<T>& scratch)
      : weights(sizes, scratch), sums(scratch.take(static_cast<size_t>(sizes.d_row))) {
    for (int n = 0; n < threads; ++n) {
      of_input.emplace_back(sizes.input, scratch);
      of_state.emplace_back(sizes.hidden, scratch);
      const int row = rounded_up<T>(sizes.input);
      padded.push_back(
          scratch.take(static_cast<size_t>(kRowsUnprojected) * static_cast<size_t>(row)));
    }
  }
};

// Numbers of scratch memory.
template <class T, template <class> class Cell>
size_t backward_scratch(Kind<Cell>, int input_size, int hidden_size, int threads) {
  Scratch<T> scratch;
  BackwardMemory<Cell, T>(Sizes<Cell, T>{input_size, hidden_size}, threads, scratch);
  return scratch.needed();
}

template <class T, template <class> class Cell>
void backward(Kind<Cell>, const BackwardArguments<T>& with, Scratch<T> scratch, Teams teams,
              Crew& crew) {
  using C = Cell<T>;
  const Sizes<Cell, T> sizes{with.input_size, with.hidden_size};
  BackwardMemory<Cell, T> memory(sizes, teams.threads(), scratch);
  BackwardWeights<Cell, T>& weights = memory.weights;
  Barrier all(teams.threads());
  TeamBarriers barriers(teams);
  std::vector<Backward<Cell, T>> parts;
  std::vector<T> carried(static_cast<size_t>(with.schedule.lanes) *
                         static_cast<size_t>(Backward<Cell, T>::kCarried * sizes.units));
  const std::vector<const T*> before = previous_states(with);
  parts.reserve(static_cast<size_t>(teams.threads()));
  for (int thread = 0; thread < teams.threads(); ++thread) {
    parts.emplace_back(with, sizes, weights, barriers.of(thread), teams, thread, carried.data());
  }
  const std::int64_t rows = with.schedule.rows;
  crew.run(teams.threads(), [&](int thread) {
    const int threads = teams.threads();
    const WeightGradient<T>& of_input = memory.of_input[static_cast<size_t>(thread)];
    const WeightGradient<T>& of_state = memory.of_state[static_cast<size_t>(thread)];
    const size_t I = static_cast<size_t>(sizes.input), H = static_cast<size_t>(sizes.hidden);
    const Matrix<T> d_a = {with.d_a, rows, static_cast<size_t>(sizes.d_row)};
    weights.pack(sizes, with.W_ih, with.W_hh, thread, threads);
    all.wait(thread);
    parts[static_cast<size_t>(thread)].run();
    all.wait(thread);
    unproject(with, sizes, weights, rows * thread / threads, rows * (thread + 1) / threads,
              memory.padded[static_cast<size_t>(thread)]);
    const Range input = share(sizes.row, thread, threads, kTileRows);
    const auto d_W_ih = [&](int column) {
      return sizes.row_of(with.d_W_ih, rounded_up<T>(sizes.input), column);
    };
    of_input.run(d_a, input, d_W_ih,
                 [&](std::int64_t row) { return with.x + static_cast<size_t>(row) * I; });
    const Range state = share(sizes.d_row - sizes.fused, thread, threads, kTileRows);
    const auto d_W_hh = [&](int column) {
      return sizes.row_of(with.d_W_hh, rounded_up<T>(sizes.hidden), column);
    };
    of_state.run(d_a, {sizes.fused + state.begin, sizes.fused + state.end}, d_W_hh,
                 [&](std::int64_t row) { return before[static_cast<size_t>(row)]; });
    if constexpr (C::kHasRh) {
      of_state.run(d_a, share(sizes.units, thread, threads, kTileRows), d_W_hh,
                   [&](std::int64_t row) { return with.rh + static_cast<size_t>(row) * H; });
    }
    sum_rows(d_a, share(sizes.d_row / kWidth<T>, thread, threads), memory.sums);
  });
  sizes.give_sums(memory.sums, 0, sizes.row, with.d_b_ih);
  sizes.give_sums(memory.sums, C::kHasQ ? sizes.fused : 0, sizes.d_row, with.d_b_hh);
}

}  // namespace refrnn
