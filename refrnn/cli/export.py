"""``refrnn export``: test vectors in files that any language reads."""

from __future__ import annotations

import argparse
import sys
import time

from ..vectors import CONFIGURATIONS, MUTANTS, export, specs
from .progress import Progress

__all__ = ["add_parser", "run"]

_DESCRIPTION = """\
Write test vectors for implementations in any language: inputs, expected outputs, final states and
all gradients of every kind of cell on hard ragged batches, as .safetensors files of float64, with
tolerances for float64 and float32 in manifest.json; and in mutants.json which case finds which
wrong implementation. The bytes are the same on every machine. Takes one to two
minutes."""

_EPILOG = """\
exit status: 0 written; 2 wrong usage, or DIR cannot be written.

examples:
  refrnn export vectors                                  everything
  refrnn export vectors --cell lstm --cell lstm_coupled  two configurations
  refrnn export --list                                   what there is"""


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the subcommand ``export``, which calls :func:`run`.

    Parameters
    ----------
    subparsers : what ``ArgumentParser.add_subparsers`` returned; gains one parser
    """
    parser = subparsers.add_parser(
        "export",
        help="Write test vectors for implementations in any language.",
        description=_DESCRIPTION,
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("directory", metavar="DIR", nargs="?", help="where to; made if missing")
    parser.add_argument(
        "--cell",
        action="append",
        metavar="CELL",
        help="write this configuration only; may be repeated. --list has the names",
    )
    parser.add_argument(
        "--force",
        action="store_true",
        help="write into a directory that is not empty; files of the same names are replaced",
    )
    parser.add_argument(
        "--list", action="store_true", help="print configurations and their cases, write nothing"
    )


def run(args: argparse.Namespace) -> int:
    """Write the corpus, or list what there is.

    Parameters
    ----------
    args : Namespace
        As parsed by the parser of :func:`add_parser`.

    Returns
    -------
    int
        0 if it was written, 2 if the arguments cannot be used.
    """
    names = None if args.cell is None else tuple(dict.fromkeys(args.cell))
    try:
        chosen = specs(names)
    except ValueError as error:
        return _usage(str(error).replace("cells has", "--cell has", 1))
    if args.list:
        if args.directory is not None or args.force:
            return _usage("--list has a DIR or --force beside it, expected neither: it writes none")
        for configuration in CONFIGURATIONS:
            own = [spec for spec in chosen if spec.configuration is configuration]
            if own:
                cell = configuration.layer or configuration.cell
                print(f"{configuration.name:38}{len(own):4} cases  {cell}")
        print(f"{len(chosen)} cases, {len(MUTANTS)} mutants")
        return 0
    if args.directory is None:
        return _usage("DIR has no value, expected a directory to write to, or --list")
    return _write(args.directory, names, args.force)


def _write(directory: str, names: tuple[str, ...] | None, force: bool) -> int:
    start = time.monotonic()
    progress = Progress(sys.stderr, "refrnn export")
    try:
        count = export(directory, cells=names, force=force, tell=progress)
    except OSError as error:
        progress.close()
        text = str(error).replace("directory has", "DIR has", 1).replace("or force", "or --force")
        return _usage(text)
    progress.close()
    print(f"{count} cases in {directory}, {time.monotonic() - start:.0f} s.")
    return 0


def _usage(message: str) -> int:
    print(f"refrnn export: error: {message}", file=sys.stderr)
    return 2
