// Operations of a warp without all the lanes that their mask names.

// missing lanes <<<1, 32>>>
// A shuffle of all lanes in a branch of some.
extern "C" __global__ void shuffle_in_a_branch(int* data) {
  int i = threadIdx.x;
  int value = data[i];
  if (i < 16 || !DEFECT) value += __shfl_xor_sync(~0u, value, 1);  // HERE (in a header)
  data[i] = value;
}

// missing lanes <<<1, 32>>>
// The last lane has ended.
extern "C" __global__ void shuffle_with_a_lane_that_ended(int* data) {
  int i = threadIdx.x;
  if (i == 31 && DEFECT) return;
  data[i] = __shfl_down_sync(~0u, data[i], 1);  // HERE (in a header)
}

// missing lanes <<<1, 40>>>
// The second warp has eight lanes: a mask may name the others, but nothing comes from them.
extern "C" __global__ void shuffle_in_part_of_a_warp(int* data) {
  int i = threadIdx.x;
  data[i] = __shfl_xor_sync(~0u, data[i], DEFECT ? 8 : 4);  // HERE (in a header)
}

// missing lanes <<<1, 32>>>
// A mask without the lane that executes it.
extern "C" __global__ void mask_without_oneself(int* data) {
  int i = threadIdx.x;
  data[i] = __shfl_xor_sync(DEFECT ? 0xfffffffeu : ~0u, data[i], 1);  // HERE (in a header)
}

// missing lanes <<<1, 32>>>
// Half of the warp shuffles, and reads a lane of the other half.
extern "C" __global__ void lane_outside_the_mask(int* data) {
  int i = threadIdx.x;
  if (i < 16) data[i] = __shfl_sync(0xffffu, data[i], 3 + 17 * DEFECT);  // HERE (in a header)
}

// missing lanes <<<1, 32>>>
// A vote in a loop that lanes leave one after the other.
extern "C" __global__ void vote_in_a_loop(int* data) {
  int i = threadIdx.x;
  int steps = DEFECT ? 1 + i % 4 : 4;
  int votes = 0;
  for (int k = 0; k < steps; k++) {
    votes += __popc(__ballot_sync(~0u, data[i] % 3 == k));  // HERE (in a header)
  }
  data[i] = votes;
}

// missing lanes <<<1, 32>>>
// A barrier of the warp in a branch.
extern "C" __global__ void warp_barrier_in_a_branch(int* data) {
  int i = threadIdx.x;
  if (i < 16) {
    data[i] += 1;
    __syncwarp(DEFECT ? ~0u : 0xffffu);  // HERE (in a header)
    data[i + 32] = data[15 - i];
  }
}

// missing lanes <<<1, 32>>>
// A sum over the warp, of which even lanes have ended.
extern "C" __global__ void sum_without_even_lanes(int* data) {
  int i = threadIdx.x;
  if (i % 2 == 0 && DEFECT) return;
  data[i] = __reduce_add_sync(~0u, data[i]);  // HERE (in a header)
}

// missing lanes <<<1, 32>>>
// Who has the same value, asked in a branch.
extern "C" __global__ void match_in_a_branch(int* data) {
  int i = threadIdx.x;
  if (data[i] % 4 != 3 || !DEFECT) data[i] = __match_any_sync(~0u, i / 4);  // HERE (in a header)
}
