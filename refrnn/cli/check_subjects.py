"""``refrnn check SUBJECT``: hold a framework's modules, or one's own, to the reference."""

from __future__ import annotations

import argparse
import importlib
import inspect
import json
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from ..cases import make_cell
from ..errors import UnsupportedCase
from ..oracle import Report, Subject, adapt, check, standard_problem
from ..oracle.report import FORMAT
from ..oracle.semantics import PROFILES

__all__ = ["FRAMEWORKS", "SubjectError", "run_subjects"]

#: What ``refrnn check NAME`` runs: the adapters whose modules are listed under that name.
FRAMEWORKS: dict[str, tuple[str, ...]] = {
    "torch": ("torch",),
    "jax": ("jax", "flax", "haiku"),
    "flax": ("flax",),
    "haiku": ("haiku",),
    "keras": ("keras",),
    "tensorflow": ("tensorflow",),
    "onnx": ("onnx",),
    "mlx": ("mlx",),
}

# of a function that is given no weights of its own
_SIZES = (3, 5)

Tell = Callable[[str, int, int], None]


class SubjectError(ValueError):
    """A subject that was named cannot be had, or an option does not suit it: wrong usage."""


class _Named(NamedTuple):
    """A subject and what the command line calls it."""

    name: str
    subject: Subject


def run_subjects(args: argparse.Namespace, tell: Tell) -> tuple[list[Report], int]:
    """Check every subject that was named.

    Parameters
    ----------
    args : Namespace
        Of ``refrnn check``.
    tell : callable
        Told how far it has come.

    Returns
    -------
    list of Report
    int
        Exit status: 0 all agree, 1 something differs, 2 nothing was checked.

    Raises
    ------
    SubjectError
        If a subject cannot be had, or an option does not suit it. Nothing was run.
    """
    subjects = _subjects(args)
    reports = []
    for done, (name, subject) in enumerate(subjects):
        tell(name, done, len(subjects))
        problems = None
        if args.case:
            problems = [standard_problem(n, subject.network, subject.dtype) for n in args.case]
        try:
            reports.append(check(subject, problems, semantics=args.semantics))
        except (ValueError, UnsupportedCase) as error:
            raise SubjectError(f"{name} cannot be checked: {error}") from None
    if any(report.failures for report in reports):
        return reports, 1
    return reports, 0 if reports and all(report.ok for report in reports) else 2


def shown(reports: Sequence[Report], *, verbose: bool) -> str:
    """A line a subject, and the whole report of each that differs.

    Parameters
    ----------
    reports : sequence of Report
    verbose : bool
        Whether to show every report; a single one is always shown.
    """
    whole = [r for r in reports if verbose or len(reports) == 1 or not r.ok]
    lines = []
    if len(reports) > 1:
        for report in reports:
            notes = [f"{len(report.failures)} findings"] if report.failures else []
            notes += [f"{len(report.deliberate)} on purpose"] if report.deliberate else []
            about = ", ".join((report.dtype, *notes))
            lines.append(f"  {report.verdict:<7} {report.title} ({about})")
    return "\n\n".join([*(["\n".join(lines)] if lines else []), *map(str, whole)])


def as_json(reports: Sequence[Report], status: int) -> str:
    """All reports as one JSON object.

    Parameters
    ----------
    reports : sequence of Report
    status : int
        The exit status.
    """
    record = {
        "format": FORMAT,
        "exit_status": status,
        "reports": [report.record() for report in reports],
    }
    return json.dumps(record, indent=2, allow_nan=False)


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the arguments that are about subjects.

    Parameters
    ----------
    parser : ArgumentParser
        Of ``refrnn check``.
    """
    parser.add_argument(
        "subject",
        nargs="*",
        metavar="SUBJECT",
        help="check recurrent layers instead of unrolls: those of an installed framework "
        f"({', '.join(FRAMEWORKS)}), or pkg:object, a module or a function f(case) -> Result",
    )
    parser.add_argument(
        "--semantics",
        choices=tuple(PROFILES),
        help="what a SUBJECT may do otherwise on purpose; that of its framework if not given, "
        "'refrnn' for nothing",
    )
    parser.add_argument("--verbose", action="store_true", help="show the table of every SUBJECT")


def _subjects(args: argparse.Namespace) -> list[_Named]:
    """Every subject that was named, adapted."""
    found: list[_Named] = []
    for text in dict.fromkeys(args.subject):
        found += _own(text, args) if ":" in text else _of_framework(text, args)
    return found


def _of_framework(name: str, args: argparse.Namespace) -> list[_Named]:
    """The modules of a framework."""
    if name not in FRAMEWORKS:
        raise SubjectError(
            f"SUBJECT has value {name!r}, expected one of {', '.join(FRAMEWORKS)}, or pkg:object"
        )
    if args.cell:
        raise SubjectError(f"--cell says what a function computes, and {name} is a framework")
    found: list[_Named] = []
    missing: list[str] = []
    for adapter in FRAMEWORKS[name]:
        module = importlib.import_module(f"refrnn.oracle.adapters.{adapter}")
        try:
            for title, subject in _modules(module, args.dtype):
                found.append(_Named(f"{adapter} {title}", subject))
        except ImportError as error:
            missing.append(str(error))
    if not found:
        why = "; ".join(missing) or f"none of its modules is of {' or '.join(args.dtype)}"
        raise SubjectError(f"SUBJECT has value {name!r}, and nothing of it can be run: {why}")
    for reason in missing:
        print(f"refrnn check: not checked: {reason}", file=sys.stderr)
    return found


def _modules(module: Any, dtypes: Sequence[str]) -> Iterator[tuple[str, Subject]]:
    """The subjects that an adapter lists, of the dtypes that were asked for."""
    for title, found in module.modules():
        subject = adapt(found)
        if not dtypes or str(subject.dtype) in dtypes:
            yield title, subject


def _own(text: str, args: argparse.Namespace) -> list[_Named]:
    """What ``pkg:object`` names: a class is called, a function takes the options."""
    module_name, _, attribute = text.partition(":")
    here = str(Path.cwd())
    if here not in sys.path and "" not in sys.path:
        sys.path.insert(0, here)  # a console script does not look in the working directory
    try:
        found: Any = importlib.import_module(module_name)
        for part in attribute.split("."):
            found = getattr(found, part)
        if isinstance(found, type) or _needs_nothing(found):
            found = found()
    except (Exception, SystemExit) as error:  # whatever the user's module raises is the reason
        raise SubjectError(
            f"SUBJECT has value {text!r}, which fails: {type(error).__name__}: {error}"
        ) from None
    is_function = inspect.isroutine(found)
    if is_function and not args.cell:
        raise SubjectError(
            f"SUBJECT has value {text!r}, which is a function: expected --cell beside it, the "
            "equations that it computes"
        )
    if args.cell and not is_function:
        raise SubjectError(f"--cell says what a function computes, and {text} is none")
    try:
        return [_Named(text, adapt(found, **options)) for options in _options(args)]
    except (TypeError, ValueError, UnsupportedCase) as error:
        raise SubjectError(f"SUBJECT has value {text!r}, and {error}") from None


def _needs_nothing(found: Any) -> bool:
    """Whether it is a function without required arguments: one that makes a module."""
    if not inspect.isroutine(found):
        return False
    parameters = inspect.signature(found).parameters.values()
    variable = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
    return all(p.default is not p.empty or p.kind in variable for p in parameters)


def _options(args: argparse.Namespace) -> list[dict[str, Any]]:
    """The options of a function, one record for each cell and dtype; none for a module."""
    if not args.cell:
        if args.dtype:
            raise SubjectError("--dtype is one of a function's options, expected --cell beside it")
        return [{}]
    return [
        {"cell": make_cell(cell, *_SIZES), "dtype": dtype}
        for cell in args.cell
        for dtype in args.dtype or ("float64", "float32")
    ]
