"""Build softcuda and the CPU kernels for arm64, and run their tests there, under qemu.

``tox -e arm64``. Needs the Debian packages g++-aarch64-linux-gnu, qemu-user-static and mmdebstrap.
Python for arm64 comes from Debian, NumPy and Hypothesis as wheels, pytest from this environment.
Half an hour; arguments are pytest's, by default all tests.
"""

from __future__ import annotations

import importlib.util
import os
import shutil
import subprocess
import sys
import sysconfig
import tempfile
from pathlib import Path

import refrnn_accel
from Cython.Build import cythonize
from refrnn_accel.cpu import instruction_sets
from refrnn_accel.cpu.build import extensions
from refrnn_accel.softcuda.build import Recipe

ROOT = Path(__file__).parents[1]
COMPILER = "aarch64-linux-gnu-g++"
EMULATOR = "qemu-aarch64-static"
#: Pure Python, of this environment.
BORROWED = (
    "_pytest", "execnet", "iniconfig", "mpmath", "packaging", "pluggy", "py", "pygments", "pytest",
    "xdist",
)  # fmt: skip
#: So that the kernels are found by their name.
ENTRY_POINTS = "[refrnn.unrolls]\ncython = refrnn_accel.cpu:CythonUnroll\n"
# Of softcuda's tests: what is about this machine's compilers or speed, and what takes an hour.
LEFT_OUT = ("build", "compiler", "bench", "sanitize", "damaged", "approximation")
# Those of the kernels but for what compiles kernels of its own.
KERNELS = ("tests/cpu", "--ignore=tests/cpu/test_kernel_bugs.py")


def system(folder: Path) -> Path:
    """A folder with Debian's Python for arm64, unpacked and not installed."""
    root = folder / "root"
    subprocess.run(
        ["mmdebstrap", "--quiet", "--architectures=arm64", "--variant=extract",
         "--include=python3,libstdc++6", "bookworm", root],
        check=True,
    )  # fmt: skip
    return root


def wheels(folder: Path) -> Path:
    """What has compiled parts, as wheels for Debian's Python."""
    target = folder / "wheels"
    subprocess.run(
        [sys.executable, "-m", "pip", "install", "--quiet", f"--target={target}",
         "--platform=manylinux_2_27_aarch64", "--platform=manylinux2014_aarch64",
         "--python-version=3.11", "--only-binary=:all:", "numpy", "hypothesis"],
        check=True,
    )  # fmt: skip
    return target


def borrow(folder: Path) -> Path:
    """What the tests import, as links into this environment."""
    packages = folder / "packages"
    packages.mkdir()
    for name in BORROWED:
        spec = importlib.util.find_spec(name)
        if spec is not None and spec.origin is not None:
            origin = Path(spec.origin)
            target = origin.parent if origin.name == "__init__.py" else origin
            (packages / target.name).symlink_to(target)
    return packages


def emulated_python(folder: Path, root: Path, path: list[Path]) -> Path:
    """A script that is the emulated Python, also for the processes that tests start."""
    python = folder / "python"
    (folder / "site").mkdir()
    (folder / "site" / "sitecustomize.py").write_text(
        f"import sys\nsys.executable = {os.fspath(python)!r}\n"
    )
    wanted = os.pathsep.join(map(str, [folder / "site", *path]))
    interpreter = next((root / "usr/bin").glob("python3.??"))
    run = f"{EMULATOR} -L {root} {interpreter}"
    python.write_text(f'#!/bin/sh\nPYTHONPATH={wanted} exec {run} "$@"\n')
    python.chmod(0o755)
    return python


def build(folder: Path) -> Path:
    """The package of the accelerators, with softcuda and the kernels that every arm64 has."""
    package = folder / "accelerators" / "refrnn_accel"
    shutil.copytree(
        Path(refrnn_accel.__file__).parent, package,
        ignore=shutil.ignore_patterns("lib", "*.so"),
    )  # fmt: skip
    os.environ["CXX"] = COMPILER
    Recipe.of_this_machine(strict=True).build(package / "softcuda" / "lib" / "libcuda.so.1")
    del os.environ["CXX"]
    os.chdir(ROOT)  # where the sources' paths begin
    module = cythonize(extensions()[:1], build_dir=str(folder / "c"), quiet=True)[0]
    includes = [*module.include_dirs, sysconfig.get_path("include")]  # Python's stable interface
    subprocess.run(
        [COMPILER, *module.extra_compile_args, "-fPIC", "-shared",
         *(f"-I{include}" for include in includes),
         *(f"-D{name}={value}" for name, value in module.define_macros),
         *module.sources, "-o", package / "cpu" / "_baseline.abi3.so", *module.extra_link_args],
        check=True,
    )  # fmt: skip
    metadata = package.parent / "refrnn-0.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: refrnn\nVersion: 0\n")
    (metadata / "entry_points.txt").write_text(ENTRY_POINTS)
    return package.parent


def digests(python: str | Path, instruction_set: str) -> str:
    """Of the bits of many results: what tests/cpu/digests.py prints."""
    command = [python, "-m", "tests.cpu.digests", instruction_set]
    done = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True)
    return done.stdout


def main() -> int:
    """0 if all tests pass on arm64, and the kernels give the bits there that they give here."""
    with tempfile.TemporaryDirectory(prefix="refrnn-arm64-") as temporary:
        folder = Path(temporary)
        root, accelerators = system(folder), build(folder)
        python = emulated_python(folder, root, [accelerators, wheels(folder), borrow(folder)])
        here = digests(sys.executable, instruction_sets.available()[0])
        if digests(python, "baseline") != here:
            sys.exit("on arm64 the results of the CPU kernels have other bits")
        softcuda = ["tests/softcuda", "-k", f"not ({' or '.join(LEFT_OUT)})"]
        pytest = [python, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "xdist.plugin"]
        codes = [
            subprocess.run([*pytest, "-n", "2", *arguments], cwd=ROOT, check=False).returncode
            for arguments in ([sys.argv[1:]] if sys.argv[1:] else [softcuda, KERNELS])
        ]
        return int(any(codes))


if __name__ == "__main__":
    sys.exit(main())
