"""The command ``softcuda``."""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from .build import BuildError, find_compiler, library
from .device import environment, nvidia_folder
from .report import read, run_with_table, table

__all__ = ["main"]

_DESCRIPTION = """\
A CUDA device in software: run and check PyCUDA programs on a machine without a GPU.
Functional emulation of PTX, not a GPU: no SASS, no timing."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line.

    Parameters
    ----------
    argv : sequence of str, optional
        The arguments without the program's name; those of the process by default.

    Returns
    -------
    int
        0 fine; 1 something is missing or failed; 2 wrong usage; of ``run`` the program's own.
    """
    parser = argparse.ArgumentParser("softcuda", description=_DESCRIPTION, allow_abbrev=False)
    commands = parser.add_subparsers(metavar="COMMAND", required=True)
    run = commands.add_parser("run", help="run a program with the device in software")
    run.add_argument("--schedule", choices=("post-dominator", "lowest-pc", "adversarial"))
    run.add_argument("--seed", type=int, help="of the adversarial schedule")
    run.add_argument(
        "--streams", choices=("synchronous", "lazy"), help="when the work of a stream is done"
    )
    run.add_argument(
        "--profile", metavar="FILE", help="write what was counted as JSON; -: print it as a table"
    )
    run.add_argument("program", nargs=argparse.REMAINDER, help="the program and its arguments")
    run.set_defaults(action=_run)
    build = commands.add_parser("build", help="build the library, if it is not there yet")
    build.set_defaults(action=_build)
    profile = commands.add_parser("profile", help="print what --profile wrote as a table")
    profile.add_argument("files", metavar="FILE", nargs="+", type=Path, help="one a process")
    profile.set_defaults(action=_profile)
    doctor = commands.add_parser("doctor", help="say what is there and what is missing")
    doctor.set_defaults(action=_doctor)
    install = commands.add_parser(
        "install-pycuda", help="build PyCUDA for this environment, without a CUDA toolkit"
    )
    install.set_defaults(action=_install)
    args = parser.parse_args(argv)
    try:
        status: int = args.action(args)
        return status
    except BuildError as error:
        print(f"softcuda: {error}", file=sys.stderr)
        return 1


def _say(line: str) -> None:
    print(f"softcuda: {line}", file=sys.stderr)


def _run(args: argparse.Namespace) -> int:
    program = args.program[1:] if args.program[:1] == ["--"] else args.program
    if not program:
        print("softcuda run: error: a program is needed", file=sys.stderr)
        return 2
    path = library(progress=_say)
    changed = {**os.environ, **environment(path)}
    # PyCUDA that was built elsewhere may look for its driver in a place of its own.
    before = os.environ.get("LD_PRELOAD")
    changed["LD_PRELOAD"] = f"{path}:{before}" if before else str(path)
    for name in ("schedule", "seed", "streams", "profile"):
        if getattr(args, name) is not None:
            changed[f"SOFTCUDA_{name.upper()}"] = str(getattr(args, name))
    try:
        if args.profile == "-":
            status, text = run_with_table(program, changed)
            print(text, file=sys.stderr)
            return status
        os.execvpe(program[0], program, changed)
    except OSError as error:
        print(f"softcuda run: error: {program[0]}: {error.strerror}", file=sys.stderr)
        return 2


def _profile(args: argparse.Namespace) -> int:
    try:
        print(table(read(args.files)))
    except (OSError, ValueError) as error:
        print(f"softcuda profile: error: {error}", file=sys.stderr)
        return 2
    return 0


def _build(_: argparse.Namespace) -> int:
    print(library(progress=_say))
    return 0


def _install(_: argparse.Namespace) -> int:
    from .pycuda import install

    install(_say)
    return 0


def _doctor(_: argparse.Namespace) -> int:
    """Print a line a thing: ok or missing, and what to do."""
    healthy = True

    def tell(what: str, fine: bool, text: str) -> None:
        nonlocal healthy
        healthy = healthy and fine
        print(f"{'ok     ' if fine else 'MISSING'}  {what:10} {text}")

    try:
        tell("compiler", True, find_compiler())
        tell("library", True, str(library(progress=_say)))
    except BuildError as error:
        tell("library", False, str(error).splitlines()[0])
    folder = nvidia_folder()
    if folder is None:
        tell("nvcc", False, "not in this environment: softcuda install-pycuda")
    else:
        nvcc = subprocess.run(
            [str(folder / "bin" / "nvcc"), "--version"], capture_output=True, text=True, check=False
        )
        version = next((w for w in nvcc.stdout.split() if w.startswith("V")), "")
        tell("nvcc", bool(version), f"{folder / 'bin' / 'nvcc'} {version}")
    check = "import pycuda.driver as d; d.init(); print(d.Device(0).name())"
    program = [sys.executable, "-m", "refrnn_accel.softcuda", "run", sys.executable, "-c", check]
    done = subprocess.run(program, capture_output=True, text=True, check=False)
    last = (done.stdout if done.returncode == 0 else done.stderr).strip().splitlines()
    tell("pycuda", done.returncode == 0, last[-1] if last else "no message")
    return 0 if healthy else 1
