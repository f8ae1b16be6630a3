// Copies a matrix with any strides into rows that lie one after the other: what a kernel that takes
// plain rows is given in the place of a view. One thread an element, a grid that is as large as the
// device likes it.
#include <cstdint>

namespace {

template <typename Word>
__device__ __forceinline__ void copy(Word* to, const char* from, std::int64_t rows,
                                     std::int64_t columns, std::int64_t row_stride,
                                     std::int64_t column_stride) {
  const std::int64_t step = static_cast<std::int64_t>(gridDim.x) * blockDim.x;
  std::int64_t i = static_cast<std::int64_t>(blockIdx.x) * blockDim.x + threadIdx.x;
  for (; i < rows * columns; i += step) {
    const char* element = from + i / columns * row_stride + i % columns * column_stride;
    to[i] = *reinterpret_cast<const Word*>(element);
  }
}

}  // namespace

extern "C" __global__ void contiguous_4(std::uint32_t* to, const char* from, std::int64_t rows,
                                        std::int64_t columns, std::int64_t row_stride,
                                        std::int64_t column_stride) {
  copy(to, from, rows, columns, row_stride, column_stride);
}

extern "C" __global__ void contiguous_8(std::uint64_t* to, const char* from, std::int64_t rows,
                                        std::int64_t columns, std::int64_t row_stride,
                                        std::int64_t column_stride) {
  copy(to, from, rows, columns, row_stride, column_stride);
}
