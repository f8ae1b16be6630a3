"""How a matrix product is evaluated; cells and unrolls take it as an argument.

A row of a BLAS product depends, bitwise, on how many rows stand beside it and on the number of
threads. ``EINSUM`` sums every element in one fixed order instead, so a sequence's results cannot
depend on its neighbours: the definition uses it. ``MonteCarlo`` perturbs products at random and so
measures how far rounding can move a result (:mod:`refrnn.comparison`).
"""

from __future__ import annotations

from typing import Protocol

import numpy as np

from .types import Array

__all__ = ["BLAS", "EINSUM", "Arithmetic", "MonteCarlo"]


class Arithmetic(Protocol):
    """What cells need of linear algebra."""

    def product(self, a: Array, b: Array, out: Array | None = None) -> Array:
        """The matrix product of (n, k) and (k, m)."""
        ...

    def product_plus(self, a: Array, b: Array, bias: Array | None, out: Array) -> Array:
        """``a @ b + bias`` written to `out`; no bias counts as 0."""
        ...

    def sum_rows(self, a: Array) -> Array:
        """The sum over the rows of (n, m), shape (m,)."""
        ...

    def rounded(self, y: Array) -> None:
        """Told of every activation and state just computed; may change it **in place**."""
        ...


class _Blas:
    """NumPy's ``@``: fast; bits depend on the number of rows and of BLAS threads."""

    def product(self, a: Array, b: Array, out: Array | None = None) -> Array:
        result: Array = np.matmul(a, b, out=out)
        return result

    def product_plus(self, a: Array, b: Array, bias: Array | None, out: Array) -> Array:
        result = self.product(a, b, out)
        if bias is not None:
            result += bias
        return result

    def sum_rows(self, a: Array) -> Array:
        total: Array = a.sum(axis=0)
        return total

    def rounded(self, y: Array) -> None:
        pass


class _Einsum(_Blas):
    """One sequential sum an element over k, whatever the number of rows, threads or neighbours."""

    def product(self, a: Array, b: Array, out: Array | None = None) -> Array:
        # both operands C-contiguous: the order of the sum must not follow their strides
        result: Array = np.einsum(
            "nk,km->nm", np.ascontiguousarray(a), np.ascontiguousarray(b), out=out
        )
        return result


class MonteCarlo(_Blas):
    """Perturb products by up to `unit` times their terms' absolute values, elements by `unit`.

    Monte Carlo arithmetic (Parker 1997): the spread of a few runs shows how rounding errors of
    that size move the results, with the cancellation and the growth this very input has.

    Parameters
    ----------
    unit : float
        Relative size of the perturbation: far above the machine epsilon, far below 1.
    rng : numpy.random.Generator
    """

    def __init__(self, unit: float, rng: np.random.Generator) -> None:
        self._unit = unit
        self._rng = rng

    def product(self, a: Array, b: Array, out: Array | None = None) -> Array:
        result = super().product(a, b, out)
        result += self._noise(np.abs(a) @ np.abs(b))
        return result

    def product_plus(self, a: Array, b: Array, bias: Array | None, out: Array) -> Array:
        result = super().product_plus(a, b, bias, out)
        if bias is not None:
            result += self._noise(np.broadcast_to(np.abs(bias), result.shape))
        return result

    def sum_rows(self, a: Array) -> Array:
        total = super().sum_rows(a)
        total += self._noise(np.abs(a).sum(axis=0))
        return total

    def rounded(self, y: Array) -> None:
        y += self._noise(np.abs(y))

    def _noise(self, size: Array) -> Array:
        """Uniform in +-unit * size."""
        noise: Array = self._unit * size * self._rng.uniform(-1.0, 1.0, size.shape)
        return noise.astype(size.dtype, copy=False)


#: NumPy's matrix product.
BLAS: Arithmetic = _Blas()

#: Bitwise independent of the number of rows and of threads, and much slower.
EINSUM: Arithmetic = _Einsum()
