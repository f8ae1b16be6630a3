"""The PyCUDA accelerator: every sequence is stepped exactly its own length on the device.

``refrnn.forward(..., unroll="cuda")`` finds :class:`CudaUnroll` by itself; what is peculiar to it
is given to its constructor.

Importing this package, or any module of it, imports neither PyCUDA nor a driver: both are looked
for when work is done, and what is missing is a :class:`refrnn.errors.DeviceError` that says what to
do. On a machine without a GPU the same code runs on :mod:`refrnn_accel.softcuda`.

* :mod:`.unroll`: the unroll
* :mod:`.planner`, :mod:`.cut`: how W_hh is cut among blocks and threads, and what fits
* :mod:`.recurrence`, :mod:`.arguments`: the recurrence, launched
* :mod:`.products`, :mod:`.product_launches`: the matrix products before and after it
* :mod:`.context`: the CUDA context that work is done in, its device, its memory
* :mod:`.arrays`: arrays that lie on the device already
* :mod:`.modules`: from the kernels' sources to a loaded module: shipped PTX, or nvcc and a cache
* :mod:`.nvcc`, :mod:`.ptx`, :mod:`.sources`, :mod:`.shipped`: what of that the installation needs
  too, where there is nothing but the standard library
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .unroll import CudaUnroll

__all__ = ["CudaUnroll"]


def __getattr__(name: str) -> Any:
    """``CudaUnroll``, loaded when it is asked for: setup.py imports modules beside it."""
    if name != "CudaUnroll":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from .unroll import CudaUnroll

    return CudaUnroll
