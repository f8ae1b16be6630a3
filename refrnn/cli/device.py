"""The device that accelerators work on: which one there is, and which one is asked for.

An accelerator is imported here when a command asks, and nowhere else in refrnn.
"""

from __future__ import annotations

import sys
from typing import Any

__all__ = ["DEVICES", "DeviceChoiceError", "describe", "use"]

#: What ``--device`` takes.
DEVICES = ("auto", "softcuda", "cuda")


class DeviceChoiceError(ValueError):
    """The device that was asked for cannot be had; the message says why."""


def describe() -> dict[str, Any]:
    """What there is for CUDA, as values that JSON can hold.

    Returns
    -------
    dict
        Keys ``device`` (a name, or None), ``compute_capability``, ``software``, ``reason`` (why
        there is no device, or None), ``pycuda`` (a version, or None) and ``kernels``.
    """
    try:
        from refrnn_accel.cuda import report
    except ImportError as error:
        return {
            "device": None, "compute_capability": None, "software": False, "pycuda": None,
            "kernels": "none", "reason": f"refrnn_accel.cuda is not installed: {error}",
        }  # fmt: skip
    facts: dict[str, Any] = report.describe()
    return facts


def use(choice: str) -> None:
    """Have accelerators work on this device. Must come before one of them is loaded.

    Parameters
    ----------
    choice : {"auto", "softcuda", "cuda"}
        "auto" leaves it to the driver that the process finds; "softcuda" makes that the device in
        software; "cuda" insists on one that is not.

    Raises
    ------
    DeviceChoiceError
        If this device cannot be had.
    """
    if choice == "auto":
        return
    if choice == "softcuda":
        _activate()
    facts = describe()
    if facts["device"] is None:
        raise DeviceChoiceError(f"--device has value {choice!r}, and {facts['reason']}")
    if facts["software"] != (choice == "softcuda"):
        raise DeviceChoiceError(
            f"--device has value {choice!r}, and the device of this process is {facts['device']}"
        )


def _activate() -> None:
    """Make softcuda the driver of this process; building it, where it must be, takes a while."""
    try:
        from refrnn_accel import softcuda

        softcuda.library(progress=lambda line: print(f"softcuda: {line}", file=sys.stderr))
        softcuda.activate()
    except (ImportError, RuntimeError, ValueError) as error:  # BuildError is a RuntimeError
        raise DeviceChoiceError(f"--device has value 'softcuda', and {error}") from error
