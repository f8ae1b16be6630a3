"""Every classic mistake, made by a module with no code of refrnn's, is called by its name."""

import numpy as np
import pytest

from refrnn.oracle import check, standard_problem

from .padded_lstm import PaddedLSTM

PROBLEMS = ("unsorted", "extra_padding", "length_0_and_1")


def run(bug="", *, reverse=False, names=PROBLEMS):
    subject = PaddedLSTM(bug, reverse=reverse)
    return check(subject, [standard_problem(name, subject.network) for name in names])


@pytest.mark.parametrize("reverse", [False, True])
def test_without_a_bug_everything_agrees(reverse):
    report = run(reverse=reverse)
    assert report.ok, str(report)
    assert not report.deliberate
    assert report.problems == PROBLEMS


# bug, what it does to the whole, and the words
WHOLE = {
    "gate order": "with the forget and cell gate rows swapped it agrees",
    "bias doubled": "with b_ih added twice it agrees",
    "bias missing": "with b_hh left out it agrees",
    "W_hh transposed": "with W_hh transposed it agrees",
    "h_0 ignored": "with initial states ignored it agrees",
    "h_0 and c_0 swapped": "with h_0 and c_0 in each other's place it agrees",
    "gradient cut": "with the gradient not carried from step to step it agrees",
    "forget bias": "with 1 added to the forget gate it agrees",
    "not put back": "with final states left in the order of sorted sequences it agrees",
    "state of the last step": "with the final state read at the last padded step it agrees",
}


@pytest.mark.parametrize("bug", WHOLE)
def test_a_mistake_of_the_whole_function_has_its_name(bug):
    report = run(bug)
    assert not report.ok
    (finding,) = report.failures
    assert finding.words.startswith(WHOLE[bug]), str(report)


GRADIENT = {
    "gradient of h_0 dropped": ("d_h_0", "it is zero everywhere: the gradient is dropped"),
    "gradient doubled": ("d_weight_ih", "it is 2 times the reference"),
    "gradient rows": (
        "d_weight_hh",
        "with the forget and cell gate rows swapped in the gradient",
    ),
}


@pytest.mark.parametrize("bug", GRADIENT)
def test_a_mistake_of_one_gradient_has_its_name(bug):
    tensor, words = GRADIENT[bug]
    report = run(bug)
    assert {f.tensors for f in report.failures} == {(tensor,)}
    assert any(f.words.startswith(words) for f in report.failures), str(report)


def test_lengths_that_are_ignored():
    (finding,) = run("lengths ignored", names=("unsorted",)).failures
    assert finding.words.startswith("with lengths ignored, padding stepped like data, it agrees")


def test_a_final_state_from_the_padding():
    (finding,) = run("final state from padding", names=("unsorted",)).failures
    assert finding.words.startswith("with the final state taken from the padding it agrees")


def test_a_reverse_direction_that_starts_in_the_padding():
    (finding,) = run("reverse from padding", reverse=True, names=("unsorted",)).failures
    assert finding.words.startswith("with the reverse direction started in the padding")


def test_nan_from_the_padding():
    report = run("mask multiplied", names=("nan_padding",))
    assert {f.words.partition(" (")[0] for f in report.failures} == {
        "the NaN of the padding leaks into it"
    }
    assert run("mask multiplied", names=("unsorted",)).ok


def test_a_gradient_at_the_padding():
    (finding,) = run("gradient at the padding", names=("unsorted",)).failures
    assert finding.tensors == ("d_input",)
    assert "elements differ" in finding.words


def test_the_index_is_that_of_the_layout():
    entry = run("gradient doubled", names=("unsorted",)).worst("d_weight_ih")
    assert entry is not None
    assert entry.deviation is not None
    assert len(entry.deviation.where) == 2
    assert np.isclose(entry.deviation.got, 2 * entry.deviation.expected)
