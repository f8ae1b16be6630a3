"""The ONNX operators RNN, GRU and LSTM with every option and their gradients; and an ONNX backend.

:func:`rnn`, :func:`gru`, :func:`lstm` and :func:`gradient` are NumPy alone. ``RefrnnBackend``,
which runs models through ``onnx.backend``, is loaded at first use, and only it imports ``onnx``.

>>> import numpy as np
>>> from refrnn.oracle.onnx import gru
>>> X, W, R = np.ones((3, 2, 4)), np.full((1, 15, 4), 0.1), np.full((1, 15, 5), 0.1)
>>> Y, Y_h = gru(X, W, R, sequence_lens=[3, 1])
>>> Y.shape, Y_h.shape, bool((Y[1:, 0, 1] == 0).all())
((3, 1, 2, 5), (1, 2, 5), True)
"""

from __future__ import annotations

from typing import Any

from .conversion import cases
from .operators import gru, lstm, rnn
from .running import gradient

__all__ = ["cases", "gradient", "gru", "lstm", "rnn"]


def __getattr__(name: str) -> Any:
    if name == "RefrnnBackend":
        import importlib

        return importlib.import_module(".backend", __name__).RefrnnBackend
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), "RefrnnBackend"})
