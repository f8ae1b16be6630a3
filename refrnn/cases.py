"""The cells and the ragged cases that every implementation is tried on.

A fixed set, the same on every machine and in every release: real utterances, and the small batches
at which implementations break. Numbers are drawn in float64 from a generator seeded by the case's
name, then rounded, so a float32 case is the float64 case rounded once.
"""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from .cells import GRU, LSTM, RNN
from .comparison import Case
from .datasets import japanese_vowels
from .ragged import RaggedBatch
from .types import Array
from .unroll.base import AnyCell
from .validation import check_integer

__all__ = [
    "CELL_NAMES",
    "HARD_CASES",
    "HardCase",
    "hard_case",
    "make_cell",
    "random_case",
    "strided",
    "vowels_case",
]

_CELLS: dict[str, tuple[Any, dict[str, Any]]] = {
    "rnn_tanh": (RNN, {}),
    "rnn_relu": (RNN, {"activation": "relu"}),
    "lstm": (LSTM, {}),
    "lstm_peepholes": (LSTM, {"peepholes": True}),
    "lstm_projection": (LSTM, {}),  # proj_size follows from hidden_size
    "lstm_coupled": (LSTM, {"coupled": True}),
    "lstm_cell_clip": (LSTM, {"cell_clip": 0.5}),
    "lstm_gate_clip": (LSTM, {"gate_clip": 1.0}),
    "gru_reset_after": (GRU, {}),
    "gru_reset_before": (GRU, {"reset_after": False}),
}

#: Names of the cells, each an option of RNN, LSTM or GRU that changes the equations.
CELL_NAMES: tuple[str, ...] = tuple(_CELLS)


class HardCase(NamedTuple):
    """One of the small batches at which implementations break.

    Attributes
    ----------
    lengths : tuple of int
    about : str
        What is hard about it.
    gain : float
        Factor on weights and inputs; 1 is the usual +-2/sqrt(hidden_size) and unit variance.
    """

    lengths: tuple[int, ...]
    about: str
    gain: float = 1.0


#: The hard cases by name.
HARD_CASES: dict[str, HardCase] = {
    "unsorted": HardCase((3, 9, 1, 6, 9, 2), "lengths in no order, the longest twice"),
    "length_0_and_1": HardCase((0, 1, 5, 0, 1), "sequences without a step, at the start too"),
    "all_equal": HardCase((4, 4, 4, 4), "no padding anywhere"),
    "single_row": HardCase((1,), "one sequence of one step"),
    "one_sequence": HardCase((12,), "a batch of one"),
    "all_empty": HardCase((0, 0, 0), "sequences, but not one step"),
    "empty_batch": HardCase((), "no sequence at all"),
    "saturating": HardCase((5, 8, 2), "activations at their bounds", gain=10.0),
    "nan_padding": HardCase((4, 0, 7, 2), "read from a padded array full of NaN"),
    "long_and_short": HardCase((1, 50, 2, 1, 0, 3, 1, 2, 1), "one long sequence among short ones"),
    "strided": HardCase((6, 3, 0, 5), "input and cotangent are views with NaN in between"),
    "last_state": HardCase((2, 6, 0, 4), "no initial state, only h_n has a cotangent"),
}


def make_cell(name: str, input_size: int, hidden_size: int) -> AnyCell:
    """The cell of a name.

    Parameters
    ----------
    name : str
        One of :data:`CELL_NAMES`.
    input_size, hidden_size : int
        I and H; a projection has ``max(1, H // 2)`` features, so its H must be at least 2.

    Raises
    ------
    ValueError
        If there is no such name, or a size is out of range.
    """
    if name not in _CELLS:
        raise ValueError(f"name has value {name!r}, expected one of {', '.join(CELL_NAMES)}")
    make, options = _CELLS[name]
    if name == "lstm_projection":
        size = check_integer(hidden_size, "hidden_size", minimum=2)
        options = {"proj_size": size // 2}
    cell: AnyCell = make(input_size, hidden_size, **options)
    return cell


def random_case(
    cell: AnyCell,
    batch: RaggedBatch,
    rng: np.random.Generator,
    *,
    gain: float = 1.0,
    reverse: bool = False,
    name: str = "",
) -> Case:
    """A case of random weights, initial states and cotangents, none of them zero.

    Parameters
    ----------
    cell : Cell
    batch : RaggedBatch
        Float64; its values are used as they are.
    rng : numpy.random.Generator
    gain : float
        Weights are uniform in ``+-2 gain / sqrt(H)``. With a gain of 1 a recurrence is not yet
        chaotic; much above, float32 differs from float64 with no bug.
    reverse : bool
    name : str

    Returns
    -------
    Case
        Of float64. States and cotangents are standard normal.
    """

    def state() -> Any:
        return cell.state_type(*(rng.normal(size=(len(batch), n)) for n in cell.state_sizes))

    parameters = cell.init_parameters(rng, scale=2.0 * gain / cell.hidden_size**0.5)
    d_output = rng.normal(size=(batch.total_steps, cell.output_size))
    return Case(cell, parameters, batch, state(), d_output, state(), reverse, name)


def hard_case(name: str, cell: AnyCell, dtype: Any = "float64", *, reverse: bool = False) -> Case:
    """One of the hard cases for a cell.

    Parameters
    ----------
    name : str
        A key of :data:`HARD_CASES`.
    cell : Cell
    dtype : dtype
        float32, float64 or longdouble.
    reverse : bool

    Raises
    ------
    ValueError
        If there is no such name.

    Examples
    --------
    >>> import refrnn
    >>> from refrnn.cases import hard_case
    >>> hard_case("length_0_and_1", refrnn.GRU(3, 5)).batch
    RaggedBatch(B=5, N=7, F=3, lengths 0..5, float64)
    """
    if name not in HARD_CASES:
        raise ValueError(f"name has value {name!r}, expected one of {', '.join(HARD_CASES)}")
    hard = HARD_CASES[name]
    rng = _rng(name)
    batch = _batch(hard.lengths, hard.gain * rng.normal(size=(sum(hard.lengths), cell.input_size)))
    if name == "nan_padding":
        batch = RaggedBatch.from_padded(batch.to_padded(padding_value=np.nan), hard.lengths)
    case = random_case(cell, batch, rng, gain=hard.gain, reverse=reverse, name=name)
    if name == "last_state":
        only_h = [np.zeros_like(array) for array in case.d_state_n]
        only_h[0] = case.d_state_n[0]
        d_state_n = cell.state_type(*only_h)
        case = case._replace(state_0=None, d_output=None, d_state_n=d_state_n)
    case = case.astype(dtype)
    if name == "strided" and case.d_output is not None:
        batch = case.batch.with_values(strided(case.batch.values))
        case = case._replace(batch=batch, d_output=strided(case.d_output))
    return case


def vowels_case(
    cell: AnyCell,
    dtype: Any = "float64",
    *,
    reverse: bool = False,
    every: int = 1,
) -> Case:
    """Japanese Vowels as a case: the training split, standardised, with random cotangents.

    Parameters
    ----------
    cell : Cell
        Of input size 12.
    dtype : dtype
        float32, float64 or longdouble.
    reverse : bool
    every : int
        Take each `every`-th of the 270 utterances; 1 takes all, 10 takes 3 of each speaker.

    Returns
    -------
    Case
        Mean and standard deviation are those of the whole split.
    """
    step = check_integer(every, "every", minimum=1)
    batch = japanese_vowels("train").batch
    values = (batch.values - batch.values.mean(axis=0)) / batch.values.std(axis=0)
    batch = batch.with_values(values).permute(np.arange(0, len(batch), step))
    name = "japanese_vowels"
    return random_case(cell, batch, _rng(name), reverse=reverse, name=name).astype(dtype)


def _rng(name: str) -> np.random.Generator:
    """The generator of a case, seeded by its name alone."""
    return np.random.default_rng(zlib.crc32(name.encode()))


def _batch(lengths: Sequence[int], values: Array) -> RaggedBatch:
    return RaggedBatch(values, np.array(lengths, dtype=np.int64))


def strided(array: Array) -> Array:
    """The same numbers as every second element of a larger array, its columns back to front.

    Parameters
    ----------
    array : ndarray of shape (N, F)

    Returns
    -------
    ndarray of shape (N, F)
        A view with NaN between its elements.
    """
    wide = np.full((2 * array.shape[0], 2 * array.shape[1]), np.nan, array.dtype)
    view: Array = wide[::2, ::-2]
    view[...] = array
    return view
