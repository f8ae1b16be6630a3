"""Weights of several directions or layers in one array: ONNX' first axis, jax' flat vector."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from ...types import Array
from ...validation import check_array, check_bool, check_integer, check_shape

__all__ = ["jax_flatten", "jax_unflatten", "onnx_stack", "onnx_unstack"]

_JAX_NAMES = ("W_ih", "W_hh", "b_ih", "b_hh")


def onnx_stack(directions: Sequence[Mapping[str, Any]]) -> dict[str, Array]:
    """The inputs of an ONNX operator, of the weights of its directions.

    Parameters
    ----------
    directions : sequence of mappings of str to array_like
        The weights of one direction, or of forward and reverse, as the ``onnx`` layouts have them:
        ``W`` (G*H, I), ``R`` (G*H, H), ``B`` (2*G*H,), ``P`` (3*H,).

    Returns
    -------
    dict of str to ndarray
        The same names, each array with a first axis of 1 or 2 directions.

    Raises
    ------
    TypeError
        If an array has a dtype that refrnn does not compute in, or dtypes are mixed.
    ValueError
        If there are not one or two directions, or they differ in names or shapes.

    Examples
    --------
    >>> import numpy as np
    >>> from refrnn.oracle.weights import onnx_stack
    >>> one = {"W": np.zeros((12, 2)), "R": np.zeros((12, 3))}
    >>> {name: array.shape for name, array in onnx_stack([one, one]).items()}
    {'W': (2, 12, 2), 'R': (2, 12, 3)}
    """
    _check_count(directions, "directions", (1, 2))
    checked = _alike(directions, "directions")
    return {name: np.stack([one[name] for one in checked]) for name in checked[0]}


def onnx_unstack(weights: Mapping[str, Any]) -> list[dict[str, Array]]:
    """The weights of each direction, of the inputs of an ONNX operator.

    Parameters
    ----------
    weights : mapping of str to array_like
        ``W``, ``R`` and what else there is, each with a first axis of 1 or 2 directions.

    Returns
    -------
    list of dict of str to ndarray
        The inverse of :func:`onnx_stack`; new arrays.

    Raises
    ------
    TypeError
        If an array has a dtype that refrnn does not compute in.
    ValueError
        If an array has another number of directions than the first, or not 1 or 2.
    """
    arrays = {n: check_array(a, f"weights[{n!r}]", ndim=None) for n, a in weights.items()}
    counts = {name: array.shape[:1] for name, array in arrays.items()}
    first = next(iter(counts.values()), None)
    for name, count in counts.items():
        if count not in ((1,), (2,)) or count != first:
            has = arrays[name].shape
            raise ValueError(f"weights[{name!r}] has shape {has}, expected (D, ...), D = 1 or 2")
    number = first[0] if first else 0
    return [{n: a[d].copy() for n, a in arrays.items()} for d in range(number)]


def jax_flatten(pseudo_layers: Sequence[Mapping[str, Any]]) -> Array:
    """The vector that ``jax.experimental.rnn.lstm`` takes as its weights.

    Parameters
    ----------
    pseudo_layers : sequence of mappings of str to array_like
        ``W_ih``, ``W_hh``, ``b_ih``, ``b_hh`` of each layer and direction, number layer*D +
        direction, as ``LAYOUTS["jax.experimental.rnn.lstm"]`` has them.

    Returns
    -------
    ndarray of shape (n,)
        The matrices of every pseudo-layer, then the biases of every one. New.

    Raises
    ------
    TypeError
        If an array has a dtype that refrnn does not compute in, or dtypes are mixed.
    ValueError
        If there is no pseudo-layer, or names or shapes are wrong.
    """
    _check_count(pseudo_layers, "pseudo_layers", None)
    layers = [_checked_layer(layer, f"pseudo_layers[{k}]") for k, layer in enumerate(pseudo_layers)]
    first = layers[0]["W_hh"]
    for k, layer in enumerate(layers):
        for name, array in layer.items():
            _check_dtype(array, f"pseudo_layers[{k}][{name!r}]", first.dtype)
        check_shape(layer["W_hh"], f"pseudo_layers[{k}]['W_hh']", first.shape, "that of the first")
    return np.concatenate([layers[k][name].ravel() for k, name in _jax_order(len(layers))])


def jax_unflatten(
    vector: Any,
    input_size: int,
    hidden_size: int,
    *,
    num_layers: int = 1,
    bidirectional: bool = False,
) -> list[dict[str, Array]]:
    """The weights of each pseudo-layer: the inverse of :func:`jax_flatten`.

    Parameters
    ----------
    vector : array_like of shape (n,)
    input_size, hidden_size, num_layers : int
    bidirectional : bool
        As ``jax.experimental.rnn.lstm`` takes them.

    Returns
    -------
    list of dict of str to ndarray
        Number layer*D + direction; new arrays.

    Raises
    ------
    TypeError
        If the vector has a dtype that refrnn does not compute in.
    ValueError
        If it has another number of numbers.
    """
    I = check_integer(input_size, "input_size", minimum=1)  # noqa: E741 - letters of the field
    H = check_integer(hidden_size, "hidden_size", minimum=1)
    layers = check_integer(num_layers, "num_layers", minimum=1)
    D = 2 if check_bool(bidirectional, "bidirectional") else 1
    shapes = [_jax_shapes(I if k < D else D * H, H) for k in range(layers * D)]
    places = [(k, name, shapes[k][name]) for k, name in _jax_order(len(shapes))]
    ends = np.cumsum([int(np.prod(shape)) for _, _, shape in places])
    numbers = check_array(vector, "vector", ndim=1, rule=f"({ends[-1]},)")
    if numbers.size != ends[-1]:
        raise ValueError(f"vector has shape {numbers.shape}, expected ({ends[-1]},)")
    pseudo_layers: list[dict[str, Array]] = [{} for _ in shapes]
    for (k, name, shape), piece in zip(places, np.split(numbers, ends[:-1]), strict=True):
        pseudo_layers[k][name] = piece.reshape(shape).copy()
    return pseudo_layers


def _jax_order(count: int) -> list[tuple[int, str]]:
    """The arrays of the flat vector: all matrices, then all biases, by pseudo-layer and name."""
    kinds = (_JAX_NAMES[:2], _JAX_NAMES[2:])
    return [(k, name) for names in kinds for k in range(count) for name in names]


def _jax_shapes(input_size: int, hidden_size: int) -> dict[str, tuple[int, ...]]:
    """The arrays of one pseudo-layer."""
    rows = 4 * hidden_size
    shapes = ((rows, input_size), (rows, hidden_size), (rows,), (rows,))
    return dict(zip(_JAX_NAMES, shapes, strict=True))


def _checked_layer(layer: Mapping[str, Any], argument: str) -> dict[str, Array]:
    """The arrays of one pseudo-layer, if its names and shapes fit one another."""
    if set(layer) != set(_JAX_NAMES):
        names = sorted(map(str, layer))
        raise ValueError(f"{argument} has names {names}, expected {list(_JAX_NAMES)}")
    ranks = {name: 1 if name.startswith("b") else 2 for name in _JAX_NAMES}
    arrays = {
        name: check_array(layer[name], f"{argument}[{name!r}]", ndim=ndim, rule=f"{ndim} axes")
        for name, ndim in ranks.items()
    }
    shapes = _jax_shapes(arrays["W_ih"].shape[1], arrays["W_hh"].shape[1])
    for name, shape in shapes.items():
        check_shape(arrays[name], f"{argument}[{name!r}]", shape, "what its columns make")
    return arrays


def _check_dtype(array: Array, name: str, dtype: np.dtype[Any]) -> None:
    """Refuse arrays of mixed dtypes, which NumPy would widen."""
    if array.dtype != dtype:
        raise TypeError(f"{name} has dtype {array.dtype}, expected {dtype} as the first")


def _check_count(given: Any, argument: str, allowed: tuple[int, ...] | None) -> None:
    """Refuse what is no sequence of as many mappings as there may be."""
    if not isinstance(given, Sequence) or not all(isinstance(one, Mapping) for one in given):
        has = type(given).__name__
        raise TypeError(f"{argument} has type {has}, expected a sequence of mappings")
    if not given or (allowed is not None and len(given) not in allowed):
        rule = "at least 1" if allowed is None else " or ".join(map(str, allowed))
        raise ValueError(f"{argument} has length {len(given)}, expected {rule}")


def _alike(given: Sequence[Mapping[str, Any]], argument: str) -> list[dict[str, Array]]:
    """Mappings of arrays that agree in names, shapes and dtypes."""
    checked = [
        {n: check_array(a, f"{argument}[{k}][{n!r}]", ndim=None) for n, a in one.items()}
        for k, one in enumerate(given)
    ]
    first = checked[0]
    for k, one in enumerate(checked):
        if set(one) != set(first):
            raise ValueError(f"{argument}[{k}] has names {list(one)}, expected {list(first)}")
        for name, array in one.items():
            where = f"{argument}[{k}][{name!r}]"
            check_shape(array, where, first[name].shape, "that of the first")
            _check_dtype(array, where, first[name].dtype)
    return checked
