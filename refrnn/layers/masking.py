"""Masking: a padded array in, a ragged batch of its real steps out."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

from ..padding import unmask
from ..parameters import CellParameters
from ..ragged import RaggedBatch
from ..types import Array, BoolArray, IntArray
from ..validation import check_array, check_bool, check_padding_value
from .base import LayerGradients, check_tape, cotangent_rows, named_parameters

__all__ = ["Masking", "MaskingTape"]


class MaskingTape(NamedTuple):
    """What :meth:`Masking.backward` needs.

    Attributes
    ----------
    mask : ndarray of bool, shape (B, T), or (T, B) if not ``batch_first``
        Where the real steps are.
    lengths : ndarray of int64, shape (B,)
    features : int
    dtype : dtype
    batch_first : bool
    """

    mask: BoolArray
    lengths: IntArray
    features: int
    dtype: np.dtype[Any]
    batch_first: bool


class Masking:
    """Leave out the steps at which every feature has the mask's value, as ``keras.layers.Masking``.

    A step with one feature of another value is real. Steps may be masked anywhere, not only at the
    end: a recurrent cell carries its state through a hole, so holes are closed up.

    Parameters
    ----------
    mask_value : float
        Compared in the dtype of the input. NaN masks the steps at which every feature is NaN
        (in Keras it masks nothing, because NaN differs from itself).
    batch_first : bool
        Whether inputs are (B, T, F), as in Keras, or (T, B, F).

    Notes
    -----
    No parameters: ``init_parameters`` gives an empty record.

    Examples
    --------
    >>> import numpy as np, refrnn as rr
    >>> padded = np.zeros((2, 3, 1))
    >>> padded[0, :, 0] = 1, 0, 2
    >>> batch, tape = rr.layers.Masking().forward({}, padded)
    >>> batch.lengths, batch[0].ravel()
    (array([2, 0]), array([1., 2.]))
    """

    __slots__ = ("batch_first", "mask_value")

    mask_value: float
    batch_first: bool

    def __init__(self, mask_value: float = 0.0, *, batch_first: bool = True) -> None:
        self.mask_value = check_padding_value(mask_value, "mask_value")
        self.batch_first = check_bool(batch_first, "batch_first")

    def parameter_shapes(self) -> dict[str, tuple[int, ...]]:
        """No parameter has a shape."""
        return {}

    def init_parameters(self, rng: np.random.Generator, dtype: Any = "float64") -> CellParameters:
        """An empty record; draws nothing."""
        return CellParameters({})

    def check_parameters(self, parameters: Mapping[str, Any]) -> CellParameters:
        """An empty record; ValueError if `parameters` is not empty."""
        named_parameters(parameters, {}, self)
        return CellParameters({})

    def forward(self, parameters: Mapping[str, Any], x: Any) -> tuple[RaggedBatch, MaskingTape]:
        """Take the real steps out of a padded array.

        Parameters
        ----------
        parameters : mapping
            Empty.
        x : array_like of shape (B, T, F), or (T, B, F) if not ``batch_first``

        Returns
        -------
        y : RaggedBatch
            Its rows are copies.
        tape : MaskingTape

        Raises
        ------
        TypeError, ValueError
            If `x` has another rank or dtype than stated, or there are parameters.
        """
        self.check_parameters(parameters)
        rule = "(B, T, F)" if self.batch_first else "(T, B, F)"
        values: Array = check_array(x, "x", ndim=3, rule=rule)
        if np.isnan(self.mask_value):
            mask = ~np.isnan(values.real).all(axis=2)
        else:
            mask = (values.real != self.mask_value).any(axis=2)
        batch = RaggedBatch.from_mask(values, mask, batch_first=self.batch_first)
        tape = MaskingTape(mask, batch.lengths, batch.features, batch.dtype, self.batch_first)
        return batch, tape

    def backward(self, tape: MaskingTape, d_y: Any = None) -> LayerGradients:
        """Put the rows of a cotangent back to their steps; exactly 0 at masked ones.

        Parameters
        ----------
        tape : MaskingTape
        d_y : RaggedBatch or ndarray of shape (N, F), optional
            Zero if None.

        Returns
        -------
        LayerGradients
            ``input`` has the shape of x.

        Raises
        ------
        TypeError, ValueError
            If the cotangent's kind, shape or dtype disagrees.
        """
        check_tape(tape, MaskingTape)
        shape = (int(tape.lengths.sum()), tape.features)
        rows = cotangent_rows(d_y, shape, tape.dtype, tape.lengths)
        return LayerGradients(
            CellParameters({}), unmask(rows, tape.mask, batch_first=tape.batch_first)
        )

    def __repr__(self) -> str:
        return f"Masking({self.mask_value}, batch_first={self.batch_first})"
