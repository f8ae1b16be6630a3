// The rows of W_hh times the states of the lanes. A warp takes batches of 8 units, for which it has
// one thread for each unit and lane: that one gets the unit's sums for the lane.
#pragma once

#include "stream.cuh"

namespace refrnn {

template <class Stream>
class StreamedProduct {
 public:
  using T = typename Stream::T;

  // Numbers of a state that are in shared memory at a time.
  static constexpr int kMostStaged = 32768 / sizeof(T) / Stream::kLanes;
  __device__ static int staged(int columns) { return min(columns, kMostStaged); }

  __device__ StreamedProduct(const Vector<T>* packed, int hidden_size, T* states)
      : weights_(packed, hidden_size),
        states_(states),
        hidden_size_(hidden_size),
        staged_(staged(Stream::columns(hidden_size))) {}

  // The products of the gates FIRST to FIRST + COUNT - 1 of all units with the vectors state(lane),
  // passed to take(unit, lane, sums). Begins with a barrier.
  template <int FIRST, int COUNT, class State, class Take>
  __device__ void multiply(unsigned active, State state, Take take) {
    const int staged_positions = staged_ / (Stream::kChains * Stream::kVectorSize);
    const int tiles = (weights_.positions() + staged_positions - 1) / staged_positions;
    const int batches = (hidden_size_ + kBatch - 1) / kBatch;
    int present = -1;  // the tile of the states in shared memory
    for (int first = 0; first < batches; first += Stream::kWarps) {
      const int batch = first + Stream::warp();
      T mine[COUNT] = {};
#pragma unroll 1
      for (int round = 0; round < kRounds; ++round) {
        T sum[Stream::kLanes][COUNT] = {};
        for (int tile = 0; tile < tiles; ++tile) {
          if (tile != present) stage(active, tile, state);
          present = tile;
          const int begin = tile * staged_positions;
          const int end = min(begin + staged_positions, weights_.positions());
          if (batch < batches) add<FIRST>(active, batch * kRounds + round, begin, end, sum);
        }
        fold(sum);
#pragma unroll
        for (int g = 0; g < COUNT; ++g) mine[g] = round == round_of_thread() ? sum[0][g] : mine[g];
      }
      const int group = batch * kRounds + round_of_thread(), lane = lane_of_thread();
      const int unit = group * Stream::kUnitsOfWarp + Stream::unit_of_warp();
      const bool takes = round_of_thread() < kRounds && (active >> lane & 1) != 0;
      if (takes && unit < hidden_size_) take(unit, lane, mine);
    }
  }

 private:
  static constexpr int kBatch = 8, kRounds = kBatch / Stream::kUnitsOfWarp;

  // Of which round of a batch, and of which lane, the thread gets the sums: see `fold`.
  __device__ static int round_of_thread() { return Stream::chain() / Stream::kLanes; }
  __device__ static int lane_of_thread() {
    int lane = 0;
#pragma unroll
    for (int offset = 1; offset < Stream::kLanes; offset *= 2) {
      if ((Stream::chain() & offset) != 0) lane += Stream::kLanes / (2 * offset);
    }
    return lane;
  }

  // A piece of the states, zero where there is no unit.
  template <class State>
  __device__ void stage(unsigned active, int tile, State state) {
    __syncthreads();
    for (int lane = 0; lane < Stream::kLanes; ++lane) {
      if ((active >> lane & 1) == 0) continue;
      const T* const from = state(lane);
      for (int n = threadIdx.x; n < staged_; n += Stream::kThreads) {
        const int column = tile * staged_ + n;
        states_[lane * staged_ + n] = column < hidden_size_ ? from[column] : T(0);
      }
    }
    __syncthreads();
  }

  // The thread's chain, from position `begin` to `end`.
  template <int FIRST, int COUNT>
  __device__ void add(unsigned active, int group, int begin, int end,
                      T (&sum)[Stream::kLanes][COUNT]) const {
    constexpr int kTogether = COUNT <= 2 ? 8 : 4;
    const Vector<T>* state = reinterpret_cast<const Vector<T>*>(states_) + Stream::chain();
    int position = begin;
    for (; position + kTogether <= end; position += kTogether) {
      add_vectors<FIRST, kTogether>(active, group, position, state, sum);
      state += kTogether * Stream::kChains;
    }
    for (; position < end; ++position) {
      add_vectors<FIRST, 1>(active, group, position, state, sum);
      state += Stream::kChains;
    }
  }

  template <int FIRST, int TOGETHER, int COUNT>
  __device__ void add_vectors(unsigned active, int group, int position, const Vector<T>* state,
                              T (&sum)[Stream::kLanes][COUNT]) const {
    Vector<T> rows[TOGETHER][COUNT];
#pragma unroll
    for (int n = 0; n < TOGETHER; ++n) {
      weights_.template load<FIRST>(group, position + n, rows[n]);
    }
    const int stride = staged_ / Stream::kVectorSize;
#pragma unroll
    for (int lane = 0; lane < Stream::kLanes; ++lane) {
      if ((active >> lane & 1) == 0) continue;
#pragma unroll
      for (int n = 0; n < TOGETHER; ++n) {
        const Vector<T> h = state[lane * stride + n * Stream::kChains];
#pragma unroll
        for (int g = 0; g < COUNT; ++g) {
#pragma unroll
          for (int v = 0; v < Stream::kVectorSize; ++v) {
            sum[lane][g] = multiply_add(rows[n][g].at[v], h.at[v], sum[lane][g]);
          }
        }
      }
    }
  }

  // Add the chains, neighbours first. As long as there are several lanes, two threads exchange
  // halves of them, and each goes on with the other half; sum[0] is left.
  template <int COUNT>
  __device__ static void fold(T (&sum)[Stream::kLanes][COUNT]) {
#pragma unroll
    for (int offset = 1; offset < Stream::kChains; offset *= 2) {
      const int half = Stream::kLanes / (2 * offset);
      const bool is_second = (Stream::chain() & offset) != 0;
#pragma unroll
      for (int lane = 0; lane < (half > 0 ? half : 1); ++lane) {
#pragma unroll
        for (int g = 0; g < COUNT; ++g) {
          T kept = sum[lane][g], given = kept;
          if (half > 0) {
            const T other = sum[half + lane][g];
            given = is_second ? kept : other;
            kept = is_second ? other : kept;
          }
          sum[lane][g] = kept + __shfl_xor_sync(kWholeWarp, given, offset);
        }
      }
    }
#pragma unroll
    for (int g = 0; g < COUNT; ++g) sum[0][g] += T(0);  // as tree_sum does
  }

  StreamedWeights<Stream> weights_;
  T* states_;
  int hidden_size_, staged_;
};

}  // namespace refrnn
