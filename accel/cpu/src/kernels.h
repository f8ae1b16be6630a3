// What Python calls: forward and backward of a cell by its number.
#pragma once

#include "backward.h"
#include "forward.h"

namespace refrnn {

enum CellKind { kRnnTanh, kRnnRelu, kLstm, kGruResetAfter, kGruResetBefore };

template <class T>
void run_forward(int cell, const ForwardArguments<T>& with, Teams teams) {
  switch (cell) {
    case kRnnTanh:
      return forward<RnnTanh>(with, teams);
    case kRnnRelu:
      return forward<RnnRelu>(with, teams);
    case kLstm:
      return forward<Lstm>(with, teams);
    case kGruResetAfter:
      return forward<GruResetAfter>(with, teams);
    default:
      return forward<GruResetBefore>(with, teams);
  }
}

template <class T>
void run_backward(int cell, const BackwardArguments<T>& with, Teams teams) {
  switch (cell) {
    case kRnnTanh:
      return backward<RnnTanh>(with, teams);
    case kRnnRelu:
      return backward<RnnRelu>(with, teams);
    case kLstm:
      return backward<Lstm>(with, teams);
    case kGruResetAfter:
      return backward<GruResetAfter>(with, teams);
    default:
      return backward<GruResetBefore>(with, teams);
  }
}

}  // namespace refrnn
