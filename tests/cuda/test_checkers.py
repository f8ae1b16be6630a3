"""Nothing is reported of the recurrence, and its bits stay as they are, under every schedule."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import settings

from ..kernel_cells import CELLS, DTYPES
from .other_devices import run_module

SEEDS = range(200 if settings().max_examples > 500 else 2)
SCHEDULES: list[dict[str, Any]] = [
    {"schedule": "post-dominator"},
    {"schedule": "lowest-pc"},
    *({"schedule": "adversarial", "seed": seed} for seed in SEEDS),
]


def run_checked(**settings: Any) -> dict[str, str]:
    """Digests of the results, of a run of which nothing was reported."""
    found: dict[str, str] = json.loads(run_module("tests.cuda.unroll_program", **settings))
    assert len(found) == len(CELLS) * len(DTYPES)
    return found


@pytest.fixture(scope="module")
def digests() -> dict[int, dict[str, str]]:
    """Without a check, by compute capability."""
    return {}


@pytest.mark.parametrize("capability", [86, 90])
@pytest.mark.parametrize("schedule", SCHEDULES, ids=lambda s: " ".join(map(str, s.values())))
def test_nothing_is_reported_and_no_bit_changes(
    schedule: dict[str, Any], capability: int, digests: dict[int, dict[str, str]]
) -> None:
    device = {"multiprocessors": 16, "compute_capability": capability}
    if capability not in digests:
        digests[capability] = run_checked(**device)
    assert run_checked(check="all", **schedule, **device) == digests[capability]
