"""The record that a build leaves of its optional native parts, and how ``refrnn info`` shows it.

A script stands in for the compiler, so that the tests know what it says and need none.
"""

import argparse
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from refrnn.cli import info

SETUP = Path(__file__).parents[1] / "setup.py"

#: Writes the file that -o names, unless a source or library is called bad.
COMPILER = """
import pathlib, sys
arguments = " ".join(sys.argv)
if "bad" in arguments:
    print("note: in a file\\nbad.c:7: error: boom\\nbad.c:8: error: more", file=sys.stderr)
    sys.exit(1)
pathlib.Path(sys.argv[sys.argv.index("-o") + 1]).write_bytes(b"")
"""


def build(folder: Path, parts: str, compiler: str | None = None) -> dict[str, Any]:
    """Run the real setup.py over the given parts and return the record it leaves."""
    text = SETUP.read_text(encoding="utf-8")
    empty = "NATIVE_PARTS: list[Extension] = []"
    assert empty in text
    (folder / "setup.py").write_text(text.replace(empty, f"NATIVE_PARTS = {parts}"))
    (folder / "accel").mkdir()
    for name in ("good.c", "bad.c"):
        (folder / "accel" / name).write_text("")
    (folder / "compiler.py").write_text(COMPILER)
    command = compiler or f"{sys.executable} {folder / 'compiler.py'}"
    subprocess.run(
        [sys.executable, "setup.py", "-q", "build_ext", "--build-lib", "out"],
        cwd=folder,
        env=os.environ | {"CC": command, "LDSHARED": command},
        check=True,
        capture_output=True,
    )
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
    parts = build(tmp_path, '[Extension("refrnn_accel.x", ["accel/good.c"])]', "no-such-compiler")
    assert parts["refrnn_accel.x"]["built"] is False
    assert "no-such-compiler" in parts["refrnn_accel.x"]["error"]
    assert parts["refrnn_accel.x"]["command"].startswith("no-such-compiler ")


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
