"""Hypothesis profiles, and which refrnn is under test."""

import os
from pathlib import Path

import pytest
from hypothesis import settings

import refrnn

settings.register_profile("dev", max_examples=50, deadline=None)
settings.register_profile(
    "ci", max_examples=50, derandomize=True, deadline=None, database=None, print_blob=True
)
settings.register_profile("nightly", max_examples=2000, deadline=None, print_blob=True)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "ci" if "CI" in os.environ else "dev"))

PACKAGE = Path(refrnn.__file__).parent


def pytest_configure(config: pytest.Config) -> None:
    """Refuse to test the checkout where the installed wheel was asked for."""
    wanted = "REFRNN_TEST_INSTALLED" in os.environ
    if wanted and config.rootpath / "refrnn" == PACKAGE:
        raise pytest.UsageError(f"refrnn has location {PACKAGE}, expected the installed wheel")


def pytest_report_header() -> str:
    """Say which refrnn is under test."""
    return f"refrnn {refrnn.__version__} from {PACKAGE}"
