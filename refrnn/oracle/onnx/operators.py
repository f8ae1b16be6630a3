"""The ONNX operators RNN, GRU and LSTM as functions of NumPy arrays, and their gradient.

Computed on ragged sequences, never on padding: each sequence is stepped ``sequence_lens`` steps,
and whatever X holds behind them reaches nothing.

Where the specification leaves something open, or ONNX Runtime (1.32, CPU) differs:

* *Length 0.* Not specified. Here the state passes unchanged, Y_h = initial_h; ONNX Runtime gives
  zeros, and so does ``zero_state_on_empty=True``.
* *Defaults of alpha and beta.* Those of the ONNX operator of the function's name: LeakyRelu 0.01,
  HardSigmoid 0.2 and 0.5, Elu 1, ThresholdedRelu 1; Affine 1 and 0, of an operator that has left
  the standard. ONNX Runtime takes 0 for ThresholdedRelu and Affine. ScaledTanh never had defaults:
  its numbers must be given; ONNX Runtime takes 0, which makes it 0.
* *ThresholdedRelu at alpha.* 0, as the operator ThresholdedRelu and ONNX Runtime have it; the text
  of RNN, GRU and LSTM says ``x >= alpha``.
* *Names of activations.* Upper and lower case are the same; in ONNX Runtime's RNN they are not.
* *Numbers left over* in activation_alpha and activation_beta are an error; ONNX Runtime ignores
  them.
* *clip.* "applied to the input of activations": of those of the gates, after bias, peephole and
  reset, as ONNX Runtime does; not to the cell state before h.
* *input_forget.* f = 1 - i; the forget rows of W, R, B and P are not used.
* *dtype.* float32 and float64; ONNX Runtime has float32 only, and no ``layout=1``.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ...types import Array
from ...unroll import Unroll
from .attributes import OPERATORS
from .running import run_operator

__all__ = ["gru", "lstm", "rnn"]


def lstm(
    X: Any,
    W: Any,
    R: Any,
    B: Any = None,
    sequence_lens: Any = None,
    initial_h: Any = None,
    initial_c: Any = None,
    P: Any = None,
    *,
    hidden_size: int | None = None,
    direction: str = "forward",
    layout: int = 0,
    clip: float | None = None,
    input_forget: int = 0,
    activations: Sequence[str] | None = None,
    activation_alpha: Sequence[float] | None = None,
    activation_beta: Sequence[float] | None = None,
    zero_state_on_empty: bool = False,
    unroll: str | Unroll = "lanes",
) -> tuple[Array, Array, Array]:
    """ONNX LSTM: gates i, o, f, c.

    Parameters
    ----------
    X : ndarray of shape (T, B, I), or (B, T, I) if layout is 1
        float32 or float64; so are all arrays but `sequence_lens`, and so are the results. Letters
        as on :doc:`/notation`: T is ONNX' seq_length, B its batch_size, D its num_directions.
    W : ndarray of shape (D, 4*H, I)
    R : ndarray of shape (D, 4*H, H)
    B : ndarray of shape (D, 8*H), optional
        Biases of W, then of R.
    sequence_lens : ndarray of int32 (B,), or list of int, optional
        Each in 0..T; all T if None.
    initial_h, initial_c : ndarray of shape (D, B, H), or (B, D, H) if layout is 1, optional
    P : ndarray of shape (D, 3*H), optional
        Peepholes of i, o, f.
    hidden_size : int, optional
        H; that of R if None.
    direction : {"forward", "reverse", "bidirectional"}
        D is 2 if bidirectional, else 1. In reverse each sequence begins at its own last step.
    layout : {0, 1}
    clip : float, optional
        Clip the pre-activations of the gates to +-clip.
    input_forget : {0, 1}
        1: f = 1 - i.
    activations : list of str, optional
        f, g and h of each direction, any of :data:`refrnn.activations.ACTIVATION_NAMES`.
    activation_alpha, activation_beta : list of float, optional
        Numbers for those activations that have one, in order; too few are filled up by defaults.
    zero_state_on_empty : bool
        Give a sequence of length 0 the final state 0, as ONNX Runtime does, not its initial state.
    unroll : str or Unroll
        How time is walked, see :func:`refrnn.forward`.

    Returns
    -------
    Y : ndarray of shape (T, D, B, H), or (B, T, D, H) if layout is 1
        Zero at padding.
    Y_h, Y_c : ndarray of shape (D, B, H), or (B, D, H) if layout is 1
        The state after each sequence's last step.

    Raises
    ------
    TypeError
        If a dtype is another, dtypes are mixed, or an argument is of the wrong kind.
    ValueError
        If a shape, length, name or number is wrong; the message names the argument.
    UnsupportedCase
        If the unroll cannot do what is asked.

    References
    ----------
    .. [1] ONNX operator LSTM, versions 7, 14 and 22.

    Examples
    --------
    >>> import numpy as np
    >>> from refrnn.oracle.onnx import lstm
    >>> X, W, R = np.ones((3, 2, 4)), np.full((1, 20, 4), 0.1), np.full((1, 20, 5), 0.1)
    >>> Y, Y_h, Y_c = lstm(X, W, R, sequence_lens=[3, 1], clip=0.5, input_forget=1)
    >>> Y[:, 0, :, 0].round(3)
    array([[0.134, 0.134],
           [0.21 , 0.   ],
           [0.248, 0.   ]])
    """
    inputs = {
        "X": X,
        "W": W,
        "R": R,
        "B": B,
        "sequence_lens": sequence_lens,
        "initial_h": initial_h,
        "initial_c": initial_c,
        "P": P,
    }
    Y, Y_h, Y_c = run_operator(
        OPERATORS["LSTM"],
        inputs,
        {
            "hidden_size": hidden_size,
            "direction": direction,
            "layout": layout,
            "clip": clip,
            "input_forget": input_forget,
            "activations": activations,
            "activation_alpha": activation_alpha,
            "activation_beta": activation_beta,
        },
        zero_state_on_empty,
        unroll,
    )
    return Y, Y_h, Y_c


def gru(
    X: Any,
    W: Any,
    R: Any,
    B: Any = None,
    sequence_lens: Any = None,
    initial_h: Any = None,
    *,
    hidden_size: int | None = None,
    direction: str = "forward",
    layout: int = 0,
    clip: float | None = None,
    linear_before_reset: int = 0,
    activations: Sequence[str] | None = None,
    activation_alpha: Sequence[float] | None = None,
    activation_beta: Sequence[float] | None = None,
    zero_state_on_empty: bool = False,
    unroll: str | Unroll = "lanes",
) -> tuple[Array, Array]:
    """ONNX GRU: gates z, r, h.

    Parameters
    ----------
    X, sequence_lens, initial_h, hidden_size, direction, layout, zero_state_on_empty, unroll
        As in :func:`lstm`.
    W : ndarray of shape (D, 3*H, I)
    R : ndarray of shape (D, 3*H, H)
    B : ndarray of shape (D, 6*H), optional
        Biases of W, then of R.
    clip : float, optional
        Clip the pre-activations to +-clip, that of h after the reset.
    linear_before_reset : {0, 1}
        1: the reset gate multiplies R h + b (PyTorch, cuDNN), 0: it multiplies h.
    activations : list of str, optional
        f and g of each direction.
    activation_alpha, activation_beta : list of float, optional
        As in :func:`lstm`.

    Returns
    -------
    Y, Y_h : ndarray
        As in :func:`lstm`.

    Raises
    ------
    TypeError, ValueError
        As in :func:`lstm`.

    References
    ----------
    .. [1] ONNX operator GRU, versions 7, 14 and 22.
    """
    inputs = {
        "X": X,
        "W": W,
        "R": R,
        "B": B,
        "sequence_lens": sequence_lens,
        "initial_h": initial_h,
    }
    Y, Y_h = run_operator(
        OPERATORS["GRU"],
        inputs,
        {
            "hidden_size": hidden_size,
            "direction": direction,
            "layout": layout,
            "clip": clip,
            "linear_before_reset": linear_before_reset,
            "activations": activations,
            "activation_alpha": activation_alpha,
            "activation_beta": activation_beta,
        },
        zero_state_on_empty,
        unroll,
    )
    return Y, Y_h


def rnn(
    X: Any,
    W: Any,
    R: Any,
    B: Any = None,
    sequence_lens: Any = None,
    initial_h: Any = None,
    *,
    hidden_size: int | None = None,
    direction: str = "forward",
    layout: int = 0,
    clip: float | None = None,
    activations: Sequence[str] | None = None,
    activation_alpha: Sequence[float] | None = None,
    activation_beta: Sequence[float] | None = None,
    zero_state_on_empty: bool = False,
    unroll: str | Unroll = "lanes",
) -> tuple[Array, Array]:
    """ONNX RNN.

    Parameters
    ----------
    X, sequence_lens, initial_h, hidden_size, direction, layout, zero_state_on_empty, unroll
        As in :func:`lstm`.
    W : ndarray of shape (D, H, I)
    R : ndarray of shape (D, H, H)
    B : ndarray of shape (D, 2*H), optional
        Biases of W, then of R.
    clip : float, optional
        Clip the pre-activation to +-clip.
    activations : list of str, optional
        f of each direction; ``["Tanh", "Tanh"]``, which is ONNX' default, goes with one too.
    activation_alpha, activation_beta : list of float, optional
        As in :func:`lstm`.

    Returns
    -------
    Y, Y_h : ndarray
        As in :func:`lstm`.

    Raises
    ------
    TypeError, ValueError
        As in :func:`lstm`.

    References
    ----------
    .. [1] ONNX operator RNN, versions 7, 14 and 22.
    """
    inputs = {
        "X": X,
        "W": W,
        "R": R,
        "B": B,
        "sequence_lens": sequence_lens,
        "initial_h": initial_h,
    }
    Y, Y_h = run_operator(
        OPERATORS["RNN"],
        inputs,
        {
            "hidden_size": hidden_size,
            "direction": direction,
            "layout": layout,
            "clip": clip,
            "activations": activations,
            "activation_alpha": activation_alpha,
            "activation_beta": activation_beta,
        },
        zero_state_on_empty,
        unroll,
    )
    return Y, Y_h
