"""Errors on request: SOFTCUDA_APPROX moves what .approx instructions give, within PTX's bounds."""

from __future__ import annotations

import json
import math
import os
import subprocess
import sys
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from .vectors.approximate import APPROXIMATIONS, FAMILIES, Approximation, inverse, judged

PROGRAM = """
import json, sys
sys.path.append(sys.argv[1])
from tests.softcuda.device import Device
from tests.softcuda.vectors.approximate import FAMILIES
device = Device()
print(json.dumps({family.name: family.run(device) for family in FAMILIES}))
"""


def run(program: str, setting: str) -> subprocess.CompletedProcess[str]:
    root = Path(__file__).parents[2]
    return subprocess.run(
        [sys.executable, "-c", program, str(root)], capture_output=True, text=True, timeout=120,
        env={**os.environ, "SOFTCUDA_APPROX": setting}, check=False,
    )  # fmt: skip


@cache
def results(setting: str) -> dict[str, list[list[float]]]:
    """Of every family and every vector of it."""
    done = run(PROGRAM, setting)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)  # type: ignore[no-any-return]


def rows(name: str) -> list[tuple[Any, ...]]:
    return list(next(family for family in FAMILIES if family.name == name).rows())


@pytest.mark.parametrize("seed", ["1", "9223372036854775807"])
@pytest.mark.parametrize("one", APPROXIMATIONS, ids=lambda one: one.name)
def test_errors_stay_within_the_bound_and_special_values_stay(
    one: Approximation, seed: str
) -> None:
    for ftz, column in enumerate(results(seed)[one.name]):
        check = judged(one, bool(ftz), lambda *operands: one.bound(*operands) * (1 + 2.0**-40))
        for operands, got in zip(rows(one.name), column, strict=True):
            assert check(got, *operands), (operands, got)


@pytest.mark.parametrize("one", APPROXIMATIONS, ids=lambda one: one.name)
def test_most_results_are_not_the_exact_ones(one: Approximation) -> None:
    exact, moved = results("exact")[one.name][0], results("1")[one.name][0]
    operands = rows(one.name)
    ordinary = [
        k for k, row in enumerate(operands)
        if one.special(*row[: one.operands]) is None and exact[k] != 0 and math.isfinite(exact[k])
        and all(2.0**-126 <= abs(x) <= 2.0**126 for x in row)
    ]  # fmt: skip
    assert len(ordinary) > 100
    # Where the bound is 1 ulp there is one other number within it, and as often the exact one.
    least = 0.4 if one.name in ("rcp.approx", "sqrt.approx") else 0.6
    assert sum(exact[k] != moved[k] for k in ordinary) > least * len(ordinary)


def test_a_seed_always_gives_the_same_and_another_one_something_else() -> None:
    done = run(PROGRAM, "1")
    assert repr(json.loads(done.stdout)) == repr(results("1"))
    for name, columns in results("2").items():
        assert repr(columns) != repr(results("1")[name])


def test_upper_halves_move_by_one(  # rcp and rsqrt of .approx.ftz.f64, which have no bound
) -> None:
    moved, operands = results("1")["of doubles"][0], rows("of doubles")
    differences = 0
    for (a,), exact, got in zip(operands, results("exact")["of doubles"][0], moved, strict=True):
        if not 2.0**-1000 < abs(a) < 2.0**1000:
            assert repr(got) == repr(exact) or abs(exact) > 2.0**-1022
            continue
        assert abs(got - inverse(a)) <= 3 * abs(inverse(a)) * 2**-20
        differences += got != exact
    assert differences > 100


#: Who relies on the reciprocal of a power of two.
INVERSE = """
import sys
import numpy as np
sys.path.append(sys.argv[1])
from tests.softcuda.device import Device, entry
body = '''
add.s64 %rd0, %rd0, %rd10;
ld.global.f32 %f1, [%rd0];
rcp.approx.f32 %f2, %f1;
mul.f32 %f2, %f2, %f1;
st.global.f32 [%rd0], %f2;
'''
device = Device()
x = (2.0 ** np.arange(-30, 34)).astype(np.float32)
address = device.upload(x)
assert device.launch(device.load(entry(body)), "k", address, block=64) == 0
print(int((device.download(address, x) == 1).sum()))
"""


def test_who_relies_on_exact_mathematics_fails_with_some_seed() -> None:
    assert run(INVERSE, "exact").stdout == "64\n"
    assert int(run(INVERSE, "5").stdout) < 32


@pytest.mark.parametrize("value", ["sideways", "0", "-1", "1.5", "9223372036854775808"])
def test_settings_that_mean_nothing_are_refused(value: str) -> None:
    done = run("import sys; sys.path.append(sys.argv[1])\n"
               "from tests.softcuda.device import Device; Device()", value)  # fmt: skip
    assert done.returncode != 0
    assert f"softcuda: SOFTCUDA_APPROX has value '{value}', expected " in done.stderr
