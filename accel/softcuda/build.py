"""Build the library: a C++17 compiler is all it takes, no CUDA toolkit."""

from __future__ import annotations

import hashlib
import os
import platform
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

__all__ = ["BuildError", "cache_folder", "find_compiler", "library"]

SOURCES = Path(__file__).parent / "src"
SONAME = "libcuda.so.1"

# mul and add must not be fused. Nobody asks for errno or traps, without which loops over lanes
# become vector instructions.
_FLAGS = (
    "-std=c++17", "-O3", "-fPIC", "-fvisibility=hidden",
    "-ffp-contract=off", "-fno-math-errno", "-fno-trapping-math",
)  # fmt: skip


class BuildError(RuntimeError):
    """The library could not be built; the message has the command and the compiler's words."""


def cache_folder() -> Path:
    """Where what was built is kept: ``$SOFTCUDA_CACHE``, or a folder of the user's cache.

    Returns
    -------
    Path
        It need not exist.
    """
    chosen = os.environ.get("SOFTCUDA_CACHE")
    if chosen:
        return Path(chosen)
    home = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(home) / "refrnn" / "softcuda"


def find_compiler() -> str:
    """The C++ compiler: ``$CXX``, or g++ or clang++ on the ``PATH``.

    Returns
    -------
    str
        The path of the program.

    Raises
    ------
    BuildError
        If there is none.
    """
    names = [os.environ["CXX"]] if os.environ.get("CXX") else ["g++", "clang++"]
    for name in names:
        found = shutil.which(name)
        if found:
            return found
    raise BuildError(f"no C++ compiler was found: looked for {', '.join(names)} on the PATH")


def library(*, progress: Callable[[str], None] | None = None) -> Path:
    """The path of ``libcuda.so.1``, built now if it has not been built before.

    Parameters
    ----------
    progress : callable, optional
        Is told, in a line each time, what is being done; by default nobody is.

    Returns
    -------
    Path
        In a folder of its own below the cache, by the text of the sources, the compiler
        and the flags. Another process may build it at the same time.

    Raises
    ------
    BuildError
        If this is not Linux, or there is no compiler, or it fails.
    """
    if not sys.platform.startswith("linux"):
        raise BuildError(f"softcuda runs on Linux only, this is {sys.platform}")
    compiler = find_compiler()
    flags = (*_FLAGS, *_machine_flags())
    sources = sorted(SOURCES.glob("*/*.cpp"))
    if not sources:
        raise BuildError(f"no sources in {SOURCES}")
    folder = cache_folder() / _key(compiler, flags)
    built = folder / SONAME
    if not built.exists():
        if progress is not None:
            progress(f"building {built} with {compiler}, once")
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder, prefix="build-") as temporary:
            made = _compile(compiler, flags, sources, Path(temporary))
            os.replace(made, built)
    return built


def _machine_flags() -> tuple[str, ...]:
    """AVX2 and FMA where the processor has them: twice as fast."""
    if platform.machine() not in ("x86_64", "AMD64"):
        return ()
    try:
        text = Path("/proc/cpuinfo").read_text(encoding="utf-8")
    except OSError:
        return ()
    flags = next((line.split() for line in text.splitlines() if line.startswith("flags")), [])
    has_all = {"avx2", "bmi1", "bmi2", "f16c", "fma", "movbe"} <= set(flags)
    return ("-march=x86-64-v3",) if has_all else ()


def _key(compiler: str, flags: tuple[str, ...]) -> str:
    """A name for what comes out: of the sources, the compiler and the flags."""
    version = subprocess.run([compiler, "--version"], capture_output=True, text=True, check=False)
    digest = hashlib.sha256("\0".join((compiler, version.stdout, *flags)).encode())
    for path in sorted(SOURCES.rglob("*")):
        if path.suffix in (".cpp", ".h"):
            digest.update(path.name.encode() + b"\0" + path.read_bytes())
    return digest.hexdigest()[:20]


def _compile(compiler: str, flags: tuple[str, ...], sources: list[Path], folder: Path) -> Path:
    """Compile each source, as many at a time as there are cores, and link them."""

    def compile_one(source: Path) -> Path:
        target = folder / f"{source.parent.name}_{source.stem}.o"
        _run([compiler, *flags, "-c", str(source), "-o", str(target)])
        return target

    with ThreadPoolExecutor(len(os.sched_getaffinity(0))) as pool:
        objects = list(pool.map(compile_one, sources))
    made = folder / SONAME
    _run([compiler, "-shared", f"-Wl,-soname,{SONAME}", "-o", str(made), *map(str, objects)])
    return made


def _run(command: list[str]) -> None:
    done = subprocess.run(command, capture_output=True, text=True, errors="replace", check=False)
    if done.returncode:
        raise BuildError(f"{' '.join(command)}\n{done.stderr.strip()}")
