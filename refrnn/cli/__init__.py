"""The command line: ``refrnn`` and ``python -m refrnn``.

A command's module is imported only when that command is run.
"""

from __future__ import annotations

import argparse
import importlib
import os
import sys
from collections.abc import Sequence
from types import ModuleType

from .. import _version

__all__ = ["main"]

# Name and one line of help; a module of that name has add_parser(subparsers) and run(args).
_COMMANDS = {
    "check": "Hold every installed unroll to the definition, on real data and on hard cases.",
    "info": "Show versions, BLAS, unrolls, native parts and extras, and why something is missing.",
    "lengths": "Show what padding wastes on your lengths, and what bucketing and lanes save.",
    "bench": "Time the unrolls, and other libraries beside them.",
    "export": "Write test vectors for implementations in any language.",
}

_EPILOG = """\
exit status: 0 fine, 1 something was found to be wrong, 2 wrong usage or nothing to do,
130 interrupted. 'refrnn COMMAND --help' has the options of a command."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line.

    Parameters
    ----------
    argv : sequence of str, optional
        The arguments without the program's name; those of the process by default.

    Returns
    -------
    int
        The exit status: 0 fine, 1 something is wrong, 2 usage error or nothing done, 130 after
        Ctrl-C, 141 where the reader of a pipe went away.
    """
    arguments = list(sys.argv[1:] if argv is None else argv)
    try:
        status = _run(arguments)
        sys.stdout.flush()  # a closed pipe shows here, not in the interpreter's last moments
    except KeyboardInterrupt:
        print("refrnn: interrupted", file=sys.stderr)
        return 130
    except BrokenPipeError:
        # The interpreter flushes once more at exit; let that go nowhere.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 141
    return status


def _run(arguments: list[str]) -> int:
    """Parse the arguments and run the command they name."""
    parser = argparse.ArgumentParser(
        prog="refrnn",
        description="Recurrent networks on sequences of different lengths, as a reference.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("--version", action="version", version=f"refrnn {_version.__version__}")
    subparsers = parser.add_subparsers(metavar="COMMAND", title="commands")
    wanted = next((a for a in arguments if not a.startswith("-")), None)
    command: ModuleType | None = None
    for name, help_text in _COMMANDS.items():
        if name != wanted:
            subparsers.add_parser(name, help=help_text)  # listed, not imported
            continue
        command = _import_command(name)
        if command is None:
            print(f"refrnn: error: {name} is not part of this installation", file=sys.stderr)
            return 2
        command.add_parser(subparsers)
    try:
        args = parser.parse_args(arguments)
    except SystemExit as stop:  # after --help, --version, or a usage message
        return stop.code if isinstance(stop.code, int) else 2
    if command is None:
        parser.print_help(sys.stderr)
        return 2
    status: int = command.run(args)
    return status


def _import_command(name: str) -> ModuleType | None:
    """The module of a command; None where there is none."""
    full_name = f"{__name__}.{name}"
    try:
        return importlib.import_module(full_name)
    except ModuleNotFoundError as error:
        if error.name != full_name:
            raise
        return None
