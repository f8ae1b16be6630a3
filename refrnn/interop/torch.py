"""PyTorch's two ragged containers: nested tensors of both layouts, and PackedSequence."""

from __future__ import annotations

from typing import Any

import numpy as np

from .. import packing
from ..ragged import RaggedBatch
from .checks import check_host_batch, require

__all__ = [
    "from_nested_tensor",
    "from_packed_sequence",
    "to_nested_tensor",
    "to_packed_sequence",
]

_FLOATS = ("float32", "float64")


def from_nested_tensor(nested: Any) -> RaggedBatch:
    """Make a batch from a nested tensor of shape (B, length, F); rows are copied.

    Parameters
    ----------
    nested : torch.Tensor, nested
        float32 or float64, of layout ``torch.strided`` or ``torch.jagged``, contiguous or not, on
        any device; one that requires a gradient is detached.

    Raises
    ------
    ImportError
        If PyTorch is not installed.
    TypeError
        If `nested` is no nested tensor, of another dtype, or on the device meta.
    ValueError
        If its tensors are not (length, F) with one F, the ragged dimension is another, or there is
        no tensor to count F on: a strided one without any does not keep it.
    """
    torch = require("torch", "from_nested_tensor")
    if not (isinstance(nested, torch.Tensor) and nested.is_nested):
        raise TypeError(f"nested has type {_kind(nested)}, expected a nested tensor of torch")
    dtype = _check_tensor(nested, "nested")
    if nested.layout == torch.strided and nested.size(0) == 0:
        raise ValueError(
            "nested has no tensors, expected at least one: layout torch.strided does not keep F "
            "of an empty batch"
        )
    if nested.dim() != 3:
        raise ValueError(f"nested has {nested.dim()} dimensions, expected 3: (B, length, F)")
    features = None
    if nested.layout == torch.jagged:
        features = nested.shape[2]
        if not isinstance(features, int):  # the ragged size is symbolic
            raise ValueError("nested has ragged dimension 2, expected 1: (B, length, F)")
    parts = [part.numpy() for part in nested.detach().cpu().unbind()]
    width = parts[0].shape[1] if features is None else features
    for i, part in enumerate(parts):
        if part.shape[1] != width:
            raise ValueError(
                f"nested[{i}] has shape {part.shape}, expected (length, F) with F = {width}"
            )
    return RaggedBatch.from_sequences(parts, features=width, dtype=dtype)


def to_nested_tensor(batch: RaggedBatch, *, layout: Any = None, device: Any = "cpu") -> Any:
    """The nested tensor of a batch, of shape (B, length, F); rows are copied.

    Parameters
    ----------
    batch : RaggedBatch
        float32 or float64, in host memory.
    layout : torch.layout, optional
        ``torch.jagged`` (the default, which is the one PyTorch develops) or ``torch.strided``, at
        whose first use PyTorch warns.
    device : str or torch.device

    Returns
    -------
    torch.Tensor, nested
        It requires no gradient.

    Raises
    ------
    ImportError
        If PyTorch is not installed.
    TypeError
        If `batch` is no batch in host memory or of another dtype, or `layout` is no layout.
    ValueError
        If `layout` is another one, or a batch without sequences is to be strided: F would be lost.
    """
    values = check_host_batch(batch, "to_nested_tensor", _FLOATS)
    torch = require("torch", "to_nested_tensor")
    layout = torch.jagged if layout is None else layout
    if not isinstance(layout, torch.layout):
        raise TypeError(f"layout has type {type(layout).__name__}, expected a torch.layout")
    rows = torch.tensor(values, device=device)
    if layout == torch.jagged:
        offsets = torch.tensor(batch.offsets, device=device)
        return torch.nested.nested_tensor_from_jagged(rows, offsets=offsets)
    if layout != torch.strided:
        raise ValueError(f"layout has value {layout}, expected torch.jagged or torch.strided")
    if len(batch) == 0:
        raise ValueError(
            "batch has no sequences, expected at least one: layout torch.strided does not keep F "
            "of an empty batch"
        )
    return torch.nested.as_nested_tensor(
        list(rows.split(batch.lengths.tolist())), layout=torch.strided
    )


def from_packed_sequence(packed: Any) -> RaggedBatch:
    """Make a batch from PyTorch's PackedSequence, in the order before it was sorted.

    Parameters
    ----------
    packed : torch.nn.utils.rnn.PackedSequence
        ``data`` of shape (N, F), float32 or float64, on any device; rows are copied, and what
        requires a gradient is detached. Without indices (``enforce_sorted=True``) the batch has
        the packed order.

    Raises
    ------
    ImportError
        If PyTorch is not installed.
    TypeError
        If `packed` is no PackedSequence of PyTorch, or of another dtype.
    ValueError
        If ``data`` has another rank, or the parts do not belong together.
    """
    torch = require("torch", "from_packed_sequence")
    if not isinstance(packed, torch.nn.utils.rnn.PackedSequence):
        hint = " (refrnn.packing.unpack takes it)" * isinstance(packed, packing.PackedSequence)
        raise TypeError(
            f"packed has type {type(packed).__name__}, expected a "
            f"torch.nn.utils.rnn.PackedSequence{hint}"
        )
    _check_tensor(packed.data, "packed.data")
    sizes = packed.batch_sizes.numpy()
    order, place = packed.sorted_indices, packed.unsorted_indices
    if order is None and place is not None:  # torch makes the latter of the former
        raise ValueError("packed has unsorted_indices alone, expected sorted_indices too")
    if order is None:
        as_packed = np.arange(sizes[0] if sizes.size else 0)
        indices = (as_packed, as_packed)
    else:
        indices = (order.cpu().numpy(), place.cpu().numpy())
    data = packed.data.detach().cpu().numpy()
    return packing.unpack(packing.PackedSequence(data, sizes, *indices))


def to_packed_sequence(batch: RaggedBatch, *, device: Any = "cpu") -> Any:
    """PyTorch's PackedSequence of a batch; rows are copied.

    Parameters
    ----------
    batch : RaggedBatch
        float32 or float64, in host memory, with at least one sequence and none of length 0, for
        which PyTorch has no place.
    device : str or torch.device
        Of everything but ``batch_sizes``, which PyTorch wants on the host.

    Returns
    -------
    torch.nn.utils.rnn.PackedSequence
        Both indices are there, as ``enforce_sorted=False`` makes them.

    Raises
    ------
    ImportError
        If PyTorch is not installed.
    TypeError
        If `batch` is no batch in host memory, or of another dtype.
    ValueError
        If it has no sequence, or one of length 0; the message names it.
    """
    check_host_batch(batch, "to_packed_sequence", _FLOATS)
    if len(batch) == 0:
        raise ValueError("batch has no sequences, expected at least one: PyTorch packs no others")
    empty = np.flatnonzero(batch.lengths == 0)
    if empty.size:
        raise ValueError(
            f"batch has length 0 at sequence {empty[0]}, expected lengths >= 1: PyTorch packs no "
            "others"
        )
    torch = require("torch", "to_packed_sequence")
    data, batch_sizes, order, place = packing.pack(batch)
    return torch.nn.utils.rnn.PackedSequence(
        torch.tensor(data, device=device),
        torch.tensor(batch_sizes),
        torch.tensor(order, device=device),
        torch.tensor(place, device=device),
    )


def _check_tensor(tensor: Any, name: str) -> np.dtype[Any]:
    """The NumPy dtype of a tensor whose numbers can be had."""
    dtype = str(tensor.dtype).removeprefix("torch.")
    if dtype not in _FLOATS:
        raise TypeError(f"{name} has dtype {dtype}, expected {' or '.join(_FLOATS)}")
    if tensor.is_meta:
        raise TypeError(f"{name} has device meta without numbers, expected one with numbers")
    return np.dtype(dtype)


def _kind(value: Any) -> str:
    """What a value is, if it is no nested tensor."""
    plain = hasattr(value, "is_nested")
    return f"{type(value).__name__} that is not nested" if plain else type(value).__name__
