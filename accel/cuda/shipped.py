"""Which kernels a wheel brings as PTX, and the step of the build that makes it.

PTX needs neither nvcc nor a host compiler where it runs. Imported by ``setup.py``, before anything
is installed: nothing but the standard library.
"""

from __future__ import annotations

import os
import re
import tempfile
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

from ..softcuda.build import BuildError
from .known_cuts import KnownCut, read
from .nvcc import compile_source, find_nvcc, run
from .ptx import lowered
from .sources import PACKAGE, Defines, KernelSources, least_architecture

__all__ = ["SHIPPED", "BuildError", "Entry", "entries", "install", "make"]


class Entry(NamedTuple):
    """One file of PTX.

    Attributes
    ----------
    source : str
        Name of a file in ``kernels``.
    defines : mapping of str to int or str
        Macros.
    architecture : int
        The least that it runs on: 80 is ``compute_80``.
    """

    source: str
    defines: Defines
    architecture: int


#: Sources that are compiled without macros.
_PLAIN = ("contiguous.cu", "products.cu")
#: The default of each layer.
_USUAL_CELLS = ("RnnTanh", "Lstm", "GruResetAfter")


def entries(rows: Iterable[KnownCut]) -> tuple[Entry, ...]:
    """What is shipped if these are the cuts that are known.

    Of the recurrence what is trained most: in float32, of up to 256 units. Others are compiled
    where they are first used; every module makes the wheel larger, and its making longer by a
    second.

    Parameters
    ----------
    rows : iterable of KnownCut

    Returns
    -------
    tuple of Entry
    """
    made = [Entry(source, {}, least_architecture({})) for source in _PLAIN]
    for row in rows:
        if _is_shipped(row):
            defines = row.key.defines(row.held)
            made.append(Entry("recurrence.cu", defines, least_architecture(defines)))
    return tuple(made)


def _is_shipped(row: KnownCut) -> bool:
    key = row.key
    is_usual = key.number == "float" and key.cell in _USUAL_CELLS
    return is_usual and (key.exchange == "Alone" or key.columns <= 256)


#: What is shipped. Of a source and its macros a device takes the highest architecture not above its
#: own.
SHIPPED: tuple[Entry, ...] = entries(read())


def install(target: Path | None) -> None:
    """Make what is shipped, in this folder.

    Parameters
    ----------
    target : Path or None
        None in an editable installation, whose sources may change: there kernels are compiled when
        they are first used, and only nvcc is looked for.

    Raises
    ------
    BuildError
        If there is no nvcc, or it fails. The folder is then without PTX.
    """
    if target is not None:
        target.mkdir(parents=True, exist_ok=True)
        for old in target.glob("*.ptx"):
            old.unlink()
    nvcc = find_nvcc()
    if target is None:
        return
    sources = PACKAGE._replace(ptx=target)
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        made = [pool.submit(make, nvcc, sources, entry) for entry in SHIPPED]
        texts = [future.result() for future in made]
    for entry, text in zip(SHIPPED, texts, strict=True):
        sources.ptx_file(*entry).write_text(text, encoding="utf-8")


def make(nvcc: Path, sources: KernelSources, entry: Entry) -> str:
    """The PTX of one entry, as old a version as can be, checked by ptxas.

    Parameters
    ----------
    nvcc : Path
    sources : KernelSources
    entry : Entry

    Returns
    -------
    str
        Its line numbers name the sources without the folder in which the wheel was built.

    Raises
    ------
    BuildError
        If nvcc or ptxas fails.
    """
    architecture = entry.architecture
    with tempfile.TemporaryDirectory(prefix="refrnn-") as temporary:
        file, cubin = Path(temporary, "kernel.ptx"), Path(temporary, "kernel.cubin")
        code = f"compute_{architecture}"
        compile_source(nvcc, sources, entry.source, entry.defines, code, file)
        text = lowered(file.read_text(encoding="utf-8"), architecture)
        text = re.sub(r'(?m)^(\s*\.file\s+\d+\s+")[^"]*[/\\]', r"\1", text)
        file.write_text(text, encoding="utf-8")
        run([str(nvcc), "--cubin", f"-arch=sm_{architecture}", "-o", str(cubin), str(file)])
    return text
