"""``refrnn check SUBJECT``: the oracle at the command line."""

import json
import sys

import pytest

from refrnn.cli import main

MODULE = """
import numpy as np
from refrnn import GRU
from refrnn.comparison import run_case
from refrnn.oracle import FunctionSubject, Result

def right(case):
    found = run_case(case, "packed")
    return Result(found["output"], d_parameters={"W_hh": found["d_W_hh"]})

def wrong(case):
    result = right(case)
    return result._replace(d_parameters={"W_hh": 2 * result.d_parameters["W_hh"]})

def crash(case):
    raise SystemExit(0)

def make():
    return Layer()

def infinite():
    cell = GRU(3, 4)
    weights = {n: np.full(s, np.inf) for n, s in cell.parameter_shapes().items()}
    return FunctionSubject(right, cell, weights)

class Layer(FunctionSubject):
    def __init__(self):
        super().__init__(right, GRU(3, 4))

number = 3
"""


@pytest.fixture(autouse=True)
def _module(tmp_path, monkeypatch):
    (tmp_path / "kernels_of_mine.py").write_text(MODULE)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "kernels_of_mine", raising=False)


def run(capsys, *arguments):
    status = main(["check", *arguments])
    out, err = capsys.readouterr()
    return status, out, err


def test_a_function_for_each_cell_and_dtype(capsys):
    status, out, _ = run(
        capsys, "kernels_of_mine:right", "--cell", "gru_reset_after", "--cell", "rnn_tanh"
    )
    assert status == 0
    lines = [line for line in out.splitlines() if line.startswith("  ok ")]
    assert len(lines) == 4
    assert sum("float32" in line for line in lines) == 2


def test_what_is_wrong_is_shown_and_is_the_exit_status(capsys):
    options = ("--cell", "gru_reset_after", "--dtype", "float64")
    status, out, _ = run(capsys, "kernels_of_mine:wrong", *options)
    assert status == 1
    assert "FAILED" in out
    assert "d_W_hh" in out
    assert "it is 2 times the reference" in " ".join(out.split())


def test_a_class_is_called_and_verbose_shows_every_table(capsys):
    status, out, _ = run(capsys, "kernels_of_mine:Layer", "--verbose")
    assert status == 0
    assert "right as GRU(3, 4): ok" in out


def test_a_function_that_makes_a_module_is_called(capsys):
    status, out, _ = run(capsys, "kernels_of_mine:make")
    assert status == 0
    assert "right as GRU(3, 4): ok" in out


def test_leaving_the_process_is_a_crash(capsys):
    options = ("--cell", "gru_reset_after", "--dtype", "float64")
    status, out, _ = run(capsys, "kernels_of_mine:crash", *options)
    assert status == 1
    assert "crashed: SystemExit" in " ".join(out.split())


def test_weights_that_are_not_finite_are_wrong_usage(capsys):
    status, _, err = run(capsys, "kernels_of_mine:infinite")
    assert status == 2
    assert "W_ih of run 0 has inf at [0, 0], expected finite numbers" in err


def test_only_the_cases_that_were_asked_for(capsys):
    status, out, _ = run(capsys, "kernels_of_mine:Layer", "--case", "extra_padding", "--json", "-")
    assert status == 0
    (report,) = json.loads(out)["reports"]
    assert {entry["problem"] for entry in report["entries"]} == {"extra_padding"}


def test_nothing_checked_is_an_exit_status_of_its_own(capsys):
    status, out, _ = run(capsys, "kernels_of_mine:Layer", "--case", "holes")
    assert status == 2
    assert "nothing was checked" in out


def test_the_json_goes_to_a_file(capsys, tmp_path):
    status, out, _ = run(capsys, "kernels_of_mine:Layer", "--json", str(tmp_path / "r.json"))
    assert status == 0
    assert "ok" in out
    record = json.loads((tmp_path / "r.json").read_text())
    assert record["exit_status"] == 0
    assert record["reports"][0]["ok"] is True


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["nix"], "SUBJECT has value 'nix', expected one of torch, jax"),
        (["kernels_of_mine:none"], "which fails: AttributeError"),
        (["no_such_module:none"], "which fails: ModuleNotFoundError"),
        (["kernels_of_mine:number"], "subject has type int"),
        (["kernels_of_mine:right"], "which is a function: expected --cell beside it"),
        (["kernels_of_mine:right", "--dtype", "float32"], "expected --cell beside it"),
        (["kernels_of_mine:Layer", "--cell", "lstm"], "and kernels_of_mine:Layer is none"),
        (["torch", "--cell", "lstm"], "torch is a framework"),
        (["torch", "--quick"], "--quick: about unrolls"),
        (["torch", "--unroll", "lanes"], "--unroll: about unrolls"),
        (["torch", "--device", "cuda"], "--device: about unrolls"),
        (["torch", "--case", "japanese_vowels"], "--case japanese_vowels: about unrolls"),
        (["--semantics", "onnx"], "--semantics: about a SUBJECT"),
        (["--verbose"], "--verbose: about a SUBJECT"),
        (["--case", "holes"], "--case holes: about a SUBJECT"),
    ],
)
def test_wrong_usage_is_said_before_anything_runs(capsys, arguments, words):
    status, out, err = run(capsys, *arguments)
    assert status == 2
    assert out == ""
    assert words in err


def test_a_framework_that_is_missing_is_named(capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, "torch", None)
    status, _, err = run(capsys, "torch")
    assert status == 2
    assert "SUBJECT has value 'torch', and nothing of it can be run" in err
    assert "torch" in err
