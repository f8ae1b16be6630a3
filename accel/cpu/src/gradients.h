// Gradients of the matrices: sums over all rows, of every cotangent times every input.
//
// Each number is one chain of multiply-adds over the rows in the order of the batch, whatever the
// number of threads.
#pragma once

#include "product.h"
#include "weights.h"

namespace refrnn {

// Rows of numbers, one after the other.
template <class T>
struct Matrix {
  const T* numbers;
  std::int64_t rows;
  size_t length;  // of a row
};

template <class T>
class WeightGradient {
 public:
  // For inputs of so many numbers.
  WeightGradient(int inputs, Scratch<T>& scratch)
      : inputs_(inputs),
        packed_(scratch.take(static_cast<size_t>(
            std::min(divided_up(inputs, kWidth<T>), kBlockVectors) * kWidth<T> * kRows))),
        strips_(scratch.take(kStrip * kRows)),
        nowhere_(scratch.take(static_cast<size_t>(rounded_up<T>(inputs)))) {}

  // d_a^T times the inputs; columns of d_a in `range` only. `out(column)` points to the row of the
  // result that is of a column, as long as whole groups, or is null where that is of no use;
  // `input(row)` points to the inputs of a row.
  template <class Out, class Input>
  void run(Matrix<T> d_a, Range range, Out out, Input input) const {
    if (range.begin >= range.end) return;
    const int vectors = divided_up(inputs_, kWidth<T>);
    for (int first = 0; first < vectors; first += kBlockVectors) {
      const int end = std::min(vectors, first + kBlockVectors);
      for (std::int64_t row = 0; row < d_a.rows; row += kRows) {
        const int count = static_cast<int>(std::min<std::int64_t>(kRows, d_a.rows - row));
        pack_inputs(first, end, row, count, input);
        for (int column = range.begin; column < range.end; column += kStrip) {
          const int width = std::min(kStrip, range.end - column);
          pack_strip(d_a, row, count, column, width);
          for (int tile = 0; tile < width; tile += kTileRows) {
            const int height = std::min(kTileRows, width - tile);
            T* rows[kTileRows];
            for (int r = 0; r < height; ++r) {
              T* const found = out(column + tile + r);
              rows[r] = found == nullptr ? nowhere_ : found;
            }
            add_tile(strips_ + tile * kRows, height, count, first, end, rows, row > 0);
          }
        }
      }
    }
  }

 private:
  // At a time: rows of the batch, vectors of inputs (half of L2), columns of d_a.
  static constexpr int kRows = 256, kBlockVectors = 2048 / kVectorBytes, kStrip = 8 * kTileRows;

  // Panels of kTileVectors vectors, row after row.
  template <class Input>
  void pack_inputs(int first, int end, std::int64_t row, int count, Input input) const {
    for (int k = 0; k < count; ++k) {
      const T* const from = input(row + k);
      for (int vector = first; vector < end; ++vector) {
        const int panel = (vector - first) / kTileVectors * kTileVectors;
        const int width = std::min(kTileVectors, end - first - panel);
        T* const to = packed_ +
                      static_cast<size_t>(panel * kWidth<T>) * static_cast<size_t>(count) +
                      (k * width + vector - first - panel) * kWidth<T>;
        store(to, load(from + vector * kWidth<T>, inputs_ - vector * kWidth<T>));
      }
    }
  }

  // Tiles of kTileRows columns, row after row; the last columns of the last tile may be anything.
  void pack_strip(Matrix<T> d_a, std::int64_t row, int count, int column, int width) const {
    for (int k = 0; k < count; ++k) {
      const T* const from =
          d_a.numbers + static_cast<size_t>(row + k) * d_a.length + static_cast<size_t>(column);
      for (int tile = 0; tile < width; tile += kTileRows) {
        T* const to = strips_ + tile * kRows + k * kTileRows;
        if (width - tile >= kTileRows) {
          std::memcpy(to, from + tile, kTileRows * sizeof(T));
        } else {
          std::copy(from + tile, from + width, to);
        }
      }
    }
  }

  // `height` rows of the result: a tile's columns times all packed inputs.
  void add_tile(const T* strip, int height, int count, int first, int end, T* const* out,
                bool is_begun) const {
    for (int vector = first; vector < end; vector += kTileVectors) {
      const int width = std::min(kTileVectors, end - vector);
      const T* const panel =
          packed_ + static_cast<size_t>((vector - first) * kWidth<T>) * static_cast<size_t>(count);
      kTable.of[height - 1][width - 1](strip, count, panel, out, vector * kWidth<T>, is_begun);
    }
  }

  using Add = void (*)(const T*, int, const T*, T* const*, int, bool);

  template <int ROWS, int VECTORS>
  REFRNN_FLAT static void add(const T* strip, int count, const T* panel, T* const* out, int column,
                              bool is_begun) {
    tiles::Tile<T, ROWS, VECTORS> tile;
    if (is_begun) tile.load_from([&](int r) { return out[r] + column; });
    tile.add_products(count, panel, [&](int r, int k) { return strip[k * kTileRows + r]; });
    tile.store_to([&](int r) { return out[r] + column; });
  }

  struct Table {
    Add of[kTileRows][kTileVectors] = {};
    constexpr Table() { fill(std::make_integer_sequence<int, kTileVectors>()); }
    template <int... VECTORS>
    constexpr void fill(std::integer_sequence<int, VECTORS...>) {
      ((of[0][VECTORS] = add<1, VECTORS + 1>, of[1][VECTORS] = add<2, VECTORS + 1>,
        of[2][VECTORS] = add<3, VECTORS + 1>, of[3][VECTORS] = add<4, VECTORS + 1>,
        of[4][VECTORS] = add<5, VECTORS + 1>, of[5][VECTORS] = add<6, VECTORS + 1>),
       ...);
    }
  };
  static constexpr Table kTable{};

  int inputs_;
  T *packed_, *strips_, *nowhere_;
};

// Sums of rows: vectors of columns in `range`, each one chain.
template <class T>
void sum_rows(Matrix<T> of, Range range, T* sums) {
  constexpr int kTogether = 8;
  for (int first = range.begin; first < range.end; first += kTogether) {
    const int count = std::min(kTogether, range.end - first);
    Vector<T> sum[kTogether] = {};
    for (std::int64_t row = 0; row < of.rows; ++row) {
      const T* const from = of.numbers + static_cast<size_t>(row) * of.length + first * kWidth<T>;
      for (int n = 0; n < count; ++n) sum[n] += load(from + n * kWidth<T>);
    }
    for (int n = 0; n < count; ++n) store(sums + (first + n) * kWidth<T>, sum[n]);
  }
}

}  // namespace refrnn
