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
  size_t length;  // of a row
};

template <class T>
class WeightGradient {
 public:
  // Of `rows` rows of a batch, whose inputs have `inputs` numbers.
  WeightGradient(std::int64_t rows, int inputs) : rows_(rows), inputs_(inputs) {}

  // Adds d_a^T times the inputs to `out`, of which row m is that of column m of `d_a`, and as long
  // as whole groups; columns in `range` only. `input(row)` points to the inputs of a row.
  template <class Input>
  void run(Matrix<T> d_a, Range range, T* out, Input input) const {
    if (range.begin >= range.end) return;
    const int vectors = divided_up(inputs_, kWidth<T>), length = rounded_up<T>(inputs_);
    const int block = std::min(vectors, kBlockVectors);
    std::vector<T> packed(static_cast<size_t>(block * kWidth<T> * kRows));
    std::vector<T> strips(static_cast<size_t>(kStrip * kRows));
    for (int first = 0; first < vectors; first += block) {
      const int end = std::min(vectors, first + block);
      for (std::int64_t row = 0; row < rows_; row += kRows) {
        const int count = static_cast<int>(std::min<std::int64_t>(kRows, rows_ - row));
        pack_inputs(packed.data(), first, end, row, count, input);
        for (int column = range.begin; column < range.end; column += kStrip) {
          const int width = std::min(kStrip, range.end - column);
          pack_strip(strips.data(), d_a, row, count, column, width);
          for (int tile = 0; tile < width; tile += kTileRows) {
            add_tile(strips.data() + tile * kRows, std::min(kTileRows, width - tile), count,
                     packed.data(), first, end,
                     out + static_cast<size_t>(column + tile) * static_cast<size_t>(length),
                     length);
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
  void pack_inputs(T* packed, int first, int end, std::int64_t row, int count, Input input) const {
    for (int k = 0; k < count; ++k) {
      const T* const from = input(row + k);
      for (int vector = first; vector < end; ++vector) {
        const int panel = (vector - first) / kTileVectors * kTileVectors;
        const int width = std::min(kTileVectors, end - first - panel);
        T* const to = packed + static_cast<size_t>(panel * kWidth<T>) * static_cast<size_t>(count) +
                      (k * width + vector - first - panel) * kWidth<T>;
        store(to, load(from + vector * kWidth<T>, inputs_ - vector * kWidth<T>));
      }
    }
  }

  // Tiles of kTileRows columns, row after row; the last columns of the last tile may be anything.
  static void pack_strip(T* strips, Matrix<T> d_a, std::int64_t row, int count, int column,
                         int width) {
    for (int k = 0; k < count; ++k) {
      const T* const from =
          d_a.numbers + static_cast<size_t>(row + k) * d_a.length + static_cast<size_t>(column);
      for (int tile = 0; tile < width; tile += kTileRows) {
        T* const to = strips + tile * kRows + k * kTileRows;
        if (width - tile >= kTileRows) {
          std::memcpy(to, from + tile, kTileRows * sizeof(T));
        } else {
          std::copy(from + tile, from + width, to);
        }
      }
    }
  }

  // `height` rows of `out`: a tile's columns times all packed inputs.
  static void add_tile(const T* strip, int height, int count, const T* packed, int first, int end,
                       T* out, int length) {
    T* rows[kTileRows];
    for (int r = 0; r < kTileRows; ++r) rows[r] = out + std::min(r, height - 1) * length;
    for (int vector = first; vector < end; vector += kTileVectors) {
      const int width = std::min(kTileVectors, end - vector);
      const T* const panel =
          packed + static_cast<size_t>((vector - first) * kWidth<T>) * static_cast<size_t>(count);
      kTable.of[height - 1][width - 1](strip, count, panel, rows, vector * kWidth<T>);
    }
  }

  using Add = void (*)(const T*, int, const T*, T* const*, int);

  template <int ROWS, int VECTORS>
  REFRNN_FLAT static void add(const T* strip, int count, const T* panel, T* const* out,
                              int column) {
    tiles::Tile<T, ROWS, VECTORS> tile;
    tile.load_from([&](int r) { return out[r] + column; });
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

  std::int64_t rows_;
  int inputs_;
};

// Sums of rows: vectors of columns in `range`, each one chain.
template <class T>
void sum_rows(const T* numbers, std::int64_t rows, int length, Range range, T* sums) {
  constexpr int kTogether = 8;
  for (int first = range.begin; first < range.end; first += kTogether) {
    const int count = std::min(kTogether, range.end - first);
    Vector<T> sum[kTogether] = {};
    for (std::int64_t row = 0; row < rows; ++row) {
      const T* const from =
          numbers + static_cast<size_t>(row) * static_cast<size_t>(length) + first * kWidth<T>;
      for (int n = 0; n < count; ++n) sum[n] += load(from + n * kWidth<T>);
    }
    for (int n = 0; n < count; ++n) store(sums + (first + n) * kWidth<T>, sum[n]);
  }
}

}  // namespace refrnn
