"""Every mutant is killed, and what is right by nothing."""

from __future__ import annotations

from collections import Counter

import numpy as np

from refrnn.vectors import (
    MUTANTS,
    VectorCase,
    draw,
    kills,
)
from refrnn.vectors.mutants import cover, worst

from .chosen import FEW, SPECS


def test_every_mutant_is_killed_and_the_right_implementation_is_not():
    cases = [draw(SPECS[name]) for name in FEW]
    for case in cases:
        for unroll in ("per_sequence", "packed"):
            assert all(d.in_tolerances < 0.1 for d in case.compare(case.run(unroll)))
    found = kills(cases)
    assert [m["name"] for m in found] == [m.name for m in MUTANTS]
    assert [m["name"] for m in found if not m["killed_by"]] == []
    assert all(len(m["killed_by"]) <= m["applies_to"] <= len(FEW) for m in found)
    assert set(cover(found)) == set(FEW)


def test_mutants_are_many_and_named_once():
    assert len({m.name for m in MUTANTS}) == len(MUTANTS)
    groups = Counter(m.group for m in MUTANTS)
    assert set(groups) == {"parameters", "equations", "ragged", "gradients", "stacks"}
    assert sum(m.name.startswith("LSTM gates in the order") for m in MUTANTS) == 23
    assert sum(m.name.startswith("GRU gates in the order") for m in MUTANTS) == 5


def test_gradient_mutants_are_right_forward():
    """Else they would be found without a gradient, and say nothing about gradients."""
    cases = [draw(SPECS[name]) for name in FEW]
    for mutant in MUTANTS:
        for case in cases if mutant.group == "gradients" else ():
            inner = case.case()
            if mutant.applies(inner):
                results = mutant.run(inner)
                forward = {n: a for n, a in results.items() if not n.startswith("d_")}
                assert all(d.ok for d in case.compare(forward)), (mutant.name, case.name)


def test_a_gate_order_reads_the_blocks_it_says():
    """LSTM gates in the order f i g o: the block of f is taken for i, that of i for f."""
    case = draw(SPECS["lstm/single_row"])
    mutant = next(m for m in MUTANTS if m.name == "LSTM gates in the order f i g o")
    assert worst(mutant, case) > 1.0
    inner, H = case.case(), 5
    swap = np.r_[H : 2 * H, 0:H, 2 * H : 4 * H]
    swapped = {n: a[swap] for n, a in inner.parameters.items()}
    right = VectorCase(case.entry, {**case.arrays, **swapped}).run()
    assert np.allclose(mutant.run(inner)["output"], right["output"], rtol=1e-12)
    assert np.allclose(mutant.run(inner)["d_W_ih"], right["d_W_ih"][swap], rtol=1e-12)


def test_cover_takes_the_case_that_kills_most():
    found = [
        {"name": "1", "killed_by": ["b", "a"]},
        {"name": "2", "killed_by": ["b"]},
        {"name": "3", "killed_by": ["c", "d"]},
        {"name": "4", "killed_by": []},
    ]
    assert cover(found) == ["b", "c"]
