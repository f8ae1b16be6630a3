"""The exceptions that are refrnn's own; everything else is a ValueError or a TypeError."""

from __future__ import annotations

__all__ = ["DeviceError", "UnsupportedCase"]


class UnsupportedCase(ValueError):
    """An unroll was asked for something it cannot do; the message says what and why.

    Raised instead of silently doing something else. ``unroll.supports(cell, dtype)`` answers the
    same question without running anything.
    """


class DeviceError(RuntimeError):
    """An accelerator's device failed while it worked; the message names launch and cause."""
