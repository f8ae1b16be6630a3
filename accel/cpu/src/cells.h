// One step of a cell, of a vector of units, and its adjoint. Equations R, L and G of docs/notation.
//
// Pre-activations of a row come in an order of their own, in which what a step of a vector of units
// needs lies together. A cell says which column a gate of a unit is, gates in the order of W_hh's
// rows. Derivatives come from the pre-activations.
#pragma once

#include "vectors.h"

namespace refrnn {

// A gate of a unit.
struct Place {
  int gate, unit;
};

// Gates of a group of units side by side, then those of the next group.
template <class T>
constexpr Place interleaved(int column, int gates) {
  const int group = column / kGroup<T>;
  return {group % gates, group / gates * kGroup<T> + column % kGroup<T>};
}
// Where the first gate of a unit is; the others follow at distances of a group.
template <class T>
constexpr int first_gate(int unit, int gates) {
  return unit / kGroup<T> * kGroup<T> * gates + unit % kGroup<T>;
}

// GATES: of a unit. FUSED of them come from a step's first product with W_hh; of a cell with a
// candidate, that comes from a second one.
template <int GATES, int FUSED>
struct PlainCell {
  static constexpr int kGates = GATES, kFused = FUSED, kCotangents = GATES;
  static constexpr bool kHasC = false, kHasQ = false, kHasRh = false, kHasCandidate = false;
};

template <class T>
struct RnnTanh : PlainCell<1, 1> {
  using V = Vector<T>;
  static constexpr Place place(int column, int) { return {0, column}; }

  static V forward(const V (&a)[1], V&) { return tanh(a[0]); }  // R2
  // d_h: of the new state.
  static void backward(const V (&a)[1], V d_h, V, V, V&, V (&d_a)[1]) {
    d_a[0] = d_h * sech2(a[0]);  // R2'
  }
};

template <class T>
struct RnnRelu : PlainCell<1, 1> {
  using V = Vector<T>;
  static constexpr Place place(int column, int) { return {0, column}; }

  static V forward(const V (&a)[1], V&) { return select(a[0] <= V{}, V{}, a[0]); }  // NaN passes
  static void backward(const V (&a)[1], V d_h, V, V, V&, V (&d_a)[1]) {
    d_a[0] = select(a[0] <= V{}, V{}, d_h);
  }
};

template <class T>
struct Lstm : PlainCell<4, 4> {
  using V = Vector<T>;
  static constexpr bool kHasC = true;
  static constexpr Place place(int column, int) { return interleaved<T>(column, 4); }

  // c becomes the new one; returns h.
  static V forward(const V (&a)[4], V& c) {
    const V i = sigmoid(a[0]), f = sigmoid(a[1]), o = sigmoid(a[3]);  // L2, L5
    c = fma(f, c, i * tanh(a[2]));                                    // L3, L4
    return o * tanh(c);                                               // L6
  }
  // d_c: of the new c, becomes that of the old one.
  static void backward(const V (&a)[4], V d_h, V c_prev, V c, V& d_c, V (&d_a)[4]) {
    const V i = sigmoid(a[0]), f = sigmoid(a[1]), g = tanh(a[2]), o = sigmoid(a[3]);
    d_a[3] = d_h * tanh(c) * sigmoid_derivative(a[3]);  // L6', L5'
    const V d = fma(d_h * o, sech2(c), d_c);            // L6'
    d_a[0] = d * g * sigmoid_derivative(a[0]);          // L4', L2'
    d_a[1] = d * c_prev * sigmoid_derivative(a[1]);     // L4', L2'
    d_a[2] = d * i * sech2(a[2]);                       // L3'
    d_c = d * f;                                        // L4'
  }
};

// The candidate n of a row, then the gates r and z; backward, after them what n gives to W_hn.
template <class T>
struct Gru : PlainCell<3, 2> {
  using V = Vector<T>;
  static constexpr bool kHasCandidate = true;
  static constexpr Place place(int column, int units) {
    if (column < units) return {2, column};
    if (column >= 3 * units) return {2, column - 3 * units};
    return interleaved<T>(column - units, 2);
  }
  static V state(V z, V n, V h_prev) { return fma(sigmoid(z), h_prev, sigmoid(-z) * tanh(n)); }
};

// r multiplies q = W_hn h + b_hn.
template <class T>
struct GruResetAfter : Gru<T> {
  using V = Vector<T>;
  static constexpr int kCotangents = 4;
  static constexpr bool kHasQ = true;

  // n becomes the pre-activation of the candidate.
  static V forward(V r, V z, V& n, V q, V h_prev) {
    n = fma(sigmoid(r), q, n);           // G2, G3
    return Gru<T>::state(z, n, h_prev);  // G4
  }
  // In d_a come n, r, z, and n where it meets W_hn; d_h becomes what reaches the old state by z.
  static void backward(V r, V z, V n, V q, V h_prev, V& d_h, V (&d_a)[4]) {
    d_a[2] = d_h * (h_prev - tanh(n)) * sigmoid_derivative(z);  // G4', G2'
    d_a[0] = d_h * sigmoid(-z) * sech2(n);                      // G4', G3'
    d_a[1] = d_a[0] * q * sigmoid_derivative(r);                // G3', G2'
    d_a[3] = d_a[0] * sigmoid(r);
    d_h = d_h * sigmoid(z);  // G4'
  }
};

// r multiplies h, and W_hn what that gives.
template <class T>
struct GruResetBefore : Gru<T> {
  using V = Vector<T>;
  static constexpr bool kHasRh = true;

  static V reset(V r, V h_prev) { return sigmoid(r) * h_prev; }  // G2
  static V forward(V z, V n, V h_prev) { return Gru<T>::state(z, n, h_prev); }

  // Of n and z; d_h becomes what reaches the old state by z.
  static void backward(V z, V n, V h_prev, V& d_h, V& d_n, V& d_z) {
    d_z = d_h * (h_prev - tanh(n)) * sigmoid_derivative(z);  // G4', G2'
    d_n = d_h * sigmoid(-z) * sech2(n);                      // G4', G3'
    d_h = d_h * sigmoid(z);                                  // G4'
  }
  // Of r, from the cotangent of r h that came back from the product.
  static void backward_reset(V r, V h_prev, V d_rh, V& d_h, V& d_r) {
    d_r = d_rh * h_prev * sigmoid_derivative(r);  // G2'
    d_h = fma(d_rh, sigmoid(r), d_h);
  }
};

// A cell, as an argument.
template <template <class> class CELL>
struct Kind {};

}  // namespace refrnn
