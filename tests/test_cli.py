"""The command line: which module is loaded, what is printed where, and the exit status."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

import refrnn
from refrnn.cli import main
from refrnn.cli.progress import Progress

from .conftest import PACKAGE


def python(code):
    """Run code in a process of its own, with the refrnn under test."""
    return subprocess.run(
        [sys.executable, "-P", "-c", code],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "PYTHONPATH": str(PACKAGE.parent)},
    )


def test_no_command_prints_help_and_is_a_usage_error(capsys):
    assert main([]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert all(name in err for name in ("check", "info", "lengths", "bench", "exit status"))


@pytest.mark.parametrize("command", ["bench", "check", "info", "lengths"])
def test_every_command_has_help(command, capsys):
    assert main([command, "--help"]) == 0
    assert f"usage: refrnn {command}" in capsys.readouterr().out


def test_help_and_version_are_fine(capsys):
    assert main(["--help"]) == 0
    assert "COMMAND" in capsys.readouterr().out
    assert main(["--version"]) == 0
    assert capsys.readouterr().out == f"refrnn {refrnn.__version__}\n"


@pytest.mark.parametrize("arguments", [["nonsense"], ["--nonsense"], ["check", "--nonsense"]])
def test_usage_errors_are_2_and_named(arguments, capsys):
    assert main(arguments) == 2
    assert "nonsense" in capsys.readouterr().err


def test_a_command_is_given_its_arguments(capsys):
    assert main(["info", "--json"]) == 0
    assert '"version"' in capsys.readouterr().out


def test_a_command_that_is_not_there_does_not_hurt_the_others(monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "refrnn.cli.info", None)
    monkeypatch.setattr("refrnn.cli._COMMANDS", {"info": "here", "absent": "not here"})
    assert main(["absent"]) == 2
    assert "absent is not part of this installation" in capsys.readouterr().err
    assert main(["--help"]) == 0


def test_a_missing_dependency_of_a_command_is_not_hidden(monkeypatch):
    monkeypatch.delitem(sys.modules, "refrnn.cli.info", raising=False)
    monkeypatch.setitem(sys.modules, "platform", None)
    with pytest.raises(ModuleNotFoundError, match="platform"):
        main(["info"])


def test_ctrl_c_is_130_and_no_traceback(monkeypatch, capsys):
    def interrupted(args):
        raise KeyboardInterrupt

    monkeypatch.setattr("refrnn.cli.info.run", interrupted)
    assert main(["info"]) == 130
    assert capsys.readouterr().err == "refrnn: interrupted\n"


def test_python_m_refrnn_loads_no_command_but_the_one_it_runs():
    code = (
        "import sys, runpy; sys.argv = ['refrnn', '--version']\n"
        "try: runpy.run_module('refrnn', run_name='__main__')\n"
        "except SystemExit as stop: assert stop.code == 0\n"
        "print([m for m in sys.modules if m.startswith('refrnn.cli.')])"
    )
    done = python(code)
    assert done.returncode == 0
    assert done.stdout.splitlines() == [f"refrnn {refrnn.__version__}", "[]"]


def test_a_reader_that_goes_away_is_no_traceback():
    code = (
        "import os, sys\n"
        "from refrnn.cli import main\n"
        "reader, writer = os.pipe(); os.close(reader); os.dup2(writer, 1)\n"
        "sys.exit(main(['info']))"
    )
    done = python(code)
    assert (done.returncode, done.stderr) == (141, "")


class Stream:
    """A text stream that may be a terminal."""

    def __init__(self, terminal):
        self.terminal = terminal
        self.text = ""

    def isatty(self):
        return self.terminal

    def write(self, text):
        self.text += text

    def flush(self):
        pass


def test_progress_rewrites_one_line_on_a_terminal_and_clears_it():
    stream = Stream(terminal=True)
    progress = Progress(stream, "work")
    progress("first", 0, 12)
    progress("second", 1, 12)
    assert "\n" not in stream.text
    assert [part.strip() for part in stream.text.split("\r") if part.strip()] == [
        "work:  0/12, 0 s, first",
        "work:  1/12, 0 s, second",
    ]
    progress.close()
    assert stream.text.split("\r")[-2].strip() == ""


@pytest.mark.parametrize(("pause", "lines"), [(0.0, 2), (3600.0, 0)])
def test_progress_elsewhere_is_plain_lines_now_and_then(pause, lines):
    stream = Stream(terminal=False)
    progress = Progress(stream, "work", pause)
    progress("first", 0, 2)
    progress("second", 1, 2)
    progress.close()
    assert "\r" not in stream.text
    assert len(stream.text.splitlines()) == lines
