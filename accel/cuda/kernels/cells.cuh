// One step of a cell, of one unit, and its adjoint. Equations R, L and G of docs/notation.
//
// A cell says how many gates it has, how many times a step needs the product with W_hh (phases:
// one, or two where the reset gate comes before the product), and which of the gates each takes.
// What it computes in `forward` it takes back in `backward`; derivatives come from the
// pre-activations.
#pragma once

#include <refrnn/pointwise.h>

#include "vectors.cuh"

namespace refrnn {

// What a unit carries from step to step, and its cotangent.
template <class T>
struct Carried {
  T h, c;
};

// How the state before a step enters the products: by which gates in which phase.
struct OnePhase {
  static constexpr int kPhases = 1;
};

enum class Activation { kTanh, kRelu };

template <Activation ACTIVATION>
struct Rnn : OnePhase {
  static constexpr int kGates = 1, kCotangents = 1;
  static constexpr bool kHasC = false, kHasQ = false;

  template <class T>
  __device__ static void forward(T (&a)[1], const T (&sum)[1], T, T&, Carried<T>& state) {
    a[0] += sum[0];  // R1
    if constexpr (ACTIVATION == Activation::kTanh) {
      state.h = refrnn::tanh(a[0]);  // R2
    } else {
      state.h = a[0] <= 0 ? T(0) : a[0];  // so that NaN passes
    }
  }

  // d.h: the cotangent of the new state; becomes what reaches the old one past the product.
  template <class T>
  __device__ static void backward(const T (&a)[1], T, T, const Carried<T>&, Carried<T>& d,
                                  T (&d_a)[1], T (&d_sum)[1]) {
    if constexpr (ACTIVATION == Activation::kTanh) {
      d_a[0] = d.h * refrnn::sech2(a[0]);  // R2'
    } else {
      d_a[0] = a[0] <= 0 ? T(0) : d.h;
    }
    d_sum[0] = d_a[0];
    d.h = 0;
  }
};

using RnnTanh = Rnn<Activation::kTanh>;
using RnnRelu = Rnn<Activation::kRelu>;

struct Lstm : OnePhase {
  static constexpr int kGates = 4, kCotangents = 4;  // i, f, g, o
  static constexpr bool kHasC = true, kHasQ = false;

  template <class T>
  __device__ static void forward(T (&a)[4], const T (&sum)[4], T, T&, Carried<T>& state) {
#pragma unroll
    for (int g = 0; g < 4; ++g) a[g] += sum[g];                       // L1
    const T i = sigmoid(a[0]), f = sigmoid(a[1]), o = sigmoid(a[3]);  // L2, L5
    state.c = multiply_add(f, state.c, i * refrnn::tanh(a[2]));       // L3, L4
    state.h = o * refrnn::tanh(state.c);                              // L6
  }

  template <class T>
  __device__ static void backward(const T (&a)[4], T c, T, const Carried<T>& before, Carried<T>& d,
                                  T (&d_a)[4], T (&d_sum)[4]) {
    const T i = sigmoid(a[0]), f = sigmoid(a[1]), g = refrnn::tanh(a[2]), o = sigmoid(a[3]);
    d_a[3] = d.h * refrnn::tanh(c) * sigmoid_derivative(a[3]);  // L6', L5'
    const T d_c = multiply_add(d.h * o, sech2(c), d.c);         // L6'
    d_a[0] = d_c * g * sigmoid_derivative(a[0]);                // L4', L2'
    d_a[1] = d_c * before.c * sigmoid_derivative(a[1]);         // L4', L2'
    d_a[2] = d_c * i * sech2(a[2]);                             // L3'
#pragma unroll
    for (int k = 0; k < 4; ++k) d_sum[k] = d_a[k];
    d = {T(0), d_c * f};  // L4'
  }
};

// r multiplies q = W_hn h + b_hn.
struct GruResetAfter : OnePhase {
  static constexpr int kGates = 3, kCotangents = 4;  // r, z, n; and n where it meets W_hn
  static constexpr bool kHasC = false, kHasQ = true;

  template <class T>
  __device__ static void forward(T (&a)[3], const T (&sum)[3], T b_hn, T& q, Carried<T>& state) {
    a[0] += sum[0];  // G1
    a[1] += sum[1];
    q = sum[2] + b_hn;
    a[2] = multiply_add(sigmoid(a[0]), q, a[2]);                                          // G2, G3
    state.h = multiply_add(sigmoid(a[1]), state.h, sigmoid(-a[1]) * refrnn::tanh(a[2]));  // G4
  }

  template <class T>
  __device__ static void backward(const T (&a)[3], T, T q, const Carried<T>& before, Carried<T>& d,
                                  T (&d_a)[4], T (&d_sum)[3]) {
    const T r = sigmoid(a[0]), n = refrnn::tanh(a[2]);
    d_a[1] = d.h * (before.h - n) * sigmoid_derivative(a[1]);  // G4', G2'
    d_a[2] = d.h * sigmoid(-a[1]) * sech2(a[2]);               // G4', G3'
    d_a[0] = d_a[2] * q * sigmoid_derivative(a[0]);            // G3', G2'
    d_a[3] = d_a[2] * r;
    d_sum[0] = d_a[0];
    d_sum[1] = d_a[1];
    d_sum[2] = d_a[3];
    d.h *= sigmoid(a[1]);  // G4'
  }
};

// r multiplies h, and W_hn what that gives.
struct GruResetBefore {
  static constexpr int kPhases = 2, kGates = 3, kCotangents = 3;
  static constexpr bool kHasC = false, kHasQ = false;

  // The gates r and z; r h is what the second product takes.
  template <class T>
  __device__ static T forward_gates(T (&a)[3], const T (&sum)[2], T h_prev) {
    a[0] += sum[0];  // G1
    a[1] += sum[1];
    return sigmoid(a[0]) * h_prev;  // G2
  }

  template <class T>
  __device__ static void forward_candidate(T (&a)[3], T sum, Carried<T>& state) {
    a[2] += sum;                                                                          // G3
    state.h = multiply_add(sigmoid(a[1]), state.h, sigmoid(-a[1]) * refrnn::tanh(a[2]));  // G4
  }

  // z and n; d.h becomes what reaches the old state by z alone.
  template <class T>
  __device__ static void backward_candidate(const T (&a)[3], T h_prev, T& d_h, T (&d_a)[3]) {
    d_a[1] = d_h * (h_prev - refrnn::tanh(a[2])) * sigmoid_derivative(a[1]);  // G4', G2'
    d_a[2] = d_h * sigmoid(-a[1]) * sech2(a[2]);                              // G4', G3'
    d_h *= sigmoid(a[1]);                                                     // G4'
  }

  // r, from the cotangent of r h that came back from the product.
  template <class T>
  __device__ static void backward_gates(const T (&a)[3], T h_prev, T d_rh, T& d_h, T (&d_a)[3]) {
    d_a[0] = d_rh * h_prev * sigmoid_derivative(a[0]);  // G2'
    d_h = multiply_add(d_rh, sigmoid(a[0]), d_h);
  }
};

}  // namespace refrnn
