"""Build the library: a C++17 compiler is all it takes, no CUDA toolkit.

Imported by ``setup.py`` too, before anything is installed: nothing but the standard library.
"""

from __future__ import annotations

import functools
import hashlib
import json
import os
import platform
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

__all__ = ["BuildError", "Recipe", "cache_folder", "find_compiler", "install", "library"]

PACKAGE = Path(__file__).parent
SOURCES = PACKAGE / "src"
SONAME = "libcuda.so.1"
#: Beside a library: what it was made from and how.
RECORD = "build.json"
#: The sanitizers of gcc and clang that work on a library which Python loads.
SANITIZERS = ("address", "undefined", "thread")

# mul and add must not be fused. Nobody asks for errno or traps, without which loops over lanes
# become vector instructions.
_FLAGS = (
    "-std=c++17", "-fPIC", "-fvisibility=hidden",
    "-ffp-contract=off", "-fno-math-errno", "-fno-trapping-math",
)  # fmt: skip
_OPTIMIZED = ("-O3",)
_SANITIZED = ("-O1", "-g1", "-fno-omit-frame-pointer", "-fno-sanitize-recover=all")
# Not -Wpedantic, which knows no __int128, nor -Wshadow, by which g++ means constructors too.
_STRICT = (
    "-Wall",
    "-Wextra",
    "-Wconversion",
    "-Wsign-conversion",
    "-Wnon-virtual-dtor",
    "-Werror",
    "-Wno-pass-failed",
)  # clang++, of a loop that it could not vectorise
_BASELINE = ""


class BuildError(RuntimeError):
    """The library could not be built; the message has the command and the compiler's words.

    Attributes
    ----------
    command : str
        What was run, or "".
    reason : str
        What it said.
    """

    def __init__(self, reason: str, command: str = "") -> None:
        super().__init__(f"{command}\n{reason}" if command else reason)
        self.command, self.reason = command, reason


class Recipe(NamedTuple):
    """How a library is made: a compiler, its version and the flags."""

    compiler: str
    version: str
    flags: tuple[str, ...]

    @classmethod
    def of_this_machine(cls, *, sanitize: Sequence[str] = (), strict: bool = False) -> Recipe:
        """The recipe for this machine and environment; BuildError where there is none."""
        if not sys.platform.startswith("linux"):
            raise BuildError(f"softcuda runs on Linux only, this is {sys.platform}")
        compiler = find_compiler()
        version = _ask(compiler, "--version").partition("\n")[0]
        if sanitize and "clang" in version:
            raise BuildError("sanitizers are built with g++: Python can load its libraries of them")
        level = _level_of_this_machine() if _is_native(compiler) else _BASELINE
        flags = [*_FLAGS, *((f"-march={level}",) if level else ())]
        flags += [*_SANITIZED, f"-fsanitize={','.join(sanitize)}"] if sanitize else _OPTIMIZED
        flags += _STRICT if strict else ()
        return cls(compiler, version, tuple(flags))

    def key(self) -> str:
        """A name for what comes out: of the sources, the compiler and the flags."""
        recipe = Path(__file__).read_text(encoding="utf-8")
        parts = "\0".join((sources_digest(), recipe, self.compiler, self.version, *self.flags))
        return hashlib.sha256(parts.encode()).hexdigest()[:20]

    def _extra_flags(self, source: Path) -> tuple[str, ...]:
        """Without this clang++ makes -0 of an unsigned 0 where numbers are rounded down."""
        is_converting = source.name == "decode_convert.cpp"
        return ("-frounding-math",) if is_converting and "clang" in self.version else ()

    def build(self, target: Path) -> None:
        """Compile the library to this file, with its record beside it.

        Each source by itself, as many at a time as there are cores, the largest first. Another
        process may do the same at the same time: each of the two files is whole at any time.
        """
        sources = sorted(SOURCES.glob("*/*.cpp"), key=lambda path: -path.stat().st_size)
        if not sources:
            raise BuildError(f"no sources in {SOURCES}")
        target.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=target.parent, prefix="build-") as temporary:
            folder = Path(temporary)

            def compile_one(source: Path) -> Path:
                made = folder / f"{source.parent.name}_{source.stem}.o"
                extra = self._extra_flags(source)
                _run([self.compiler, *self.flags, *extra, "-c", str(source), "-o", str(made)])
                return made

            with ThreadPoolExecutor(len(os.sched_getaffinity(0))) as pool:
                objects = [str(made) for made in pool.map(compile_one, sources)]
            linked = folder / SONAME
            flags = [flag for flag in self.flags if flag.startswith("-fsanitize=")]
            _run(
                [self.compiler, "-shared", *flags, "-pthread", f"-Wl,-soname,{SONAME}"]
                + ["-o", str(linked), *objects]
            )
            record = folder / RECORD
            facts = {"sources": sources_digest(), **self._asdict()}
            record.write_text(json.dumps(facts, indent=2) + "\n", encoding="utf-8")
            os.replace(record, target.with_name(RECORD))
            os.replace(linked, target)


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
    looked = " and ".join(names)
    raise BuildError(f"no C++ compiler: {looked} not found on the PATH", f"which {' '.join(names)}")


def sanitizers(text: str) -> tuple[str, ...]:
    """The sanitizers that a list such as ``address,undefined`` names.

    Parameters
    ----------
    text : str
        Names with commas between them; an empty one names none.

    Returns
    -------
    tuple of str

    Raises
    ------
    BuildError
        If a name is not one of `SANITIZERS`.
    """
    names = tuple(text.split(",")) if text else ()
    if not set(names) <= set(SANITIZERS):
        raise BuildError(
            f"SOFTCUDA_SANITIZE has value {text!r}, expected a list of {', '.join(SANITIZERS)}"
        )
    return names


def library(*, progress: Callable[[str], None] | None = None, strict: bool = False) -> Path:
    """The path of ``libcuda.so.1``, built now if it has not been built before.

    Parameters
    ----------
    progress : callable, optional
        Is told, in a line each time, what is being done; by default nobody is.
    strict : bool, optional
        Build with warnings that are errors, for those who work on the sources.

    Returns
    -------
    Path
        The one that came with the installation, where it fits: these sources, this
        processor, and ``$CXX`` if that is set. Otherwise one in a folder of its own below
        the cache, by the text of the sources, the compiler and the flags; another process
        may build it at the same time. With ``$SOFTCUDA_SANITIZE`` (a list of address,
        undefined and thread) one that has these sanitizers.

    Raises
    ------
    BuildError
        If this is not Linux, or there is no compiler, or it fails.
    """
    sanitize = sanitizers(os.environ.get("SOFTCUDA_SANITIZE", ""))
    if not (sanitize or strict):
        installed = PACKAGE / "lib" / SONAME
        if is_usable(installed):
            return installed
    recipe = Recipe.of_this_machine(sanitize=sanitize, strict=strict)
    built = cache_folder() / recipe.key() / SONAME
    if not built.exists():
        if progress is not None:
            progress(f"building {built} with {recipe.compiler}, once")
        recipe.build(built)
    return built


def install(target: Path | None) -> None:
    """Build the library for an installation, unless it is there and serves.

    Parameters
    ----------
    target : Path or None
        File to build it to; None for the cache, where an editable installation has it.

    Raises
    ------
    BuildError
        If it cannot be built. An older one is then not left behind.
    """
    if target is None:
        library()
    elif not is_usable(target):
        try:
            Recipe.of_this_machine().build(target)
        except BuildError:
            target.unlink(missing_ok=True)
            raise


def is_usable(path: Path) -> bool:
    """Whether a library that was built somewhere serves here.

    An installation compiles for its own processor, since that is twice as fast as code for any;
    but a wheel travels, so that what it was compiled for is looked up each time.

    Parameters
    ----------
    path : Path
        Of the library; it need not exist.

    Returns
    -------
    bool
        False also where the sources have changed since, or ``$CXX`` is another compiler.
    """
    try:
        record = json.loads(path.with_name(RECORD).read_text(encoding="utf-8"))
    except OSError:
        return False
    if not path.exists() or record["sources"] != sources_digest():
        return False
    if os.environ.get("CXX") and record["compiler"] != shutil.which(os.environ["CXX"]):
        return False
    march = [flag.removeprefix("-march=") for flag in record["flags"] if "-march=" in flag]
    return (march[0] if march else _BASELINE) in (_BASELINE, _level_of_this_machine())


def flags_of(path: Path) -> list[str]:
    """The compiler's flags for a library that :func:`library` returned.

    Parameters
    ----------
    path : Path
        Of the library.

    Returns
    -------
    list of str
    """
    record = json.loads(path.with_name(RECORD).read_text(encoding="utf-8"))
    return [str(flag) for flag in record["flags"]]


def runtimes(path: Path) -> tuple[str, ...]:
    """The libraries that a process must load before this one, for the sanitizers in it.

    Parameters
    ----------
    path : Path
        Of a library that :func:`library` returned.

    Returns
    -------
    tuple of str
        For ``LD_PRELOAD``; empty where the library has no sanitizers.
    """
    record = json.loads(path.with_name(RECORD).read_text(encoding="utf-8"))
    flag = next((f for f in flags_of(path) if f.startswith("-fsanitize=")), "")
    wanted = {"address": "libasan.so", "undefined": "libubsan.so", "thread": "libtsan.so"}
    chosen = [wanted[name] for name in flag.partition("=")[2].split(",") if name]
    # The address sanitizer wraps throw, and looks for it when it starts.
    names = [*chosen, "libstdc++.so.6"] if chosen else []
    found = []
    for name in names:
        command = [record["compiler"], f"-print-file-name={name}"]
        found.append(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
    return tuple(name.strip() for name in found)


@functools.cache
def sources_digest() -> str:
    """Of the text of every source: what changes when the library would."""
    digest = hashlib.sha256()
    for path in sorted(SOURCES.rglob("*")):
        if path.suffix in (".cpp", ".h"):
            name = path.relative_to(SOURCES).as_posix()
            digest.update(name.encode() + b"\0" + path.read_bytes() + b"\0")
    return digest.hexdigest()


@functools.cache
def _ask(compiler: str, option: str) -> str:
    """What a compiler says of itself."""
    asked = subprocess.run([compiler, option], capture_output=True, text=True, check=False)
    return asked.stdout.strip()


def _is_native(compiler: str) -> bool:
    """Whether it compiles for machines like this one: a cross compiler does not."""
    return _ask(compiler, "-dumpmachine").partition("-")[0] == platform.machine()


@functools.cache
def _level_of_this_machine() -> str:
    """For ``-march``: AVX2 and FMA where the processor has them, which is twice as fast."""
    if platform.machine() not in ("x86_64", "AMD64"):
        return _BASELINE
    try:
        text = Path("/proc/cpuinfo").read_text(encoding="utf-8")
    except OSError:
        return _BASELINE
    flags = next((line.split() for line in text.splitlines() if line.startswith("flags")), [])
    has_all = {"avx2", "bmi1", "bmi2", "f16c", "fma", "movbe"} <= set(flags)
    return "x86-64-v3" if has_all else _BASELINE


def _run(command: list[str]) -> None:
    done = subprocess.run(command, capture_output=True, text=True, errors="replace", check=False)
    if done.returncode:
        raise BuildError(done.stderr.strip(), " ".join(command))
