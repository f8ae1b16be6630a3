// A recurrent network of which a team of M blocks holds one copy of W_hh, each block the rows of
// its own units. After each step the blocks exchange their part of h through global memory: each
// value is stored together with the number of its step, and whoever needs it reads until the number
// is right. Teams are formed in the order in which blocks start, so that those that are resident
// are complete.

#define KEEP(k) (MUTANT != (k))

using Slot = unsigned long long;  // a value and its step

template <int MUTANT>
__device__ void publish(Slot* slot, float value, unsigned step) {
  const Slot both = static_cast<Slot>(step) << 32 | __float_as_uint(value);
  if (KEEP(1)) {
    *static_cast<volatile Slot*>(slot) = both;
  } else {
    *slot = both;
  }
}

template <int MUTANT>
__device__ float await(const Slot* slot, unsigned step) {
  Slot both;
  do {
    if (KEEP(2)) {
      both = *static_cast<const volatile Slot*>(slot);
    } else {
      both = *slot;
    }
  } while (KEEP(3) && both >> 32 != step);
  return __uint_as_float(static_cast<unsigned>(both));
}

// inputs (N, H): x W_ih^T + b; weights (H, H): row u leads to unit u; slots (teams, 2, H).
template <int H, int M, int MUTANT>
__device__ void rnn(const float* inputs, const float* weights, const float* h_0, const int* offsets,
                    int sequences, int* tickets, Slot* slots, unsigned epoch, float* y) {
  constexpr int UNITS = H / M, THREADS = 2 * UNITS;
  __shared__ float w[UNITS][H + 1];
  __shared__ float h[2][H];
  __shared__ int ticket;
  const int i = threadIdx.x, half = i % 2;
  if (i == 0) ticket = KEEP(4) ? atomicAdd(tickets, 1) : blockIdx.x;
  if (KEEP(5)) __syncthreads();
  const int team = ticket / M, rank = ticket % M, teams = gridDim.x / M;
  const int unit = rank * UNITS + i / 2;
  for (int k = i; k < UNITS * H; k += THREADS) w[k / H][k % H] = weights[rank * UNITS * H + k];
  slots += team * 2 * H;
  unsigned step = KEEP(6) ? epoch : 0;
  for (int q = team; KEEP(7) ? q < sequences : q <= sequences; q += teams) {
    const int first = KEEP(8) ? step % 2 : 0;
    for (int j = i; j < H; j += THREADS) h[first][j] = h_0[q * H + j];
    if (KEEP(9)) __syncthreads();
    for (int n = offsets[q]; n < offsets[q + 1]; n++) {
      const int now = KEEP(8) ? step % 2 : 0, next = KEEP(8) ? 1 - now : 0;
      float sum = 0;
      for (int j = half * (H / 2); j < (half + 1) * (H / 2); j++) sum += w[i / 2][j] * h[now][j];
      sum += __shfl_xor_sync(~0u, sum, 1);
      step++;
      Slot* const exchange = slots + (KEEP(10) ? step % 2 : 0) * H;
      if (half == 0) {
        const float value = tanhf(inputs[n * H + unit] + sum);
        y[n * H + unit] = value;
        publish<MUTANT>(&exchange[unit], value, step);
      }
      for (int j = i; j < H; j += THREADS) h[next][j] = await<MUTANT>(&exchange[j], step);
      if (KEEP(11)) __syncthreads();
    }
  }
}

#define ENTRY(k)                                                                                   \
  extern "C" __global__ void team_##k(const float* inputs, const float* weights, const float* h_0, \
                                      const int* offsets, int sequences, int* tickets,             \
                                      Slot* slots, unsigned epoch, float* y) {                     \
    rnn<128, 4, k>(inputs, weights, h_0, offsets, sequences, tickets, slots, epoch, y);            \
  }
ENTRY(0)
ENTRY(1) ENTRY(2) ENTRY(3) ENTRY(4) ENTRY(5) ENTRY(6) ENTRY(7) ENTRY(8) ENTRY(9) ENTRY(10) ENTRY(11)
