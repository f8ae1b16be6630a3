"""What nvcc makes of kernels of every kind loads, and has no opcode that the table lacks.

Not collected by name: it needs nvcc (``softcuda install-pycuda``). Run it as ``pytest
tests/softcuda/pycuda_opcodes.py``.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from .opcodes.corpus import HERE, compile_ptx, key, sources, statements, table

#: One of either dialect.
ARCHITECTURES = (86, 100)
PROGRAM = """
import sys
sys.path.append(sys.argv[1])
from tests.softcuda.device import Device
Device().load(sys.stdin.read())
"""


@pytest.mark.parametrize("architecture", ARCHITECTURES)
@pytest.mark.parametrize("name", [*sources(), "libraries"])
def test_kernels_load_and_bring_nothing_new(name: str, architecture: int) -> None:
    text = sources().get(name) or (HERE / "libraries.cu").read_text(encoding="utf-8")
    ptx = compile_ptx(name, text, architecture)
    assert {key(statement) for statement in statements(ptx)} <= set(table())
    root = Path(__file__).parents[2]
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, str(root)], input=ptx, capture_output=True, text=True,
        env={**os.environ, "SOFTCUDA_COMPUTE_CAPABILITY": "120"}, timeout=120, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
