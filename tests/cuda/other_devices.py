"""Programs and tests on a device of another kind, in a process of their own."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

__all__ = ["environment", "run_module", "run_program", "run_tests"]

_HERE = Path(__file__).parent
_ROOT = _HERE.parents[1]
# The tests are found last, so that the package is the one under test.
_AFTER = f"import sys; sys.path.append({os.fspath(_ROOT)!r})\n"


def environment() -> dict[str, str]:
    """That of this process, but for the device that was chosen for it."""
    chosen = ("LD_LIBRARY_PATH", "LD_PRELOAD")
    return {
        name: value
        for name, value in os.environ.items()
        if name not in chosen and (not name.startswith("SOFTCUDA_") or name == "SOFTCUDA_CACHE")
    }


def run_program(text: str, *arguments: str, **settings: object) -> subprocess.CompletedProcess[str]:
    """A program in Python under ``softcuda run`` with settings, whatever device is here."""
    return _run("-c", _AFTER + text, *arguments, **settings)


def run_module(name: str, **settings: object) -> str:
    """What a module of the tests prints, of whose run nothing is reported."""
    program = f"import runpy; runpy.run_module({name!r}, run_name='__main__')"
    done = run_program(program, **settings)
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


def run_tests(*files: str, which: str) -> None:
    """Tests of files of this folder on a device of compute capability 9.0; at least one."""
    done = _run(
        "-m", "pytest", "-q", "-p", "no:cacheprovider", "-k", which,
        *(os.fspath(_HERE / name) for name in files),
        compute_capability=90, multiprocessors=128,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    assert re.search(r"\b[1-9][0-9]* passed", done.stdout), done.stdout


def _run(*command: str, **settings: object) -> subprocess.CompletedProcess[str]:
    options = [f"--{name.replace('_', '-')}={value}" for name, value in settings.items()]
    softcuda = [sys.executable, "-P", "-m", "refrnn_accel.softcuda", "run", "--error-exitcode=9"]
    return subprocess.run(
        [*softcuda, *options, sys.executable, "-P", *command],
        env={**environment(), "SOFTCUDA_FORCE": "1", "SOFTCUDA_PTXAS": ""},
        cwd=_ROOT, capture_output=True, text=True, timeout=3600, check=False,
    )  # fmt: skip
