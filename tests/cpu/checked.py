"""Run tests with kernels that check bounds and what is undefined: ``python tests/cpu/checked.py``.

Compiles all modules of kernels with AddressSanitizer, UBSan and libstdc++'s assertions, puts them
in a copy of the package, and runs pytest on that; arguments are pytest's, by default this folder.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import refrnn_accel
from Cython.Build import cythonize
from refrnn_accel.cpu.build import CHECKED, extensions
from setuptools import Distribution
from setuptools.command.build_ext import build_ext

ROOT = Path(__file__).parents[2]


def build(folder: Path) -> None:
    """The modules, in this folder's ``refrnn_accel/cpu``."""
    modules = cythonize(extensions(CHECKED), build_dir=str(folder / "c"), quiet=True)
    for module in modules:
        module.py_limited_api = True
    command = build_ext(Distribution({"name": "checked", "ext_modules": modules}))
    command.build_lib, command.build_temp = str(folder), str(folder / "objects")
    command.parallel = True
    command.ensure_finalized()
    command.run()


def main() -> int:
    """The exit status of pytest."""
    os.chdir(ROOT)
    with tempfile.TemporaryDirectory(prefix="refrnn-checked-") as temporary:
        folder = Path(temporary)
        shutil.copytree(
            Path(refrnn_accel.__file__).parent, folder / "refrnn_accel",
            ignore=shutil.ignore_patterns("*.so", "lib", "ptx"),
        )  # fmt: skip
        build(folder)
        library = subprocess.run(
            [os.environ.get("CXX", "g++"), "-print-file-name=libasan.so"],
            capture_output=True, text=True, check=True,
        ).stdout.strip()  # fmt: skip
        path = os.pathsep.join(filter(None, [str(folder), os.environ.get("PYTHONPATH")]))
        settings = {
            "LD_PRELOAD": library,
            "ASAN_OPTIONS": "detect_leaks=0",  # Python leaves much to the end of the process
            "UBSAN_OPTIONS": "print_stacktrace=1",
            "PYTHONPATH": path,
            "REFRNN_CHECKED": str(folder),
        }
        arguments = sys.argv[1:] or ["tests/cpu"]
        arguments += ["--ignore=tests/cpu/test_kernel_bugs.py"]  # which compiles kernels of its own
        command = [sys.executable, "-P", "-m", "pytest", "-p", "no:cacheprovider", *arguments]
        return subprocess.run(command, env={**os.environ, **settings}, check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
