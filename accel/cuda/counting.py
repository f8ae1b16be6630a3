"""What softcuda counts while a cell runs forward and back, with the polls of exchanges apart.

Counts are exact and repeatable, and need no GPU. What a kernel does for one purpose is told from
what it does for another by the lines of its source.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

import refrnn
from refrnn.types import IntArray
from refrnn.unroll.base import AnyCell

from .. import softcuda
from .context import DeviceContext
from .planner import Choice
from .product_launches import Launch
from .products import Products
from .sources import PACKAGE
from .unroll import CudaUnroll

__all__ = ["SECTOR", "Counted", "Counts", "count"]

#: Bytes of global memory that pass together.
SECTOR = 32


class Counts(NamedTuple):
    """What the launches of one kernel did.

    Attributes
    ----------
    instructions, flops, barriers : int
        Instructions and barriers of warps, without the loops that wait for other blocks.
    load_sectors, store_sectors : int
        Of global memory, with the exchange, without the loops that wait.
    weight_sectors : int
        Those of them that brought W_hh.
    exchange_load_sectors, exchange_store_sectors : int
        Those through which the blocks of a team tell each other their results.
    polls, poll_sectors : int
        Instructions and sectors of the loops that wait for another block: how many depends on when
        the other one runs.
    wavefronts, conflicts : int
        Of shared memory in the loop over steps, stores to other blocks' memory left out; and those
        of them that two words of a bank cost.
    remote_wavefronts : int
        Stores to the shared memory of other blocks of a cluster.
    """

    instructions: int
    flops: int
    barriers: int
    load_sectors: int
    store_sectors: int
    weight_sectors: int = 0
    exchange_load_sectors: int = 0
    exchange_store_sectors: int = 0
    polls: int = 0
    poll_sectors: int = 0
    wavefronts: int = 0
    conflicts: int = 0
    remote_wavefronts: int = 0

    @property
    def own_sectors(self) -> int:
        """Sectors of global memory without the exchange."""
        exchange = self.exchange_load_sectors + self.exchange_store_sectors
        return self.load_sectors + self.store_sectors - exchange


class Counted(NamedTuple):
    """A batch, forward and back.

    Attributes
    ----------
    choice : Choice
        How it was cut and laid out.
    lengths : ndarray of int64, shape (B,)
    kernels : mapping of str to Counts
        By the kernels' names: "forward", "backward", and those of the products.
    products : tuple of Launch
        The products before and after the recurrence, with their formulas.
    """

    choice: Choice
    lengths: IntArray
    kernels: Mapping[str, Counts]
    products: tuple[Launch, ...]


def count(
    cell: AnyCell,
    dtype: Any,
    lengths: Any,
    *,
    variant: str | None = None,
    team: int | None = None,
    lanes: int | None = None,
) -> Counted:
    """Run a cell forward and back on softcuda, and count.

    Parameters
    ----------
    cell : RNN, LSTM or GRU
    dtype : dtype
    lengths : array of int, shape (B,)
    variant, team, lanes : optional
        As of :class:`CudaUnroll`.

    Returns
    -------
    Counted

    Raises
    ------
    UnsupportedCase
        If the case does not fit on the device.
    """
    lengths = np.asarray(lengths, np.int64)
    N = int(lengths.sum())
    rng = np.random.default_rng(0)
    values = rng.standard_normal((N, cell.input_size)).astype(dtype)
    d_output = rng.standard_normal((N, cell.hidden_size)).astype(dtype)
    parameters = cell.init_parameters(rng, dtype)
    unroll = _Observed(variant=variant, team=team, lanes=lanes)
    with softcuda.profile() as profile:
        run = refrnn.forward(cell, parameters, refrnn.RaggedBatch(values, lengths), unroll=unroll)
        refrnn.backward(run.tape, d_output)
    words = np.dtype(dtype).itemsize // 4
    kernels = {kernel["name"]: _counts(kernel, words) for kernel in profile.kernels}
    return Counted(run.tape.saved.choice, lengths, kernels, tuple(unroll.launches))


class _Observed(CudaUnroll):
    """Remembers which products it launches."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.launches: list[Launch] = []

    def _products(self, context: DeviceContext, dtype: np.dtype[Any]) -> Products:
        products = super()._products(context, dtype)
        products.observer = self.launches.append
        return products


# Functions of the kernels' sources, and texts that their lines have.
_Place = tuple[str, str, str]
_WEIGHTS: _Place = ("slice.cuh", "void load(", "= packed[")
_KEEPING: _Place = ("slice.cuh", "void load(", "")
_POLLS: _Place = ("exchange.cuh", "class Wait ", "")
_TAGGED_STORES: _Place = ("exchange.cuh", "void store_tagged(", "")
_TAGGED_LOADS: _Place = ("exchange.cuh", "unsigned load_tagged(", "")
_REMOTE_STORES: _Place = ("exchange.cuh", "void store_to(", "")


def _counts(kernel: Mapping[str, Any], words: int) -> Counts:
    lines = kernel["lines"]
    polls = _sum(lines, "warp_instructions", _POLLS)
    poll_sectors = _sum(lines, "global_sectors", _POLLS)
    apart = [_sum(lines, "shared_wavefronts", place) for place in (_KEEPING, _REMOTE_STORES)]
    # That a store to other blocks' memory goes to several memories, with banks of their own, the
    # counters do not know.
    remote_conflicts = apart[1] - words * _sum(lines, "shared_requests", _REMOTE_STORES)
    return Counts(
        instructions=kernel["warp_instructions"] - polls,
        flops=kernel["flops"],
        barriers=kernel["barriers"],
        load_sectors=kernel["global_load_sectors"] - poll_sectors,
        store_sectors=kernel["global_store_sectors"],
        weight_sectors=_sum(lines, "global_sectors", _WEIGHTS),
        exchange_load_sectors=_sum(lines, "global_sectors", _TAGGED_LOADS),
        exchange_store_sectors=_sum(lines, "global_sectors", _TAGGED_STORES),
        polls=polls,
        poll_sectors=poll_sectors,
        wavefronts=kernel["shared_wavefronts"] - sum(apart),
        conflicts=kernel["shared_conflicts"] - remote_conflicts,
        remote_wavefronts=apart[1],
    )


def _sum(lines: Iterable[Mapping[str, Any]], counter: str, place: _Place) -> int:
    """What the lines of a place have counted."""
    numbers = _numbers(*place)
    return sum(
        line[counter]
        for line in lines
        if Path(line["file"]).name == place[0] and line["line"] in numbers
    )


@cache
def _numbers(file: str, function: str, text: str) -> frozenset[int]:
    """Numbers of the lines of all functions, or of the class, whose first line has a text."""
    lines = (PACKAGE.kernels / file).read_text(encoding="utf-8").splitlines()
    found = set()
    for first, line in enumerate(lines):
        if function not in line:
            continue
        indent = line[: len(line) - len(line.lstrip())]
        last = next(n for n in range(first, len(lines)) if _closes(lines[n], indent))
        found |= {n + 1 for n in range(first, last + 1) if text in lines[n]}
    assert found, f"{file} has no {function} with {text!r}"
    return frozenset(found)


def _closes(line: str, indent: str) -> bool:
    return line in (f"{indent}}}", f"{indent}}};")
