"""What the kernels of all accelerators are tested with: their cells, and numbers of examples."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from hypothesis import settings

import refrnn as rr
from refrnn.activations import activation
from refrnn.comparison import Case, Results, run_case
from refrnn.testing.holding import hold_bitwise
from refrnn.testing.rearranging import is_parameter, rows_of
from refrnn.unroll.base import AnyCell, Unroll

CELLS: dict[str, Callable[..., AnyCell]] = {
    "rnn_tanh": rr.RNN,
    "rnn_relu": lambda *sizes, **more: rr.RNN(*sizes, activation=activation("relu"), **more),
    "lstm": rr.LSTM,
    "gru_reset_after": rr.GRU,
    "gru_reset_before": lambda *sizes, **more: rr.GRU(*sizes, reset_after=False, **more),
}
DTYPES = ("float32", "float64")


def examples(in_ci: int, in_nightly: int) -> settings:
    """So many examples: between the profiles for every change, and for every night."""
    is_nightly = settings().max_examples > 500
    return settings(max_examples=in_nightly if is_nightly else in_ci, deadline=None)


def of_sequences(case: Case, results: Results) -> Results:
    """Without the gradients of parameters, which are sums over sequences."""
    return {name: array for name, array in results.items() if not is_parameter(case, name)}


def bad_values_change_no_bit_of_others(unroll: Unroll, case: Case, bad: float) -> None:
    """What is not finite, as input and initial state of each sequence in turn, stays in it."""
    expected = run_case(case, unroll)
    for victim in range(case.batch.batch_size):
        states = [array.copy() for array in case.state_0]
        for array in states:
            array[victim] = bad
        values = case.batch.values.copy()
        values[rows_of(case, "output", np.array([victim]))] = bad
        broken = case._replace(
            batch=case.batch.with_values(values), state_0=case.state_0._make(states)
        )
        got = run_case(broken, unroll)
        others = np.delete(np.arange(case.batch.batch_size), victim)
        for key, array in of_sequences(case, expected).items():
            rows = rows_of(case, key, others)
            hold_bitwise({key: got[key][rows]}, {key: array[rows]})
