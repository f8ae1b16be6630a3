"""NVIDIA's assembler on the statements that softcuda must refuse: needs ``install-pycuda``."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest
from refrnn_accel.softcuda.device import nvidia_folder

from .fuzz.invalid import HEAD, TAIL, spoilt, statements


def refused_by_ptxas(folder: Path, lines: list[str]) -> set[str]:
    """Which of these are errors. After some errors ptxas stops: it is asked again without them."""
    nvidia = nvidia_folder()
    assert nvidia is not None
    refused: set[str] = set()
    while True:
        left = [line for line in lines if line not in refused]
        source = folder / "lines.ptx"
        source.write_text(HEAD + "".join(f"{line};\n" for line in left) + TAIL)
        done = subprocess.run(
            [nvidia / "bin" / "ptxas", "-arch=sm_90", "-o", folder / "made", source],
            capture_output=True, text=True, check=False,
        )  # fmt: skip
        numbers = re.findall(r"line (\d+); (?:error|fatal)", done.stderr)
        found = {left[int(n) - 1 - HEAD.count("\n")] for n in numbers}
        if not found:
            assert done.returncode == 0, done.stderr[-2000:]
            return refused
        refused |= found


@pytest.mark.parametrize("what", ["class", "modifier", "one less", "one more", "opcode"])
def test_ptxas_refuses_them_too(tmp_path: Path, what: str) -> None:
    lines = sorted({one for text in statements() for way, one in spoilt(text) if way == what})
    assert len(lines) > 100
    accepted = []
    for k in range(0, len(lines), 300):
        chunk = lines[k : k + 300]
        refused = refused_by_ptxas(tmp_path, chunk)
        accepted += [line for line in chunk if line not in refused]
    assert accepted == []
