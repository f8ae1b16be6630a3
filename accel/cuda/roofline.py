"""Predicts how long a step takes on a GPU, from exact counts and a table of devices.

A prediction, not a measurement: nothing here was timed. A round, in which every team steps all its
lanes once, takes as long as the unit of a multiprocessor or of the memory that has most to do, and
the latencies that nothing hides on top: of barriers, and of the way to the other blocks.
Instructions are those of PTX; the machine code of a GPU has others.
"""

from __future__ import annotations

from typing import NamedTuple

from .counting import SECTOR, Counted

__all__ = ["GPUS", "Gpu", "Prediction", "predict"]


class Gpu(NamedTuple):
    """What limits a kernel on a device.

    Attributes
    ----------
    name : str
    compute_capability : int
        9.0 is 90.
    multiprocessors : int
    clock : float
        GHz.
    fp32, fp64 : int
        Multiply-adds of a multiprocessor a clock.
    l2, dram : float
        GB/s.
    barrier, l2_latency, cluster : int
        Clocks: a barrier of a block, a load that L2 answers, a barrier of a cluster (0: none).
    """

    name: str
    compute_capability: int
    multiprocessors: int
    clock: float
    fp32: int
    fp64: int
    l2: float
    dram: float
    barrier: int
    l2_latency: int
    cluster: int


# Multiprocessors, boost clocks, rates and DRAM: NVIDIA's white papers of the A100 (2020), of the
# H100 (2022; SXM5, 66.9 TFLOPS of FP32) and of Ada (2022). L2: 5,120 bytes a clock by the A100's,
# and taken to be the same for the others. Latencies: Luo et al., "Benchmarking and Dissecting the
# Nvidia Hopper GPU Architecture" (2024), whose 180 clocks from one multiprocessor to another are
# taken for a barrier of a cluster, with those of a block's own. The latter are an estimate. Shared
# memory: a wavefront of 128 bytes a clock; four schedulers start an instruction a clock each (CUDA
# C++ Programming Guide).
GPUS = (
    Gpu("A100", 80, 108, 1.41, 64, 32, 7219, 1555, 30, 262, 0),
    Gpu("H100", 90, 132, 1.98, 128, 64, 10138, 3350, 30, 263, 210),
    Gpu("RTX 4090", 89, 128, 2.52, 128, 2, 12902, 1008, 30, 273, 0),
)
_SCHEDULERS = 4


class Prediction(NamedTuple):
    """How long a round of one launch might take.

    Attributes
    ----------
    gpu : str
    kernel : str
        "forward" or "backward".
    microseconds : float
        Of a round: all lanes make a step.
    bound : str
        What takes longest: "issue", "arithmetic", "shared memory", "L2", "DRAM", or "latency".
    """

    gpu: str
    kernel: str
    microseconds: float
    bound: str


def predict(counted: Counted, gpu: Gpu, kernel: str) -> Prediction | None:
    """A prediction for one of the two recurrent launches; None if the GPU cannot run it.

    Parameters
    ----------
    counted : Counted
    gpu : Gpu
    kernel : {"forward", "backward"}

    Returns
    -------
    Prediction or None
    """
    choice, counts = counted.choice, counted.kernels[kernel]
    cut, blocks = choice.cut, choice.teams * choice.blocks
    if cut.exchange == "Clustered" and not gpu.cluster:
        return None
    rounds = choice.schedule.num_steps
    waves = -(-blocks // gpu.multiprocessors)  # of blocks, one after the other
    of_a_block = 1.0 / (blocks * rounds) * waves
    rate = gpu.fp32 if cut.dtype.itemsize == 4 else gpu.fp64
    wavefronts = counts.wavefronts + counts.remote_wavefronts
    seconds = {
        "issue": counts.instructions * of_a_block / _SCHEDULERS / gpu.clock,
        "arithmetic": counts.flops / 2 * of_a_block / rate / gpu.clock,
        "shared memory": wavefronts * of_a_block / gpu.clock,
        "L2": (counts.load_sectors + counts.store_sectors) * SECTOR / rounds / gpu.l2,
        "DRAM": counts.own_sectors * SECTOR / rounds / gpu.dram,
    }  # nanoseconds, for rates are in GHz and GB/s
    latency = waves * cut.cell.phases * _latency(cut.exchange, gpu) / gpu.clock
    bound = max(seconds, key=seconds.__getitem__)
    longest = seconds[bound]
    return Prediction(
        gpu.name, kernel, (longest + latency) / 1e3, "latency" if latency > longest else bound
    )


def _latency(exchange: str, gpu: Gpu) -> int:
    """Clocks of an exchange that nothing hides."""
    if exchange == "Clustered":
        return gpu.cluster
    # A value goes to L2, and whoever looks there finds it on average half a look later.
    return gpu.barrier + (5 * gpu.l2_latency // 2 if exchange == "Tagged" else 0)
