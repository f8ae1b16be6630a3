"""How sequences are laid on lanes, and lanes dealt to threads."""

from __future__ import annotations

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
    real = np.flatnonzero(lengths)
    if lanes is None:
        lanes = _lanes(lengths, threads)
    schedule = LaneSchedule.from_lengths(lengths, lanes=lanes)
    order = real[np.lexsort((schedule.start[real], schedule.lane[real]))]
    counts = np.bincount(schedule.lane[real], minlength=schedule.num_lanes)
    first_of_lane = np.concatenate([[0], np.cumsum(counts)]).astype(np.int32)
    is_alone = hidden_size <= _MOST_UNITS_ALONE and lanes >= 2 * threads
    teams, members = (threads, 1) if is_alone else (1, threads)
    return LaidOut(schedule, teams, members, order.astype(np.int32), first_of_lane)


def _lanes(lengths: IntArray, threads: int) -> int:
    """As few lanes as do not make the batch longer, in whole tiles of each thread."""
    real = lengths[lengths > 0]
    if not real.size:
        return 1
    needed = -(-int(real.sum()) // int(real.max()))
    tiles = _TILE * threads
    return min(real.size, -(-needed // tiles) * tiles)
