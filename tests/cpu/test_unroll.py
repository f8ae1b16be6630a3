"""The properties of refrnn.testing on CythonUnroll: every cell, dtype and instruction set."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import refrnn_accel
from hypothesis import given
from hypothesis import strategies as st
from refrnn_accel.cpu import CythonUnroll, instruction_sets
from refrnn_accel.cpu import unroll as unroll_module

import refrnn as rr
from refrnn.comparison import Case, run_case
from refrnn.errors import UnsupportedCase
from refrnn.testing.properties import (
    PROPERTIES,
    agrees_with_the_definition,
    neighbours_change_no_bit,
    refuses,
)
from refrnn.testing.refusals import BAD_BACKWARD, BAD_FORWARD
from refrnn.testing.strategies import cases, lengths

from ..kernel_cells import CELLS, DTYPES, examples
from .unrolls_and_cells import INSTRUCTION_SETS, IS_X86, cells, unrolls

OTHERS = [p for p in (*PROPERTIES, neighbours_change_no_bit) if p != agrees_with_the_definition]


@pytest.mark.parametrize("instruction_set", INSTRUCTION_SETS)
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", CELLS)
@examples(50, 2000)
@given(data=st.data())
def test_agrees_with_the_definition(
    name: str, dtype: str, instruction_set: str, data: st.DataObject
) -> None:
    case = data.draw(cases(cell=cells(name), dtype=dtype, batch_lengths=lengths(max_batch=16)))
    agrees_with_the_definition(data.draw(unrolls(instruction_set)), case)


@pytest.mark.parametrize("holds", OTHERS, ids=lambda p: p.__name__)
@pytest.mark.parametrize("name", CELLS)
@examples(15, 500)
@given(data=st.data())
def test_property(
    name: str, holds: Callable[[CythonUnroll, Case], None], data: st.DataObject
) -> None:
    holds(data.draw(unrolls()), data.draw(cases(cell=cells(name))))


# More rows of W_hh than are multiplied at a time, more columns of W_ih than are packed at a time,
# and so large a state that threads share its units.
@pytest.mark.parametrize(("input_size", "hidden_size"), [(1100, 8), (3, 530)])
@pytest.mark.parametrize("name", ["lstm", "gru_reset_after", "gru_reset_before"])
def test_large_sizes_agree_with_the_definition(
    name: str, input_size: int, hidden_size: int
) -> None:
    case = drawn_case(CELLS[name](input_size, hidden_size), "float32", [3, 0, 1, 2])
    agrees_with_the_definition(CythonUnroll(num_threads=3), case)


@pytest.mark.parametrize("name", ["lstm", "gru_reset_before"])
def test_many_rows_agree_with_the_definition(name: str) -> None:
    """Rows of the gradients' sums come in blocks."""
    batch_lengths = [*range(40), 200, 1, 1]
    case = drawn_case(CELLS[name](5, 20), "float64", batch_lengths)
    assert case.batch.total_steps > 3 * 256
    for instruction_set in INSTRUCTION_SETS:
        agrees_with_the_definition(CythonUnroll(instruction_set=instruction_set), case)


@pytest.mark.parametrize("name", CELLS)
def test_tiny_gradients_and_those_on_a_kink_agree_with_the_definition(name: str) -> None:
    """Derivatives from the outputs are 0 where gates are saturated; that of relu at 0 is 0.

    No sequence is empty: cotangents that pass it would hide the tiny ones.
    """
    case = drawn_case(CELLS[name](3, 5), "float64", [4, 2, 3])
    weight, biases = {
        "rnn_tanh": (0.01, [40.0]),
        "rnn_relu": (0.0, [0.0]),
        "lstm": (0.01, [40.0] * 4),
    }.get(name, (0.01, [0.3, 40.0, 0.3]))
    arrays = {key: weight * array for key, array in case.parameters.items()}
    arrays["b_ih"] = np.repeat(np.array(biases), 5)
    arrays["b_hh"] = np.zeros_like(arrays["b_ih"])
    case = case._replace(parameters=rr.CellParameters(arrays))
    for instruction_set in INSTRUCTION_SETS:
        agrees_with_the_definition(CythonUnroll(instruction_set=instruction_set), case)


def drawn_case(cell: rr.unroll.base.AnyCell, dtype: str, batch_lengths: list[int]) -> Case:
    rng = np.random.default_rng(3)

    def drawn(*shape: int) -> np.ndarray:
        return rng.uniform(-1, 1, shape).astype(dtype)

    def state() -> rr.unroll.base.State:
        return cell.state_type(*[drawn(len(batch_lengths), size) for size in cell.state_sizes])

    rows = sum(batch_lengths)
    batch = rr.RaggedBatch(drawn(rows, cell.input_size), np.array(batch_lengths))
    parameters = cell.init_parameters(rng, dtype)
    return Case(cell, parameters, batch, state(), drawn(rows, cell.hidden_size), state())


@pytest.mark.parametrize("what", [*BAD_FORWARD, *BAD_BACKWARD])
def test_bad_arguments_are_refused_in_the_same_words(what: str) -> None:
    refuses(CythonUnroll(), what)


@pytest.mark.parametrize(
    ("cell", "dtype", "reason"),
    [
        (rr.LSTM(2, 3, peepholes=True), "float32", "peepholes"),
        (rr.LSTM(2, 3), "longdouble", "float32 and float64"),
    ],
)
def test_what_there_is_no_kernel_of_is_said(
    cell: rr.unroll.base.AnyCell, dtype: str, reason: str
) -> None:
    assert reason in str(CythonUnroll().supports(cell, np.dtype(dtype)))
    parameters = cell.init_parameters(np.random.default_rng(0), dtype)
    batch = rr.RaggedBatch(np.zeros((3, 2), dtype), np.array([2, 1]))
    with pytest.raises(UnsupportedCase, match=reason):
        rr.forward(cell, parameters, batch, unroll=CythonUnroll())


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"num_threads": 0}, ValueError, "num_threads has value 0"),
        ({"num_threads": 1.0}, TypeError, "num_threads"),
        ({"lanes": 0}, ValueError, "lanes has value 0"),
        ({"instruction_set": "sse9"}, ValueError, "instruction_set has value 'sse9', expected"),
    ],
)
def test_arguments_of_the_unroll_are_checked(
    arguments: dict[str, object], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        CythonUnroll(**arguments)  # type: ignore[arg-type]


def test_the_unroll_is_found_by_its_name_and_says_what_it_chose() -> None:
    case = drawn_case(rr.LSTM(2, 3), "float32", [4, 0, 2, 2])
    run = rr.forward(case.cell, case.parameters, case.batch, unroll="cython")
    assert isinstance(run.tape.unroll, CythonUnroll)
    assert run.plan.unroll == "cython"
    assert run.plan.padded_steps == 0
    assert run.plan.sequential_steps == 4
    assert run.plan.choices["instruction_set"] == INSTRUCTION_SETS[0]
    assert repr(CythonUnroll(num_threads=2, lanes=3)) == "CythonUnroll(num_threads=2, lanes=3)"


# --- instruction sets ---


def test_every_instruction_set_of_this_machine_is_run() -> None:
    """So that no test above runs less than it says."""
    assert INSTRUCTION_SETS[-1] == "baseline"
    # An emulated arm64 has the cpuinfo of its host.
    cpu = Path("/proc/cpuinfo").read_text(encoding="utf-8").split() if IS_X86 else ()
    assert ("avx2" in INSTRUCTION_SETS) == ({"avx2", "fma"} <= set(cpu))
    wide = {"avx2", "fma", "avx512f", "avx512dq", "avx512vl", "avx512bw"}
    assert ("avx512" in INSTRUCTION_SETS) == (wide <= set(cpu))


def test_what_was_not_compiled_or_is_not_there_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    def cannot_import(name: str, package: str) -> None:
        raise ImportError(f"no {name} in {package}")

    instruction_sets.load.cache_clear()
    monkeypatch.setattr(instruction_sets.importlib, "import_module", cannot_import)
    try:
        assert "no ._baseline" in str(CythonUnroll.unavailable())
        assert "not compiled" in str(CythonUnroll().supports(rr.RNN(1, 1), np.dtype("float32")))
    finally:
        instruction_sets.load.cache_clear()


def test_the_kernels_are_those_that_are_meant() -> None:
    """So that a run with checked kernels has them."""
    folder = os.environ.get("REFRNN_CHECKED", str(Path(refrnn_accel.__file__).parents[1]))
    for name in INSTRUCTION_SETS:
        found = instruction_sets.load(name)
        assert isinstance(found, instruction_sets.InstructionSet)
        assert str(found.kernels.__file__).startswith(folder)


@pytest.mark.parametrize(("rows", "threads"), [(10, 1), (1500, 4)])
def test_little_work_has_one_thread(
    rows: int, threads: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(unroll_module, "_cores", lambda: 4)
    case = drawn_case(rr.LSTM(40, 40), "float32", [rows // 5] * 5)
    for unroll, expected in ((CythonUnroll(), threads), (CythonUnroll(num_threads=3), 3)):
        choices = rr.forward(case.cell, case.parameters, case.batch, unroll=unroll).plan.choices
        assert choices["teams"] * choices["members"] == expected


@pytest.mark.parametrize("hidden_size", [5, 20])
@pytest.mark.parametrize("name", [name for name in CELLS if name != "rnn_relu"])
def test_an_infinite_input_only_saturates(name: str, hidden_size: int) -> None:
    """Units that fill the last vector have weights 0, and 0 times infinity must not get about."""
    case = drawn_case(CELLS[name](1, hidden_size), "float64", [4, 2, 3])
    values = case.batch.values.copy()
    values[1] = np.inf
    case = case._replace(batch=case.batch.with_values(values))
    expected = run_case(case, rr.PerSequence())
    for instruction_set in INSTRUCTION_SETS:
        got = run_case(case, CythonUnroll(instruction_set=instruction_set))
        for key, array in expected.items():
            assert np.array_equal(np.isnan(got[key]), np.isnan(array)), key
            there = ~np.isnan(array)
            assert there.any() or key == "d_W_ih"
            np.testing.assert_allclose(got[key][there], array[there], rtol=1e-9, atol=1e-12)
