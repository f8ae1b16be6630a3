"""The PyCUDA accelerator: every sequence is stepped exactly its own length on the device.

Importing this package, or any module of it, imports neither PyCUDA nor a driver: both are looked
for when work is done, and what is missing is a :class:`refrnn.errors.DeviceError` that says what to
do. On a machine without a GPU the same code runs on :mod:`refrnn_accel.softcuda`.

* :mod:`.context`: the CUDA context that work is done in, its device, its memory
* :mod:`.arrays`: arrays that lie on the device already
* :mod:`.modules`: from the kernels' sources to a loaded module: shipped PTX, or nvcc and a cache
* :mod:`.nvcc`, :mod:`.ptx`, :mod:`.sources`, :mod:`.shipped`: what of that the installation needs
  too, where there is nothing but the standard library
"""

from __future__ import annotations

__all__: list[str] = []
