// How the blocks of a team tell each other what each of them has computed.
//
// `Alone`: a team of one block. `Tagged`: any number of blocks, by global memory; every value is
// stored together with a tag, in one access, and whoever needs it reads until the tag is right.
// `Clustered`: up to eight blocks that hold distributed shared memory together (sm_90).
//
// Forward, a block spreads the states of its units to all blocks; backward, it spreads its share of
// the cotangents of all columns to the blocks that own them. A slot is one of two, in turn: a block
// that writes one again has everybody's values of the time between, so everybody has read it.
#pragma once

#if __CUDA_ARCH__ >= 900
#include <cooperative_groups.h>
#endif

#include "vectors.cuh"

namespace refrnn {

// Where blocks of a launch meet.
struct Meeting {
  void* slots;        // of all teams
  unsigned* tickets;  // 0 at the start of a launch
  unsigned* error;    // 0, or that somebody has waited in vain
  unsigned epoch;     // below all tags of this launch, not below any of another
  unsigned patience;  // how long to wait for one value, in microseconds
  int blocks;         // of a team: those that have a unit
};

constexpr unsigned kNobodyCame = 1;

// A value and its tag, which are one access: vectors of two words need not be.
__device__ inline void store_tagged(void* slot, float value, unsigned tag) {
  const unsigned long long word =
      static_cast<unsigned long long>(tag) << 32 | __float_as_uint(value);
  asm volatile("st.relaxed.gpu.global.b64 [%0], %1;" ::"l"(slot), "l"(word) : "memory");
}

__device__ inline unsigned load_tagged(const void* slot, float& value) {
  unsigned long long word;
  asm volatile("ld.relaxed.gpu.global.b64 %0, [%1];" : "=l"(word) : "l"(slot) : "memory");
  value = __uint_as_float(static_cast<unsigned>(word));
  return static_cast<unsigned>(word >> 32);
}

__device__ inline void store_tagged(void* slot, double value, unsigned tag) {
  asm volatile(
      "{ .reg .b128 q; mov.b128 q, {%1, %2}; st.relaxed.gpu.global.b128 [%0], q; }" ::"l"(slot),
      "d"(value), "l"(static_cast<unsigned long long>(tag))
      : "memory");
}

__device__ inline unsigned load_tagged(const void* slot, double& value) {
  unsigned long long tag;
  asm volatile("{ .reg .b128 q; ld.relaxed.gpu.global.b128 q, [%2]; mov.b128 {%0, %1}, q; }"
               : "=d"(value), "=l"(tag)
               : "l"(slot)
               : "memory");
  return static_cast<unsigned>(tag);
}

// Waits until a slot has a tag. Its loads are lines of its own, so that who counts by line can tell
// the looks of a loop that waits, as many as it takes, from the first ones.
class Wait {
 public:
  __device__ Wait(unsigned* error, unsigned patience) : error_(error), patience_(patience) {}

  // False if nobody came, or somebody else has waited in vain.
  template <class T>
  __device__ bool until(const void* slot, unsigned wanted, T& value) const {
    unsigned long long start = 0;
    for (unsigned looks = 1; look(slot, value) != wanted; ++looks) {
      if (looks % kInARow != 0) continue;
      __nanosleep(20);  // whoever is late may want the way to memory
      if (looks % kUnchecked != 0) continue;
      const unsigned long long now = microseconds();
      if (start == 0) start = now;
      if (*error_ == 0 && now - start <= patience_) continue;
      *error_ = kNobodyCame;
      return false;
    }
    return true;
  }

 private:
  static constexpr unsigned kInARow = 8, kUnchecked = 256;  // looks

  __device__ static unsigned long long microseconds() {
    unsigned long long nanoseconds;
    asm volatile("mov.u64 %0, %%globaltimer;" : "=l"(nanoseconds));
    return nanoseconds / 1000;
  }

  __device__ static unsigned look(const void* slot, float& value) {
    unsigned long long word;
    asm volatile("ld.relaxed.gpu.global.b64 %0, [%1];" : "=l"(word) : "l"(slot) : "memory");
    value = __uint_as_float(static_cast<unsigned>(word));
    return static_cast<unsigned>(word >> 32);
  }

  __device__ static unsigned look(const void* slot, double& value) {
    unsigned long long tag;
    asm volatile("{ .reg .b128 q; ld.relaxed.gpu.global.b128 q, [%2]; mov.b128 {%0, %1}, q; }"
                 : "=d"(value), "=l"(tag)
                 : "l"(slot)
                 : "memory");
    return static_cast<unsigned>(tag);
  }

  volatile unsigned* error_;
  unsigned patience_;
};

template <class Slice>
class Alone {
 public:
  using T = typename Slice::T;
  static constexpr bool kCollects = false;

  __device__ explicit Alone(const Meeting&) {}
  __device__ void join(int, int) {}
  __device__ int team() const { return blockIdx.x; }
  __device__ int rank() const { return 0; }

  // A unit's state to where all columns are.
  __device__ void spread(T* columns, int, int, unsigned, T value) const {
    if (Slice::part() == 0) columns[Slice::place(Slice::unit_of_block())] = value;
  }
  // Returns whether to go on.
  __device__ bool barrier() const {
    __syncthreads();
    return true;
  }
};

template <class Slice>
class Tagged {
 public:
  using T = typename Slice::T;
  static constexpr bool kCollects = true;
  static constexpr int kSlotSize = 2 * sizeof(T);

  __device__ explicit Tagged(const Meeting& meeting) : meeting_(meeting) {}

  // Blocks join teams in the order in which they start: those that are resident are whole teams
  // but for the last.
  __device__ void join(int rows_of_slots, int lanes_of_team) {
    __shared__ unsigned ticket;
    if (threadIdx.x == 0) ticket = atomicAdd(meeting_.tickets, 1u);
    __syncthreads();
    team_ = static_cast<int>(ticket) / blocks();
    rank_ = static_cast<int>(ticket) % blocks();
    lanes_ = lanes_of_team;
    rows_ = rows_of_slots;
    const size_t slots = size_t{2} * 2 * lanes_ * rows_ * Slice::kColumns;
    slots_ = static_cast<char*>(meeting_.slots) + slots * team_ * kSlotSize;
  }
  __device__ int team() const { return team_; }
  __device__ int rank() const { return rank_; }
  // One without a unit would not wait, and overtake the others.
  __device__ int blocks() const { return meeting_.blocks; }

  __device__ void spread(T*, int phase, int lane, unsigned count, T value) const {
    if (Slice::part() != 0) return;
    put(phase, lane, count, 0, rank_ * Slice::kUnits + Slice::unit_of_block(), value);
  }

  __device__ void put(int phase, int lane, unsigned count, int row, int column, T value) const {
    store_tagged(slot(phase, lane, tag(count), row, column), value, tag(count));
  }

  __device__ T take(int phase, int lane, unsigned count, int row, int column) {
    const unsigned wanted = tag(count);
    const char* const from = slot(phase, lane, wanted, row, column);
    T value;
    if (load_tagged(from, value) != wanted && !has_failed_) {
      has_failed_ = !Wait(meeting_.error, meeting_.patience).until(from, wanted, value);
    }
    return value;
  }

  __device__ bool barrier() const { return !__syncthreads_or(has_failed_); }

 private:
  __device__ unsigned tag(unsigned count) const { return meeting_.epoch + count + 1; }

  __device__ char* slot(int phase, int lane, unsigned tag, int row, int column) const {
    const size_t line = ((size_t(phase) * 2 + tag % 2) * lanes_ + lane) * rows_ + row;
    return slots_ + (line * Slice::kColumns + column) * kSlotSize;
  }

  Meeting meeting_;
  char* slots_ = nullptr;
  int team_ = 0, rank_ = 0, lanes_ = 0, rows_ = 0;
  bool has_failed_ = false;
};

#if __CUDA_ARCH__ >= 900
template <class Slice>
class Clustered {
 public:
  using T = typename Slice::T;
  static constexpr bool kCollects = false;

  __device__ explicit Clustered(const Meeting&) {}
  __device__ void join(int, int) {}
  __device__ int team() const { return blockIdx.x / Slice::kBlocks; }
  __device__ int rank() const { return cooperative_groups::this_cluster().block_rank(); }

  __device__ void spread(T* columns, int, int, unsigned, T value) const {
    const int unit = rank() * Slice::kUnits + Slice::unit_of_block();
    for (int to = Slice::part(); to < Slice::kBlocks; to += Slice::kSplit) {
      store_to(to, columns + Slice::place(unit), value);
    }
  }
  // To where another block has the same variable.
  __device__ void store_to(int block, T* mine, T value) const {
    *cooperative_groups::this_cluster().map_shared_rank(mine, block) = value;
  }
  __device__ bool barrier() const {
    cooperative_groups::this_cluster().sync();
    return true;
  }
};
#endif

}  // namespace refrnn
