"""Bucket boundaries, batches and the waste report."""

from __future__ import annotations

import itertools
import json

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from refrnn.bucketing import (
    batches_by_bucket,
    bucket_ids,
    optimal_boundaries,
    quantile_boundaries,
    token_budget_batches,
    waste_report,
)
from refrnn.datasets import synthetic_lengths

any_lengths = st.lists(st.integers(0, 30), max_size=25)
any_boundaries = st.sets(st.integers(0, 32), max_size=5).map(sorted)
any_seed = st.none() | st.integers(0, 99)


def steps_in_buckets(lengths, boundaries):
    """Steps computed when each bucket pads to its longest, by the definition."""
    edges = [-1, *boundaries, 10**9]
    total = 0
    for low, high in itertools.pairwise(edges):
        members = [n for n in lengths if low <= n < high]
        total += len(members) * max(members, default=0)
    return total


def fewest_steps(lengths, num_buckets):
    """The least of steps_in_buckets over all boundaries."""
    starts = sorted(set(lengths))[1:]
    most = min(num_buckets - 1, len(starts))
    return min(
        steps_in_buckets(lengths, cut)
        for n in range(most + 1)
        for cut in itertools.combinations(starts, n)
    )


# --- boundaries ---


def test_bucket_ids_mean_what_tensorflow_means():
    """A boundary is the first length of the next bucket."""
    ids = bucket_ids([0, 7, 8, 9, 15, 16, 31, 32, 99], [8, 16, 32])
    assert ids.tolist() == [0, 0, 1, 1, 1, 2, 2, 3, 3]
    assert ids.dtype == np.int64
    assert bucket_ids([3, 0], []).tolist() == [0, 0]
    assert bucket_ids([], [5]).shape == (0,)


@given(any_lengths, any_boundaries)
def test_bucket_ids_by_the_definition(lengths, boundaries):
    """The bucket is the number of boundaries not above the length."""
    ids = bucket_ids(lengths, boundaries)
    assert ids.tolist() == [sum(b <= n for b in boundaries) for n in lengths]


@given(any_lengths, st.integers(1, 5))
@example([], 3)
@example([4, 4, 4], 2)
@example([0, 0, 7], 2)
def test_optimal_boundaries_are_optimal(lengths, num_buckets):
    """No boundaries of so many buckets compute fewer steps."""
    found = optimal_boundaries(lengths, num_buckets)
    assert found.dtype == np.int64
    assert np.all(np.diff(found) > 0)
    assert found.size == max(0, min(num_buckets, len(set(lengths))) - 1)
    if lengths:
        best = fewest_steps(lengths, num_buckets)
        assert steps_in_buckets(lengths, found.tolist()) == best
        used = np.unique(bucket_ids(lengths, found))
        assert used.size == found.size + 1


def test_optimal_boundaries_of_many_distinct_lengths():
    """Thousands of distinct lengths, beyond 64 bits in the products, agree with the recurrence."""
    lengths = np.random.default_rng(0).integers(1, 300, size=2000)
    distinct, counts = np.unique(lengths, return_counts=True)
    before = np.concatenate(([0], np.cumsum(counts)))
    steps = np.concatenate(([0], distinct * before[1:])).astype(float)
    for _ in range(7):
        steps = np.array(
            [0.0]
            + [
                min(steps[i] + distinct[j - 1] * (before[j] - before[i]) for i in range(j))
                for j in range(1, steps.size)
            ]
        )
    found = optimal_boundaries(lengths, 8)
    assert steps_in_buckets(lengths.tolist(), found.tolist()) == steps[-1]
    # Scaling all lengths scales the boundaries; the products of the envelope pass 2**63.
    scale = 10**14
    assert np.array_equal((optimal_boundaries(lengths * scale, 8) - 1) // scale, found - 1)


def test_optimal_boundaries_known():
    """A worked case: {7, 7, 8}, {20, 21}, {40}."""
    assert optimal_boundaries([40, 7, 21, 8, 7, 20], 3).tolist() == [9, 22]


@given(any_lengths, st.integers(1, 6))
def test_quantile_boundaries_share_evenly(lengths, num_buckets):
    """Bucket k ends with the ceil(k B / K)-th shortest, whatever is equal to it included."""
    found = quantile_boundaries(lengths, num_buckets)
    assert np.all(np.diff(found) > 0)
    assert found.size <= num_buckets - 1
    ascending = sorted(lengths)
    ends = (
        {ascending[-(-k * len(ascending) // num_buckets) - 1] for k in range(1, num_buckets)}
        if (ascending)
        else set()
    )
    assert found.tolist() == sorted(n + 1 for n in ends if n < ascending[-1])
    if lengths:
        assert np.unique(bucket_ids(lengths, found)).size == found.size + 1


def test_quantiles_of_distinct_lengths_differ_by_one():
    """Distinct lengths are shared as evenly as numbers can be."""
    sizes = np.bincount(bucket_ids(range(103), quantile_boundaries(range(103), 10)))
    assert sizes.size == 10
    assert set(sizes.tolist()) == {10, 11}


# --- batches ---


@given(any_lengths, any_boundaries, st.integers(1, 4), any_seed)
def test_batches_by_bucket_partition(lengths, boundaries, size, seed):
    """Every index once, no bucket mixed, only the last batch of a bucket short."""
    batches = batches_by_bucket(lengths, boundaries, size, seed=seed)
    assert sorted(np.concatenate([*batches, []]).tolist()) == list(range(len(lengths)))
    ids = bucket_ids(lengths, boundaries)
    short = [ids[b[0]] for b in batches if b.size < size]
    assert len(short) == len(set(short))
    for batch in batches:
        assert batch.dtype == np.int64
        assert 1 <= batch.size <= size
        assert np.unique(ids[batch]).size == 1


@given(any_lengths, any_boundaries, st.integers(1, 4), any_seed)
def test_drop_remainder_keeps_the_full_batches(lengths, boundaries, size, seed):
    """What is dropped is less than a batch of each bucket."""
    batches = batches_by_bucket(lengths, boundaries, size, seed=seed, drop_remainder=True)
    assert all(b.size == size for b in batches)
    counts = np.bincount(bucket_ids(lengths, boundaries), minlength=1)
    assert len(batches) == np.sum(counts // size)
    kept = np.concatenate([*batches, []])
    assert np.unique(kept).size == kept.size


def test_batch_sizes_of_each_bucket():
    """Long sequences in smaller batches."""
    batches = batches_by_bucket([1, 9, 2, 9, 3, 9], [5], [3, 2])
    assert [b.tolist() for b in batches] == [[0, 2, 4], [1, 3], [5]]


@given(any_lengths, st.integers(30, 90), st.none() | st.integers(1, 4), any_seed)
def test_token_budget_partition(lengths, max_tokens, max_sequences, seed):
    """Every index once; no batch over either limit."""
    batches = token_budget_batches(lengths, max_tokens, max_sequences=max_sequences, seed=seed)
    assert sorted(np.concatenate([*batches, []]).tolist()) == list(range(len(lengths)))
    for batch in batches:
        assert batch.dtype == np.int64
        assert batch.size >= 1
        assert batch.size * max(lengths[i] for i in batch) <= max_tokens
        assert max_sequences is None or batch.size <= max_sequences


@given(any_lengths, st.integers(30, 90))
def test_token_budget_is_filled(lengths, max_tokens):
    """Without a seed: by length, and no batch could have taken the first of the next."""
    batches = token_budget_batches(lengths, max_tokens)
    order = [i for b in batches for i in b.tolist()]
    assert order == sorted(range(len(lengths)), key=lambda i: lengths[i])
    for batch, following in itertools.pairwise(batches):
        assert (batch.size + 1) * lengths[following[0]] > max_tokens


def test_seed_decides_the_shuffle():
    """Equal seeds give equal batches; others shuffle both the batches and what is in them."""
    lengths = synthetic_lengths("lognormal", 300, 200, seed=0)
    boundaries = quantile_boundaries(lengths, 4)

    def by_bucket(seed):
        return [b.tolist() for b in batches_by_bucket(lengths, boundaries, 8, seed=seed)]

    def by_budget(seed):
        return [b.tolist() for b in token_budget_batches(lengths, 1000, seed=seed)]

    for batches in (by_bucket, by_budget):
        assert batches(1) == batches(1)
        assert batches(1) != batches(2)
        contents = [{frozenset(b) for b in batches(seed)} for seed in (1, 2)]
        assert contents[0] != contents[1]
        firsts = [int(lengths[b[0]]) for b in batches(1)]
        assert firsts != sorted(firsts)


def test_shuffled_budget_wastes_little():
    """Only similar lengths are mixed: a seed costs a tenth of padding, no more."""
    lengths = synthetic_lengths("lognormal", 2000, 200, seed=0)
    padded = sum(b.size * lengths[b].max() for b in token_budget_batches(lengths, 2000, seed=0))
    assert lengths.sum() / padded > 0.85


# --- waste report ---


@given(
    any_lengths,
    st.none() | st.integers(1, 4),
    st.none() | st.integers(1, 4),
)
def test_report_counts(lengths, num_buckets, lanes):
    """Steps, depth and useful rows of every scheme, from their definitions."""
    report = waste_report(lengths, num_buckets=num_buckets, lanes=lanes)
    padded, bucketed, packed, in_lanes = report.schemes
    longest = max(lengths, default=0)
    assert padded.steps_computed == len(lengths) * longest
    assert bucketed.steps_computed == steps_in_buckets(lengths, report.boundaries.tolist())
    assert packed.steps_computed == in_lanes.steps_computed == sum(lengths)
    assert padded.sequential_depth == packed.sequential_depth == longest
    assert in_lanes.sequential_depth == report.schedule.num_steps
    longest_of = {}
    for number, length in zip(
        bucket_ids(lengths, report.boundaries).tolist(), lengths, strict=True
    ):
        longest_of[number] = max(longest_of.get(number, 0), length)
    assert bucketed.sequential_depth == sum(longest_of.values())
    for scheme in report.schemes:
        assert scheme.useful_rows.sum() == sum(lengths)
        assert np.all(scheme.useful_rows <= scheme.batch_sizes)
        computed = scheme.steps_computed
        assert scheme.useful_share == (sum(lengths) / computed if computed else 1.0)
        assert scheme.tape_bytes is None
    if lanes is not None:
        assert report.schedule.num_lanes == lanes


def test_report_by_hand():
    """Two short and two long sequences."""
    report = waste_report([2, 3, 9, 10], num_buckets=2, lanes=3)
    figures = {
        s.name: (s.steps_computed, s.sequential_depth, s.rows_per_step) for s in report.schemes
    }
    assert figures == {
        "padded": (40, 10, (4, 4.0, 4)),
        "bucketed": (26, 13, (2, 2.0, 2)),
        "packed": (24, 10, (1, 2.0, 4)),
        "lanes": (24, 10, (1, 2.5, 3)),
    }
    assert report.schemes[1].useful_rows.tolist() == [2, 2, 1] + [2] * 9 + [1]


def test_tape_is_counted_by_its_formula():
    """(2 G + 3) H + I numbers a computed step, times the size of a number."""
    lengths = [2, 3, 9, 10]
    lstm = waste_report(lengths, hidden_size=8).schemes
    assert [s.tape_bytes for s in lstm] == [s.steps_computed * 11 * 8 * 4 for s in lstm]
    gru = waste_report(lengths, hidden_size=8, input_size=5, num_gates=3, dtype="float64").schemes
    assert [s.tape_bytes for s in gru] == [s.steps_computed * (9 * 8 + 5) * 8 for s in gru]


def test_report_as_a_table():
    """The text says what was counted, aligned in columns."""
    text = str(waste_report([2, 3, 9, 10], boundaries=[5], hidden_size=100, input_size=7))
    lines = text.splitlines()
    assert lines[0] == "4 sequences, 24 steps: shortest 2, median 6, mean 6.0, longest 10"
    header, *rows = lines[2:7]
    assert [r.split()[0] for r in rows] == ["padded", "bucketed", "packed", "lanes"]
    assert {len(line) for line in (header, *rows)} == {len(header)}
    # the last is 26 steps of 1107 float32 numbers
    assert " ".join(rows[1].split()) == "bucketed (2 buckets) 26 92.3 % 13 2 2 2 112 KiB"
    assert "next bucket): 5" in text
    assert "(2 G + 3) * H + I numbers a computed step, G = 4, H = 100, I = 7, float32" in text


@pytest.mark.parametrize("lengths", [[], [0], [0, 0, 0], [4]])
def test_report_of_little(lengths):
    """Nothing to run wastes nothing, and is still a table and JSON."""
    report = waste_report(lengths)
    assert all(s.useful_share == 1.0 for s in report.schemes)
    assert str(report).count("100.0 %") == 4
    json.dumps(report.to_dict())


def test_report_survives_json():
    """to_dict holds plain Python values only."""
    figures = waste_report([2, 3, 9, 10], num_buckets=2, hidden_size=4).to_dict()
    assert json.loads(json.dumps(figures)) == figures
    assert figures["boundaries"] == [4]
    assert (figures["num_sequences"], figures["total_steps"], figures["longest"]) == (4, 24, 10)
    bucketed = figures["schemes"][1]
    assert bucketed["rows_per_step"] == {"min": 2, "median": 2.0, "max": 2}
    assert bucketed["useful_share"] == pytest.approx(24 / 26)


def test_inputs_are_left_alone():
    """The report owns its lengths and boundaries."""
    lengths, boundaries = np.array([3, 8]), np.array([5])
    report = waste_report(lengths, boundaries=boundaries)
    assert lengths.flags.writeable
    assert boundaries.flags.writeable
    assert not np.shares_memory(report.lengths, lengths)
    assert not np.shares_memory(report.boundaries, boundaries)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: bucket_ids([1, -2], [3]), ValueError, r"lengths\[1\] has value -2"),
        (lambda: bucket_ids([1.5], [3]), TypeError, "lengths has dtype float64"),
        (
            lambda: bucket_ids([1], [3, 3]),
            ValueError,
            r"boundaries\[1\] has value 3, expected more",
        ),
        (lambda: bucket_ids([1], [4, 3]), ValueError, r"boundaries\[1\] has value 3"),
        (lambda: bucket_ids([1], [-4]), ValueError, r"boundaries\[0\] has value -4"),
        (lambda: bucket_ids([1], [2.5]), TypeError, "boundaries has dtype float64"),
        (lambda: optimal_boundaries([1], 0), ValueError, "num_buckets has value 0"),
        (lambda: optimal_boundaries([1], 2.0), TypeError, "num_buckets has type float"),
        (lambda: quantile_boundaries([1], -1), ValueError, "num_buckets has value -1"),
        (lambda: batches_by_bucket([1], [3], 0), ValueError, "batch_sizes has value 0"),
        (lambda: batches_by_bucket([1], [3], [2]), ValueError, "batch_sizes has 1 elements"),
        (lambda: batches_by_bucket([1], [3], [2, 0]), ValueError, r"batch_sizes\[1\] has value 0"),
        (lambda: batches_by_bucket([1], [3], 2.0), TypeError, "batch_sizes has"),
        (lambda: batches_by_bucket([1], [3], True), TypeError, "batch_sizes has type bool"),
        (lambda: batches_by_bucket([1], [3], 2, seed=-1), ValueError, "seed has value -1"),
        (lambda: batches_by_bucket([1], [3], 2, drop_remainder=1), TypeError, "drop_remainder"),
        (
            lambda: token_budget_batches([4, 11], 10),
            ValueError,
            r"lengths\[1\] has value 11, expected <= max_tokens = 10",
        ),
        (lambda: token_budget_batches([4], 0), ValueError, "max_tokens has value 0"),
        (lambda: token_budget_batches([4], 9, max_sequences=0), ValueError, "max_sequences has"),
        (lambda: token_budget_batches([4], 9, seed=1.0), TypeError, "seed has type float"),
        (
            lambda: waste_report([4], boundaries=[3], num_buckets=2),
            ValueError,
            "num_buckets has been given with boundaries",
        ),
        (lambda: waste_report([4], input_size=3), ValueError, "input_size has value 3"),
        (lambda: waste_report([4], num_gates=3), ValueError, "num_gates has value 3"),
        (lambda: waste_report([4], dtype="float32"), ValueError, "dtype has value float32"),
        (lambda: waste_report([4], hidden_size=0), ValueError, "hidden_size has value 0"),
        (
            lambda: waste_report([4], hidden_size=2, dtype="float16"),
            TypeError,
            "dtype has dtype float16",
        ),
        (lambda: waste_report([4], lanes=0), ValueError, "lanes has value 0"),
    ],
)
def test_bad_arguments(call, error, message):
    """Each is refused with its name and the rule."""
    with pytest.raises(error, match=message):
        call()


def test_lengths_that_cannot_be_summed_are_refused():
    with pytest.raises(ValueError, match=r"lengths\[1\] has value 4611686018427387904"):
        waste_report([1, 2**62, 2**62, 2**62, 2**62])
