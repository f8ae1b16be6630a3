// Floats through a function of refrnn/pointwise.h, against double: the largest error in ulps.
//
//   exhaustive tanh        every float
//   exhaustive tanh 64     every 64th block of 4096 neighbours
//
// Prints the number of arguments, the largest error and the argument that has it. The exit status
// is 1 if a NaN is lost or made. Every float takes a quarter of a minute on two cores.
#include <algorithm>
#include <array>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <string>
#include <thread>
#include <tuple>
#include <vector>

#include "refrnn/pointwise.h"

namespace {

using Block = std::array<float, 4096>;
using References = std::array<double, 4096>;

struct Worst {
  double error = -1;
  float argument = 0;
  long count = 0;
  bool nan_is_wrong = false;
};

// A function, its exact value from what is cheap near 0, from exp, and its limits at both ends.
struct Exp {
  static float of(float x) { return refrnn::exp(x); }
  static double near_0(double x) { return 1 + x * (1 + x * (0.5 + x / 6)); }
  static double exact(double x) { return std::exp(x); }
  static double limit(bool negative) { return negative ? 0 : HUGE_VAL; }
};
struct Sigmoid {
  static float of(float x) { return refrnn::sigmoid(x); }
  static double near_0(double x) { return 0.5 + x * (0.25 - x * x / 48); }
  static double exact(double x) {
    const double e = std::exp(-std::fabs(x));
    return (x < 0 ? e : 1) / (1 + e);
  }
  static double limit(bool negative) { return negative ? 0 : 1; }
};
struct Tanh {
  static float of(float x) { return refrnn::tanh(x); }
  static double near_0(double x) { return x * (1 - x * x / 3); }
  static double exact(double x) { return std::tanh(x); }
  static double limit(bool negative) { return negative ? -1 : 1; }
};
struct SigmoidDerivative {
  static float of(float x) { return refrnn::sigmoid_derivative(x); }
  static double near_0(double x) { return 0.25 + x * x * (x * x / 96 - 0.0625); }
  static double exact(double x) {
    const double e = std::exp(-std::fabs(x));
    return e / ((1 + e) * (1 + e));
  }
  static double limit(bool) { return 0; }
};
struct Sech2 {
  static float of(float x) { return refrnn::sech2(x); }
  static double near_0(double x) { return 4 * SigmoidDerivative::near_0(2 * x); }
  static double exact(double x) { return 4 * SigmoidDerivative::exact(2 * x); }
  static double limit(bool) { return 0; }
};

constexpr double overflow = 0x1p128;

// In units of what two floats around the exact value are apart; infinity stands for 2^128.
double error_in_ulps(float got, double exact) {
  const double clipped = std::min(std::max(std::fabs(exact), 0x1p-126), 0x1p127);
  std::uint64_t bits;
  std::memcpy(&bits, &clipped, sizeof bits);
  bits = (std::uint64_t{2 * 1023 + 23} << 52) - (bits & 0x7ff0000000000000u);
  double per_ulp;
  std::memcpy(&per_ulp, &bits, sizeof per_ulp);
  const double value = std::min(std::fabs(static_cast<double>(got)), overflow);
  const double difference = std::fabs(value - std::min(std::fabs(exact), overflow));
  return std::signbit(got) == std::signbit(exact) ? difference * per_ulp : HUGE_VAL;
}

template <class Function>
void fill(const Block& x, References& exact) {
  // All of a block have one sign and one exponent.
  const float size = std::fabs(x[0]);
  if (size >= 128) {
    exact.fill(Function::limit(std::signbit(x[0])));
  } else if (size < 0x1p-15f) {
    for (std::size_t i = 0; i < x.size(); ++i) exact[i] = Function::near_0(x[i]);
  } else {
    for (std::size_t i = 0; i < x.size(); ++i) exact[i] = Function::exact(x[i]);
  }
}

template <class Function>
void check(std::uint32_t first, Worst& worst) {
  Block x, got;
  References exact, errors;
  for (std::size_t i = 0; i < x.size(); ++i) {
    x[i] = refrnn::from_bits<float>(static_cast<std::uint32_t>(first + i));
  }
  for (std::size_t i = 0; i < x.size(); ++i) got[i] = Function::of(x[i]);
  worst.count += static_cast<long>(x.size());
  std::size_t numbers = x.size();
  if (std::isnan(x[1])) {  // then all are, but that the first may be infinite
    numbers = std::isnan(x[0]) ? 0 : 1;
    for (std::size_t i = numbers; i < x.size(); ++i) worst.nan_is_wrong |= !std::isnan(got[i]);
  }
  fill<Function>(x, exact);
  for (std::size_t i = 0; i < numbers; ++i) {
    errors[i] = error_in_ulps(got[i], exact[i]);
    worst.nan_is_wrong |= got[i] != got[i];
  }
  for (std::size_t i = 0; i < numbers; ++i) {
    if (errors[i] > worst.error) {
      worst.error = errors[i];
      worst.argument = x[i];
    }
  }
}

template <class Function>
int report(const char* name, std::uint32_t stride) {
  constexpr std::uint64_t all = std::uint64_t{1} << 32;
  const unsigned cores = std::max(1u, std::thread::hardware_concurrency());
  const std::uint64_t size = std::tuple_size<Block>::value * stride;
  std::vector<Worst> found(cores);
  std::vector<std::thread> threads;
  for (unsigned core = 0; core < cores; ++core) {
    threads.emplace_back([&found, core, cores, size] {
      for (std::uint64_t first = core * size; first < all; first += cores * size) {
        check<Function>(static_cast<std::uint32_t>(first), found[core]);
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  Worst worst;
  for (const Worst& one : found) {
    worst.count += one.count;
    worst.nan_is_wrong |= one.nan_is_wrong;
    if (one.error > worst.error) {
      worst.error = one.error;
      worst.argument = one.argument;
    }
  }
  std::printf("%ld %.4f %a\n", worst.count, worst.error, static_cast<double>(worst.argument));
  if (worst.nan_is_wrong) std::fprintf(stderr, "%s loses or makes a NaN\n", name);
  return worst.nan_is_wrong ? 1 : 0;
}

}  // namespace

int main(int argc, char** argv) {
  const std::string name = argc > 1 ? argv[1] : "";
  const unsigned long stride = argc > 2 ? std::stoul(argv[2]) : 1;
  const auto every = static_cast<std::uint32_t>(stride);
  if (name == "exp") return report<Exp>("exp", every);
  if (name == "sigmoid") return report<Sigmoid>("sigmoid", every);
  if (name == "tanh") return report<Tanh>("tanh", every);
  if (name == "sech2") return report<Sech2>("sech2", every);
  if (name == "sigmoid_derivative") return report<SigmoidDerivative>("sigmoid_derivative", every);
  std::fprintf(stderr, "usage: exhaustive exp|sigmoid|tanh|sech2|sigmoid_derivative [STRIDE]\n");
  return 2;
}
