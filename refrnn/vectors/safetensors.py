"""The safetensors format: what is needed of it to write float64 and int64 arrays and read them.

A file is the length of the header, 8 bytes little-endian; the header, a JSON object with for each
name ``dtype``, ``shape`` and ``data_offsets`` (first byte and end, counted from the end of the
header), padded with spaces so that the data begins at a multiple of 8; and the numbers, array after
array in C order, little-endian, without gaps. [1]_

References
----------
.. [1] https://huggingface.co/docs/safetensors
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import numpy as np

from ..types import Array

__all__ = ["dump", "load"]

_DTYPES = {"F64": np.dtype("<f8"), "I64": np.dtype("<i8")}
_NAMES = {np.dtype(np.float64): "F64", np.dtype(np.int64): "I64"}
_METADATA = "__metadata__"


def dump(arrays: Mapping[str, Array], metadata: Mapping[str, str]) -> bytes:
    """The bytes of a file: the same for the same arrays, in their order.

    Parameters
    ----------
    arrays : mapping of str to ndarray
        float64 or int64.
    metadata : mapping of str to str

    Raises
    ------
    TypeError
        If an array has another dtype.
    """
    header: dict[str, Any] = {_METADATA: dict(metadata)}
    parts: list[bytes] = []
    offset = 0
    for name, array in arrays.items():
        dtype = _NAMES.get(array.dtype)
        if dtype is None:
            raise TypeError(f"{name} has dtype {array.dtype}, expected float64 or int64")
        data = array.astype(_DTYPES[dtype]).tobytes(order="C")
        end = offset + len(data)
        header[name] = {"dtype": dtype, "shape": list(array.shape), "data_offsets": [offset, end]}
        parts.append(data)
        offset = end
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    return b"".join([len(text).to_bytes(8, "little"), text, *parts])


def load(data: bytes) -> dict[str, Array]:
    """The arrays of a file, in its order; new arrays of native float64 or int64.

    Raises
    ------
    ValueError
        If it is no such file, is cut short or has gaps, or has an array of another dtype.
    """
    size = int.from_bytes(data[:8], "little")
    if len(data) < 8 or size > len(data) - 8:
        raise ValueError(
            f"data has {len(data)} bytes, expected a header of {size} after the first 8"
        )
    try:
        header = json.loads(data[8 : 8 + size])
    except ValueError as error:
        raise ValueError(f"data has a header that is no JSON ({error})") from error
    if not isinstance(header, dict):
        raise ValueError("data has a header that is no JSON object, expected one")
    body, arrays, end = data[8 + size :], {}, 0
    for name, facts in header.items():
        if name != _METADATA:
            arrays[name], end = _array(name, facts, body, end)
    if end != len(body):
        raise ValueError(f"data has {len(body)} bytes after the header, expected {end}")
    return arrays


def _array(name: str, facts: Any, body: bytes, start: int) -> tuple[Array, int]:
    """One array, which must begin at `start`; and its end."""
    try:
        dtype, shape = _DTYPES[facts["dtype"]], tuple(facts["shape"])
        first, end = facts["data_offsets"]
        count = 1
        for n in shape:
            count *= n
        is_sound = min(shape, default=0) >= 0 and end - first == count * dtype.itemsize
        if first != start or end > len(body) or not is_sound:
            raise ValueError(f"offsets {first} to {end}")
        array = np.frombuffer(body[first:end], dtype).reshape(shape)
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError(f"data has array {name!r} that cannot be read ({error!r})") from error
    return array.astype(dtype.newbyteorder("=")), end
