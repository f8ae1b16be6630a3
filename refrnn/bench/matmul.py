"""The rate of a large matrix product on this machine: what the rate of a recurrence is held to.

No unroll can multiply faster than the best matrix product there is. That of NumPy's BLAS is timed,
and that of PyTorch where it is installed, each in a process of its own with the same threads and
dtype, in turn with the contestants.
"""

from __future__ import annotations

import importlib
import importlib.util
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

from .flops import matmul_flops
from .timing import Sample, Summary

__all__ = ["LIBRARIES", "Product", "best_rate", "installed", "make_product"]

#: Who multiplies: a module name.
LIBRARIES = ("numpy", "torch")


class Product(NamedTuple):
    """The timings of one library's matrix product.

    Attributes
    ----------
    library : str
        Of :data:`LIBRARIES`.
    size : int
        Rows and columns of both factors.
    dtype : str
    reason : str
        Why it was not timed; empty where it was.
    samples : list of Sample
    summary : Summary or None
    """

    library: str
    size: int
    dtype: str
    reason: str
    samples: list[Sample]
    summary: Summary | None

    @property
    def rate(self) -> float | None:
        """Floating-point operations a second, by the median time."""
        return None if self.summary is None else matmul_flops(self.size) / self.summary.median


def best_rate(products: Sequence[Product], dtype: str) -> float | None:
    """Operations a second of the fastest product of this dtype; None where none was timed.

    Parameters
    ----------
    products : sequence of Product
    dtype : str
    """
    rates = [p.rate for p in products if p.dtype == dtype and p.rate is not None]
    return max(rates, default=None)


def installed() -> list[str]:
    """Those of :data:`LIBRARIES` that are there."""
    return [name for name in LIBRARIES if importlib.util.find_spec(name) is not None]


def make_product(library: str, size: int, dtype: str, threads: int) -> Callable[[], object]:
    """A call that multiplies two square matrices into a third, in the process that will time it.

    Parameters
    ----------
    library : str
        Of :data:`LIBRARIES`.
    size : int
    dtype : str
    threads : int
        Threads it may use. The environment of the process has told NumPy's BLAS already.
    """
    rng = np.random.default_rng(0)
    a, b = (rng.standard_normal((size, size)).astype(dtype) for _ in range(2))
    out = np.empty_like(a)
    if library == "numpy":
        return lambda: np.matmul(a, b, out=out)
    torch: Any = importlib.import_module("torch")
    torch.set_num_threads(threads)
    factors = [torch.from_numpy(array) for array in (a, b)]
    result = torch.from_numpy(out)
    return lambda: torch.mm(*factors, out=result)
