"""The properties of refrnn.testing on CudaUnroll: every cell, dtype, variant and size of a team.

Clusters are there on a device of compute capability 9.0 only: the last test runs what is
parametrised by them there.
"""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st
from refrnn_accel.cuda import CudaUnroll

from refrnn.comparison import Case
from refrnn.testing.properties import (
    PROPERTIES,
    agrees_with_the_definition,
    neighbours_change_no_bit,
    refuses,
)
from refrnn.testing.refusals import BAD_BACKWARD, BAD_FORWARD
from refrnn.testing.strategies import cases

from ..kernel_cells import CELLS, DTYPES, examples
from .other_devices import run_tests
from .ways import HIDDEN_SIZES, VARIANTS, cells, unrolls_and_cases, ways

OTHERS = [p for p in (*PROPERTIES, neighbours_change_no_bit) if p != agrees_with_the_definition]


# Of a cell and dtype together 100 in CI, 2,000 at night.
@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", CELLS)
@examples(-(-100 // len(VARIANTS)), -(-2000 // len(VARIANTS)))
@given(data=st.data())
def test_agrees_with_the_definition(
    name: str, dtype: str, variant: str, data: st.DataObject
) -> None:
    agrees_with_the_definition(*data.draw(unrolls_and_cases(name, dtype, variant)))


@pytest.mark.parametrize("holds", OTHERS, ids=lambda p: p.__name__)
@pytest.mark.parametrize("name", CELLS)
@examples(5, 100)
@given(data=st.data())
def test_property(
    name: str, holds: Callable[[CudaUnroll, Case], None], data: st.DataObject
) -> None:
    holds(*data.draw(unrolls_and_cases(name)))


# 70 columns are filled up to 96, which is no power of two; of more than 256 there are more chains.
@pytest.mark.parametrize("hidden_size", [70, 130, 300])
@pytest.mark.parametrize("name", CELLS)
@examples(2, 40)
@given(data=st.data())
def test_large_states_agree_with_the_definition(
    name: str, hidden_size: int, data: st.DataObject
) -> None:
    cell = cells(name, st.just(hidden_size))
    made = data.draw(cases(cell=cell, batch_lengths=st.just([3, 0, 1])))
    way = data.draw(st.sampled_from(ways(made.cell, made.dtype)))
    agrees_with_the_definition(CudaUnroll(**way), made)


@pytest.mark.parametrize("what", [*BAD_FORWARD, *BAD_BACKWARD])
def test_bad_arguments_are_refused_in_the_same_words(what: str) -> None:
    refuses(CudaUnroll(), what)


def test_every_variant_is_reached_and_teams_of_many_sizes() -> None:
    """So that no test above runs less than it says."""
    for name, make in CELLS.items():
        for dtype in DTYPES:
            sizes = set()
            for hidden_size in HIDDEN_SIZES:
                cell = make(2, hidden_size)
                assert all(ways(cell, dtype, variant) for variant in VARIANTS), (name, dtype)
                sizes |= {way["team"] for way in ways(cell, dtype, "team") if "team" in way}
            assert sizes >= {2, 3, 4, 5}, (name, dtype)


def test_the_strategy_draws_what_the_kernels_have() -> None:
    ran = set()

    @examples(60, 60)
    @given(st.sampled_from(list(CELLS)).flatmap(unrolls_and_cases))
    def check(drawn: tuple[CudaUnroll, Case]) -> None:
        unroll, case = drawn
        assert unroll.supports(case.cell, case.dtype, reverse=case.reverse) is None
        B = case.batch.batch_size
        ran.update({
            unroll.variant, case.reverse, f"gain {case.name}",
            "no sequence" * (B == 0), "one sequence" * (B == 1),
            "more sequences than lanes" * ((unroll.lanes or B) < B),
            "length 0" * bool((case.batch.lengths == 0).any()),
            "length 1" * bool((case.batch.lengths == 1).any()),
            "warps" * (case.cell.hidden_size > 32),
        })  # fmt: skip

    check()
    assert ran >= {*VARIANTS, True, False, "no sequence", "one sequence", "length 0", "length 1",
                   "more sequences than lanes", "warps"}  # fmt: skip


if "cluster" in VARIANTS:

    @pytest.mark.parametrize("holds", OTHERS, ids=lambda p: p.__name__)
    @examples(5, 100)
    @given(data=st.data())
    def test_property_of_a_cluster(
        holds: Callable[[CudaUnroll, Case], None], data: st.DataObject
    ) -> None:
        name = data.draw(st.sampled_from(list(CELLS)))
        holds(*data.draw(unrolls_and_cases(name, variant="cluster")))

else:

    def test_all_of_it_on_a_device_that_has_clusters() -> None:
        run_tests("test_unroll.py", "test_bitwise.py", which="cluster")
