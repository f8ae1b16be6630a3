"""The table of layouts: what each framework calls the weights of a cell, and how it keeps them.

Read ``W_ih["z r n"].T`` as: the rows of z, then r, then n of ``W_ih``, transposed. Gates have
refrnn's letters, i f g o and r z n, where others write c for g, u for z, and h, c or a for n. An
option that is not named stays at its default. Every line was run against its framework:
tests/frameworks.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from ...activations import activation
from ...cells import GRU, LSTM, RNN
from .expressions import W_hh, W_hr, W_ih, b_hh, b_ih, concatenate, hstack, p, stack
from .layout import ANY, Layout

__all__ = ["LAYOUTS", "block_lstm"]

# One bias per gate, none, or two; in any framework where this says so.
_ONE: dict[str, Collection[Any]] = {"biases": (1,)}
_TWO: dict[str, Collection[Any]] = {"biases": (2,)}
_ONE_OR_NONE: dict[str, Collection[Any]] = {"biases": (1, 0)}
_TWO_OR_NONE: dict[str, Collection[Any]] = {"biases": (2, 0)}

_ANY_RNN: dict[str, Collection[Any]] = {"activation": ANY}
_ANY_GRU: dict[str, Collection[Any]] = {"gate_activation": ANY, "candidate_activation": ANY}
_ANY_LSTM: dict[str, Collection[Any]] = {
    "gate_activation": ANY,
    "cell_activation": ANY,
    "output_activation": ANY,
}
# Keras and flax have one activation for g and for c on its way out.
_TIED = ("cell_activation", "output_activation")


def _torch() -> list[Layout]:
    """PyTorch, ``torch.nn``: one layer and direction, without the suffix of either."""

    def arrays(order: str) -> dict[str, Any]:
        return {
            "weight_ih": W_ih[order],
            "weight_hh": W_hh[order],
            "bias_ih": b_ih[order],
            "bias_hh": b_hh[order],
        }

    relu_too = {"activation": (activation("tanh"), activation("relu"))}
    return [
        Layout("torch.RNN", RNN, arrays(""), options={**_TWO_OR_NONE, **relu_too}),
        Layout(
            "torch.LSTM",
            LSTM,
            {**arrays("i f g o"), "weight_hr": W_hr},
            options={**_TWO_OR_NONE, "proj_size": ANY},
        ),
        Layout("torch.GRU", GRU, arrays("r z n"), options=_TWO_OR_NONE),
    ]


def _keras() -> list[Layout]:
    """Keras 3: matrices transposed, the GRU with z first."""

    def arrays(order: str, bias: Any) -> dict[str, Any]:
        return {"kernel": W_ih[order].T, "recurrent_kernel": W_hh[order].T, "bias": bias}

    return [
        Layout("keras.SimpleRNN", RNN, arrays("", b_ih), options={**_ONE_OR_NONE, **_ANY_RNN}),
        Layout(
            "keras.LSTM",
            LSTM,
            arrays("i f g o", b_ih["i f g o"]),
            options={**_ONE_OR_NONE, **_ANY_LSTM},
            tied=_TIED,
        ),
        Layout(
            "keras.GRU",
            GRU,
            arrays("z r n", stack(b_ih["z r n"], b_hh["z r n"])),
            options={**_TWO_OR_NONE, **_ANY_GRU},
        ),
        Layout(
            "keras.GRU(reset_after=False)",
            GRU,
            arrays("z r n", b_ih["z r n"]),
            options={**_ONE_OR_NONE, **_ANY_GRU},
            defaults={"reset_after": False},
        ),
    ]


def _flax_linen() -> list[Layout]:
    """flax.linen: a Dense for every gate and side; the LSTM has its biases on the side of h."""
    lstm: dict[str, Any] = {
        **{f"i{gate}/kernel": W_ih[gate].T for gate in "ifgo"},
        **{f"h{gate}/kernel": W_hh[gate].T for gate in "ifgo"},
        **{f"h{gate}/bias": b_ih[gate] for gate in "ifgo"},
    }
    gru: dict[str, Any] = {
        **{f"i{gate}/kernel": W_ih[gate].T for gate in "rzn"},
        **{f"h{gate}/kernel": W_hh[gate].T for gate in "rzn"},
        **{f"i{gate}/bias": b_ih[gate] + b_hh[gate] for gate in "rz"},
        "in/bias": b_ih["n"],
        "hn/bias": b_hh["n"],
    }
    return [
        Layout(
            "flax.linen.SimpleCell",
            RNN,
            {"i/kernel": W_ih.T, "h/kernel": W_hh.T, "i/bias": b_ih},
            options={**_ONE, **_ANY_RNN},
        ),
        *(
            Layout(f"flax.linen.{name}", LSTM, lstm, options={**_ONE, **_ANY_LSTM}, tied=_TIED)
            for name in ("LSTMCell", "OptimizedLSTMCell")
        ),
        Layout("flax.linen.GRUCell", GRU, gru, options={**_TWO, **_ANY_GRU}),
    ]


def _flax_nnx() -> list[Layout]:
    """flax.nnx: as linen, or in one Linear a side; the GRU has no b_hn."""

    def dense(order: str, biased: str) -> dict[str, Any]:
        return {
            "dense_i/kernel": W_ih[order].T,
            "dense_h/kernel": W_hh[order].T,
            f"dense_{biased}/bias": b_ih[order],
        }

    attributes = {"i": "ii", "f": "if_", "g": "ig", "o": "io"}
    split: dict[str, Any] = {
        **{f"{attributes[gate]}/kernel": W_ih[gate].T for gate in "ifgo"},
        **{f"h{gate}/kernel": W_hh[gate].T for gate in "ifgo"},
        **{f"h{gate}/bias": b_ih[gate] for gate in "ifgo"},
    }
    return [
        Layout("flax.nnx.SimpleCell", RNN, dense("", "i"), options={**_ONE, **_ANY_RNN}),
        *(
            Layout(f"flax.nnx.{name}", LSTM, lstm, options={**_ONE, **_ANY_LSTM}, tied=_TIED)
            for name, lstm in (
                ("LSTMCell", split),
                ("OptimizedLSTMCell", dense("i f g o", "h")),
            )
        ),
        Layout("flax.nnx.GRUCell", GRU, dense("r z n", "i"), options={**_ONE, **_ANY_GRU}),
    ]


def _haiku() -> list[Layout]:
    """dm-haiku: the LSTM has one matrix on [x, h], and adds 1 to f.

    The GRU computes (1 - z) h + z n. Its z is one minus ours, which for a sigmoid changes the sign
    of the pre-activation.
    """
    vanilla = {"linear/w": W_ih.T, "linear/b": b_ih, "linear_1/w": W_hh.T, "linear_1/b": b_hh}
    lstm = {
        "linear/w": hstack(W_ih["i g f o"], W_hh["i g f o"]).T,
        "linear/b": b_ih["i g f o"],
    }
    gru = {"w_i": W_ih["-z r n"].T, "w_h": W_hh["-z r n"].T, "b": b_ih["-z r n"]}
    relu = activation("relu")
    return [
        Layout(
            "haiku.VanillaRNN",
            RNN,
            vanilla,
            options={"biases": (2, 1)},
            defaults={"activation": relu},
        ),
        Layout("haiku.LSTM", LSTM, lstm, options=_ONE, forget_bias=1.0),
        Layout("haiku.GRU", GRU, gru, options=_ONE, defaults={"reset_after": False}),
    ]


def _jax() -> list[Layout]:
    """jax.experimental.rnn: what ``unpack_lstm_weights`` makes of one pseudo-layer."""
    order = "i f g o"
    arrays = {"W_ih": W_ih[order], "W_hh": W_hh[order], "b_ih": b_ih[order], "b_hh": b_hh[order]}
    return [Layout("jax.experimental.rnn.lstm", LSTM, arrays, options=_TWO)]


def _onnx() -> list[Layout]:
    """ONNX operators, one direction: their inputs without the first axis."""

    def arrays(order: str) -> dict[str, Any]:
        return {
            "W": W_ih[order],
            "R": W_hh[order],
            "B": concatenate(b_ih[order], b_hh[order]),
        }

    clipped = {**_TWO_OR_NONE, "gate_clip": ANY}
    return [
        Layout("onnx.RNN", RNN, arrays(""), options={**clipped, **_ANY_RNN}),
        Layout(
            "onnx.LSTM",
            LSTM,
            {**arrays("i o f g"), "P": p["i o f"]},
            options={**clipped, **_ANY_LSTM, "peepholes": ANY, "coupled": ANY},
        ),
        Layout(
            "onnx.GRU",
            GRU,
            arrays("z r n"),
            options={**clipped, **_ANY_GRU, "reset_after": ANY},
            defaults={"reset_after": False},
        ),
    ]


def _mlx() -> list[Layout]:
    """MLX, ``mlx.nn``."""
    gru = {
        "Wx": W_ih["r z n"],
        "Wh": W_hh["r z n"],
        "b": concatenate(b_ih["r z"] + b_hh["r z"], b_ih["n"]),
        "bhn": b_hh["n"],
    }
    lstm = {"Wx": W_ih["i f g o"], "Wh": W_hh["i f g o"], "bias": b_ih["i f g o"]}
    return [
        Layout(
            "mlx.RNN",
            RNN,
            {"Wxh": W_ih, "Whh": W_hh, "bias": b_ih},
            options={**_ONE_OR_NONE, **_ANY_RNN},
        ),
        Layout("mlx.LSTM", LSTM, lstm, options=_ONE_OR_NONE),
        Layout("mlx.GRU", GRU, gru, options=_TWO_OR_NONE),
    ]


def block_lstm(forget_bias: float = 1.0) -> Layout:
    """``tf.raw_ops.BlockLSTM`` with another ``forget_bias`` than 1.

    Parameters
    ----------
    forget_bias : float
        The operator's attribute: what it adds to the pre-activation of f at run time.

    Returns
    -------
    Layout
    """
    name = "tf.BlockLSTM" if forget_bias == 1 else f"tf.BlockLSTM(forget_bias={forget_bias:g})"
    return _block_lstm(name, "i g f o", forget_bias, {"cell_clip": 3.0})


def _block_lstm(name: str, order: str, forget_bias: float, defaults: dict[str, Any]) -> Layout:
    """One matrix on [x, h]; a cell_clip of None is the operator's 0 or less."""
    arrays = {
        "w": hstack(W_ih[order], W_hh[order]).T,
        "b": b_ih[order],
        **{f"wc{gate}": p[gate] for gate in "ifo"},
    }
    options = {**_ONE, "peepholes": ANY, "cell_clip": ANY}
    return Layout(name, LSTM, arrays, options=options, defaults=defaults, forget_bias=forget_bias)


def _tensorflow() -> list[Layout]:
    """``tf.raw_ops``, as TensorFlow's own fused cells use them."""
    gru = {
        "w_ru": hstack(W_ih["r z"], W_hh["r z"]).T,
        "w_c": hstack(W_ih["n"], W_hh["n"]).T,
        "b_ru": b_ih["r z"],
        "b_c": b_ih["n"],
    }
    return [
        block_lstm(),
        _block_lstm("tf.BlockLSTMV2", "i f g o", 0.0, {}),
        Layout("tf.GRUBlockCell", GRU, gru, options=_ONE, defaults={"reset_after": False}),
    ]


#: Every layout by its name.
LAYOUTS: dict[str, Layout] = {
    layout.name: layout
    for family in (_torch, _keras, _flax_linen, _flax_nnx, _haiku, _jax, _onnx, _mlx, _tensorflow)
    for layout in family()
}
