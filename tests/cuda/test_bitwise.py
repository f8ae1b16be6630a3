"""What must be true bit by bit: a sequence's results are its own, wherever and however it is run.

Everything here is forced, and equal to the bits of one plain run: of one block where that fits.
"""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from refrnn_accel.cuda import CudaUnroll, unroll

from refrnn.comparison import Case, run_case
from refrnn.ragged import RaggedBatch
from refrnn.testing.holding import hold_bitwise
from refrnn.testing.rearranging import scatter, take
from refrnn.testing.strategies import cases

from ..kernel_cells import CELLS, DTYPES, bad_values_change_no_bit_of_others, examples, of_sequences
from .other_devices import run_module
from .ways import VARIANTS, cells, unrolls_and_cases, ways

# Each of them compiles every kernel anew.
OTHER_CAPABILITIES = (75, 80, 100, 120) if settings().max_examples > 500 else ()
LENGTHS = st.just([2, 0, 5, 1, 5, 3])


def case_of(data: st.DataObject, name: str, dtype: str, *hidden_sizes: int) -> Case:
    """A case with neighbours, of which some have the same length."""
    cell = cells(name, st.sampled_from(hidden_sizes))
    made: Case = data.draw(cases(cell=cell, dtype=dtype, batch_lengths=LENGTHS))
    return made


# A way that is forced is compared with the first that fits, so that all are with all.
@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", CELLS)
@examples(2, 50)
@given(data=st.data())
def test_no_bit_depends_on_variant_team_or_lanes(
    name: str, dtype: str, variant: str, data: st.DataObject
) -> None:
    case = case_of(data, name, dtype, 20, 31, 37, 50)
    expected = run_case(case, CudaUnroll(lanes=1))
    forced = ways(case.cell, dtype, variant)
    assert forced
    for number, way in enumerate(forced):
        lanes = (None, 1, 2, 4)[number % 4]
        hold_bitwise(run_case(case, CudaUnroll(lanes=lanes, **way)), expected)


@pytest.mark.parametrize("hidden_size", [70, 130, 300])
@pytest.mark.parametrize("name", CELLS)
@examples(1, 20)
@given(data=st.data())
def test_no_bit_of_large_states_does(name: str, hidden_size: int, data: st.DataObject) -> None:
    dtype = DTYPES[(hidden_size + len(name)) % 2]
    case = case_of(data, name, dtype, hidden_size)
    first, *others = ways(case.cell, dtype)
    expected = run_case(case, CudaUnroll(lanes=1, **first))
    chosen = data.draw(st.lists(st.sampled_from(others), min_size=1, max_size=2))
    for way in (others[-1], *chosen):
        hold_bitwise(run_case(case, CudaUnroll(**way)), expected)


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("name", CELLS)
@examples(3, 50)
@given(data=st.data())
def test_no_bit_of_a_sequence_depends_on_order_or_neighbours(
    name: str, variant: str, data: st.DataObject
) -> None:
    forced, case = data.draw(unrolls_and_cases(name, variant=variant))
    whole = run_case(case, forced)
    count = case.batch.batch_size
    order = np.array(data.draw(st.permutations(range(count))), np.int64)
    chosen = order[: data.draw(st.integers(0, count))]
    for some in (order, chosen):
        got = {key: array.copy() for key, array in whole.items()}
        scatter(case, some, run_case(take(case, some), forced), into=got)
        hold_bitwise(of_sequences(case, got), of_sequences(case, whole))


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@examples(4, 50)
@given(data=st.data())
def test_what_is_not_finite_changes_no_bit_of_the_others(
    variant: str, bad: float, data: st.DataObject
) -> None:
    name = data.draw(st.sampled_from([key for key in CELLS if key != "rnn_relu"]))
    forced, case = data.draw(unrolls_and_cases(name, variant=variant))
    bad_values_change_no_bit_of_others(forced, case, bad)


@pytest.mark.parametrize("variant", VARIANTS)
@examples(10, 100)
@given(data=st.data())
def test_two_runs_are_equal(variant: str, data: st.DataObject) -> None:
    """Whatever the memory held before, which goes from launch to launch."""
    name = data.draw(st.sampled_from(list(CELLS)))
    forced, case = data.draw(unrolls_and_cases(name, variant=variant))
    expected = run_case(case, forced)
    other_forced, other = data.draw(unrolls_and_cases(name, variant=variant))
    run_case(other, other_forced)
    hold_bitwise(run_case(case, forced), expected)


# --- gradients of parameters ---


@pytest.mark.parametrize(("name", "dtype"), [("lstm", "float32"), ("gru_reset_before", "float64")])
def test_no_bit_of_a_gradient_depends_on_lanes_or_scratch(
    name: str, dtype: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """More rows than a chunk of the sums has."""
    case = long_case(name, dtype)
    expected = run_case(case, CudaUnroll())
    for variant in VARIANTS:
        way = ways(case.cell, dtype, variant)[0]
        hold_bitwise(run_case(case, CudaUnroll(lanes=7, **way)), expected)
    monkeypatch.setattr(unroll, "_MOST_SCRATCH", 0)
    hold_bitwise(run_case(case, CudaUnroll()), expected)


def long_case(name: str, dtype: str) -> Case:
    rng = np.random.default_rng(5)
    cell = CELLS[name](3, 20)
    lengths = rng.permutation([*rng.integers(0, 30, 80), 200])
    rows = int(lengths.sum())
    assert rows > 1024

    def drawn(*shape: int) -> np.ndarray:
        return rng.uniform(-1, 1, shape).astype(dtype)

    def state() -> Any:
        return cell.state_type(*[drawn(len(lengths), size) for size in cell.state_sizes])

    batch = RaggedBatch(drawn(rows, 3), lengths)
    parameters = cell.init_parameters(rng, dtype)
    return Case(cell, parameters, batch, state(), drawn(rows, 20), state())


# --- other devices ---


@pytest.fixture(scope="module")
def digests() -> dict[str, Any]:
    return run_digests(multiprocessors=128, compute_capability=86)


def run_digests(**device: object) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(run_module("tests.cuda.unroll_program", **device))
    assert len(found) == len(CELLS) * len(DTYPES)
    return found


@pytest.mark.parametrize(
    "device",
    [
        {"multiprocessors": 3},
        {"multiprocessors": 17},
        {"compute_capability": 90},
        *({"compute_capability": number} for number in OTHER_CAPABILITIES),
        {"streams": "lazy"},
        {"threads": 2},
    ],
    ids=str,
)
def test_no_bit_depends_on_the_device(digests: dict[str, Any], device: dict[str, Any]) -> None:
    assert run_digests(**device) == digests
