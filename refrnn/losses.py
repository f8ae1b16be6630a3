"""Losses: value and gradient together, with weights, a mask, and a reduction that must be named.

A loss is computed for each row: a sequence (logits of shape (B, C)), a step of a RaggedBatch, or a
step of a padded array (T, B, C). Rows that a mask leaves out are indexed out, never multiplied by
zero, so whatever stands in them, NaN included, reaches nothing.
"""

from __future__ import annotations

from typing import Any, Literal, NamedTuple, cast

import numpy as np

from .ragged import RaggedBatch
from .types import Array, BoolArray, IntArray
from .validation import as_array, check_array, check_shape

__all__ = ["Loss", "mean_squared_error", "softmax_cross_entropy"]

Reduction = Literal["mean", "sum", "none"]


class Loss(NamedTuple):
    """A loss and its gradient.

    Attributes
    ----------
    value : scalar, or ndarray with one number a row
        In the dtype of the input; an array for ``reduction="none"``.
    gradient : RaggedBatch or ndarray
        Of the kind and shape of the input: what a layer's ``backward`` takes. For
        ``reduction="none"`` each row has the gradient of its own number. Exactly 0 in rows that
        do not count.
    """

    value: Any
    gradient: Any


class _Rows(NamedTuple):
    """The input of a loss: all rows, which of them count, and their weights."""

    given: Any  # as the caller gave it
    values: Array  # (..., C)
    counted: BoolArray  # (...)
    weights: Array  # of the rows that count


def softmax_cross_entropy(
    logits: Any,
    targets: Any,
    *,
    reduction: Reduction,
    weights: Any = None,
    mask: Any = None,
) -> Loss:
    """Cross-entropy of softmax(logits) and targets: ``-sum_k q_k log softmax(z)_k`` for each row.

    Parameters
    ----------
    logits : RaggedBatch with C features, or array_like of shape (..., C)
        Scores z before the softmax. "..." is at least one axis: (B, C), (N, C), (T, B, C).
    targets : array_like of int, shape (...), or array_like of float, shape (..., C)
        Class numbers 0 .. C-1, or probabilities q that add up to 1, in the dtype of the logits.
        For a RaggedBatch: shape (N,), or a RaggedBatch of probabilities or (N, C).
    reduction : {"mean", "sum", "none"}
        Weighted mean ``sum(w l) / sum(w)``, sum ``sum(w l)``, or ``w l`` for each row.
    weights : array_like of float, shape (...), optional
        w >= 0 for each row; 1 by default. A row of weight 0 does not count.
    mask : array_like of bool, shape (...), optional
        True where a row counts. All rows do by default.

    Returns
    -------
    Loss
        ``value`` and the gradient by the logits.

    Raises
    ------
    TypeError
        If a dtype is wrong, or probabilities and logits differ in it.
    ValueError
        If a shape disagrees, the reduction is unknown, or a row that counts has no class 0 .. C-1,
        no probabilities, or a weight that is negative or not finite. Targets and weights of rows
        that do not count may be anything.

    Notes
    -----
    The mean divides by the sum of the weights, as ``torch.nn.CrossEntropyLoss`` does with its
    class weights and ``keras.losses`` with ``mean_with_sample_weight``; without weights by the
    number of rows that count. If no row counts, the mean is 0, as in Keras, and so is the gradient.

    The largest logit is subtracted first, its own exp(0) = 1 goes through log1p, and the gradient
    ``p - q`` is evaluated as ``p (1 - q) - q (1 - p)`` with 1 - p from the *other* classes: losses
    and gradients far below the machine epsilon keep all their digits.

    Examples
    --------
    >>> import numpy as np
    >>> from refrnn.losses import softmax_cross_entropy
    >>> logits = np.array([[2.0, 0.0], [0.0, 50.0], [np.nan, 1.0]])
    >>> loss = softmax_cross_entropy(
    ...     logits, [0, 1, 0], mask=[True, True, False], reduction="none"
    ... )
    >>> loss.value
    array([1.26928011e-01, 1.92874985e-22, 0.00000000e+00])
    """
    reduction = _check_reduction(reduction)
    rows = _check_rows(logits, "logits", weights, mask)
    z = rows.values[rows.counted]
    q = _check_targets(targets, rows)
    with np.errstate(all="ignore"):
        p, p_others, log_p = _softmax(z)
        terms = np.where(q == 0, 0, q * log_p)  # a class without probability may be at -inf
        gradient = p * (1 - q) - q * p_others
        return _reduced(rows, -terms.sum(axis=-1), gradient, reduction)


def mean_squared_error(
    prediction: Any,
    target: Any,
    *,
    reduction: Reduction,
    weights: Any = None,
    mask: Any = None,
) -> Loss:
    """Mean squared error: ``mean_k (y_k - t_k)^2`` over the F features of each row.

    Parameters
    ----------
    prediction : RaggedBatch with F features, or array_like of shape (..., F)
    target : as the prediction, or array_like of shape (N, F) beside a RaggedBatch
        In its dtype. Rows that do not count may hold anything.
    reduction : {"mean", "sum", "none"}
        Of the rows: weighted mean ``sum(w l) / sum(w)``, sum ``sum(w l)``, or ``w l``. Without
        weights and mask the mean is that of all elements, as in PyTorch and Keras; the other two
        are Keras's (PyTorch's do not divide by F).
    weights : array_like of float, shape (...), optional
        w >= 0 for each row; 1 by default. A row of weight 0 does not count.
    mask : array_like of bool, shape (...), optional
        True where a row counts. All rows do by default.

    Returns
    -------
    Loss
        ``value`` and the gradient by the prediction. If no row counts, the mean is 0.

    Raises
    ------
    TypeError, ValueError
        If a dtype, a shape, a weight or the reduction is wrong.

    Examples
    --------
    >>> from refrnn.losses import mean_squared_error
    >>> loss = mean_squared_error([[1.0, 2.0], [3.0, 4.0]], [[0.0, 2.0], [3.0, 2.0]],
    ...                           reduction="mean")
    >>> float(loss.value), loss.gradient.tolist()
    (1.25, [[0.5, 0.0], [0.0, 1.0]])
    """
    reduction = _check_reduction(reduction)
    rows = _check_rows(prediction, "prediction", weights, mask)
    wanted = _like_input(target, "target", rows, "the shape of prediction")[rows.counted]
    features = rows.values.shape[-1]
    with np.errstate(all="ignore"):
        error = rows.values[rows.counted] - wanted
        return _reduced(
            rows, (error * error).sum(axis=-1) / features, 2 * error / features, reduction
        )


def _softmax(z: Array) -> tuple[Array, Array, Array]:
    """Softmax p of each row, 1 - p from the other classes, and log p."""
    largest = np.argmax(z.real, axis=-1, keepdims=True)  # of complex numbers, as branches do
    shifted = z - np.take_along_axis(z, largest, axis=-1)
    e = np.exp(shifted)
    np.put_along_axis(e, largest, 0, axis=-1)
    others = e.sum(axis=-1, keepdims=True)
    np.put_along_axis(e, largest, 1, axis=-1)
    p = e / (1 + others)
    p_others = 1 - p  # p <= 1/2 but for the largest, which is next
    np.put_along_axis(p_others, largest, others / (1 + others), axis=-1)
    return p, p_others, shifted - np.log1p(others)


def _reduced(rows: _Rows, losses: Array, gradient: Array, reduction: Reduction) -> Loss:
    """Weigh and reduce the losses of the rows that count, and spread their gradients."""
    weights = rows.weights
    if reduction == "mean":
        weights = weights / weights.sum()  # those that count are > 0; without any, 0 rows / 0
    d_input = np.zeros(rows.values.shape, rows.values.dtype)
    d_input[rows.counted] = weights[:, None] * gradient
    value: Any = weights * losses
    if reduction == "none":
        each = np.zeros(rows.counted.shape, rows.values.dtype)
        each[rows.counted] = value
        value = each
    else:
        value = value.sum()
    ragged = isinstance(rows.given, RaggedBatch)
    return Loss(value, rows.given.with_values(d_input) if ragged else d_input)


def _check_reduction(reduction: Any) -> Reduction:
    """One of the three names."""
    if not isinstance(reduction, str) or reduction not in ("mean", "sum", "none"):
        raise ValueError(f"reduction has value {reduction!r}, expected 'mean', 'sum' or 'none'")
    return cast(Reduction, reduction)


def _check_rows(given: Any, name: str, weights: Any, mask: Any) -> _Rows:
    """The rows of the input and which count: those of the mask whose weight is not 0."""
    if isinstance(given, RaggedBatch):
        values = given.values
    else:
        values = check_array(
            given, name, ndim=max(2, _rank(given)), rule="(..., C), at least two axes"
        )
    if values.shape[-1] == 0:
        raise ValueError(f"{name} has shape {values.shape}, expected at least one feature")
    shape = values.shape[:-1]
    counted = np.ones(shape, bool) if mask is None else _check_mask(mask, shape, name)
    real = values.real.dtype
    if weights is None:
        return _Rows(given, values, counted, np.ones(int(counted.sum()), real))
    array = check_array(weights, "weights", ndim=len(shape), rule=f"one number a row = {shape}")
    check_shape(array, "weights", shape, f"one number for each row of {name}")
    if array.dtype != real:
        raise TypeError(f"weights has dtype {array.dtype}, expected {real} as {name}")
    wrong = counted & ~((array >= 0) & np.isfinite(array))
    if wrong.any():
        where = tuple(int(i) for i in np.argwhere(wrong)[0])
        raise ValueError(
            f"weights[{', '.join(map(str, where))}] has value {array[where]}, expected a finite "
            "number >= 0"
        )
    counted = counted & (array != 0)
    return _Rows(given, values, counted, array[counted])


def _rank(given: Any) -> int:
    """Number of axes; 0 for nested lists of different lengths, which are no array."""
    try:
        return np.ndim(given)
    except ValueError:
        return 0


def _check_mask(mask: Any, shape: tuple[int, ...], name: str) -> BoolArray:
    """A bool array with one element a row."""
    array = as_array(mask, "mask", f"bool of shape {shape}")
    if array.dtype != np.bool_:
        raise TypeError(f"mask has dtype {array.dtype}, expected bool")
    check_shape(array, "mask", shape, f"one element for each row of {name}")
    return array


def _check_targets(targets: Any, rows: _Rows) -> Array:
    """Probabilities (n, C) of the rows that count; class numbers become 0 and 1."""
    shape = rows.counted.shape
    if not isinstance(targets, RaggedBatch) and _rank(targets) > 0:
        array = as_array(targets, "targets", f"class numbers {shape} or probabilities")
        no_rows = array.size == 0 and array.shape == shape  # an empty list is of floats
        if array.dtype.kind in "iu" or no_rows:
            return _one_hot(array, rows)
    q = _like_input(targets, "targets", rows, f"class numbers {shape} or probabilities")
    q = q[rows.counted]
    allowed = np.sqrt(np.finfo(q.dtype).eps)
    wrong = ~((q.real >= 0).all(axis=-1) & (np.abs(q.sum(axis=-1) - 1) <= allowed))
    if wrong.any():
        where = np.argwhere(rows.counted)[int(np.argmax(wrong))]
        raise ValueError(
            f"targets[{', '.join(map(str, where))}] has values {q[int(np.argmax(wrong))]}, "
            "expected numbers >= 0 that add up to 1"
        )
    return q


def _one_hot(classes: IntArray, rows: _Rows) -> Array:
    """Class numbers of the rows that count as rows of 0 and 1."""
    check_shape(classes, "targets", rows.counted.shape, "one class for each row of logits")
    count = rows.values.shape[-1]
    chosen = classes[rows.counted]
    wrong = (chosen < 0) | (chosen >= count)
    if wrong.any():
        at = int(np.argmax(wrong))
        where = np.argwhere(rows.counted)[at]
        raise ValueError(
            f"targets[{', '.join(map(str, where))}] has value {chosen[at]}, expected a class "
            f"0 <= target < C = {count}"
        )
    q = np.zeros((chosen.size, count), rows.values.real.dtype)
    q[np.arange(chosen.size), chosen.astype(np.int64)] = 1
    return q


def _like_input(other: Any, name: str, rows: _Rows, rule: str) -> Array:
    """An array of the input's shape and dtype; a RaggedBatch of the input's lengths."""
    if isinstance(other, RaggedBatch):
        given = rows.given
        if not isinstance(given, RaggedBatch) or not np.array_equal(other.lengths, given.lengths):
            raise ValueError(f"{name} has lengths {other.lengths.tolist()}, expected the input's")
        other = other.values
    values = rows.values
    array = check_array(other, name, ndim=values.ndim, rule=f"{rule} = {values.shape}")
    check_shape(array, name, values.shape, rule)
    if array.dtype != values.real.dtype:
        raise TypeError(f"{name} has dtype {array.dtype}, expected {values.real.dtype}")
    return array
