// Forward: the input's products with W_ih for all rows, then the lanes, step by step.
#pragma once

#include "schedule.h"
#include "threads.h"
#include "weights.h"

namespace refrnn {

// Rows are those of the ragged batch. Those of `a` are as Sizes has them, and so long; those of `q`
// are Sizes::units long, the others as long as the state.
//
// What backward needs of x and of the outputs is kept apart: x_kept, which x is copied to unless
// they are the same, and y, which is the output once more.
template <class T>
struct ForwardArguments {
  Schedule schedule;
  int input_size, hidden_size;
  const T *x, *W_ih, *W_hh;
  const T *bias, *b_hn;  // bias: of the pre-activations; each may be null
  const T *h_0, *c_0;    // (B, H)
  T *x_kept, *a, *y, *c, *q;
  T *output, *h_n, *c_n;  // the last two (B, H)
};

// Groups of units that are stepped at a time: few, so that what a product has left is in the cache,
// but enough for every product to begin with a panel.
template <class C>
constexpr int kGroupsAtOnce =
    std::max(1, kTileVectors / (kGroupVectors * (C::kHasCandidate ? 1 : C::kFused)));

template <template <class> class Cell, class T>
class Forward {
 public:
  using C = Cell<T>;
  using V = Vector<T>;

  Forward(const ForwardArguments<T>& with, const Sizes<Cell, T>& sizes,
          const ForwardWeights<Cell, T>& weights, Barrier& barrier, Teams teams, int thread, T* rh)
      : with_(with),
        sizes_(sizes),
        weights_(weights),
        barrier_(barrier),
        member_(teams.member(thread)),
        rh_(rh) {
    const int team = teams.team(thread);
    own_ = share(sizes.units / kGroup<T>, member_, teams.members, kGroupsAtOnce<C>);
    for (int lane = team; lane < with.schedule.lanes; lane += teams.count) {
      cursors_.emplace_back(with.schedule, lane);
    }
    const size_t lanes = cursors_.size();
    h_prev_.resize(lanes), c_prev_.resize(lanes), rh_in_.resize(lanes);
    a_.resize(lanes), gates_.resize(lanes), candidate_.resize(lanes), rh_out_.resize(lanes);
    y_.resize(lanes), output_.resize(lanes), c_.resize(lanes);
  }

  void run() {
    while (place()) {
      step();
      for (Cursor& cursor : cursors_) {
        if (!cursor.is_active()) continue;
        if (cursor.is_last_step()) finish(cursor);
        cursor.advance(with_.schedule);
      }
      barrier_.wait(member_);
    }
  }

 private:
  size_t at(std::int64_t row) const {
    return static_cast<size_t>(row) * static_cast<size_t>(sizes_.hidden);
  }

  // The rows of this step; false if no lane has one.
  bool place() {
    count_ = 0;
    for (const Cursor& cursor : cursors_) {
      if (!cursor.is_active()) continue;
      const size_t row = static_cast<size_t>(cursor.row()), n = static_cast<size_t>(count_);
      const bool is_first = cursor.is_first_step();
      const size_t before =
          at(is_first ? cursor.sequence() : cursor.row() - with_.schedule.direction);
      h_prev_[n] = (is_first ? with_.h_0 : with_.y) + before;
      if constexpr (C::kHasC) {
        c_prev_[n] = (is_first ? with_.c_0 : with_.c) + before;
        c_[n] = with_.c + at(cursor.row());
      }
      a_[n] = with_.a + row * static_cast<size_t>(sizes_.row);
      gates_[n] = a_[n] + sizes_.fused;
      if constexpr (C::kHasCandidate) {
        candidate_[n] = C::kHasQ ? with_.q + row * static_cast<size_t>(sizes_.units) : a_[n];
        if constexpr (C::kHasRh) {
          rh_out_[n] = rh_ + n * static_cast<size_t>(sizes_.units);
          rh_in_[n] = rh_out_[n];
        }
      }
      y_[n] = with_.y + at(cursor.row());
      output_[n] = with_.output + at(cursor.row());
      ++count_;
    }
    return count_ > 0;
  }

  void step() {
    each_groups([&](int first, int end) {
      multiply(weights_.gates, C::kFused * first, C::kFused * end,
               Rows<T>{h_prev_.data(), gates_.data(), count_}, Start::kThere);
      if constexpr (C::kHasQ) {
        multiply(weights_.candidate, first, end, Rows<T>{h_prev_.data(), candidate_.data(), count_},
                 Start::kBias, weights_.candidate_bias);
      }
      each_vector(first, end, [&](size_t n, int unit) {
        if constexpr (C::kHasRh) {
          reset(n, unit);
        } else {
          units(n, unit);
        }
      });
    });
    if constexpr (C::kHasRh) {
      barrier_.wait(member_);
      each_groups([&](int first, int end) {
        multiply(weights_.candidate, first, end, Rows<T>{rh_in_.data(), candidate_.data(), count_},
                 Start::kThere);
        each_vector(first, end, [&](size_t n, int unit) { units(n, unit); });
      });
    }
  }

  // Own units, some groups at a time: from vector `first` to `end`.
  template <class Do>
  void each_groups(Do do_some) const {
    for (int group = own_.begin; group < own_.end; group += kGroupsAtOnce<C>) {
      const int end = std::min(own_.end, group + kGroupsAtOnce<C>);
      do_some(group * kGroupVectors, end * kGroupVectors);
    }
  }
  // Of every lane of the step.
  template <class Do>
  void each_vector(int first, int end, Do do_one) const {
    for (int n = 0; n < count_; ++n) {
      for (int vector = first; vector < end; ++vector)
        do_one(static_cast<size_t>(n), vector * kWidth<T>);
    }
  }

  // A vector of units of lane n of the step.
  REFRNN_FLAT void units(size_t n, int unit) {
    const int count = sizes_.hidden - unit;
    const T* const gates = gates_[n] + first_gate<T>(unit, C::kFused);
    V h;
    if constexpr (!C::kHasCandidate) {
      V a[C::kFused], c = {};
      for (int g = 0; g < C::kFused; ++g) a[g] = load(gates + g * kGroup<T>);
      if constexpr (C::kHasC) c = load(c_prev_[n] + unit, count);
      h = C::forward(a, c);
      if constexpr (C::kHasC) store(c_[n] + unit, c, count);
    } else {
      const V h_prev = load(h_prev_[n] + unit, count), r = load(gates), z = load(gates + kGroup<T>);
      V candidate = load(a_[n] + unit);
      if constexpr (C::kHasQ) {
        h = C::forward(r, z, candidate, load(candidate_[n] + unit), h_prev);
        store(a_[n] + unit, candidate);
      } else {
        h = C::forward(z, candidate, h_prev);
      }
    }
    store(y_[n] + unit, h, count);
    store(output_[n] + unit, h, count);
  }

  // The first of two phases.
  void reset(size_t n, int unit) {
    const V r = load(gates_[n] + first_gate<T>(unit, C::kFused));
    store(rh_out_[n] + unit, C::reset(r, load(h_prev_[n] + unit, sizes_.hidden - unit)));
  }

  // A sequence's last state.
  void finish(const Cursor& cursor) {
    const int first = own_.begin * kGroup<T>;
    const int count = std::min(sizes_.hidden, own_.end * kGroup<T>) - first;
    if (count <= 0) return;
    const size_t from = at(cursor.row()) + static_cast<size_t>(first);
    const size_t to = at(cursor.sequence()) + static_cast<size_t>(first);
    std::copy_n(with_.y + from, count, with_.h_n + to);
    if constexpr (C::kHasC) std::copy_n(with_.c + from, count, with_.c_n + to);
  }

  const ForwardArguments<T>& with_;
  const Sizes<Cell, T>& sizes_;
  const ForwardWeights<Cell, T>& weights_;
  Barrier& barrier_;
  int member_;
  Range own_;  // groups of units
  std::vector<Cursor> cursors_;
  int count_ = 0;
  std::vector<const T*> h_prev_, c_prev_, rh_in_;
  std::vector<T*> a_, gates_, candidate_, rh_out_, y_, output_, c_;
  T* rh_;  // r h of each lane, which the members of a team share
};

// Rows of x in a range times W_ih.
template <template <class> class Cell, class T>
void project(const ForwardArguments<T>& with, const Sizes<Cell, T>& sizes,
             const ForwardWeights<Cell, T>& weights, std::int64_t begin, std::int64_t end) {
  constexpr int kTogether = 16 * kTileRows;  // rows whose x stays in the cache
  const T* in[kTogether];
  T* out[kTogether];
  for (std::int64_t first = begin; first < end; first += kTogether) {
    const int count = static_cast<int>(std::min<std::int64_t>(kTogether, end - first));
    const size_t I = static_cast<size_t>(sizes.input), from = static_cast<size_t>(first) * I;
    if (with.x_kept != with.x) {
      std::copy_n(with.x + from, static_cast<size_t>(count) * I, with.x_kept + from);
    }
    for (int n = 0; n < count; ++n) {
      const size_t row = static_cast<size_t>(first + n);
      in[n] = with.x_kept + row * I;
      out[n] = with.a + row * static_cast<size_t>(sizes.row);
    }
    multiply(weights.input, 0, weights.input.vectors(), Rows<T>{in, out, count}, Start::kBias,
             weights.bias);
  }
}

// Numbers of scratch memory.
template <class T, template <class> class Cell>
size_t forward_scratch(Kind<Cell>, int input_size, int hidden_size) {
  Scratch<T> scratch;
  ForwardWeights<Cell, T>(Sizes<Cell, T>{input_size, hidden_size}, scratch);
  return scratch.needed();
}

template <class T, template <class> class Cell>
void forward(Kind<Cell>, const ForwardArguments<T>& with, Scratch<T> scratch, Teams teams,
             Crew& crew) {
  using C = Cell<T>;
  const Sizes<Cell, T> sizes{with.input_size, with.hidden_size};
  ForwardWeights<Cell, T> weights(sizes, scratch);
  Barrier all(teams.threads());
  TeamBarriers barriers(teams);
  std::vector<Forward<Cell, T>> parts;
  const size_t lanes = static_cast<size_t>(divided_up(with.schedule.lanes, teams.count));
  const size_t units = C::kHasRh ? static_cast<size_t>(sizes.units) : 0;
  std::vector<T> rh(lanes * units * static_cast<size_t>(teams.count));
  parts.reserve(static_cast<size_t>(teams.threads()));
  for (int thread = 0; thread < teams.threads(); ++thread) {
    const size_t before = lanes * units * static_cast<size_t>(teams.team(thread));
    parts.emplace_back(with, sizes, weights, barriers.of(thread), teams, thread,
                       rh.data() + before);
  }
  const std::int64_t rows = with.schedule.rows;
  crew.run(teams.threads(), [&](int thread) {
    const int threads = teams.threads();
    weights.pack(sizes, with.W_ih, with.W_hh, with.bias, with.b_hn, thread, threads);
    all.wait(thread);
    project(with, sizes, weights, rows * thread / threads, rows * (thread + 1) / threads);
    all.wait(thread);
    parts[static_cast<size_t>(thread)].run();
  });
}

}  // namespace refrnn
