"""Time the unrolls, and other libraries beside them; ``refrnn bench`` is its command line."""

from __future__ import annotations

from .contestants import PEERS, Contestant, Peer, find_contestants
from .process import WorkerError
from .results import Measured, Result, Settings, Status
from .running import run_bench
from .timing import Sample, Summary, summarise
from .worker import WORKS
from .workloads import WORKLOAD_SETS, Workload, find_workloads

__all__ = [
    "PEERS",
    "WORKLOAD_SETS",
    "WORKS",
    "Contestant",
    "Measured",
    "Peer",
    "Result",
    "Sample",
    "Settings",
    "Status",
    "Summary",
    "WorkerError",
    "Workload",
    "find_contestants",
    "find_workloads",
    "run_bench",
    "summarise",
]
