"""What of the machine and its settings bears on a timing: the report must say it."""

from __future__ import annotations

import os
import platform
from collections.abc import Mapping
from pathlib import Path
from typing import Any

__all__ = ["available_cores", "load_average", "machine_facts", "setting_notes", "settings_in"]

_PREFIXES = (
    *("OPENBLAS_", "OMP_", "GOMP_", "KMP_", "MKL_", "BLIS_", "GOTO_", "VECLIB_", "ONEDNN_"),
    *("JAX_", "NPROC", "PJRT_", "XLA_"),
)


def available_cores() -> int:
    """Cores that this process may run on."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def load_average() -> float | None:
    """Processes that wanted to run in the last minute, on average; None where nobody counts."""
    try:
        return os.getloadavg()[0]
    except (AttributeError, OSError):
        return None


def machine_facts() -> dict[str, Any]:
    """Processor, cores, load average and the variables that tune thread pools and BLAS.

    Returns
    -------
    dict
        Keys ``processor``, ``cores``, ``load_average`` and ``variables``: what JSON can hold.
    """
    return {
        "processor": _processor(),
        "cores": available_cores(),
        "load_average": load_average(),
        "variables": settings_in(os.environ),
    }


def settings_in(variables: Mapping[str, str]) -> dict[str, str]:
    """Those environment variables that tune thread pools, BLAS, or NumPy's instruction sets.

    Parameters
    ----------
    variables : mapping of str to str
    """
    return {
        name: value
        for name, value in sorted(variables.items())
        if name.startswith(_PREFIXES) or name == "NPY_DISABLE_CPU_FEATURES"
    }


def setting_notes(facts: Mapping[str, Any]) -> list[str]:
    """What a reader of the timings must know about the settings, a line each.

    Parameters
    ----------
    facts : mapping
        As :func:`machine_facts` gives them.
    """
    notes = []
    variables = facts["variables"]
    if "OPENBLAS_CORETYPE" in variables:
        notes.append(
            f"OPENBLAS_CORETYPE={variables['OPENBLAS_CORETYPE']} was set, and kept: OpenBLAS then "
            "runs that kernel,\nnot the fastest one for this processor. Unset it to time NumPy."
        )
    others = [f"{n}={v}" for n, v in variables.items() if n != "OPENBLAS_CORETYPE"]
    if others:
        notes.append(f"Also set (numbers of threads are replaced): {', '.join(others)}.")
    load = facts["load_average"]
    if load is not None and load > 0.5:
        notes.append(
            f"The load average was {load:.1f} at the start: this machine was not left alone."
        )
    return notes


def _processor() -> str:
    """The name of the processor, as far as the platform tells it."""
    try:
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    except OSError:
        pass  # no Linux
    return platform.processor() or platform.machine()
