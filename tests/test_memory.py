"""What a run allocates: nothing of size B*T but in masked and bucketed; a tape of known size."""

from __future__ import annotations

import tracemalloc
from typing import Any

import numpy as np
import pytest

import refrnn as rr

_LENGTHS = [2000] + [1] * 500  # B*T is 400 times N


def _run(cell: Any, unroll: str, lengths: list[int]) -> tuple[rr.Run, int]:
    """A run, forward and backward, and the most memory it held at once, in bytes."""
    rng = np.random.default_rng(0)
    batch = rr.RaggedBatch(rng.normal(size=(sum(lengths), cell.input_size)), lengths)
    params = cell.init_parameters(rng)
    tracemalloc.start()
    try:
        run = rr.forward(cell, params, batch, unroll=unroll)
        rr.backward(run.tape, np.ones_like(run.output.values))
        return run, tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def _bytes(record: Any, seen: set[int]) -> int:
    """The bytes of all arrays reachable from a record of records."""
    if isinstance(record, np.ndarray):
        owner = record
        while isinstance(owner.base, np.ndarray):
            owner = owner.base
        new = id(owner) not in seen
        seen.add(id(owner))
        return owner.nbytes if new else 0
    if isinstance(record, rr.CellParameters):
        return sum(_bytes(a, seen) for a in record.values())
    return sum(_bytes(part, seen) for part in record) if isinstance(record, tuple) else 0


@pytest.mark.parametrize("unroll", ["per_sequence", "packed", "lanes"])
def test_nothing_of_size_batch_times_longest_is_allocated(unroll: str) -> None:
    cell = rr.LSTM(2, 3)
    _, peak = _run(cell, unroll, _LENGTHS)
    assert peak < len(_LENGTHS) * max(_LENGTHS) * 8 * cell.hidden_size / 4


def test_the_measurement_sees_what_masked_allocates() -> None:
    cell = rr.LSTM(2, 3)
    _, peak = _run(cell, "masked", _LENGTHS)
    assert peak > len(_LENGTHS) * max(_LENGTHS) * 8 * cell.hidden_size


@pytest.mark.parametrize("unroll", ["packed", "lanes"])
@pytest.mark.parametrize(
    ("cell", "extra"),
    [
        (rr.RNN(6, 8), 0),
        (rr.GRU(6, 8), 0),
        (rr.GRU(6, 8, reset_after=False), 0),
        (rr.LSTM(6, 8), 0),
        (rr.LSTM(6, 8, coupled=True), 0),
        (rr.LSTM(6, 8, proj_size=3, cell_clip=0.5, peepholes=True), 1),
    ],
    ids=str,
)
def test_the_tape_has_its_size(cell: Any, extra: int, unroll: str) -> None:
    lengths = [40, 3, 0, 25, 7]
    run, _ = _run(cell, unroll, lengths)
    N, B, H = sum(lengths), len(lengths), cell.hidden_size
    numbers = (2 * cell.num_gates + 3 + extra) * N * H + N * cell.input_size
    numbers += run.tape.parameters.flatten().size
    small = 8 * B * (sum(cell.state_sizes) + 4) + 8 * max(lengths)  # states, lengths, schedule
    assert _bytes(run.tape, set()) <= 8 * numbers + small
