"""Tests on a device of another kind, in a process of their own."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

__all__ = ["environment", "run_program", "run_tests"]

_HERE = Path(__file__).parent
_ROOT = _HERE.parents[1]


def environment() -> dict[str, str]:
    """That of this process, but for the device that was chosen for it."""
    chosen = ("LD_LIBRARY_PATH", "LD_PRELOAD")
    return {
        name: value
        for name, value in os.environ.items()
        if name not in chosen and (not name.startswith("SOFTCUDA_") or name == "SOFTCUDA_CACHE")
    }


def run_program(*command: str, **settings: object) -> subprocess.CompletedProcess[str]:
    """Python with arguments under ``softcuda run`` with settings, whatever device is here."""
    options = [f"--{name.replace('_', '-')}={value}" for name, value in settings.items()]
    softcuda = [sys.executable, "-m", "refrnn_accel.softcuda", "run", "--error-exitcode=9"]
    return subprocess.run(
        [*softcuda, *options, sys.executable, *command],
        env={**environment(), "SOFTCUDA_FORCE": "1", "SOFTCUDA_PTXAS": ""},
        cwd=_ROOT, capture_output=True, text=True, timeout=1800, check=False,
    )  # fmt: skip


def run_tests(*files: str, which: str) -> None:
    """Tests of files of this folder on a device of compute capability 9.0; at least one."""
    done = run_program(
        "-m", "pytest", "-q", "-p", "no:cacheprovider", "-k", which,
        *(os.fspath(_HERE / name) for name in files),
        compute_capability=90, multiprocessors=128,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    assert re.search(r"\b[1-9][0-9]* passed", done.stdout), done.stdout
