"""Layers of Keras with a mistake each, for whichever backend Keras was imported with."""

import keras
import numpy as np
from keras import ops

BOTH = {"return_sequences": True, "return_state": True}
#: The wrong gradient: d_kernel[0, 7] is too large by this part of itself.
ENTRY, PART = (0, 7), 1e-3


class PlantedCell(keras.layers.LSTMCell):
    """The right equations, but for the mistake it is told."""

    mistake = ""

    def call(self, inputs, states, training=False):
        """One step."""
        h, c = states
        kernel, recurrent, bias = (
            ops.convert_to_tensor(v) for v in (self.kernel, self.recurrent_kernel, self.bias)
        )
        if self.mistake == "bias twice":
            bias = 2 * bias
        elif self.mistake == "transposed":
            blocks = ops.split(recurrent, 4, axis=1)
            recurrent = ops.concatenate([ops.transpose(b) for b in blocks], axis=1)
        elif self.mistake == "one entry":
            factor = np.ones(kernel.shape, inputs_dtype(inputs))
            factor[ENTRY] += PART
            scaled = kernel * ops.convert_to_tensor(factor)
            kernel = ops.stop_gradient(kernel - scaled) + scaled
        i, f, g, o = ops.split(ops.matmul(inputs, kernel) + ops.matmul(h, recurrent) + bias, 4, 1)
        if self.mistake == "gates":
            f, g = g, f
        c = ops.sigmoid(f) * c + ops.sigmoid(i) * ops.tanh(g)
        h = ops.sigmoid(o) * ops.tanh(c)
        return h, [h, c]


def inputs_dtype(inputs):
    """The dtype of a tensor as NumPy names it."""
    return keras.backend.standardize_dtype(inputs.dtype)


class Planted(keras.layers.LSTM):
    """A right layer, called wrongly."""

    mistake = ""

    def call(self, sequences, initial_state=None, mask=None, training=False):
        """All steps."""

        def right(state=initial_state, mask=mask):
            found = super(Planted, self).call(sequences, initial_state=state, mask=mask)
            return list(found)

        if self.mistake == "mask ignored":
            return right(mask=None)
        if self.mistake == "state dropped":
            state = initial_state and [ops.stop_gradient(s) for s in initial_state]
            return right(state)
        if self.mistake == "crash":
            raise RuntimeError("out of order")
        output, h, c = right()
        if self.mistake == "final state":
            _, h, c = right(mask=None)
        elif self.mistake == "rows":
            h, c = ops.flip(h, 0), ops.flip(c, 0)
        elif self.mistake == "shape":
            output = ops.transpose(output, (0, 2, 1))
        elif self.mistake == "dtype":
            output = ops.cast(output, "float16")
        return (output, h) if self.mistake == "count" else (output, h, c)


class PlantedBidirectional(keras.layers.Bidirectional):
    """The backward direction does not see the mask, and so starts in the padding."""

    def call(self, sequences, initial_state=None, mask=None, training=None):
        """All steps of both directions."""
        states = (None, None)
        if initial_state is not None:
            states = (initial_state[:2], initial_state[2:])
        y, *finals = self.forward_layer(sequences, initial_state=states[0], mask=mask)
        y_rev, *finals_rev = self.backward_layer(sequences, initial_state=states[1])
        output = ops.concatenate([y, ops.flip(y_rev, 1)], axis=-1)
        if mask is not None:
            output = ops.where(mask[:, :, None], output, ops.zeros_like(output))
        return (output, *finals, *finals_rev)


def weighted(layer, seed=0):
    """The layer built for 3 features with random weights, biases among them."""
    layer.build((None, None, 3))
    rng = np.random.default_rng(seed)
    for variable in layer.trainable_variables:
        variable.assign(rng.uniform(-0.9, 0.9, tuple(variable.shape)))
    return layer


def planted_cell(mistake, dtype="float32"):
    """A layer of the cell with a mistake."""
    cell = PlantedCell(5, dtype=dtype)
    cell.mistake = mistake
    return weighted(keras.layers.RNN(cell, dtype=dtype, **BOTH))


def planted_layer(mistake):
    """A layer with a mistake."""
    layer = Planted(5, **BOTH)
    layer.mistake = mistake
    return weighted(layer)
