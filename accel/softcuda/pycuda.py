"""Build PyCUDA against the library, from what the package registry has.

PyCUDA is a source distribution that links to ``libcuda.so.1`` and needs no GPU to be built. Headers
and nvcc come from NVIDIA's wheels, which are used by path; libcurand too.
"""

from __future__ import annotations

import importlib.metadata
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Callable
from pathlib import Path

from .build import BuildError, cache_folder, library
from .device import nvidia_folder

__all__ = ["VERSION", "install"]

VERSION = "2026.1"
_WHEELS = (
    "nvidia-cuda-nvcc",
    "nvidia-cuda-runtime",
    "nvidia-cuda-crt",
    "nvidia-nvvm",
    "nvidia-cuda-cccl",
    "nvidia-cuda-profiler-api",
    "nvidia-curand",
)


def install(say: Callable[[str], None]) -> None:
    """Install NVIDIA's wheels and PyCUDA, with curand, into this environment.

    Parameters
    ----------
    say : callable
        Is told, in a line each time, what is being done.

    Raises
    ------
    BuildError
        If pip or the build fails; the message has its last lines.

    Notes
    -----
    The wheel of PyCUDA is kept in the cache, one for each Python and version of
    CUDA's headers: a second environment takes it from there.
    """
    path = library(progress=say)
    say("installing nvcc, headers and curand (about 350 MB)")
    _pip("install", "--quiet", *_WHEELS)
    importlib.invalidate_caches()
    folder = nvidia_folder()
    if folder is None:
        raise BuildError("nvcc is not where NVIDIA's wheels have it")
    tag = f"cp{sys.version_info.major}{sys.version_info.minor}"
    # It is compiled with the headers, and finds its libraries by their names.
    headers = importlib.metadata.version("nvidia-cuda-runtime")
    wheels = cache_folder() / f"pycuda-{VERSION}-{tag}-cuda-{headers}"
    if not list(wheels.glob("*.whl")):
        say(f"building PyCUDA {VERSION} (a minute or two)")
        _build_wheel(path, folder, wheels)
    _pip("install", "--quiet", str(next(wheels.glob("*.whl"))))
    say(f"PyCUDA {VERSION} is installed: softcuda run python program.py")


def _build_wheel(path: Path, nvidia: Path, wheels: Path) -> None:
    with tempfile.TemporaryDirectory() as temporary:
        work = Path(temporary)
        _pip(
            "download", "--quiet", "--no-deps", "--no-binary", "pycuda", "--dest", temporary,
            f"pycuda=={VERSION}",
        )  # fmt: skip
        with tarfile.open(next(work.glob("pycuda-*.tar.gz"))) as archive:
            archive.extractall(work, filter="data")
        links = work / "lib"
        links.mkdir()
        (links / "libcuda.so").symlink_to(path)
        for found in (nvidia / "lib").glob("libcurand.so.*"):
            (links / "libcurand.so").symlink_to(found)
        source = next(p for p in work.glob("pycuda-*") if p.is_dir())
        (source / "siteconf.py").write_text(
            f"CUDA_ROOT = {str(nvidia)!r}\n"
            f"CUDA_INC_DIR = [{str(nvidia / 'include')!r}]\n"
            f"CUDADRV_LIB_DIR = [{str(links)!r}]\n"
            f"CURAND_LIB_DIR = [{str(links)!r}]\n"
            "CUDADRV_LIBNAME = ['cuda']\n"
            "CURAND_LIBNAME = ['curand']\n"
            "CUDA_ENABLE_CURAND = True\n"
            "USE_SHIPPED_BOOST = True\n"
            "BOOST_COMPILER = 'gcc43'\n",
            encoding="utf-8",
        )
        made = work / "wheel"
        _pip("wheel", "--quiet", "--no-deps", "--wheel-dir", str(made), str(source))
        wheels.mkdir(parents=True, exist_ok=True)
        for wheel in made.glob("*.whl"):
            temporary_name = wheels / f".{os.getpid()}"
            shutil.copy(wheel, temporary_name)
            os.replace(temporary_name, wheels / wheel.name)


def _pip(*arguments: str) -> None:
    command = [sys.executable, "-m", "pip", *arguments]
    done = subprocess.run(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False
    )
    if done.returncode:
        tail = "\n".join(done.stdout.strip().splitlines()[-15:])
        raise BuildError(f"pip {' '.join(arguments)} failed:\n{tail}")
