"""Reading and verifying vectors, and a reader in C++."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
from pathlib import Path

import numpy as np
import pytest

from refrnn.vectors import (
    Finding,
    draw,
    export,
    read,
    verify,
)
from refrnn.vectors.safetensors import dump, load

from .chosen import SPECS

READER = Path(__file__).parents[2] / "docs" / "examples" / "read_vectors.cpp"


def test_what_was_written_is_what_was_drawn(corpus):
    manifest, cases = read(corpus)
    assert manifest["format"] == "refrnn-vectors"
    assert manifest["complete"] is False
    assert len(cases) == len(manifest["cases"]) == 4 + 6 + 4
    for case in cases:
        drawn = draw(SPECS[case.name])
        assert drawn.entry.items() <= case.entry.items()
        assert list(drawn.arrays) == list(case.arrays)
        for name, array in drawn.arrays.items():
            assert array.tobytes() == case.arrays[name].tobytes()
    assert verify(corpus, unroll="lanes") == []


def test_results_are_held_to_the_expected_ones(corpus):
    case = read(corpus).cases[0]
    got = case.run()
    assert all(d.ok for d in case.compare({"output": got["output"]}))
    off = {"output": got["output"] + 3 * case.entry["expected"]["output"]["tolerance"]["float64"]}
    assert not case.compare(off)[0].ok
    with pytest.raises(ValueError, match="got has array 'y', expected some of"):
        case.compare({"y": got["output"]})
    with pytest.raises(ValueError, match="output has shape"):
        case.compare({"output": got["output"][:-1]})


def test_a_changed_byte_is_found(changed):
    path = changed / "rnn_softplus" / "unsorted.safetensors"
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)
    assert [f.case for f in verify(changed)] == ["rnn_softplus/unsorted"]
    with pytest.raises(ValueError, match=r"unsorted\.safetensors has another sha256"):
        read(changed)
    path.unlink()
    assert [f.case for f in verify(changed)] == ["rnn_softplus/unsorted"]


def rewrite(root, name, change):
    """Change the arrays of a case and set its checksum right."""
    manifest = json.loads((root / "manifest.json").read_text())
    entry = next(e for e in manifest["cases"] if e["name"] == name)
    path = root / entry["file"]
    arrays = load(path.read_bytes())
    change(arrays)
    data = dump(arrays, {})
    path.write_bytes(data)
    entry["sha256"] = hashlib.sha256(data).hexdigest()
    (root / "manifest.json").write_text(json.dumps(manifest))


def test_a_wrong_number_is_found_though_the_checksum_is_right(changed):
    def change(arrays):
        arrays["d_W_hh"][0, 1] *= 1 + 1e-8

    rewrite(changed, "rnn_softplus/unsorted", change)
    (finding,) = verify(changed, dtypes=("float64",))
    assert isinstance(finding, Finding)
    assert finding.case == "rnn_softplus/unsorted"
    assert "d_W_hh[0, 1] has value" in finding.reason


def test_an_array_too_few_or_of_another_shape_is_found(changed):
    rewrite(changed, "rnn_softplus/unsorted", lambda arrays: arrays.pop("h_0"))

    def reshape(arrays):
        arrays["input"] = arrays["input"].T.copy()

    rewrite(changed, "rnn_softplus/length_0_and_1_reverse", reshape)
    reasons = {f.case: f.reason for f in verify(changed)}
    assert sorted(reasons) == ["rnn_softplus/length_0_and_1_reverse", "rnn_softplus/unsorted"]
    assert "input has shape and dtype" in reasons["rnn_softplus/length_0_and_1_reverse"]
    assert "has arrays" in reasons["rnn_softplus/unsorted"]


def test_other_formats_are_refused(changed):
    path = changed / "manifest.json"
    manifest = json.loads(path.read_text())
    path.write_text(json.dumps({**manifest, "format_version": 2}))
    with pytest.raises(ValueError, match=r"of format \('refrnn-vectors', 2\), expected"):
        read(changed)
    path.write_text("{")
    with pytest.raises(ValueError, match="no JSON"):
        verify(changed)
    path.unlink()
    with pytest.raises(FileNotFoundError):
        read(changed)


@pytest.fixture(scope="module")
def reader(tmp_path_factory):
    """The example, compiled."""
    program = tmp_path_factory.mktemp("reader") / "read_vectors"
    compiler = os.environ.get("CXX", "g++")
    options = ["-std=c++17", "-O0", "-Wall", "-Wextra", "-Werror"]
    subprocess.run([compiler, *options, "-o", program, READER], check=True)
    return program


@pytest.fixture
def plain(tmp_path):
    """Every kind of cell that the reader computes, padded cases too, and one that it does not."""
    export(tmp_path, cells=("rnn_tanh_one_bias", "lstm_no_bias", "gru_reset_after", "rnn_sigmoid"))
    return tmp_path


def call(program, *arguments):
    done = subprocess.run([program, *arguments], capture_output=True, text=True, check=False)
    return done.returncode, done.stdout, done.stderr


def test_the_reader_in_cpp(reader, plain):
    counted = "34 cases right, 0 wrong, 4 not tried\n"
    assert call(reader, plain) == (0, counted, "")
    assert call(reader, plain, "float32") == (0, counted, "")
    for damage in (1 + 1e-9, np.nan):
        rewrite(plain, "lstm_no_bias/unsorted", lambda a, by=damage: a["c_n"].__imul__(by))
        status, out, _ = call(reader, plain)
        assert status == 1
        assert out.startswith("lstm_no_bias/unsorted: c_n is off by ")
        assert out.endswith("33 cases right, 1 wrong, 4 not tried\n")
    path = plain / "lstm_no_bias" / "unsorted.safetensors"
    path.write_bytes(path.read_bytes()[:-8])
    assert call(reader, plain)[::2] == (2, f"{path} is cut short\n")
    assert call(reader, plain / "nowhere")[0] == 2
    assert call(reader, plain, "float16")[0] == 2
