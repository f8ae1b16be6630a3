"""The record that a build leaves of its optional native parts, and how ``refrnn info`` shows it.

A script stands in for the compiler, so that the tests know what it says and need none.
"""

import argparse
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import refrnn_accel
from refrnn_accel.cuda import context, known_cuts, shipped, sources
from refrnn_accel.softcuda import build as softcuda_build

from refrnn.cli import info

SETUP = Path(__file__).parents[1] / "setup.py"
ACCEL = Path(refrnn_accel.__file__).parent
LIBRARY = "refrnn_accel.softcuda.lib.libcuda"
PTX = "refrnn_accel.cuda.ptx"

#: Writes the file that -o names, unless a source or library is called bad. It is nvcc too.
COMPILER = """\
#!{python}
import pathlib, sys
arguments = " ".join(sys.argv[1:])
if "bad" in arguments:
    print("note: in a file\\nbad.c:7: error: boom\\nbad.c:8: error: more", file=sys.stderr)
    sys.exit(1)
if arguments == "--version":
    sys.exit(print("compiler 1"))
made = pathlib.Path(sys.argv[sys.argv.index("-o") + 1])
made.write_text('.version 9.5\\n.target sm_75\\n.file 1 "/where/it/was/made/kernel.cu"\\n')
"""


def prepare(folder: Path, parts: str | None, *sources: str) -> Path:
    """Lay out the real setup.py over these parts (its own: None); return the compiler."""
    text = SETUP.read_text(encoding="utf-8")
    if parts is not None:
        own = r"(?s)^NATIVE_PARTS: list\[Extension\] = \[\n.*?^\]$"
        text, found = re.subn(own, f"NATIVE_PARTS = {parts}", text, flags=re.M)
        assert found == 1
    (folder / "setup.py").write_text(text)
    (folder / "accel/softcuda/src/part").mkdir(parents=True)
    for part in ("", "cpu", "softcuda", "cuda", "cuda/kernels"):
        (folder / "accel" / part).mkdir(exist_ok=True)
        for path in (*(ACCEL / part).glob("*.py"), *(ACCEL / part).glob("*.cu*")):
            shutil.copy(path, folder / "accel" / part)
    shutil.copytree(ACCEL / "include", folder / "accel/include")
    # Few of the cuts that a wheel has: a script is started for each.
    table = (ACCEL / "cuda/registers.csv").read_text().splitlines(keepends=True)
    (folder / "accel/cuda/registers.csv").write_text("".join(table[:3]))
    for name in ("good.c", "bad.c", *(f"softcuda/src/part/{source}" for source in sources)):
        (folder / "accel" / name).write_text("")
    compiler = folder / "compiler.py"
    compiler.write_text(COMPILER.format(python=sys.executable))
    compiler.chmod(0o755)
    (folder / "toolkit/bin").mkdir(parents=True)
    shutil.copy(compiler, folder / "toolkit/bin/nvcc")
    return compiler


def run_setup(folder: Path, compiler: str, *command: str) -> None:
    subprocess.run(
        [sys.executable, "setup.py", "-q", *command],
        cwd=folder,
        env={
            **os.environ,
            **dict.fromkeys(("CC", "CXX", "LDSHARED"), str(compiler)),
            "CUDA_HOME": str(folder / "toolkit"),
            "SOFTCUDA_CACHE": str(folder / "cache"),
        },
        check=True,
        capture_output=True,
    )


def build(
    folder: Path, parts: str | None, *sources: str, compiler: str | None = None
) -> dict[str, Any]:
    """Run the real setup.py over the given parts and return the record it leaves."""
    own = prepare(folder, parts, *sources)
    run_setup(folder, compiler or str(own), "build_ext", "--build-lib", "out")
    record: dict[str, Any] = json.loads((folder / "out/refrnn_accel/_build.json").read_text())
    assert record["format"] == 1
    parts_built: dict[str, Any] = record["parts"]
    return parts_built


def test_no_parts_leave_an_empty_record(tmp_path: Path) -> None:
    assert build(tmp_path, "[]") == {}


def test_a_failed_part_leaves_its_command_and_first_error_and_stops_nobody(tmp_path: Path) -> None:
    parts = build(
        tmp_path,
        '[Extension("refrnn_accel.bad", ["accel/bad.c"]),'
        ' Extension("refrnn_accel.link", ["accel/good.c"], libraries=["bad"]),'
        ' Extension("refrnn_accel.good", ["accel/good.c"])]',
    )
    assert parts["refrnn_accel.good"] == {"built": True}
    for name in ("bad", "link"):
        part = parts[f"refrnn_accel.{name}"]
        assert part["built"] is False
        assert part["error"] == "bad.c:7: error: boom"
        assert "compiler.py" in part["command"]
    assert "-lbad" in parts["refrnn_accel.link"]["command"]


def test_a_missing_compiler_is_named(tmp_path: Path) -> None:
    part = '[Extension("refrnn_accel.x", ["accel/good.c"])]'
    parts = build(tmp_path, part, compiler="no-such-compiler")
    assert parts["refrnn_accel.x"]["built"] is False
    assert "no-such-compiler" in parts["refrnn_accel.x"]["error"]
    assert parts["refrnn_accel.x"]["command"].startswith("no-such-compiler ")


def test_where_cython_is_missing_that_is_the_reason(tmp_path: Path) -> None:
    compiler = prepare(tmp_path, '[Extension("refrnn_accel.x", ["accel/x.pyx"])]')
    (tmp_path / "accel/x.pyx").write_text("")
    (tmp_path / "Cython").mkdir()
    (tmp_path / "Cython/__init__.py").write_text("raise ModuleNotFoundError('there is no Cython')")
    run_setup(tmp_path, str(compiler), "build_ext", "--build-lib", "out")
    record = json.loads((tmp_path / "out/refrnn_accel/_build.json").read_text())
    part = record["parts"]["refrnn_accel.x"]
    assert part["built"] is False
    assert "there is no Cython" in part["error"]


# --- the library of softcuda, which no Python imports ---


def test_the_library_is_built_by_its_own_recipe(tmp_path: Path) -> None:
    assert build(tmp_path, None, "good.cpp")[LIBRARY] == {"built": True}
    folder = tmp_path / "out/refrnn_accel/softcuda/lib"
    assert sorted(path.name for path in folder.iterdir()) == ["build.json", "libcuda.so.1"]


@pytest.mark.parametrize(
    ("sources", "compiler", "command", "error"),
    [
        (["bad.cpp"], None, "accel/softcuda/src/part/bad.cpp -o ", "bad.c:7: error: boom"),
        (["good.cpp"], "no-such-compiler", "which no-such-compiler", "no C++ compiler"),
        ([], None, "", "no sources"),
    ],
)
def test_a_library_that_is_not_built_leaves_its_reason(
    tmp_path: Path, sources: list[str], compiler: str | None, command: str, error: str
) -> None:
    part = build(tmp_path, None, *sources, compiler=compiler)[LIBRARY]
    assert part["built"] is False
    assert command in part["command"]
    assert part["error"].startswith(error)
    assert not list(tmp_path.glob("out/**/libcuda.so.1"))


@pytest.mark.parametrize(("sources", "there"), [(["good.cpp"], True), (["bad.cpp"], False)])
def test_one_wheel_serves_every_python_with_the_library_or_without(
    tmp_path: Path, sources: list[str], there: bool
) -> None:
    compiler = prepare(tmp_path, None, *sources)
    run_setup(tmp_path, str(compiler), "bdist_wheel", "--dist-dir", "dist")
    (wheel,) = (tmp_path / "dist").iterdir()
    assert "-cp311-abi3-" in wheel.name
    shutil.unpack_archive(wheel, tmp_path / "unpacked", "zip")
    assert (tmp_path / "unpacked/refrnn_accel/_build.json").exists()
    library = tmp_path / "unpacked/refrnn_accel/softcuda/lib/libcuda.so.1"
    assert library.exists() == there
    assert list((tmp_path / "unpacked/refrnn_accel/cuda").glob("ptx/*.ptx"))
    assert list((tmp_path / "unpacked/refrnn_accel/cuda").glob("kernels/*.cu"))


def test_a_wheel_with_an_extension_is_of_one_python(tmp_path: Path) -> None:
    compiler = prepare(tmp_path, '[Extension("refrnn_accel.x", ["accel/good.c"])]')
    run_setup(tmp_path, str(compiler), "bdist_wheel", "--dist-dir", "dist")
    (wheel,) = (tmp_path / "dist").iterdir()
    assert f"-cp{sys.version_info[0]}{sys.version_info[1]}-" in wheel.name


# --- the PTX of the CUDA kernels ---


def test_ptx_is_named_for_its_sources_and_lowered(tmp_path: Path) -> None:
    assert build(tmp_path, None, "good.cpp")[PTX] == {"built": True}
    made = list(tmp_path.glob("out/refrnn_accel/cuda/ptx/*"))
    entries = shipped.entries(known_cuts.read(tmp_path / "accel/cuda/registers.csv"))
    assert len(made) == len(entries)
    packed = sources.PACKAGE._replace(ptx=made[0].parent)
    for entry in entries:
        text = packed.ptx_file(*entry).read_text()
        assert text.startswith(".version 6.3\n")
        assert '.file 1 "kernel.cu"' in text


@pytest.mark.parametrize(
    ("nvcc", "command", "error"),
    [
        (None, "", "CUDA_HOME has value "),
        (
            "echo 'k.cu(3): error: boom'; exit 1",
            " --ptx -arch=compute_",
            "k.cu(3): error",
        ),
    ],
)
def test_ptx_that_is_not_built_leaves_its_reason(
    tmp_path: Path, nvcc: str | None, command: str, error: str
) -> None:
    compiler = prepare(tmp_path, None, "good.cpp")
    old = tmp_path / "out/refrnn_accel/cuda/ptx/contiguous-of-older-sources.compute_75.ptx"
    old.parent.mkdir(parents=True)
    old.write_text("")
    program = tmp_path / "toolkit/bin/nvcc"
    program.unlink()
    if nvcc is not None:
        program.write_text(f"#!/bin/sh\n{nvcc}\n")
        program.chmod(0o755)
    run_setup(tmp_path, str(compiler), "build_ext", "--build-lib", "out")
    parts = json.loads((tmp_path / "out/refrnn_accel/_build.json").read_text())["parts"]
    assert parts[LIBRARY] == {"built": True}
    assert parts[PTX]["built"] is False
    assert command in parts[PTX]["command"]
    assert parts[PTX]["error"].startswith(error)
    assert not old.exists()


def test_an_editable_installation_ships_no_ptx(tmp_path: Path) -> None:
    """Its sources may change; whether there is an nvcc for them is still written down."""
    compiler = prepare(tmp_path, None, "good.cpp")
    run_setup(tmp_path, str(compiler), "build_ext", "--inplace")
    parts = json.loads((tmp_path / "accel/_build.json").read_text())["parts"]
    assert parts[PTX] == {"built": True}
    assert not list(tmp_path.rglob("*.ptx"))


@pytest.fixture
def made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A library with its record, as an installation leaves it."""
    monkeypatch.delenv("CXX", raising=False)
    library = tmp_path / "libcuda.so.1"
    library.write_bytes(b"")
    facts = {"sources": softcuda_build.sources_digest(), "compiler": "/bin/c++", "flags": ["-O3"]}
    (tmp_path / "build.json").write_text(json.dumps(facts))
    return library


def test_an_installed_library_is_used_where_it_fits(made: Path) -> None:
    assert softcuda_build.is_usable(made)
    assert not softcuda_build.is_usable(made.parent / "elsewhere" / made.name)


@pytest.mark.parametrize(
    "other", [{"sources": "of another version"}, {"flags": ["-march=of-another-machine", "-O3"]}]
)
def test_an_installed_library_of_something_else_is_not_used(
    made: Path, other: dict[str, Any]
) -> None:
    record = made.with_name("build.json")
    record.write_text(json.dumps(json.loads(record.read_text()) | other))
    assert not softcuda_build.is_usable(made)


def test_an_installed_library_of_another_compiler_is_not_used(
    made: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CXX", sys.executable)
    assert not softcuda_build.is_usable(made)


def test_an_unknown_sanitizer_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOFTCUDA_SANITIZE", "address,dirt")
    with pytest.raises(softcuda_build.BuildError, match="has value 'address,dirt', expected"):
        softcuda_build.library()


# --- what info says of it ---


def show(capsys: pytest.CaptureFixture[str]) -> str:
    assert info.run(argparse.Namespace(json=False)) == 0
    return capsys.readouterr().out


def accelerators(folder: Path, monkeypatch: pytest.MonkeyPatch, record: object) -> None:
    """Put a refrnn_accel with this record (None: without) where the search finds it first."""
    package = folder / "refrnn_accel"
    package.mkdir()
    (package / "__init__.py").write_text("")
    if record is not None:
        (package / "_build.json").write_text(json.dumps(record))
    monkeypatch.delitem(sys.modules, "refrnn_accel", raising=False)
    monkeypatch.syspath_prepend(folder)


def test_info_shows_what_was_built_and_why_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    parts = {
        "refrnn_accel.cpu": {"built": True},
        "refrnn_accel.cuda": {"built": False, "command": "nvcc -c x.cu", "error": "nvcc: error 1"},
    }
    accelerators(tmp_path, monkeypatch, {"format": 1, "parts": parts})
    text = show(capsys)
    assert "refrnn_accel.cpu: built" in text
    assert "refrnn_accel.cuda: not built" in text
    assert "nvcc -c x.cu" in text
    assert "nvcc: error 1" in text


def test_info_says_why_there_is_no_cuda(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    accelerators(tmp_path, monkeypatch, {"format": 1, "parts": {}})
    for name in [name for name in sys.modules if name.startswith("refrnn_accel.")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "refrnn_accel.cuda", None)  # as if it were not there
    assert "device        none: refrnn_accel.cuda is not installed" in show(capsys)


def test_info_says_what_cuda_needs(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """Without PyCUDA, and without an nvcc."""
    context.driver.cache_clear()
    monkeypatch.setitem(sys.modules, "pycuda", None)
    monkeypatch.setenv("CUDA_HOME", str(tmp_path))
    text = show(capsys)
    assert "device        none: PyCUDA is missing" in text
    assert "softcuda install-pycuda" in text
    assert f"CUDA_HOME has value '{tmp_path}', and bin/nvcc is not there" in text


@pytest.mark.parametrize(
    ("record", "said"),
    [({"format": 1, "parts": {}}, "none are part of this release"), (None, "is missing")],
)
def test_info_says_why_there_is_no_native_part(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    record: object,
    said: str,
) -> None:
    accelerators(tmp_path, monkeypatch, record)
    assert said in show(capsys)


def test_info_prints_json_that_holds_the_same(capsys: pytest.CaptureFixture[str]) -> None:
    assert info.run(argparse.Namespace(json=True)) == 0
    assert json.loads(capsys.readouterr().out) == info.collect()


def test_info_names_the_command_that_brings_a_missing_extra(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    wanted = ["numpy>=1.26", 'numpy>=1.26; extra == "here"', 'no-such-dist>=3; extra == "gone"']
    monkeypatch.setattr("importlib.metadata.requires", lambda _name: wanted)
    text = show(capsys)
    assert "missing: python -m pip install 'no-such-dist>=3'" in text
    assert text.count("missing:") == 1
