"""Find nvcc, and compile one source for one architecture.

Imported by ``setup.py`` too, before anything is installed: nothing but the standard library.
"""

from __future__ import annotations

import functools
import os
import shutil
import subprocess
import tempfile
from pathlib import Path

from ..softcuda.build import BuildError
from ..softcuda.device import nvidia_folder
from .sources import OPTIONS, Defines, KernelSources, flags, least_architecture

__all__ = ["cache_folder", "compile_source", "compiled", "find_nvcc", "nvcc_version", "run"]


def find_nvcc() -> Path:
    """The nvcc to use: of ``$CUDA_HOME``, else of NVIDIA's wheels, else on the ``PATH``.

    Returns
    -------
    Path

    Raises
    ------
    BuildError
        If there is none, or ``$CUDA_HOME`` is set and has none.
    """
    home = os.environ.get("CUDA_HOME")
    if home:
        found = shutil.which("nvcc", path=Path(home, "bin"))
        if found is None:
            raise BuildError(f"CUDA_HOME has value {home!r}, and bin/nvcc is not there")
        return Path(found)
    folder = nvidia_folder()
    if folder is not None:
        return folder / "bin" / "nvcc"
    found = shutil.which("nvcc")
    if found is None:
        raise BuildError(
            "no nvcc: CUDA_HOME is not set, NVIDIA's wheels are not in this environment "
            "(softcuda install-pycuda brings them), and it is not found on the PATH",
            "which nvcc",
        )
    return Path(found)


@functools.cache
def nvcc_version(nvcc: Path) -> str:
    """What nvcc says of itself; BuildError if it does not run."""
    return run([str(nvcc), "--version"])


def compile_source(
    nvcc: Path, sources: KernelSources, source: str, defines: Defines, code: str, target: Path
) -> None:
    """Compile to this file.

    Parameters
    ----------
    nvcc : Path
    sources : KernelSources
    source : str
        Name of a file in ``sources.kernels``.
    defines : mapping of str to int or str
        Macros.
    code : str
        ``compute_86`` makes PTX, ``sm_86`` a cubin of the PTX of :func:`least_architecture`.
    target : Path
        Its folder exists.

    Raises
    ------
    BuildError
        With the command and what nvcc said.
    """
    kind = ["--ptx", f"-arch={code}"]
    if code.startswith("sm_"):
        kind = ["--cubin", f"-arch=compute_{least_architecture(defines)}", f"-code={code}"]
    command = [str(nvcc), *OPTIONS, f"-I{sources.include}", *flags(defines), *kind]
    run([*command, "-o", str(target), str(sources.kernels / source)])


def compiled(nvcc: Path, sources: KernelSources, source: str, defines: Defines, code: str) -> Path:
    """The PTX or cubin of a source, from the cache; compiled if it is not there.

    Parameters
    ----------
    nvcc, sources, source, defines, code
        As of :func:`compile_source`.

    Returns
    -------
    Path
        Its name changes with any source, option or version of nvcc. It is whole at any time, also
        where two processes make it at once.
    """
    key = sources.digest(source, defines, code, nvcc_version(nvcc))
    suffix = ".ptx" if code.startswith("compute_") else ".cubin"
    folder = cache_folder()
    made = folder / f"{Path(source).stem}-{key}{suffix}"
    if not made.exists():
        try:
            folder.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryDirectory(dir=folder, prefix="build-") as temporary:
                unfinished = Path(temporary, made.name)
                compile_source(nvcc, sources, source, defines, code, unfinished)
                os.replace(unfinished, made)
        except OSError as error:
            raise BuildError(
                f"{folder} cannot be written ({error}): set REFRNN_CUDA_CACHE"
            ) from error
    return made


def cache_folder() -> Path:
    """Where compiled kernels are kept: ``$REFRNN_CUDA_CACHE``, or a folder of the user's cache.

    Returns
    -------
    Path
        It need not exist.
    """
    chosen = os.environ.get("REFRNN_CUDA_CACHE")
    if chosen:
        return Path(chosen)
    home = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(home) / "refrnn" / "cuda"


def run(command: list[str]) -> str:
    """What a command prints; BuildError, with its words, where it fails or does not exist."""
    try:
        done = subprocess.run(
            command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace"
        )
    except OSError as error:
        raise BuildError(str(error), " ".join(command)) from error
    if done.returncode:
        raise BuildError(done.stdout.strip() or f"exit status {done.returncode}", " ".join(command))
    return done.stdout
