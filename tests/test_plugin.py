"""The plugin as a stranger uses it: a process of its own, an unroll of their own."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from refrnn.testing.plugin import load_unroll

_UNROLLS = """
import refrnn as rr


class Right(rr.Packed):
    name = "right"


class Wrong(rr.Packed):
    name = "wrong"

    def forward(self, cell, parameters, batch, state_0, reverse):
        return super().forward(cell, parameters, batch, state_0, False)


class Nothing(rr.Packed):
    name = "nothing"

    def supports(self, cell, dtype, *, reverse=False):
        return "there is no device"


class Some(rr.Packed):
    name = "some"

    def supports(self, cell, dtype, *, reverse=False):
        return "forward only" if reverse else None


class Promises(rr.Packed):
    name = "promises"

    def forward(self, cell, parameters, batch, state_0, reverse):
        raise rr.UnsupportedCase("not after all")


def two_lanes():
    return rr.Lanes(lanes=2)


three_lanes = rr.Lanes(lanes=3)
"""

# One property, a quick one, is enough to see the plugin work.
_SUBSET = ["-k", "empty_sequences"]


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the module of unrolls above."""
    folder = tmp_path_factory.mktemp("project")
    (folder / "toys.py").write_text(_UNROLLS)
    return folder


def run_pytest(project: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    import refrnn

    root = str(Path(refrnn.__file__).parents[1])
    command = [sys.executable, "-m", "pytest", "-p", "refrnn.testing.plugin"]
    command += ["--hypothesis-profile=refrnn", "-q", "-p", "no:cacheprovider", *arguments]
    return subprocess.run(
        [*command, "--pyargs", "refrnn.testing"],
        cwd=project,
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(project), root])},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.parametrize("name", ["Right", "two_lanes", "three_lanes"])
def test_a_right_unroll_passes(project: Path, name: str) -> None:
    done = run_pytest(project, *_SUBSET, "--unroll", f"toys:{name}")
    assert done.returncode == 0, done.stdout
    assert f"toys:{name}: 20 cases ran" in done.stdout


def test_a_wrong_unroll_fails_and_the_worst_number_is_named(project: Path) -> None:
    done = run_pytest(project, "-k", "agrees_with", "--unroll", "toys:Wrong")
    assert done.returncode == pytest.ExitCode.TESTS_FAILED
    assert "tolerances of" in done.stdout
    assert "test_property[toys:Wrong-agrees_with_the_definition]" in done.stdout


def test_an_unroll_that_runs_nothing_fails_the_session(project: Path) -> None:
    done = run_pytest(project, *_SUBSET, "--unroll", "toys:Nothing", "--unroll", "packed")
    assert done.returncode == pytest.ExitCode.TESTS_FAILED
    assert "toys:Nothing: FAILED: no case ran" in done.stdout
    assert "declined 20 times: there is no device" in done.stdout
    assert "packed: 20 cases ran" in done.stdout
    assert "2 passed" in done.stdout  # it is not a test that fails, but the session


def test_declined_cases_are_counted_and_shown(project: Path) -> None:
    done = run_pytest(project, *_SUBSET, "--unroll", "toys:Some")
    assert done.returncode == 0, done.stdout
    assert "times: forward only" in done.stdout


def test_a_supported_case_that_raises_unsupported_fails(project: Path) -> None:
    done = run_pytest(project, *_SUBSET, "--unroll", "toys:Promises")
    assert done.returncode == pytest.ExitCode.TESTS_FAILED
    assert "UnsupportedCase: not after all" in done.stdout


@pytest.mark.parametrize("name", ["toys:Missing", "nowhere:Class", "unknown"])
def test_an_unroll_that_cannot_be_had_is_a_usage_error(project: Path, name: str) -> None:
    done = run_pytest(project, "--unroll", name)
    assert done.returncode == pytest.ExitCode.USAGE_ERROR
    assert f"--unroll has value '{name}', which fails" in done.stderr


def test_by_default_all_of_refrnn_is_tested(project: Path) -> None:
    done = run_pytest(project, "--collect-only")
    assert done.returncode == 0, done.stdout
    for name in ("per_sequence", "masked", "bucketed", "packed", "lanes"):
        assert f"test_property[{name}-repeats_bitwise]" in done.stdout


def test_load_unroll_takes_names_classes_functions_and_objects() -> None:
    assert load_unroll("lanes").name == "lanes"
    assert load_unroll("refrnn:Masked").name == "masked"
    assert load_unroll("tests.broken_unrolls:right").name == "lanes"
