"""Semantics: a deliberate difference is told from a mistake."""

import numpy as np
import pytest

import refrnn as rr
from refrnn.oracle import LAW, PROFILES, Network, Semantics, Status, check, standard_problem
from refrnn.oracle.evaluation import Setting, evaluate
from refrnn.oracle.padded import expected_output
from refrnn.oracle.semantics import semantics

from .padded_lstm import PaddedLSTM

NETWORK = Network([rr.GRU(3, 4)])


def setting(name="length_0_and_1", meant=LAW):
    rng = np.random.default_rng(0)
    parameters = (NETWORK.cells[0].init_parameters(rng, scale=1.0),)
    return Setting(NETWORK, parameters, standard_problem(name, NETWORK), meant)


def test_the_law_passes_the_state_through_length_0():
    own = setting()
    results = evaluate(own)
    empty = own.problem.lengths == 0
    np.testing.assert_array_equal(results.state_n[0].h[empty], own.problem.state_0[0].h[empty])
    np.testing.assert_array_equal(results.d_state_0[0].h[empty], own.problem.d_state_n[0].h[empty])


def test_zeros():
    own = setting(meant=PROFILES["onnx"])
    results, lawful = evaluate(own), evaluate(setting())
    empty = own.problem.lengths == 0
    assert (results.state_n[0].h[empty] == 0).all()
    assert (results.d_state_0[0].h[empty] == 0).all()
    np.testing.assert_array_equal(results.state_n[0].h[~empty], lawful.state_n[0].h[~empty])


def test_the_state_after_the_padding_is_that_of_the_padded_rows():
    own = setting(meant=PROFILES["flax"])
    results = evaluate(own)
    problem = own.problem
    b = int(np.flatnonzero(problem.lengths == 0)[0])
    rows = rr.RaggedBatch.from_sequences([problem.padded_input()[b]])
    run = rr.forward(NETWORK.cells[0], own.parameters[0], rows, (problem.state_0[0].h[b : b + 1],))
    np.testing.assert_allclose(results.state_n[0].h[b], run.state_n.h[0], rtol=0, atol=1e-15)
    gradients = rr.backward(run.tape, None, (problem.d_state_n[0].h[b : b + 1],))
    np.testing.assert_allclose(
        results.at_padding.d_input[b], gradients.input.values, rtol=0, atol=1e-14
    )


def test_outputs_in_the_padding():
    own = setting("holes")
    results, problem = evaluate(own), own.problem
    zero = expected_output(results, problem, LAW).array
    assert (zero[~problem.mask] == 0).all()
    repeat = expected_output(results, problem, PROFILES["keras"]).array
    assert (repeat[1, :2] == 0).all()  # before the first valid step
    np.testing.assert_array_equal(repeat[1, 3], zero[1, 2])
    np.testing.assert_array_equal(repeat[1, 6], zero[1, 6])
    whatever = expected_output(results, problem, PROFILES["flax"])
    np.testing.assert_array_equal(whatever.compared[:, :, 0], problem.mask)


class Zeroing(PaddedLSTM):
    """Final states of empty sequences are zero, as in ONNX Runtime."""

    def run(self, problem):
        found = super().run(problem)
        empty = problem.lengths == 0
        for name in ("h_n", "c_n", "d_h_0", "d_c_0"):
            found[name][empty] = 0
        return found


def problems():
    return [standard_problem(n, Zeroing().network) for n in ("unsorted", "length_0_and_1")]


def test_what_the_profile_says_is_on_purpose():
    report = check(Zeroing(), problems(), semantics="onnx")
    assert report.ok, str(report)
    (finding,) = report.deliberate
    assert finding.problems == ("length_0_and_1",)
    assert finding.tensors == ("h_n", "c_n", "d_h_0", "d_c_0")
    assert finding.words == PROFILES["onnx"].differences()[0]
    assert finding.status is Status.ON_PURPOSE


def test_without_the_profile_it_is_a_mistake_with_the_same_words():
    report = check(Zeroing(), problems())
    assert not report.ok
    (finding,) = report.failures
    assert PROFILES["onnx"].differences()[0] in finding.words


def test_a_rule_holds_for_all_arrays_of_a_problem():
    """Zero final states, and gradients as if the initial states had been passed on."""

    class Mixed(PaddedLSTM):
        def run(self, problem):
            found = super().run(problem)
            for name in ("h_n", "c_n"):
                found[name][problem.lengths == 0] = 0
            return found

    report = check(Mixed(), problems(), semantics="onnx")
    assert not report.ok
    assert {f.tensors for f in report.failures} == {("d_h_0", "d_c_0")}
    assert "the final state of a sequence of length 0 is its initial state" in (
        report.failures[0].words
    )


def test_a_profile_forgives_nothing_else():
    report = check(PaddedLSTM("gate order"), problems(), semantics="onnx")
    assert not report.ok
    assert not report.deliberate


def test_a_refusal_on_purpose_is_no_crash():
    class Refusing(PaddedLSTM):
        semantics = Semantics("mine", refuses=("length 0",))

        def run(self, problem):
            if not problem.lengths.all():
                raise RuntimeError("no zeros")
            return super().run(problem)

    report = check(Refusing(), problems())
    assert report.ok
    assert "refuses length 0 (RuntimeError: no zeros)" in report.deliberate[0].words
    # and the rest of the batch is checked all the same
    assert "length_0_and_1 (without empty)" in report.problems
    assert not check(Refusing(), problems(), semantics="refrnn").ok


@pytest.mark.parametrize(
    ("chosen", "error", "words"),
    [
        ("torch", ValueError, "semantics has value 'torch', expected one of refrnn, packed"),
        (3, TypeError, "semantics has type int"),
        (Semantics("x", empty="nothing"), ValueError, "semantics.empty has value 'nothing'"),
        (Semantics("x", refuses=("rain",)), ValueError, "semantics.refuses has value 'rain'"),
    ],
)
def test_unknown_semantics_are_refused(chosen, error, words):
    with pytest.raises(error, match=words):
        semantics(chosen)
