"""Bucketed: group sequences of similar length, pad inside each group; the classic remedy."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from ..bucketing.boundaries import bucket_ids, check_boundaries, optimal_boundaries
from ..parameters import CellParameters
from ..ragged import RaggedBatch
from ..types import Array, IntArray
from ..validation import check_integer, check_padding_value
from .base import (
    AnyCell,
    Gradients,
    NumpyUnroll,
    Plan,
    Run,
    State,
    Tape,
    add_gradients,
    gather,
    zero_gradients,
)
from .masked import Masked

__all__ = ["Bucketed"]


class _Saved(NamedTuple):
    """The members of each bucket and the tape of its masked run."""

    members: list[IntArray]
    tapes: list[Tape]


#: Buckets where neither their number nor their boundaries are given.
_NUM_BUCKETS = 4


class Bucketed(NumpyUnroll):
    """Run a masked unroll on each group of sequences of similar length.

    Parameters
    ----------
    boundaries : sequence of int, optional
        Rising lengths; bucket k holds ``boundaries[k-1] <= length < boundaries[k]``, as in
        TensorFlow's ``bucket_by_sequence_length``. By default they are chosen for each batch so
        that as few padded steps as possible are computed.
    num_buckets : int, optional
        How many buckets to choose, 4 by default; not together with `boundaries`.
    padding_value : float
        As in :class:`refrnn.Masked`.
    """

    name = "bucketed"

    def __init__(
        self,
        boundaries: Sequence[int] | None = None,
        num_buckets: int | None = None,
        padding_value: float = 0.0,
    ) -> None:
        if boundaries is not None and num_buckets is not None:
            raise ValueError(
                f"num_buckets has value {num_buckets}, expected None beside boundaries"
            )
        self.boundaries = None if boundaries is None else check_boundaries(boundaries)
        self.num_buckets = (
            None if num_buckets is None else check_integer(num_buckets, "num_buckets", minimum=1)
        )
        self.padding_value = check_padding_value(padding_value)

    def forward(
        self,
        cell: AnyCell,
        parameters: CellParameters,
        batch: RaggedBatch,
        state_0: State,
        reverse: bool,
    ) -> Run:
        boundaries = self.boundaries
        if boundaries is None:
            boundaries = optimal_boundaries(batch.lengths, self.num_buckets or _NUM_BUCKETS)
        members = _members(bucket_ids(batch.lengths, boundaries))
        masked = Masked(self.padding_value)
        output = np.empty((batch.total_steps, cell.output_size), batch.dtype)
        state_n = type(state_0)._make([np.empty_like(array) for array in state_0])
        tapes = []
        steps = computed = 0
        for chosen in members:
            run = masked.forward(
                cell, parameters, batch.permute(chosen), gather(state_0, chosen), reverse
            )
            _put_rows(output, batch, chosen, run.output)
            for final, part in zip(state_n, run.state_n, strict=True):
                final[chosen] = part
            tapes.append(run.tape)
            steps += run.plan.sequential_steps
            computed += run.plan.computed_steps
        choices = {"boundaries": [int(b) for b in boundaries], "buckets": len(members)}
        saved = _Saved(members, tapes)
        return Run(
            batch.with_values(output),
            state_n,
            Tape(self, cell, parameters, batch.lengths, reverse, batch.dtype, saved),
            Plan(self.name, steps, batch.total_steps, computed, choices),
        )

    def backward(self, tape: Tape, d_output: Array, d_state_n: State) -> Gradients:
        d_outputs = RaggedBatch(d_output, tape.lengths)
        d_x = np.empty((d_outputs.total_steps, tape.cell.input_size), tape.dtype)
        d_state_0 = type(d_state_n)._make([np.empty_like(array) for array in d_state_n])
        total = zero_gradients(tape.cell, tape.dtype)
        for chosen, part in zip(tape.saved.members, tape.saved.tapes, strict=True):
            d_part = d_outputs.permute(chosen).values
            gradients = part.unroll.backward(part, d_part, gather(d_state_n, chosen))
            _put_rows(d_x, d_outputs, chosen, gradients.input)
            for initial, d_initial in zip(d_state_0, gradients.state_0, strict=True):
                initial[chosen] = d_initial
            add_gradients(total, gradients.parameters)
        return Gradients(CellParameters(total), d_outputs.with_values(d_x), d_state_0)


def _members(ids: IntArray) -> list[IntArray]:
    """The sequences of each bucket that has any, in batch order."""
    return [np.flatnonzero(ids == k) for k in np.unique(ids)]


def _put_rows(target: Array, batch: RaggedBatch, chosen: IntArray, part: RaggedBatch) -> None:
    """Write the rows of the chosen sequences to their places in the whole batch's rows."""
    for b, rows in zip(chosen.tolist(), part, strict=True):
        target[batch.offsets[b] : batch.offsets[b + 1]] = rows
