"""W_hh read at every step: the bits of the kernels that keep it on the chip, at any size."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from refrnn_accel.cuda.context import first_device
from refrnn_accel.cuda.cut import Cut, columns_of
from refrnn_accel.cuda.nvcc import compiled, find_nvcc
from refrnn_accel.cuda.sources import PACKAGE
from refrnn_accel.cuda.stream_cut import StreamCut

from refrnn.comparison import compare

from .device_recurrence import CELLS, case, results, run
from .stream_program import CASES, digests

LENGTHS = [3, 0, 4, 1, 4, 2]
SIZES = [1, 5, 32, 40, 96]
#: Cell, dtype, and lanes of a block.
SMALL = [
    ("tanh", "f4", 4), ("tanh", "f8", 1), ("tanh", "f8", 4), ("relu", "f4", 4),
    ("lstm", "f4", 1), ("lstm", "f4", 4), ("lstm", "f8", 4),
    ("reset_after", "f4", 1), ("reset_after", "f4", 4), ("reset_after", "f8", 4),
    ("reset_before", "f4", 4), ("reset_before", "f8", 1), ("reset_before", "f8", 4),
]  # fmt: skip
LARGE_CELLS = ["tanh", "lstm", "reset_after", "reset_before"]


def on_chip(cell: str, dtype: str) -> Cut:
    """Blocks of 8 units that have all of their rows in registers: for all of SIZES."""
    vectors = 96 * np.dtype(dtype).itemsize // (8 * 16)
    return Cut(CELLS[cell][1], np.dtype(dtype), 96, 8, 8, vectors, 12, "Tagged")


#: Three blocks of 128 units: few enough to be resident together on the device in software.
LARGE_ON_CHIP = Cut(CELLS["tanh"][1], np.dtype("f4"), 384, 128, 2, 32, 3, "Tagged")


def stream(cell: str, dtype: str, hidden_size: int, lanes: int) -> StreamCut:
    return StreamCut(CELLS[cell][1], np.dtype(dtype), columns_of(hidden_size), lanes)


@pytest.fixture(scope="module", autouse=True)
def modules() -> None:
    """Compile what will be needed, on all cores."""
    device = first_device()
    code = f"{'compute' if device.is_software else 'sm'}_{device.architecture}"
    needed: list[tuple[str, Any]] = [("recurrence.cu", LARGE_ON_CHIP.defines())]
    needed += [("recurrence.cu", on_chip(*one).defines()) for one in {one[:2] for one in SMALL}]
    needed += [("stream.cu", stream(*one[:2], 96, one[2]).defines()) for one in SMALL]
    large = {(cell, dtype, 300, 4) for cell in LARGE_CELLS for dtype in ("f4", "f8")}
    for one in large | {("tanh", "f8", 300, 1), ("reset_before", "f8", 300, 1), *CASES}:
        needed.append(("stream.cu", stream(*one).defines()))
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        for _ in pool.map(lambda one: compiled(find_nvcc(), PACKAGE, *one, code), needed):
            pass


@pytest.mark.parametrize(("cell", "dtype", "of_block"), SMALL)
def test_the_bits_are_those_of_w_hh_on_the_chip(cell: str, dtype: str, of_block: int) -> None:
    for hidden_size in SIZES:
        for reverse in (False, True):
            given = case(cell, hidden_size, dtype, LENGTHS, reverse)
            expected = run(given, on_chip(cell, dtype), 3, 3).bits()
            cut = stream(cell, dtype, hidden_size, of_block)
            for lanes in (1, 3, 6):
                got = run(given, cut, lanes, of_block).bits()
                assert got == expected, (hidden_size, reverse, lanes)


def test_so_they_are_with_32_chains() -> None:
    given = case("tanh", 300, "f4", LENGTHS, False)
    expected = run(given, LARGE_ON_CHIP, 1, 1).bits()
    assert run(given, stream("tanh", "f4", 300, 4), 6, 4).bits() == expected


@pytest.mark.parametrize("dtype", ["f4", "f8"])
@pytest.mark.parametrize("cell", LARGE_CELLS)
def test_results_are_within_tolerance_of_the_reference(cell: str, dtype: str) -> None:
    given = case(cell, 300, dtype, LENGTHS, dtype == "f8")
    got = results(given, run(given, stream(cell, dtype, 300, 4), 5, 4))
    wrong = [str(one) for one in compare(given, got) if not one.ok]
    assert not wrong


@pytest.mark.parametrize("cell", ["tanh", "reset_before"])
def test_states_that_do_not_fit_shared_memory_come_in_pieces(cell: str) -> None:
    given = case(cell, 1100, "f8", [1, 0, 2], True)
    whole, pieces = stream(cell, "f8", 1100, 1), stream(cell, "f8", 1100, 4)
    assert whole.forward_bytes(1) > 1100 * 8 > pieces.forward_bytes(4) / 4
    got = run(given, pieces, 3, 4)
    assert got.bits() == run(given, whole, 3, 1).bits()
    wrong = [str(one) for one in compare(given, results(given, got)) if not one.ok]
    assert not wrong


def test_nothing_is_reported_whatever_the_schedule() -> None:
    command = [sys.executable, "-m", "refrnn_accel.softcuda", "run", "--error-exitcode=9"]
    command += ["--check=all", "--schedule=adversarial", "--seed=3"]
    done = subprocess.run(
        [*command, sys.executable, "-m", "tests.cuda.stream_program"],
        cwd=Path(__file__).parents[2],
        env={**os.environ, "SOFTCUDA_FORCE": "1", "SOFTCUDA_PTXAS": ""},
        capture_output=True, text=True, timeout=150, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "")
    assert json.loads(done.stdout) == digests()


def test_a_cut_is_for_its_columns_and_lanes() -> None:
    cut = stream("lstm", "f4", 40, 2)
    with pytest.raises(ValueError, match="H = 80 has 96 columns, this cut has 64"):
        cut.pack(np.zeros((320, 80), np.float32))
    for bytes_of in (cut.forward_bytes, cut.backward_bytes):
        with pytest.raises(ValueError, match="1 to 2 lanes, not 3"):
            bytes_of(3)


@pytest.mark.parametrize("lanes", [1, 4])
@pytest.mark.parametrize("hidden_size", [129, 1024, 4096])
@pytest.mark.parametrize("dtype", ["f4", "f8"])
def test_shared_memory_is_enough_anywhere(dtype: str, hidden_size: int, lanes: int) -> None:
    for cell in CELLS:
        cut = stream(cell, dtype, hidden_size, lanes)
        assert max(cut.forward_bytes(lanes), cut.backward_bytes(lanes)) <= 64 * 1024  # of sm_75
