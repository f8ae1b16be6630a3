"""Problems: what a subject is asked to compute, and the standard set of hard ones.

A problem is one ragged batch with initial states and cotangents, and the padded array that a
framework without ragged batches is given. Padding is never zeros: it holds numbers that show where
they leak to, or NaN.
"""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from ..cases import HARD_CASES
from ..padding import sequence_mask
from ..ragged import RaggedBatch
from ..types import Array, BoolArray, IntArray
from ..unroll.base import State
from ..validation import check_dtype
from .network import Network

__all__ = ["PROBLEM_NAMES", "Problem", "problem_of", "standard_problem", "standard_problems"]

#: What is hard about a problem beside the hard cases: name, lengths and why.
_PADDED_CASES: dict[str, tuple[tuple[int, ...], str]] = {
    "extra_padding": ((3, 1, 4), "every sequence is shorter than the padded array"),
    "holes": ((4, 2, 5, 0), "a mask with holes, at the start of a sequence too"),
}

#: Names of the standard set, in the order in which it is run.
PROBLEM_NAMES: tuple[str, ...] = (*HARD_CASES, *_PADDED_CASES)

_HOLES = (
    (True, True, False, True, False, True, False),
    (False, False, True, False, False, False, True),
    (True, False, True, True, True, True, False),
    (False, False, False, False, False, False, False),
)
_EXTRA_STEPS = 3
_PADDING_SIZE = 3.0  # of the numbers in the padding: large enough to show


class Problem(NamedTuple):
    """One ragged batch, its initial states, and the cotangents to pull back.

    Attributes
    ----------
    name, about : str
        What it is called, and what is hard about it.
    batch : RaggedBatch
        The real rows, (N, I).
    state_0 : tuple of L*D NamedTuples of ndarrays (B, size)
        The initial states; zeros where `default_state` is true.
    d_output : ndarray of shape (N, features)
        Cotangent of the outputs at real steps; that of padding is zero.
    d_state_n : tuple of L*D NamedTuples of ndarrays (B, size)
    mask : ndarray of bool, shape (B, T)
        Where the rows of `batch` stand in the padded array.
    padding : ndarray of shape (B, T, I)
        What stands in the padded array where `mask` is False.
    default_state : bool
        Whether the subject is to be run without initial states, which must mean zeros.
    strided : bool
        Whether arrays are to be handed over as views with NaN in between.
    """

    name: str
    about: str
    batch: RaggedBatch
    state_0: tuple[State, ...]
    d_output: Array
    d_state_n: tuple[State, ...]
    mask: BoolArray
    padding: Array
    default_state: bool = False
    strided: bool = False

    @property
    def lengths(self) -> IntArray:
        """Steps of each sequence, int64, shape (B,)."""
        return self.batch.lengths

    @property
    def dtype(self) -> np.dtype[Any]:
        """The dtype of every array."""
        return self.batch.dtype

    @property
    def num_steps(self) -> int:
        """T, steps of the padded array."""
        return int(self.mask.shape[1])

    @property
    def has_holes(self) -> bool:
        """Whether a real step stands behind padding."""
        return not np.array_equal(
            self.mask, sequence_mask(self.lengths, self.num_steps, batch_first=True)
        )

    @property
    def traits(self) -> tuple[str, ...]:
        """What frameworks are known to refuse: see :attr:`Semantics.refuses`."""
        found = {
            "no sequence": len(self.batch) == 0,
            "no step": self.batch.total_steps == 0,
            "length 0": bool((self.lengths == 0).any()),
            "holes": self.has_holes,
        }
        return tuple(name for name, there in found.items() if there)

    def rows(self) -> Array:
        """The rows of the batch, (N, I), as an array of its own or a view with gaps."""
        return self._laid_out(self.batch.values.copy())

    def padded_input(self, batch_first: bool = True) -> Array:
        """The input as a padded array, (B, T, I) or (T, B, I), garbage in the padding."""
        padded = self.padding.copy()
        padded[self.mask] = self.batch.values
        return self._laid_out(padded if batch_first else padded.swapaxes(0, 1))

    def padded_cotangent(self, batch_first: bool = True) -> Array:
        """The cotangent of the output as a padded array of that layout, 0 in the padding."""
        padded = np.zeros((*self.mask.shape, self.d_output.shape[1]), self.dtype)
        padded[self.mask] = self.d_output
        return self._laid_out(padded if batch_first else padded.swapaxes(0, 1))

    def _laid_out(self, array: Array) -> Array:
        """A contiguous array or, where the problem says so, a view with gaps."""
        if not self.strided:
            return np.ascontiguousarray(array)
        wide = np.full((*array.shape[:-1], 2 * array.shape[-1]), np.nan, array.dtype)
        wide[..., ::2] = array
        return wide[..., ::2]

    def without_empty(self) -> Problem:
        """The same problem without its sequences of length 0."""
        kept = np.flatnonzero(self.lengths > 0)

        def rows(states: tuple[State, ...]) -> tuple[State, ...]:
            return tuple(type(s)._make([a[kept] for a in s]) for s in states)

        return self._replace(
            name=f"{self.name} (without empty)",
            batch=self.batch.permute(kept),
            state_0=rows(self.state_0),
            d_state_n=rows(self.d_state_n),
            mask=self.mask[kept],
            padding=self.padding[kept],
        )

    def check_fits(self, network: Network) -> None:
        """Refuse a problem that was made for another network, or that has no finite answer.

        Raises
        ------
        ValueError
            If a shape is another than `network` needs, or a number is NaN or Inf.
        """
        B, N = len(self.batch), self.batch.total_steps
        sizes = [network.cell(run).state_sizes for run in range(network.num_runs)]
        wanted = [[(B, size) for size in own] for own in sizes]
        for what, shape, expected in (
            ("batch", self.batch.values.shape, (N, network.input_size)),
            ("d_output", self.d_output.shape, (N, network.output_size)),
            ("state_0", [[a.shape for a in s] for s in self.state_0], wanted),
            ("d_state_n", [[a.shape for a in s] for s in self.d_state_n], wanted),
        ):
            if shape != expected:
                raise ValueError(
                    f"{what} of problem {self.name} has shape {shape}, expected {expected}"
                )
        check_all_finite(self.batch.values, f"batch of problem {self.name}")
        check_all_finite(self.d_output, f"d_output of problem {self.name}")
        for states, what in ((self.state_0, "state_0"), (self.d_state_n, "d_state_n")):
            for array in (a for state in states for a in state):
                check_all_finite(array, f"{what} of problem {self.name}")

    def copy(self) -> Problem:
        """The same problem in arrays of its own."""
        return self.astype(self.dtype)._replace(mask=self.mask.copy())

    def astype(self, dtype: Any) -> Problem:
        """The same problem with every array converted."""
        target = check_dtype(dtype, "dtype", complex_allowed=False)

        def converted(states: tuple[State, ...]) -> tuple[State, ...]:
            return tuple(type(s)._make([a.astype(target) for a in s]) for s in states)

        return self._replace(
            batch=self.batch.with_values(self.batch.values.astype(target)),
            state_0=converted(self.state_0),
            d_output=self.d_output.astype(target),
            d_state_n=converted(self.d_state_n),
            padding=self.padding.astype(target),
        )


def check_all_finite(array: Array, name: str) -> None:
    """Refuse NaN and Inf: what comes of them cannot be compared."""
    bad = np.argwhere(~np.isfinite(array))
    if len(bad):
        at = ", ".join(map(str, bad[0].tolist()))
        raise ValueError(f"{name} has {array[tuple(bad[0])]} at [{at}], expected finite numbers")


def standard_problem(name: str, network: Network, dtype: Any = "float64") -> Problem:
    """A problem of the standard set for a network.

    Parameters
    ----------
    name : str
        One of :data:`PROBLEM_NAMES`.
    network : Network
    dtype : dtype
        float32 or float64; numbers are drawn in float64 and rounded.

    Raises
    ------
    ValueError
        If there is no such name.
    """
    if name not in PROBLEM_NAMES:
        raise ValueError(f"name has value {name!r}, expected one of {', '.join(PROBLEM_NAMES)}")
    rng = np.random.default_rng(zlib.crc32(name.encode()))
    hard = HARD_CASES.get(name)
    lengths, about = _PADDED_CASES[name] if hard is None else (hard.lengths, hard.about)
    gain = 1.0 if hard is None else hard.gain
    values = gain * rng.normal(size=(sum(lengths), network.input_size))
    batch = RaggedBatch(values, np.array(lengths, np.int64))
    mask = sequence_mask(batch.lengths, batch_first=True)
    if name == "holes":
        mask = np.array(_HOLES)
    elif name == "extra_padding":
        mask = sequence_mask(batch.lengths, batch.max_length + _EXTRA_STEPS, batch_first=True)
    problem = _drawn(name, about, network, batch, mask, rng)
    if name == "nan_padding":
        problem = problem._replace(padding=np.full_like(problem.padding, np.nan))
    elif name == "strided":
        problem = problem._replace(strided=True)
    elif name == "last_state":
        problem = _last_state(problem)
    return problem.astype(dtype)


def standard_problems(network: Network, dtype: Any = "float64") -> list[Problem]:
    """The standard set for a network: every name of :data:`PROBLEM_NAMES` once."""
    return [standard_problem(name, network, dtype) for name in PROBLEM_NAMES]


def problem_of(network: Network, batch: RaggedBatch, *, seed: int = 0, name: str = "") -> Problem:
    """A problem of somebody's batch: random initial states and cotangents, garbage in the padding.

    Parameters
    ----------
    network : Network
    batch : RaggedBatch
        Of the network's input size, float32 or float64.
    seed : int
        Of everything that is drawn.
    name : str
        ``"batch"`` if empty.

    Raises
    ------
    TypeError, ValueError
        If `batch` is no RaggedBatch or has other features.
    """
    if not isinstance(batch, RaggedBatch):
        raise TypeError(f"batch has type {type(batch).__name__}, expected a RaggedBatch")
    if batch.features != network.input_size:
        raise ValueError(
            f"batch has {batch.features} features, expected input_size = {network.input_size}"
        )
    mask = sequence_mask(batch.lengths, batch_first=True)
    rng = np.random.default_rng(seed)
    wide = batch.with_values(batch.values.astype(np.float64))
    return _drawn(name or "batch", "given", network, wide, mask, rng).astype(batch.dtype)


def _drawn(
    name: str,
    about: str,
    network: Network,
    batch: RaggedBatch,
    mask: BoolArray,
    rng: np.random.Generator,
) -> Problem:
    """A problem of float64, everything drawn that is not given."""

    def states() -> tuple[State, ...]:
        cells = [network.cell(run) for run in range(network.num_runs)]
        return tuple(
            cell.state_type(*(rng.normal(size=(len(batch), n)) for n in cell.state_sizes))
            for cell in cells
        )

    return Problem(
        name,
        about,
        batch,
        states(),
        rng.normal(size=(batch.total_steps, network.output_size)),
        states(),
        np.ascontiguousarray(mask),
        _PADDING_SIZE * rng.normal(size=(*mask.shape, batch.features)),
    )


def _last_state(problem: Problem) -> Problem:
    """No initial state is given, and only h of the final states has a cotangent."""

    def only_h(states: Sequence[State]) -> tuple[State, ...]:
        return tuple(type(s)(s[0], *(np.zeros_like(a) for a in s[1:])) for s in states)

    zeros = tuple(type(s)(*(np.zeros_like(a) for a in s)) for s in problem.state_0)
    return problem._replace(
        state_0=zeros,
        d_output=np.zeros_like(problem.d_output),
        d_state_n=only_h(problem.d_state_n),
        default_state=True,
    )
