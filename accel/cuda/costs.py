"""What the kernels cost, exactly, and what they may cost.

Everything is counted on softcuda and repeats to the last digit. A cost is a number beside the one
that it must equal or must not exceed; both are known without a GPU.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np

from refrnn.types import IntArray
from refrnn.unroll.base import AnyCell

from .counting import SECTOR, Counted, Counts, count
from .cut import Cut

__all__ = ["LIMITS", "Cost", "Costs", "costs"]

#: What may be exceeded, and how far: instructions of a step those of sequences of equal lengths,
#: bytes of global memory those that have to pass, wavefronts those without a conflict of banks.
LIMITS = {"instructions a step": 1.05, "bytes, no exchange": 1.1, "wavefronts": 1.05}


class Cost(NamedTuple):
    """A number that was counted, and what it must be.

    Attributes
    ----------
    kernel : str
        "forward", "backward", or that of a product.
    what : str
    counted, expected : float
        ``expected`` by a formula, or for the least that is possible.
    limit : float or None
        How many times ``expected`` the number may be; None if it must be equal.
    """

    kernel: str
    what: str
    counted: float
    expected: float
    limit: float | None = None

    @property
    def ratio(self) -> float:
        """Counted over expected; 1 for nothing over nothing."""
        return 1.0 if self.counted == self.expected else self.counted / self.expected

    @property
    def holds(self) -> bool:
        """Whether the number is what it must be."""
        if self.limit is None:
            return self.counted == self.expected
        return self.counted <= self.limit * self.expected


class Costs(NamedTuple):
    """The costs of a batch.

    Attributes
    ----------
    counted : Counted
    costs : tuple of Cost
    """

    counted: Counted
    costs: tuple[Cost, ...]

    @property
    def hold(self) -> bool:
        """Whether all numbers are what they must be."""
        return all(cost.holds for cost in self.costs)


def costs(
    cell: AnyCell,
    dtype: Any,
    lengths: Any,
    *,
    variant: str | None = None,
    team: int | None = None,
    lanes: int | None = None,
) -> Costs:
    """Count a batch, forward and back, and hold it to the formulas.

    Parameters
    ----------
    cell : RNN, LSTM or GRU
        Sizes are multiples of 32: other rows do not begin with a sector, and have no simple
        formula.
    dtype : dtype
    lengths : array of int, shape (B,)
        Each at least 1.
    variant, team, lanes : optional
        As of :class:`.CudaUnroll`.

    Returns
    -------
    Costs

    Raises
    ------
    UnsupportedCase
        If the case does not fit on the device.
    ValueError
        If a size is no multiple of 32, or a length is 0.
    """
    lengths = _checked(cell, lengths)
    forced: dict[str, Any] = {"variant": variant, "team": team}
    counted = count(cell, dtype, lengths, lanes=lanes, **forced)
    longest = int(lengths.max())
    number = max(1, round(int(lengths.sum()) / longest))
    num_lanes = counted.choice.schedule.num_lanes
    even = count(cell, dtype, [longest] * number, lanes=num_lanes, **forced)
    one, two = (count(cell, dtype, [steps], lanes=1, **forced) for steps in (1, 2))
    found: list[Cost] = []
    for kernel in ("forward", "backward"):
        case = _Recurrent(kernel, counted, cell.hidden_size)
        found += case.steps(one.kernels[kernel], two.kernels[kernel])
        found += case.instructions(even)
        found += case.shared_memory()
        if counted.choice.variant != "stream":  # which reads W_hh at every step
            found += case.global_memory()
    return Costs(counted, (*found, *_products(counted)))


def _checked(cell: AnyCell, lengths: Any) -> IntArray:
    for name in ("hidden_size", "input_size"):
        if getattr(cell, name) % 32:
            raise ValueError(f"{name} has value {getattr(cell, name)}, expected a multiple of 32")
    checked = np.asarray(lengths, np.int64)
    if not checked.size or checked.min() < 1:
        raise ValueError(f"lengths has value {lengths}, expected one or more, each at least 1")
    return checked


class _Recurrent(NamedTuple):
    """One of the two recurrent launches of a batch."""

    kernel: str
    counted: Counted
    hidden_size: int

    @property
    def _counts(self) -> Counts:
        return self.counted.kernels[self.kernel]

    @property
    def _cut(self) -> Cut:
        cut = self.counted.choice.cut
        assert isinstance(cut, Cut), "of the stream variant only what all have in common is counted"
        return cut

    def _cost(self, what: str, counted: float, expected: float) -> Cost:
        return Cost(self.kernel, what, counted, expected, LIMITS.get(what))

    def steps(self, one: Counts, two: Counts) -> Iterator[Cost]:
        """Steps that were made, by their operations, and rounds of the teams, by their barriers."""
        choice, lengths = self.counted.choice, self.counted.lengths
        yield self._cost("steps", self._counts.flops / (two.flops - one.flops), int(lengths.sum()))
        of_a_round = two.barriers - one.barriers
        rounds = self._counts.barriers - choice.teams * (one.barriers - of_a_round)
        loads = np.zeros(choice.teams * choice.lanes_of_team, np.int64)
        loads[: choice.schedule.num_lanes] = choice.schedule.loads
        longest = loads.reshape(choice.teams, -1).max(axis=1)
        yield self._cost("rounds", rounds / of_a_round, int(longest.sum()))

    def instructions(self, even: Counted) -> Iterator[Cost]:
        """Those of a step beside those where all sequences are equally long."""
        of_even = even.kernels[self.kernel].instructions / int(even.lengths.sum())
        own = self._counts.instructions / int(self.counted.lengths.sum())
        yield self._cost("instructions a step", own, of_even)

    def shared_memory(self) -> Iterator[Cost]:
        """Wavefronts, those to other blocks apart."""
        counts = self._counts
        yield self._cost("wavefronts", counts.wavefronts, counts.wavefronts - counts.conflicts)
        if self.counted.choice.variant != "cluster":
            return
        cut = self._cut
        words = cut.dtype.itemsize // 4
        if self.kernel == "forward":  # every unit to every block; units of a warp go together
            sent = cut.blocks * self.hidden_size * cut.split // 32 * words
        else:  # every column of every block; so many lanes as take a wavefront
            together = 32 // words
            sent = cut.blocks * self.hidden_size // min(together, cut.units)
        yield self._cost("remote wavefronts", counts.remote_wavefronts, self._exchanges() * sent)

    def global_memory(self) -> Iterator[Cost]:
        """W_hh once a team, what has to pass besides, and the exchange, in bytes."""
        counts, cut, choice = self._counts, self._cut, self.counted.choice
        size, H = cut.dtype.itemsize, self.hidden_size
        weights = choice.teams * choice.blocks * cut.units * cut.columns * cut.cell.gates * size
        yield self._cost("bytes of W_hh", counts.weight_sectors * SECTOR, weights)
        other = (counts.own_sectors - counts.weight_sectors) * SECTOR
        yield self._cost("bytes, no exchange", weights + other, weights + self._numbers() * size)
        if cut.exchange != "Tagged":
            return
        # Values with their tags. Those of a column or unit after the other fill sectors; where a
        # warp has few units, a sector may be used in part.
        units = 32 // cut.split
        of_warp = -(-units * 2 * size // SECTOR) * SECTOR * H // units
        whole = choice.blocks * H * 2 * size
        stored, loaded = counts.exchange_store_sectors, counts.exchange_load_sectors
        if self.kernel == "forward":  # units are stored once, and loaded by every block
            expected = of_warp, whole
        else:  # columns are stored by every block, and loaded by the units' threads
            expected = whole, choice.blocks * of_warp
        times = self._exchanges()
        yield self._cost("exchanged bytes, stored", stored * SECTOR, times * expected[0])
        yield self._cost("exchanged bytes, loaded", loaded * SECTOR, times * expected[1])

    def _exchanges(self) -> int:
        """How often all units' values are exchanged: not forward at the end of a lane."""
        lanes = np.count_nonzero(self.counted.choice.schedule.loads)
        steps = int(self.counted.lengths.sum()) * self._cut.cell.phases
        return steps - (int(lanes) if self.kernel == "forward" else 0)

    def _numbers(self) -> int:
        """Inputs, outputs and tape: those of all rows, and those of all sequences."""
        cell, H = self._cut.cell, self.hidden_size
        N, B = int(self.counted.lengths.sum()), len(self.counted.lengths)
        if self.kernel == "forward":  # a, read and written; y, c, q
            of_row = 2 * cell.gates + 1 + cell.has_c + cell.has_q
        else:  # a, c, q, of GRU y; d_y; d_a, r h
            before = cell.gates > 1 and not cell.has_c
            of_row = cell.gates + cell.has_c + cell.has_q + before + 1
            of_row += cell.cotangents + (cell.phases == 2)
        return (N * of_row + B * (1 + cell.has_c)) * H


def _products(counted: Counted) -> Iterator[Cost]:
    """What the products before and after the recurrence cost by the formula of their tiles."""
    for kernel in sorted({launch.kernel for launch in counted.products}):
        launches = [launch for launch in counted.products if launch.kernel == kernel]
        counts = counted.kernels[kernel]
        flops = sum(2 * launch.fused + launch.additions for launch in launches)
        loaded = sum(launch.load_sectors for launch in launches)
        stored = sum(launch.store_sectors for launch in launches)
        yield Cost(kernel, "operations", counts.flops, flops)
        yield Cost(kernel, "bytes loaded", counts.load_sectors * SECTOR, loaded * SECTOR)
        yield Cost(kernel, "bytes stored", counts.store_sectors * SECTOR, stored * SECTOR)
