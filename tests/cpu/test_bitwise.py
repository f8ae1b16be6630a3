"""What must be true bit by bit: a sequence's results are its own, however it is run."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from refrnn_accel.cpu import CythonUnroll, instruction_sets

from refrnn.comparison import Case, Results, run_case
from refrnn.testing.holding import hold_bitwise
from refrnn.testing.rearranging import is_parameter, rows_of, scatter, take
from refrnn.testing.strategies import cases, lengths

from .test_unroll import drawn_case
from .unrolls_and_cells import CELLS, DTYPES, INSTRUCTION_SETS, cells, examples, unrolls

#: Those whose multiply-adds are rounded once.
FUSED = [name for name in INSTRUCTION_SETS if name != "baseline"]


def some_case(data: st.DataObject, name: str, dtype: str | None = None) -> Case:
    made: Case = data.draw(
        cases(cell=cells(name), dtype=dtype, batch_lengths=lengths(max_batch=12))
    )
    return made


def of_sequences(case: Case, results: Results) -> Results:
    """Without the gradients of parameters, which are sums over sequences."""
    return {name: array for name, array in results.items() if not is_parameter(case, name)}


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", CELLS)
@pytest.mark.parametrize("instruction_set", INSTRUCTION_SETS)
@examples(20, 500)
@given(data=st.data())
def test_no_bit_depends_on_threads_or_lanes(
    instruction_set: str, name: str, dtype: str, data: st.DataObject
) -> None:
    case = some_case(data, name, dtype)
    plain = CythonUnroll(num_threads=1, lanes=1, instruction_set=instruction_set)
    expected = run_case(case, plain)
    hold_bitwise(run_case(case, data.draw(unrolls(instruction_set))), expected)


@pytest.mark.parametrize("name", CELLS)
@pytest.mark.parametrize("hidden_size", [130, 530])
def test_no_bit_of_large_states_does(name: str, hidden_size: int) -> None:
    """Teams whose members share the units, too."""
    case = drawn_case(CELLS[name](7, hidden_size), "float32", [5, 1, 0, 2, 9, 9, 1, 3])
    for instruction_set in INSTRUCTION_SETS:
        expected = run_case(case, CythonUnroll(num_threads=1, instruction_set=instruction_set))
        for threads in (2, 3, 4):
            for lanes in (1, None, 8):
                unroll = CythonUnroll(
                    num_threads=threads, lanes=lanes, instruction_set=instruction_set
                )
                hold_bitwise(run_case(case, unroll), expected)


@pytest.mark.parametrize("name", CELLS)
@examples(20, 500)
@given(data=st.data())
def test_no_bit_depends_on_the_vectors(name: str, data: st.DataObject) -> None:
    case = some_case(data, name)
    expected = run_case(case, CythonUnroll(instruction_set=FUSED[0]))
    for instruction_set in FUSED[1:]:
        hold_bitwise(run_case(case, CythonUnroll(instruction_set=instruction_set)), expected)


@pytest.mark.parametrize("name", CELLS)
@examples(20, 500)
@given(data=st.data())
def test_no_bit_of_a_sequence_depends_on_order_or_neighbours(
    name: str, data: st.DataObject
) -> None:
    unroll, case = data.draw(unrolls()), some_case(data, name)
    whole = run_case(case, unroll)
    count = case.batch.batch_size
    order = np.array(data.draw(st.permutations(range(count))), np.int64)
    chosen = order[: data.draw(st.integers(0, count))]
    for some in (order, chosen):
        got = {key: array.copy() for key, array in whole.items()}
        scatter(case, some, run_case(take(case, some), unroll), into=got)
        hold_bitwise(of_sequences(case, got), of_sequences(case, whole))


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("name", CELLS)
@examples(10, 100)
@given(data=st.data())
def test_what_is_not_finite_changes_no_bit_of_the_others(
    name: str, bad: float, data: st.DataObject
) -> None:
    unroll, case = data.draw(unrolls()), some_case(data, name)
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


def test_there_are_instruction_sets_to_compare() -> None:
    """So that no test above compares one with itself alone."""
    on_this_machine = set(instruction_sets.available())
    assert len(FUSED) == len(on_this_machine) - 1
