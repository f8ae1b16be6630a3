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
from .known_cuts import known_cuts
from .stream_cut import StreamCut

__all__ = ["VARIANTS", "AnyCut", "Choice", "choose", "laid_out", "misfit", "room", "shapes"]

#: A way of cutting W_hh, or of not cutting it.
AnyCut = Cut | StreamCut

#: Ways of keeping W_hh, the preferred first: in one block, in a cluster of blocks, in a team of
#: blocks that exchange through memory, or in memory, read at every step.
VARIANTS = ("block", "cluster", "team", "stream")

_REGISTERS = 65536  # of a multiprocessor, on all architectures that there are kernels for
_MOST_REGISTERS = 255  # of a thread
# Registers of a thread beside its piece of W_hh: what is expected when a number of threads is
# chosen; and what is enough for cuts of which the table of known cuts says nothing.
_OTHER_REGISTERS, _SPARE_REGISTERS = 63, 160
_LEAST_THREADS, _MOST_THREADS = 128, 512
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
        for shape in shapes(name, cell, dtype, hidden_size):
            cut = shape if isinstance(shape, StreamCut) else shape._replace(held=_held(shape))
            blocks = _blocks(cut, hidden_size)
            sizes.append(blocks)
            if team is not None and blocks != team:
                continue
            reason = misfit(cut, blocks, device)
            if reason is None:
                return name, cut
            reasons.append(f"{name} of {blocks}: {reason}")
        if not sizes and team is None:
            reasons.append(f"there is no {name} for H = {hidden_size}")
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
    while lanes < limit and cut.shared_bytes(lanes + 1) <= device.shared_memory:
        lanes += 1
    return lanes


def misfit(cut: AnyCut, blocks: int, device: Device) -> str | None:
    """Why a cut does not fit a device; None if it does."""
    if cut.exchange == "Clustered" and device.architecture < _CLUSTERS_FROM:
        return (
            f"clusters need compute capability {_CLUSTERS_FROM / 10:.1f}, "
            f"and {device.name} has {device.architecture / 10:.1f}"
        )
    needed = cut.shared_bytes(1)
    if needed > device.shared_memory:
        return (
            f"it takes {needed} bytes of shared memory a block, and {device.name} has "
            f"{device.shared_memory}"
        )
    if cut.exchange == "Tagged" and blocks > device.multiprocessors:
        return (
            f"{device.name} has {device.multiprocessors} multiprocessors, and a team's blocks have "
            "to be resident together"
        )
    return None


def shapes(
    variant: str, cell: KernelCell, dtype: np.dtype[Any], hidden_size: int
) -> Iterator[AnyCut]:
    """The cuts of a variant, the fewest blocks first; ``held`` is what is expected of them."""
    columns = columns_of(hidden_size)
    if variant == "block":
        if columns <= 256:
            yield _shape(cell, dtype, columns, columns, 1, "Alone")
    elif variant in ("cluster", "team"):
        units = min(_power_of_two_from(columns) // 2, _MOST_THREADS)
        while units >= 8:
            blocks = -(-columns // units)
            if variant == "team":
                yield _shape(cell, dtype, columns, units, blocks, "Tagged")
            elif blocks <= _MOST_CLUSTER:
                yield _shape(cell, dtype, columns, units, blocks, "Clustered")
            units //= 2
    else:
        for lanes in reversed(_STREAM_LANES):
            yield StreamCut(cell, dtype, columns, lanes)


def _shape(
    cell: KernelCell, dtype: np.dtype[Any], columns: int, units: int, blocks: int, exchange: str
) -> Cut:
    """A cut with as many threads a unit as leave the least to shared memory.

    Among those the fewest that are a warp for each scheduler: all threads of a unit do its
    pointwise part.
    """
    plain = Cut(cell, dtype, columns, units, 1, 0, blocks, exchange)
    splits = [split for split in (1, 2, 4, 8, 16, 32) if split <= plain.chains]
    cuts = [plain._replace(split=split) for split in splits]
    cuts = [cut for cut in cuts if cut.threads % 32 == 0 and cut.threads <= _MOST_THREADS]
    return min([cut._replace(held=room(cut, _OTHER_REGISTERS)) for cut in cuts], key=_price)


def _price(cut: Cut) -> tuple[int, int, int]:
    return cut.shared_weights(), max(0, _LEAST_THREADS - cut.threads), cut.threads


def _held(cut: Cut) -> int:
    """Vectors of a gate that the registers of a thread are known to have room for, or sure to."""
    known = known_cuts().get(cut.key)
    return room(cut, _SPARE_REGISTERS) if known is None else known.held


def room(cut: Cut, others: int) -> int:
    """Vectors of a gate for which a thread has registers beside so many others."""
    warps = -(-cut.threads // 128) * 4  # a multiprocessor's schedulers have as many registers each
    limit = min(_MOST_REGISTERS, _REGISTERS // (32 * warps) // 8 * 8)
    return max(0, min(cut.vectors, (limit - others) // (4 * cut.cell.gates)))


def _power_of_two_from(n: int) -> int:
    power = 1
    while power < n:
        power *= 2
    return power
