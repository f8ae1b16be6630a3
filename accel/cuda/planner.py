"""Which way of cutting W_hh a case takes on a device, and how many lanes.

The choice changes no bit of a result: every way adds in the same order.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np

from refrnn.lanes import LaneSchedule, row_tile_cost

from .context import Device
from .cut import Cut, KernelCell, columns_of
from .stream_cut import StreamCut

__all__ = ["VARIANTS", "AnyCut", "Choice", "choose", "laid_out"]

#: A way of cutting W_hh, or of not cutting it.
AnyCut = Cut | StreamCut

#: Ways of keeping W_hh, the preferred first: in one block, in a cluster of blocks, in a team of
#: blocks that exchange through memory, or in memory, read at every step.
VARIANTS = ("block", "cluster", "team", "stream")

_REGISTERS = 65536  # of a multiprocessor, on all architectures that there are kernels for
_MOST_REGISTERS = 255  # of a thread
# Registers of a thread beside its piece of W_hh and the column sums of backward, by bytes of a
# number; a test compiles all cuts and sees to it that none spills.
_OTHER_REGISTERS = {4: 56, 8: 88}
# Where ptxas spills all the same: the cell, bytes of a number, columns, the architecture.
_SPILLS = {("Lstm", 4, 128, 100), ("Lstm", 4, 128, 103)}
_MOST_THREADS = 1024
_MOST_CLUSTER = 8  # blocks that every device with clusters can have in one
_CLUSTERS_FROM = 90
_MOST_LANES = 32  # of a team: more would only make steps longer
_STREAM_LANES = (1, 2, 4)  # that there are kernels for
# What a step costs whatever the number of lanes, in lanes: the barrier and the loop.
_STEP_OVERHEAD = 1.0


class Choice(NamedTuple):
    """A cut, and how lanes are dealt to its teams.

    Attributes
    ----------
    variant : str
        One of :data:`VARIANTS`.
    cut : Cut or StreamCut
    blocks : int
        Of a team: those that own a unit.
    teams : int
        That are launched.
    lanes_of_team : int
    schedule : LaneSchedule
    """

    variant: str
    cut: AnyCut
    blocks: int
    teams: int
    lanes_of_team: int
    schedule: LaneSchedule


def choose(
    cell: KernelCell,
    dtype: np.dtype[Any],
    hidden_size: int,
    device: Device,
    *,
    variant: str | None = None,
    team: int | None = None,
) -> tuple[str, AnyCut] | str:
    """The preferred cut that fits a device, or why none does.

    Parameters
    ----------
    cell : KernelCell
    dtype : dtype
    hidden_size : int
    device : Device
    variant : str, optional
        Only this one of :data:`VARIANTS`.
    team : int, optional
        Only this many blocks, of "cluster" or "team".

    Returns
    -------
    tuple of str and a cut, or str
    """
    reasons = []
    for name in VARIANTS if variant is None else (variant,):
        if team is not None and name not in ("cluster", "team"):
            continue
        sizes = []
        for cut in _cuts(name, cell, dtype, hidden_size):
            blocks = _blocks(cut, hidden_size)
            sizes.append(blocks)
            if team is not None and blocks != team:
                continue
            reason = _misfit(cut, blocks, device)
            if reason is None:
                return name, cut
            reasons.append(f"{name} of {blocks}: {reason}")
        if team is not None and team not in sizes:
            expected = ", ".join(map(str, sizes)) or "none"
            reasons.append(f"{name} has {expected} blocks for H = {hidden_size}, not {team}")
    return "; ".join(reasons)


def laid_out(
    variant: str,
    cut: AnyCut,
    lengths: Any,
    hidden_size: int,
    device: Device,
    lanes: int | None = None,
) -> Choice | str:
    """Deal the sequences to lanes and the lanes to teams, or say why that does not fit.

    Parameters
    ----------
    variant : str
    cut : Cut or StreamCut
    lengths : ndarray of int64, shape (B,)
    hidden_size : int
    device : Device
    lanes : int, optional
        S; chosen by the price of a step if None.

    Returns
    -------
    Choice or str
    """
    blocks = _blocks(cut, hidden_size)
    at_once = max(1, device.multiprocessors // blocks)
    most = _most_lanes(cut, device)
    if lanes is None:
        cost = row_tile_cost(at_once, _STEP_OVERHEAD * at_once)
        schedule = LaneSchedule.from_lengths(lengths, cost=cost)
        if schedule.num_lanes > at_once * most:
            schedule = LaneSchedule.from_lengths(lengths, lanes=at_once * most)
    else:
        schedule = LaneSchedule.from_lengths(lengths, lanes=lanes)
    # Of a team of several blocks as many as can be resident; others would wait for their place.
    lanes_of_team = -(-schedule.num_lanes // at_once)
    if lanes_of_team > most:
        if cut.exchange == "Tagged":
            return (
                f"{lanes} lanes on {at_once} teams of {blocks} blocks are {lanes_of_team} a team, "
                f"and {most} fit"
            )
        lanes_of_team = most
    teams = -(-schedule.num_lanes // lanes_of_team)
    if isinstance(cut, StreamCut):
        cut = cut._replace(lanes=next(n for n in _STREAM_LANES if n >= lanes_of_team))
    return Choice(variant, cut, blocks, teams, lanes_of_team, schedule)


def _blocks(cut: AnyCut, hidden_size: int) -> int:
    """Blocks of a team: those of a cluster all meet, others only if they own a unit."""
    if isinstance(cut, StreamCut):
        return 1
    return cut.blocks if cut.exchange == "Clustered" else -(-hidden_size // cut.units)


def _most_lanes(cut: AnyCut, device: Device) -> int:
    """Lanes whose states fit into the shared memory of a block."""
    lanes = 0
    limit = cut.lanes if isinstance(cut, StreamCut) else _MOST_LANES
    while lanes < limit and _shared_bytes(cut, lanes + 1) <= device.shared_memory:
        lanes += 1
    return lanes


def _shared_bytes(cut: AnyCut, lanes: int) -> int:
    static = 16 if cut.exchange == "Tagged" else 0  # the ticket
    return max(cut.forward_bytes(lanes), cut.backward_bytes(lanes)) + static


def _misfit(cut: AnyCut, blocks: int, device: Device) -> str | None:
    """Why a cut does not fit a device."""
    if cut.exchange == "Clustered" and device.architecture < _CLUSTERS_FROM:
        return (
            f"clusters need compute capability {_CLUSTERS_FROM / 10:.1f}, "
            f"and {device.name} has {device.architecture / 10:.1f}"
        )
    needed = _shared_bytes(cut, 1)
    if needed > device.shared_memory:
        return (
            f"it takes {needed} bytes of shared memory a block, and {device.name} has "
            f"{device.shared_memory}"
        )
    key = (cut.cell.name, cut.dtype.itemsize, cut.columns, device.architecture)
    if cut.blocks == 1 and cut.source == "recurrence.cu" and key in _SPILLS:
        return f"ptxas would spill for compute capability {device.architecture / 10:.1f}"
    if cut.exchange == "Tagged" and blocks > device.multiprocessors:
        return (
            f"{device.name} has {device.multiprocessors} multiprocessors, and a team's blocks have "
            "to be resident together"
        )
    return None


def _cuts(
    variant: str, cell: KernelCell, dtype: np.dtype[Any], hidden_size: int
) -> Iterator[AnyCut]:
    """The cuts of a variant, the fewest blocks first."""
    columns = columns_of(hidden_size)
    if variant == "block":
        if columns <= 256:
            yield _cut(cell, dtype, columns, columns, 1, "Alone")
    elif variant in ("cluster", "team"):
        units = _power_of_two_from(columns) // 2
        while units >= 8:
            blocks = -(-columns // units)
            if variant == "team":
                yield _cut(cell, dtype, columns, units, blocks, "Tagged")
            elif blocks <= _MOST_CLUSTER:
                yield _cut(cell, dtype, columns, units, blocks, "Clustered")
            units //= 2
    else:
        for lanes in reversed(_STREAM_LANES):
            yield StreamCut(cell, dtype, columns, lanes)


def _cut(
    cell: KernelCell, dtype: np.dtype[Any], columns: int, units: int, blocks: int, exchange: str
) -> Cut:
    """A cut with as many threads a unit as keeps blocks between 128 and 1024 threads."""
    chains = 8 if columns <= 256 else 32
    split = 4
    while split < chains and units * split < 256 and blocks > 1:
        split *= 2
    cut = Cut(cell, dtype, columns, units, split, 0, blocks, exchange)
    return cut._replace(held=_held(cut))


def _held(cut: Cut) -> int:
    """Vectors of a gate that the registers of a thread have room for."""
    limit = min(_MOST_REGISTERS, _REGISTERS // cut.threads // 8 * 8)
    words = cut.dtype.itemsize // 4
    sums = cut.vectors * cut.vector_size * words
    left = limit - _OTHER_REGISTERS[cut.dtype.itemsize] - sums
    return max(0, min(cut.vectors, left // (4 * cut.cell.gates)))


def _power_of_two_from(n: int) -> int:
    power = 1
    while power < n:
        power *= 2
    return power
