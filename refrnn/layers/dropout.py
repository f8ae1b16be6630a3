"""Dropout masks: drawn from a generator, and handed to layers as an argument."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..types import Array
from ..validation import check_array, check_dtype, check_shape

__all__ = ["draw_dropout_mask"]


def draw_dropout_mask(
    rng: np.random.Generator, p: float, shape: tuple[int, ...], dtype: Any = "float64"
) -> Array:
    """Draw a mask that drops each element with probability `p` and keeps the expectation.

    Parameters
    ----------
    rng : numpy.random.Generator
        Its float64 stream is used for every dtype, so the same elements are dropped in each.
    p : float
        0 <= p < 1.
    shape : tuple of int
    dtype : dtype
        float32, float64 or longdouble.

    Returns
    -------
    ndarray of `shape`
        0 with probability p, else 1 / (1 - p): "inverted" dropout [1]_, so that a run without a
        mask needs no correction.

    Raises
    ------
    TypeError, ValueError
        If `p` is no number in [0, 1) or the dtype is not allowed.

    References
    ----------
    .. [1] Srivastava et al. (2014), Dropout; scaled while training as in ``torch.nn.Dropout``.

    Examples
    --------
    >>> import numpy as np
    >>> from refrnn.layers import draw_dropout_mask
    >>> draw_dropout_mask(np.random.default_rng(0), 0.5, (2, 3))
    array([[2., 0., 0.],
           [0., 2., 2.]])
    """
    target = check_dtype(dtype, "dtype", complex_allowed=False)
    if isinstance(p, (bool, np.bool_)) or not isinstance(p, (int, float, np.floating)):
        raise TypeError(f"p has type {type(p).__name__}, expected a number in [0, 1)")
    if not 0 <= p < 1:
        raise ValueError(f"p has value {p}, expected a number in [0, 1)")
    kept = rng.random(shape) >= p
    mask: Array = kept.astype(target) / target.type(1 - p)
    return mask


def check_dropout_masks(
    masks: Any, count: int, shape: tuple[int, int], dtype: np.dtype[Any]
) -> tuple[Array, ...]:
    """The masks of a stack with `count` gaps between layers, as copies; () for None."""
    if masks is None:
        return ()
    if not isinstance(masks, (list, tuple)):
        raise TypeError(f"dropout_masks has type {type(masks).__name__}, expected a list of arrays")
    if len(masks) != count:
        raise ValueError(
            f"dropout_masks has length {len(masks)}, expected num_layers - 1 = {count}"
        )
    checked = []
    for i, mask in enumerate(masks):
        name = f"dropout_masks[{i}]"
        array = check_array(mask, name, ndim=2, rule=f"(N, D*R) = {shape}")
        check_shape(array, name, shape, "(N, D*R)")
        if array.dtype != dtype:
            raise TypeError(f"{name} has dtype {array.dtype}, expected {dtype} as x")
        checked.append(array.copy(order="C"))
    return tuple(checked)
