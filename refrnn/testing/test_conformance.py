"""P1 to P12 on every unroll that is asked for; see :mod:`refrnn.testing`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings

from .. import packing
from ..comparison import Case
from ..errors import UnsupportedCase
from ..lanes import LaneSchedule
from ..ragged import RaggedBatch
from ..unroll import forward
from .plugin import Conforming
from .properties import PROPERTIES
from .strategies import cases, ragged_batches


@pytest.mark.parametrize("holds", PROPERTIES, ids=lambda p: p.__name__)
@settings(deadline=None)
@given(case=cases())
def test_property(conforming: Conforming, holds: Callable[..., None], case: Case) -> None:
    if conforming.offers(case.cell, case.dtype, case.reverse):
        holds(conforming.unroll, case)


@settings(deadline=None)
@given(batch=ragged_batches())
def test_packing_and_padding_are_exact_inverses(batch: RaggedBatch) -> None:
    assert packing.unpack(packing.pack(batch)) == batch
    for batch_first in (False, True):
        padded = batch.to_padded(batch_first, padding_value=np.nan)
        assert RaggedBatch.from_padded(padded, batch.lengths, batch_first) == batch


@settings(deadline=None)
@given(batch=ragged_batches())
def test_lanes_hold_every_step_once(batch: RaggedBatch) -> None:
    plan = LaneSchedule.from_lengths(batch.lengths)
    assert int(plan.batch_sizes.sum()) == batch.total_steps
    taken = {
        (int(plan.lane[b]), int(plan.start[b]) + t)
        for b in range(len(batch))
        for t in range(int(batch.lengths[b]))
    }
    assert len(taken) == batch.total_steps


_BAD: dict[str, tuple[type[Exception], str, dict[str, Any]]] = {
    "state": (TypeError, "state_0 has", {"state_0": [np.zeros((2, 3))]}),
    "state shape": (ValueError, r"state_0\.h has shape", {"state_0": (np.zeros((3, 3)), None)}),
    "state dtype": (TypeError, "float32", {"state_0": (np.zeros((2, 3), "float32"), None)}),
    "reverse": (TypeError, "reverse has type int", {"reverse": 1}),
    "batch": (TypeError, "batch has type ndarray", {"batch": np.zeros((2, 2, 3))}),
    "features": (ValueError, "batch has 4 features", {"batch": RaggedBatch(np.ones((2, 4)), [2])}),
    "params": (ValueError, "params has names", {"params": {}}),
}


@pytest.mark.parametrize("what", _BAD)
def test_bad_input_is_refused_in_the_same_words(conforming: Conforming, what: str) -> None:
    from .. import LSTM

    cell = LSTM(2, 3)
    if not conforming.offers(cell, np.dtype("float64"), False):
        return
    kind, words, bad = _BAD[what]
    good: dict[str, Any] = {
        "params": cell.init_parameters(np.random.default_rng(0)),
        "batch": RaggedBatch(np.ones((3, 2)), [1, 2]),
    }
    with pytest.raises(kind, match=words) as error:
        forward(cell, unroll=conforming.unroll, **{**good, **bad})
    with pytest.raises(kind) as same:
        forward(cell, unroll="per_sequence", **{**good, **bad})
    assert str(error.value) == str(same.value)
    assert not isinstance(error.value, UnsupportedCase)
