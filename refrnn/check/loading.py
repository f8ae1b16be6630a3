"""From what the user asked for to unroll objects, or to the reason why there is none."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from ..unroll import BUILT_IN, Unroll, installed_unrolls, resolve

__all__ = ["Candidate", "LoadError", "find_candidates"]


class LoadError(ValueError):
    """There is nothing of that name: the user's mistake, unlike an unroll that fails to load."""


class Candidate(NamedTuple):
    """An unroll to check.

    Attributes
    ----------
    name : str
        What to call it in the report.
    spec : str
        What to ask for to get it: the name of an installed one, or ``module:Class``.
    unroll : Unroll or None
    reason : str
        Why there is no unroll; empty where there is one.
    asked : bool
        Whether it was asked for by name: only then is a missing one a failure.
    """

    name: str
    spec: str
    unroll: Unroll | None
    reason: str
    asked: bool


def find_candidates(asked: Sequence[str]) -> list[Candidate]:
    """The unrolls of these names, or every installed one.

    Parameters
    ----------
    asked : sequence of str
        Names of installed unrolls, or ``module:Class``; the module is looked for in the working
        directory too. Empty means every installed one.

    Raises
    ------
    LoadError
        If a name, module or class does not exist.
    """
    if not asked:
        return [_installed(name, found, False) for name, found in installed_unrolls().items()]
    candidates: list[Candidate] = []
    for spec in dict.fromkeys(asked):
        candidate = _imported(spec) if ":" in spec else _by_name(spec)
        if any(candidate.name == other.name for other in candidates):
            candidate = candidate._replace(name=spec)
        candidates.append(candidate)
    return candidates


def _by_name(name: str) -> Candidate:
    # entry points are read, and their packages imported, only where the name asks for one
    unrolls: dict[str, type[Any] | str] = dict(BUILT_IN)
    if name not in unrolls:
        unrolls = installed_unrolls()
    if name not in unrolls:
        raise LoadError(
            f"--unroll has name {name!r}, expected one of {', '.join(unrolls)}, or module:Class"
        )
    return _installed(name, unrolls[name], True)


def _installed(name: str, found: type[Any] | str, asked: bool) -> Candidate:
    if isinstance(found, str):
        return Candidate(name, name, None, found, asked)
    return _made(name, found, asked)


def _imported(spec: str) -> Candidate:
    """The class or object of ``module:Class``."""
    module_name, _, attribute = spec.partition(":")
    if not module_name or not attribute or module_name.startswith("."):
        raise LoadError(f"--unroll has value {spec!r}, expected a name or module:Class")
    here = str(Path.cwd())
    if here not in sys.path and "" not in sys.path:
        sys.path.insert(0, here)  # a console script does not look in the working directory
    try:
        found: Any = importlib.import_module(module_name)
    except ModuleNotFoundError as error:
        if error.name is not None and f"{module_name}.".startswith(f"{error.name}."):
            raise LoadError(f"--unroll has module {module_name!r}, and there is none") from None
        return Candidate(spec, spec, None, _describe(error), True)
    except (Exception, SystemExit) as error:  # whatever the user's module raises is the reason
        return Candidate(spec, spec, None, _describe(error), True)
    for part in attribute.split("."):
        if not hasattr(found, part):
            raise LoadError(f"--unroll has value {spec!r}, and {found!r} has no {part!r}")
        found = getattr(found, part)
    return _made(spec, found, True)


def _made(spec: str, found: Any, asked: bool) -> Candidate:
    """A candidate from a class or an object; one from ``module:Class`` goes by its own name."""
    try:
        unroll = resolve(found() if isinstance(found, type) else found)
        own_name = str(unroll.name)
    except (Exception, SystemExit) as error:  # whatever the constructor raises is the reason
        return Candidate(spec, spec, None, _describe(error), asked)
    keep = ":" not in spec or own_name in BUILT_IN
    return Candidate(spec if keep else own_name, spec, unroll, "", asked)


def _describe(error: BaseException) -> str:
    """An exception in one line."""
    text = " ".join(str(error).split())
    return f"{type(error).__name__}: {text}" if text else type(error).__name__
