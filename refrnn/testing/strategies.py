"""Hypothesis strategies for ragged batches, cells and whole cases.

Structure (lengths, sizes, options, dtype, direction) is drawn by Hypothesis and shrinks; numbers
come from a drawn seed. Thousands of drawn floats would be slow, would shrink to zeros that hide
errors, and would find ties at kinks where no derivative exists. Weights lie in +-2/sqrt(H) by
default: unscaled recurrences are chaotic. Initial states and cotangents are never zero.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from hypothesis import strategies as st

from ..cells import GRU, LSTM, RNN
from ..comparison import Case
from ..ragged import RaggedBatch
from ..unroll.base import AnyCell, State

__all__ = ["cases", "cells", "lengths", "ragged_batches"]

_DTYPES = ("float32", "float64")
_GAINS = (2.0, 0.5, 20.0)  # usual, nearly linear, saturating


def lengths(max_length: int = 7, max_batch: int = 5) -> st.SearchStrategy[list[int]]:
    """Lengths of a batch: any of 0..max_length, none to max_batch of them, in any order.

    Parameters
    ----------
    max_length, max_batch : int
    """
    free = st.lists(st.integers(0, max_length), min_size=0, max_size=max_batch)
    equal = st.builds(lambda n, b: [n] * b, st.integers(0, max_length), st.integers(1, max_batch))
    return st.one_of(free, equal)


@st.composite
def ragged_batches(
    draw: st.DrawFn,
    features: int | None = None,
    dtype: str | None = None,
    batch_lengths: st.SearchStrategy[list[int]] | None = None,
) -> RaggedBatch:
    """A ragged batch of numbers in +-2.

    Parameters
    ----------
    features : int, optional
        F; 1 to 4 if None.
    dtype : str, optional
        "float32" or "float64"; either if None.
    batch_lengths : strategy of list of int, optional
        :func:`lengths` by default.
    """
    sizes = draw(batch_lengths or lengths())
    width = draw(st.integers(1, 4)) if features is None else features
    rng = np.random.default_rng(draw(st.integers(0, 2**16)))
    values = rng.uniform(-2, 2, (sum(sizes), width))
    chosen = draw(st.sampled_from(_DTYPES)) if dtype is None else dtype
    return RaggedBatch(values.astype(chosen), np.array(sizes, np.int64))


@st.composite
def cells(draw: st.DrawFn, max_size: int = 4) -> AnyCell:
    """A cell of any kind with any options that go together.

    Parameters
    ----------
    max_size : int
        Largest input and hidden size.
    """
    sizes = (draw(st.integers(1, max_size)), draw(st.integers(1, max_size)))
    biases = draw(st.sampled_from([2, 1, 0]))
    kind = draw(st.sampled_from(["rnn", "lstm", "gru"]))
    gate_clip = draw(st.sampled_from([None, None, 0.5]))
    if kind == "rnn":
        name = draw(st.sampled_from(["tanh", "relu", "sigmoid", "softsign", "elu"]))
        return RNN(*sizes, activation=name, biases=biases, gate_clip=gate_clip)
    if kind == "gru":
        return GRU(*sizes, reset_after=draw(st.booleans()), biases=biases, gate_clip=gate_clip)
    options: dict[str, Any] = {"biases": biases, "peepholes": draw(st.booleans())}
    variant = draw(st.sampled_from(["plain", "coupled", "gate_clip", "cell_clip", "projection"]))
    if variant == "coupled":
        options["coupled"] = True
    elif variant == "gate_clip":
        options["gate_clip"] = 0.5
    elif variant == "cell_clip":
        options["cell_clip"] = 0.3
    elif variant == "projection" and sizes[1] > 1:
        options["proj_size"] = draw(st.integers(1, sizes[1] - 1))
    if draw(st.integers(0, 4)) == 4:
        options["gate_activation"] = "hardsigmoid"
        options["output_activation"] = "softsign"
    return LSTM(*sizes, **options)


@st.composite
def cases(
    draw: st.DrawFn,
    cell: st.SearchStrategy[AnyCell] | None = None,
    batch_lengths: st.SearchStrategy[list[int]] | None = None,
    dtype: str | None = None,
    reverse: bool | None = None,
) -> Case:
    """A whole case: cell, weights, batch, initial states, direction, random cotangents.

    Parameters
    ----------
    cell : strategy of Cell, optional
        :func:`cells` by default.
    batch_lengths : strategy of list of int, optional
        :func:`lengths` by default.
    dtype : str, optional
        "float32" or "float64"; either if None.
    reverse : bool, optional
        Either if None.
    """
    chosen = draw(cell or cells())
    batch = draw(ragged_batches(chosen.input_size, dtype, batch_lengths))
    gain = draw(st.sampled_from(_GAINS))
    rng = np.random.default_rng(draw(st.integers(0, 2**16)))

    def state() -> State:
        shapes = [(batch.batch_size, size) for size in chosen.state_sizes]
        return chosen.state_type(*(rng.uniform(-2, 2, s).astype(batch.dtype) for s in shapes))

    return Case(
        cell=chosen,
        parameters=chosen.init_parameters(
            rng, batch.dtype, scale=gain / np.sqrt(chosen.hidden_size)
        ),
        batch=batch,
        state_0=state(),
        d_output=rng.uniform(-2, 2, (batch.total_steps, chosen.output_size)).astype(batch.dtype),
        d_state_n=state(),
        reverse=draw(st.booleans()) if reverse is None else reverse,
        name=f"gain {gain}",
    )
