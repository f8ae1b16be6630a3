// The recurrence of one cell, dtype and way of cutting W_hh, both ways.
//
// Compiled with these defined: REFRNN_CELL (a class of cells.cuh), REFRNN_NUMBER (float or double),
// REFRNN_COLUMNS, REFRNN_UNITS, REFRNN_SPLIT, REFRNN_HELD and REFRNN_BLOCKS (of Slice),
// REFRNN_EXCHANGE (a class of exchange.cuh), and REFRNN_CLUSTER where that is Clustered.
#include "backward.cuh"
#include "forward.cuh"

#ifdef REFRNN_CLUSTER
#define LAUNCHED_AS __cluster_dims__(REFRNN_BLOCKS)
#else
#define LAUNCHED_AS
#endif

namespace {

using Cell = refrnn::REFRNN_CELL;
using Piece = refrnn::Slice<REFRNN_NUMBER, Cell::kGates, REFRNN_COLUMNS, REFRNN_UNITS, REFRNN_SPLIT,
                            REFRNN_HELD, REFRNN_BLOCKS>;

extern __shared__ __align__(16) char shared[];

}  // namespace

extern "C" __global__ void __launch_bounds__(Piece::kThreads, 1) LAUNCHED_AS
    forward(const __grid_constant__ refrnn::ForwardArguments<REFRNN_NUMBER> arguments) {
  refrnn::Forward<Cell, Piece, refrnn::REFRNN_EXCHANGE>(arguments, shared).run();
}

extern "C" __global__ void __launch_bounds__(Piece::kThreads, 1) LAUNCHED_AS
    backward(const __grid_constant__ refrnn::BackwardArguments<REFRNN_NUMBER> arguments) {
  refrnn::Backward<Cell, Piece, refrnn::REFRNN_EXCHANGE>(arguments, shared).run();
}
