"""One step of other frameworks' cells, each written out from that framework's documentation.

Nothing here knows refrnn or its layouts: weights are taken under the framework's names, gates are
sliced out one by one, and each gate's equation is written down. Everything works in complex
numbers, so that the gradient of every weight comes from a complex step.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from refrnn.types import Array

Weights = Mapping[str, Array]
Step = Callable[[Weights, Array, tuple[Array, ...]], tuple[Array, ...]]


def s(a: Array) -> Array:
    """The sigmoid."""
    return 1 / (1 + np.exp(-a))


def relu(a: Array) -> Array:
    return np.where(a.real > 0, a, 0)


def lstm(i: Array, f: Array, g: Array, o: Array, c: Array) -> tuple[Array, Array]:
    """What follows the pre-activations in every LSTM without peepholes: (h, c)."""
    c_t = s(f) * c + s(i) * np.tanh(g)
    return s(o) * np.tanh(c_t), c_t


# --- PyTorch -------------------------------------------------------------------------------------


def torch_rnn(w: Weights, x: Array, state: tuple[Array, ...]) -> tuple[Array, ...]:
    (h,) = state
    return (
        np.tanh(
            x @ w["weight_ih"].T + w["bias_ih"] + h @ w["weight_hh"].T + w["bias_hh"],
        ),
    )


def torch_lstm(w: Weights, x: Array, state: tuple[Array, ...]) -> tuple[Array, ...]:
    h, c = state
    H = c.shape[1]
    W_ii, W_if, W_ig, W_io = (w["weight_ih"][k * H : (k + 1) * H] for k in range(4))
    W_hi, W_hf, W_hg, W_ho = (w["weight_hh"][k * H : (k + 1) * H] for k in range(4))
    if "bias_ih" in w:
        b_ii, b_if, b_ig, b_io = (w["bias_ih"][k * H : (k + 1) * H] for k in range(4))
        b_hi, b_hf, b_hg, b_ho = (w["bias_hh"][k * H : (k + 1) * H] for k in range(4))
    else:
        b_ii = b_if = b_ig = b_io = b_hi = b_hf = b_hg = b_ho = np.zeros(H)
    i = x @ W_ii.T + b_ii + h @ W_hi.T + b_hi
    f = x @ W_if.T + b_if + h @ W_hf.T + b_hf
    g = x @ W_ig.T + b_ig + h @ W_hg.T + b_hg
    o = x @ W_io.T + b_io + h @ W_ho.T + b_ho
    h_t, c_t = lstm(i, f, g, o, c)
    return (h_t @ w["weight_hr"].T if "weight_hr" in w else h_t), c_t


def torch_gru(w: Weights, x: Array, state: tuple[Array, ...]) -> tuple[Array, ...]:
    (h,) = state
    H = h.shape[1]
    W_ir, W_iz, W_in = (w["weight_ih"][k * H : (k + 1) * H] for k in range(3))
    W_hr, W_hz, W_hn = (w["weight_hh"][k * H : (k + 1) * H] for k in range(3))
    b_ir, b_iz, b_in = (w["bias_ih"][k * H : (k + 1) * H] for k in range(3))
    b_hr, b_hz, b_hn = (w["bias_hh"][k * H : (k + 1) * H] for k in range(3))
    r = s(x @ W_ir.T + b_ir + h @ W_hr.T + b_hr)
    z = s(x @ W_iz.T + b_iz + h @ W_hz.T + b_hz)
    n = np.tanh(x @ W_in.T + b_in + r * (h @ W_hn.T + b_hn))
    return ((1 - z) * n + z * h,)


# --- Keras ---------------------------------------------------------------------------------------


def keras_rnn(w: Weights, x: Array, state: tuple[Array, ...]) -> tuple[Array, ...]:
    (h,) = state
    return (np.tanh(x @ w["kernel"] + w["bias"] + h @ w["recurrent_kernel"]),)


def keras_lstm(w: Weights, x: Array, state: tuple[Array, ...]) -> tuple[Array, ...]:
    h, c = state
    H = h.shape[1]
    z = x @ w["kernel"] + h @ w["recurrent_kernel"] + w["bias"]
    z0, z1, z2, z3 = z[:, :H], z[:, H : 2 * H], z[:, 2 * H : 3 * H], z[:, 3 * H :]
    return lstm(i=z0, f=z1, g=z2, o=z3, c=c)


def keras_gru(w: Weights, x: Array, state: tuple[Array, ...]) -> tuple[Array, ...]:
    (h,) = state
    H = h.shape[1]
    matrix_x = x @ w["kernel"] + w["bias"][0]
    matrix_inner = h @ w["recurrent_kernel"] + w["bias"][1]
    z = s(matrix_x[:, :H] + matrix_inner[:, :H])
    r = s(matrix_x[:, H : 2 * H] + matrix_inner[:, H : 2 * H])
    hh = np.tanh(matrix_x[:, 2 * H :] + r * matrix_inner[:, 2 * H :])
    return (z * h + (1 - z) * hh,)


def keras_gru_before(w: Weights, x: Array, state: tuple[Array, ...]) -> tuple[Array, ...]:
    (h,) = state
    H = h.shape[1]
    U = w["recurrent_kernel"]
    matrix_x = x @ w["kernel"] + w["bias"]
    z = s(matrix_x[:, :H] + h @ U[:, :H])
    r = s(matrix_x[:, H : 2 * H] + h @ U[:, H : 2 * H])
    hh = np.tanh(matrix_x[:, 2 * H :] + (r * h) @ U[:, 2 * H :])
    return (z * h + (1 - z) * hh,)


# --- flax ----------------------------------------------------------------------------------------


def linen_rnn(w: Weights, x: Array, state: tuple[Array, ...]) -> tuple[Array, ...]:
    (h,) = state
    return (np.tanh(x @ w["i/kernel"] + w["i/bias"] + h @ w["h/kernel"]),)


def linen_lstm(w: Weights, x: Array, state: tuple[Array, ...]) -> tuple[Array, ...]:
    h, c = state
    i = x @ w["ii/kernel"] + h @ w["hi/kernel"] + w["hi/bias"]
    f = x @ w["if/kernel"] + h @ w["hf/kernel"] + w["hf/bias"]
    g = x @ w["ig/kernel"] + h @ w["hg/kernel"] + w["hg/bias"]
    o = x @ w["io/kernel"] + h @ w["ho/kernel"] + w["ho/bias"]
    return lstm(i, f, g, o, c)


def linen_gru(w: Weights, x: Array, state: tuple[Array, ...]) -> tuple[Array, ...]:
    (h,) = state
    r = s(x @ w["ir/kernel"] + w["ir/bias"] + h @ w["hr/kernel"])
    z = s(x @ w["iz/kernel"] + w["iz/bias"] + h @ w["hz/kernel"])
    n = np.tanh(x @ w["in/kernel"] + w["in/bias"] + r * (h @ w["hn/kernel"] + w["hn/bias"]))
    return ((1 - z) * n + z * h,)


def nnx_rnn(w: Weights, x: Array, state: tuple[Array, ...]) -> tuple[Array, ...]:
    (h,) = state
    return (np.tanh(x @ w["dense_i/kernel"] + w["dense_i/bias"] + h @ w["dense_h/kernel"]),)


def nnx_lstm(w: Weights, x: Array, state: tuple[Array, ...]) -> tuple[Array, ...]:
    return linen_lstm({**w, "if/kernel": w["if_/kernel"]}, x, state)


def nnx_optimized_lstm(w: Weights, x: Array, state: tuple[Array, ...]) -> tuple[Array, ...]:
    h, c = state
    y = x @ w["dense_i/kernel"] + h @ w["dense_h/kernel"] + w["dense_h/bias"]
    i, f, g, o = np.split(y, 4, axis=1)
    return lstm(i, f, g, o, c)


def nnx_gru(w: Weights, x: Array, state: tuple[Array, ...]) -> tuple[Array, ...]:
    (h,) = state
    xi_r, xi_z, xi_n = np.split(x @ w["dense_i/kernel"] + w["dense_i/bias"], 3, axis=1)
    hh_r, hh_z, hh_n = np.split(h @ w["dense_h/kernel"], 3, axis=1)
    z = s(xi_z + hh_z)
    return ((1 - z) * np.tanh(xi_n + s(xi_r + hh_r) * hh_n) + z * h,)


# --- haiku ---------------------------------------------------------------------------------------


def haiku_rnn(w: Weights, x: Array, state: tuple[Array, ...]) -> tuple[Array, ...]:
    (h,) = state
    return (relu(x @ w["linear/w"] + w["linear/b"] + h @ w["linear_1/w"] + w["linear_1/b"]),)


def haiku_lstm(w: Weights, x: Array, state: tuple[Array, ...]) -> tuple[Array, ...]:
    h, c = state
    gated = np.concatenate([x, h], axis=1) @ w["linear/w"] + w["linear/b"]
    i, g, f, o = np.split(gated, 4, axis=1)
    return lstm(i, f + 1, g, o, c)


def haiku_gru(w: Weights, x: Array, state: tuple[Array, ...]) -> tuple[Array, ...]:
    (h,) = state
    H = h.shape[1]
    W_iz, W_ir, W_ia = w["w_i"][:, :H], w["w_i"][:, H : 2 * H], w["w_i"][:, 2 * H :]
    W_hz, W_hr, W_ha = w["w_h"][:, :H], w["w_h"][:, H : 2 * H], w["w_h"][:, 2 * H :]
    b_z, b_r, b_a = w["b"][:H], w["b"][H : 2 * H], w["b"][2 * H :]
    z = s(x @ W_iz + h @ W_hz + b_z)
    r = s(x @ W_ir + h @ W_hr + b_r)
    a = np.tanh(x @ W_ia + (r * h) @ W_ha + b_a)
    return ((1 - z) * h + z * a,)


# --- jax.experimental.rnn ------------------------------------------------------------------------


def jax_lstm(w: Weights, x: Array, state: tuple[Array, ...]) -> tuple[Array, ...]:
    h, c = state
    ifgo = x @ w["W_ih"].T + w["b_ih"] + h @ w["W_hh"].T + w["b_hh"]
    i, f, g, o = np.split(ifgo, 4, axis=1)
    return lstm(i, f, g, o, c)


# --- ONNX ----------------------------------------------------------------------------------------


def onnx_rnn(w: Weights, x: Array, state: tuple[Array, ...]) -> tuple[Array, ...]:
    (h,) = state
    Wbi, Rbi = np.split(w["B"], 2)
    return (np.tanh(x @ w["W"].T + h @ w["R"].T + Wbi + Rbi),)


def onnx_lstm_with(input_forget: bool) -> Step:
    """The operator with or without its attribute ``input_forget``."""

    def step(w: Weights, x: Array, state: tuple[Array, ...]) -> tuple[Array, ...]:
        h, c = state
        H = h.shape[1]
        Wi, Wo, Wf, Wc = (w["W"][k * H : (k + 1) * H] for k in range(4))
        Ri, Ro, Rf, Rc = (w["R"][k * H : (k + 1) * H] for k in range(4))
        Wbi, Wbo, Wbf, Wbc, Rbi, Rbo, Rbf, Rbc = (w["B"][k * H : (k + 1) * H] for k in range(8))
        Pi, Po, Pf = np.split(w["P"], 3) if "P" in w else np.zeros((3, H))
        i = s(x @ Wi.T + h @ Ri.T + Pi * c + Wbi + Rbi)
        f = 1 - i if input_forget else s(x @ Wf.T + h @ Rf.T + Pf * c + Wbf + Rbf)
        c_t = f * c + i * np.tanh(x @ Wc.T + h @ Rc.T + Wbc + Rbc)
        o = s(x @ Wo.T + h @ Ro.T + Po * c_t + Wbo + Rbo)
        return o * np.tanh(c_t), c_t

    return step


def onnx_gru_with(linear_before_reset: bool) -> Step:
    """The operator with or without its attribute ``linear_before_reset``."""

    def step(w: Weights, x: Array, state: tuple[Array, ...]) -> tuple[Array, ...]:
        (h,) = state
        H = h.shape[1]
        Wz, Wr, Wh = (w["W"][k * H : (k + 1) * H] for k in range(3))
        Rz, Rr, Rh = (w["R"][k * H : (k + 1) * H] for k in range(3))
        Wbz, Wbr, Wbh, Rbz, Rbr, Rbh = (w["B"][k * H : (k + 1) * H] for k in range(6))
        z = s(x @ Wz.T + h @ Rz.T + Wbz + Rbz)
        r = s(x @ Wr.T + h @ Rr.T + Wbr + Rbr)
        if linear_before_reset:
            ht = np.tanh(x @ Wh.T + r * (h @ Rh.T + Rbh) + Wbh)
        else:
            ht = np.tanh(x @ Wh.T + (r * h) @ Rh.T + Rbh + Wbh)
        return ((1 - z) * ht + z * h,)

    return step


# --- MLX -----------------------------------------------------------------------------------------


def mlx_rnn(w: Weights, x: Array, state: tuple[Array, ...]) -> tuple[Array, ...]:
    (h,) = state
    return (np.tanh(x @ w["Wxh"].T + h @ w["Whh"].T + w["bias"]),)


def mlx_lstm(w: Weights, x: Array, state: tuple[Array, ...]) -> tuple[Array, ...]:
    h, c = state
    i, f, g, o = np.split(x @ w["Wx"].T + w["bias"] + h @ w["Wh"].T, 4, axis=1)
    return lstm(i, f, g, o, c)


def mlx_gru(w: Weights, x: Array, state: tuple[Array, ...]) -> tuple[Array, ...]:
    (h,) = state
    x_r, x_z, x_n = np.split(x @ w["Wx"].T + w["b"], 3, axis=1)
    h_r, h_z, h_n = np.split(h @ w["Wh"].T, 3, axis=1)
    r, z = s(x_r + h_r), s(x_z + h_z)
    n = np.tanh(x_n + r * (h_n + w["bhn"]))
    return ((1 - z) * n + z * h,)


# --- TensorFlow's raw operators ------------------------------------------------------------------


def block_lstm_with(order: str, forget_bias: float) -> Step:
    """BlockLSTM (gates icfo, ``forget_bias``) or BlockLSTMV2 (ifco, none)."""

    def step(w: Weights, x: Array, state: tuple[Array, ...]) -> tuple[Array, ...]:
        h, cs_prev = state
        xh = np.concatenate([x, h], axis=1)
        gates: dict[str, Any] = dict(
            zip(order, np.split(xh @ w["w"] + w["b"], 4, axis=1), strict=True)
        )
        wci, wcf, wco = (w.get(name, np.zeros(h.shape[1])) for name in ("wci", "wcf", "wco"))
        i = s(cs_prev * wci + gates["i"])
        f = s(cs_prev * wcf + gates["f"] + forget_bias)
        cs = np.tanh(gates["c"]) * i + cs_prev * f
        o = s(cs * wco + gates["o"])
        return np.tanh(cs) * o, cs

    return step


def gru_block(w: Weights, x: Array, state: tuple[Array, ...]) -> tuple[Array, ...]:
    (h,) = state
    r_bar, u_bar = np.split(np.concatenate([x, h], axis=1) @ w["w_ru"] + w["b_ru"], 2, axis=1)
    r, u = s(r_bar), s(u_bar)
    c = np.tanh(np.concatenate([x, h * r], axis=1) @ w["w_c"] + w["b_c"])
    return ((1 - u) * c + u * h,)
