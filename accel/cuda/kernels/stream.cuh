// W_hh too large for the chip: one block reads all of it at every step of its lanes.
//
// A vector of W_hh that a thread has read serves all lanes. A warp reads 32 neighbouring vectors at
// a time: the kChains vectors of one position of kUnitsOfWarp rows, so that each thread goes along
// one chain. The order of summation is that of slice.cuh, and so are the bits.
#pragma once

#include "schedule.cuh"
#include "slice.cuh"

namespace refrnn {

// CHAINS: of chains_of(); LANES: of a block, at most.
template <class Number, int GATES, int CHAINS, int LANES>
struct Stream {
  using T = Number;
  static constexpr int kGates = GATES, kChains = CHAINS, kLanes = LANES;
  static constexpr int kThreads = 256, kWarps = kThreads / 32;
  static constexpr int kVectorSize = Vector<T>::kSize;
  static constexpr int kUnitsOfWarp = 32 / CHAINS;
  static constexpr int kMultiple = CHAINS == 8 ? 32 : 128;  // columns are rounded up to
  static_assert(CHAINS == 8 || CHAINS == 32);
  static_assert(LANES == 1 || LANES == 2 || LANES == 4, "lanes are halved, and 8 units a batch");

  __device__ static int warp() { return threadIdx.x / 32; }
  __device__ static int chain() { return threadIdx.x % kChains; }
  __device__ static int unit_of_warp() { return threadIdx.x % 32 / kChains; }
  __device__ static int columns(int hidden_size) {
    return (hidden_size + kMultiple - 1) / kMultiple * kMultiple;
  }
};

// Past L1, where it would never be found again.
__device__ inline Vector<float> load_once(const Vector<float>* from) {
  const float4 four = __ldcg(reinterpret_cast<const float4*>(from));
  return {four.x, four.y, four.z, four.w};
}
__device__ inline Vector<double> load_once(const Vector<double>* from) {
  const double2 two = __ldcg(reinterpret_cast<const double2*>(from));
  return {two.x, two.y};
}

// W_hh in global memory, packed in the order: kUnitsOfWarp units, position, gate, thread of a warp.
template <class Stream>
class StreamedWeights {
 public:
  using T = typename Stream::T;

  __device__ StreamedWeights(const Vector<T>* packed, int hidden_size)
      : mine_(packed + threadIdx.x % 32),
        positions_(Stream::columns(hidden_size) / (Stream::kChains * Stream::kVectorSize)) {}

  __device__ int positions() const { return positions_; }

  template <int FIRST, int COUNT>
  __device__ void load(int group, int position, Vector<T> (&rows)[COUNT]) const {
    const size_t place = static_cast<size_t>(group) * positions_ + position;
    const Vector<T>* const from = mine_ + (place * Stream::kGates + FIRST) * 32;
#pragma unroll
    for (int g = 0; g < COUNT; ++g) rows[g] = load_once(from + g * 32);
  }

 private:
  const Vector<T>* mine_;
  int positions_;
};

// A lane's step, and whether it is the first of its sequence.
struct Place {
  Cursor cursor;
  int is_first_step;
};

// The lanes of a block, in shared memory.
template <class Stream>
class StreamedLanes {
 public:
  static constexpr int kPlaces = 2 * Stream::kLanes;

  __device__ StreamedLanes(const Schedule& schedule, Place* places)
      : schedule_(schedule), places_(places) {}

  __device__ void begin() {
    const int lane = threadIdx.x;
    if (lane >= Stream::kLanes) return;
    places_[lane] = {};
    if (lane >= schedule_.lanes_of_team) return;
    places_[lane] = {Cursor::at_lane(schedule_, blockIdx.x * schedule_.lanes_of_team + lane), 1};
  }

  // Say what the next step is, for the time after `turn`.
  __device__ void advance() {
    if (threadIdx.x >= Stream::kLanes) return;
    Place place = (*this)[threadIdx.x];
    if (place.cursor.is_active()) {
      place.is_first_step = place.cursor.is_last_step();  // then another sequence begins
      place.cursor = place.cursor.advanced(schedule_);
    }
    places_[(1 - now_) * Stream::kLanes + threadIdx.x] = place;
  }
  __device__ void turn() { now_ = 1 - now_; }

  __device__ const Place& operator[](int lane) const {
    return places_[now_ * Stream::kLanes + lane];
  }
  // One bit a lane.
  __device__ unsigned active() const {
    unsigned bits = 0;
#pragma unroll
    for (int lane = 0; lane < Stream::kLanes; ++lane) {
      bits |= static_cast<unsigned>((*this)[lane].cursor.is_active()) << lane;
    }
    return bits;
  }

 private:
  const Schedule& schedule_;
  Place* places_;
  int now_ = 0;
};

}  // namespace refrnn
