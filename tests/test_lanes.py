"""LaneSchedule: exactly the real steps, deterministic, and never long."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from refrnn.datasets import synthetic_lengths
from refrnn.lanes import LaneSchedule, affine_cost, row_tile_cost

any_lengths = st.lists(st.integers(0, 12), max_size=14)
any_lanes = st.integers(1, 6)


def shortest_possible(lengths, lanes):
    """Steps of the best schedule there is, by trying them all (lanes are interchangeable)."""
    best = sum(lengths)

    def place(index, loads):
        nonlocal best
        if max(loads) >= best:
            return
        if index == len(lengths):
            best = max(loads)
            return
        for lane in range(lanes):
            if loads[lane] not in loads[:lane]:
                place(index + 1, [*loads[:lane], loads[lane] + lengths[index], *loads[lane + 1 :]])

    place(0, [0] * lanes)
    return best


def test_worked_example():
    """Longest first to the least loaded lane; lanes are then numbered by load."""
    schedule = LaneSchedule.from_lengths([3, 0, 7, 2, 4, 2], lanes=2)
    # 7 -> A; 4 -> B, 3 -> B (7, a tie then with A); 2 (index 3) -> A; 2 (index 5) -> B.
    assert schedule.lane.tolist() == [1, -1, 0, 0, 1, 1]
    assert schedule.start.tolist() == [4, -1, 0, 7, 0, 7]
    assert schedule.loads.tolist() == [9, 9]
    assert (schedule.num_lanes, schedule.num_steps) == (2, 9)
    assert schedule.batch_sizes.tolist() == [2] * 9


def test_lanes_are_numbered_by_load():
    """A lane that was opened later but ends up longer comes first."""
    schedule = LaneSchedule.from_lengths([5, 4, 3], lanes=2)
    assert schedule.loads.tolist() == [7, 5]
    assert schedule.lane.tolist() == [1, 0, 0]
    assert schedule.batch_sizes.tolist() == [2, 2, 2, 2, 2, 1, 1]


@given(any_lengths, any_lanes)
@example([], 1)
@example([0, 0], 2)
@example([5], 1)
def test_every_sequence_has_its_steps_to_itself(lengths, lanes):
    """The cells (step, lane) of the sequences are disjoint, gapless, and exactly N."""
    schedule = LaneSchedule.from_lengths(lengths, lanes=lanes)
    taken = [
        (int(start) + step, int(lane))
        for length, lane, start in zip(lengths, schedule.lane, schedule.start, strict=True)
        for step in range(length)
    ]
    active = {(t, lane) for t, n in enumerate(schedule.batch_sizes) for lane in range(n)}
    assert len(taken) == len(set(taken)) == sum(lengths)
    assert set(taken) == active
    empty = np.array(lengths, dtype=int) == 0
    assert np.array_equal(schedule.lane == -1, empty)
    assert np.array_equal(schedule.start == -1, empty)


@given(any_lengths, any_lanes)
def test_lanes_fall_and_add_up(lengths, lanes):
    """Loads and batch sizes never rise; each adds up to N."""
    schedule = LaneSchedule.from_lengths(lengths, lanes=lanes)
    assert schedule.num_lanes == lanes
    assert schedule.num_steps == max(schedule.loads)
    for falling in (schedule.loads, schedule.batch_sizes):
        assert np.all(np.diff(falling) <= 0)
        assert falling.sum() == sum(lengths)
    assert np.all(schedule.batch_sizes > 0)


@given(any_lengths, any_lanes)
def test_rows_are_a_permutation_in_step_order(lengths, lanes):
    """rows() numbers the cells step after step, lane after lane."""
    schedule = LaneSchedule.from_lengths(lengths, lanes=lanes)
    rows = schedule.rows()
    assert sorted(rows.tolist()) == list(range(sum(lengths)))
    cells = [(t, lane) for t, n in enumerate(schedule.batch_sizes) for lane in range(n)]
    expected = [
        cells.index((start + step, lane))
        for length, lane, start in zip(
            lengths, schedule.lane.tolist(), schedule.start.tolist(), strict=True
        )
        for step in range(length)
    ]
    assert rows.tolist() == expected


@given(st.lists(st.integers(1, 1000), min_size=1, max_size=60), st.integers(1, 20))
def test_list_scheduling_bound(lengths, lanes):
    """num_steps <= N / S + (1 - 1 / S) * longest, in whole numbers."""
    steps = LaneSchedule.from_lengths(lengths, lanes=lanes).num_steps
    assert steps * lanes <= sum(lengths) + (lanes - 1) * max(lengths)


@given(st.lists(st.integers(1, 9), min_size=1, max_size=8), st.integers(1, 4))
@example([5, 5, 4, 4, 3, 3, 3], 3)
def test_within_graham_of_the_optimum(lengths, lanes):
    """num_steps <= (4/3 - 1/(3 S)) * optimum, in whole numbers."""
    steps = LaneSchedule.from_lengths(lengths, lanes=lanes).num_steps
    optimum = shortest_possible(lengths, lanes)
    assert optimum <= steps
    assert steps * 3 * lanes <= (4 * lanes - 1) * optimum


def test_graham_is_reached():
    """Graham's worst case for 3 lanes: 11 steps where 9 would do, so the bound is not slack."""
    lengths = [5, 5, 4, 4, 3, 3, 3]
    assert shortest_possible(lengths, 3) == 9
    assert LaneSchedule.from_lengths(lengths, lanes=3).num_steps == 11


@given(any_lengths, any_lanes)
def test_rule_is_longest_first_stable(lengths, lanes):
    """The loads are those of a plain transcription of the rule, and so is each start."""
    loads = [0] * lanes
    start = [-1] * len(lengths)
    for index in sorted(range(len(lengths)), key=lambda i: -lengths[i]):
        if lengths[index]:
            lane = loads.index(min(loads))
            start[index] = loads[lane]
            loads[lane] += lengths[index]
    schedule = LaneSchedule.from_lengths(lengths, lanes=lanes)
    assert schedule.start.tolist() == start
    assert schedule.loads.tolist() == sorted(loads, reverse=True)


@given(any_lengths, st.sampled_from([affine_cost(), affine_cost(0.0), row_tile_cost(4, 1.5)]))
def test_default_is_the_cheapest_number_of_lanes(lengths, cost):
    """The pruned search finds what trying every S finds, the smaller of equals."""
    busy = [n for n in lengths if n]
    found = LaneSchedule.from_lengths(lengths, cost=cost)
    if not busy:
        assert (found.num_lanes, found.num_steps) == (1, 0)
        return
    prices = {
        s: LaneSchedule.from_lengths(lengths, lanes=s).num_steps * cost(s)
        for s in range(math.ceil(sum(busy) / max(busy)), len(busy) + 1)
    }
    assert found.num_lanes == min(prices, key=lambda s: (prices[s], s))


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("law", ["uniform", "lognormal", "zipf"])
def test_pruned_search_on_larger_batches(law, seed):
    """The lower bounds also never cut off the winner where lanes hold several sequences."""
    lengths = synthetic_lengths(law, 60, 50, seed=seed)
    cost = row_tile_cost(8, 3.0)
    fewest = math.ceil(lengths.sum() / lengths.max())
    prices = [
        LaneSchedule.from_lengths(lengths, lanes=s).num_steps * cost(s) for s in range(fewest, 61)
    ]
    found = LaneSchedule.from_lengths(lengths, cost=cost).num_lanes
    assert found == fewest + prices.index(min(prices))


@pytest.mark.parametrize("num_sequences", [20, 21])
@pytest.mark.parametrize("seed", range(3))
def test_almost_equal_lengths_get_a_lane_each(num_sequences, seed):
    """One lane less would nearly double the steps."""
    lengths = np.random.default_rng(seed).permutation([20, 19] * num_sequences)[:num_sequences]
    lengths[0] = 20
    schedule = LaneSchedule.from_lengths(lengths)
    assert (schedule.num_lanes, schedule.num_steps) == (num_sequences, 20)
    one_less = LaneSchedule.from_lengths(lengths, lanes=num_sequences - 1)
    assert one_less.num_steps >= 38


@pytest.mark.parametrize(
    ("lengths", "lanes", "steps"),
    [
        ([7] * 5, 5, 7),  # all equal
        ([9], 1, 9),  # one sequence
        ([0, 9, 0], 1, 9),
        ([], 1, 0),
        ([0, 0, 0], 1, 0),
        ([10] + [1] * 10, 2, 10),
    ],
)
def test_default_on_the_corners(lengths, lanes, steps):
    """What is chosen where there is little to choose."""
    schedule = LaneSchedule.from_lengths(lengths)
    assert (schedule.num_lanes, schedule.num_steps) == (lanes, steps)


def test_default_for_long_tails_is_nearly_full():
    """Log-normal lengths: S near N / longest, and hardly a lane idle at any step."""
    lengths = synthetic_lengths("lognormal", 10_000, 200, seed=0)
    schedule = LaneSchedule.from_lengths(lengths)
    assert schedule.num_lanes <= 1.02 * lengths.sum() / lengths.max()
    assert schedule.num_steps * schedule.num_lanes <= 1.02 * lengths.sum()
    assert schedule.num_steps <= 1.02 * lengths.max()


def test_search_schedules_few_of_many_candidates(monkeypatch):
    """The lower bounds leave a small part of the thousands of candidates to be scheduled."""
    import refrnn.lanes as module

    scheduled = []
    longest_load = module._longest_load
    monkeypatch.setattr(
        module, "_longest_load", lambda *a: scheduled.append(a[1]) or longest_load(*a)
    )
    lengths = np.random.default_rng(0).integers(19, 21, size=3000)
    assert LaneSchedule.from_lengths(lengths).num_lanes == 3000
    assert len(scheduled) <= 3
    scheduled.clear()
    LaneSchedule.from_lengths(synthetic_lengths("lognormal", 3000, 200, seed=1))
    assert 1 <= len(scheduled) <= 100


def test_more_lanes_than_sequences_stay_empty():
    """The number of lanes asked for is honoured; those without work have load 0."""
    schedule = LaneSchedule.from_lengths([2, 0, 3], lanes=5)
    assert schedule.loads.tolist() == [3, 2, 0, 0, 0]
    assert schedule.batch_sizes.tolist() == [2, 2, 1]


def test_nothing_to_run_on_given_lanes():
    """An empty batch has a schedule too."""
    schedule = LaneSchedule.from_lengths(np.zeros(0, dtype=np.int32), lanes=3)
    assert schedule.loads.tolist() == [0, 0, 0]
    assert schedule.num_steps == 0
    assert schedule.rows().shape == (0,)


@given(any_lengths, any_lanes)
def test_arrays_are_own_read_only_int64(lengths, lanes):
    """Nothing aliases the caller's lengths and nothing can be written."""
    given_lengths = np.array(lengths, dtype=np.int64)
    before = given_lengths.copy()
    schedule = LaneSchedule.from_lengths(given_lengths, lanes=lanes)
    for array in schedule:
        assert array.dtype == np.int64
        assert not array.flags.writeable
        assert not np.shares_memory(array, given_lengths)
    assert np.array_equal(given_lengths, before)
    assert given_lengths.flags.writeable


def test_fields_do_not_share_memory():
    """Two fields of a schedule are never one array."""
    schedule = LaneSchedule.from_lengths([3, 2, 2], lanes=2)
    for one, other in itertools.combinations(schedule, 2):
        assert not np.shares_memory(one, other)


def test_prices_of_a_step():
    """Affine and tiled prices, as documented."""
    assert [affine_cost(4.0)(n) for n in (1, 7)] == [5.0, 11.0]
    assert [row_tile_cost(8, 0.5)(n) for n in (1, 8, 9)] == [8.5, 8.5, 16.5]


def test_tile_decides_the_number_of_lanes():
    """Rows of a tile that is paid anyway are used."""
    lengths = [6, 4, 4, 4, 3, 3]  # 7 steps on 4 lanes, 6 on 5 or 6
    narrow = LaneSchedule.from_lengths(lengths, cost=row_tile_cost(4))
    wide = LaneSchedule.from_lengths(lengths, cost=row_tile_cost(8))
    assert (narrow.num_lanes, narrow.num_steps) == (4, 7)
    assert (wide.num_lanes, wide.num_steps) == (5, 6)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: LaneSchedule.from_lengths([3, -1]), ValueError, r"lengths\[1\] has value -1"),
        (lambda: LaneSchedule.from_lengths([3.0]), TypeError, "lengths has dtype float64"),
        (lambda: LaneSchedule.from_lengths([True]), TypeError, "lengths has dtype bool"),
        (lambda: LaneSchedule.from_lengths([[3]]), ValueError, "lengths has shape"),
        (lambda: LaneSchedule.from_lengths([3], lanes=0), ValueError, "lanes has value 0"),
        (lambda: LaneSchedule.from_lengths([3], lanes=2.0), TypeError, "lanes has type float"),
        (
            lambda: LaneSchedule.from_lengths([3], lanes=2, cost=affine_cost()),
            ValueError,
            "cost has been given with lanes",
        ),
        (
            lambda: LaneSchedule.from_lengths([3], cost=lambda rows: -rows),
            ValueError,
            r"cost\(1\) has value -1.0",
        ),
        (
            lambda: LaneSchedule.from_lengths([3], cost=lambda rows: math.nan),
            ValueError,
            r"cost\(1\) has value nan",
        ),
        (lambda: affine_cost(-1.0), ValueError, "overhead has value -1.0"),
        (lambda: row_tile_cost(0), ValueError, "tile has value 0"),
        (lambda: row_tile_cost(4, math.inf), ValueError, "overhead has value inf"),
    ],
)
def test_bad_arguments(call, error, message):
    """Each is refused with its name and the rule."""
    with pytest.raises(error, match=message):
        call()
