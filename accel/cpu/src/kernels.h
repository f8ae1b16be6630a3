// What Python calls: forward and backward of a cell by its number.
#pragma once

#include "backward.h"
#include "forward.h"

namespace refrnn {

enum CellKind { kRnnTanh, kRnnRelu, kLstm, kGruResetAfter, kGruResetBefore };

template <class Do>
auto with_kind(int cell, Do do_it) {
  switch (cell) {
    case kRnnTanh:
      return do_it(Kind<RnnTanh>());
    case kRnnRelu:
      return do_it(Kind<RnnRelu>());
    case kLstm:
      return do_it(Kind<Lstm>());
    case kGruResetAfter:
      return do_it(Kind<GruResetAfter>());
    default:
      return do_it(Kind<GruResetBefore>());
  }
}

template <class T>
size_t forward_scratch(int cell, int input_size, int hidden_size) {
  return with_kind(cell,
                   [=](auto kind) { return forward_scratch<T>(kind, input_size, hidden_size); });
}
template <class T>
size_t backward_scratch(int cell, int input_size, int hidden_size, int threads) {
  return with_kind(
      cell, [=](auto kind) { return backward_scratch<T>(kind, input_size, hidden_size, threads); });
}

template <class T>
void run_forward(int cell, const ForwardArguments<T>& with, T* scratch, Teams teams, Crew& crew) {
  with_kind(cell, [&](auto kind) { forward(kind, with, Scratch<T>(scratch), teams, crew); });
}
template <class T>
void run_backward(int cell, const BackwardArguments<T>& with, T* scratch, Teams teams, Crew& crew) {
  with_kind(cell, [&](auto kind) { backward(kind, with, Scratch<T>(scratch), teams, crew); });
}

}  // namespace refrnn
