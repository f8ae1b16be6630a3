"""The vectors have the same bytes everywhere, in a format that is checked."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import numpy as np
import pytest

from refrnn.vectors.safetensors import dump, load

from ..conftest import PACKAGE

#: SHA-256 of files: other bytes are another version of the format or of the equations.
DIGESTS = {
    "rnn_softplus/unsorted": ("20515bf55cbe770821dbfb1e105bffc42699ca5fd3aa3e8d86465dcd9fb6c99d"),
    "lstm_coupled_activations/saturating_reverse": (
        "ccf1d14eb33d770f2dd2f4d11655d9957c1f31acf35543f48988bebbd6d4fb86"
    ),
    "bidirectional_lstm/nan_padding": (
        "aa5d807364bc3059a59e1a43d94314cc7003dadea5cc2454355343a2f21a3d3c"
    ),
}


def test_files_have_the_bytes_they_always_had(corpus):
    entries = {e["name"]: e for e in json.loads((corpus / "manifest.json").read_text())["cases"]}
    assert {name: entries[name]["sha256"] for name in DIGESTS} == DIGESTS


def features() -> list[str]:
    """Instruction sets that this NumPy chose for this machine, beyond those it always uses."""
    try:
        from numpy._core import _multiarray_umath as umath
    except ImportError:  # NumPy 1
        from numpy.core import _multiarray_umath as umath
    return [f for f in umath.__cpu_dispatch__ if umath.__cpu_features__.get(f)]


def test_the_same_bytes_with_other_instructions(corpus, tmp_path):
    code = (
        "import sys; from refrnn.vectors import export\n"
        "export(sys.argv[1], cells=('rnn_softplus', 'lstm_coupled_activations',"
        " 'bidirectional_lstm'))"
    )
    environment = {
        **os.environ,
        "PYTHONPATH": str(PACKAGE.parent),
        "NPY_DISABLE_CPU_FEATURES": " ".join(features()),
        "OPENBLAS_CORETYPE": "Prescott",
    }
    subprocess.run([sys.executable, "-P", "-c", code, tmp_path], env=environment, check=True)
    names = sorted(p.relative_to(corpus) for p in corpus.rglob("*.*"))
    assert sorted(p.relative_to(tmp_path) for p in tmp_path.rglob("*.*")) == names
    assert all((corpus / n).read_bytes() == (tmp_path / n).read_bytes() for n in names)


def test_safetensors_layout():
    arrays = {"a": np.arange(3.0), "none": np.zeros((0, 2)), "n": np.array([[7, -1]])}
    data = dump(arrays, {"case": "x"})
    size = int.from_bytes(data[:8], "little")
    header = json.loads(data[8 : 8 + size])
    assert size % 8 == 0
    assert header == {
        "__metadata__": {"case": "x"},
        "a": {"dtype": "F64", "shape": [3], "data_offsets": [0, 24]},
        "none": {"dtype": "F64", "shape": [0, 2], "data_offsets": [24, 24]},
        "n": {"dtype": "I64", "shape": [1, 2], "data_offsets": [24, 40]},
    }
    assert data[8 + size + 8 : 8 + size + 16] == bytes([0, 0, 0, 0, 0, 0, 0xF0, 0x3F])
    back = load(data)
    assert all(np.array_equal(back[n], a) and back[n].dtype == a.dtype for n, a in arrays.items())
    fortran = dump({"a": np.asfortranarray(np.arange(6.0).reshape(2, 3))}, {})
    assert fortran == dump({"a": np.arange(6.0).reshape(2, 3)}, {})
    with pytest.raises(TypeError, match="a has dtype float32, expected float64 or int64"):
        dump({"a": np.zeros(2, np.float32)}, {})


def with_header(header) -> bytes:
    text = json.dumps(header).encode()
    return len(text).to_bytes(8, "little") + text + bytes(16)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\x10\0\0\0\0\0\0\0{}",
        (2).to_bytes(8, "little") + b"{]",
        (2).to_bytes(8, "little") + b"[]",
        with_header({}),
        with_header({"a": {"dtype": "F32", "shape": [4], "data_offsets": [0, 16]}}),
        with_header({"a": {"dtype": "F64", "shape": [2], "data_offsets": [0, 8]}}),
        with_header({"a": {"dtype": "F64", "shape": [3], "data_offsets": [0, 24]}}),
        with_header({"a": {"dtype": "F64", "shape": [1], "data_offsets": [8, 16]}}),
        with_header({"a": {"dtype": "F64", "shape": [-2, -1], "data_offsets": [0, 16]}}),
        with_header({"a": {"dtype": "F64", "shape": 2, "data_offsets": [0, 16]}}),
        with_header({"a": {"dtype": "F64", "shape": ["2"], "data_offsets": [0, 16]}}),
        with_header({"a": [1, 2]}),
    ],
)
def test_damaged_safetensors_are_refused(data):
    with pytest.raises(ValueError, match="data has"):
        load(data)


def test_every_truncation_is_refused():
    data = dump({"a": np.arange(4.0)}, {"case": "x"})
    for n in range(len(data)):
        with pytest.raises(ValueError, match="data has"):
            load(data[:n])
