"""Binary floating-point formats: a rational number rounded to one, by integers alone."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction

MODES = ("rn", "rz", "rm", "rp")


@dataclass(frozen=True)
class Format:
    precision: int  # bits of the significand
    least: int  # exponent of the smallest normal number
    most: int  # exponent of the largest

    @property
    def smallest(self) -> float:
        return math.ldexp(1.0, self.least)

    @property
    def largest(self) -> float:
        return math.ldexp(float(2**self.precision - 1), self.most - self.precision + 1)

    def round(self, exact: Fraction, mode: str) -> float:
        """The number of the format that the rounding mode chooses; of 0 the sign is positive."""
        numerator, denominator, negative = abs(exact.numerator), exact.denominator, exact < 0
        if numerator == 0:
            return 0.0
        exponent = numerator.bit_length() - denominator.bit_length()
        if numerator << max(-exponent, 0) < denominator << max(exponent, 0):
            exponent -= 1
        last = max(exponent, self.least) - self.precision + 1
        denominator <<= max(last, 0)
        whole, rest = divmod(numerator << max(-last, 0), denominator)
        up = {
            "rn": 2 * rest > denominator or (2 * rest == denominator and whole % 2 == 1),
            "rz": False,
            "rm": negative and rest > 0,
            "rp": not negative and rest > 0,
        }[mode]
        whole += up
        if whole.bit_length() + last - 1 > self.most:
            stays = mode == "rz" or mode == ("rp" if negative else "rm")
            result = self.largest if stays else math.inf
        else:
            result = math.ldexp(float(whole), last)
        return -result if negative else result

    def ulp(self, x: float) -> Fraction:
        """The distance of the format's numbers around x."""
        exponent = max(math.frexp(x)[1] - 1, self.least) if x else self.least
        return Fraction(2) ** (exponent - self.precision + 1)

    def flushed(self, x: float) -> float:
        return math.copysign(0.0, x) if abs(x) < self.smallest else x


FORMATS = {
    "f16": Format(11, -14, 15),
    "bf16": Format(8, -126, 127),
    "f32": Format(24, -126, 127),
    "f64": Format(53, -1022, 1023),
}

#: Edge values of every format, and some in between.
FLOATS = [
    0.0, 1.0, 1.5, 1 / 3, 0.1, 1e-30, 7e8, 255.5, 65519.0, 2.0**24, 1.0000001, 3e38, 1e-40,
    2.0**-126, 2.0**-149, 2.0**-14, 3.1e-5, 1e300, 2.0**-1022, 5e-324, math.pi, 0.49999999999999994,
    65504.0, 1e-8, 123456.789, math.inf,
]  # fmt: skip


def numbers(kind: str, few: bool = False) -> list[float]:
    """Numbers of a format, of both signs, and NaN."""
    some = FLOATS[:13:2] + [math.inf] if few else FLOATS
    fitting = [FORMATS[kind].round(Fraction(x), "rn") if x < math.inf else x for x in some]
    return [*dict.fromkeys([*fitting, *(-x for x in fitting)]), -0.0, math.nan]


def saturated(x: float) -> float:
    """Into [0, 1]; NaN becomes 0."""
    return 0.0 if math.isnan(x) or x <= 0 else min(x, 1.0)


def by_fractions(
    function: Callable[..., Fraction], special: Callable[..., float], form: Format, mode: str
) -> Callable[..., float]:
    """``function`` of rational numbers, rounded; ``special`` where there is none, or it is 0."""

    def rounded(*operands: float) -> float:
        if all(map(math.isfinite, operands)):
            try:
                exact = function(*map(Fraction, operands))
            except ZeroDivisionError:
                return special(*operands)
            if exact != 0:
                return form.round(exact, mode)
        return special(*operands)

    return rounded
