"""``refrnn lengths``: what it reads, prints, writes and refuses."""

from __future__ import annotations

import argparse
import io
import json
import subprocess
import sys
import xml.etree.ElementTree as ElementTree

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from refrnn.bucketing import waste_report
from refrnn.cli import lengths as command
from refrnn.datasets import synthetic_lengths

SVG = "{http://www.w3.org/2000/svg}"


def call(*arguments):
    """Parse and run as the console script does."""
    parser = argparse.ArgumentParser(prog="refrnn")
    command.add_parser(parser.add_subparsers(required=True))
    args = parser.parse_args(["lengths", *map(str, arguments)])
    return args.run(args)


@pytest.fixture
def four(tmp_path):
    """A text file of four lengths."""
    path = tmp_path / "four.txt"
    path.write_text("2\n3\n9\n10\n", encoding="utf-8")
    return path


def test_prints_the_report(four, capsys):
    """The table is that of waste_report."""
    assert call(four) == 0
    assert capsys.readouterr().out == f"{waste_report([2, 3, 9, 10])}\n"


def test_options_reach_the_report(four, capsys):
    """Each option is honoured."""
    assert call(four, "--buckets", 2, "--lanes", 3) == 0
    assert capsys.readouterr().out == f"{waste_report([2, 3, 9, 10], num_buckets=2, lanes=3)}\n"
    sizes = ["--hidden-size", 8, "--input-size", 5, "--cell", "gru", "--dtype", "float64"]
    assert call(four, "--boundaries", "3,10", *sizes) == 0
    expected = waste_report(
        [2, 3, 9, 10],
        boundaries=[3, 10],
        hidden_size=8,
        input_size=5,
        num_gates=3,
        dtype="float64",
    )
    assert capsys.readouterr().out == f"{expected}\n"


@pytest.mark.parametrize(("cell", "gates"), [("rnn", 1), ("lstm", 4), ("gru", 3)])
def test_gates_of_the_cells(four, capsys, cell, gates):
    """G of each cell."""
    assert call(four, "--hidden-size", 8, "--cell", cell) == 0
    assert f"G = {gates}, H = 8, float32" in capsys.readouterr().out


@pytest.mark.parametrize("kind", ["txt", "npy", "npz", "stdin"])
def test_reads_every_kind(kind, tmp_path, monkeypatch):
    """Text, .npy, .npz and standard input give the same lengths."""
    path = tmp_path / f"lengths.{kind}"
    array = np.array([3, 0, 12], dtype=np.uint16)
    if kind == "npy":
        np.save(path, array)
    elif kind == "npz":
        np.savez(path, lengths=array, other=np.zeros(2))
    elif kind == "txt":
        path.write_text("# utterances\n3\n 0 \n\n12", encoding="utf-8")
    else:
        path = "-"
        monkeypatch.setattr(sys, "stdin", io.StringIO("3\n0\n12\n"))
    found = command.read_lengths(str(path))
    assert found.dtype == np.int64
    assert found.tolist() == [3, 0, 12]


@given(st.lists(st.integers(0, 10**17), min_size=1))
def test_text_round_trip(lengths):
    """One integer a line, whatever the integers."""
    text = io.StringIO("".join(f"{n}\n" for n in lengths))
    assert command._parse(text, "text").tolist() == lengths


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("3\n4\nx\n", "line 3 has 'x', expected one integer >= 0"),
        ("3\n\n-1\n", "line 3 has '-1', expected one integer >= 0"),
        ("1.5\n", "line 1 has '1.5'"),
        ("3 4\n", "line 1 has '3 4'"),
        ("1_0\n", "line 1 has '1_0'"),
        ("٣\n", "line 1 has '٣'"),
        (f"{10**30}\n", "line 1 has '1000"),
        (f"{'y' * 5000}\n", f"line 1 has '{'y' * 40}...'"),
        ("\n# none\n", "has no lengths, expected at least one"),
        ("", "has no lengths"),
    ],
    ids=[
        "word",
        "negative",
        "float",
        "two",
        "underscore",
        "digit",
        "huge",
        "long",
        "blank",
        "empty",
    ],
)
def test_bad_text(tmp_path, capsys, text, message):
    """Exit 2; the message has the file and the line, and nothing is printed."""
    path = tmp_path / "bad.txt"
    path.write_text(text, encoding="utf-8")
    assert call(path) == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err.startswith(f"refrnn lengths: error: {path}")
    assert message in printed.err
    assert printed.err.count("\n") == 1


def save_array(path, array):
    """Write an array whatever its type."""
    np.save(path, array, allow_pickle=True)


@pytest.mark.parametrize(
    ("name", "write", "message"),
    [
        ("a.npy", lambda p: save_array(p, np.array([1.0])), "lengths has dtype float64"),
        ("b.npy", lambda p: save_array(p, np.array([4, -3])), "lengths[1] has value -3"),
        ("c.npy", lambda p: save_array(p, np.ones((2, 2), int)), "lengths has shape (2, 2)"),
        ("d.npy", lambda p: save_array(p, np.array([{}])), "has no readable NumPy array"),
        ("e.npy", lambda p: p.write_bytes(b"nonsense"), "has no readable NumPy array"),
        ("f.npy", lambda p: p.write_bytes(b""), "has no readable NumPy array"),
        ("g.npz", lambda p: p.write_bytes(b"nonsense"), "has no readable NumPy array"),
        ("h.npz", lambda p: p.write_bytes(b""), "has no readable NumPy array"),
        ("i.npz", lambda p: p.write_bytes(b"PK\x03\x04 cut"), "has no readable NumPy array"),
        ("j.npz", lambda p: np.savez(p, a=1, b=2), "has a, b, expected an array named lengths"),
        ("k.npz", lambda p: np.savez(p), "has no arrays, expected an array named lengths"),
        ("l.npy", lambda p: save_array(p, np.zeros(0, int)), "has no lengths"),
        ("m.txt", lambda p: p.write_bytes(b"3\n\xff\xfe\n"), "has bytes that are no text"),
        ("n.txt", lambda p: None, "No such file"),
        ("o.npz", lambda p: None, "No such file"),
        ("p.txt", lambda p: p.mkdir(), "Is a directory"),
    ],
)
def test_bad_files(tmp_path, capsys, name, write, message):
    """Exit 2 and one line that names the file, for whatever a file can be."""
    path = tmp_path / name
    write(path)
    assert call(path) == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    assert str(path) in printed.err
    assert message in printed.err
    assert printed.err.count("\n") == 1


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--buckets", "0"], "num_buckets has value 0"),
        (["--boundaries", "8,8"], "boundaries[1] has value 8"),
        (["--lanes", "0"], "lanes has value 0"),
        (["--lanes", "10000000000000"], "lengths or lanes too large to count"),
        (["--hidden-size", "0"], "hidden_size has value 0"),
        (["--input-size", "3"], "--input-size has been given alone, expected --hidden-size"),
        (["--cell", "gru"], "--cell has been given alone"),
        (["--dtype", "float32"], "--dtype has been given alone"),
    ],
)
def test_options_that_do_not_fit(four, capsys, options, message):
    """Exit 2 for a value no report can be made of."""
    assert call(four, *options) == 2
    assert message in capsys.readouterr().err


@pytest.mark.parametrize(
    "options",
    [
        ["--buckets", "2", "--boundaries", "3"],
        ["--boundaries", "3,x"],
        ["--boundaries", ""],
        ["--lanes", "2.5"],
        ["--cell", "ntm"],
        ["--dtype", "float16"],
    ],
)
def test_usage_errors(four, capsys, options):
    """Exit 2 for what the parser can see."""
    with pytest.raises(SystemExit) as raised:
        call(four, *options)
    assert raised.value.code == 2
    assert "usage: refrnn lengths" in capsys.readouterr().err


def test_json_file_beside_the_table(four, tmp_path, capsys):
    """The file holds to_dict; the table is printed all the same."""
    out = tmp_path / "out.json"
    assert call(four, "--json", out) == 0
    expected = waste_report([2, 3, 9, 10])
    assert json.loads(out.read_text(encoding="utf-8")) == expected.to_dict()
    assert capsys.readouterr().out == f"{expected}\n"


def test_json_on_standard_output(four, capsys):
    """A dash prints JSON and nothing else."""
    assert call(four, "--json", "-") == 0
    assert json.loads(capsys.readouterr().out) == waste_report([2, 3, 9, 10]).to_dict()


@pytest.mark.parametrize("option", ["--json", "--plot"])
def test_cannot_write(four, tmp_path, capsys, option):
    """Exit 2 with the path that cannot be written."""
    path = tmp_path / "missing" / "out.svg"
    assert call(four, option, path) == 2
    assert str(path) in capsys.readouterr().err


def test_without_matplotlib(four, tmp_path, capsys, monkeypatch):
    """Exit 2, the extra named, nothing printed or written."""
    for name in [n for n in sys.modules if n.partition(".")[0] == "matplotlib"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.delitem(sys.modules, "refrnn.cli.lengths_plot", raising=False)
    monkeypatch.delattr("refrnn.cli.lengths_plot", raising=False)

    class Blocker:
        """An import system without matplotlib."""

        def find_spec(self, name, path=None, target=None):
            if name.partition(".")[0] == "matplotlib":
                raise ModuleNotFoundError(f"No module named {name!r}", name=name)

    monkeypatch.setattr(sys, "meta_path", [Blocker(), *sys.meta_path])
    out = tmp_path / "out.svg"
    assert call(four, "--plot", out) == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    assert "pip install 'refrnn[plot]'" in printed.err
    assert not out.exists()


def test_matplotlib_is_not_loaded_for_a_table(four):
    """Printing needs NumPy only."""
    program = (
        "import sys; from refrnn.cli import main; status = main(sys.argv[1:]); "
        "sys.exit(status or 10 * any(m.partition('.')[0] == 'matplotlib' for m in sys.modules))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, "lengths", four], capture_output=True, check=False
    )
    assert done.returncode == 0, done.stderr


# --- the picture ---


@pytest.mark.parametrize("suffix", ["svg", "png", "pdf"])
def test_draws_a_picture(four, tmp_path, suffix):
    """A file of the kind that its suffix says."""
    out = tmp_path / f"out.{suffix}"
    assert call(four, "--plot", out) == 0
    starts = {"svg": b"<?xml", "png": b"\x89PNG", "pdf": b"%PDF"}
    assert out.read_bytes().startswith(starts[suffix])


def test_unknown_picture_format(four, tmp_path, capsys):
    """Exit 2, with the formats there are."""
    assert call(four, "--plot", tmp_path / "out.xyz") == 2
    assert "xyz" in capsys.readouterr().err


def test_svg_is_reproducible(tmp_path):
    """Equal lengths give equal bytes, so that a picture can be kept under version control."""
    source = tmp_path / "lengths.npy"
    np.save(source, synthetic_lengths("lognormal", 40, 100, seed=0))
    for name in ("one.svg", "other.svg"):
        assert call(source, "--plot", tmp_path / name) == 0
    assert (tmp_path / "one.svg").read_bytes() == (tmp_path / "other.svg").read_bytes()
    root = ElementTree.parse(tmp_path / "one.svg").getroot()
    assert root.tag == f"{SVG}svg"


def test_large_batches_are_drawn_as_pixels(tmp_path):
    """Thousands of sequences do not make thousands of vector shapes."""
    source, out = tmp_path / "lengths.npy", tmp_path / "out.svg"
    np.save(source, synthetic_lengths("zipf", 3000, 400, seed=0))
    assert call(source, "--plot", out) == 0
    root = ElementTree.parse(out).getroot()
    assert len(list(root.iter(f"{SVG}image"))) == 4
    assert len(list(root.iter(f"{SVG}path"))) < 1000


@pytest.mark.parametrize("lengths", [[0], [0, 0], [1], [5, 5, 5], [0, 7, 3]])
def test_draws_the_corners(tmp_path, lengths):
    """Nothing to run, one sequence, equal lengths: no warning and a picture."""
    source, out = tmp_path / "lengths.npy", tmp_path / "out.png"
    np.save(source, np.array(lengths))
    assert call(source, "--plot", out) == 0
    assert out.stat().st_size > 10_000


@given(st.lists(st.integers(0, 9), min_size=1, max_size=12), st.integers(1, 4))
def test_sequences_are_drawn_where_they_run(lengths, num_buckets):
    """In each scheme: no two real steps share a cell, and all lie within what is computed."""
    from refrnn.cli import lengths_plot

    report = waste_report(lengths, num_buckets=num_buckets)
    places = (
        lengths_plot._in_order,
        lengths_plot._in_buckets,
        lengths_plot._by_length,
        lengths_plot._on_lanes,
    )
    for scheme, place in zip(report.schemes, places, strict=True):
        first, row = place(report)
        cells = [(int(first[b]) + t, int(row[b])) for b, n in enumerate(lengths) for t in range(n)]
        assert len(cells) == len(set(cells)) == sum(lengths)
        assert all(0 <= r < scheme.batch_sizes[t] for t, r in cells)
