"""The command ``softcuda``."""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

from .build import SANITIZERS, BuildError, find_compiler, flags_of, library, runtimes
from .device import environment, nvidia_folder
from .report import read, run_with_table, table
from .settings import SETTINGS, refusal, variables

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
    _add_run(
        commands.add_parser(
            "run", help="run a program with the device in software", allow_abbrev=False
        )
    )
    build = commands.add_parser("build", help="build the library, if it is not there yet")
    build.add_argument("--sanitize", metavar="LIST", help=f"a list of {', '.join(SANITIZERS)}")
    build.add_argument("--strict", action="store_true", help="warnings are errors")
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
    bench = commands.add_parser("bench", help="how fast the device is, beside NumPy")
    bench.add_argument("--rounds", type=_count, default=5, metavar="N", help="turns of each; 5")
    bench.set_defaults(action=_bench)
    args = parser.parse_args(_with_profile_file(sys.argv[1:] if argv is None else argv))
    try:
        status: int = args.action(args)
        return status
    except BuildError as error:
        print(f"softcuda: {error}", file=sys.stderr)
        return 1


def _say(line: str) -> None:
    print(f"softcuda: {line}", file=sys.stderr)


def _add_run(run: argparse.ArgumentParser) -> None:
    run.usage = "softcuda run [OPTION]... PROGRAM [ARGUMENT]..."
    for name, setting in SETTINGS.items():
        option = "--" + name.replace("_", "-")
        run.add_argument(option, metavar=setting.metavar, help=setting.text)
    run.add_argument(
        "--profile", metavar="FILE", help="write what was counted as JSON; without =FILE print it"
    )
    run.add_argument(
        "--error-exitcode", metavar="N", type=_exit_status,
        help="exit with this status (1 to 255) if a fault was reported, in whatever process",
    )  # fmt: skip
    run.add_argument(
        "--sanitize", metavar="LIST", help=f"the library with {', '.join(SANITIZERS)}, for its own"
    )
    run.add_argument("program", nargs=argparse.REMAINDER, help="the program and its arguments")
    run.set_defaults(action=_run)


def _with_profile_file(argv: Sequence[str]) -> list[str]:
    """Give ``run --profile PROGRAM`` the file that means a table: the program is none."""
    changed = list(argv)
    place = 1 if changed[:1] == ["run"] else len(changed)
    while place < len(changed) and changed[place].startswith("--") and changed[place] != "--":
        if changed[place] == "--profile":
            changed[place] = "--profile=-"
        place += 1 if "=" in changed[place] else 2  # its value stands apart
    return changed


def _bench(args: argparse.Namespace) -> int:
    from .bench import main as compare

    library(progress=_say)
    return compare(args.rounds, seconds=0.5)


def _count(text: str) -> int:
    if text.isascii() and text.isdigit() and int(text) >= 1:
        return int(text)
    raise argparse.ArgumentTypeError(f"has value {text!r}, expected an integer from 1")


def _exit_status(text: str) -> int:
    if text.isascii() and text.isdigit() and 1 <= int(text) <= 255:
        return int(text)
    raise argparse.ArgumentTypeError(f"has value {text!r}, expected an integer from 1 to 255")


def _run(args: argparse.Namespace) -> int:
    program = args.program[1:] if args.program[:1] == ["--"] else args.program
    if not program:
        return _refuse("a program is needed")
    try:
        changed = variables({name: getattr(args, name) for name in SETTINGS})
    except ValueError as error:
        return _refuse(str(error))
    if args.profile is not None:
        changed["SOFTCUDA_PROFILE"] = args.profile
    if args.sanitize is not None:
        os.environ["SOFTCUDA_SANITIZE"] = args.sanitize
    path = library(progress=_say)
    started = {**os.environ, **environment(path), **changed}
    # PyCUDA that was built elsewhere may look for its driver in a place of its own.
    before = os.environ.get("LD_PRELOAD")
    started["LD_PRELOAD"] = ":".join([*runtimes(path), str(path), *([before] if before else [])])
    if runtimes(path):
        started.setdefault("ASAN_OPTIONS", "detect_leaks=0")  # Python has its own
    reason = refusal(path, started)
    if reason is not None:
        return _refuse(reason)
    # The program is looked for where it will look for others.
    found = shutil.which(program[0], path=started.get("PATH"))
    if found is None:
        return _refuse(f"{program[0]}: no such program")
    if args.error_exitcode is not None:
        return _run_and_look(found, program, started, args.error_exitcode)
    try:
        if args.profile == "-":
            status, text = run_with_table(program, started)
            print(text, file=sys.stderr)
            return status
        os.execve(found, program, started)
    except OSError as error:
        return _refuse(f"{program[0]}: {error.strerror}")


def _profile(args: argparse.Namespace) -> int:
    try:
        print(table(read(args.files)))
    except (OSError, ValueError) as error:
        print(f"softcuda profile: error: {error}", file=sys.stderr)
        return 2
    return 0


def _run_and_look(
    found: str, program: Sequence[str], started: Mapping[str, str], status: int
) -> int:
    """Run a program to its end; where it, or a process of it, had a fault reported: the status."""
    with tempfile.TemporaryDirectory(prefix="softcuda-") as folder:
        faults = Path(folder, "faults")
        done = subprocess.run(
            program, executable=found, env={**started, "SOFTCUDA_FAULTS": str(faults)}, check=False
        )
        if faults.exists():
            return status
    return done.returncode if done.returncode >= 0 else 128 - done.returncode


def _refuse(reason: str) -> int:
    print(f"softcuda run: error: {reason}", file=sys.stderr)
    return 2


def _build(args: argparse.Namespace) -> int:
    if args.sanitize is not None:
        os.environ["SOFTCUDA_SANITIZE"] = args.sanitize
    print(library(progress=_say, strict=args.strict))
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
    except BuildError as error:
        tell("compiler", False, error.reason)
    try:
        path = library(progress=_say)
        tell("library", True, f"{path} ({' '.join(flags_of(path))})")
    except BuildError as error:
        tell("library", False, str(error).splitlines()[0])
    folder = nvidia_folder()
    if folder is None:
        tell("nvcc", False, "not in this environment: softcuda install-pycuda")
    else:
        nvcc = folder / "bin" / "nvcc"
        asked = subprocess.run(
            [str(nvcc), "--version"], capture_output=True, text=True, check=False
        )
        version = next((w for w in asked.stdout.split() if w.startswith("V")), "")
        tell("nvcc", bool(version), f"{nvcc} {version}")
        tell("cubin", *_cubin_with_ptx(nvcc))
    check = (
        "import pycuda, pycuda.driver as d; d.init(); one = d.Device(0);"
        "print('PyCUDA', pycuda.VERSION_TEXT, 'sees', one.name() + ',', "
        "'compute capability %d.%d' % one.compute_capability())"
    )
    program = [sys.executable, "-m", "refrnn_accel.softcuda", "run", sys.executable, "-c", check]
    done = subprocess.run(program, capture_output=True, text=True, check=False)
    last = (done.stdout if done.returncode == 0 else done.stderr).strip().splitlines()
    tell("pycuda", done.returncode == 0, last[-1] if last else "no message")
    return 0 if healthy else 1


def _cubin_with_ptx(nvcc: Path) -> tuple[bool, str]:
    """Whether what nvcc makes with -lineinfo carries its PTX, and the words for it."""
    with tempfile.TemporaryDirectory(prefix="softcuda-") as folder:
        source, made = Path(folder, "kernel.cu"), Path(folder, "kernel.cubin")
        source.write_text("__global__ void kernel(int* a) { *a = 1; }\n", encoding="utf-8")
        flags = ["-cubin", "-lineinfo", "-arch=sm_86", "-o", str(made), str(source)]
        done = subprocess.run([str(nvcc), *flags], capture_output=True, text=True, check=False)
        if done.returncode:
            lines = (done.stderr or done.stdout).strip().splitlines()
            return False, lines[0] if lines else f"nvcc ended with status {done.returncode}"
        if b".nv_debug_ptx_txt" in made.read_bytes():
            return True, "carries its PTX, with -lineinfo"
    return False, "carries no PTX, even with -lineinfo: give PyCUDA PTX (-ptx) instead"
