"""The README's example is run as it stands."""

from __future__ import annotations

import doctest
from pathlib import Path

README = Path(__file__).parents[1] / "README.md"


def test_the_example_runs_as_printed() -> None:
    result = doctest.testfile(str(README), module_relative=False)
    assert result.attempted >= 10
    assert result.failed == 0


def test_the_example_is_about_twenty_lines() -> None:
    code = README.read_text(encoding="utf-8").split("```python")[1].split("```")[0]
    assert len(code.strip().splitlines()) <= 22
