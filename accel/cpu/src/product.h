// Products of rows with a matrix, in tiles of sums that stay in registers.
//
// Every sum is one chain of fused multiply-adds in the order of the rows' columns. So a row's
// products have the same bits whatever rows are beside it, however rows and columns are dealt to
// threads, and whichever vectors the instruction set has, if it has fused multiply-adds.
#pragma once

#include "scratch.h"

namespace refrnn {

// a * b + c: rounded once where the instruction set does that.
template <class T>
inline Vector<T> multiply_add(Vector<T> a, Vector<T> b, Vector<T> c) {
#if defined(__FMA__) || defined(__aarch64__)
  return fma(a, b, c);
#else
  return a * b + c;
#endif
}

constexpr int kBlockRows =
    512;  // of a matrix, which are multiplied at a time: L2 holds their panel

// A matrix of `depth` rows, laid out as tiles read it: panels of kTileVectors vectors of columns,
// of each panel row after row. The last panel may be narrower.
template <class T>
class Packed {
 public:
  Packed(int depth, int columns, Scratch<T>& scratch)
      : depth_(depth),
        vectors_(divided_up(columns, kWidth<T>)),
        begin_(
            scratch.take(static_cast<size_t>(depth) * static_cast<size_t>(vectors_) * kWidth<T>)) {}

  int depth() const { return depth_; }
  int vectors() const { return vectors_; }
  // Of the panel that begins with this vector of columns.
  int width(int vector) const { return std::min(kTileVectors, vectors_ - vector) * kWidth<T>; }
  const T* panel(int vector) const { return begin_ + offset(vector); }
  // Where `kWidth` numbers of a row lie, next to each other.
  T* at(int row, int vector) {
    const int first = vector / kTileVectors * kTileVectors;
    return begin_ + offset(first) + static_cast<size_t>(row) * static_cast<size_t>(width(first)) +
           (vector - first) * kWidth<T>;
  }

 private:
  size_t offset(int vector) const {
    return static_cast<size_t>(vector) * kWidth<T> * static_cast<size_t>(depth_);
  }

  int depth_, vectors_;
  T* begin_;
};

// Where sums begin.
enum class Start { kThere, kZero, kBias };

// Rows that are multiplied, and rows of sums.
template <class T>
struct Rows {
  const T* const* in;
  T* const* out;
  int count;
};

namespace tiles {

// Sums of ROWS rows and VECTORS vectors of columns.
template <class T, int ROWS, int VECTORS>
class Tile {
 public:
  // `from(r)` points to where those of a row begin.
  template <class From>
  void load_from(From from) {
    repeat<ROWS>([&](auto r) {
      const T* const row = from(r);
      repeat<VECTORS>([&](auto v) { sum_[r][v] = load(row + v * kWidth<T>); });
    });
  }
  template <class To>
  void store_to(To to) const {
    repeat<ROWS>([&](auto r) {
      T* const row = to(r);
      repeat<VECTORS>([&](auto v) { store(row + v * kWidth<T>, sum_[r][v]); });
    });
  }
  // `number(r, k)`: of a row; the panel's rows are as wide as the tile.
  template <class Number>
  void add_products(int depth, const T* panel, Number number) {
    for (int k = 0; k < depth; ++k, panel += VECTORS * kWidth<T>) {
      Vector<T> columns[VECTORS];
      repeat<VECTORS>([&](auto v) { columns[v] = load(panel + v * kWidth<T>); });
      repeat<ROWS>([&](auto r) {
        const Vector<T> one = broadcast<Vector<T>>(number(r, k));
        repeat<VECTORS>([&](auto v) { sum_[r][v] = multiply_add<T>(one, columns[v], sum_[r][v]); });
      });
    }
  }

 private:
  Vector<T> sum_[ROWS][VECTORS] = {};
};

// in[r][first .. first + depth) times the panel. Flattened, or the sums would be in memory.
template <class T, int ROWS, int VECTORS>
REFRNN_FLAT void multiply(const T* const* in, int first, int depth, const T* panel, T* const* out,
                          int column, Start start, const T* bias) {
  Tile<T, ROWS, VECTORS> tile;
  if (start == Start::kThere) tile.load_from([&](int r) { return out[r] + column; });
  if (start == Start::kBias) tile.load_from([&](int) { return bias + column; });
  const T* row[ROWS];
  repeat<ROWS>([&](auto r) { row[r] = in[r] + first; });
  tile.add_products(depth, panel, [&](auto r, int k) { return row[r][k]; });
  tile.store_to([&](int r) { return out[r] + column; });
}

template <class T>
using Multiply = void (*)(const T* const*, int, int, const T*, T* const*, int, Start, const T*);

// By rows and vectors, each one less.
template <class T, int... VECTORS>
constexpr void fill(Multiply<T> (&table)[kTileRows][kTileVectors],
                    std::integer_sequence<int, VECTORS...>) {
  ((table[0][VECTORS] = multiply<T, 1, VECTORS + 1>,
    table[1][VECTORS] = multiply<T, 2, VECTORS + 1>,
    table[2][VECTORS] = multiply<T, 3, VECTORS + 1>,
    table[3][VECTORS] = multiply<T, 4, VECTORS + 1>,
    table[4][VECTORS] = multiply<T, 5, VECTORS + 1>,
    table[5][VECTORS] = multiply<T, 6, VECTORS + 1>),
   ...);
}

template <class T>
struct Table {
  Multiply<T> of[kTileRows][kTileVectors] = {};
  constexpr Table() { fill<T>(of, std::make_integer_sequence<int, kTileVectors>()); }
};

}  // namespace tiles

// Vectors of columns `first` to `end` of rows times a matrix. `first` begins a panel. Rows of sums
// are as long as whole vectors.
template <class T>
void multiply(const Packed<T>& matrix, int first, int end, const Rows<T>& rows, Start start,
              const T* bias = nullptr) {
  static constexpr tiles::Table<T> kTable;
  const int count = divided_up(rows.count, kTileRows);  // of tiles: rows are spread over them
  for (int vector = first; vector < end; vector += kTileVectors) {
    const int width = matrix.width(vector);
    const auto& of_rows = kTable.of;
    for (int k = 0; k == 0 || k < matrix.depth(); k += kBlockRows) {
      const T* const panel =
          matrix.panel(vector) + static_cast<size_t>(k) * static_cast<size_t>(width);
      const int depth = std::min(kBlockRows, matrix.depth() - k);
      for (int tile = 0, row = 0; tile < count; ++tile) {
        const int height = (rows.count - row) / (count - tile);
        of_rows[height - 1][width / kWidth<T> - 1](rows.in + row, k, depth, panel, rows.out + row,
                                                   vector * kWidth<T>,
                                                   k == 0 ? start : Start::kThere, bias);
        row += height;
      }
    }
  }
}

}  // namespace refrnn
