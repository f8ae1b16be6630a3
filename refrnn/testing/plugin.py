"""Pytest plugin: ``--unroll`` says whom the conformance suite runs on.

``pytest -p refrnn.testing.plugin --pyargs refrnn.testing --unroll mypackage:MyUnroll``

A case that an unroll says it does not support is counted and shown at the end, never silently
passed; if no case ran for an unroll, the session fails.
"""

from __future__ import annotations

import importlib
from collections import Counter
from typing import Any

import pytest
from hypothesis import settings

from ..unroll import BUILT_IN, Unroll, resolve

__all__ = ["load_unroll"]

# A short run, the same on every machine: `--hypothesis-profile=refrnn`.
settings.register_profile("refrnn", max_examples=20, derandomize=True, database=None)

_RAN: pytest.StashKey[Counter[str]] = pytest.StashKey()
_DECLINED: pytest.StashKey[dict[str, Counter[str]]] = pytest.StashKey()


def load_unroll(text: str) -> Unroll:
    """An unroll by its name, or by ``module:Class``.

    Parameters
    ----------
    text : str

    Raises
    ------
    ValueError, TypeError, ImportError, AttributeError
        If there is no such unroll.
    """
    module, colon, name = text.partition(":")
    if not colon:
        return resolve(text)
    return resolve(getattr(importlib.import_module(module), name)())


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add ``--unroll``."""
    parser.addoption(
        "--unroll",
        action="append",
        metavar="NAME|MODULE:CLASS",
        help="unroll to hold to refrnn's properties (repeatable; default: those of refrnn)",
    )


def pytest_configure(config: pytest.Config) -> None:
    """Start counting."""
    config.stash[_RAN] = Counter()
    config.stash[_DECLINED] = {}


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Run each test that takes ``conforming`` once for each unroll."""
    if "conforming" not in metafunc.fixturenames:
        return
    names = metafunc.config.getoption("--unroll") or list(BUILT_IN)
    config = metafunc.config
    metafunc.parametrize("conforming", [Conforming(n, config) for n in names], ids=names)


class Conforming:
    """An unroll under test, and the count of what it ran."""

    def __init__(self, text: str, config: pytest.Config) -> None:
        self.unroll = load_unroll(text)
        self._name = text
        self._config = config
        config.stash[_RAN][text] += 0

    def offers(self, cell: Any, dtype: Any, reverse: bool) -> bool:
        """Whether the unroll supports a case; either answer is counted."""
        reason = self.unroll.supports(cell, dtype, reverse=reverse)
        if reason is None:
            self._config.stash[_RAN][self._name] += 1
            return True
        self._config.stash[_DECLINED].setdefault(self._name, Counter())[reason] += 1
        return False


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Fail a session in which an unroll ran nothing."""
    idle = [name for name, count in session.config.stash[_RAN].items() if count == 0]
    if idle and not session.config.option.collectonly:
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


def pytest_terminal_summary(
    terminalreporter: pytest.TerminalReporter, config: pytest.Config
) -> None:
    """Say what ran and what was not offered."""
    if not config.stash[_RAN]:
        return
    terminalreporter.section("refrnn conformance")
    for name, count in config.stash[_RAN].items():
        verdict = f"{count} cases ran" if count else "FAILED: no case ran"
        terminalreporter.line(f"{name}: {verdict}")
        for reason, times in config.stash[_DECLINED].get(name, Counter()).items():
            terminalreporter.line(f"  not offered {times} times: {reason}")
