"""The constants of ``refrnn/pointwise.h``, printed when this is run as a program.

Two functions are ``first + weight * q``, q a polynomial whose coefficients make the largest
relative error as small as it can be (by the exchange of Remez):

* ``expm1(r) = r + r^2 q(r)`` on ``|r| <= 0.3467``, ln(2)/2 and a little more for the rounding of
  the multiple of ln(2). Relative to exp the error is smaller, by ``|expm1(r) / exp(r)|``;
* ``tanh(a) = a + a^3 q(a^2)`` on ``0 < a <= 0.55``, where tanh has come to 1/2.

The coefficients are then rounded to the type, and the error is taken again, of what is rounded.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from mpmath.ctx_mp import MPContext

MP = MPContext()
MP.prec = 240

Number = Any  # an mpf of MP


class Problem(NamedTuple):
    """``exact(x) = first(x) + weight(x) * q(variable(x))`` on ``low <= x <= high``."""

    name: str
    exact: Callable[[Number], Number]
    first: Callable[[Number], Number]
    weight: Callable[[Number], Number]
    variable: Callable[[Number], Number]
    low: Number
    high: Number

    def relative_error(self, coefficients: list[Number], x: Number) -> Number:
        """Of the right side of the equation, in exact arithmetic."""
        q = MP.polyval(coefficients[::-1], self.variable(x))
        return (self.first(x) + self.weight(x) * q) / self.exact(x) - 1

    def grid(self, samples: int) -> list[Number]:
        """Even, without 0, where the error vanishes."""
        step = (self.high - self.low) / samples
        return [x for i in range(samples + 1) if (x := self.low + i * step) != 0]


REACH = MP.mpf("0.3467")
EXPM1 = Problem("expm1", MP.expm1, MP.mpf, lambda r: r**2, MP.mpf, -REACH, REACH)
TANH = Problem("tanh", MP.tanh, MP.mpf, lambda a: a**3, lambda a: a**2, MP.zero, MP.mpf("0.55"))

#: Name, bits of the significand, and the number of coefficients for each problem.
TYPES = (("float", 24, {EXPM1: 5, TANH: 5}), ("double", 53, {EXPM1: 10, TANH: 10}))


def rounded(x: Number, precision: int) -> Number:
    """The nearest number of so many bits."""
    narrow = MPContext()
    narrow.prec = precision
    return MP.mpf(+narrow.mpf(x))


def remez(problem: Problem, count: int) -> list[Number]:
    """The coefficients of q, lowest first, whose largest relative error is least.

    What alternates is the error of q times the size of its factor, which may have either sign.
    """
    middle, half = (problem.high + problem.low) / 2, (problem.high - problem.low) / 2
    # Off the usual nodes a little: none may be 0.
    angles = [MP.pi * (k + MP.mpf("0.3")) / (count + 1) for k in range(count + 1)]
    points = [middle + half * MP.cos(angle) for angle in angles]
    coefficients: list[Number] = []
    for _ in range(8):
        rows, right = [], []
        for k, x in enumerate(points):
            exact = problem.exact(x)
            factor = problem.weight(x) / exact
            powers = [factor * problem.variable(x) ** j for j in range(count)]
            rows.append([*powers, (-1) ** k * MP.sign(factor)])
            right.append(1 - problem.first(x) / exact)
        solution = MP.lu_solve(MP.matrix(rows), MP.matrix(right))
        coefficients = [solution[j] for j in range(count)]
        points = extrema(problem, coefficients)
        if len(points) != count + 1:
            raise RuntimeError(f"the exchange has {len(points)} points, expected {count + 1}")
    return coefficients


def extrema(problem: Problem, coefficients: list[Number], samples: int = 1500) -> list[Number]:
    """Where the error of q counts most, one for each stretch of one sign."""
    found: list[tuple[Number, Number]] = []
    for x in problem.grid(samples):
        factor_sign = MP.sign(problem.weight(x) / problem.exact(x))
        error = problem.relative_error(coefficients, x) * factor_sign
        if not found or error * found[-1][0] < 0:
            found.append((error, x))
        elif abs(error) > abs(found[-1][0]):
            found[-1] = (error, x)
    return [x for _, x in found]


def largest_error(problem: Problem, coefficients: list[Number], samples: int = 4000) -> Number:
    """The largest relative error on an even grid."""
    return max(abs(problem.relative_error(coefficients, x)) for x in problem.grid(samples))


def main() -> None:
    """Print the constants as the header has them, and the errors that it states."""
    for name, precision, counts in TYPES:
        high = rounded(MP.ln2, precision)
        low = rounded(MP.ln2 - high, precision)
        for what, value in (("log2_e", 1 / MP.ln2), ("ln2_high", high), ("ln2_low", low)):
            print(name, what, float(rounded(value, precision)).hex())  # noqa: T201
        for problem, count in counts.items():
            coefficients = [rounded(c, precision) for c in remez(problem, count)]
            error = MP.nstr(MP.log(largest_error(problem, coefficients), 2), 5)
            print(name, problem.name, "error 2 **", error)  # noqa: T201
            print("   ", ", ".join(float(c).hex() for c in reversed(coefficients)))  # noqa: T201


if __name__ == "__main__":
    main()
