// How W_hh is cut among blocks and threads, and what each thread does with its piece.
//
// A block owns the rows of kUnits units. A unit has kSplit neighbouring threads; each holds some of
// the columns of all the unit's rows, for a product with h, and for one with the transpose.
//
// The order of summation is fixed by the size of the state alone, so that all ways of cutting give
// the same bits. Columns go in vectors of 16 bytes to kChains chains in turn; each chain is one
// sequence of multiply-adds from 0 on; the chains are added as a binary tree, neighbours first. Of
// the transpose, each unit's rows are one chain, and the units a binary tree, neighbours first.
#pragma once

#include "vectors.cuh"

namespace refrnn {

__host__ __device__ constexpr int chains_of(int columns) { return columns <= 256 ? 8 : 32; }

// COLUMNS: the size of the state, rounded up. HELD: vectors a gate that a thread has in registers;
// the others are in shared memory. BLOCKS: in a team.
template <class Number, int GATES, int COLUMNS, int UNITS, int SPLIT, int HELD, int BLOCKS>
struct Slice {
  using T = Number;
  static constexpr int kGates = GATES, kColumns = COLUMNS, kUnits = UNITS, kSplit = SPLIT;
  static constexpr int kHeld = HELD, kBlocks = BLOCKS;
  static constexpr int kThreads = UNITS * SPLIT, kWarps = kThreads / 32;
  static constexpr int kUnitsOfWarp = 32 / SPLIT;
  static constexpr int kVectorSize = Vector<T>::kSize;
  static constexpr int kChains = chains_of(COLUMNS), kChainsOfThread = kChains / SPLIT;
  static constexpr int kPositions = COLUMNS / (kChains * kVectorSize);  // vectors of a chain
  static constexpr int kVectors = kChainsOfThread * kPositions;         // of a gate, of a thread
  static_assert(kThreads % 32 == 0 && kThreads <= 1024);
  static_assert(COLUMNS % (kChains * kVectorSize) == 0 && kChains % SPLIT == 0);
  static_assert(HELD <= kVectors);
  static_assert(BLOCKS == 1 || power_of_two_from(UNITS) == UNITS, "a block has to be a subtree");

  __device__ static int part() { return threadIdx.x % kSplit; }
  __device__ static int unit_of_block() { return threadIdx.x / kSplit; }

  // Where the vector of a chain lies in shared memory, among those of all chains, and so the number
  // of a column: there neither the threads of a unit, whose chains are apart, nor threads that take
  // neighbouring columns want the same banks.
  __device__ static int place_of_chain(int chain) {
    return kChains > 8 ? chain ^ chain / 8 : chain;
  }
  __device__ static int place(int column) {
    const int vector = column / kVectorSize, chain = vector % kChains;
    return (vector - chain + place_of_chain(chain)) * kVectorSize + column % kVectorSize;
  }
};

// A thread's piece of W_hh, on the chip from the first step to the last.
template <class Slice>
class Weights {
 public:
  using T = typename Slice::T;

  static constexpr int kShared = (Slice::kVectors - Slice::kHeld) * Slice::kGates;

  // `packed` is in the order in which threads take it: block, vector, gate, thread.
  __device__ void load(const Vector<T>* packed, int rank, Vector<T>* shared) {
    packed += static_cast<size_t>(rank) * Slice::kVectors * Slice::kGates * Slice::kThreads;
    packed += threadIdx.x;
    shared_ = shared + threadIdx.x;
#pragma unroll
    for (int q = 0; q < Slice::kVectors; ++q) {
#pragma unroll
      for (int g = 0; g < Slice::kGates; ++g) {
        const Vector<T> piece = packed[(q * Slice::kGates + g) * Slice::kThreads];
        if (q < Slice::kHeld) {
          held_[g][q] = piece;
        } else {
          shared_[((q - Slice::kHeld) * Slice::kGates + g) * Slice::kThreads] = piece;
        }
      }
    }
  }

  // The products of rows FIRST to FIRST + COUNT - 1 of the unit with h; all threads of the unit
  // have them.
  template <int FIRST, int COUNT>
  __device__ void times(const T* h, T (&sum)[COUNT]) const {
    const Vector<T>* vectors = reinterpret_cast<const Vector<T>*>(h);
    T chain[COUNT][Slice::kChainsOfThread];
#pragma unroll
    for (int i = 0; i < Slice::kChainsOfThread; ++i) {
#pragma unroll
      for (int g = 0; g < COUNT; ++g) chain[g][i] = 0;
      const int place = Slice::place_of_chain(Slice::part() * Slice::kChainsOfThread + i);
      const int before = i * Slice::kPositions;  // vectors of other chains
#pragma unroll
      for (int p = 0; p < Slice::kPositions; ++p) {
        if (before + p >= Slice::kHeld) continue;
        add_products<true, FIRST>(before + p, vectors[p * Slice::kChains + place], i, chain);
      }
      // Unrolled, the compiler would load more of the others at once than it has registers for.
#pragma unroll 1
      for (int p = max(0, Slice::kHeld - before); p < Slice::kPositions; ++p) {
        add_products<false, FIRST>(before + p, vectors[p * Slice::kChains + place], i, chain);
      }
    }
#pragma unroll
    for (int g = 0; g < COUNT; ++g) {
      sum[g] = tree_sum<Slice::kChainsOfThread, 1, T>(0, [&](int i) { return chain[g][i]; });
    }
#pragma unroll
    for (int offset = 1; offset < Slice::kSplit; offset *= 2) {
#pragma unroll
      for (int g = 0; g < COUNT; ++g) sum[g] += __shfl_xor_sync(kWholeWarp, sum[g], offset);
    }
  }

  // The product of the transpose of rows FIRST to FIRST + COUNT - 1 of the warp's units with d:
  // numbers for all columns, written to `sums`. Only some columns at a time, so that their sums
  // take few registers.
  template <int FIRST, int COUNT>
  __device__ void transposed_times(const T (&d)[COUNT], T* sums) const {
#pragma unroll
    for (int i = 0; i < Some::kChainStep; ++i) {
#pragma unroll
      for (int p = 0; p < Some::kPositionStep; ++p) {
        T s[Some::kColumns];
#pragma unroll
        for (int chain = 0; chain < Some::kChains; ++chain) {
#pragma unroll
          for (int position = 0; position < Some::kPositions; ++position) {
            const int q = (chain * Some::kChainStep + i) * Slice::kPositions +
                          position * Some::kPositionStep + p;
#pragma unroll
            for (int v = 0; v < Slice::kVectorSize; ++v) {
              T& one = s[(chain * Slice::kVectorSize + v) * Some::kPositions + position];
              one = 0;
#pragma unroll
              for (int g = 0; g < COUNT; ++g) {
                one = multiply_add(piece(FIRST + g, q).at[v], d[g], one);
              }
            }
          }
        }
        const int first = add_units(s);
        store(s, first, i, p, sums);
      }
    }
  }

 private:
  // The columns of a thread that are summed over the units of its warp together: those that leave
  // each of the unit's threads with one column, or with a vector of them. Every so many chains, and
  // every so many positions of a chain.
  struct Some {
    static constexpr bool kWhole = Slice::kUnitsOfWarp <= Slice::kChainsOfThread;
    static constexpr int kLeft = kWhole ? Slice::kVectorSize : 1;
    static constexpr int kColumns = Slice::kUnitsOfWarp * kLeft;
    static constexpr int kChains = kWhole ? Slice::kUnitsOfWarp : Slice::kChainsOfThread;
    static constexpr int kPositions = kColumns / (kChains * Slice::kVectorSize);
    static constexpr int kChainStep = Slice::kChainsOfThread / kChains;
    static constexpr int kPositionStep = Slice::kPositions / kPositions;
    static_assert(kChains * Slice::kVectorSize * kPositions == kColumns);
    static_assert(kPositionStep * kPositions == Slice::kPositions);
  };

  __device__ Vector<T> piece(int gate, int q) const {
    return q < Slice::kHeld ? held_[gate][q] : piece_in_shared(gate, q);
  }
  __device__ Vector<T> piece_in_shared(int gate, int q) const {
    return shared_[((q - Slice::kHeld) * Slice::kGates + gate) * Slice::kThreads];
  }

  // A vector's share of chain i of COUNT rows.
  template <bool IS_HELD, int FIRST, int COUNT>
  __device__ void add_products(int q, const Vector<T>& state, int i,
                               T (&chain)[COUNT][Slice::kChainsOfThread]) const {
#pragma unroll
    for (int g = 0; g < COUNT; ++g) {
      const Vector<T> row = IS_HELD ? held_[FIRST + g][q] : piece_in_shared(FIRST + g, q);
#pragma unroll
      for (int v = 0; v < Slice::kVectorSize; ++v) {
        chain[g][i] = multiply_add(row.at[v], state.at[v], chain[g][i]);
      }
    }
  }

  // Two threads exchange halves of what they have and add: each then answers for half as many
  // columns and twice as many units. Leaves kLeft sums, and returns which of all they are.
  __device__ static int add_units(T (&s)[Some::kColumns]) {
    int first = 0;
#pragma unroll
    for (int units = 1; units < Slice::kUnitsOfWarp; units *= 2) {
      const int half = Some::kColumns / (2 * units);
      const bool is_second = (Slice::unit_of_block() & units) != 0;
#pragma unroll
      for (int n = 0; n < half; ++n) {
        const T given = is_second ? s[n] : s[half + n], kept = is_second ? s[half + n] : s[n];
        s[n] = kept + __shfl_xor_sync(kWholeWarp, given, units * Slice::kSplit);
      }
      if (is_second) first += half;
    }
    return first;
  }

  // s[0] was s[first] before.
  __device__ static void store(const T* s, int first, int i, int p, T* sums) {
    const int chain = first / (Slice::kVectorSize * Some::kPositions) * Some::kChainStep + i;
    const int position = first % Some::kPositions * Some::kPositionStep + p;
    const int place = Slice::place_of_chain(Slice::part() * Slice::kChainsOfThread + chain);
    const int at = position * Slice::kChains + place;
    if constexpr (Some::kWhole) {
      Vector<T> whole;
#pragma unroll
      for (int v = 0; v < Slice::kVectorSize; ++v) whole.at[v] = s[v];
      store_shared(reinterpret_cast<Vector<T>*>(sums) + at, whole);
    } else {
      sums[at * Slice::kVectorSize + first / Some::kPositions % Slice::kVectorSize] = s[0];
    }
  }

  Vector<T> held_[Slice::kGates][Slice::kHeld > 0 ? Slice::kHeld : 1];
  Vector<T>* shared_;
};

}  // namespace refrnn
