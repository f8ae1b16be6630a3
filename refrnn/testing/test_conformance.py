"""P1 to P12 on every unroll that is asked for; see :mod:`refrnn.testing`."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from .. import packing
from ..bucketing import boundaries
from ..comparison import Case
from ..lanes import LaneSchedule
from ..padding import sequence_mask, unmask
from ..ragged import RaggedBatch
from .plugin import Conforming
from .properties import PROPERTIES, refuses
from .refusals import BAD_BACKWARD, BAD_FORWARD
from .strategies import cases, ragged_batches


@pytest.mark.parametrize("holds", PROPERTIES, ids=lambda p: p.__name__)
@settings(deadline=None)
@given(case=cases())
def test_property(conforming: Conforming, holds: Callable[..., None], case: Case) -> None:
    if conforming.offers(case.cell, case.dtype, case.reverse):
        holds(conforming.unroll, case)


@pytest.mark.parametrize("what", [*BAD_FORWARD, *BAD_BACKWARD])
def test_bad_arguments_are_refused_in_the_same_words(conforming: Conforming, what: str) -> None:
    refuses(conforming.unroll, what)


@settings(deadline=None)
@given(batch=ragged_batches(), extra=st.integers(0, 2), batch_first=st.booleans())
def test_padding_and_masks_are_exact_inverses(
    batch: RaggedBatch, extra: int, batch_first: bool
) -> None:
    longest = batch.max_length + extra
    padded = batch.to_padded(batch_first, padding_value=np.nan, max_length=longest)
    assert RaggedBatch.from_padded(padded, batch.lengths, batch_first) == batch
    mask = sequence_mask(batch.lengths, longest, batch_first=batch_first)
    assert RaggedBatch.from_mask(padded, mask, batch_first) == batch
    assert RaggedBatch.from_offsets(batch.values, batch.offsets) == batch
    again = RaggedBatch.from_sequences(list(batch), features=batch.features, dtype=batch.dtype)
    assert again == batch


@settings(deadline=None)
@given(batch=ragged_batches(), seed=st.integers(0, 2**16), batch_first=st.booleans())
def test_masks_with_holes_are_exact_inverses(
    batch: RaggedBatch, seed: int, batch_first: bool
) -> None:
    longest = batch.max_length + 2
    rng = np.random.default_rng(seed)
    by_batch = rng.permuted(sequence_mask(batch.lengths, longest, batch_first=True), axis=1)
    mask = by_batch if batch_first else by_batch.T
    padded = unmask(batch.values, mask, batch_first=batch_first, padding_value=np.nan)
    assert RaggedBatch.from_mask(padded, mask, batch_first) == batch


@settings(deadline=None)
@given(batch=ragged_batches())
def test_packing_is_an_exact_inverse(batch: RaggedBatch) -> None:
    packed = packing.pack(batch)
    assert packing.unpack(packed) == batch
    assert int(packed.batch_sizes.sum()) == batch.total_steps
    assert packed.batch_sizes.size == batch.max_length


@settings(deadline=None)
@given(batch=ragged_batches(), lanes=st.none() | st.integers(1, 6))
def test_lanes_hold_every_step_once(batch: RaggedBatch, lanes: int | None) -> None:
    plan = LaneSchedule.from_lengths(batch.lengths, lanes)
    assert int(plan.batch_sizes.sum()) == batch.total_steps
    taken = {
        (int(plan.lane[b]), int(plan.start[b]) + t)
        for b in range(len(batch))
        for t in range(int(batch.lengths[b]))
    }
    assert len(taken) == batch.total_steps
    assert sorted(plan.rows().tolist()) == list(range(batch.total_steps))


@settings(deadline=None)
@given(batch=ragged_batches(), num_buckets=st.integers(1, 4))
def test_buckets_hold_every_sequence_once(batch: RaggedBatch, num_buckets: int) -> None:
    edges = boundaries.optimal_boundaries(batch.lengths, num_buckets)
    ids = boundaries.bucket_ids(batch.lengths, edges)
    back = np.empty(len(batch), np.int64)
    members = [np.flatnonzero(ids == k) for k in np.unique(ids)]
    assert len(members) <= num_buckets
    parts = [batch.permute(chosen) for chosen in members]
    for chosen, part in zip(members, parts, strict=True):
        for b, rows in zip(chosen, part, strict=True):
            assert np.array_equal(rows, batch[int(b)])
        back[chosen] = part.lengths
    assert np.array_equal(back, batch.lengths)
