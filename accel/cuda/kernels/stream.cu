// The recurrence of one cell and dtype with W_hh read at every step, both ways.
//
// Compiled with these defined: REFRNN_CELL (a class of cells.cuh), REFRNN_NUMBER (float or double),
// REFRNN_CHAINS and REFRNN_LANES (of Stream).
#include "stream_backward.cuh"
#include "stream_forward.cuh"

namespace {

using Cell = refrnn::REFRNN_CELL;
using Stream = refrnn::Stream<REFRNN_NUMBER, Cell::kGates, REFRNN_CHAINS, REFRNN_LANES>;

extern __shared__ __align__(16) char shared[];

}  // namespace

extern "C" __global__ void __launch_bounds__(Stream::kThreads, 1)
    forward(const __grid_constant__ refrnn::ForwardArguments<REFRNN_NUMBER> arguments) {
  refrnn::StreamForward<Cell, Stream>(arguments, shared).run();
}

extern "C" __global__ void __launch_bounds__(Stream::kThreads, 1)
    backward(const __grid_constant__ refrnn::BackwardArguments<REFRNN_NUMBER> arguments) {
  refrnn::StreamBackward<Cell, Stream>(arguments, shared).run();
}
