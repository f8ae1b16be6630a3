"""How lanes are chosen and dealt, and where the kernels keep gates."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from refrnn_accel.cpu.lanes import lay_out
from refrnn_accel.cpu.layout import Layout

from ..kernel_cells import CELLS, DTYPES


@given(
    st.lists(st.integers(0, 40), max_size=60), st.integers(1, 600), st.integers(1, 8),
    st.sampled_from([None, 1, 5, 100]),
)  # fmt: skip
def test_every_sequence_is_on_one_lane(
    lengths: list[int], hidden_size: int, threads: int, lanes: int | None
) -> None:
    made = lay_out(np.array(lengths, np.int64), hidden_size, threads, lanes)
    assert sorted(made.order.tolist()) == [n for n, length in enumerate(lengths) if length]
    assert made.threads == threads
    assert made.first_of_lane[0] == 0
    assert made.first_of_lane[-1] == len(made.order)
    for lane in range(made.schedule.num_lanes):
        ours = made.order[made.first_of_lane[lane] : made.first_of_lane[lane + 1]]
        assert (made.schedule.lane[ours] == lane).all()
        assert (np.diff(made.schedule.start[ours]) > 0).all()


def test_lanes_fill_the_tiles_of_all_threads_and_make_nothing_longer() -> None:
    lengths = np.array([100] * 3 + [10] * 200, np.int64)
    made = lay_out(lengths, 64, 2, None)
    assert made.schedule.num_lanes == 24
    assert made.schedule.num_steps == 100
    assert (made.teams, made.members) == (2, 1)
    assert lay_out(np.array([5, 5, 5], np.int64), 64, 1, None).schedule.num_lanes == 3


def test_a_layout_that_is_kept_is_the_one_that_is_made(monkeypatch: pytest.MonkeyPatch) -> None:
    lengths = np.array([7, 0, 3, 3, 9], np.int64)
    kept = lay_out(lengths, 64, 2, None)
    assert lay_out(lengths.copy(), 64, 2, None) is kept
    monkeypatch.setattr("refrnn_accel.cpu.lanes._MOST_KEPT", 4)
    made = lay_out(lengths, 64, 2, None)
    assert made is not kept
    assert (made.teams, made.members) == (kept.teams, kept.members)
    assert made.order.tolist() == kept.order.tolist()
    assert made.first_of_lane.tolist() == kept.first_of_lane.tolist()


@pytest.mark.parametrize(
    ("lengths", "hidden_size", "expected"),
    [([9] * 8, 512, (2, 1)), ([9] * 8, 513, (1, 2)), ([9] * 3, 64, (1, 2)), ([], 64, (1, 2))],
)
def test_threads_share_units_where_lanes_are_few_or_the_state_is_large(
    lengths: list[int], hidden_size: int, expected: tuple[int, int]
) -> None:
    made = lay_out(np.array(lengths, np.int64), hidden_size, 2, None)
    assert (made.teams, made.members) == expected


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", CELLS)
@pytest.mark.parametrize("hidden_size", [1, 5, 16, 37])
def test_rows_are_filled_up_to_whole_vectors(name: str, dtype: str, hidden_size: int) -> None:
    layout = Layout.of(CELLS[name](3, hidden_size), np.dtype(dtype))
    assert layout.group * np.dtype(dtype).itemsize == 64
    assert layout.itemsize == np.dtype(dtype).itemsize
    assert layout.units == layout.padded(hidden_size)
    assert hidden_size <= layout.units < hidden_size + layout.group
    assert layout.units % layout.group == 0
