"""``refrnn export``: what it says, and what it refuses."""

from __future__ import annotations

import json

import pytest

from refrnn.cli import main
from refrnn.vectors import (
    CONFIGURATIONS,
    MUTANTS,
    export,
    read,
    verify,
)

from .chosen import SPECS


def test_export_says_what_it_wrote(tmp_path, capsys):
    root = tmp_path / "new" / "one"
    assert main(["export", str(root), "--cell", "rnn_sigmoid"]) == 0
    out, err = capsys.readouterr()
    assert out.startswith(f"4 cases in {root}, ")
    assert err == ""
    assert sorted(p.name for p in root.iterdir()) == [
        "manifest.json",
        "mutants.json",
        "rnn_sigmoid",
    ]
    mutants = json.loads((root / "mutants.json").read_text())
    assert len(mutants["mutants"]) == len(MUTANTS)
    assert set(mutants["cover"]) <= {e["name"] for e in read(root).manifest["cases"]}


def test_export_refuses_what_it_would_mix_with(tmp_path, capsys):
    mine = tmp_path / "mine.txt"
    mine.write_text("x")
    assert main(["export", str(tmp_path), "--cell", "rnn_sigmoid"]) == 2
    assert "DIR has something in it" in capsys.readouterr().err
    assert main(["export", str(mine)]) == 2
    assert "no directory" in capsys.readouterr().err
    assert main(["export", str(tmp_path), "--cell", "rnn_sigmoid", "--force"]) == 0
    assert mine.read_text() == "x"
    assert verify(tmp_path) == []


def test_an_interrupted_export_has_no_manifest(tmp_path):
    def stop(text, done, total):
        if done == 2:
            raise KeyboardInterrupt

    export(tmp_path, cells=("rnn_sigmoid",))
    with pytest.raises(KeyboardInterrupt):
        export(tmp_path, cells=("rnn_sigmoid",), force=True, tell=stop)
    assert not (tmp_path / "manifest.json").exists()


def test_export_checks_names_before_it_writes(tmp_path, capsys):
    assert main(["export", str(tmp_path / "a"), "--cell", "lstm", "--cell", "nonsense"]) == 2
    assert "--cell has name 'nonsense', expected one of rnn_tanh" in capsys.readouterr().err
    assert not (tmp_path / "a").exists()
    assert main(["export"]) == 2
    assert "DIR has no value" in capsys.readouterr().err
    with pytest.raises(ValueError, match="cells has no name, expected at least one"):
        export(tmp_path / "a", cells=())
    assert not (tmp_path / "a").exists()


def test_export_has_help(capsys):
    assert main(["export", "--help"]) == 0
    assert "usage: refrnn export" in capsys.readouterr().out


def test_list_names_every_configuration(capsys, tmp_path):
    assert main(["export", "--list"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines[:-1]] == [c.name for c in CONFIGURATIONS]
    assert lines[-1] == f"{len(SPECS)} cases, {len(MUTANTS)} mutants"
    assert main(["export", "--list", "--cell", "lstm"]) == 0
    assert capsys.readouterr().out.startswith("lstm ")
    assert main(["export", str(tmp_path), "--list"]) == 2
