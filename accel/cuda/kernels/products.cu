// The entries of products.cuh and row_sums.cuh, for float and double. Compiled with -fmad=false.
#include "products.cuh"
#include "row_sums.cuh"

#define REFRNN_PRODUCT(NAME, T, ALONG_A, ALONG_B)                                                  \
  extern "C" __global__ void __launch_bounds__(refrnn::products::kThreads,                         \
                                               refrnn::products::Tile<T>::kBlocks)                 \
      NAME(const T* a, int64_t pitch_a, const T* b, int64_t pitch_b, const T* bias, T* c,          \
           int64_t pitch_c, int64_t rows, int64_t columns, int64_t depth, int64_t chunk,           \
           int64_t chunk_pitch) {                                                                  \
    refrnn::products::product<T, ALONG_A, ALONG_B>(a, pitch_a, b, pitch_b, bias, c, pitch_c, rows, \
                                                   columns, depth, chunk, chunk_pitch);            \
  }

#define REFRNN_PRODUCTS(T, SUFFIX)                                                                 \
  REFRNN_PRODUCT(products_nt_##SUFFIX, T, true, true)                                              \
  REFRNN_PRODUCT(products_nn_##SUFFIX, T, true, false)                                             \
  REFRNN_PRODUCT(products_tn_##SUFFIX, T, false, false)                                            \
  extern "C" __global__ void products_add_chunks_##SUFFIX(                                         \
      const T* parts, int64_t part_pitch, int64_t pitch, int64_t count, T* out, int64_t out_pitch, \
      int64_t rows, int64_t columns, int onto) {                                                   \
    refrnn::products::add_chunks(parts, part_pitch, pitch, count, out, out_pitch, rows, columns,   \
                                 onto);                                                            \
  }                                                                                                \
  extern "C" __global__ void products_column_sums_##SUFFIX(const T* matrix, int64_t pitch, T* out, \
                                                           int64_t out_pitch, int64_t rows,        \
                                                           int64_t columns, int64_t chunk) {       \
    refrnn::products::column_sums(matrix, pitch, out, out_pitch, rows, columns, chunk);            \
  }                                                                                                \
  extern "C" __global__ void products_shift_rows_##SUFFIX(const T* from, int64_t from_pitch,       \
                                                          T* to, int64_t to_pitch, int64_t rows,   \
                                                          int64_t columns, int direction) {        \
    refrnn::products::shift_rows(from, from_pitch, to, to_pitch, rows, columns, direction);        \
  }                                                                                                \
  extern "C" __global__ void products_scatter_first_rows_##SUFFIX(                                 \
      const T* from, int64_t from_pitch, const int64_t* offsets, T* to, int64_t to_pitch,          \
      int64_t sequences, int64_t columns, int direction) {                                         \
    refrnn::products::scatter_first_rows(from, from_pitch, offsets, to, to_pitch, sequences,       \
                                         columns, direction);                                      \
  }

REFRNN_PRODUCTS(float, f32)
REFRNN_PRODUCTS(double, f64)
