"""The matrix products and sums around the recurrence, on the device."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import DTypeLike

from .product_launches import Launch, Matrix, ProductLaunches, Scratch

__all__ = ["Launch", "Matrix", "ProductLaunches", "Products", "Scratch"]

# Arguments of the kernels, as in kernels/products.cu.
_PRODUCT = "PqPqPPqqqqqq"
_FORMATS = {
    "nt": _PRODUCT,
    "nn": _PRODUCT,
    "tn": _PRODUCT,
    "add_chunks": "PqqqPqqqi",
    "column_sums": "PqPqqqq",
    "shift_rows": "PqPqqqi",
    "scatter_first_rows": "PqPPqqqi",
}


class Products:
    """The products on a device; every call only adds launches to a stream.

    Parameters
    ----------
    module : pycuda.driver.Module
        Of ``kernels/products.cu``.
    dtype : dtype
        float32 or float64.
    """

    def __init__(self, module: Any, dtype: DTypeLike) -> None:
        self.launches = ProductLaunches(dtype)
        suffix = np.dtype(dtype).itemsize * 8
        names = {f"products_{kernel}_f{suffix}": form for kernel, form in _FORMATS.items()}
        self._functions = {
            name: module.get_function(name).prepare(form) for name, form in names.items()
        }

        #: Is told of every launch.
        self.observer: Callable[[Launch], None] | None = None

    def gates(self, x: Matrix, w: Matrix, bias: int | None, out: Matrix, stream: Any) -> None:
        """See :meth:`ProductLaunches.gates`."""
        self._run(self.launches.gates(x, w, bias, out), stream)

    def input_gradient(self, d_a: Matrix, w: Matrix, out: Matrix, stream: Any) -> None:
        """See :meth:`ProductLaunches.input_gradient`."""
        self._run(self.launches.input_gradient(d_a, w, out), stream)

    def weight_gradient(
        self, d_a: Matrix, x: Matrix, out: Matrix, scratch: Scratch, stream: Any
    ) -> None:
        """See :meth:`ProductLaunches.weight_gradient`."""
        self._run(self.launches.weight_gradient(d_a, x, out, scratch), stream)

    def row_sums(self, d_a: Matrix, out: int, scratch: Scratch, stream: Any) -> None:
        """See :meth:`ProductLaunches.row_sums`."""
        self._run(self.launches.row_sums(d_a, out, scratch), stream)

    def previous_rows(
        self, y: Matrix, h_0: Matrix, offsets: int, direction: int, out: Matrix, stream: Any
    ) -> None:
        """See :meth:`ProductLaunches.previous_rows`."""
        self._run(self.launches.previous_rows(y, h_0, offsets, direction, out), stream)

    def _run(self, launches: list[Launch], stream: Any) -> None:
        for launch in launches:
            function = self._functions[launch.kernel]
            grid = (launch.blocks, 1)
            if self.observer is not None:
                self.observer(launch)
            function.prepared_async_call(grid, launch.threads, stream, *launch.arguments)
