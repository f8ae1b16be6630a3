"""``mlx.nn`` with converted weights: results and ``mx.grad`` against the reference, in float32."""

from __future__ import annotations

from typing import Any

import mlx.core as mx
import numpy as np
import pytest
from mlx import nn

import refrnn as rr
from refrnn.comparison import Case
from refrnn.oracle.weights import LAYOUTS

from ...oracle.agreement import Foreign, check, full_case, padded

CELLS = [
    ("RNN", rr.RNN(3, 4, biases=1)),
    ("RNN", rr.RNN(3, 4, biases=0)),
    ("LSTM", rr.LSTM(3, 4, biases=1)),
    ("LSTM", rr.LSTM(3, 4, biases=0)),
    ("GRU", rr.GRU(3, 4)),
    ("GRU", rr.GRU(3, 4, biases=0)),
]


def run(name: str, case: Case) -> Foreign:
    cell = case.cell
    module = getattr(nn, name)(cell.input_size, cell.hidden_size, bias=cell.biases > 0)
    weights = LAYOUTS[f"mlx.{name}"].to_foreign(cell, case.parameters)
    x, d_output = (mx.array(array.swapaxes(0, 1)) for array in padded(case))  # (B, T, size)
    state_0 = [mx.array(array) for array in case.state_0]
    d_state_n = [mx.array(array) for array in case.d_state_n]

    def loss(given: dict[str, Any]) -> Any:
        module.update(given)
        result = module(x, *state_0)
        every_state = result if isinstance(result, tuple) else (result,)
        total = (every_state[0] * d_output).sum()
        for states, cotangent in zip(every_state, d_state_n, strict=True):
            total = total + (states[:, -1] * cotangent).sum()
        return total, *every_state

    given = {n: mx.array(array) for n, array in weights.items()}
    (_, *every_state), gradients = mx.value_and_grad(loss)(given)
    every = [np.array(states) for states in every_state]
    return Foreign(
        every[0].swapaxes(0, 1),
        [states[:, -1] for states in every],
        {n: np.array(array) for n, array in gradients.items()},
    )


@pytest.mark.parametrize(("name", "cell"), CELLS, ids=str)
def test_mlx_computes_what_refrnn_does(name: str, cell: Any) -> None:
    case = full_case(cell, "float32")
    check(LAYOUTS[f"mlx.{name}"], case, run(name, case))


@pytest.mark.parametrize(("name", "cell"), CELLS, ids=str)
def test_mlx_has_arrays_of_these_names_and_shapes(name: str, cell: Any) -> None:
    module = getattr(nn, name)(3, 4, bias=cell.biases > 0)
    shapes = {
        n: tuple(array.shape) for n, array in module.parameters().items() if array is not None
    }
    assert shapes == LAYOUTS[f"mlx.{name}"].shapes(cell)
