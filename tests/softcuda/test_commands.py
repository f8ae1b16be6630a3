"""The command softcuda and `activate`: settings arrive, or are refused before anything runs."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from refrnn_accel.softcuda.settings import SETTINGS, variables

SHOW = "import os; print({n: v for n, v in os.environ.items() if n.startswith('SOFTCUDA_')})"
ROOT = Path(__file__).parents[2]

#: Stores to memory that is there, or to address 0.
STORES = f"""
import sys
sys.path.append({os.fspath(ROOT)!r})
import numpy as np
from tests.softcuda.device import Device, entry
device = Device()
address = device.upload(np.zeros(32)) if sys.argv[1] == "good" else 0
device.launch(device.load(entry("st.global.u32 [%rd0], %r0;")), "k", address)
sys.exit(5)
"""


def softcuda(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "refrnn_accel.softcuda", *arguments]
    return subprocess.run(
        command, env={**os.environ, **environment}, capture_output=True, text=True, check=False
    )


# --- softcuda run ---


@pytest.mark.parametrize(
    ("options", "name", "value"),
    [
        (["--check=race,uninit"], "SOFTCUDA_CHECK", "race,uninit"),
        (["--check=-lanes"], "SOFTCUDA_CHECK", "-lanes"),
        (["--threads", "2"], "SOFTCUDA_THREADS", "2"),
        (["--schedule=adversarial", "--seed=7"], "SOFTCUDA_SEED", "7"),
        (["--compute-capability=75"], "SOFTCUDA_COMPUTE_CAPABILITY", "75"),
        (["--budget=5"], "SOFTCUDA_BUDGET", "5"),
    ],
)
def test_an_option_reaches_the_program(options: list[str], name: str, value: str) -> None:
    done = softcuda("run", *options, sys.executable, "-c", SHOW)
    assert done.returncode == 0, done.stderr
    assert f"'{name}': '{value}'" in done.stdout


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--check=races"], "SOFTCUDA_CHECK has value 'races', expected a list of free, uninit"),
        (["--seed=-1"], "SOFTCUDA_SEED has value '-1', expected an integer from 0"),
        (["--seed=0x7"], "SOFTCUDA_SEED has value '0x7', expected an integer"),
        (["--seed="], "seed has value '', expected"),
        (["--threads=65"], "SOFTCUDA_THREADS has value '65', expected an integer from 1 to 64"),
        (["--schedule=luck"], "SOFTCUDA_SCHEDULE has value 'luck', expected post-dominator"),
        (["--compute-capability=60"], "SOFTCUDA_COMPUTE_CAPABILITY has value '60', expected"),
        (["--memory-mb=1"], "SOFTCUDA_MEMORY_MB has value '1', expected"),
        (["--error-exitcode=256"], "has value '256', expected an integer from 1 to 255"),
        (["--sanitize=dirt"], "SOFTCUDA_SANITIZE has value 'dirt', expected a list of address"),
        (["--sched=adversarial"], "unrecognized arguments"),
    ],
)
def test_a_value_that_means_nothing_is_refused_before_the_program_runs(
    options: list[str], message: str
) -> None:
    done = softcuda("run", *options, sys.executable, "-c", "print('it ran')")
    assert done.returncode in (1, 2)
    assert message in done.stderr
    assert done.stdout == ""


def test_a_variable_that_is_no_setting_is_refused() -> None:
    done = softcuda("run", sys.executable, "-c", "print('it ran')", SOFTCUDA_CHEKC="race")
    assert (done.returncode, done.stdout) == (2, "")
    assert "SOFTCUDA_CHEKC is set, expected one of SOFTCUDA_APPROX, " in done.stderr


def test_a_program_is_needed_and_must_be_there() -> None:
    assert softcuda("run").returncode == 2
    done = softcuda("run", "no-such-program")
    assert done.returncode == 2
    assert done.stderr.strip() == "softcuda run: error: no-such-program: no such program"


def test_what_stands_behind_the_program_is_its_own() -> None:
    done = softcuda("run", sys.executable, "-c", "import sys; print(sys.argv[1:])", "--seed=x")
    assert done.stdout.strip() == "['--seed=x']"


@pytest.mark.parametrize(("where", "status"), [("bad", 9), ("good", 5)])
def test_faults_become_the_exit_status_that_was_asked_for(where: str, status: int) -> None:
    """Of a process of the program too; a program without a fault keeps its own."""
    program = ["sh", "-c", '"$@"', "sh", sys.executable, "-c", STORES, where]
    done = softcuda("run", "--error-exitcode=9", *program)
    assert done.returncode == status, done.stderr
    assert softcuda("run", *program).returncode == 5


@pytest.mark.parametrize("options", [["--profile"], ["--seed", "3", "--profile"], ["--profile=-"]])
def test_profile_without_a_file_prints_a_table(options: list[str]) -> None:
    done = softcuda("run", *options, sys.executable, "-c", STORES, "good")
    assert done.returncode == 5
    assert "not a GPU" in done.stderr
    assert "lane instr." in done.stderr


# --- activate ---


def activate(arguments: str, before: str = "", after: str = "") -> str:
    """What a program says that activates softcuda with these arguments."""
    program = f"""
import ctypes, os
from refrnn_accel import softcuda
{before}
try:
    path = softcuda.activate({arguments})
    driver = ctypes.CDLL(str(path))
    print("status", driver.cuInit(0), os.environ.get("SOFTCUDA_CHECK"))
    {after}
except (RuntimeError, TypeError, ValueError) as error:
    print(type(error).__name__, error)
"""
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    return done.stdout


def test_activate_honours_its_arguments() -> None:
    assert activate("check=['race', 'uninit'], seed=3") == "status 0 race,uninit\n"
    attribute = "driver.cuDeviceGetAttribute(ctypes.byref(major), 75, 0)"
    after = f"major = ctypes.c_int(); {attribute}; print(major.value)"
    told = activate("compute_capability=90", after=after)
    assert told.splitlines()[-1] == "9"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("check='races'", "ValueError SOFTCUDA_CHECK has value 'races', expected a list"),
        ("threads=0", "ValueError SOFTCUDA_THREADS has value '0', expected an integer from 1"),
        ("seed=1.5", "TypeError seed has type float, expected a str, an int or a list of str"),
        ("check=[]", "ValueError check has value []"),
        ("sched='adversarial'", "TypeError activate() got an unexpected keyword"),
    ],
)
def test_activate_refuses_what_means_nothing(arguments: str, message: str) -> None:
    assert activate(arguments).startswith(message)


def test_a_setting_that_comes_too_late_is_an_error() -> None:
    again = "softcuda.activate(seed=4); softcuda.activate(); softcuda.activate(seed=5)"
    told = activate("seed=4", after=again)
    assert told.splitlines() == [
        "status 0 None",
        "RuntimeError the device has started already, too late for SOFTCUDA_SEED=5",
    ]


def test_every_setting_is_an_argument_and_an_option() -> None:
    usage = softcuda("run", "--help").stdout
    for name, setting in SETTINGS.items():
        assert f"--{name.replace('_', '-')} {setting.metavar}" in usage
    names = list(SETTINGS)
    assert variables(dict.fromkeys(names, "x")).keys() == {s.variable for s in SETTINGS.values()}


# --- building ---


def test_build_says_where_the_library_is() -> None:
    done = softcuda("build")
    assert done.returncode == 0, done.stderr
    assert Path(done.stdout.strip()).name == "libcuda.so.1"


def test_without_a_compiler_the_reason_is_named() -> None:
    done = softcuda("build", "--strict", CXX="no-such-compiler")
    assert done.returncode == 1
    assert "no C++ compiler: no-such-compiler not found" in done.stderr


def test_the_benchmark_runs_what_it_compares() -> None:
    """Each contestant computes what NumPy does, by as many instructions on every machine."""
    done = softcuda("bench", "--rounds=1")
    assert done.returncode == 0, done.stderr
    for name in ("bounds and counters", "with race and uninit", "4 blocks, 2 threads", "NumPy"):
        assert name in done.stdout
    assert "9,802,880 in one LSTM, 960 in the launch of a warp" in done.stdout
