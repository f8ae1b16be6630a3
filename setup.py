"""Packages, package data and native parts of refrnn. The metadata is in pyproject.toml.

Every native part is optional: where its compiler is missing or fails, the wheel is built without
it, and ``refrnn_accel/_build.json`` keeps the command and the first error line for ``refrnn info``.
"""

import importlib
import importlib.util
import json
import re
import subprocess
import sys
import threading
from pathlib import Path

from setuptools import Extension, find_packages, setup
from setuptools.command.bdist_wheel import bdist_wheel
from setuptools.command.build import build
from setuptools.command.build_ext import build_ext
from setuptools.errors import CompileError


class Library(Extension):
    """Files that no Python imports: a module of accel says how they are made."""

    def __init__(self, name, file, module):
        super().__init__(name, [])
        self.file, self.module = file, module

    def build(self, target):
        """Build it to this file or folder; None: where the module keeps what was built."""
        maker = accel_module(self.module)
        try:
            maker.install(target)
        except maker.BuildError as error:
            raise CompileError(error.reason, error.command) from error


def accel_module(name):
    """Import a module of accel, which is not installed yet, under the name it is going to have."""
    spec = importlib.util.spec_from_file_location(
        "refrnn_accel", "accel/__init__.py", submodule_search_locations=["accel"]
    )
    sys.modules.setdefault("refrnn_accel", importlib.util.module_from_spec(spec))
    return importlib.import_module(name)


# Optional parts, one Extension each, named as they are imported.
NATIVE_PARTS: list[Extension] = [
    *accel_module("refrnn_accel.cpu.build").extensions(),
    Library("refrnn_accel.softcuda.lib.libcuda", "libcuda.so.1", "refrnn_accel.softcuda.build"),
    Library("refrnn_accel.cuda.ptx", "ptx", "refrnn_accel.cuda.shipped"),
]


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
        self.of_thread = threading.local()  # the command that it runs
        self.one_translates = threading.Lock()
        self.parallel = self.parallel or True  # as many at once as there are cores
        self.is_editable = self.inplace  # the base class takes it back for a while
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
        self.of_thread.command = ""
        if self.compiler.compiler_type == "unix":
            # one name in older setuptools, the other in newer
            self.compiler.spawn = self.compiler.call = self.run_compiler
        try:
            if isinstance(ext, Library):
                self.build_library(ext)
            else:
                self.translate(ext)
                super().build_extension(ext)
        except Exception as error:
            line = first_error_line(str(error))
            self.record[ext.name] = {
                "built": False,
                "command": self.of_thread.command,
                "error": line,
            }
            raise CompileError(f"{ext.name} was not built: {line}") from error
        self.record[ext.name] = {"built": True}

    def translate(self, ext):
        """Make C++ of Cython, away from the sources."""
        if any(source.endswith(".pyx") for source in ext.sources):
            from Cython.Build import cythonize

            with self.one_translates:
                (made,) = cythonize(ext, build_dir=self.build_temp, quiet=True)
            ext.sources = made.sources

    def get_output_mapping(self):
        """What was built, to where an editable install looks for it."""
        made = super().get_output_mapping()
        return {output: source for output, source in made.items() if Path(output).exists()}

    def build_library(self, library):
        """Build a library; an editable install has it in a cache, where its sources may change."""
        try:
            folder = Path(self.build_lib, *library.name.split(".")[:-1])
            library.build(None if self.is_editable else folder / library.file)
        except CompileError as error:
            reason, self.of_thread.command = error.args
            raise CompileError(reason) from error

    def run_compiler(self, command, **_options):
        """Run a compiler as distutils would, but read what it says."""
        self.of_thread.command = " ".join(map(str, command))
        done = subprocess.run(
            command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace"
        )
        sys.stderr.write(done.stdout)
        if done.returncode:
            raise CompileError(done.stdout or f"exit status {done.returncode}")


class wheel_of_any_python(bdist_wheel):
    """What is compiled ties a wheel to a machine, and to no Python but for the least version."""

    def get_tag(self):
        """One wheel for all Pythons, as long as no native part asks for more."""
        python, abi, machine = super().get_tag()
        if all(isinstance(part, Library) for part in NATIVE_PARTS):
            return "py3", "none", machine
        if all(isinstance(part, Library) or part.py_limited_api for part in NATIVE_PARTS):
            return "cp311", "abi3", machine
        return python, abi, machine


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
        "refrnn_accel": ["py.typed", "include/refrnn/*.h"],
        # Sources too: what the wheel has is built again where it does not fit.
        "refrnn_accel.cpu": ["*.pyi"],
        "refrnn_accel.cuda": ["*.csv", "kernels/*.cu", "kernels/*.cuh"],
        "refrnn_accel.softcuda": ["src/*.h", "src/*/*.h", "src/*/*.cpp", "kernels/*"],
    },
    include_package_data=False,
    ext_modules=NATIVE_PARTS,
    cmdclass={"build_ext": build_optional, "bdist_wheel": wheel_of_any_python},
)
