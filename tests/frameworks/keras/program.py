"""Check layers of Keras on one backend, and write the reports to a file as JSON.

Keras has its backend for good once it is imported, so that test_oracle_keras.py runs this in a
process for each: ``KERAS_BACKEND=jax python -P program.py FILE``.
"""

import json
import os
import sys
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("JAX_ENABLE_X64", "1")  # without it JAX has no float64 at all
os.environ.setdefault("JAX_DISABLE_MOST_OPTIMIZATIONS", "1")  # compiling takes most of the time
sys.path.append(str(Path(__file__).parent))

import keras
import layers as own
import numpy as np

import refrnn as rr
from refrnn.oracle import adapt, check, standard_problem
from refrnn.oracle.adapters.keras import modules

#: Modules that are put to the whole standard set, and to NaN in the padding beside the holes.
WHOLE = ("LSTM",)
LEAKY = ("SimpleRNN relu", "GRU", "stacked cells", "Bidirectional concat")
CELLS = ("", "gates", "bias twice", "transposed")
LAYERS = ("", "mask ignored", "state dropped", "final state", "rows", "crash", "shape", "dtype")
LAYERS += ("count",)


def on(layer, *names, **options):
    """The report on some problems, as a record."""
    subject = adapt(layer, **options)
    problems = [standard_problem(name, subject.network, subject.dtype) for name in names]
    return check(subject, problems).record()


def all_modules():
    """What the adapter lists, on a mask with holes, at the start too, and a row without a step."""
    found = {}
    for name, layer in modules():
        problems = ("holes", "nan_padding") if name in LEAKY else ("holes",)
        found[name] = check(layer).record() if name in WHOLE else on(layer, *problems)
    return found


def planted():
    """Every mistake."""
    found = {f"cell {m}": on(own.planted_cell(m), "unsorted") for m in CELLS}
    found["cell one entry"] = on(own.planted_cell("one entry", "float64"), "unsorted")
    found |= {f"layer {m}": on(own.planted_layer(m), "unsorted") for m in LAYERS}
    inner = keras.layers.LSTM(5, **own.BOTH)
    layer = own.weighted(own.PlantedBidirectional(inner))
    found["bidirectional"] = on(layer, "unsorted")
    return found


def options():
    """Other ways to say what is checked."""
    found = {"unbuilt": on(keras.layers.GRU(5, **own.BOTH), "unsorted", input_size=3)}
    found["cell"] = on(own.weighted(keras.layers.GRUCell(5)), "unsorted")
    custom = keras.layers.SimpleRNN(5, activation=lambda x: 2 * keras.ops.tanh(x), **own.BOTH)
    twice = rr.activations.activation("scaledtanh", 2.0, 1.0)
    found["activation"] = on(own.weighted(custom), "unsorted", activation=twice)
    for name in ("sum", "ave", "concat", None):
        last = keras.layers.Bidirectional(keras.layers.LSTM(4), merge_mode=name)
        found[f"last {name}"] = on(own.weighted(last), "length_0_and_1")
    states = keras.layers.Bidirectional(keras.layers.GRU(4, return_state=True), merge_mode="ave")
    found["last with states"] = on(own.weighted(states), "unsorted")
    zeros = keras.layers.LSTM(4, zero_output_for_mask=True, go_backwards=True)
    found["last zeros backwards"] = on(own.weighted(zeros), "unsorted")
    dropped = keras.layers.LSTM(5, dropout=0.5, recurrent_dropout=0.5, **own.BOTH)
    found["dropout"] = on(own.weighted(dropped), "unsorted")
    rnn = own.weighted(keras.layers.SimpleRNN(5, dtype="float64", **own.BOTH))
    found["SimpleRNN float64"] = on(rnn, "unsorted")
    found["SimpleRNN float64 without padding"] = on(rnn, "all_equal")
    rng = np.random.default_rng(0)
    sequences = [rng.normal(size=(length, 3)).astype(np.float32) for length in (2, 0, 7)]
    batch = rr.RaggedBatch.from_sequences(sequences)
    found["batch"] = check(own.weighted(keras.layers.LSTM(5, **own.BOTH)), batch).record()
    return found


def stateful():
    """A layer that keeps its state from call to call."""
    layer = keras.layers.LSTM(5, stateful=True)
    layer.build((2, 4, 3))
    return layer


def refused():
    """What raises, and with which words."""
    layers, found = keras.layers, {}
    cases = {
        "not built": lambda: adapt(layers.LSTM(5)),
        "other size": lambda: adapt(own.weighted(layers.LSTM(5)), input_size=4),
        "stateful": lambda: adapt(stateful()),
        "float16": lambda: adapt(layers.LSTM(5, dtype="mixed_float16"), input_size=3),
        "activation": lambda: adapt(layers.LSTM(5, activation="selu"), input_size=3),
        "mul": lambda: adapt(layers.Bidirectional(layers.LSTM(5), merge_mode="mul"), input_size=3),
        "dense": lambda: adapt(layers.Dense(5)),
        "option": lambda: adapt(layers.LSTM(5), packed=True),
        "gates": lambda: adapt(layers.SimpleRNN(5), input_size=3, recurrent_activation="relu"),
    }
    for name, case in cases.items():
        try:
            case()
        except Exception as error:
            found[name] = f"{type(error).__name__}: {error}"
    return found


def unchanged():
    """Whether a check leaves weights, seeds and gradients as they are."""
    layer = own.weighted(keras.layers.LSTM(5, dropout=0.5, seed=1, **own.BOTH))
    before = [keras.ops.convert_to_numpy(v).copy() for v in layer.variables]
    on(layer, "unsorted")
    after = [keras.ops.convert_to_numpy(v) for v in layer.variables]
    same = all(np.array_equal(a, b) for a, b in zip(before, after, strict=True))
    return {
        "variables": same and len(before) > 3,
        "gradients": all(getattr(v.value, "grad", None) is None for v in layer.variables),
        "filtering": keras.config.is_traceback_filtering_enabled(),
    }


if __name__ == "__main__":
    parts = (all_modules, planted, options, refused, unchanged)
    found = {"backend": keras.backend.backend(), **{part.__name__: part() for part in parts}}
    Path(sys.argv[1]).write_text(json.dumps(found))
