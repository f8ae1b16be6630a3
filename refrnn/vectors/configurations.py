"""What is in the corpus: configurations of cells, and the batches each of them is run on."""

from __future__ import annotations

from typing import Any, NamedTuple

from ..activations import activation
from ..cases import CELL_NAMES, HARD_CASES, make_cell
from ..cells import GRU, LSTM, RNN
from ..layers import Recurrent
from ..unroll.base import AnyCell

__all__ = ["CONFIGURATIONS", "Configuration", "Spec", "specs"]

# Odd, different, and neither a multiple of a vector register.
_I, _H = 3, 5
_STACK = (3, 4)

#: Written padded, with NaN in the padding.
_PADDED = "nan_padding"

# A file has no strides.
_ALL = tuple(name for name in HARD_CASES if name != "strided")
_FEW = ("unsorted", "length_0_and_1", "saturating")
_RAGGED = ("unsorted", "length_0_and_1", "last_state")

# Numbers that float32 holds exactly, and none of them a default.
_HARD_SIGMOID = activation("hardsigmoid", 0.25, 0.375)
_LEAKY = activation("leakyrelu", 0.125)
_SCALED_TANH = activation("scaledtanh", 1.25, 0.75)
_RNN_ACTIVATIONS = {
    "affine": activation("affine", 0.625, 0.125),
    "leakyrelu": _LEAKY,
    "thresholdedrelu": activation("thresholdedrelu", 0.25),
    "scaledtanh": _SCALED_TANH,
    "hardsigmoid": _HARD_SIGMOID,
    "elu": activation("elu", 0.75),
    "sigmoid": activation("sigmoid"),
    "softsign": activation("softsign"),
    "softplus": activation("softplus"),
}


class Configuration(NamedTuple):
    """One cell, or stack of cells, and the hard cases it is run on.

    Attributes
    ----------
    name : str
    cell : Cell
    layer : Recurrent or None
        The stack; its first cell is `cell`.
    hard : tuple of str
        Keys of :data:`refrnn.cases.HARD_CASES`.
    """

    name: str
    cell: AnyCell
    layer: Recurrent | None
    hard: tuple[str, ...]


class Spec(NamedTuple):
    """One case before it is drawn."""

    configuration: Configuration
    hard: str
    reverse: bool

    @property
    def name(self) -> str:
        """``<configuration>/<hard case>``, with ``_reverse`` for the reverse direction."""
        return f"{self.configuration.name}/{self.hard}" + "_reverse" * self.reverse

    @property
    def padded(self) -> bool:
        """Whether its rows are stored padded, (T, B, F)."""
        return self.hard == _PADDED


def _cells() -> dict[str, tuple[AnyCell, tuple[str, ...]]]:
    """The single cells."""
    made: dict[str, tuple[AnyCell, tuple[str, ...]]] = {
        name: (make_cell(name, _I, _H), _ALL) for name in CELL_NAMES
    }

    def add(name: str, make: Any, hard: tuple[str, ...] = _FEW, **options: Any) -> None:
        made[name] = (make(_I, _H, **options), hard)

    for kind, make in (("rnn_tanh", RNN), ("lstm", LSTM), ("gru_reset_after", GRU)):
        add(f"{kind}_one_bias", make, _RAGGED, biases=1)
        add(f"{kind}_no_bias", make, _RAGGED, biases=0)
    add("gru_reset_before_one_bias", GRU, _RAGGED, reset_after=False, biases=1)
    add("gru_reset_before_no_bias", GRU, _RAGGED, reset_after=False, biases=0)
    add("rnn_gate_clip", RNN, gate_clip=0.75)
    add("gru_reset_after_gate_clip", GRU, gate_clip=0.75)
    add("gru_reset_before_gate_clip", GRU, reset_after=False, gate_clip=0.75)
    add("lstm_peepholes_gate_clip", LSTM, peepholes=True, gate_clip=0.75)
    add("lstm_coupled_gate_clip", LSTM, coupled=True, gate_clip=0.75)
    add("lstm_peepholes_coupled", LSTM, peepholes=True, coupled=True)
    add("lstm_peepholes_cell_clip", LSTM, peepholes=True, cell_clip=0.5)
    add("lstm_peepholes_projection", LSTM, peepholes=True, proj_size=2)
    add("lstm_projection_cell_clip", LSTM, proj_size=2, cell_clip=0.5)
    add("lstm_projection_coupled", LSTM, proj_size=2, coupled=True)
    for name, f in _RNN_ACTIVATIONS.items():
        add(f"rnn_{name}", RNN, ("unsorted", "length_0_and_1"), activation=f)
    three: dict[str, Any] = {
        "gate_activation": _HARD_SIGMOID,
        "cell_activation": _SCALED_TANH,
        "output_activation": "softsign",
    }
    add("lstm_activations", LSTM, **three)
    add("lstm_coupled_activations", LSTM, coupled=True, **three)
    two: dict[str, Any] = {"gate_activation": _HARD_SIGMOID, "candidate_activation": _LEAKY}
    add("gru_reset_after_activations", GRU, **two)
    add("gru_reset_before_activations", GRU, reset_after=False, **two)
    return made


def _stacks() -> dict[str, Recurrent]:
    """The stacks: PyTorch's order of layers and directions."""
    two_ways: dict[str, Any] = {"num_layers": 2, "bidirectional": True}
    return {
        "stack_rnn_tanh_bidirectional": Recurrent(RNN(*_STACK), **two_ways),
        "stack_lstm_bidirectional": Recurrent(LSTM(*_STACK), **two_ways),
        "stack_lstm_projection_bidirectional": Recurrent(LSTM(*_STACK, proj_size=2), **two_ways),
        "stack_gru_reset_after_bidirectional": Recurrent(GRU(*_STACK), **two_ways),
        "stack_gru_reset_before_bidirectional": Recurrent(
            GRU(*_STACK, reset_after=False), **two_ways
        ),
        "bidirectional_lstm": Recurrent(LSTM(*_STACK), 1, bidirectional=True),
        "stack_lstm_3_layers": Recurrent(LSTM(*_STACK), 3),
    }


def _all() -> tuple[Configuration, ...]:
    single = [Configuration(name, cell, None, hard) for name, (cell, hard) in _cells().items()]
    stacked = [Configuration(n, s.cell, s, (*_RAGGED, _PADDED)) for n, s in _stacks().items()]
    return (*single, *stacked)


#: Every configuration, in the order of the corpus.
CONFIGURATIONS: tuple[Configuration, ...] = _all()


def specs(names: tuple[str, ...] | None = None) -> list[Spec]:
    """The cases of these configurations, or of all.

    Parameters
    ----------
    names : tuple of str, optional
        Names of configurations.

    Raises
    ------
    ValueError
        If there is no configuration of a name.
    """
    known = [c.name for c in CONFIGURATIONS]
    for name in names or ():
        if name not in known:
            raise ValueError(f"cells has name {name!r}, expected one of {', '.join(known)}")
    return [
        Spec(configuration, hard, reverse)
        for configuration in CONFIGURATIONS
        if names is None or configuration.name in names
        for hard in configuration.hard
        for reverse in ((False, True) if configuration.layer is None else (False,))
    ]
