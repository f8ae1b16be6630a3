"""What the device can be told: one table for `activate`, ``softcuda run`` and the environment.

The library reads the environment when it starts, and it alone knows which values mean something.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

__all__ = ["SETTINGS", "Setting", "refusal", "variables"]


class Setting(NamedTuple):
    """One setting: its environment variable, and what is said of it."""

    variable: str
    metavar: str
    text: str


#: By the name that it has as an argument of ``activate`` and, with dashes, of ``softcuda run``.
SETTINGS = {
    "check": Setting(
        "SOFTCUDA_CHECK",
        "LIST",
        "beside bounds and alignment: free, barrier, lanes, deadlock (these are on), race and "
        "uninit; all, none; a minus sign leaves one out",
    ),
    "schedule": Setting(
        "SOFTCUDA_SCHEDULE", "NAME", "post-dominator (the default), lowest-pc or adversarial"
    ),
    "seed": Setting("SOFTCUDA_SEED", "N", "of the adversarial schedule; 0"),
    "threads": Setting("SOFTCUDA_THREADS", "N", "of the host, for blocks that are independent; 1"),
    "streams": Setting(
        "SOFTCUDA_STREAMS", "NAME", "synchronous (the default), or lazy: work is done when awaited"
    ),
    "approx": Setting(
        "SOFTCUDA_APPROX",
        "SEED",
        "exact (the default), or a seed: .approx instructions err as much as they may",
    ),
    "multiprocessors": Setting("SOFTCUDA_MULTIPROCESSORS", "N", "of the device; 4"),
    "compute_capability": Setting("SOFTCUDA_COMPUTE_CAPABILITY", "N", "75 to 120; 86"),
    "memory_mb": Setting("SOFTCUDA_MEMORY_MB", "N", "memory of the device; 4096"),
    "patience": Setting(
        "SOFTCUDA_PATIENCE", "N", "instructions without change until it is a deadlock; 2e8"
    ),
    "budget": Setting("SOFTCUDA_BUDGET", "N", "instructions until a launch is stopped; no limit"),
}

#: Of the environment only: where things are, and what is for those who work on softcuda.
_OTHERS = {"CACHE", "FAULTS", "FORCE", "PROFILE", "PTXAS", "SANITIZE"}


def variables(settings: Mapping[str, object]) -> dict[str, str]:
    """The environment variables for some settings; what is None is left alone.

    Parameters
    ----------
    settings : mapping
        By names of `SETTINGS`; a value is a str or an int, or a sequence of str for a list.

    Returns
    -------
    dict
    """
    changed = {}
    for name, value in settings.items():
        if value is not None:
            is_list = isinstance(value, (list, tuple))
            text = ",".join(map(str, value)) if isinstance(value, (list, tuple)) else str(value)
            if not (is_list or isinstance(value, (str, int))) or isinstance(value, bool):
                kind = type(value).__name__
                raise TypeError(f"{name} has type {kind}, expected a str, an int or a list of str")
            if not text:
                raise ValueError(f"{name} has value {value!r}, expected {SETTINGS[name].text}")
            changed[SETTINGS[name].variable] = text
    return changed


def refusal(library: Path, environment: Mapping[str, str]) -> str | None:
    """Why the device would not start with an environment, in the library's words; None if it would.

    Parameters
    ----------
    library : Path
        Of ``libcuda.so.1``; a process of its own loads it, so that this one's stays as it is.
    environment : mapping
        The whole of it.

    Returns
    -------
    str or None
    """
    known = {setting.variable for setting in SETTINGS.values()}
    known |= {f"SOFTCUDA_{name}" for name in _OTHERS}
    unknown = sorted(n for n in environment if n.startswith("SOFTCUDA_") and n not in known)
    if unknown:
        return f"{unknown[0]} is set, expected one of {', '.join(sorted(known))}"
    program = f"import ctypes, sys; sys.exit(ctypes.CDLL({os.fspath(library)!r}).cuInit(0) != 0)"
    done = subprocess.run(
        [sys.executable, "-I", "-S", "-c", program],
        env=dict(environment), capture_output=True, text=True, check=False,
    )  # fmt: skip
    if done.returncode == 0:
        return None
    lines = [line for line in done.stderr.splitlines() if line.startswith("softcuda: ")]
    return (lines or done.stderr.splitlines() or ["the device does not start"])[-1].removeprefix(
        "softcuda: "
    )
