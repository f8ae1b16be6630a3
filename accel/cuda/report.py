"""What ``refrnn info`` says of CUDA: which device, which PyCUDA, and where kernels come from."""

from __future__ import annotations

import importlib.metadata
from contextlib import suppress
from typing import Any

from refrnn.errors import DeviceError

from ..softcuda.build import BuildError
from .context import first_device
from .nvcc import find_nvcc
from .shipped import SHIPPED
from .sources import PACKAGE

__all__ = ["describe"]


def describe() -> dict[str, Any]:
    """Find out what there is, without making a context or compiling anything.

    Returns
    -------
    dict
        ``device`` (its name, or None), ``compute_capability`` (``"8.6"``), ``software`` (whether
        it is softcuda), ``reason`` (why there is no device, or None), ``pycuda`` (its version, or
        None) and ``kernels``, a sentence.
    """
    facts: dict[str, Any] = {
        "device": None, "compute_capability": None, "software": False, "reason": None,
        "pycuda": None, "kernels": _kernels(None),
    }  # fmt: skip
    with suppress(importlib.metadata.PackageNotFoundError):  # the reason says so
        facts["pycuda"] = importlib.metadata.version("pycuda")
    try:
        device = first_device()
    except DeviceError as error:
        return facts | {"reason": str(error)}
    return facts | {
        "device": device.name,
        "compute_capability": f"{device.architecture / 10:.1f}",
        "software": device.is_software,
        "kernels": _kernels(device.architecture),
    }


def _kernels(architecture: int | None) -> str:
    """Where kernels come from: for this device, or for whatever device there may be."""
    limit = 1000 if architecture is None else architecture
    wanted = {(entry.source, tuple(sorted(entry.defines.items()))) for entry in SHIPPED}
    there = [PACKAGE.shipped(source, dict(macros), limit) for source, macros in wanted]
    count = len(there) - there.count(None)
    try:
        nvcc = f"compiled with {find_nvcc()}"
    except BuildError as error:
        nvcc = f"not compiled: {error.reason}"
    if not count:
        return f"no PTX was shipped for these sources: they are {nvcc}"
    return f"shipped PTX ({count} of {len(there)} modules); others are {nvcc}"
