"""Hold the layout of every C++ file to clang-format's."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
FOLDERS = (
    ROOT / "accel" / "softcuda",
    ROOT / "accel" / "cpu",
    ROOT / "accel" / "include",
    ROOT / "tests" / "softcuda",
    ROOT / "tests" / "cuda",
)


def main() -> int:
    """0 if every file is as clang-format would have it; otherwise it says where one is not."""
    files = [
        path
        for folder in FOLDERS
        for suffix in ("h", "cpp")
        for path in sorted(folder.rglob(f"*.{suffix}"))
    ]
    files += sorted((ROOT / "accel" / "cuda" / "kernels").glob("*.cu*"))
    style = ROOT / "accel" / "softcuda" / ".clang-format"
    command = ["clang-format", "--dry-run", "-Werror", f"--style=file:{style}", *files]
    return subprocess.run(command, check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
