"""Use the device in this process."""

from __future__ import annotations

import ctypes
import importlib.util
import json
import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from .build import library
from .report import merged, short_name, table
from .settings import SETTINGS, refusal, variables

__all__ = ["Profile", "activate", "nvidia_folder", "profile"]


def nvidia_folder() -> Path | None:
    """Where NVIDIA's wheels (nvcc, headers, libcurand) lie in this environment, or None."""
    found = importlib.util.find_spec("nvidia")
    for place in (found.submodule_search_locations or ()) if found else ():
        for folder in sorted(Path(place).glob("cu[0-9]*"), reverse=True):
            if (folder / "bin" / "nvcc").exists():
                return folder
    return None


def activate(
    *,
    check: str | Sequence[str] | None = None,
    schedule: str | None = None,
    seed: int | None = None,
    threads: int | None = None,
    streams: str | None = None,
    approx: str | int | None = None,
    multiprocessors: int | None = None,
    compute_capability: int | None = None,
    memory_mb: int | None = None,
    patience: int | None = None,
    budget: int | None = None,
) -> Path:
    """Make this process's CUDA driver the one in software.

    Must come before anything loads a real driver or PyCUDA. What is loaded afterwards finds the
    library by its name; nvcc of NVIDIA's wheels comes first on the ``PATH``, and
    ``PYCUDA_DEFAULT_NVCC_FLAGS`` gains ``-lineinfo``, without which a cubin carries no PTX.

    Parameters
    ----------
    check : str or sequence of str, optional
        What is looked for beside bounds and alignment: ``"race,uninit"`` adds to what is on,
        ``"-lanes"`` leaves one out, ``"all"`` and ``"none"`` do as they say.
    schedule : {"post-dominator", "lowest-pc", "adversarial"}, optional
        How a warp that has diverged comes together.
    seed : int, optional
        Of the adversarial schedule.
    threads : int, optional
        Of the host, for launches whose blocks do not communicate.
    streams : {"synchronous", "lazy"}, optional
        When the work of a stream is done: at once, or when somebody waits for it.
    approx : "exact" or int, optional
        A seed makes ``.approx`` instructions err, by as much as they may.
    multiprocessors, compute_capability, memory_mb : int, optional
        Of the device that is modelled; a compute capability of 8.6 is 86.
    patience, budget : int, optional
        After how many instructions without a change in memory it is a deadlock, and after how
        many a launch is stopped.

    Returns
    -------
    Path
        Of the library that was loaded.

    Raises
    ------
    BuildError
        If it cannot be built.
    RuntimeError
        If a CUDA driver or PyCUDA is loaded already, or a setting comes after the device has
        started with another.
    ValueError
        If a setting has a value that means nothing.

    Notes
    -----
    What is not given here comes from the environment, ``SOFTCUDA_CHECK`` and so on, and has the
    default of :ref:`the settings <softcuda-settings>` where that is silent too.
    """
    changed = variables({name: value for name, value in locals().items() if name in SETTINGS})
    path = library()
    loaded = [
        line.split()[-1]
        for line in Path("/proc/self/maps").read_text(encoding="utf-8").splitlines()
        if "/libcuda.so" in line
    ]
    other = next((name for name in loaded if not os.path.samefile(name, path)), None)
    if other is not None:
        raise RuntimeError(f"a CUDA driver is loaded already: {other}")
    if not loaded and "pycuda._driver" in sys.modules:
        raise RuntimeError("pycuda has been imported before softcuda.activate()")
    driver = ctypes.CDLL(str(path), mode=ctypes.RTLD_GLOBAL)
    _apply(driver, path, changed)
    os.environ.update(environment(path))
    folder = nvidia_folder()
    if folder is not None:
        for name in ("libcudart.so.*", "libcurand.so.*"):
            for extra in (folder / "lib").glob(name):
                ctypes.CDLL(str(extra), mode=ctypes.RTLD_GLOBAL)
    return path


def _apply(driver: ctypes.CDLL, path: Path, changed: dict[str, str]) -> None:
    """Put settings where the device finds them when it starts, unless it would not."""
    late = {name: value for name, value in changed.items() if os.environ.get(name) != value}
    if not late:
        return
    not_initialized = 3
    if driver.cuDeviceGetCount(ctypes.byref(ctypes.c_int())) != not_initialized:
        words = ", ".join(f"{name}={value}" for name, value in late.items())
        raise RuntimeError(f"the device has started already, too late for {words}")
    reason = refusal(path, {**os.environ, **late})
    if reason is not None:
        raise ValueError(reason)
    os.environ.update(late)


def environment(path: Path) -> dict[str, str]:
    """Environment variables with which a program finds the library, nvcc and line numbers."""
    folder = nvidia_folder()
    libraries = [str(path.parent)]
    changed = {}
    if folder is not None:
        libraries.append(str(folder / "lib"))
        changed["PATH"] = os.pathsep.join([str(folder / "bin"), os.environ.get("PATH", "")])
        ptxas = folder / "bin" / "ptxas"
        if ptxas.exists():
            changed["SOFTCUDA_PTXAS"] = os.environ.get("SOFTCUDA_PTXAS", str(ptxas))
    before = os.environ.get("LD_LIBRARY_PATH")
    changed["LD_LIBRARY_PATH"] = os.pathsep.join(libraries + ([before] if before else []))
    flags = os.environ.get("PYCUDA_DEFAULT_NVCC_FLAGS", "")
    if "-lineinfo" not in flags.split():
        changed["PYCUDA_DEFAULT_NVCC_FLAGS"] = f"{flags} -lineinfo".strip()
    return changed


class Profile:
    """What was counted between the start and the end of a ``with softcuda.profile()``.

    Printed, it is a table. ``counted["name"]`` is what one kernel did, by its name or, in C++, by
    the name with or without the parameters.

    Attributes
    ----------
    kernels : list of dict
        One a kernel that ran, and one a function that kernels called; several of the same name
        are added up. Empty until the block has ended. Each has

        * ``name``, ``demangled`` (as C++ spells it), ``is_entry``, ``launches``, ``registers``;
        * ``warp_instructions``, ``lane_instructions``, ``flops``, ``divergent_branches``, and
          ``barriers`` that warps came to;
        * ``classes``: for each class of instructions how many ``warps`` and ``lanes`` executed
          one;
        * ``global_requests`` of warps and ``global_sectors`` (of 32 bytes), and of these apart
          ``global_load_requests``, ``global_load_sectors`` and so on for ``store`` and
          ``atomic``;
        * ``shared_requests``, ``shared_wavefronts``, ``shared_ideal_wavefronts`` without
          conflicts, and the difference, ``shared_conflicts``;
        * ``atomics``: operations of lanes, in any memory;
        * ``lines``: for each line of the source ``file``, ``line`` and those of the counts above
          that mean something there. Empty without ``-lineinfo``.
    """

    def __init__(self) -> None:
        self.kernels: list[dict[str, Any]] = []

    def __getitem__(self, name: str) -> dict[str, Any]:
        for kernel in self.kernels:
            if name in (kernel["name"], kernel["demangled"], short_name(kernel)):
                return kernel
        raise KeyError(name)

    def __str__(self) -> str:
        return self.table()

    def table(self, *, lines: int = 10) -> str:
        """Kernels, and the lines of the source that executed most, as text.

        Parameters
        ----------
        lines : int, optional
            How many lines of the source at most.

        Returns
        -------
        str
        """
        return table(self.kernels, lines=lines)


@contextmanager
def profile() -> Iterator[Profile]:
    """Count what kernels do: ``with softcuda.profile() as counted: ...``.

    The counts are exact, and the same on every run and machine. Counting starts at 0; one profile
    at a time.

    Yields
    ------
    Profile
        Filled at the end of the block.
    """
    driver = ctypes.CDLL(str(activate()), mode=ctypes.RTLD_GLOBAL)
    driver.softcuda_profile.restype = ctypes.c_char_p
    driver.softcuda_reset()
    counted = Profile()
    yield counted
    counted.kernels = merged(json.loads(driver.softcuda_profile())["kernels"])
