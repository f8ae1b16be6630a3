"""Inputs, states and cotangents that lie on the device, and results that stay there."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from refrnn_accel.cuda import CudaUnroll
from refrnn_accel.cuda.arrays import DeviceArray
from refrnn_accel.cuda.context import use_context
from refrnn_accel.cuda.recurrence import upload

import refrnn as rr
from refrnn.unroll.base import Gradients, Run

RNG = np.random.default_rng(0)
BATCH = rr.RaggedBatch.from_sequences([RNG.normal(size=(n, 3)) for n in (3, 0, 5, 1)])
CELL = rr.LSTM(3, 7)
PARAMETERS = CELL.init_parameters(RNG)
STATE = tuple(RNG.uniform(-1, 1, (4, 7)) for _ in range(2))
D_STATE = tuple(RNG.uniform(-1, 1, (4, 7)) for _ in range(2))
D_OUTPUT = RNG.uniform(-1, 1, (9, 7))


def there(array: Any) -> DeviceArray:
    with use_context() as context:
        return upload(context, array, None)


def here(array: Any) -> Any:
    with use_context():
        return array.get()


def both(
    unroll: CudaUnroll, batch: rr.RaggedBatch, state: Any, d_output: Any, d_state: Any
) -> tuple[Run, Gradients]:
    run = rr.forward(CELL, PARAMETERS, batch, state, unroll=unroll)
    return run, rr.backward(run.tape, d_output, d_state)


def test_the_device_gives_what_the_host_is_given() -> None:
    run, gradients = both(CudaUnroll(), BATCH, STATE, D_OUTPUT, D_STATE)
    batch = rr.RaggedBatch(there(BATCH.values), BATCH.lengths)
    states = [tuple(there(array) for array in state) for state in (STATE, D_STATE)]
    run_2, gradients_2 = both(
        CudaUnroll(result="device"), batch, states[0], there(D_OUTPUT), states[1]
    )
    assert np.array_equal(here(run_2.output.values), run.output.values)
    assert np.array_equal(here(gradients_2.input.values), gradients.input.values)
    pairs = [*zip(run_2.state_n, run.state_n, strict=True)]
    pairs += [*zip(gradients_2.state_0, gradients.state_0, strict=True)]
    for on_device, on_host in pairs:
        assert np.array_equal(here(on_device), on_host)
    for name, array in gradients.parameters.items():
        assert np.array_equal(gradients_2.parameters[name], array)


def test_results_on_the_device_are_arguments_again() -> None:
    unroll = CudaUnroll(result="device")
    first = rr.forward(CELL, PARAMETERS, BATCH, unroll=unroll)
    again = rr.forward(CELL, PARAMETERS, BATCH, first.state_n, unroll=unroll)
    gradients = rr.backward(again.tape, again.output, again.state_n)
    expected = rr.forward(CELL, PARAMETERS, BATCH, unroll="cuda")
    expected = rr.forward(CELL, PARAMETERS, BATCH, expected.state_n, unroll="cuda")
    wanted = rr.backward(expected.tape, expected.output, expected.state_n)
    assert np.array_equal(here(gradients.input.values), wanted.input.values)


@pytest.mark.parametrize(
    ("array", "error", "words"),
    [
        (np.zeros((8, 7)), ValueError, r"d_output has shape \(8, 7\), expected \(N, R\)"),
        (np.zeros((9, 7), np.float32), TypeError, "d_output has dtype float32, expected float64"),
    ],
)
def test_a_cotangent_that_does_not_fit_is_refused(
    array: Any, error: type[Exception], words: str
) -> None:
    run = rr.forward(CELL, PARAMETERS, BATCH, unroll="cuda")
    with pytest.raises(error, match=words):
        rr.backward(run.tape, there(array))
