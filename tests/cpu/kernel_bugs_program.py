"""Plant bugs in the CPU kernels and look for them: ``python -m tests.cpu.kernel_bugs_program``.

Compiles a copy of the kernels with each bug of ``kernel_bugs.txt``, for one instruction set, and
runs the checks of ``kernel_checks.py`` on it; a crash and a hang are found, too. Arguments are
parts of the names of bugs, by default all of them. Exit status 1 if a bug is not found, or if
something is found in the kernels as they are. It needs Cython and g++, or the compiler that CXX
names, and that compiler's sanitizers.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import platform
import shutil
import signal
import subprocess
import sys
import sysconfig
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

from refrnn_accel.cpu.build import extensions

from .kernel_bugs import PLANTED_BUGS, KernelBug

ROOT = Path(__file__).parents[2]
KINDS = ("values", "threads", "races", "bounds")
#: What a kind of checks is compiled for, and the library that must then be loaded first.
_SANITIZERS = {"races": ("thread", "libtsan.so"), "bounds": ("address", "libasan.so")}
#: As little as a compiler can do: that takes longer than the checks.
_FLAGS = ("-O0", "-w")
_TIMEOUT = 300  # seconds, for what sleeps for ever: what spins has a limit of its own


class Verdict(NamedTuple):
    """What became of a bug.

    Attributes
    ----------
    bug : KernelBug
    found_by : str or None
        The check, and what it said.
    seconds : float
        With the compiler's.
    """

    bug: KernelBug
    found_by: str | None
    seconds: float


class Workshop:
    """Compiles kernels with bugs, and checks them.

    Parameters
    ----------
    folder : Path
        Empty; for all that is made.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._count = 0
        shutil.copytree(
            ROOT / "accel", folder / "accel",
            ignore=shutil.ignore_patterns("*.so", "__pycache__", "cuda", "softcuda"),
        )  # fmt: skip
        self._translate(folder / "accel")
        self._compiler = os.environ.get("CXX", "g++")

    def try_out(self, bug: KernelBug) -> Verdict:
        """Plant a bug, and look for it."""
        begin = time.monotonic()
        self._count += 1
        folder = self._folder / f"bug{self._count}"
        package = folder / "refrnn_accel"
        shutil.copytree(self._folder / "accel", package)
        (folder / "tests").symlink_to(ROOT / "tests")
        file = package / bug.file
        file.write_text(bug.edited(file.read_text(encoding="utf-8")), encoding="utf-8")
        if file.suffix == ".pxi":
            self._translate(package)
        self._compile(package, bug.kind)
        found_by = self._check(folder, bug.kind)
        shutil.rmtree(folder)
        return Verdict(bug, found_by, time.monotonic() - begin)

    @staticmethod
    def _translate(package: Path) -> None:
        """Make C++ of Cython."""
        subprocess.run(
            [sys.executable, "-m", "cython", "--cplus", "-3", "_baseline.pyx"],
            cwd=package / "cpu", check=True, capture_output=True,
        )  # fmt: skip

    def _compile(self, package: Path, kind: str) -> None:
        """The module of the first instruction set, which is then the only one."""
        flags = [*_FLAGS, *_vector_flags()]
        if kind in _SANITIZERS:
            flags += ["-g1", f"-fsanitize={_SANITIZERS[kind][0]}"]
        (extension, *_) = extensions(tuple(flags))
        macros = [f"-D{name}={value}" for name, value in extension.define_macros]
        includes = ["include", "cpu/src"]
        command = [
            self._compiler, *extension.extra_compile_args, *macros, "-DCYTHON_LIMITED_API=1",
            *(f"-I{package / name}" for name in includes), f"-I{sysconfig.get_path('include')}",
            "-fPIC", "-shared", str(package / "cpu/_baseline.cpp"),
            *extension.extra_link_args, "-o", str(package / "cpu/_baseline.abi3.so"),
        ]  # fmt: skip
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            raise RuntimeError(f"a bug does not compile:\n{done.stderr[:2000]}")

    def _environment(self, folder: Path, kind: str) -> dict[str, str]:
        """Of checks: what is imported from where, and how it is watched."""
        path = os.pathsep.join(filter(None, [str(folder), os.environ.get("PYTHONPATH")]))
        settings = {
            "PYTHONPATH": path, "OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1",
            "ASAN_OPTIONS": "detect_leaks=0", "TSAN_OPTIONS": "halt_on_error=1:exitcode=66",
        }  # fmt: skip
        if kind in _SANITIZERS:
            where = [self._compiler, f"-print-file-name={_SANITIZERS[kind][1]}"]
            done = subprocess.run(where, capture_output=True, text=True, check=True)
            settings["LD_PRELOAD"] = done.stdout.strip()
        return {**os.environ, **settings}

    def _check(self, folder: Path, kind: str) -> str | None:
        """What the checks say; None if they find nothing."""
        said = folder / "said"
        with said.open("w", encoding="utf-8") as file:
            process = subprocess.Popen(
                [sys.executable, "-P", "-m", "tests.cpu.kernel_checks", kind],
                cwd=folder, env=self._environment(folder, kind), stdout=file, stderr=file,
                start_new_session=True,
            )  # fmt: skip
            try:
                code = process.wait(timeout=_TIMEOUT)
            except subprocess.TimeoutExpired:
                code = -signal.SIGXCPU
            finally:
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGKILL)  # and what tests have started
                process.wait()
        if code < 0:
            return "a hang" if code == -signal.SIGXCPU else f"a crash, {signal.Signals(-code).name}"
        lines = said.read_text(encoding="utf-8", errors="replace").split("\n")
        found = [line for line in lines if line.strip()] or ["no message"]
        reports = [line for line in found if "SUMMARY" in line]  # of a sanitizer
        return (reports or found)[-1][:300] if code else None


def unedited(kind: str) -> KernelBug:
    """No bug, for checks of a kind: nothing may be found."""
    return KernelBug(f"as it is, {kind}", "cpu/src/cells.h", (), kind)


def _vector_flags() -> tuple[str, ...]:
    """Of AVX2, whose tiles and multiply-adds are those of most machines, where that is there."""
    if platform.machine() not in ("x86_64", "AMD64"):
        return ()
    cpu = set(Path("/proc/cpuinfo").read_text(encoding="utf-8").split())
    return ("-mavx2", "-mfma") if {"avx2", "fma"} <= cpu else ()


def main() -> int:
    """The exit status."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("names", nargs="*", help="parts of the names of bugs")
    parser.add_argument("--jobs", type=int, default=2, help="bugs at a time (default 2)")
    chosen = parser.parse_args()
    planted = [
        bug for bug in PLANTED_BUGS
        if not chosen.names or any(name in str(bug) for name in chosen.names)
    ]  # fmt: skip
    kinds = [kind for kind in KINDS if any(bug.kind == kind for bug in planted)]
    begin, survivors, false_alarms = time.monotonic(), 0, 0
    with (
        tempfile.TemporaryDirectory(prefix="refrnn-bugs-") as temporary,
        ThreadPoolExecutor(chosen.jobs) as pool,
    ):
        workshop = Workshop(Path(temporary))
        for verdict in pool.map(workshop.try_out, [*map(unedited, kinds), *planted]):
            is_bug = bool(verdict.bug.edits)
            survivors += is_bug and verdict.found_by is None
            false_alarms += not is_bug and verdict.found_by is not None
            said = verdict.found_by or ("NOT FOUND" if is_bug else "nothing, as it must be")
            print(f"{verdict.seconds:5.1f} s  {verdict.bug}: {said}", flush=True)  # noqa: T201
    found = len(planted) - survivors
    seconds = time.monotonic() - begin
    print(f"{found} of {len(planted)} bugs found in {seconds:.0f} s")  # noqa: T201
    return int(bool(survivors or false_alarms or not planted))


if __name__ == "__main__":
    sys.exit(main())
