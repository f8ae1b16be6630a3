"""The kernels' arguments, laid out in memory as their structures in C++ are."""

from __future__ import annotations

from typing import Any

import numpy as np

__all__ = ["BACKWARD", "FORWARD", "arguments"]

_POINTER = np.uint64

SCHEDULE = np.dtype(
    [
        ("offsets", _POINTER),
        ("order", _POINTER),
        ("first_of_lane", _POINTER),
        ("steps", _POINTER),
        ("lanes", np.int32),
        ("lanes_of_team", np.int32),
        ("direction", np.int32),
    ],
    align=True,
)

MEETING = np.dtype(
    [
        ("slots", _POINTER),
        ("tickets", _POINTER),
        ("error", _POINTER),
        ("epoch", np.uint32),
        ("patience", np.uint32),
        ("blocks", np.int32),
    ],
    align=True,
)


def _structure(pointers: str) -> np.dtype[Any]:
    fields: list[tuple[str, Any]] = [("schedule", SCHEDULE), ("meeting", MEETING)]
    fields += [(name, _POINTER) for name in pointers.split()]
    return np.dtype([*fields, ("hidden_size", np.int32)], align=True)


#: ``ForwardArguments`` of kernels/forward.cuh.
FORWARD = _structure("weights b_hn h_0 c_0 a y c q h_n c_n")
#: ``BackwardArguments`` of kernels/backward.cuh.
BACKWARD = _structure("weights h_0 c_0 a y c q d_y d_h_n d_c_n d_a rh d_h_0 d_c_0")


def arguments(layout: np.dtype[Any], **values: Any) -> bytes:
    """A structure's bytes; what is not given is 0.

    Parameters
    ----------
    layout : dtype
        :data:`FORWARD` or :data:`BACKWARD`.
    **values : int or dict of str to int
        By the fields' names, a dict for a structure within; pointers as integers.

    Returns
    -------
    bytes
    """
    record = np.zeros((), layout)
    for name, value in values.items():
        if isinstance(value, dict):
            for inner, number in value.items():
                record[name][inner] = number
        else:
            record[name] = value
    return record.tobytes()
