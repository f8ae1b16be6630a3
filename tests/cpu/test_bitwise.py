"""What must be true bit by bit: a sequence's results are its own, however it is run.

That neighbours change no bit is a property of refrnn.testing, which test_unroll.py holds.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from refrnn_accel.cpu import CythonUnroll

from refrnn.comparison import Case, run_case
from refrnn.testing.holding import hold_bitwise
from refrnn.testing.strategies import cases, lengths

from ..kernel_cells import CELLS, DTYPES, bad_values_change_no_bit_of_others, examples
from .test_unroll import drawn_case
from .unrolls_and_cells import INSTRUCTION_SETS, IS_X86, Poisoned, cells, unrolls

#: Those whose multiply-adds are rounded once.
FUSED = [name for name in INSTRUCTION_SETS if name != "baseline" or not IS_X86]


def some_case(data: st.DataObject, name: str, dtype: str | None = None) -> Case:
    made: Case = data.draw(
        cases(cell=cells(name), dtype=dtype, batch_lengths=lengths(max_batch=12))
    )
    return made


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
@examples(20, 500)
@given(data=st.data())
def test_no_bit_depends_on_what_memory_held(name: str, data: st.DataObject) -> None:
    case = some_case(data, name)
    unroll = data.draw(unrolls())
    expected = run_case(case, unroll)
    unroll.workspace = Poisoned()
    hold_bitwise(run_case(case, unroll), expected)


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


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("name", CELLS)
@examples(10, 100)
@given(data=st.data())
def test_what_is_not_finite_changes_no_bit_of_the_others(
    name: str, bad: float, data: st.DataObject
) -> None:
    bad_values_change_no_bit_of_others(data.draw(unrolls()), some_case(data, name), bad)


def test_there_are_instruction_sets_to_compare() -> None:
    """So that no test above compares one with itself alone, but where there is only one."""
    cpu = Path("/proc/cpuinfo").read_text(encoding="utf-8").split() if IS_X86 else ()
    if "avx512bw" in cpu:
        assert FUSED == ["avx512", "avx2"]
    else:
        assert len(FUSED) == 1
