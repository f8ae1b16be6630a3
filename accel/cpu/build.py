"""How the kernels are compiled: a module for each instruction set of the architecture.

Imported by ``setup.py`` before anything is installed: nothing but the standard library and
setuptools.
"""

from __future__ import annotations

import platform
from pathlib import Path
from typing import Any

from setuptools import Extension

__all__ = ["CHECKED", "extensions"]

_FLAGS = (
    "-std=c++17", "-O2", "-ffp-contract=off", "-fno-math-errno", "-fno-trapping-math",
    "-fvisibility=hidden", "-Wno-psabi",
)  # fmt: skip
#: Of the compiler and the linker, beside those of a module: what is out of bounds or undefined ends
#: the process with a report.
CHECKED = (
    "-g1", "-O1", "-fno-omit-frame-pointer", "-D_GLIBCXX_ASSERTIONS",
    "-fsanitize=address,undefined", "-fno-sanitize-recover=all",
)  # fmt: skip
_AVX2 = ("-mavx2", "-mfma")
_AVX512 = (*_AVX2, "-mavx512f", "-mavx512dq", "-mavx512vl", "-mavx512bw")


def extensions(flags: tuple[str, ...] = ()) -> list[Any]:
    """The modules of kernels, each for every Python from 3.11 on.

    Parameters
    ----------
    flags : tuple of str
        Of compiler and linker, on top.

    Returns
    -------
    list of Extension
        Their sources are relative to the root of the project.
    """
    made = [_extension("baseline", flags)]
    if platform.machine() in ("x86_64", "AMD64"):
        made += [_extension("avx2", (*_AVX2, *flags)), _extension("avx512", (*_AVX512, *flags))]
    return made


def _extension(instruction_set: str, flags: tuple[str, ...]) -> Any:
    folder = Path("accel/cpu")
    return Extension(
        f"refrnn_accel.cpu._{instruction_set}",
        [str(folder / f"_{instruction_set}.pyx")],
        include_dirs=["accel/include", str(folder / "src")],
        depends=[*map(str, folder.glob("src/*.h")), str(folder / "kernels.pxi")],
        define_macros=[("Py_LIMITED_API", "0x030B0000")],
        extra_compile_args=[*_FLAGS, *flags],
        extra_link_args=["-pthread", *flags],
        language="c++",
        py_limited_api=True,
    )
