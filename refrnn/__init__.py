"""refrnn: recurrent networks on sequences of different lengths, as a reference.

RNN, LSTM and GRU in plain NumPy with hand-written backpropagation through time. Five ways to walk
ragged time that are proven to be the same function, and the oracle by which kernels are checked.

>>> import numpy as np, refrnn as rr
>>> rng = np.random.default_rng(0)
>>> batch = rr.RaggedBatch.from_sequences([rng.normal(size=(n, 3)) for n in (5, 0, 2)])
>>> lstm = rr.LSTM(input_size=3, hidden_size=4)
>>> run = rr.forward(lstm, lstm.init_parameters(rng), batch)
>>> gradients = rr.backward(run.tape, d_output=np.ones((7, 4)))
>>> gradients.parameters.W_hh.shape
(16, 4)
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ._version import __version__
from .cells import GRU, LSTM, RNN, Cell, GRUState, LSTMState, RNNState
from .errors import DeviceError, UnsupportedCase
from .parameters import CellParameters
from .ragged import RaggedBatch
from .unroll import (
    Bucketed,
    Gradients,
    Lanes,
    Masked,
    Packed,
    PerSequence,
    Plan,
    Run,
    Tape,
    Unroll,
    backward,
    forward,
)

if TYPE_CHECKING:
    from . import (
        activations,
        bench,
        bucketing,
        cases,
        comparison,
        datasets,
        gradcheck,
        interop,
        lanes,
        layers,
        losses,
        optimizers,
        oracle,
        packing,
        padding,
        testing,
        tolerances,
        vectors,
    )

# loaded at first use: `import refrnn` costs what a reference library needs and no more
_ROOMS = (
    "activations",
    "bench",
    "bucketing",
    "cases",
    "comparison",
    "datasets",
    "gradcheck",
    "interop",
    "lanes",
    "layers",
    "losses",
    "optimizers",
    "oracle",
    "packing",
    "padding",
    "testing",
    "tolerances",
    "vectors",
)

__all__ = [
    "GRU",
    "LSTM",
    "RNN",
    "Bucketed",
    "Cell",
    "CellParameters",
    "DeviceError",
    "GRUState",
    "Gradients",
    "LSTMState",
    "Lanes",
    "Masked",
    "Packed",
    "PerSequence",
    "Plan",
    "RNNState",
    "RaggedBatch",
    "Run",
    "Tape",
    "Unroll",
    "UnsupportedCase",
    "__version__",
    "activations",
    "backward",
    "bench",
    "bucketing",
    "cases",
    "comparison",
    "datasets",
    "forward",
    "gradcheck",
    "interop",
    "lanes",
    "layers",
    "losses",
    "optimizers",
    "oracle",
    "packing",
    "padding",
    "testing",
    "tolerances",
    "vectors",
]


def __getattr__(name: str) -> Any:
    if name in _ROOMS:
        import importlib

        return importlib.import_module(f".{name}", __name__)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *_ROOMS})
