// Sums over rows and over chunks, and the state before each row: a thread owns a column, a warp 32
// neighbouring ones of one row, so that no request crosses the end of a row. Blocks are 32 x 4.
#pragma once

#include <cstdint>

namespace refrnn {
namespace products {

constexpr int kWarp = 32;
constexpr int kWarps = 4;

// out = parts[0] + parts[1] + ... in this order, each (rows, columns); with kOnto, out + parts[0] +
// ... instead: what does not fit the scratch memory at once is added in several launches.
template <typename T>
__device__ void add_chunks(const T* __restrict__ parts, int64_t part_pitch, int64_t pitch,
                           int64_t count, T* __restrict__ out, int64_t out_pitch, int64_t rows,
                           int64_t columns, int onto) {
  const unsigned column_tiles = static_cast<unsigned>((columns + kWarp - 1) / kWarp);
  const int64_t column = int64_t{blockIdx.x % column_tiles} * kWarp + threadIdx.x;
  const int64_t row = int64_t{blockIdx.x / column_tiles} * kWarps + threadIdx.y;
  if (row >= rows || column >= columns) return;
  const T* part = parts + row * pitch + column;
  T* place = out + row * out_pitch + column;
  T sum = onto != 0 ? *place : *part;
#pragma unroll 8
  for (int64_t i = onto != 0 ? 0 : 1; i < count; i++) sum += part[i * part_pitch];
  *place = sum;
}

// For each chunk of rows a row of sums over its rows, in increasing order from 0.
template <typename T>
__device__ void column_sums(const T* __restrict__ matrix, int64_t pitch, T* __restrict__ out,
                            int64_t out_pitch, int64_t rows, int64_t columns, int64_t chunk) {
  const unsigned column_tiles = static_cast<unsigned>((columns + kWarp - 1) / kWarp);
  const int64_t column = int64_t{blockIdx.x % column_tiles} * kWarp + threadIdx.x;
  const int64_t part = int64_t{blockIdx.x / column_tiles} * kWarps + threadIdx.y;
  const int64_t begin = part * chunk;
  // Without a row there is one chunk all the same, whose sums are 0.
  if (column >= columns || (part > 0 && begin >= rows)) return;
  const int64_t count = rows - begin < chunk ? rows - begin : chunk;
  const T* value = matrix + begin * pitch + column;
  T sum = 0;
#pragma unroll 16
  for (int64_t i = 0; i < count; i++) sum += value[i * pitch];
  out[part * out_pitch + column] = sum;
}

template <typename T>
__device__ void copy_row(const T* __restrict__ from, T* __restrict__ to, int64_t columns) {
  for (int64_t column = threadIdx.x; column < columns; column += kWarp) to[column] = from[column];
}

// Row r of `to` is row r - direction of `from`; the row that would come from outside is left.
template <typename T>
__device__ void shift_rows(const T* __restrict__ from, int64_t from_pitch, T* __restrict__ to,
                           int64_t to_pitch, int64_t rows, int64_t columns, int direction) {
  const int64_t lower = int64_t{blockIdx.x} * kWarps + threadIdx.y;
  if (lower + 1 >= rows) return;
  const int64_t source = direction > 0 ? lower : lower + 1;
  const int64_t target = direction > 0 ? lower + 1 : lower;
  copy_row(from + source * from_pitch, to + target * to_pitch, columns);
}

// Row s of `from` goes to the row at which sequence s, rows offsets[s] to offsets[s + 1], begins
// when it is stepped in `direction`.
template <typename T>
__device__ void scatter_first_rows(const T* __restrict__ from, int64_t from_pitch,
                                   const int64_t* __restrict__ offsets, T* __restrict__ to,
                                   int64_t to_pitch, int64_t sequences, int64_t columns,
                                   int direction) {
  const int64_t sequence = int64_t{blockIdx.x} * kWarps + threadIdx.y;
  if (sequence >= sequences) return;
  const int64_t begin = offsets[sequence];
  const int64_t end = offsets[sequence + 1];
  if (begin == end) return;
  const int64_t row = direction > 0 ? begin : end - 1;
  copy_row(from + sequence * from_pitch, to + row * to_pitch, columns);
}

}  // namespace products
}  // namespace refrnn
