"""Lane schedules: sequences laid back to back on a few lanes, so that no step is padding.

A machine that wants work of a fixed size is given S *lanes*. Each lane runs some sequences one
after another and the state is reset where a new one starts. The schedule says which sequence
runs where, and when; it is computed once, from the lengths alone, and drives every unroll that
walks time in lanes.
"""

from __future__ import annotations

import heapq
import math
from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from .types import IntArray
from .validation import check_countable, check_integer, check_lengths

__all__ = ["LaneSchedule", "StepCost", "affine_cost", "row_tile_cost"]

StepCost = Callable[[int], float]
"""Price of one step that carries this many rows, in any unit; positive."""

# Rows that could have been computed in the time a NumPy step takes whatever its size. Measured
# with an LSTM step in float32 on one x86-64 core: 19, 11 and 8 rows for H = 64, 128 and 256.
_NUMPY_STEP_OVERHEAD = 12.0


def affine_cost(overhead: float = _NUMPY_STEP_OVERHEAD) -> StepCost:
    """Price of a step on a machine without row tiles: ``overhead + rows``.

    Parameters
    ----------
    overhead : float
        Fixed price of a step, in rows (how many rows take as long); finite and not negative.
        The default was measured for NumPy.

    Returns
    -------
    callable
        Maps a number of rows to the price of a step, in rows.

    Raises
    ------
    ValueError
        If ``overhead`` is negative or not finite.
    """
    _check_overhead(overhead)

    def cost(rows: int) -> float:
        return overhead + rows

    return cost


def row_tile_cost(tile: int, overhead: float = 0.0) -> StepCost:
    """Price of a step on a machine that computes rows in tiles: ``overhead + rows`` rounded up.

    Parameters
    ----------
    tile : int
        Rows of one tile, at least 1; a step of 1 row costs as much as one of ``tile`` rows.
    overhead : float
        Fixed price of a step, in rows; finite and not negative.

    Returns
    -------
    callable
        Maps a number of rows to the price of a step, in rows.

    Raises
    ------
    TypeError
        If ``tile`` is not an integer.
    ValueError
        If ``tile`` is below 1, or ``overhead`` is negative or not finite.
    """
    tile = check_integer(tile, "tile", minimum=1)
    _check_overhead(overhead)

    def cost(rows: int) -> float:
        return overhead + tile * -(-rows // tile)

    return cost


class LaneSchedule(NamedTuple):
    """Which lane runs each sequence, and from which step on.

    Build one with :meth:`from_lengths`; the constructor checks nothing. Lanes are numbered by
    decreasing load, so the lanes that are active at step ``t`` are ``0 .. batch_sizes[t] - 1``.
    All arrays are int64 and read-only.

    Attributes
    ----------
    lengths : ndarray of shape (B,)
        Steps of each sequence.
    lane : ndarray of shape (B,)
        Lane of each sequence; -1 for a sequence of length 0, which is on no lane.
    start : ndarray of shape (B,)
        Step at which each sequence takes its first step; -1 for a sequence of length 0.
    loads : ndarray of shape (S,)
        Steps of each lane, decreasing; the sum is N.
    batch_sizes : ndarray of shape (num_steps,)
        Active lanes of each step, decreasing; the sum is N, so no step is padding.

    Notes
    -----
    The rule is *longest processing time first*: sequences by decreasing length (equal lengths
    by index), each to the lane with the least load (equal loads by number). It is
    deterministic, never longer than ``N / S + (1 - 1 / S) * longest`` steps, and within
    ``4/3 - 1 / (3 S)`` of the shortest schedule there is [1]_.

    References
    ----------
    .. [1] R. L. Graham, "Bounds on multiprocessing timing anomalies", SIAM Journal on Applied
       Mathematics 17 (1969) 416-429.

    Examples
    --------
    >>> from refrnn.lanes import LaneSchedule
    >>> schedule = LaneSchedule.from_lengths([3, 0, 7, 2, 2], lanes=2)
    >>> schedule.lane.tolist(), schedule.start.tolist()
    ([1, -1, 0, 1, 1], [0, -1, 0, 3, 5])
    >>> schedule.num_steps, schedule.batch_sizes.tolist()
    (7, [2, 2, 2, 2, 2, 2, 2])
    """

    lengths: IntArray
    lane: IntArray
    start: IntArray
    loads: IntArray
    batch_sizes: IntArray

    @classmethod
    def from_lengths(
        cls, lengths: object, lanes: int | None = None, cost: StepCost | None = None
    ) -> LaneSchedule:
        """Schedule sequences of these lengths.

        Parameters
        ----------
        lengths : array_like of int, shape (B,)
            Steps of each sequence, at least 0; not modified.
        lanes : int or None
            Number of lanes S, at least 1. Lanes that get no sequence stay in the schedule with
            load 0. ``None`` chooses the S between ``ceil(N / longest)`` and the number of
            non-empty sequences that minimises ``num_steps * cost(S)``, the smaller S where two
            cost the same; 1 when there is nothing to run.
        cost : callable or None
            Price of a step with S rows, for ``lanes=None`` only; ``None`` means
            :func:`affine_cost` with its default.

        Returns
        -------
        LaneSchedule

        Raises
        ------
        TypeError
            If ``lengths`` are not integers, or ``lanes`` is not an integer.
        ValueError
            If a length is negative, ``lanes`` is below 1, ``cost`` is given together with
            ``lanes``, or ``cost`` returns something that is not positive and finite.
        """
        checked = check_lengths(lengths)
        check_countable(checked)
        if lanes is None:
            lanes = _choose_lanes(checked, affine_cost() if cost is None else cost)
        else:
            lanes = check_integer(lanes, "lanes", minimum=1)
            if cost is not None:
                raise ValueError("cost has been given with lanes, expected only one of the two")
        return _schedule(checked, lanes)

    @property
    def num_lanes(self) -> int:
        """Number of lanes S, those without a sequence included."""
        return int(self.loads.size)

    @property
    def num_steps(self) -> int:
        """Sequential steps: the largest load, 0 when there is nothing to run."""
        return int(self.batch_sizes.size)

    def rows(self) -> IntArray:
        """Where each step of each sequence lies when rows are stored step after step.

        Step ``t`` owns ``batch_sizes[t]`` consecutive rows, one a lane in the order of lanes.

        Returns
        -------
        ndarray of int64, shape (N,)
            For each row of the ragged batch (sequence after sequence), its row in step-major
            order: a permutation of ``0 .. N-1``.
        """
        step_offsets = np.concatenate(([0], np.cumsum(self.batch_sizes)[:-1])).astype(np.int64)
        first_row = np.cumsum(self.lengths) - self.lengths
        step = np.arange(int(self.lengths.sum())) + np.repeat(self.start - first_row, self.lengths)
        rows: IntArray = step_offsets[step] + np.repeat(self.lane, self.lengths)
        return rows


def _schedule(lengths: IntArray, lanes: int) -> LaneSchedule:
    """Longest processing time first on exactly this many lanes."""
    order = np.argsort(-lengths, kind="stable")
    order = order[: np.count_nonzero(lengths)]
    lane = np.full(lengths.shape, -1, dtype=np.int64)
    start = np.full(lengths.shape, -1, dtype=np.int64)
    # (load, lane) as one integer, load * lanes + lane: orders alike and compares faster.
    heap = list(range(min(lanes, max(1, order.size))))  # no more get a sequence
    entries = [heapq.heapreplace(heap, heap[0] + n * lanes) for n in lengths[order].tolist()]
    start[order], lane[order] = np.divmod(np.array(entries, dtype=np.int64), lanes)
    loads = np.zeros(lanes, dtype=np.int64)
    for entry in heap:
        load, number = divmod(entry, lanes)
        loads[number] = load
    by_load = np.argsort(-loads, kind="stable")
    new_number = np.empty(lanes, dtype=np.int64)
    new_number[by_load] = np.arange(lanes)
    lane[order] = new_number[lane[order]]
    loads = loads[by_load]
    # Loads decrease, so the lanes still active at step t are those before the first load <= t.
    steps = np.arange(loads[0])
    batch_sizes = np.searchsorted(-loads, -steps, side="left").astype(np.int64)
    for array in (lengths, lane, start, loads, batch_sizes):
        array.flags.writeable = False
    return LaneSchedule(lengths, lane, start, loads, batch_sizes)


def _choose_lanes(lengths: IntArray, cost: StepCost) -> int:
    """Choose the number of lanes with the least ``num_steps * cost``; the smallest of equals."""
    descending = np.sort(lengths[lengths > 0])[::-1]
    if descending.size == 0:
        return 1
    fewest = -(-int(descending.sum()) // int(descending[0]))
    candidates = range(fewest, descending.size + 1)
    price = [_checked_price(cost, lanes) for lanes in candidates]
    # Scheduling all candidates would be quadratic in B. No schedule is shorter than its lower
    # bound, so candidates are tried by increasing bound * price, and once that exceeds the
    # best price found, no later candidate can win. Seen with B = 10,000: 1 to 600 schedules, 10 to
    # 560 ms, for uniform, log-normal, Zipf and nearly equal lengths.
    least = (_fewest_steps(descending, fewest) * np.array(price)).tolist()
    best_price, best_lanes = math.inf, descending.size
    longest_first = descending.tolist()
    for position in np.argsort(least, kind="stable").tolist():
        lanes = candidates[position]
        if least[position] > best_price:
            break
        steps = _longest_load(longest_first, lanes)
        found = (steps * price[position], lanes)
        best_price, best_lanes = min((best_price, best_lanes), found)
    return best_lanes


def _fewest_steps(descending: IntArray, fewest: int) -> IntArray:
    """Lower bound of the steps of any schedule, for each S from ``fewest`` to B'."""
    total, longest = int(descending.sum()), int(descending[0])
    lanes = np.arange(fewest, descending.size + 1)
    bound = np.maximum(longest, -(-total // lanes))
    # k * S + 1 sequences put k + 1 of them on one lane. Among the k * S + 1 longest, the
    # lightest such lane holds the k + 1 shortest. This is what tells 20 lanes from 21 for 21
    # sequences of nearly the same length.
    before = np.concatenate(([0], np.cumsum(descending)))
    for k in range(1, (descending.size - 1) // fewest + 1):
        applies = lanes[: np.searchsorted(lanes, (descending.size - 1) // k, side="right")]
        pigeonhole = before[k * applies + 1] - before[k * applies - k]
        np.maximum(bound[: applies.size], pigeonhole, out=bound[: applies.size])
    return bound


def _longest_load(descending: list[int], lanes: int) -> int:
    """Count the steps of the schedule on this many lanes, without building it."""
    # The first S sequences open the lanes; which lane is which does not matter for the loads.
    heap = descending[:lanes][::-1]
    for length in descending[lanes:]:
        heapq.heapreplace(heap, heap[0] + length)
    return max(heap)


def _checked_price(cost: StepCost, lanes: int) -> float:
    """Ask for the price of a step, refused unless positive and finite."""
    price = float(cost(lanes))
    if not (price > 0.0 and math.isfinite(price)):
        raise ValueError(f"cost({lanes}) has value {price}, expected a positive finite number")
    return price


def _check_overhead(overhead: float) -> None:
    """Refuse an overhead that is negative or not finite."""
    if not (overhead >= 0.0 and math.isfinite(overhead)):
        raise ValueError(
            f"overhead has value {overhead}, expected a finite number that is not negative"
        )
