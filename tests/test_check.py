"""``refrnn check``: what it finds, what it says, and what it must not let pass."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys

import numpy as np
import pytest
from refrnn_accel.cuda import context

from refrnn import Packed, forward
from refrnn.arithmetic import MonteCarlo
from refrnn.cases import CELL_NAMES, HARD_CASES, hard_case, make_cell, random_case, vowels_case
from refrnn.check import (
    VOWELS,
    Candidate,
    LoadError,
    Outcome,
    Selection,
    Status,
    find_candidates,
    run_checks,
)
from refrnn.check.record import dump
from refrnn.check.report import WIDTH, failures
from refrnn.cli import main
from refrnn.comparison import compare, reference, run_case
from refrnn.tolerances import Deviation
from refrnn.unroll import BUILT_IN, installed_unrolls

from . import broken_unrolls as broken
from .conftest import PACKAGE

FEW = ("--cell", "gru_reset_after", "--case", "unsorted", "--case", "length_0_and_1")


@pytest.fixture
def spec(monkeypatch):
    """``module:Class`` of a broken unroll, importable under that name."""
    monkeypatch.setitem(sys.modules, "broken_unrolls", broken)
    return "broken_unrolls:{}".format


def check(capsys, *options):
    """Exit status, standard output, standard error."""
    status = main(["check", *options])
    out, err = capsys.readouterr()
    return status, out, err


# --- the cases ---------------------------------------------------------------------------------


def test_the_hard_cases_are_hard():
    lengths = {name: hard.lengths for name, hard in HARD_CASES.items()}
    assert lengths["empty_batch"] == ()
    assert set(lengths["all_empty"]) == {0}
    assert lengths["single_row"] == (1,)
    assert len(set(lengths["all_equal"])) == 1
    assert {0, 1} <= set(lengths["length_0_and_1"])
    assert list(lengths["unsorted"]) not in (
        sorted(lengths["unsorted"]),
        sorted(lengths["unsorted"], reverse=True),
    )
    assert max(lengths["long_and_short"]) > 2 * sum(lengths["long_and_short"]) / 3
    cell = make_cell("lstm", 3, 5)
    assert not hard_case("strided", cell).batch.values.flags.forc
    assert not hard_case("strided", cell).d_output.flags.forc
    assert not np.isnan(hard_case("nan_padding", cell).batch.values).any()
    assert hard_case("last_state", cell).state_0 is None
    gates = run_gates(hard_case("saturating", cell))
    assert (np.abs(gates) > 18).any()


def run_gates(case):
    """All pre-activations of a case."""
    run = forward(case.cell, case.parameters, case.batch, case.state_0, unroll="packed")
    return run.tape.saved.tape.a


@pytest.mark.parametrize("name", sorted({*CELL_NAMES} - {"rnn_tanh", "lstm", "gru_reset_after"}))
def test_every_option_of_a_cell_changes_its_results(name):
    """A clip that never acts, say, would be checked by nothing."""
    plain = {"rnn": "rnn_tanh", "lst": "lstm", "gru": "gru_reset_after"}[name[:3]]
    cell, other = make_cell(name, 3, 5), make_cell(plain, 3, 5)
    case, plain_case = hard_case("unsorted", cell), hard_case("unsorted", other)
    got, plain_got = (run_case(c, "packed")["h_n"] for c in (case, plain_case))
    assert got.shape != plain_got.shape or np.abs(got - plain_got).max() > 1e-3


@pytest.mark.parametrize("name", CELL_NAMES)
def test_no_case_stands_so_near_a_kink_that_rounding_decides(name):
    """Noise of two float32 units moves no result by more than a fifth of its tolerance."""
    cases = [hard_case(h, make_cell(name, 3, 5), "float32") for h in HARD_CASES]
    cases.append(vowels_case(make_cell(name, 12, 16), "float32", every=30))
    for case in cases:
        truth = reference(case)
        noise = MonteCarlo(2.0**-22, np.random.default_rng(0))
        moved = run_case(case.astype("float64"), Packed(arithmetic=noise))
        assert max(d.in_tolerances for d in compare(case, moved, truth)) < 0.2


def test_float32_cases_are_the_float64_ones_rounded():
    cell = make_cell("gru_reset_before", 3, 5)
    for name in HARD_CASES:
        wide, narrow = hard_case(name, cell), hard_case(name, cell, "float32")
        assert narrow.dtype == np.float32
        np.testing.assert_array_equal(wide.batch.values.astype("f4"), narrow.batch.values)
        np.testing.assert_array_equal(wide.parameters.W_hh.astype("f4"), narrow.parameters.W_hh)


def test_vowels_are_standardised_and_may_be_thinned_out():
    whole = vowels_case(make_cell("lstm", 12, 4)).batch
    part = vowels_case(make_cell("lstm", 12, 4), every=30).batch
    assert (len(whole), len(part)) == (270, 9)
    np.testing.assert_allclose(whole.values.mean(axis=0), 0, atol=1e-13)
    np.testing.assert_allclose(whole.values.std(axis=0), 1, rtol=1e-13)
    np.testing.assert_array_equal(part[2], whole[60])


@pytest.mark.parametrize("call", [make_cell, lambda n, i, h: hard_case(n, make_cell("lstm", i, h))])
def test_an_unknown_name_is_an_error(call):
    with pytest.raises(ValueError, match="name has value 'nonsense', expected one of"):
        call("nonsense", 3, 5)


def test_a_projection_needs_room():
    with pytest.raises(ValueError, match="hidden_size has value 1"):
        make_cell("lstm_projection", 3, 1)


def test_a_case_is_what_its_generator_draws():
    cell = make_cell("lstm", 3, 5)
    batch = hard_case("unsorted", cell).batch
    one, two = (random_case(cell, batch, np.random.default_rng(1)) for _ in range(2))
    assert one.parameters == two.parameters
    assert np.abs(one.parameters.W_hh).max() <= 2 / 5**0.5
    assert np.abs(one.state_0.c).min() > 0


# --- the device ---------------------------------------------------------------------------------


def test_a_device_that_is_not_there_is_refused_before_anything_runs(capsys, monkeypatch):
    context.driver.cache_clear()
    monkeypatch.setitem(sys.modules, "pycuda", None)
    status, out, err = check(capsys, "--device", "cuda", *FEW)
    assert (status, out) == (2, "")
    assert "--device has value 'cuda', and PyCUDA is missing" in err


@pytest.mark.parametrize(
    ("choice", "software", "message"),
    [
        ("cuda", True, "--device has value 'cuda', and the device of this process is Planted"),
        ("cuda", False, "--device has value 'cuda', and of lanes none runs on a device"),
    ],
)
def test_a_device_is_honoured_or_refused(capsys, monkeypatch, choice, software, message):
    facts = {"device": "Planted", "software": software}
    monkeypatch.setattr("refrnn.cli.device.describe", lambda: facts)
    status, out, err = check(capsys, "--device", choice, "--unroll", "lanes", *FEW)
    assert (status, out) == (2, "")
    assert message in err


def test_a_failure_is_repeated_on_the_same_device(capsys, monkeypatch, spec):
    facts = {"device": "Planted", "software": False, "compute_capability": "9.9"}
    monkeypatch.setattr("refrnn.cli.device.describe", lambda: facts)
    wrong = ("--unroll", spec("WrongByTwoTolerances"))
    status, out, _ = check(capsys, "--device", "cuda", *wrong, *FEW)
    assert status == 1
    assert "CUDA device: Planted, compute capability 9.9" in out
    (again,) = [line for line in out.splitlines() if line.startswith("  again")]
    assert again.endswith(" --device cuda")


# --- a run where all is well --------------------------------------------------------------------


def test_all_unrolls_pass_and_the_table_is_readable(capsys):
    asked = [option for name in BUILT_IN for option in ("--unroll", name)]
    cells = ("--cell", "lstm_coupled", "--cell", "rnn_relu")
    status, out, err = check(capsys, *asked, *cells, "--quick")
    assert status == 0
    # on a slow machine progress may be told, on stderr only
    assert all(line.startswith("refrnn check: ") for line in err.splitlines())
    lines = out.splitlines()
    assert max(map(len, lines)) <= WIDTH
    assert lines[-1].startswith("All 5 unrolls are within tolerance of the definition.")
    assert "27 forward and 27 reverse" in out
    assert out.index("rnn_relu") < out.index("lstm_coupled") < out.index("Summary")
    rows = [line.split() for line in lines[lines.index(next(s for s in lines if "Summary" in s)) :]]
    verdicts = {row[0]: row[1] for row in rows[2:8] if row[1] != "*"}
    assert verdicts == dict.fromkeys(BUILT_IN, "ok")
    assert ["per_sequence", "*", "ok", "52/52"] in [row[:4] for row in rows]
    assert "─" * WIDTH in lines


def test_one_dtype_makes_a_narrower_table(capsys):
    status, out, _ = check(capsys, *FEW, "--dtype", "float32", "--unroll", "lanes")
    assert status == 0
    assert "1 unroll is within tolerance" in out
    assert "By tensor, float32" in out
    assert "masked" not in out


def test_a_terminal_without_unicode_gets_hyphens(monkeypatch, spec):
    out = io.TextIOWrapper(io.BytesIO(), encoding="ascii")
    monkeypatch.setattr(sys, "stdout", out)
    assert main(["check", *FEW, "--unroll", spec("Crashes")]) == 1
    text = out.buffer.getvalue().decode("ascii")
    assert "-" * WIDTH in text
    assert "IndexError: lane 3 of 2 \\u2717" in text


def test_float64_is_normwise_1e_13_or_better():
    selection = Selection(CELL_NAMES, ("float64",), ("unsorted", "saturating", "length_0_and_1"))
    outcomes = run_checks(find_candidates(list(BUILT_IN)), selection)
    worst = max(d.normwise for o in outcomes for d in o.deviations)
    assert worst < 1e-13
    assert {o.cell for o in outcomes} == set(CELL_NAMES)


# --- what is wrong is found -----------------------------------------------------------------------


def test_a_wrong_unroll_is_1_and_its_worst_element_is_named(capsys, spec):
    status, out, _ = check(capsys, *FEW, "--unroll", spec("ForgetsInitialState"))
    assert status == 1
    assert "FAILED forgets_initial_state: 8 runs out of tolerance, 0 crashed" in out
    worst = next(line for line in out.splitlines() if line.startswith("  worst"))
    assert "gru_reset_after, float64, " in worst
    assert "] has value " in worst
    assert ", expected " in worst
    assert " tolerances of " in worst
    assert f"--unroll {spec('ForgetsInitialState')} --cell gru_reset_after --dtype float64" in out
    assert out.splitlines()[-1].startswith("FAILED: forgets_initial_state.")


def test_the_command_that_is_printed_repeats_the_failure(capsys, spec):
    _, out, _ = check(capsys, *FEW, "--unroll", spec("WrongByTwoTolerances"))
    again = next(line for line in out.splitlines() if line.startswith("  again")).split()[1:]
    assert again[:2] == ["refrnn", "check"]
    status, out, _ = check(capsys, *again[2:])
    assert status == 1
    assert "d_W_hh[2, 1] has value" in out


def test_one_wrong_unroll_does_not_hide_the_right_ones(capsys, spec):
    status, out, _ = check(capsys, *FEW, "--unroll", "packed", "--unroll", spec("Nan"))
    assert status == 1
    verdicts = [line.split()[:2] for line in out.split("Summary")[1].splitlines()[2:]]
    assert ["packed", "ok"] in verdicts
    assert ["nan", "FAILED"] in verdicts


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("Crashes", "crashed: IndexError: lane 3 of 2 ✗"),
        ("Exits", "crashed: SystemExit: 0"),
        ("WritesIntoParameters", "an argument has other numbers after the run"),
        ("Widens", "output has dtype float64, expected float32"),
        ("OtherLengths", "output has other lengths than the batch"),
        ("BareState", "state_n has type tuple, expected GRUState"),
        ("PlanOfWords", "'str' object cannot be interpreted as an integer"),
    ],
)
def test_a_crash_is_a_finding_and_no_traceback(capsys, spec, name, message):
    status, out, err = check(capsys, *FEW, "--dtype", "float32", "--unroll", spec(name))
    assert status == 1
    assert message in out
    assert "Traceback" not in out + err


def test_a_crash_of_the_definition_is_a_finding_too(monkeypatch, capsys):
    def crash(case):
        raise ArithmeticError("no truth")

    monkeypatch.setattr("refrnn.check.running.reference", crash)
    status, out, _ = check(capsys, *FEW)
    assert status == 1
    assert "FAILED per_sequence: 0 runs out of tolerance, 4 crashed" in out
    assert "ArithmeticError: no truth" in out


def test_a_wrong_adjoint_of_the_definition_is_found_by_the_complex_step(monkeypatch, capsys):
    from refrnn.cells import GRU

    right = GRU.input_gradient
    monkeypatch.setattr(GRU, "input_gradient", lambda *a: right(*a) * (1 + 1e-9))
    status, out, _ = check(capsys, *FEW, "--dtype", "float64")
    assert status == 1
    assert "FAILED per_sequence: 4 runs out of tolerance" in out
    assert "by complex step: d_input has value" in out


# --- what was not checked is not passed -----------------------------------------------------------


def test_an_unroll_that_offers_nothing_is_2(capsys, spec):
    status, out, _ = check(capsys, *FEW, "--unroll", spec("OffersNothing"))
    assert status == 2
    assert "offers_nothing: 8 runs (gru_reset_after; float64, float32): there is no device" in out
    assert "not offered" in out
    assert out.splitlines()[-1].startswith("NOTHING WAS CHECKED.")


def test_what_is_not_offered_is_not_counted(capsys, spec):
    status, out, _ = check(capsys, *FEW, "--unroll", spec("OffersSome"))
    assert status == 0
    row = next(s for s in out.split("Summary")[1].splitlines() if "offers_some" in s)
    assert row.split()[:3] == ["offers_some", "ok", "4/8"]
    assert "offers_some: 4 runs (gru_reset_after; float64, float32): forward only" in out


def test_one_that_cannot_be_made_fails_only_where_it_was_asked_for(monkeypatch, capsys, spec):
    status, out, _ = check(capsys, *FEW, "--unroll", spec("NeedsDevice"))
    assert status == 1
    assert "cannot be loaded: RuntimeError: no device found" in out
    found = {"packed": Packed, "needs_device": broken.NeedsDevice, "gone": "ImportError: gone"}
    monkeypatch.setattr("refrnn.check.loading.installed_unrolls", lambda: found)
    status, out, _ = check(capsys, *FEW)
    assert status == 0
    assert "needs_device: cannot be loaded: RuntimeError: no device found" in out
    assert "gone: cannot be loaded: ImportError: gone" in out
    status, out, _ = check(capsys, *FEW, "--unroll", "gone", "--unroll", "packed")
    assert status == 1
    assert out.splitlines()[-1].startswith("FAILED: gone.")


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        ("nonsense", "--unroll has name 'nonsense', expected one of per_sequence, masked"),
        ("no_such_module:Thing", "--unroll has module 'no_such_module', and there is none"),
        ("no_such.part:Thing", "--unroll has module 'no_such.part', and there is none"),
        ("broken_unrolls:Nothing", "has no 'Nothing'"),
        (":Thing", "expected a name or module:Class"),
        ("refrnn:", "expected a name or module:Class"),
    ],
)
def test_what_does_not_exist_is_a_usage_error(capsys, spec, asked, message):
    status, out, err = check(capsys, "--unroll", asked)
    assert (status, out) == (2, "")
    assert err.startswith("refrnn check: error: ")
    assert message in err


@pytest.mark.parametrize("option", ["--cell", "--dtype", "--case"])
def test_an_unknown_choice_is_a_usage_error(capsys, option):
    status, _, err = check(capsys, option, "nonsense")
    assert status == 2
    assert "nonsense" in err


# --- which unrolls ----------------------------------------------------------------------------


def test_every_installed_unroll_is_a_candidate_and_names_are_kept_apart(spec):
    assert [c.name for c in find_candidates([])] == list(installed_unrolls())
    assert not any(c.asked for c in find_candidates([]))
    asked = [spec("right"), "lanes", "lanes", spec("Masked"), spec("Nan")]
    found = find_candidates(asked)
    assert [c.name for c in found] == [spec("right"), "lanes", spec("Masked"), "nan"]
    assert [c.spec for c in found] == [spec("right"), "lanes", spec("Masked"), spec("Nan")]
    assert all(c.asked and c.unroll is not None for c in found)


def test_an_object_that_is_no_unroll_says_so(spec):
    (candidate,) = find_candidates([spec("Incomplete")])
    assert candidate.unroll is None
    assert "expected a name or an object with name, supports, forward" in candidate.reason


def test_a_module_in_the_working_directory_is_found(tmp_path):
    (tmp_path / "mine.py").write_text("from refrnn import Lanes\nclass Mine(Lanes): name = 'mine'")
    (tmp_path / "raises.py").write_text("import no_such_thing_at_all")
    code = "import sys; from refrnn.cli import main; sys.exit(main(sys.argv[1:]))"
    command = [sys.executable, "-P", "-c", code, "check", *FEW]  # -P: as a console script runs
    environment = {**os.environ, "PYTHONPATH": str(PACKAGE.parent)}
    options = {"cwd": tmp_path, "capture_output": True, "text": True, "env": environment}
    done = subprocess.run([*command, "--unroll", "mine:Mine"], check=False, **options)
    assert (done.returncode, done.stderr) == (0, "")
    done = subprocess.run([*command, "--unroll", "raises:Any"], check=False, **options)
    assert done.returncode == 1
    assert "cannot be loaded: ModuleNotFoundError: No module named 'no_such_thing_at_all'" in (
        done.stdout
    )


def test_load_errors_are_value_errors():
    with pytest.raises(LoadError, match="expected one of"):
        find_candidates(["nonsense"])
    assert issubclass(LoadError, ValueError)


# --- JSON and progress --------------------------------------------------------------------------


def test_json_holds_every_comparison(capsys, tmp_path, spec):
    file = tmp_path / "result.json"
    options = ("--unroll", "masked", "--unroll", spec("Nan"), "--unroll", spec("OffersNothing"))
    status, out, _ = check(capsys, *FEW, *options, "--json", str(file))
    assert status == 1
    assert "Summary" in out
    found = json.loads(file.read_text(encoding="utf-8"), parse_constant=pytest.fail)
    assert found["format"] == "refrnn check 1"
    assert found["exit_status"] == 1
    assert found["environment"]["numpy"]["version"] == np.__version__
    assert found["cells"] == ["gru_reset_after"]
    assert found["cases"]["unsorted"]["lengths"] == list(HARD_CASES["unsorted"].lengths)
    assert [u["name"] for u in found["unrolls"]] == ["masked", "nan", "offers_nothing"]
    results = found["results"]
    assert len(results) == 4 + 3 * 8
    masked = next(r for r in results if r["unroll"] == "masked" and r["case"] == "unsorted")
    assert masked["status"] == "ok"
    assert masked["padded_steps"] == 6 * 9 - sum(HARD_CASES["unsorted"].lengths)
    assert masked["seconds"] > 0
    names = [t["name"] for t in masked["tensors"]]
    assert names[:4] == ["output", "h_n", "d_input", "d_h_0"]
    bad = next(r for r in results if r["unroll"] == "nan")
    assert bad["status"] == "out of tolerance"
    assert bad["tensors"][0]["got"] == "nan"
    assert bad["tensors"][0]["in_tolerances"] == "inf"
    assert {r["method"] for r in results if r["unroll"] == "per_sequence"} == {"complex step"}
    offered = [r for r in results if r["unroll"] == "offers_nothing"]
    assert {(r["status"], r["reason"]) for r in offered} == {("not offered", "there is no device")}


def test_json_on_standard_output_is_all_there_is(capsys):
    status, out, err = check(capsys, *FEW, "--unroll", "packed", "--json", "-")
    assert status == 0
    assert json.loads(out)["exit_status"] == 0
    assert err == ""


def test_json_of_nothing_is_json():
    assert json.loads(dump({"format": "x", "results": []})) == {"format": "x", "results": []}


@pytest.mark.parametrize("name", ["", "missing/result.json"])
def test_a_file_that_cannot_be_written_is_known_before_the_work(capsys, tmp_path, name):
    status, out, err = check(capsys, *FEW, "--json", str(tmp_path / name))
    assert (status, out) == (2, "")
    assert "--json has value" in err


def test_progress_goes_to_standard_error_alone(monkeypatch, capsys):
    monkeypatch.setattr("refrnn.cli.progress.Progress.__init__.__defaults__", (0.0,))
    status, out, err = check(capsys, *FEW, "--unroll", "lanes")
    assert status == 0
    assert "refrnn check: 0/4" in err
    assert "refrnn check: 0/4" not in out


# --- the report by itself -----------------------------------------------------------------------


def outcome(unroll, worst, **changes):
    """An outcome with one deviation."""
    deviation = Deviation("d_W_hh", worst, 1e-3, (1, 2), 1.5, 1.25, 0.125)
    status = Status.OK if worst <= 1 else Status.OUT_OF_TOLERANCE
    made = Outcome(
        unroll, "lstm", "float64", VOWELS, False, "comparison", status, "", (deviation,), 5, 8, 0.5
    )
    return made._replace(**changes)


def test_the_worst_of_an_unrolls_failures_is_the_one_named():
    rows = [outcome("mine", 2.0), outcome("mine", 7.0, reverse=True), outcome("other", 0.5)]
    lines = failures(rows, [Candidate("mine", "pkg:Mine", None, "", True)])
    assert lines == [
        "FAILED mine: 2 runs out of tolerance, 0 crashed",
        "  worst  mine: lstm, float64, reverse, japanese_vowels: d_W_hh[1, 2] has value 1.5, "
        "expected 1.25 (off by 7 tolerances of 0.12; normwise error 1.0e-03)",
        "  again  refrnn check --unroll pkg:Mine --cell lstm --dtype float64 "
        "--case japanese_vowels",
    ]
