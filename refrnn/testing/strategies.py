"""Hypothesis strategies for lengths, ragged batches, cells, whole cases and the built-in unrolls.

Structure (lengths, sizes, options, dtype, direction) is drawn by Hypothesis and shrinks; numbers
come from a drawn seed. Thousands of drawn floats would be slow, would shrink to zeros that hide
errors, and would find the ties at kinks where no derivative exists. Numbers lie in +-2, weights in
+-2/sqrt(H) by default: unscaled recurrences are chaotic. Initial states and cotangents are drawn
too, never zero.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from hypothesis import reject
from hypothesis import strategies as st

from ..activations import Activation, activation
from ..arithmetic import MonteCarlo
from ..cells import GRU, LSTM, RNN
from ..comparison import Case, compare, reference, run_case
from ..ragged import RaggedBatch
from ..unroll import Bucketed, Lanes, Masked, Packed, PerSequence, Unroll
from ..unroll.base import AnyCell, State

__all__ = ["activations", "cases", "cells", "lengths", "ragged_batches", "states", "unrolls"]

_DTYPES = ("float32", "float64")
_GAINS = (2.0, 0.5, 20.0)  # usual, nearly linear, saturating
_SEEDS = st.integers(0, 2**16)

# What keeps the state bounded, and what need not; alpha and beta other than the defaults.
_BOUNDED = (
    activation("sigmoid"),
    activation("tanh"),
    activation("softsign"),
    activation("scaledtanh", 0.75, 1.5),
    activation("hardsigmoid", 0.25, 0.5),
)
_UNBOUNDED = (
    activation("relu"),
    activation("leakyrelu", 0.125),
    activation("thresholdedrelu", 0.25),
    activation("affine", 0.5, 0.25),
    activation("elu", 1.5),
    activation("softplus"),
)
_KINKED = {"relu", "leakyrelu", "thresholdedrelu", "hardsigmoid", "elu"}


def lengths(max_length: int = 7, max_batch: int = 5) -> st.SearchStrategy[list[int]]:
    """Lengths of a batch: free ones, in any order; all equal; one long among short ones; zeros.

    Parameters
    ----------
    max_length : int
        Longest length drawn. 0 is drawn, and so is a batch of zeros.
    max_batch : int
        Most sequences drawn. A batch without any is drawn too.
    """
    each = st.integers(0, max_length)
    free = st.lists(each, min_size=0, max_size=max_batch)
    equal = st.builds(lambda n, count: [n] * count, each, st.integers(1, max_batch))
    short = st.lists(st.integers(0, min(2, max_length)), min_size=1, max_size=max(1, max_batch - 1))
    long_tailed = st.tuples(short, st.integers(0, max_batch)).map(
        lambda drawn: [*drawn[0][: drawn[1]], max_length, *drawn[0][drawn[1] :]][:max_batch]
    )
    zeros = st.builds(lambda count: [0] * count, st.integers(0, max_batch))
    return st.one_of(free, equal, long_tailed, zeros)


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
    sizes = draw(lengths() if batch_lengths is None else batch_lengths)
    width = draw(st.integers(1, 4)) if features is None else features
    chosen = draw(st.sampled_from(_DTYPES)) if dtype is None else dtype
    return _batch(np.random.default_rng(draw(_SEEDS)), sizes, width, chosen)


@st.composite
def states(draw: st.DrawFn, cell: AnyCell, batch_size: int, dtype: str | None = None) -> State:
    """A state of a cell, of numbers in +-2, none of them zero.

    Parameters
    ----------
    cell : Cell
    batch_size : int
        B.
    dtype : str, optional
        "float32" or "float64"; either if None.
    """
    chosen = draw(st.sampled_from(_DTYPES)) if dtype is None else dtype
    return _state(np.random.default_rng(draw(_SEEDS)), cell, batch_size, chosen)


def activations(*, bounded: bool = False) -> st.SearchStrategy[Activation]:
    """Any activation of the table, some with an alpha and beta of their own.

    Parameters
    ----------
    bounded : bool
        Only those with bounded values: products of unbounded gates grow doubly exponentially.
    """
    return st.sampled_from(_BOUNDED if bounded else (*_BOUNDED, *_UNBOUNDED))


@st.composite
def cells(draw: st.DrawFn, max_size: int = 4) -> AnyCell:
    """A cell of any kind with any options that go together; the default activations in half.

    Parameters
    ----------
    max_size : int
        Largest input and hidden size.
    """
    sizes = (draw(st.integers(1, max_size)), draw(st.integers(1, max_size)))
    options: dict[str, Any] = {"biases": draw(st.sampled_from([2, 1, 0]))}
    kind = draw(st.sampled_from(["rnn", "lstm", "gru"]))
    usual = draw(st.booleans())
    if kind == "rnn":
        options["gate_clip"] = draw(st.sampled_from([None, 0.5]))
        if not usual:
            options["activation"] = draw(activations())
        return RNN(*sizes, **options)
    if not usual:
        options["gate_activation"] = draw(activations(bounded=True))
    if kind == "gru":
        if not usual:
            options["candidate_activation"] = draw(activations())
        options["gate_clip"] = draw(st.sampled_from([None, 0.5]))
        return GRU(*sizes, reset_after=draw(st.booleans()), **options)
    if not usual:
        options["cell_activation"] = draw(activations())
        options["output_activation"] = draw(activations())
    options["peepholes"] = draw(st.booleans())
    options["coupled"] = draw(st.booleans())
    if draw(st.booleans()) and sizes[1] > 1:
        options["proj_size"] = draw(st.integers(1, sizes[1] - 1))
    clip = draw(st.sampled_from(["none", "gate_clip", "cell_clip"]))
    if clip == "gate_clip" and "proj_size" not in options:
        options["gate_clip"] = 0.5
    elif clip == "cell_clip" and not options["coupled"]:
        options["cell_clip"] = 0.3
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

    A float32 case is drawn anew where rounding could carry a pre-activation over a kink: there
    correct results differ.

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
    chosen = draw(cells() if cell is None else cell)
    sizes = draw(lengths() if batch_lengths is None else batch_lengths)
    target = draw(st.sampled_from(_DTYPES)) if dtype is None else dtype
    backwards = draw(st.booleans()) if reverse is None else reverse
    gain = draw(st.sampled_from(_GAINS if _is_bounded(chosen) else _GAINS[:2]))
    seed = draw(_SEEDS)
    for attempt in range(20):
        case = _case(np.random.default_rng([seed, attempt]), chosen, sizes, target, gain)
        if case.dtype == np.float64 or not _has_kinks(chosen) or _stays_on_its_side(case):
            return case._replace(reverse=backwards, name=f"gain {gain}")
    return reject()


@st.composite
def unrolls(draw: st.DrawFn) -> Unroll:
    """A built-in unroll with any arguments of its constructor."""
    poison = st.sampled_from([0.0, float("nan"), float("inf"), 1e30])
    boundaries = st.lists(st.integers(1, 8), unique=True, max_size=3).map(sorted)
    drawn: Unroll = draw(
        st.one_of(
            st.builds(PerSequence),
            st.builds(Masked, padding_value=poison),
            st.builds(Bucketed, boundaries=boundaries, padding_value=poison),
            st.builds(Bucketed, num_buckets=st.integers(1, 6), padding_value=poison),
            st.builds(Packed),
            st.builds(Lanes, lanes=st.none() | st.integers(1, 6)),
        )
    )
    return drawn


def _batch(rng: np.random.Generator, sizes: list[int], features: int, dtype: str) -> RaggedBatch:
    values = rng.uniform(-2, 2, (sum(sizes), features))
    return RaggedBatch(values.astype(dtype), np.array(sizes, np.int64))


def _state(rng: np.random.Generator, cell: AnyCell, batch_size: int, dtype: str) -> State:
    shapes = [(batch_size, size) for size in cell.state_sizes]
    return cell.state_type(*(rng.uniform(-2, 2, shape).astype(dtype) for shape in shapes))


def _case(
    rng: np.random.Generator, cell: AnyCell, sizes: list[int], dtype: str, gain: float
) -> Case:
    """Numbers for everything."""
    batch = _batch(rng, sizes, cell.input_size, dtype)
    return Case(
        cell=cell,
        parameters=cell.init_parameters(rng, dtype, scale=gain / cell.hidden_size**0.5),
        batch=batch,
        state_0=_state(rng, cell, len(batch), dtype),
        d_output=rng.uniform(-2, 2, (batch.total_steps, cell.output_size)).astype(dtype),
        d_state_n=_state(rng, cell, len(batch), dtype),
    )


def _is_bounded(cell: AnyCell) -> bool:
    """Whether every activation of a cell has bounded values."""
    used = [value for value in cell.options().values() if isinstance(value, Activation)]
    return all(a in _BOUNDED for a in used)


def _has_kinks(cell: AnyCell) -> bool:
    """Whether a derivative of the cell jumps anywhere."""
    options = cell.options()
    if options["gate_clip"] is not None or options.get("cell_clip") is not None:
        return True
    return any(isinstance(a, Activation) and a.name in _KINKED for a in options.values())


def _stays_on_its_side(case: Case) -> bool:
    """Whether rounding errors of float32 leave the case on one side of every kink.

    They would otherwise move a result by what a branch is worth, and not by what the tolerance
    makes of the derivative; smooth cases move by less than 1/16 of a tolerance here.
    """
    wide, truth = case.astype(np.float64), reference(case)
    for stream in np.random.default_rng(0).spawn(4):
        noisy = run_case(wide, Packed(arithmetic=MonteCarlo(2.0**-22, stream)))
        if any(d.in_tolerances > 0.25 for d in compare(case, noisy, truth)):
            return False
    return True
