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

__all__ = ["Conforming", "load_unroll"]

# A short run, the same on every machine: `--hypothesis-profile=refrnn`.
settings.register_profile("refrnn", max_examples=20, derandomize=True, database=None)

#: For each unroll, how many cases ran (under None) and how many it declined, by reason.
_Counts = dict[str, Counter[str | None]]

_COUNTS: pytest.StashKey[_Counts] = pytest.StashKey()
_WORKER_OUTPUT = "refrnn_conformance"


def load_unroll(text: str) -> Unroll:
    """An unroll by its name, or by ``module:attribute``.

    Parameters
    ----------
    text : str
        The attribute is a class or function that makes the unroll when called without arguments,
        or an unroll object.

    Raises
    ------
    ValueError, TypeError, ImportError, AttributeError
        If there is no such unroll.
    """
    module, colon, name = text.partition(":")
    if not colon:
        return resolve(text)
    found = getattr(importlib.import_module(module), name)
    is_object = all(hasattr(found, member) for member in ("forward", "backward", "supports"))
    return resolve(found if is_object and not isinstance(found, type) else found())


class Conforming:
    """An unroll under test, and the count of what it ran.

    Parameters
    ----------
    name : str
        What the command line calls it.
    counts : collections.Counter
        Cases that ran, under None, and that were declined, by reason; added to.

    Attributes
    ----------
    unroll : Unroll
    """

    def __init__(self, name: str, counts: Counter[str | None]) -> None:
        self.unroll = load_unroll(name)
        self._counts = counts

    def offers(self, cell: Any, dtype: Any, reverse: bool) -> bool:
        """Whether the unroll supports a case; either answer is counted."""
        reason = self.unroll.supports(cell, dtype, reverse=reverse)
        self._counts[reason] += 1
        return reason is None


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add ``--unroll``."""
    parser.addoption(
        "--unroll",
        action="append",
        metavar="NAME|MODULE:CLASS",
        help="unroll to hold to refrnn's properties (repeatable; default: those of refrnn)",
    )


def pytest_configure(config: pytest.Config) -> None:
    """Start counting; refuse an unroll that cannot be had before anything is collected."""
    config.stash[_COUNTS] = {}
    for name in config.getoption("--unroll") or ():
        try:
            load_unroll(name)
        except Exception as error:
            reason = f"{type(error).__name__}: {error}"
            raise pytest.UsageError(f"--unroll has value {name!r}, which fails: {reason}") from None


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Run each test that takes ``conforming`` once for each unroll."""
    if "conforming" not in metafunc.fixturenames:
        return
    names = list(dict.fromkeys(metafunc.config.getoption("--unroll") or BUILT_IN))
    counts = metafunc.config.stash[_COUNTS]
    made = [Conforming(name, counts.setdefault(name, Counter())) for name in names]
    metafunc.parametrize("conforming", made, ids=names)


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Fail a session in which an unroll ran nothing; a worker of pytest-xdist reports instead."""
    counts, config = session.config.stash[_COUNTS], session.config
    if hasattr(config, "workeroutput"):
        config.workeroutput[_WORKER_OUTPUT] = [
            (name, reason, times) for name in counts for reason, times in counts[name].items()
        ]
        config.workeroutput[_WORKER_OUTPUT] += [(name, None, 0) for name in counts]
        return
    idle = any(not counted[None] for counted in counts.values())
    if idle and not config.option.collectonly and session.exitstatus == pytest.ExitCode.OK:
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any) -> None:
    """Add what a worker of pytest-xdist counted."""
    counts = node.config.stash[_COUNTS]
    for name, reason, times in node.workeroutput.get(_WORKER_OUTPUT, ()):
        counts.setdefault(name, Counter())[reason] += times


def pytest_terminal_summary(
    terminalreporter: pytest.TerminalReporter, config: pytest.Config
) -> None:
    """Say what ran and what was declined."""
    if not config.stash[_COUNTS]:
        return
    terminalreporter.section("refrnn conformance")
    for name, counted in config.stash[_COUNTS].items():
        ran = counted[None]
        terminalreporter.line(f"{name}: {f'{ran} cases ran' if ran else 'FAILED: no case ran'}")
        for reason, times in counted.items():
            if reason is not None:
                terminalreporter.line(f"  declined {times} times: {reason}")
