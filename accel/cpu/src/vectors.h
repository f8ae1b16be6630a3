// Vectors as wide as the instruction set that this file is compiled for.
#pragma once

#include <refrnn/pointwise.h>

#include <algorithm>

// Of a function that has all it calls inlined; not where every access is checked, which takes
// minutes to compile then and is not to be fast.
#if defined(__SANITIZE_ADDRESS__)
#define REFRNN_FLAT
#else
#define REFRNN_FLAT [[gnu::flatten]]
#endif

namespace refrnn {

// Bytes of a vector, and how large a tile of sums the registers hold: rows, and vectors of a row.
#if defined(__AVX512F__)
constexpr int kVectorBytes = 64, kTileRows = 6, kTileVectors = 4;
#elif defined(__AVX2__)
constexpr int kVectorBytes = 32, kTileRows = 6, kTileVectors = 2;
#elif defined(__aarch64__)
constexpr int kVectorBytes = 16, kTileRows = 6, kTileVectors = 4;
#else
constexpr int kVectorBytes = 16, kTileRows = 6, kTileVectors = 2;
#endif

// do_one(0) to do_one(N - 1), where each number is a constant: a compiler keeps an array that is
// only ever asked for constant places in registers, and does not unroll loops early enough for
// that.
template <class Do, int... NUMBERS>
inline void repeat(Do do_one, std::integer_sequence<int, NUMBERS...>) {
  (do_one(std::integral_constant<int, NUMBERS>()), ...);
}
template <int N, class Do>
inline void repeat(Do do_one) {
  repeat(do_one, std::make_integer_sequence<int, N>());
}

template <class T>
struct VectorOf {
  typedef T type __attribute__((vector_size(kVectorBytes)));
};
template <class T>
using Vector = typename VectorOf<T>::type;

// Numbers of a vector.
template <class T>
constexpr int kWidth = kVectorBytes / static_cast<int>(sizeof(T));

// Numbers that are laid out together: those of the widest vectors there are, whichever are
// compiled for, so that sums have the same order and the same bits with all of them.
template <class T>
constexpr int kGroup = 64 / static_cast<int>(sizeof(T));
constexpr int kGroupVectors = 64 / kVectorBytes;

constexpr int divided_up(int n, int by) { return (n + by - 1) / by; }
// To whole groups.
template <class T>
constexpr int rounded_up(int n) {
  return divided_up(n, kGroup<T>) * kGroup<T>;
}

template <class T>
inline Vector<T> load(const T* from) {
  Vector<T> vector;
  std::memcpy(&vector, from, sizeof vector);
  return vector;
}
template <class T>
inline void store(T* to, Vector<T> vector) {
  std::memcpy(to, &vector, sizeof vector);
}

// The same where only the first `count` numbers are there, none if it is negative; the others are
// taken for 0.
template <class T>
inline Vector<T> load(const T* from, int count) {
  if (count >= kWidth<T>) return load(from);
  Vector<T> vector = {};
  if (count > 0) std::memcpy(&vector, from, sizeof(T) * static_cast<unsigned>(count));
  return vector;
}
template <class T>
inline void store(T* to, Vector<T> vector, int count) {
  if (count >= kWidth<T>) return store(to, vector);
  if (count > 0) std::memcpy(to, &vector, sizeof(T) * static_cast<unsigned>(count));
}
// The first `count` numbers, and 0 after them.
template <class T>
inline Vector<T> first_of(Vector<T> vector, int count) {
  return count >= kWidth<T> ? vector : load(reinterpret_cast<const T*>(&vector), count);
}

// Numbers of a and b by their places, those of b after those of a.
template <class T, int... PLACES>
inline Vector<T> chosen(Vector<T> a, Vector<T> b, std::integer_sequence<int, PLACES...>) {
#if defined(__clang__)
  return __builtin_shufflevector(a, b, PLACES...);
#else
  using Places = decltype(a < b);
  return __builtin_shuffle(a, b, Places{PLACES...});
#endif
}

// Exchanges blocks of SIZE by SIZE numbers that lie across the diagonal, for each place in a
// vector.
template <class T, int SIZE, int... N>
inline void exchange(Vector<T>& a, Vector<T>& b, std::integer_sequence<int, N...>) {
  const Vector<T> first = chosen<T>(
      a, b, std::integer_sequence<int, ((N & SIZE) != 0 ? kWidth<T> + N - SIZE : N)...>());
  b = chosen<T>(a, b,
                std::integer_sequence<int, ((N & SIZE) != 0 ? kWidth<T> + N : N + SIZE)...>());
  a = first;
}

// Rows become columns.
template <class T, int SIZE = kWidth<T> / 2>
inline void transpose(Vector<T> (&rows)[kWidth<T>]) {
  if constexpr (SIZE > 0) {
    repeat<kWidth<T>>([&](auto n) {
      constexpr int kRow = decltype(n)::value;
      if constexpr ((kRow & SIZE) == 0) {
        exchange<T, SIZE>(rows[kRow], rows[kRow + SIZE],
                          std::make_integer_sequence<int, kWidth<T>>());
      }
    });
    transpose<T, SIZE / 2>(rows);
  }
}

}  // namespace refrnn
