"""``refrnn check --device`` on an unroll that works on a device."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

import refrnn

UNROLL = """
from refrnn import PerSequence
from refrnn_accel.cuda.context import use_context

class OnDevice(PerSequence):
    name = "on_device"

    def __init__(self):
        with use_context() as here:
            self.device = here.device
"""
ARGUMENTS = ("--unroll", "unrolls:OnDevice", "--cell", "lstm", "--case", "unsorted")


def check(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """The command in a process whose driver is not chosen yet."""
    (folder / "unrolls.py").write_text(UNROLL)
    kept = {k: v for k, v in os.environ.items() if k not in ("LD_LIBRARY_PATH", "LD_PRELOAD")}
    roots = [str(Path(refrnn.__file__).parents[1]), os.environ.get("PYTHONPATH", "")]
    return subprocess.run(
        [sys.executable, "-W", "error", "-m", "refrnn", "check", *arguments, *ARGUMENTS],
        env={**kept, "PYTHONPATH": os.pathsep.join(filter(None, roots))},
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )


def test_softcuda_is_there_before_unrolls_are_loaded(tmp_path: Path) -> None:
    done = check(tmp_path, "--device", "softcuda")
    assert done.returncode == 0, done.stderr
    assert "CUDA device: softcuda (software), compute capability 8.6" in done.stdout
    assert "1 unroll is within tolerance" in done.stdout


@pytest.mark.parametrize(
    ("before", "message"),
    [
        ("SOFTCUDA_CHECK=races", "SOFTCUDA_CHECK has value 'races', expected a list of"),
        ("CXX=no-such-compiler", "--device has value 'softcuda', and which no-such-compiler"),
    ],
)
def test_softcuda_that_cannot_be_had_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, before: str, message: str
) -> None:
    monkeypatch.setenv(*before.split("=", 1))
    done = check(tmp_path, "--device", "softcuda")
    assert (done.returncode, done.stdout) == (2, "")
    assert message in done.stderr
