"""The sources of the kernels, and the names of what is made of them.

Imported by ``setup.py`` too, before anything is installed: nothing but the standard library.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

__all__ = ["OPTIONS", "PACKAGE", "Defines", "KernelSources", "flags", "least_architecture"]

#: Of nvcc, for every kernel. fma is explicit in the sources, so that the bits are those of the CPU.
OPTIONS = ("-O3", "-std=c++17", "-fmad=false", "-lineinfo")

#: Macros: a name and its value.
Defines = Mapping[str, int | str]

_ACCEL = Path(__file__).resolve().parents[1]


class KernelSources(NamedTuple):
    """A folder of ``.cu`` and ``.cuh`` files, the headers they include, and PTX made of them.

    Attributes
    ----------
    kernels : Path
        Folder of the sources.
    include : Path
        Folder that ``#include`` searches; it need not exist.
    ptx : Path
        Folder with the PTX that an installation brings; it need not exist.
    """

    kernels: Path
    include: Path
    ptx: Path

    def digest(self, source: str, defines: Defines, *recipe: str) -> str:
        """A name for what comes out of `source`: of every source, the macros and the options.

        Parameters
        ----------
        source : str
            Name of a file in :attr:`kernels`.
        defines : mapping of str to int or str
        recipe : str
            What else the result depends on, the compiler's version for example.

        Returns
        -------
        str
        """
        digest = hashlib.sha256()
        for folder in (self.kernels, self.include):
            for path in sorted(folder.rglob("*")):
                if path.suffix in (".cu", ".cuh", ".h"):
                    name = path.relative_to(folder).as_posix()
                    digest.update(f"{name}\0".encode() + path.read_bytes() + b"\0")
        digest.update("\0".join((source, *flags(defines), *OPTIONS, *recipe)).encode())
        return digest.hexdigest()[:20]

    def ptx_file(self, source: str, defines: Defines, architecture: int) -> Path:
        """Where an installation has the PTX of `source` for this ``compute_<architecture>``."""
        stem = Path(source).stem
        return self.ptx / f"{stem}-{self.digest(source, defines)}.compute_{architecture}.ptx"

    def shipped(self, source: str, defines: Defines, architecture: int) -> Path | None:
        """The newest PTX of exactly these sources that a device can run, or None.

        Parameters
        ----------
        source : str
        defines : mapping of str to int or str
        architecture : int
            Of the device, 86 for a compute capability of 8.6.

        Returns
        -------
        Path or None
        """
        pattern = f"{Path(source).stem}-{self.digest(source, defines)}.compute_*.ptx"
        found = {int(path.suffixes[-2].partition("_")[2]): path for path in self.ptx.glob(pattern)}
        newest = max((number for number in found if number <= architecture), default=0)
        return found.get(newest)


def flags(defines: Defines) -> list[str]:
    """The macros as options of a compiler, in one order."""
    return [f"-D{name}={value}" for name, value in sorted(defines.items())]


def least_architecture(defines: Defines) -> int:
    """The oldest that a source can be compiled for, which serves the newer ones: 75 is compute_75.

    All PTX is made for it, so that a device runs the same code whoever compiled it, and the
    registers that are known of it are those that it takes.
    """
    return 90 if "REFRNN_CLUSTER" in defines else 75


#: What this package brings.
PACKAGE = KernelSources(_ACCEL / "cuda" / "kernels", _ACCEL / "include", _ACCEL / "cuda" / "ptx")
