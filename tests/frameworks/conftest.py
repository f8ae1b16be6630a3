"""Tests that need a framework are run by name: ``tox -m frameworks``, or with their path.

They are no part of what ``pytest`` collects by itself, and where they are asked for nothing is
skipped: a framework that is missing is a failure.
"""

from pathlib import Path

import pytest

HERE = Path(__file__).parent


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """Leave this folder out unless a path in it was given."""
    given = [Path(config.invocation_params.dir, arg.partition("::")[0]) for arg in config.args]
    asked = any(path.resolve().is_relative_to(HERE) for path in given)
    return None if asked else True
