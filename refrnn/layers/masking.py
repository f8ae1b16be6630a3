"""Masking: a padded array in, a ragged batch of its real steps out."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

from ..padding import unmask
from ..parameters import CellParameters
from ..ragged import RaggedBatch
from ..types import Array, BoolArray, IntArray
from ..validation import check_array, check_bool, check_dtype
from .base import Layer, LayerGradients, LayerRun, check_cotangent, check_tape

__all__ = ["Masking", "MaskingTape"]


class MaskingTape(NamedTuple):
    """What :meth:`Masking.backward` needs.

    Attributes
    ----------
    mask : ndarray of bool, shape (B, T), or (T, B) if not `batch_first`
        Where the real steps are; :func:`refrnn.padding.unmask` takes it.
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


class Masking(Layer):
    """Leave out the steps at which every feature equals the mask's value, as Keras's Masking does.

    A step with one feature of another value is real. Steps may be masked anywhere, not only at the
    end: a recurrent cell carries its state through a hole, so holes are closed up.

    Parameters
    ----------
    mask_value : float
        Compared in the dtype of the input. NaN masks the steps at which every feature is NaN
        (in Keras it masks none, since NaN differs from itself).
    batch_first : bool
        Whether inputs are (B, T, F), as in Keras, or (T, B, F).

    Raises
    ------
    TypeError
        If `mask_value` is no number or `batch_first` no bool.

    Notes
    -----
    There are no parameters: ``init_parameters`` gives an empty record. [1]_

    References
    ----------
    .. [1] ``keras.layers.Masking``, Keras 3.

    Examples
    --------
    >>> import numpy as np
    >>> from refrnn.layers import Masking
    >>> padded = np.zeros((2, 3, 1))
    >>> padded[0, :, 0] = 1, 0, 2
    >>> batch, tape = Masking().forward({}, padded)
    >>> batch.lengths, batch[0].ravel()
    (array([2, 0]), array([1., 2.]))
    """

    input_size: None = None
    output_size: None = None
    mask_value: float
    batch_first: bool

    def __init__(self, mask_value: float = 0.0, *, batch_first: bool = True) -> None:
        if isinstance(mask_value, (bool, np.bool_)) or not isinstance(
            mask_value, (int, float, np.integer, np.floating)
        ):
            raise TypeError(f"mask_value has type {type(mask_value).__name__}, expected a number")
        self.mask_value = float(mask_value)
        self.batch_first = check_bool(batch_first, "batch_first")

    def parameter_shapes(self) -> dict[str, tuple[int, ...]]:
        """No parameters."""
        return {}

    def init_parameters(self, rng: np.random.Generator, dtype: Any = "float64") -> CellParameters:
        """An empty record; nothing is drawn from `rng`."""
        check_dtype(dtype, "dtype", complex_allowed=False)
        return CellParameters({})

    def forward(self, params: Mapping[str, Any], x: Any) -> LayerRun:
        """Take the real steps out of a padded array.

        Parameters
        ----------
        params : mapping
            Empty.
        x : array_like of shape (B, T, F), or (T, B, F) if not `batch_first`
            Of complex numbers (the complex step) the real parts are compared.

        Returns
        -------
        LayerRun
            ``output`` is a RaggedBatch whose rows are copies, ``tape.mask`` says where they stood.

        Raises
        ------
        TypeError, ValueError
            If `x` has another rank or dtype, `mask_value` does not fit its dtype, or `params` is
            not empty.
        """
        self.check_parameters(params)
        rule = "(B, T, F)" if self.batch_first else "(T, B, F)"
        values = check_array(x, "x", ndim=3, rule=rule)
        mask = self._mask(values.real)
        batch = RaggedBatch.from_mask(values, mask, batch_first=self.batch_first)
        tape = MaskingTape(mask, batch.lengths, batch.features, batch.dtype, self.batch_first)
        return LayerRun(batch, tape)

    def backward(self, tape: MaskingTape, d_output: Any = None) -> LayerGradients:
        """Put the rows of a cotangent back to their steps; exactly 0 at masked ones.

        Parameters
        ----------
        tape : MaskingTape
        d_output : RaggedBatch or ndarray of shape (N, F), optional
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
        rows = check_cotangent(d_output, shape, tape.dtype, tape.lengths)
        d_x = unmask(rows, tape.mask, batch_first=tape.batch_first)
        return LayerGradients(CellParameters({}), d_x)

    def _mask(self, values: Array) -> BoolArray:
        """True at the steps that are real."""
        if np.isnan(self.mask_value):
            return np.asarray(~np.isnan(values).all(axis=2))
        with np.errstate(over="ignore"):
            value = values.dtype.type(self.mask_value)
        if np.isinf(value) and not np.isinf(self.mask_value):
            raise ValueError(
                f"mask_value has value {self.mask_value}, expected a number that {values.dtype} "
                "can hold as x"
            )
        return np.asarray((values != value).any(axis=2))

    def __repr__(self) -> str:
        shown = "" if self.batch_first else ", batch_first=False"
        return f"Masking({self.mask_value}{shown})"
