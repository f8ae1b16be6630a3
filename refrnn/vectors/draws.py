"""Numbers that are drawn alike by every NumPy: from the raw bits of a generator, by one formula.

NumPy keeps the stream of a bit generator for ever, but not what ``Generator`` methods make of it.
Every number is also one that float32 holds exactly, so a case is the same case in float32 and in
float64, and has one correct answer.
"""

from __future__ import annotations

import math
import zlib

import numpy as np

from ..types import Array

__all__ = ["Draws"]


class Draws:
    """Numbers from ``numpy.random.PCG64(crc32(name))``, one 64-bit word a number.

    Parameters
    ----------
    name : str
        Names the stream: its CRC-32 in UTF-8 is the seed.
    """

    def __init__(self, name: str) -> None:
        self._bits = np.random.PCG64(zlib.crc32(name.encode()))

    def uniform(self, bound: float, shape: tuple[int, ...]) -> Array:
        """Numbers in +-bound, rounded to float32, as a float64 array in C order; none is 0.

        With u the upper 24 bits of a word, the number is ``float32(bound * (2u + 1 - 2**24) /
        2**24)``, the product in float64.
        """
        words = self._bits.random_raw(math.prod(shape)) >> np.uint64(40)
        odd = 2.0 * words.astype(np.float64) + (1.0 - 2.0**24)
        numbers = (bound * (odd / 2.0**24)).astype(np.float32).astype(np.float64)
        return numbers.reshape(shape)

    def noise(self, shape: tuple[int, ...]) -> Array:
        """Numbers in +-1 of 53 bits, for the noisy runs: ``(w >> 11) / 2**52 - 1``."""
        words = self._bits.random_raw(math.prod(shape)) >> np.uint64(11)
        return (words.astype(np.float64) / 2.0**52 - 1.0).reshape(shape)
