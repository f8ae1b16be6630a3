"""Problems: the standard set, and what they hand to a padded framework."""

import numpy as np
import pytest

import refrnn as rr
from refrnn.oracle import PROBLEM_NAMES, Network, problem_of, standard_problem, standard_problems

NETWORK = Network([rr.LSTM(3, 5)], (False, True))


def test_the_standard_set_is_the_same_every_time():
    first, second = (standard_problems(NETWORK) for _ in range(2))
    assert [p.name for p in first] == list(PROBLEM_NAMES)
    for one, other in zip(first, second, strict=True):
        np.testing.assert_array_equal(one.padded_input(), other.padded_input())
        np.testing.assert_array_equal(one.d_output, other.d_output)


def test_it_has_what_is_hard():
    problems = {p.name: p for p in standard_problems(NETWORK)}
    assert set(problems["empty_batch"].traits) == {"no sequence", "no step"}
    assert set(problems["all_empty"].traits) == {"no step", "length 0"}
    assert set(problems["holes"].traits) == {"holes", "length 0"}
    assert problems["extra_padding"].num_steps > problems["extra_padding"].lengths.max()
    assert np.isnan(problems["nan_padding"].padding).all()
    assert problems["last_state"].default_state
    lengths = np.concatenate([p.lengths for p in problems.values()])
    assert {0, 1, 50} <= set(lengths.tolist())


@pytest.mark.parametrize("name", PROBLEM_NAMES)
@pytest.mark.parametrize("batch_first", [True, False])
def test_padding_holds_the_rows_and_never_zeros(name, batch_first):
    problem = standard_problem(name, NETWORK)
    padded = problem.padded_input(batch_first)
    first = padded if batch_first else padded.swapaxes(0, 1)
    np.testing.assert_array_equal(first[problem.mask], problem.batch.values)
    assert (first[~problem.mask] != 0).all()
    cotangent = problem.padded_cotangent(batch_first)
    first = cotangent if batch_first else cotangent.swapaxes(0, 1)
    np.testing.assert_array_equal(first[problem.mask], problem.d_output)
    assert (first[~problem.mask] == 0).all()


def test_strided_arrays_are_views_with_gaps():
    problem = standard_problem("strided", NETWORK)
    padded = problem.padded_input()
    assert not padded.flags.c_contiguous
    assert np.isnan(padded.base).any()
    assert standard_problem("unsorted", NETWORK).padded_input().flags.c_contiguous


def test_without_its_empty_sequences():
    problem = standard_problem("length_0_and_1", NETWORK)
    rest = problem.without_empty()
    assert rest.lengths.tolist() == [n for n in problem.lengths if n]
    np.testing.assert_array_equal(rest.batch.values, problem.batch.values)
    np.testing.assert_array_equal(rest.state_0[1].c, problem.state_0[1].c[problem.lengths > 0])
    np.testing.assert_array_equal(rest.padded_input()[rest.mask], rest.batch.values)


def test_a_problem_of_ones_own_batch():
    rng = np.random.default_rng(0)
    batch = rr.RaggedBatch.from_sequences([rng.normal(size=(n, 3)) for n in (2, 0, 4)])
    problem = problem_of(NETWORK, batch)
    assert problem.batch == batch
    assert problem.name == "batch"
    with pytest.raises(ValueError, match="batch has 3 features, expected input_size = 2"):
        problem_of(Network([rr.GRU(2, 2)]), batch)
    with pytest.raises(TypeError, match="expected a RaggedBatch"):
        problem_of(NETWORK, np.ones((2, 3)))


def test_float32_is_float64_rounded_once():
    wide, narrow = (standard_problem("unsorted", NETWORK, d) for d in ("float64", "float32"))
    np.testing.assert_array_equal(narrow.padding, wide.padding.astype("float32"))
    assert narrow.dtype == np.float32


def test_an_unknown_name_is_refused():
    with pytest.raises(ValueError, match="name has value 'easy', expected one of unsorted"):
        standard_problem("easy", NETWORK)
