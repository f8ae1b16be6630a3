"""Network: the function that a module is compared with."""

import itertools

import numpy as np
import pytest

import refrnn as rr
from refrnn.layers import Recurrent
from refrnn.oracle import Network, standard_problem
from refrnn.oracle.evaluation import Setting, evaluate

CELLS = (rr.LSTM(3, 4), rr.GRU(3, 4), rr.RNN(3, 4, biases=0), rr.LSTM(3, 4, proj_size=2))


def drawn(network, seed=0):
    rng = np.random.default_rng(seed)
    cells = [network.cell(run) for run in range(network.num_runs)]
    return tuple(cell.init_parameters(rng, scale=1.0) for cell in cells)


@pytest.mark.parametrize("cell", CELLS, ids=repr)
@pytest.mark.parametrize("both", [False, True])
def test_a_stack_is_the_layer_recurrent(cell, both):
    layer = Recurrent(cell, 2, bidirectional=both)
    network = Network(layer.cells, (False, True) if both else (False,))
    parameters = drawn(network)
    problem = standard_problem("unsorted", network)
    results = evaluate(Setting(network, parameters, problem))

    names = [f"_l{i}{d}" for i in range(2) for d in ("", "_reverse")[: 1 + both]]
    stacked = {
        name + suffix: array
        for suffix, own in zip(names, parameters, strict=True)
        for name, array in own.items()
    }
    state_0, d_state_n = (
        tuple(np.stack(arrays) for arrays in zip(*states, strict=True))
        for states in (problem.state_0, problem.d_state_n)
    )
    run = layer.forward(stacked, problem.batch, state_0, unroll="per_sequence")
    gradients = layer.backward(run.tape, problem.d_output, d_state_n)
    np.testing.assert_array_equal(results.output, run.output.values)
    np.testing.assert_array_equal(results.d_input, gradients.input.values)
    np.testing.assert_array_equal(np.stack([s.h for s in results.state_n]), run.state_n.h)
    np.testing.assert_array_equal(np.stack([s.h for s in results.d_state_0]), gradients.state_0.h)
    for suffix, own in zip(names, results.d_parameters, strict=True):
        for name, array in own.items():
            np.testing.assert_array_equal(array, gradients.parameters[name + suffix])


@pytest.mark.parametrize("merge", ["sum", "mul", "ave", "concat"])
def test_merged_directions_differentiate(merge):
    network = Network([rr.GRU(2, 3)], (False, True), merge)
    assert network.output_size == (6 if merge == "concat" else 3)
    parameters = drawn(network)
    problem = standard_problem("length_0_and_1", network)
    results = evaluate(Setting(network, parameters, problem))
    rng = np.random.default_rng(1)
    direction = rng.normal(size=problem.batch.values.shape)

    def loss(step):
        batch = problem.batch.with_values(problem.batch.values + step * direction)
        run = network.forward(parameters, batch, problem.state_0)
        total = (run.output.values * problem.d_output).sum()
        return total + sum(
            (a * d).sum()
            for s, d_s in zip(run.state_n, problem.d_state_n, strict=True)
            for a, d in zip(s, d_s, strict=True)
        )

    moved = (loss(1e-5) - loss(-1e-5)) / 2e-5
    assert abs(moved - (results.d_input * direction).sum()) < 1e-8


@pytest.mark.parametrize(
    ("arguments", "error", "words"),
    [
        (([],), ValueError, "cells has no cell"),
        (([rr.LSTM(3, 4), "x"],), TypeError, r"cells\[1\] has type str"),
        (([rr.LSTM(3, 4), rr.LSTM(5, 4)],), ValueError, r"puts out = 4"),
        (([rr.LSTM(3, 4)], (True, False)), ValueError, "reverse has value"),
        (([rr.LSTM(3, 4)], (False, True), "max"), ValueError, "merge has value 'max'"),
        (([rr.LSTM(3, 4)], (False,), "sum"), ValueError, "concat for one direction"),
    ],
)
def test_what_is_no_network_is_refused(arguments, error, words):
    with pytest.raises(error, match=words):
        Network(*arguments)


def test_it_says_what_it_is():
    for merge, reverse in itertools.product(["concat", "sum"], [(False, True)]):
        shown = repr(Network([rr.GRU(2, 3)], reverse, merge))
        assert "GRU(2, 3)" in shown
        assert ("merge='sum'" in shown) == (merge == "sum")


def test_silent_rows_are_zeros_to_the_layer_above_and_pass_nothing_down():
    network = Network([rr.RNN(3, 4), rr.RNN(4, 4)])
    rng = np.random.default_rng(0)
    parameters = [cell.init_parameters(rng) for cell in network.cells]
    batch = rr.RaggedBatch.from_sequences([rng.normal(size=(n, 3)) for n in (3, 2)])
    states = [c.state_type(rng.normal(size=(2, 4))) for c in network.cells]
    silent = np.array([False, False, False, True, True])
    run = network.forward(parameters, batch, states, silent=silent)
    one = {"unroll": "per_sequence"}
    lower = rr.forward(network.cells[0], parameters[0], batch, states[0], **one)
    zeroed = np.where(silent[:, None], 0, lower.output.values)
    above = batch.with_values(zeroed)
    upper = rr.forward(network.cells[1], parameters[1], above, states[1], **one)
    assert np.array_equal(run.state_n[1].h, upper.state_n.h)
    assert not run.output.values[silent].any()
    d_output, d_state_n = rng.normal(size=(5, 4)), [type(s)(np.ones((2, 4))) for s in states]
    d_state_n[0] = type(states[0])(np.zeros((2, 4)))
    results = network.backward(run, d_output, d_state_n, silent=silent)
    assert not results.d_input[silent].any()
    assert results.d_input[~silent].all()
    kept = np.where(silent[:, None], 0, d_output)
    expected = rr.backward(upper.tape, kept, d_state_n[1])
    assert np.array_equal(results.d_parameters[1].W_hh, expected.parameters.W_hh)
