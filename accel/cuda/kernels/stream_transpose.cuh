// The transpose of W_hh, read at every step, times the cotangents of the lanes.
//
// A block goes over all units for 32 vectors of columns at a time, a tile. A leaf is what one warp
// sums in registers: neighbouring units, a power of two. A round is a leaf of each warp. The sums
// of rounds are added as the digits of a binary counter are carried, so that all of it is one
// binary tree over the units, neighbours first.
#pragma once

#include "stream.cuh"

namespace refrnn {

// Of one unit, those of the gates that are multiplied, as few loads.
template <class T, int COUNT>
struct alignas(power_of_two_from(COUNT) * sizeof(T) < 16 ? power_of_two_from(COUNT) * sizeof(T)
                                                         : 16) UnitCotangents {
  T at[power_of_two_from(COUNT)];
};

template <class Stream>
class StreamedTranspose {
 public:
  using T = typename Stream::T;

  // Of shared memory: beside these, kValues numbers of each thread for every digit of the counter.
  static constexpr int kSumVectors = 2 * Stream::kWarps * Stream::kLanes * 32;
  static constexpr int kLeaf = Stream::kGates <= 2 ? 32 : 16;  // units
  static constexpr int kCotangents =
      Stream::kWarps * Stream::kLanes * kLeaf * power_of_two_from(Stream::kGates);

  __device__ StreamedTranspose(const Vector<T>* packed, int hidden_size, char* shared)
      : weights_(packed, hidden_size), hidden_size_(hidden_size) {
    sums_ = reinterpret_cast<Vector<T>*>(shared);
    cotangents_ = reinterpret_cast<T*>(sums_ + kSumVectors);
    digits_ = cotangents_ + kCotangents;
  }

  // The products of the transpose of gates FIRST to FIRST + COUNT - 1 with cotangents(lane, gate),
  // which are H numbers, passed to take(unit, lane, sum).
  template <int FIRST, int COUNT, class Cotangents, class Take>
  __device__ void multiply(unsigned active, Cotangents cotangents, Take take) {
    const int leaves = (hidden_size_ + kLeaf - 1) / kLeaf;
    const int tiles = (weights_.positions() + kSpan - 1) / kSpan;
    for (int tile = 0; tile < tiles; ++tile) {
      int round = 0;
      for (int first = 0; first < leaves; first += Stream::kWarps, ++round) {
        const int leaf = first + Stream::warp();
        if (leaf < leaves) {
          stage<COUNT>(active, leaf * kLeaf, cotangents);
          add_leaf<FIRST, COUNT>(active, tile, leaf * kLeaf);
        }
        __syncthreads();
        count(active, round, min(leaves - first, Stream::kWarps));
        which_ = 1 - which_;
      }
#pragma unroll
      for (int n = 0; n < kValues; ++n) {
        const int column = tile * kTile + value(n) % kTile;
        if (is_wanted(active, n) && column < hidden_size_) {
          take(column, value(n) / kTile, total(n, round));
        }
      }
    }
  }

 private:
  static constexpr int kSpan = Stream::kUnitsOfWarp;      // positions of a tile
  static constexpr int kTile = 32 * Stream::kVectorSize;  // columns of a tile
  static constexpr int kValues = (kTile * Stream::kLanes + Stream::kThreads - 1) / Stream::kThreads;
  using Sums = T[Stream::kLanes][Stream::kVectorSize];

  // Of the tile's sums, lane by lane, the thread's.
  __device__ static int value(int n) { return n * Stream::kThreads + threadIdx.x; }
  __device__ static bool is_wanted(unsigned active, int n) {
    const int lane = value(n) / kTile;
    return lane < Stream::kLanes && (active >> lane & 1) != 0;
  }
  __device__ T& digit(int place, int n) const {
    return digits_[(place * kValues + n) * Stream::kThreads + threadIdx.x];
  }
  template <int COUNT>
  __device__ UnitCotangents<T, COUNT>* staged(int lane) const {
    return reinterpret_cast<UnitCotangents<T, COUNT>*>(cotangents_) +
           (Stream::warp() * Stream::kLanes + lane) * kLeaf;
  }

  // The cotangents of a leaf, zero where there is no unit, to where the warp reads them.
  template <int COUNT, class Cotangents>
  __device__ void stage(unsigned active, int first, Cotangents cotangents) const {
    constexpr int kStride = power_of_two_from(COUNT);
#pragma unroll
    for (int lane = 0; lane < Stream::kLanes; ++lane) {
      if ((active >> lane & 1) == 0) continue;
      for (int n = threadIdx.x % 32; n < kLeaf * kStride; n += 32) {
        const int gate = n % kStride, unit = first + n / kStride;
        const bool exists = gate < COUNT && unit < hidden_size_;
        staged<COUNT>(lane)[n / kStride].at[gate] = exists ? cotangents(lane, gate)[unit] : T(0);
      }
    }
    __syncwarp();
  }

  // The warp's leaf, to where all threads see it.
  template <int FIRST, int COUNT>
  __device__ void add_leaf(unsigned active, int tile, int first) const {
    Sums sum;
    add_quads<FIRST, COUNT, kLeaf / 4>(active, tile, first, 0, sum);
    Vector<T>* const to = sums_ + (which_ * Stream::kWarps + Stream::warp()) * Stream::kLanes * 32;
#pragma unroll
    for (int lane = 0; lane < Stream::kLanes; ++lane) {
      if ((active >> lane & 1) == 0) continue;
      Vector<T> whole;
#pragma unroll
      for (int v = 0; v < Stream::kVectorSize; ++v) whole.at[v] = sum[lane][v];
      to[lane * 32 + position_of_thread() * Stream::kChains + Stream::chain()] = whole;
    }
  }

  // Of 4 QUADS units, from `unit` of the leaf on.
  template <int FIRST, int COUNT, int QUADS>
  __device__ void add_quads(unsigned active, int tile, int first, int unit, Sums& sum) const {
    if constexpr (QUADS == 1) {
      add_quad<FIRST, COUNT>(active, tile, first, unit, sum);
    } else {
      Sums second;
      add_quads<FIRST, COUNT, QUADS / 2>(active, tile, first, unit, sum);
      add_quads<FIRST, COUNT, QUADS / 2>(active, tile, first, unit + 2 * QUADS, second);
#pragma unroll
      for (int lane = 0; lane < Stream::kLanes; ++lane) {
#pragma unroll
        for (int v = 0; v < Stream::kVectorSize; ++v) sum[lane][v] += second[lane][v];
      }
    }
  }

  // Four units of a tile: four loads of one unit, or four of one position each.
  template <int FIRST, int COUNT>
  __device__ void add_quad(unsigned active, int tile, int first, int unit, Sums& sum) const {
    Vector<T> rows[4][COUNT] = {};
    const bool exists = first + unit < hidden_size_;
#pragma unroll
    for (int n = 0; n < 4; ++n) {
      const int of_warp = kSpan == 1 ? n : 0, position = tile * kSpan + (kSpan == 1 ? 0 : n);
      if (exists && (kSpan == 1 || position < weights_.positions())) {
        const int group = (first + unit) / Stream::kUnitsOfWarp + of_warp;
        weights_.template load<FIRST>(group, position, rows[n]);
      }
    }
#pragma unroll
    for (int lane = 0; lane < Stream::kLanes; ++lane) {
#pragma unroll
      for (int v = 0; v < Stream::kVectorSize; ++v) sum[lane][v] = 0;
      if (!exists || (active >> lane & 1) == 0) continue;
      T terms[4][Stream::kVectorSize];
#pragma unroll
      for (int n = 0; n < 4; ++n) {
        const int mine = unit + (kSpan == 1 ? n : Stream::unit_of_warp());
        const UnitCotangents<T, COUNT> d = staged<COUNT>(lane)[mine];
#pragma unroll
        for (int v = 0; v < Stream::kVectorSize; ++v) {
          terms[n][v] = 0;
#pragma unroll
          for (int g = 0; g < COUNT; ++g) {
            terms[n][v] = multiply_add(rows[n][g].at[v], d.at[g], terms[n][v]);
          }
        }
      }
      fold(terms, sum[lane]);
    }
  }

  // Add four units, neighbours first. Where they are in different threads, two of these exchange
  // halves of the positions, and each goes on with the other half.
  __device__ static void fold(T (&terms)[4][Stream::kVectorSize], T (&sum)[Stream::kVectorSize]) {
#pragma unroll
    for (int v = 0; v < Stream::kVectorSize; ++v) {
      if constexpr (kSpan == 1) {
        sum[v] = (terms[0][v] + terms[1][v]) + (terms[2][v] + terms[3][v]);
      } else {
        const bool is_odd = (Stream::unit_of_warp() & 1) != 0, is_high = Stream::unit_of_warp() > 1;
        const T low = swap(is_odd, terms[0][v], terms[2][v], Stream::kChains);
        const T high = swap(is_odd, terms[1][v], terms[3][v], Stream::kChains);
        sum[v] = swap(is_high, low, high, 2 * Stream::kChains);
      }
    }
  }
  __device__ static T swap(bool keeps_second, T first, T second, int offset) {
    const T kept = keeps_second ? second : first, given = keeps_second ? first : second;
    return kept + __shfl_xor_sync(kWholeWarp, given, offset);
  }
  // The one of the tile that `fold` leaves to the thread.
  __device__ static int position_of_thread() {
    return kSpan == 1 ? 0 : Stream::unit_of_warp() % 2 * 2 + Stream::unit_of_warp() / 2;
  }

  // Add a round's leaves, and the round to those before.
  __device__ void count(unsigned active, int round, int leaves) const {
    const T* const from =
        reinterpret_cast<const T*>(sums_) + which_ * Stream::kWarps * Stream::kLanes * kTile;
#pragma unroll
    for (int n = 0; n < kValues; ++n) {
      if (!is_wanted(active, n)) continue;
      T sum = tree_sum<Stream::kWarps, 1, T>(0, [&](int leaf) {
        return leaf < leaves ? from[leaf * Stream::kLanes * kTile + value(n)] : T(0);
      });
      int place = 0;
      for (; (round >> place & 1) != 0; ++place) sum = digit(place, n) + sum;
      digit(place, n) = sum;
    }
  }

  // The sum of so many rounds; places that nothing was carried to count as zero.
  __device__ T total(int n, int rounds) const {
    T sum = 0;
    for (int place = 0; rounds >> place != 0; ++place) {
      if ((rounds >> place & 1) != 0) sum = digit(place, n) + sum;
    }
    return sum;
  }

  StreamedWeights<Stream> weights_;
  Vector<T>* sums_;
  T *cotangents_, *digits_;
  int hidden_size_, which_ = 0;
};

}  // namespace refrnn
