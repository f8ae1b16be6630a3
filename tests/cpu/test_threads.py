"""Helpers of a call: they sleep between calls, serve one call at a time, and a fork has its own."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
from refrnn_accel.cpu import CythonUnroll

import refrnn as rr

RNG = np.random.default_rng(5)
CELL = rr.LSTM(8, 24)
PARAMETERS = CELL.init_parameters(RNG, "float32")
BATCH = rr.RaggedBatch(RNG.standard_normal((90, 8)).astype("float32"), [40, 0, 20, 30])


def results(unroll: CythonUnroll) -> list[np.ndarray]:
    run = rr.forward(CELL, PARAMETERS, BATCH, unroll=unroll)
    gradients = rr.backward(run.tape, np.ones_like(run.output.values))
    return [run.output.values, gradients.input.values, gradients.parameters["W_hh"]]


ROOT = Path(__file__).parents[2]
EXPECTED = results(CythonUnroll(num_threads=1))


def is_right(unroll: CythonUnroll) -> bool:
    return all(map(np.array_equal, results(unroll), EXPECTED))


def threads() -> list[int]:
    """Of this process, by their numbers."""
    return [int(task) for task in os.listdir("/proc/self/task")]


def run_elsewhere(program: str) -> None:
    """In a process that finds the tests here, and what they test where this one does."""
    here = f"import sys; sys.path.append({str(ROOT)!r})\n"
    subprocess.run([sys.executable, "-P", "-c", here + program], check=True, timeout=60)


def test_the_same_helpers_serve_every_call_and_every_unroll() -> None:
    assert is_right(CythonUnroll(num_threads=4))
    known, kept = set(threads()), []
    for _ in range(5):
        unroll = CythonUnroll(num_threads=4)
        kept.append(rr.forward(CELL, PARAMETERS, BATCH, unroll=unroll))
        assert is_right(unroll)
    assert set(threads()) <= known


def test_helpers_sleep_between_calls() -> None:
    unroll = CythonUnroll(num_threads=4)
    results(unroll)
    time.sleep(0.05)  # until they have gone to sleep
    begin = time.process_time()
    time.sleep(0.5)
    assert time.process_time() - begin < 0.1


def test_calls_at_the_same_time_share_an_unroll() -> None:
    unroll, right = CythonUnroll(num_threads=3), []

    def call() -> None:
        right.extend(is_right(unroll) for _ in range(20))

    callers = [threading.Thread(target=call) for _ in range(4)]
    for caller in callers:
        caller.start()
    for caller in callers:
        caller.join()
    assert len(right) == 80
    assert all(right)


def test_a_forked_process_has_helpers_of_its_own() -> None:
    run_elsewhere("""
import os, warnings
from tests.cpu.test_threads import CythonUnroll, is_right
unroll = CythonUnroll(num_threads=3)
assert is_right(unroll)
warnings.simplefilter("ignore", DeprecationWarning)  # newer Pythons advise against what is tested
child = os.fork()
if child == 0:
    right = is_right(unroll)
    del unroll
    os._exit(0 if right else 1)
assert os.waitpid(child, 0)[1] == 0
assert is_right(unroll)
""")


HELPERS = """
import os
from pathlib import Path
from tests.cpu.test_threads import CythonUnroll, is_right, threads
before = set(threads())
unroll = CythonUnroll(num_threads=3)
assert is_right(unroll)
helpers = set(threads()) - before
assert len(helpers) == 2
"""


def test_helpers_may_run_where_the_caller_may() -> None:
    run_elsewhere(
        HELPERS
        + """
everywhere = os.sched_getaffinity(0)
for allowed in (everywhere, {min(everywhere)}, everywhere):
    os.sched_setaffinity(0, allowed)
    assert is_right(unroll)
    assert all(os.sched_getaffinity(helper) == allowed for helper in helpers)
"""
    )


def test_helpers_take_no_signals() -> None:
    run_elsewhere(
        HELPERS
        + """
for helper in helpers:
    status = Path(f"/proc/self/task/{helper}/status").read_text().split()
    blocked = int(status[status.index("SigBlk:") + 1], 16)
    assert blocked >> (15 - 1) & 1  # SIGTERM
    assert blocked >> (2 - 1) & 1  # SIGINT
"""
    )
