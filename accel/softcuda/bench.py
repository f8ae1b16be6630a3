"""``softcuda bench``: how many instructions of lanes a second, beside NumPy doing the same.

A float32 LSTM (``kernels/bench.cu``, one sequence a block) runs with several settings. Settings are
read once by a process, so each has its own; they take turns, round by round, so that a machine that
becomes slower becomes slower for all. NumPy takes its turn too, with the same steps of the same
LSTM. A sample during which the process had less than 0.9 of a core is dropped and counted.
"""

from __future__ import annotations

import ctypes
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from .build import library
from .settings import SETTINGS, variables

__all__ = ["main"]

Array = NDArray[Any]

_HIDDEN = 128
_STEPS = 40
_KERNELS = Path(__file__).parent / "kernels" / "bench.ptx"
_LEAST_SHARE = 0.9  # of a core


class Contestant(NamedTuple):
    """A line of the table: what runs, and with which settings."""

    name: str
    what: str  # "lstm", "small" or "numpy"
    blocks: int
    settings: dict[str, object]


CONTESTANTS = (
    Contestant("bounds and counters", "lstm", 1, {}),
    Contestant("with race and uninit", "lstm", 1, {"check": "race,uninit"}),
    Contestant("4 blocks, 1 thread", "lstm", 4, {}),
    Contestant("4 blocks, 2 threads", "lstm", 4, {"threads": 2}),
    Contestant("NumPy, 1 sequence", "numpy", 1, {}),
    Contestant("launch of a warp", "small", 1, {}),
)


class Sample(NamedTuple):
    """Seconds of the clock and of the processor."""

    wall: float
    cpu: float


# --- in the process of a contestant ---


class Launcher:
    """The device by its API, as lean as ctypes allows."""

    def __init__(self, kernel: str) -> None:
        self._cuda = ctypes.CDLL(str(library()))
        self._module, self._function = ctypes.c_void_p(), ctypes.c_void_p()
        self._call("cuInit", 0)
        self._call("cuCtxCreate_v4", ctypes.byref(ctypes.c_void_p()), None, 0, 0)
        image = _KERNELS.read_bytes() + b"\0"
        self._call("cuModuleLoadData", ctypes.byref(self._module), image)
        self._call(
            "cuModuleGetFunction", ctypes.byref(self._function), self._module, kernel.encode()
        )

    def _call(self, name: str, *arguments: object) -> None:
        status = getattr(self._cuda, name)(*arguments)
        if status:
            raise RuntimeError(f"{name} returned {status}")

    def upload(self, array: Array) -> ctypes.c_uint64:
        """Memory of the device with these numbers."""
        address = ctypes.c_uint64()
        size = ctypes.c_size_t(array.nbytes)
        self._call("cuMemAlloc_v2", ctypes.byref(address), size)
        self._call("cuMemcpyHtoD_v2", address, array.ctypes.data_as(ctypes.c_void_p), size)
        return address

    def download(self, address: ctypes.c_uint64, array: Array) -> None:
        """Copy what is at an address to an array."""
        pointer = array.ctypes.data_as(ctypes.c_void_p)
        self._call("cuMemcpyDtoH_v2", pointer, address, ctypes.c_size_t(array.nbytes))

    def prepare(self, blocks: int, threads: int, *arguments: Any) -> Callable[[], None]:
        """A call that launches and waits."""
        pointers = (ctypes.c_void_p * len(arguments))(*map(ctypes.addressof, arguments))
        launch, wait = self._cuda.cuLaunchKernel, self._cuda.cuCtxSynchronize
        function = self._function

        def run() -> None:
            status = (
                launch(function, blocks, 1, 1, threads, 1, 1, 0, None, pointers, None) or wait()
            )
            if status:
                raise RuntimeError(f"the launch returned {status}")

        return run

    def lane_instructions(self) -> int:
        """What was executed since the start."""
        self._cuda.softcuda_profile.restype = ctypes.c_char_p
        kernels = json.loads(self._cuda.softcuda_profile())["kernels"]
        return int(sum(kernel["lane_instructions"] for kernel in kernels))


def _inputs(blocks: int) -> tuple[Array, Array]:
    rng = np.random.default_rng(0)
    gates = rng.normal(size=(blocks, _STEPS, 4, _HIDDEN)).astype(np.float32)
    weights = (rng.normal(size=(4, _HIDDEN, _HIDDEN)) / _HIDDEN**0.5).astype(np.float32)
    return gates, weights


def numpy_lstm(gates: Array, weights: Array) -> Array:
    """The same LSTM for one sequence: its outputs, (steps, hidden)."""
    beside = np.ascontiguousarray(weights.transpose(1, 0, 2).reshape(_HIDDEN, 4 * _HIDDEN))
    h = c = np.zeros(_HIDDEN, np.float32)
    outputs = np.empty((_STEPS, _HIDDEN), np.float32)
    one = np.float32(1)
    for t in range(_STEPS):
        i, f, g, o = (h @ beside).reshape(4, _HIDDEN) + gates[t]
        c = c / (one + np.exp(-f)) + np.tanh(g) / (one + np.exp(-i))
        outputs[t] = h = np.tanh(c) / (one + np.exp(-o))
    return outputs


def _work(contestant: Contestant) -> tuple[Callable[[], object], int]:
    """What a contestant does once, and how many instructions of lanes that is."""
    gates, weights = _inputs(contestant.blocks)
    if contestant.what == "numpy":
        return lambda: numpy_lstm(gates[0], weights), 0
    launcher = Launcher(contestant.what)
    if contestant.what == "small":
        memory = launcher.upload(np.zeros(32, np.float32))
        run = launcher.prepare(1, 32, memory)
        run()
        return run, launcher.lane_instructions()
    outputs = np.empty((contestant.blocks, _STEPS, _HIDDEN), np.float32)
    memory = launcher.upload(outputs)
    steps = ctypes.c_int(_STEPS)
    arguments = (launcher.upload(gates), launcher.upload(weights), memory, steps)
    run = launcher.prepare(contestant.blocks, _HIDDEN, *arguments)
    run()
    launcher.download(memory, outputs)
    for k, sequence in enumerate(gates):
        worst = np.abs(outputs[k] - numpy_lstm(sequence, weights)).max()
        if not worst < 1e-5:
            raise RuntimeError(f"sequence {k} of the device and NumPy differ by {worst}")
    return run, launcher.lane_instructions()


def _sample(run: Callable[[], object], seconds: float) -> list[Sample]:
    """Times of single runs, for a while; the first warms up and is thrown away."""
    run()
    samples: list[Sample] = []
    end = time.perf_counter() + seconds
    while time.perf_counter() < end or not samples:
        wall, cpu = time.perf_counter(), time.process_time()
        run()
        samples.append(Sample(time.perf_counter() - wall, time.process_time() - cpu))
    return samples


def serve(index: int) -> None:
    """Take samples for as many seconds as a line of the input says, and answer with a line."""
    run, instructions = _work(CONTESTANTS[index])
    print(json.dumps(instructions), flush=True)
    for line in sys.stdin:
        print(json.dumps(_sample(run, float(line))), flush=True)


# --- in the process that compares them ---


class Process:
    """A contestant's process."""

    def __init__(self, contestant: Contestant) -> None:
        own = {setting.variable for setting in SETTINGS.values()}
        kept = {name: value for name, value in os.environ.items() if name not in own}
        one = dict.fromkeys(("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS"), "1")
        program = (
            "import sys; from refrnn_accel.softcuda.bench import serve; serve(int(sys.argv[1]))"
        )
        self._process = subprocess.Popen(
            [sys.executable, "-c", program, str(CONTESTANTS.index(contestant))],
            env={**kept, **one, **variables(contestant.settings)},
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        )  # fmt: skip
        self.contestant = contestant
        self.samples: list[Sample] = []
        self.instructions = int(self._answer())

    def _answer(self) -> Any:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError(f"{self.contestant.name}: the process ended")
        return json.loads(line)

    def turn(self, seconds: float) -> None:
        """Let it take samples."""
        assert self._process.stdin is not None
        print(seconds, file=self._process.stdin, flush=True)
        self.samples += [Sample(*sample) for sample in self._answer()]

    def undisturbed(self) -> list[float]:
        """Seconds of the samples that had a core for themselves; all, where none had."""
        good = [sample.wall for sample in self.samples if sample.cpu >= _LEAST_SHARE * sample.wall]
        return good or [sample.wall for sample in self.samples]

    def end(self) -> None:
        """Close its input, at which it ends."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait()


def main(rounds: int, seconds: float) -> int:
    """Run the benchmark and print its table.

    Parameters
    ----------
    rounds : int
        How often each contestant has its turn.
    seconds : float
        How long a turn is.

    Returns
    -------
    int
        0.
    """
    library()
    processes = [Process(contestant) for contestant in CONTESTANTS]
    for k in range(rounds):
        for process in processes[k % len(processes) :] + processes[: k % len(processes)]:
            process.turn(seconds)
    for process in processes:
        process.end()
    _report(processes)
    return 0


def _report(processes: list[Process]) -> None:
    """A line for each: the median and the quartiles, as time and as speed."""
    load = os.getloadavg()[0]
    cores = len(os.sched_getaffinity(0))
    print(f"float32 LSTM of {_HIDDEN} units, {_STEPS} steps; {cores} cores, load {load:.1f}")
    print("functional emulation of PTX, not a GPU\n")
    print(f"{'':22}{'time':>11}  {'quartiles':>19}  {'G lanes/s':>9}  {'of NumPy':>8}  samples")
    numpy = next(p for p in processes if p.contestant.what == "numpy")
    peer = statistics.median(numpy.undisturbed())
    for process in processes:
        times = process.undisturbed()
        low, middle, high = np.quantile(times, [0.25, 0.5, 0.75])
        unit, scale = ("us", 1e6) if middle < 1e-3 else ("ms", 1e3)
        row = f"{process.contestant.name:22}{middle * scale:8.2f} {unit}"
        row += f"  {low * scale:8.2f} - {high * scale:8.2f}"
        speed = f"{process.instructions / middle / 1e9:9.2f}" if process.instructions else " " * 9
        is_lstm = process.contestant.what != "small"
        ratio = f"{middle / peer / process.contestant.blocks:8.1f}" if is_lstm else " " * 8
        dropped = len(process.samples) - len(times)
        note = f" ({dropped} disturbed)" if dropped else ""
        print(f"{row}  {speed}  {ratio}  {len(times)}{note}")
    small = next(p for p in processes if p.contestant.what == "small")
    lstm = processes[0]
    print(
        f"\nlanes are instructions of a lane: {lstm.instructions:,} in one LSTM, "
        f"{small.instructions:,} in the launch of a warp"
    )
    print("of NumPy is the time for a sequence over NumPy's on one thread")
