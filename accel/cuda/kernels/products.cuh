// Matrix products and sums of which every bit is fixed: an element is one chain of fused
// multiply-adds over k in increasing order that begins at 0. Tiles, grids and neighbours do not
// enter: the tail of k is cut off, not padded, since adding 0 would turn -0 into 0.
//
// Everything is row-major. A block makes a tile of C; blocks are numbered by column tile, then row
// tile, then chunk of k.
#pragma once

#include <cstdint>

namespace refrnn {
namespace products {

constexpr int kThreadRows = 16;
constexpr int kThreadColumns = 8;  // in a warp 4 x 8: it reads the fewest words of A and B
constexpr int kThreads = kThreadRows * kThreadColumns;
constexpr int kTileColumns = 64;
constexpr int kDepth = 8;  // of k that lie in shared memory at once

__device__ inline float fused(float a, float b, float c) { return __fmaf_rn(a, b, c); }
__device__ inline double fused(double a, double b, double c) { return __fma_rn(a, b, c); }

// 16 bytes, the widest access to shared memory.
template <typename T>
struct alignas(16) Vector {
  static constexpr int kSize = 16 / sizeof(T);
  T values[kSize];
};

// A thread owns groups of kVector x kVector elements that lie a whole row or column of threads
// apart: so a warp reads neighbouring vectors. 64 registers hold the elements of either type.
template <typename T>
struct Tile {
  static constexpr int kVector = Vector<T>::kSize;
  static constexpr int kRowGroups = 2;
  static constexpr int kGroupRows = kThreadRows * kVector;
  static constexpr int kGroupColumns = kThreadColumns * kVector;
  static constexpr int kColumnGroups = kTileColumns / kGroupColumns;
  static constexpr int kRows = kRowGroups * kGroupRows;  // 128 of float, 64 of double
  // Rows of shared memory are a vector longer: what is transposed on its way is stored without
  // conflicts.
  static constexpr int kPitchA = kRows + kVector;
  static constexpr int kPitchB = kTileColumns + kVector;
  // A multiprocessor holds as many blocks as registers allow without spilling; units for double
  // are so few that two keep them busy.
  static constexpr int kBlocks = sizeof(T) == 4 ? 3 : 2;
};

// The tiles of A and B, twice: one is filled while the other is read. At the end C goes through the
// same memory, one group of rows after the other, to be written in whole sectors.
template <typename T>
union SharedTiles {
  struct {
    T a[2][kDepth][Tile<T>::kPitchA];
    T b[2][kDepth][Tile<T>::kPitchB];
  } in;
  T out[Tile<T>::kGroupRows][Tile<T>::kPitchB];
};

// Carries tiles of one operand, kExtent rows of A or columns of B by kDepth of k, from global
// memory through registers to shared memory. kAlong: k runs along the rows in memory, so that the
// tile is transposed on its way.
template <typename T, int kExtent, bool kAlong>
class Carrier {
 public:
  __device__ Carrier(const T* operand, int64_t pitch, int64_t first, int64_t extent) {
    const int thread = threadIdx.x;
    k_ = kAlong ? thread % kDepth : thread / kExtent;
    index_ = kAlong ? thread / kDepth : thread % kExtent;
    const int64_t left = extent - first;
    left_ = left < kExtent ? static_cast<int>(left) : kExtent;
    const int64_t row = kAlong ? first + index_ : k_;
    const int64_t column = kAlong ? k_ : first + index_;
    source_ = operand + row * pitch + column;
    step_ = pitch * (kAlong ? kIndexStep : kStep);
    advance_ = kAlong ? kDepth : pitch * kDepth;
  }

  // The next tile, of which `depth` of k exist; zeros stand for what does not.
  __device__ void load(int64_t depth) {
#pragma unroll
    for (int i = 0; i < kCount; i++) {
      const bool exists = kAlong ? k_ < depth && index_ + i * kIndexStep < left_
                                 : k_ + i * kStep < depth && index_ < left_;
      values_[i] = exists ? source_[i * step_] : T(0);
    }
    source_ += advance_;
  }

  template <int kPitch>
  __device__ void store(T (&tile)[kDepth][kPitch]) const {
#pragma unroll
    for (int i = 0; i < kCount; i++) {
      if (kAlong) {
        tile[k_][index_ + i * kIndexStep] = values_[i];
      } else {
        tile[k_ + i * kStep][index_] = values_[i];
      }
    }
  }

 private:
  static constexpr int kCount = kExtent * kDepth / kThreads;
  static constexpr int kIndexStep = kThreads / kDepth;
  static constexpr int kStep = kThreads / kExtent;  // of k

  const T* source_;
  int64_t step_, advance_;
  int k_, index_, left_;
  T values_[kCount];
};

// The elements of C that a thread owns.
template <typename T>
struct Elements {
  using Shape = Tile<T>;
  T values[Shape::kRowGroups][Shape::kVector][Shape::kColumnGroups][Shape::kVector] = {};

  // One step of every chain.
  __device__ void add(const T* a, const T* b) {
    Vector<T> of_a[Shape::kRowGroups], of_b[Shape::kColumnGroups];
#pragma unroll
    for (int g = 0; g < Shape::kRowGroups; g++) {
      of_a[g] = *reinterpret_cast<const Vector<T>*>(a + g * Shape::kGroupRows);
    }
#pragma unroll
    for (int g = 0; g < Shape::kColumnGroups; g++) {
      of_b[g] = *reinterpret_cast<const Vector<T>*>(b + g * Shape::kGroupColumns);
    }
#pragma unroll
    for (int g = 0; g < Shape::kRowGroups; g++) {
#pragma unroll
      for (int i = 0; i < Shape::kVector; i++) {
#pragma unroll
        for (int e = 0; e < Shape::kColumnGroups; e++) {
#pragma unroll
          for (int j = 0; j < Shape::kVector; j++) {
            T& sum = values[g][i][e][j];
            sum = fused(of_a[g].values[i], of_b[e].values[j], sum);
          }
        }
      }
    }
  }

  __device__ void put(int group, T* out) const {
#pragma unroll
    for (int i = 0; i < Shape::kVector; i++) {
#pragma unroll
      for (int e = 0; e < Shape::kColumnGroups; e++) {
        Vector<T> vector;
#pragma unroll
        for (int j = 0; j < Shape::kVector; j++) vector.values[j] = values[group][i][e][j];
        T* place = out + i * Shape::kPitchB + e * Shape::kGroupColumns;
        *reinterpret_cast<Vector<T>*>(place) = vector;
      }
    }
  }
};

// Writes what exists of the tile of C at (first_row, first_column), with the bias if there is one.
template <typename T>
__device__ void write_tile(const Elements<T>& sums, SharedTiles<T>& shared, const T* bias, T* c,
                           int64_t pitch, int64_t first_row, int64_t first_column, int64_t rows,
                           int64_t columns) {
  using Shape = Tile<T>;
  constexpr int kStep = kThreads / kTileColumns;
  const int thread = threadIdx.x;
  const int own_row = thread / kThreadColumns * Shape::kVector;
  const int own_column = thread % kThreadColumns * Shape::kVector;
  const int column = thread % kTileColumns;
  const bool exists = first_column + column < columns;
  const T shift = bias != nullptr && exists ? bias[first_column + column] : T(0);
#pragma unroll
  for (int g = 0; g < Shape::kRowGroups; g++) {
    if (g != 0) __syncthreads();
    sums.put(g, &shared.out[own_row][own_column]);
    __syncthreads();
    const int64_t first = first_row + g * Shape::kGroupRows;
    T* place = c + first * pitch + first_column + column;
#pragma unroll 4
    for (int row = thread / kTileColumns; row < Shape::kGroupRows; row += kStep) {
      if (!exists || first + row >= rows) break;
      const T sum = shared.out[row][column];
      place[row * pitch] = bias != nullptr ? sum + shift : sum;
    }
  }
}

// C (rows, columns) = A . B + bias over `depth` of k. kAlongA: A is (rows, depth), else the
// transpose of (depth, rows). kAlongB: B is the transpose of (columns, depth), else (depth,
// columns). Every `chunk` of k makes a C of its own, `chunk_pitch` elements after the last.
template <typename T, bool kAlongA, bool kAlongB>
__device__ void product(const T* __restrict__ a, int64_t pitch_a, const T* __restrict__ b,
                        int64_t pitch_b, const T* __restrict__ bias, T* __restrict__ c,
                        int64_t pitch_c, int64_t rows, int64_t columns, int64_t depth,
                        int64_t chunk, int64_t chunk_pitch) {
  using Shape = Tile<T>;
  __shared__ SharedTiles<T> shared;
  const unsigned column_tiles = static_cast<unsigned>((columns + kTileColumns - 1) / kTileColumns);
  const unsigned row_tiles = static_cast<unsigned>((rows + Shape::kRows - 1) / Shape::kRows);
  const unsigned block = blockIdx.x / column_tiles;
  const int64_t first_column = int64_t{blockIdx.x % column_tiles} * kTileColumns;
  const int64_t first_row = int64_t{block % row_tiles} * Shape::kRows;
  const int64_t part = block / row_tiles;

  const int64_t begin = part * chunk;
  Carrier<T, Shape::kRows, kAlongA> from_a(a + begin * (kAlongA ? 1 : pitch_a), pitch_a, first_row,
                                           rows);
  Carrier<T, kTileColumns, kAlongB> from_b(b + begin * (kAlongB ? 1 : pitch_b), pitch_b,
                                           first_column, columns);
  const int own_row = threadIdx.x / kThreadColumns * Shape::kVector;
  const int own_column = threadIdx.x % kThreadColumns * Shape::kVector;
  Elements<T> sums;

  int64_t left = depth - begin < chunk ? depth - begin : chunk;
  if (left > 0) {
    from_a.load(left);
    from_b.load(left);
    from_a.store(shared.in.a[0]);
    from_b.store(shared.in.b[0]);
    __syncthreads();
  }
  for (int now = 0; left > 0; now ^= 1, left -= kDepth) {
    if (left > kDepth) {
      from_a.load(left - kDepth);
      from_b.load(left - kDepth);
    }
    if (left >= kDepth) {
#pragma unroll
      for (int k = 0; k < kDepth; k++) {
        sums.add(&shared.in.a[now][k][own_row], &shared.in.b[now][k][own_column]);
      }
    } else {
#pragma unroll 1
      for (int k = 0; k < static_cast<int>(left); k++) {
        sums.add(&shared.in.a[now][k][own_row], &shared.in.b[now][k][own_column]);
      }
    }
    if (left > kDepth) {
      from_a.store(shared.in.a[now ^ 1]);
      from_b.store(shared.in.b[now ^ 1]);
    }
    __syncthreads();
  }
  write_tile(sums, shared, bias, c + part * chunk_pitch, pitch_c, first_row, first_column, rows,
             columns);
}

}  // namespace products
}  // namespace refrnn
