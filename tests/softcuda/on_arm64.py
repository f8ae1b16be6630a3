"""Build softcuda for arm64 and run its tests there, under qemu: ``tox -e arm64``.

Needs the Debian packages g++-aarch64-linux-gnu, qemu-user-static and mmdebstrap; Python, NumPy
and Hypothesis for arm64 come from Debian too, pytest from this environment. Several minutes.
"""

from __future__ import annotations

import importlib.util
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import refrnn_accel.softcuda
from refrnn_accel.softcuda.build import Recipe

ROOT = Path(__file__).parents[2]
EMULATOR = "qemu-aarch64-static"
#: Pure Python, of this environment.
BORROWED = (
    "_pytest", "execnet", "iniconfig", "mpmath", "packaging", "pluggy", "py", "pygments", "pytest",
    "xdist",
)  # fmt: skip


def system(folder: Path) -> Path:
    """A folder with Debian's Python for arm64, unpacked and not installed."""
    root = folder / "root"
    subprocess.run(
        ["mmdebstrap", "--quiet", "--architectures=arm64", "--variant=extract",
         "--include=python3,python3-numpy,python3-hypothesis,libstdc++6", "bookworm", root],
        check=True,
    )  # fmt: skip
    return root


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
    # Where an installation would have made links.
    algebra = ":".join(
        str(root / "usr/lib/aarch64-linux-gnu" / name) for name in ("blas", "lapack")
    )
    run = f"{EMULATOR} -L {root} -E LD_LIBRARY_PATH={algebra} {interpreter}"
    python.write_text(f'#!/bin/sh\nPYTHONPATH={wanted} exec {run} "$@"\n')
    python.chmod(0o755)
    return python


def main() -> int:
    """0 if all tests pass on arm64."""
    with tempfile.TemporaryDirectory(prefix="softcuda-arm64-") as temporary:
        folder = Path(temporary)
        root = system(folder)
        package = folder / "accelerators" / "refrnn_accel"
        source = Path(refrnn_accel.softcuda.__file__).parent
        shutil.copytree(source, package / "softcuda", ignore=shutil.ignore_patterns("lib"))
        (package / "__init__.py").write_text("")
        os.environ["CXX"] = "aarch64-linux-gnu-g++"
        recipe = Recipe.of_this_machine(strict=True)
        recipe.build(package / "softcuda" / "lib" / "libcuda.so.1")
        del os.environ["CXX"]
        python = emulated_python(folder, root, [package.parent, borrow(folder)])
        # What is about this machine's compilers or speed stays out, and what takes an hour.
        left_out = ("build", "compiler", "bench", "sanitize", "damaged", "approximation")
        arguments = sys.argv[1:] or ["tests/softcuda", "-k", f"not ({' or '.join(left_out)})"]
        command = [
            python,
            "-m",
            "pytest",
            "-q",
            "-p",
            "no:cacheprovider",
            "-p",
            "xdist.plugin",
            "-n",
            "2",
        ]
        return subprocess.run(
            [*command, f"--confcutdir={ROOT / 'tests/softcuda'}", *arguments], cwd=ROOT, check=False
        ).returncode


if __name__ == "__main__":
    sys.exit(main())
