"""The test vectors: their bytes, their numbers, what they find, and readers in two languages."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
import zlib
from collections import Counter
from fractions import Fraction
from pathlib import Path

import mpmath
import numpy as np
import pytest

from refrnn.activations import Activation
from refrnn.cases import CELL_NAMES, HARD_CASES, make_cell
from refrnn.cli import main
from refrnn.comparison import reference
from refrnn.tolerances import tolerance
from refrnn.vectors import (
    CONFIGURATIONS,
    MUTANTS,
    Finding,
    VectorCase,
    draw,
    export,
    kills,
    read,
    specs,
    verify,
)
from refrnn.vectors.draws import Draws
from refrnn.vectors.mutants import cover, worst
from refrnn.vectors.portable import decimal_context, exact, floats, rounded
from refrnn.vectors.safetensors import dump, load

from .conftest import PACKAGE
from .mpmath_oracle import Act, Spec, leaves
from .mpmath_oracle import run as run_oracle

SPECS = {spec.name: spec for spec in specs()}

#: A few cases that find every mutant together; ``mutants.json`` of a whole corpus has such a list.
FEW = (
    "lstm_peepholes_gate_clip/length_0_and_1_reverse",
    "gru_reset_after/nan_padding",
    "stack_gru_reset_after_bidirectional/length_0_and_1",
    "lstm_coupled_activations/length_0_and_1",
    "lstm_projection_cell_clip/length_0_and_1",
    "rnn_relu/all_equal",
    "lstm_peepholes_coupled/length_0_and_1",
)

READER = Path(__file__).parents[1] / "docs" / "examples" / "read_vectors.cpp"


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    """A small corpus; tests that change it change a copy."""
    root = tmp_path_factory.mktemp("vectors")
    export(root, cells=("rnn_softplus", "lstm_coupled_activations", "bidirectional_lstm"))
    return root


@pytest.fixture
def changed(corpus, tmp_path):
    """A copy of that corpus."""
    for path in corpus.rglob("*.*"):
        target = tmp_path / path.relative_to(corpus)
        target.parent.mkdir(exist_ok=True)
        target.write_bytes(path.read_bytes())
    return tmp_path


# --- numbers that are alike everywhere ---------------------------------------------------------

FUNCTIONS = {"exp": mpmath.exp, "expm1": mpmath.expm1, "tanh": mpmath.tanh, "log1p": mpmath.log1p}
ARGUMENTS = np.concatenate([np.linspace(-40, 40, 97), [-1e-3, 1e-9, 0.0, 0.349, 0.351, -0.351]])


@pytest.mark.parametrize("name", FUNCTIONS)
def test_portable_functions_are_right(name):
    x = np.linspace(0, 1, 50) if name == "log1p" else ARGUMENTS
    with decimal_context():
        digits = getattr(np, name)(exact(x))
    approximate = np.asarray(getattr(np, name)(floats(x)))
    with mpmath.workdps(120):
        truth = [FUNCTIONS[name](mpmath.mpf(float(a))) for a in x]
        for t, d, f in zip(truth, digits.tolist(), approximate.tolist(), strict=True):
            assert abs(mpmath.mpf(str(d)) - t) <= abs(t) * mpmath.mpf(10) ** -58
            assert abs(f - t) <= abs(t) * 2.0**-50


def test_portable_exp_at_its_ends():
    ends = floats(np.array([-800.0, -745.5, -740.0, 709.0, 711.0, 800.0]))
    got = np.asarray(np.exp(ends))
    assert got[[0, 1]].tolist() == [0.0, 0.0]
    assert got[2] > 0.0
    assert np.isfinite(got[3])
    assert np.isinf(got[4:]).all()


def test_rounding_is_to_nearest_even():
    with decimal_context():
        halfway = exact(np.array([1.0, 1.0])) + exact(np.array([2.0**-53, 3 * 2.0**-53]))
    assert rounded(halfway).tolist() == [1.0, 1.0 + 2.0**-51]


def test_draws_are_the_documented_formula():
    bound, name = 0.7, "a stream"
    got = Draws(name).uniform(bound, (2, 3))
    words = np.random.PCG64(zlib.crc32(name.encode())).random_raw(6).tolist()
    expected = [float(np.float32(bound * ((2 * (w >> 40) + 1 - 2**24) / 2**24))) for w in words]
    assert got.ravel().tolist() == expected
    many = Draws("b").uniform(1.0, (10000,))
    assert (many.astype(np.float32) == many).all()
    assert (np.abs(many) < 1.0).all()
    assert (many != 0.0).all()
    assert abs(many.mean()) < 0.03
    assert abs((many**2).mean() - 1 / 3) < 0.02


def test_noise_is_the_documented_formula():
    words = np.random.PCG64(zlib.crc32(b"c")).random_raw(2).tolist()
    expected = [float(Fraction(w >> 11, 2**52) - 1) for w in words]
    assert Draws("c").noise((2,)).tolist() == expected


# --- what is in it -----------------------------------------------------------------------------


def test_every_cell_hard_case_and_direction_is_there():
    names = [c.name for c in CONFIGURATIONS]
    assert set(CELL_NAMES) < set(names)
    assert len(set(names)) == len(names)
    for cell in CELL_NAMES:
        for hard in set(HARD_CASES) - {"strided"}:  # a file has no strides
            assert {f"{cell}/{hard}", f"{cell}/{hard}_reverse"} <= set(SPECS)
    cells = {c.name: c.cell for c in CONFIGURATIONS}
    assert all(cells[name] == make_cell(name, 3, 5) for name in CELL_NAMES)


def test_numbers_of_options_are_exact_in_float32():
    for configuration in CONFIGURATIONS:
        for value in configuration.cell.options().values():
            parts = (value.alpha, value.beta) if isinstance(value, Activation) else (value,)
            for number in parts:
                if isinstance(number, float):
                    assert float(np.float32(number)) == number


@pytest.mark.parametrize("name", [c.name for c in CONFIGURATIONS])
def test_a_case_of_every_configuration_holds(name):
    """Both precisions of refrnn, the entry, and every input exact in float32."""
    configuration = next(c for c in CONFIGURATIONS if c.name == name)
    for hard in configuration.hard[-2:]:
        case = draw(SPECS[f"{name}/{hard}"])
        for dtype in ("float64", "float32"):
            assert all(d.ok for d in case.compare(case.run("packed", dtype), dtype))
        facts = {**case.entry["inputs"], **case.entry["expected"]}
        assert set(facts) == set(case.arrays)
        sizes = {"N": case.entry["total_steps"], "T": case.entry["max_length"]}
        for array_name, fact in facts.items():
            array = case.arrays[array_name]
            assert list(array.shape) == fact["shape"]
            assert len(fact["axes"]) == array.ndim
            for axis, n in zip(fact["axes"], array.shape, strict=True):
                assert n == axis_size(axis, case.entry, sizes)
            if array_name in case.entry["inputs"] and array.dtype == np.float64:
                single = array.astype(np.float32).astype(np.float64)
                assert np.array_equal(single, array, equal_nan=case.entry["padded"])


def axis_size(axis, entry, sizes):
    """What an axis' letters say its length is."""
    options = entry["options"]
    sizes = {
        **sizes,
        "B": entry["batch_size"],
        "I": entry["input_size"],
        "H": entry["hidden_size"],
        "P": options.get("proj_size"),
        "L*D": entry["num_layers"] * (1 + entry["bidirectional"]),
    }
    if axis in sizes:
        return sizes[axis]
    factor, letter = axis.split("*")
    return int(factor) * sizes[letter]


def test_the_padded_case_has_nan_in_its_padding_and_zeros_in_its_results():
    case = draw(SPECS["gru_reset_after/nan_padding"])
    real = np.arange(7)[:, None] < np.array(case.entry["lengths"])
    for name, is_right in (
        ("input", np.isnan),
        ("d_output", np.isnan),
        ("output", lambda a: a == 0.0),
        ("d_input", lambda a: a == 0.0),
    ):
        assert is_right(case.arrays[name][~real]).all()
        assert np.isfinite(case.arrays[name][real]).all()
        assert case.rows(name).shape[0] == case.entry["total_steps"]


def test_what_is_not_given_is_not_in_the_file():
    case = draw(SPECS["lstm/last_state"])
    assert not {"h_0", "c_0", "d_output"} & set(case.arrays)
    assert (case.arrays["d_c_n"] == 0.0).all()
    assert case.case().state_0 is None


# --- the expected numbers ----------------------------------------------------------------------


def as_act(f: Activation) -> Act:
    return Act(f.name, f.alpha or 0.0, f.beta or 0.0)


def as_oracle_spec(cell) -> Spec:
    """The oracle's words for a cell."""
    kind = type(cell).__name__.lower()
    found = {name: getattr(cell, name) for name in Spec._fields if hasattr(cell, name)}
    if kind == "gru":
        found["cell_activation"] = cell.candidate_activation
    acts = {n: as_act(v) if isinstance(v, Activation) else v for n, v in found.items()}
    return Spec(kind, **acts)


@pytest.mark.parametrize("name", [c.name for c in CONFIGURATIONS if c.layer is None])
def test_expected_values_are_exact_results_rounded_once(name):
    """Bit for bit what the independent implementation finds with 50 digits."""
    spec = SPECS[f"{name}/length_0_and_1_reverse"]
    case = draw(spec)
    inner = case.case()
    ends = inner.batch.offsets[1:-1]
    result = run_oracle(
        as_oracle_spec(inner.cell),
        inner.parameters,
        np.split(inner.batch.values, ends),
        inner.state_0,
        True,
        np.split(inner.d_output, ends),
        inner.d_state_n,
    )
    found = {"output": result.outputs, "d_input": result.d_x}
    for i, letter in enumerate(inner.cell.state_names):
        found |= {f"{letter}_n": result.state_n[i], f"d_{letter}_0": result.d_state_0[i]}
    found |= {f"d_{n}": a for n, a in result.d_parameters.items()}
    assert set(found) == set(case.entry["expected"])
    for array, tree in found.items():
        assert [float(x) for x in leaves(tree)] == case.arrays[array].ravel().tolist()


@pytest.mark.parametrize(
    "name", ["lstm/unsorted", "gru_reset_before/saturating", "rnn_relu/all_equal"]
)
def test_scales_are_those_of_the_comparison(name):
    """Measured with other random numbers: alike to a factor, and the formula is the one formula."""
    case = draw(SPECS[name])
    scales = reference(case.case()).scales
    for array, facts in case.entry["expected"].items():
        assert 0.4 < facts["scale"] / scales[array] < 2.5
        for dtype in ("float64", "float32"):
            length = case.entry["max_length"]
            assert facts["tolerance"][dtype] == tolerance(dtype, length, facts["scale"])


# --- bytes -------------------------------------------------------------------------------------

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


# --- mutants -----------------------------------------------------------------------------------


def test_every_mutant_is_killed_and_the_right_implementation_is_not():
    cases = [draw(SPECS[name]) for name in FEW]
    for case in cases:
        for unroll in ("per_sequence", "packed"):
            assert all(d.in_tolerances < 0.1 for d in case.compare(case.run(unroll)))
    found = kills(cases)
    assert [m["name"] for m in found] == [m.name for m in MUTANTS]
    assert [m["name"] for m in found if not m["killed_by"]] == []
    assert all(len(m["killed_by"]) <= m["applies_to"] <= len(FEW) for m in found)
    assert set(cover(found)) == set(FEW)


def test_mutants_are_many_and_named_once():
    assert len({m.name for m in MUTANTS}) == len(MUTANTS)
    groups = Counter(m.group for m in MUTANTS)
    assert set(groups) == {"parameters", "equations", "ragged", "gradients", "stacks"}
    assert sum(m.name.startswith("LSTM gates in the order") for m in MUTANTS) == 23
    assert sum(m.name.startswith("GRU gates in the order") for m in MUTANTS) == 5


def test_gradient_mutants_are_right_forward():
    """Else they would be found without a gradient, and say nothing about gradients."""
    cases = [draw(SPECS[name]) for name in FEW]
    for mutant in MUTANTS:
        for case in cases if mutant.group == "gradients" else ():
            inner = case.case()
            if mutant.applies(inner):
                results = mutant.run(inner)
                forward = {n: a for n, a in results.items() if not n.startswith("d_")}
                assert all(d.ok for d in case.compare(forward)), (mutant.name, case.name)


def test_a_gate_order_reads_the_blocks_it_says():
    """LSTM gates in the order f i g o: the block of f is taken for i, that of i for f."""
    case = draw(SPECS["lstm/single_row"])
    mutant = next(m for m in MUTANTS if m.name == "LSTM gates in the order f i g o")
    assert worst(mutant, case) > 1.0
    inner, H = case.case(), 5
    swap = np.r_[H : 2 * H, 0:H, 2 * H : 4 * H]
    swapped = {n: a[swap] for n, a in inner.parameters.items()}
    right = VectorCase(case.entry, {**case.arrays, **swapped}).run()
    assert np.allclose(mutant.run(inner)["output"], right["output"], rtol=1e-12)
    assert np.allclose(mutant.run(inner)["d_W_ih"], right["d_W_ih"][swap], rtol=1e-12)


def test_cover_takes_the_case_that_kills_most():
    found = [
        {"name": "1", "killed_by": ["b", "a"]},
        {"name": "2", "killed_by": ["b"]},
        {"name": "3", "killed_by": ["c", "d"]},
        {"name": "4", "killed_by": []},
    ]
    assert cover(found) == ["b", "c"]


# --- reading and verifying ---------------------------------------------------------------------


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


# --- refrnn export -----------------------------------------------------------------------------


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


# --- a reader in C++ ---------------------------------------------------------------------------


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
