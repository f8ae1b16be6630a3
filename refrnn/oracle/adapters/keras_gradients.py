"""Call a layer of Keras and differentiate it, in the way of the backend that Keras runs on.

TensorFlow records the call on a ``GradientTape``, PyTorch on its own graph; JAX differentiates the
layer's ``stateless_call``, which takes the weights as arguments. No weight, gradient or seed of the
layer is other afterwards.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

import numpy as np

from ...types import Array

__all__ = ["Call", "Differentiated", "differentiate"]


class Call(NamedTuple):
    """What a layer is called with.

    Attributes
    ----------
    layer : keras.Layer
    variables : sequence of keras.Variable
        Its weights, in the order in which gradients are wanted.
    x : ndarray of shape (B, T, I)
    mask : ndarray of bool, shape (B, T), or None
    states : nested list of ndarrays (B, size), or None
        The argument ``initial_state``.
    cotangents : sequence of ndarray
        One for each array that the layer should return.
    """

    layer: Any
    variables: Sequence[Any]
    x: Array
    mask: Array | None
    states: Any
    cotangents: Sequence[Array]


class Differentiated(NamedTuple):
    """What came of a call; every array as the backend made it.

    Attributes
    ----------
    outputs : list of ndarray
    d_x : ndarray or None
    d_states : list of ndarray or None
        In the order of the flattened ``initial_state``.
    d_variables : list of ndarray or None

    Notes
    -----
    All gradients are None where an output has another shape than its cotangent.
    """

    outputs: list[Any]
    d_x: Any
    d_states: list[Any]
    d_variables: list[Any]


#: Gradients of outputs, one for each leaf.
_Pull = Callable[[list[Any]], list[Any]]


def differentiate(call: Call) -> Differentiated:
    """Call the layer with ``training=False`` and pull the cotangents back.

    Parameters
    ----------
    call : Call

    Returns
    -------
    Differentiated

    Raises
    ------
    ValueError
        If the layer returns more or fewer arrays than there are cotangents.
    """
    import keras

    forward = {"tensorflow": _tensorflow, "jax": _jax, "torch": _torch}[keras.backend.backend()]
    leaves = [_tensor(call.x), *map(_tensor, keras.tree.flatten(call.states or []))]
    with _plain_errors(), _unmoved(call.layer):
        outputs, pull = forward(call, leaves)
    if len(outputs) != len(call.cotangents):
        raise ValueError(
            f"the layer returned {len(outputs)} arrays, expected {len(call.cotangents)}"
        )
    arrays = [_array(output) for output in outputs]
    count = len(leaves) + len(call.variables)
    gradients: list[Any] = [None] * count
    if all(a.shape == d.shape for a, d in zip(arrays, call.cotangents, strict=True)):
        d_outputs = [
            _tensor(d.astype(a.dtype)) for a, d in zip(arrays, call.cotangents, strict=True)
        ]
        gradients = [None if g is None else _array(g) for g in pull(d_outputs)]
    return Differentiated(
        arrays, gradients[0], gradients[1 : len(leaves)], gradients[len(leaves) :]
    )


@contextmanager
def _plain_errors() -> Iterator[None]:
    """Errors as they are raised, without what Keras writes around them: shapes of arguments."""
    import keras

    enabled = keras.config.is_traceback_filtering_enabled()
    keras.config.disable_traceback_filtering()
    try:
        yield
    finally:
        if enabled:
            keras.config.enable_traceback_filtering()


@contextmanager
def _unmoved(layer: Any) -> Iterator[None]:
    """What is no weight stays as it is: a layer that can drop out draws even where it does not."""
    import keras

    before = [(v, np.array(keras.ops.convert_to_numpy(v))) for v in layer.non_trainable_variables]
    try:
        yield
    finally:
        for variable, value in before:
            variable.assign(value)


def _arguments(call: Call, leaves: list[Any]) -> tuple[Any, dict[str, Any]]:
    """The layer's own arguments, the leaves among them."""
    import keras

    x, *flat = leaves
    options: dict[str, Any] = {"training": False}
    if call.mask is not None:
        options["mask"] = _tensor(call.mask)
    if call.states is not None:
        options["initial_state"] = keras.tree.pack_sequence_as(call.states, flat)
    return x, options


def _tensorflow(call: Call, leaves: list[Any]) -> tuple[list[Any], _Pull]:
    """On a tape that watches inputs and weights."""
    import keras
    import tensorflow as tf

    sources = [*leaves, *(variable.value for variable in call.variables)]
    with tf.GradientTape() as tape:
        for source in sources:
            tape.watch(source)
        x, options = _arguments(call, leaves)
        outputs = keras.tree.flatten(call.layer(x, **options))

    def pull(d_outputs: list[Any]) -> list[Any]:
        found: list[Any] = tape.gradient(
            outputs,
            sources,
            output_gradients=d_outputs,
            unconnected_gradients=tf.UnconnectedGradients.ZERO,
        )
        return found

    return outputs, pull


def _torch(call: Call, leaves: list[Any]) -> tuple[list[Any], _Pull]:
    """On the graph; a weight that is not trainable has no gradient and is not offered."""
    import keras
    import torch

    leaves = [leaf.detach().requires_grad_(True) for leaf in leaves]
    sources = [*leaves, *(variable.value for variable in call.variables)]
    x, options = _arguments(call, leaves)
    with torch.enable_grad():  # whatever the caller has switched off
        outputs = keras.tree.flatten(call.layer(x, **options))

    def pull(d_outputs: list[Any]) -> list[Any]:
        wanted = [source for source in sources if source.requires_grad]
        pairs = zip(outputs, d_outputs, strict=True)
        of = [(y, d_y) for y, d_y in pairs if y.requires_grad]
        found = torch.autograd.grad(
            [y for y, _ in of], wanted, [d_y for _, d_y in of], allow_unused=True
        )
        zeroed = iter(
            torch.zeros_like(w) if g is None else g for w, g in zip(wanted, found, strict=True)
        )
        return [next(zeroed) if source.requires_grad else None for source in sources]

    return outputs, pull


def _jax(call: Call, leaves: list[Any]) -> tuple[list[Any], _Pull]:
    """Through ``stateless_call``."""
    import jax
    import keras

    layer, variables = call.layer, list(call.variables)

    def values(own: Sequence[Any], given: Sequence[Any]) -> list[Any]:
        """The values of the layer's variables, those of `variables` as given."""
        return [
            next((g for v, g in zip(variables, given, strict=True) if v is one), one.value)
            for one in own
        ]

    def forward(leaves: list[Any], weights: list[Any]) -> list[Any]:
        x, options = _arguments(call, leaves)
        returned, _ = layer.stateless_call(
            values(layer.trainable_variables, weights),
            values(layer.non_trainable_variables, weights),
            x,
            **options,
        )
        flat: list[Any] = keras.tree.flatten(returned)
        return flat

    weights = [variable.value for variable in variables]
    # a loop compiles faster than its steps one by one, and steps without a loop the other way round
    unrolled = getattr(getattr(layer, "forward_layer", layer), "unroll", False)
    called = forward if unrolled else jax.jit(forward)
    outputs, pullback = jax.vjp(called, leaves, weights)

    def pull(d_outputs: list[Any]) -> list[Any]:
        d_leaves, d_weights = pullback(d_outputs)
        return [*d_leaves, *d_weights]

    return outputs, pull


def _tensor(array: Array) -> Any:
    import keras

    return keras.ops.convert_to_tensor(array)


def _array(tensor: Any) -> Any:
    """An array of its own, in the tensor's dtype."""
    import keras

    return np.array(keras.ops.convert_to_numpy(tensor))
