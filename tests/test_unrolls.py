"""The public suite on the built-in unrolls, with every argument that their constructors take."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import refrnn as rr
from refrnn.comparison import Case
from refrnn.testing.properties import PROPERTIES, neighbours_change_no_bit, refuses
from refrnn.testing.refusals import BAD_BACKWARD, BAD_FORWARD
from refrnn.testing.strategies import cases, unrolls
from refrnn.unroll import BUILT_IN, Unroll

# Half of the profile's examples for each property: there are many properties.
few = settings(max_examples=max(1, settings().max_examples // 2))


@pytest.mark.parametrize("holds", PROPERTIES, ids=lambda p: p.__name__)
@few
@given(unroll=unrolls(), case=cases())
def test_property(holds: Callable[[Unroll, Case], None], unroll: Unroll, case: Case) -> None:
    holds(unroll, case)


@few
@given(case=cases())
def test_per_sequence_promises_the_bits_of_a_sequence(case: Case) -> None:
    neighbours_change_no_bit(rr.PerSequence(), case)


@pytest.mark.parametrize("what", [*BAD_FORWARD, *BAD_BACKWARD])
@pytest.mark.parametrize("name", BUILT_IN)
def test_bad_arguments_are_refused_in_the_same_words(name: str, what: str) -> None:
    refuses(BUILT_IN[name](), what)


@few
@given(unroll=unrolls(), case=cases())
def test_every_case_is_supported(unroll: Unroll, case: Case) -> None:
    assert unroll.supports(case.cell, case.dtype, reverse=case.reverse) is None


@few
@given(case=cases(batch_lengths=st.just([20, 1, 0, 2, 1, 1, 3]), dtype="float64"))
def test_no_padded_step_is_computed_but_by_masked_and_bucketed(case: Case) -> None:
    padded = {}
    for name in BUILT_IN:
        run = rr.forward(case.cell, case.parameters, case.batch, case.state_0, unroll=name)
        padded[name] = run.plan.padded_steps
    assert padded["per_sequence"] == padded["packed"] == padded["lanes"] == 0
    assert padded["masked"] == 7 * 20 - 28
    assert 0 < padded["bucketed"] < padded["masked"]
