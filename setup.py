"""Packages, package data and native parts of refrnn. The metadata is in pyproject.toml.

Every native part is optional: where its compiler is missing or fails, the wheel is built without
it, and ``refrnn_accel/_build.json`` keeps the command and the first error line for ``refrnn info``.
"""

import json
import re
import subprocess
import sys
from pathlib import Path

from setuptools import Extension, find_packages, setup
from setuptools.command.build import build
from setuptools.command.build_ext import build_ext
from setuptools.errors import CompileError

# Optional parts, one Extension each, named as they are imported ("refrnn_accel.cpu._kernels").
NATIVE_PARTS: list[Extension] = []


def first_error_line(log):
    """Return the line of a compiler's output that says what went wrong."""
    lines = [line.strip() for line in log.splitlines() if line.strip()]
    errors = [line for line in lines if re.search(r"\b(error|undefined|cannot)\b", line, re.I)]
    return (errors or lines or ["no message"])[0]


class build_optional(build_ext):
    """Build what can be built, and write down what could not be and why."""

    def run(self):
        """Build every part and leave the record, also where there is no part to build."""
        self.record = {}
        for extension in self.extensions:
            extension.optional = True  # setuptools then goes on after a CompileError
        super().run()
        package = self.get_finalized_command("build_py").get_package_dir("refrnn_accel")
        folder = Path(package) if self.inplace else Path(self.build_lib, "refrnn_accel")
        folder.mkdir(parents=True, exist_ok=True)
        text = json.dumps({"format": 1, "parts": self.record}, indent=2, sort_keys=True)
        (folder / "_build.json").write_text(text + "\n", encoding="utf-8")

    def build_extension(self, ext):
        """Build one part; whatever stops it becomes its reason."""
        self.command = ""
        if self.compiler.compiler_type == "unix":
            # one name in older setuptools, the other in newer
            self.compiler.spawn = self.compiler.call = self.run_compiler
        try:
            super().build_extension(ext)
        except Exception as error:
            line = first_error_line(str(error))
            self.record[ext.name] = {"built": False, "command": self.command, "error": line}
            raise CompileError(f"{ext.name} was not built: {line}") from error
        self.record[ext.name] = {"built": True}

    def run_compiler(self, command, **_options):
        """Run a compiler as distutils would, but read what it says."""
        self.command = " ".join(map(str, command))
        done = subprocess.run(
            command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace"
        )
        sys.stderr.write(done.stdout)
        if done.returncode:
            raise CompileError(done.stdout or f"exit status {done.returncode}")


# build_ext runs even without extensions, so that every wheel has its record.
build.sub_commands = [
    (name, None if name == "build_ext" else condition) for name, condition in build.sub_commands
]

setup(
    packages=[
        *find_packages(include=["refrnn", "refrnn.*"]),
        "refrnn_accel",
        *("refrnn_accel." + name for name in find_packages("accel")),
    ],
    package_dir={"refrnn": "refrnn", "refrnn_accel": "accel"},
    package_data={
        "refrnn": ["py.typed"],
        "refrnn.datasets": ["*.npz", "*.txt"],
        "refrnn_accel": ["py.typed"],
        # Built where it runs: by `softcuda build`, or at first use.
        "refrnn_accel.softcuda": ["src/*.h", "src/*/*.h", "src/*/*.cpp"],
    },
    include_package_data=False,
    ext_modules=NATIVE_PARTS,
    cmdclass={"build_ext": build_optional},
)
