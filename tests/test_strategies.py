"""The strategies reach what they are for: the hard lengths, every option, no zeros, no kinks."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import Phase, find, given, settings
from hypothesis import strategies as st

import refrnn as rr
from refrnn.activations import ACTIVATION_NAMES
from refrnn.comparison import Case, compare
from refrnn.testing.strategies import (
    activations,
    cases,
    cells,
    lengths,
    ragged_batches,
    states,
    unrolls,
)

_EXAMPLES = 200


def seen(strategy: st.SearchStrategy[Any]) -> list[Any]:
    """The same examples every time, as a test would draw them."""
    drawn: list[Any] = []

    @settings(
        max_examples=_EXAMPLES,
        derandomize=True,
        database=None,
        deadline=None,
        phases=[Phase.generate],
    )
    @given(strategy)
    def collect(example: Any) -> None:
        drawn.append(example)

    collect()
    return drawn


LENGTHS: dict[str, Callable[[list[int]], bool]] = {
    "empty batch": lambda n: not n,
    "length 0 among others": lambda n: 0 in n and any(n),
    "all zero": lambda n: len(n) > 1 and not any(n),
    "single row": lambda n: len(n) == 1 and n[0] > 0,
    "all equal": lambda n: len(n) > 1 and len(set(n)) == 1 and n[0] > 0,
    "one long among short": lambda n: len(n) > 2 and sorted(n)[-1] == 7 and sorted(n)[-2] <= 2,
    "rising": lambda n: len(n) > 2 and n == sorted(n) and n[0] < n[-1],
    "falling": lambda n: len(n) > 2 and n == sorted(n, reverse=True) and n[0] > n[-1],
    "unsorted": lambda n: n not in (sorted(n), sorted(n, reverse=True)),
    "length 0 first": lambda n: len(n) > 1 and n[0] == 0 and any(n),
    "length 0 last": lambda n: len(n) > 1 and n[-1] == 0 and any(n),
    "as many as there may be": lambda n: len(n) == 5,
}


def test_lengths_reach_every_shape_often() -> None:
    # in batches: Hypothesis does not draw the same lengths twice when there is nothing else to draw
    drawn = [batch.lengths.tolist() for batch in seen(ragged_batches())]
    assert all(len(n) <= 5 and all(0 <= one <= 7 for one in n) for n in drawn)
    counts = {name: sum(bool(wanted(n)) for n in drawn) for name, wanted in LENGTHS.items()}
    assert min(counts.values()) >= 5, counts


@pytest.mark.parametrize("name", LENGTHS)
def test_lengths_can_be_found_and_shrink(name: str) -> None:
    patient = settings(max_examples=2000, database=None, derandomize=True, deadline=None)
    found = find(lengths(), LENGTHS[name], settings=patient)
    assert LENGTHS[name](found)


@given(batch=ragged_batches())
def test_batches_are_valid_bounded_and_not_zero(batch: rr.RaggedBatch) -> None:
    assert batch.values.shape == (batch.lengths.sum(), batch.features)
    assert batch.values.all()
    assert np.abs(batch.values).max(initial=0.0) <= 2
    smallest = np.finfo(batch.dtype).smallest_normal
    assert np.abs(batch.values).min(initial=1.0) > smallest


def test_batches_take_what_is_asked_for() -> None:
    for batch in seen(ragged_batches(3, "float32", st.just([2, 0]))):
        assert batch.values.shape == (2, 3)
        assert batch.dtype == np.float32


def test_activations_are_those_of_the_table() -> None:
    assert {a.name for a in seen(activations())} == set(ACTIVATION_NAMES)
    for bounded in seen(activations(bounded=True)):
        far = np.array([-1e2, 1e2])
        assert np.abs(bounded.value(far)).max() < 2


def test_cells_have_every_option_and_all_that_go_together() -> None:
    drawn = seen(cells())
    counts: Counter[Any] = Counter()
    for cell in drawn:
        kind = type(cell).__name__
        counts[kind] += 1
        for name, value in cell.options().items():
            value = getattr(value, "name", value)
            counts[kind, name, value if isinstance(value, str | bool) else bool(value)] += 1
            if name == "biases":
                counts[kind, name, value] += 1
    for kind in ("RNN", "LSTM", "GRU"):
        assert all(counts[kind, "biases", n] for n in (0, 1, 2))
        assert counts[kind, "gate_clip", True]
    for name in ("peepholes", "coupled", "proj_size", "cell_clip"):
        assert counts["LSTM", name, True] >= 5, name
        assert counts["LSTM", name, False] >= 5, name
    assert counts["GRU", "reset_after", True] >= 5
    assert counts["GRU", "reset_after", False] >= 5
    named = {key[2] for key in counts if isinstance(key, tuple) and "activation" in key[1]}
    assert named == set(ACTIVATION_NAMES)
    assert any(c.peepholes and c.cell_clip and c.proj_size for c in drawn if _is_lstm(c))
    assert any(c.peepholes and c.coupled and c.gate_clip for c in drawn if _is_lstm(c))
    assert any(c.coupled and c.proj_size for c in drawn if _is_lstm(c))


def _is_lstm(cell: Any) -> bool:
    return isinstance(cell, rr.LSTM)


@given(cell=cells(), batch_size=st.integers(0, 4), data=st.data())
def test_states_fit_their_cell(cell: Any, batch_size: int, data: st.DataObject) -> None:
    state = data.draw(states(cell, batch_size))
    assert type(state) is cell.state_type
    assert [a.shape for a in state] == [(batch_size, size) for size in cell.state_sizes]
    assert all(a.all() for a in state)


def test_cases_are_whole_and_varied() -> None:
    drawn: list[Case] = seen(cases())
    assert {(c.dtype.name, c.reverse) for c in drawn} == {
        (dtype, reverse) for dtype in ("float32", "float64") for reverse in (False, True)
    }
    assert {c.name for c in drawn} == {"gain 0.5", "gain 2.0", "gain 20.0"}
    assert {type(c.cell) for c in drawn} == {rr.RNN, rr.LSTM, rr.GRU}
    for case in drawn:
        assert case.d_output is not None
        arrays = [*case.parameters.values(), *case.state_0, *case.d_state_n, case.d_output]
        assert all(array.dtype == case.dtype for array in arrays)
        assert all(array.all() for array in arrays), "a number is zero"
    saturated = [c for c in drawn if c.name == "gain 20.0" and c.batch.total_steps]
    a = [np.abs(c.batch.values @ c.parameters["W_ih"].T).max() for c in saturated]
    assert max(a) > 30


@given(case=cases(dtype="float32"))
def test_float32_cases_lie_off_the_kinks(case: Case) -> None:
    """Far within tolerance: at a kink, packed and per_sequence could differ by a branch."""
    assert max(d.in_tolerances for d in compare(case, "packed")) < 0.25


def test_unrolls_take_every_argument() -> None:
    drawn = seen(unrolls())
    assert {type(u).__name__ for u in drawn} == {
        "PerSequence",
        "Masked",
        "Bucketed",
        "Packed",
        "Lanes",
    }
    paddings = {repr(u.padding_value) for u in drawn if isinstance(u, rr.Masked)}
    assert paddings == {"0.0", "nan", "inf", "1e+30"}
    assert {u.lanes for u in drawn if isinstance(u, rr.Lanes)} >= {None, 1, 2, 6}
    assert any(u.boundaries is not None for u in drawn if isinstance(u, rr.Bucketed))
