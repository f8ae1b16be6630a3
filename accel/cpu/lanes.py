"""How sequences are laid on lanes, and lanes dealt to threads."""

from __future__ import annotations

import functools
from typing import NamedTuple

import numpy as np

from refrnn.lanes import LaneSchedule
from refrnn.types import Array, IntArray

__all__ = ["LaidOut", "lay_out"]

# Lanes of a thread are a multiple of this, where there are sequences enough: rows of a tile.
_TILE = 6
# Up to this size of the state threads have lanes of their own; beyond it W_hh is too large for the
# cache of each, and they share the units.
_MOST_UNITS_ALONE = 512
# Of batches up to this size the last layouts are kept: the layers and directions of a network have
# the same lengths.
_MOST_KEPT = 4096


class LaidOut(NamedTuple):
    """Lanes, and threads.

    Attributes
    ----------
    schedule : LaneSchedule
    teams, members : int
        Threads are in teams that have lanes of their own; the members of a team share the units.
    order : ndarray of int32
        Sequences, lane after lane, each lane's in the order in which it runs them.
    first_of_lane : ndarray of int32, shape (lanes + 1,)
        Where each lane begins in ``order``.
    """

    schedule: LaneSchedule
    teams: int
    members: int
    order: Array
    first_of_lane: Array

    @property
    def threads(self) -> int:
        """Threads that work."""
        return self.teams * self.members


def lay_out(lengths: IntArray, hidden_size: int, threads: int, lanes: int | None) -> LaidOut:
    """Lay sequences on lanes.

    Parameters
    ----------
    lengths : ndarray of int64, shape (B,)
    hidden_size : int
    threads : int
        That may be used.
    lanes : int or None
        S; chosen if None.

    Returns
    -------
    LaidOut
    """
    if lengths.size > _MOST_KEPT:
        return _lay_out(lengths, hidden_size, threads, lanes)
    return _kept(lengths.tobytes(), hidden_size, threads, lanes)


@functools.lru_cache(maxsize=16)
def _kept(lengths: bytes, hidden_size: int, threads: int, lanes: int | None) -> LaidOut:
    return _lay_out(np.frombuffer(lengths, np.int64), hidden_size, threads, lanes)


def _lay_out(lengths: IntArray, hidden_size: int, threads: int, lanes: int | None) -> LaidOut:
    if lanes is None:
        lanes = _lanes(lengths, threads)
    schedule = LaneSchedule.from_lengths(lengths, lanes=lanes)
    # Lane after lane, first those of length 0, which are on lane -1.
    position = schedule.lane * (schedule.num_steps + 1) + schedule.start
    order = position.argsort()
    first_of_lane = schedule.lane[order].searchsorted(np.arange(lanes + 1))
    order = order[first_of_lane[0] :]
    first_of_lane -= first_of_lane[0]
    is_alone = hidden_size <= _MOST_UNITS_ALONE and lanes >= 2 * threads
    teams, members = (threads, 1) if is_alone else (1, threads)
    return LaidOut(schedule, teams, members, order.astype(np.int32), first_of_lane.astype(np.int32))


def _lanes(lengths: IntArray, threads: int) -> int:
    """As few lanes as do not make the batch longer, in whole tiles of each thread."""
    real = lengths[lengths > 0]
    if not real.size:
        return 1
    needed = -(-int(real.sum()) // int(real.max()))
    tiles = _TILE * threads
    return min(real.size, -(-needed // tiles) * tiles)
