"""``refrnn check``: hold every installed unroll to the definition, or modules to the reference."""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ..cases import CELL_NAMES, HARD_CASES
from ..check import (
    VOWELS,
    Candidate,
    LoadError,
    Outcome,
    Selection,
    Status,
    find_candidates,
    run_checks,
)
from ..check.record import dump, record
from ..check.report import report
from ..oracle.problem import PROBLEM_NAMES
from ..unroll import BUILT_IN
from .check_subjects import SubjectError, add_options, as_json, run_subjects, shown
from .device import DEVICES, DeviceChoiceError, use
from .info import collect
from .progress import Progress

__all__ = ["add_parser", "run"]

_DESCRIPTION = """\
Run every installed unroll forward and backward on every cell, on the Japanese Vowels data and on
a fixed set of hard ragged batches, and compare outputs, final states and all gradients with the
definition (per_sequence in float64) by the one tolerance. The definition's own gradients are held
to complex-step derivatives of its forward pass. Takes about a minute.

With a SUBJECT the oracle runs instead: recurrent layers of a framework, or one's own, are held to
the reference on hard ragged batches, and what differs is named."""

_EPILOG = """\
exit status: 0 all within tolerance; 1 something is out of tolerance, crashed, or was asked for by
name and cannot be loaded; 2 wrong usage, or nothing was checked.

examples:
  refrnn check                                      everything that is installed
  refrnn check --unroll lanes --cell lstm --quick   one unroll on one cell
  refrnn check --unroll mypackage.kernels:MyUnroll  your own, from an importable module
  refrnn check --device softcuda --unroll cuda      CUDA kernels on a machine without a GPU
  refrnn check --json result.json                   every single comparison, machine readable
  refrnn check torch                                the recurrent modules of PyTorch
  refrnn check mypackage.layers:make_lstm           your own module; what makes it is called
  refrnn check mypackage.kernels:run --cell lstm    your own function f(case) -> Result"""


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the subcommand ``check``, which calls :func:`run`.

    Parameters
    ----------
    subparsers : what ``ArgumentParser.add_subparsers`` returned; gains one parser
    """
    parser = subparsers.add_parser(
        "check",
        help="Hold every installed unroll to the definition, on real data and on hard cases.",
        description=_DESCRIPTION,
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    add_options(parser)
    parser.add_argument(
        "--unroll",
        action="append",
        default=[],
        metavar="NAME|module:Class",
        help="check this one only; may be repeated. The working directory is searched too",
    )
    for option, choices, text in (
        ("--cell", CELL_NAMES, "run this cell only"),
        ("--dtype", ("float64", "float32"), "run this dtype only"),
        ("--case", (*PROBLEM_NAMES, VOWELS), "run this case only"),
    ):
        parser.add_argument(
            option,
            action="append",
            choices=choices,
            metavar=option[2:].upper(),
            help=f"{text}; may be repeated: {', '.join(choices)}",
        )
    parser.add_argument(
        "--device",
        choices=DEVICES,
        default="auto",
        help="where unrolls of CUDA run: on the device of the driver that is found (auto), on the "
        "one in software, which needs no GPU, or on a GPU and nothing else (cuda)",
    )
    parser.add_argument(
        "--quick", action="store_true", help="take 27 utterances of Japanese Vowels, not 270"
    )
    parser.add_argument(
        "--json", metavar="FILE", help="write everything as JSON; - prints it, and no table"
    )


def run(args: argparse.Namespace) -> int:
    """Check, print the report, write the JSON.

    Parameters
    ----------
    args : Namespace
        As parsed by the parser of :func:`add_parser`.

    Returns
    -------
    int
        0 if all is within tolerance, 1 if something is not, 2 if nothing was checked or the
        arguments cannot be used.
    """
    start = time.monotonic()
    try:
        _check_options(args)
        if args.subject:
            return _run_subjects(args)
    except (SubjectError, OSError) as error:
        return _usage(str(error))
    selection = _selection(args)
    try:
        _check_writable(args.json)
        use(args.device)
        candidates = find_candidates(args.unroll)
        _check_used(args.device, candidates)
    except (DeviceChoiceError, LoadError, OSError) as error:
        return _usage(str(error))
    progress = Progress(sys.stderr, "refrnn check")
    try:
        outcomes = run_checks(candidates, selection, progress)
    finally:
        progress.close()
    status = exit_status(outcomes, candidates)
    environment = collect()
    seconds = time.monotonic() - start
    text = dump(
        record(
            outcomes,
            candidates,
            selection,
            environment=environment,
            exit_status=status,
            seconds=seconds,
        )
    )
    device = _device(environment, candidates)
    if args.json == "-":
        print(text)
    else:
        title = f"refrnn check {environment['version']}, NumPy {environment['numpy']['version']}"
        body = report(outcomes, candidates, selection, rule=_rule(), device=args.device)
        verdict = f"{_verdict(outcomes, candidates, status)} {seconds:.0f} s."
        print(_printable(f"{title}, {environment['python']}\n{device}{body}\n\n{verdict}"))
        if args.json is not None:
            try:
                Path(args.json).write_text(text + "\n", encoding="utf-8")
            except OSError as error:
                return _usage(str(error))
    return status


def _run_subjects(args: argparse.Namespace) -> int:
    """Check what was named instead of unrolls."""
    _check_writable(args.json)
    progress = Progress(sys.stderr, "refrnn check")
    try:
        reports, status = run_subjects(args, progress)
    finally:
        progress.close()
    text = as_json(reports, status)
    if args.json == "-":
        print(text)
        return status
    print(_printable(shown(reports, verbose=args.verbose)))
    if args.json is not None:
        Path(args.json).write_text(text + "\n", encoding="utf-8")
    return status


def _check_options(args: argparse.Namespace) -> None:
    """Refuse options that are about the other of the two things that are checked."""
    cases = args.case or ()
    if args.subject:
        names = ("unroll", "quick")
        wrong = [f"--{name}" for name in names if getattr(args, name)]
        wrong += ["--device"] if args.device != "auto" else []
        wrong += [f"--case {VOWELS}"] if VOWELS in cases else []
        what = "unrolls, expected no SUBJECT beside"
    else:
        wrong = ["--semantics"] if args.semantics else []
        wrong += ["--verbose"] if args.verbose else []
        wrong += [f"--case {name}" for name in cases if name not in (*HARD_CASES, VOWELS)]
        what = "a SUBJECT, expected one beside"
    if wrong:
        raise SubjectError(f"{', '.join(wrong)}: about {what} it")


def exit_status(outcomes: Sequence[Outcome], candidates: Sequence[Candidate]) -> int:
    """0, 1 or 2: fine, something wrong, nothing checked.

    Parameters
    ----------
    outcomes : sequence of Outcome
    candidates : sequence of Candidate

    Returns
    -------
    int
        A candidate asked for by name that cannot be loaded is wrong; one that was not asked for
        is nothing. What is not offered is not checked.
    """
    if any(o.failed for o in outcomes) or any(c.asked and c.unroll is None for c in candidates):
        return 1
    return 0 if _checked(outcomes, candidates) else 2


def _checked(outcomes: Sequence[Outcome], candidates: Sequence[Candidate]) -> list[str]:
    """Names of the candidates of which at least one run was made."""
    ran = {o.unroll for o in outcomes if o.status is not Status.NOT_OFFERED}
    return [c.name for c in candidates if c.unroll is not None and c.name in ran]


def _verdict(outcomes: Sequence[Outcome], candidates: Sequence[Candidate], status: int) -> str:
    """The last line."""
    checked = _checked(outcomes, candidates)
    if status == 0:
        unrolls = "1 unroll is" if len(checked) == 1 else f"All {len(checked)} unrolls are"
        return f"{unrolls} within tolerance of the definition."
    if status == 2:
        return "NOTHING WAS CHECKED."
    bad = dict.fromkeys(o.unroll for o in outcomes if o.failed)
    bad.update(dict.fromkeys(c.name for c in candidates if c.asked and c.unroll is None))
    return f"FAILED: {', '.join(bad)}."


def _selection(args: argparse.Namespace) -> Selection:
    """What the options ask for, in the order refrnn lists it."""

    def chosen(asked: list[str] | None, names: Sequence[str]) -> tuple[str, ...]:
        return tuple(n for n in names if asked is None or n in asked)

    selection = Selection(
        chosen(args.cell, CELL_NAMES),
        chosen(args.dtype, ("float64", "float32")),
        chosen(args.case, (*HARD_CASES, VOWELS)),
    )
    return selection._replace(every=10, every_reversed=10) if args.quick else selection


def _device(environment: Mapping[str, Any], candidates: Sequence[Candidate]) -> str:
    """A line with the name of the device, if there is one and an unroll that may run on it."""
    facts = environment["cuda"]
    if facts["device"] is None or all(c.name in BUILT_IN for c in candidates):
        return ""
    return f"CUDA device: {facts['device']}, compute capability {facts['compute_capability']}\n"


def _check_used(device: str, candidates: Sequence[Candidate]) -> None:
    """Refuse a device that nothing would be run on."""
    names = [c.name for c in candidates]
    if device != "auto" and all(name in BUILT_IN for name in names):
        raise DeviceChoiceError(
            f"--device has value {device!r}, and of {', '.join(names)} none runs on a device"
        )


def _check_writable(name: str | None) -> None:
    """Find out before a minute of work, not after it, that a file cannot be written."""
    if name in (None, "-"):
        return
    path = Path(str(name))
    if path.is_dir():
        raise OSError(f"--json has value {name}, and that is a directory")
    target = path if path.exists() else path.absolute().parent
    if not os.access(target, os.W_OK):
        raise OSError(f"--json has value {name}, and it cannot be written there")


def _rule() -> str:
    """A box-drawing line where standard output can show one, else hyphens."""
    return "─" if _printable("─") == "─" else "-"


def _printable(text: str) -> str:
    """`text` with what standard output cannot show escaped: reasons come from anywhere."""
    encoding = sys.stdout.encoding or "ascii"
    return text.encode(encoding, "backslashreplace").decode(encoding)


def _usage(message: str) -> int:
    print(f"refrnn check: error: {message}", file=sys.stderr)
    return 2
