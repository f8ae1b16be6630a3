// The weights of a cell, laid out for the products of all steps.
#pragma once

#include "cells.h"
#include "product.h"

namespace refrnn {

// A range that is dealt to threads.
struct Range {
  int begin, end;
};
// The share of thread `index` of `count` in n things, in multiples of `step`.
inline Range share(int n, int index, int count, int step = 1) {
  const int steps = divided_up(n, step), most = divided_up(steps, count) * step;
  const int begin = std::min(n, index * most);
  return {begin, std::min(n, begin + most)};
}

// Rows of a matrix (of `to.depth()` numbers) become columns: column `c` is the row that `row_of(c)`
// points to, or zero where that is null. Vectors of columns in `range` only.
template <class T, class RowOf>
REFRNN_FLAT void pack_rows_as_columns(Packed<T>& to, Range range, RowOf row_of) {
  for (int vector = range.begin; vector < range.end; ++vector) {
    const T* from[kWidth<T>];
    for (int n = 0; n < kWidth<T>; ++n) from[n] = row_of(vector * kWidth<T> + n);
    for (int first = 0; first < to.depth(); first += kWidth<T>) {
      const int count = to.depth() - first;
      Vector<T> rows[kWidth<T>];
      repeat<kWidth<T>>([&](auto n) {
        rows[n] = from[n] == nullptr ? Vector<T>{} : load(from[n] + first, count);
      });
      transpose<T>(rows);
      repeat<kWidth<T>>([&](auto k) {
        if (k < count) store(to.at(first + k, vector), rows[k]);
      });
    }
  }
}

// Rows of a matrix stay rows: row k is the one that `row_of(k)` points to, or zero where that is
// null; `columns` numbers of each. Vectors of columns in `range` only.
template <class T, class RowOf>
void pack_rows(Packed<T>& to, Range range, int columns, RowOf row_of) {
  for (int k = 0; k < to.depth(); ++k) {
    const T* const from = row_of(k);
    for (int vector = range.begin; vector < range.end; ++vector) {
      const int first = vector * kWidth<T>;
      store(to.at(k, vector), from == nullptr ? Vector<T>{} : load(from + first, columns - first));
    }
  }
}

// Sizes of a cell, and where the gates of its units are.
template <template <class> class Cell, class T>
struct Sizes {
  using C = Cell<T>;

  int input, hidden;
  int units = rounded_up<T>(hidden);         // with those that fill the last group
  int row = C::kGates * units;               // numbers of a row of pre-activations
  int d_row = C::kCotangents * units;        // of a row of their cotangents
  int fused = C::kHasCandidate ? units : 0;  // where the gates of the first product begin

  // The row of a matrix that belongs to a column of pre-activations; null if none does.
  const T* row_of(const T* matrix, int length, int column) const {
    const Place place = C::place(column, units);
    if (place.unit >= hidden) return nullptr;
    return matrix + (static_cast<size_t>(place.gate) * static_cast<size_t>(hidden) +
                     static_cast<size_t>(place.unit)) *
                        static_cast<size_t>(length);
  }
  T* row_of(T* matrix, int length, int column) const {
    return const_cast<T*>(row_of(static_cast<const T*>(matrix), length, column));
  }
  // Sums of columns to where they belong in a bias, which may be null.
  void give_sums(const T* sums, int begin, int end, T* bias) const {
    for (int column = begin; bias != nullptr && column < end; ++column) {
      T* const to = row_of(bias, 1, column);
      if (to != nullptr) *to = sums[column];
    }
  }
};

// W_ih and W_hh, and the biases, for the products of forward.
template <template <class> class Cell, class T>
struct ForwardWeights {
  using C = Cell<T>;

  Packed<T> input, gates, candidate;
  T *bias, *candidate_bias;

  ForwardWeights(const Sizes<Cell, T>& sizes, Scratch<T>& scratch)
      : input(sizes.input, sizes.row, scratch),
        gates(sizes.hidden, C::kFused * sizes.units, scratch),
        candidate(sizes.hidden, C::kHasCandidate ? sizes.units : 0, scratch),
        bias(scratch.take(static_cast<size_t>(sizes.row))),
        candidate_bias(scratch.take(static_cast<size_t>(sizes.units))) {}

  // A thread's share; `bias` is that of the pre-activations or null, `b_hn` that of q or null.
  void pack(const Sizes<Cell, T>& sizes, const T* W_ih, const T* W_hh, const T* b, const T* b_hn,
            int thread, int threads) {
    const int I = sizes.input, H = sizes.hidden;
    pack_rows_as_columns(input, share(input.vectors(), thread, threads),
                         [&](int column) { return sizes.row_of(W_ih, I, column); });
    pack_rows_as_columns(gates, share(gates.vectors(), thread, threads),
                         [&](int column) { return sizes.row_of(W_hh, H, sizes.fused + column); });
    pack_rows_as_columns(candidate, share(candidate.vectors(), thread, threads),
                         [&](int column) { return sizes.row_of(W_hh, H, column); });
    if (thread != 0) return;
    for (int column = 0; column < sizes.row; ++column) {
      const T* const one = b == nullptr ? nullptr : sizes.row_of(b, 1, column);
      bias[column] = one == nullptr ? T(0) : *one;
    }
    for (int unit = 0; unit < sizes.units; ++unit) {
      candidate_bias[unit] = b_hn == nullptr || unit >= H ? T(0) : b_hn[unit];
    }
  }
};

// The same for the products of backward: with the transposes of what forward multiplies with.
template <template <class> class Cell, class T>
struct BackwardWeights {
  using C = Cell<T>;

  Packed<T> input, gates, candidate;

  BackwardWeights(const Sizes<Cell, T>& sizes, Scratch<T>& scratch)
      : input(sizes.row, sizes.input, scratch),
        gates(C::kHasQ ? sizes.row : C::kFused * sizes.units, sizes.units, scratch),
        candidate(C::kHasRh ? sizes.units : 0, sizes.units, scratch) {}

  void pack(const Sizes<Cell, T>& sizes, const T* W_ih, const T* W_hh, int thread, int threads) {
    const int I = sizes.input, H = sizes.hidden;
    pack_rows(input, share(input.vectors(), thread, threads), I,
              [&](int column) { return sizes.row_of(W_ih, I, column); });
    pack_rows(gates, share(gates.vectors(), thread, threads), H,
              [&](int column) { return sizes.row_of(W_hh, H, sizes.fused + column); });
    pack_rows(candidate, share(candidate.vectors(), thread, threads), H,
              [&](int column) { return sizes.row_of(W_hh, H, column); });
  }
};

}  // namespace refrnn
