"""Nothing spills, nothing is in local memory, and the table in the documentation is true."""

from __future__ import annotations

import os

from refrnn_accel.cuda.planner import _MOST_REGISTERS, _REGISTERS

from .registers import ARCHITECTURES, SHAPES, committed, measured

#: Every seventh cut for the oldest architecture and the one that takes most registers.
IN_CI = ((75, 90), 7)


def test_ptxas_says_what_the_table_says() -> None:
    is_nightly = os.environ.get("HYPOTHESIS_PROFILE") == "nightly"
    found = measured(*((ARCHITECTURES, 1) if is_nightly else IN_CI))
    assert len(found) > 10
    assert set(found) <= set(committed())


def test_nothing_spills() -> None:
    rows = committed()
    assert [row for row in rows if row.spilled] == []
    assert {row.architecture for row in rows} == set(ARCHITECTURES)
    assert {(row.variant, row.H, row.blocks) for row in rows} == set(SHAPES)


def test_a_block_fits_a_multiprocessor() -> None:
    for row in committed():
        registers = max(row.registers_forward, row.registers_backward)
        assert registers <= _MOST_REGISTERS
        assert row.threads * registers <= _REGISTERS
