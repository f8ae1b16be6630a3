"""assert_matches_reference: right results pass, and everything that is wrong is named."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import refrnn as rr
from refrnn import testing
from refrnn.cases import hard_case, make_cell
from refrnn.comparison import Case, Reference, Results, compare, reference, run_case
from refrnn.testing import assert_matches_reference
from refrnn.tolerances import Deviation
from refrnn.unroll import BUILT_IN
from tests.broken_unrolls import ForgetsInitialState, Nan, WrongByTwoTolerances

NAMES = ["output", "h_n", "c_n", "d_input", "d_h_0", "d_c_0", "d_W_ih", "d_W_hh", "d_b_ih"]
NAMES += ["d_b_hh"]


@pytest.fixture(scope="module")
def case() -> Case:
    return hard_case("unsorted", rr.LSTM(3, 4))


@pytest.fixture(scope="module")
def truth(case: Case) -> Reference:
    return reference(case)


@pytest.fixture
def right(truth: Reference) -> Results:
    return {name: array.copy() for name, array in truth.results.items()}


def failure(*arguments: Any, **options: Any) -> str:
    """What the assertion says."""
    with pytest.raises(AssertionError) as caught:
        assert_matches_reference(*arguments, **options)
    return str(caught.value)


def marked(message: str) -> list[str]:
    """The arrays that the table marks as wrong."""
    return [line.split()[1] for line in message.splitlines() if line.startswith("* ")]


# --- what is right passes -------------------------------------------------------------------------


@pytest.mark.parametrize("unroll", BUILT_IN)
@pytest.mark.parametrize("dtype", ["float32", "float64", "longdouble"])
def test_unrolls_pass(unroll: str, dtype: str) -> None:
    case = hard_case("length_0_and_1", make_cell("lstm_projection", 3, 4), dtype, reverse=True)
    deviations = assert_matches_reference(case, unroll)
    assert [d.name for d in deviations] == [*NAMES, "d_W_hr"]
    assert deviations == compare(case, unroll)
    assert_matches_reference(case, BUILT_IN[unroll]())


@pytest.mark.parametrize("name", ["empty_batch", "all_empty", "last_state", "single_row"])
def test_small_cases_pass(name: str) -> None:
    assert len(assert_matches_reference(hard_case(name, rr.GRU(3, 4)), "packed")) == 8


def test_mappings_and_functions_pass(case: Case, truth: Reference, right: Results) -> None:
    seen: list[Case] = []

    def kernel(given: Case) -> Results:
        seen.append(given)
        return right

    expected = [d._replace() for d in compare(case, right, truth)]
    assert assert_matches_reference(case, right, truth=truth) == expected
    assert assert_matches_reference(case, right) == expected
    assert assert_matches_reference(case, kernel, truth=truth) == expected
    assert seen[0] is case
    assert isinstance(expected[0], Deviation)


def test_what_numpy_can_read_passes(case: Case, truth: Reference, right: Results) -> None:
    lists = {name: array.tolist() for name, array in right.items()}
    assert_matches_reference(case, lists, truth=truth)
    assert_matches_reference(case, dict(reversed(right.items())), truth=truth)


def test_named_arrays_may_be_missing(case: Case, truth: Reference, right: Results) -> None:
    del right["d_W_hh"], right["c_n"]
    deviations = assert_matches_reference(case, right, truth=truth, unchecked=("d_W_hh", "c_n"))
    assert [d.name for d in deviations] == [n for n in NAMES if n not in ("d_W_hh", "c_n")]


# --- what is wrong is named -----------------------------------------------------------------------


@pytest.mark.parametrize("name", NAMES)
def test_one_wrong_element_is_found_in_every_array(
    case: Case, truth: Reference, right: Results, name: str
) -> None:
    worst = np.unravel_index(3, right[name].shape)
    allowed = compare(case, right, truth)[NAMES.index(name)].tolerance
    right[name][worst] += 0.5 * allowed
    assert_matches_reference(case, right, truth=truth)
    right[name][worst] += 1.5 * allowed
    message = failure(case, right, truth=truth)
    assert marked(message) == [name]
    where = ", ".join(map(str, worst))
    head, *table = message.splitlines()
    assert head == f"unsorted: LSTM(3, 4), {case.batch}: 1 of 10 arrays are wrong (*)"
    assert len([line for line in table[1:] if line.split()[:1]]) == 11  # ten arrays, one failure
    (row,) = [line for line in table if line.startswith("* ")]
    assert f"[{where}]" in row
    assert table[-1].startswith(f"{name}[{where}] has value {right[name][worst]:.17g}, expected ")
    assert "off by 2 tolerances" in table[-1]


@pytest.mark.parametrize("poison", [np.nan, np.inf])
def test_what_is_not_finite_is_found(
    case: Case, truth: Reference, right: Results, poison: float
) -> None:
    right["d_input"][2, 1] = poison
    message = failure(case, right, truth=truth)
    assert marked(message) == ["d_input"]
    assert f"d_input[2, 1] has value {poison:g}, expected " in message


@pytest.mark.parametrize(
    ("unroll", "wrong"),
    [
        (ForgetsInitialState(), [n for n in NAMES if n != "d_c_0"]),
        (WrongByTwoTolerances(), ["d_W_hh"]),
        (Nan(), ["output"]),
    ],
    ids=lambda value: getattr(value, "name", None),
)
def test_broken_unrolls_are_found(case: Case, unroll: Any, wrong: list[str]) -> None:
    assert set(marked(failure(case, unroll))) >= set(wrong)


def test_a_missing_array_is_an_error_and_the_others_are_shown(
    case: Case, truth: Reference, right: Results
) -> None:
    del right["d_W_hh"], right["h_n"]
    message = failure(case, right, truth=truth, unchecked=["h_n"])
    assert marked(message) == ["d_W_hh"]
    assert message.splitlines()[-1] == "d_W_hh is missing"
    assert "\n  h_n      unchecked\n" in message
    assert "1 of 9 arrays are wrong" in message


@pytest.mark.parametrize(
    ("name", "array", "says"),
    [
        ("d_W_ih", np.zeros((3, 16)), "has shape (3, 16), expected (16, 3)"),
        ("h_n", np.zeros((1, 6, 4)), "has shape (1, 6, 4), expected (6, 4)"),
        ("h_n", np.zeros((6, 4), "float32"), "has dtype float32, expected float64 as the case"),
        ("h_n", np.zeros((6, 4), "int64"), "has dtype int64, expected float64 as the case"),
        ("h_n", np.zeros((6, 4), "complex128"), "has dtype complex128, expected float64 as the"),
        ("h_n", None, "has type NoneType, expected float64 of shape (6, 4)"),
        ("h_n", [[1.0], [2.0, 3.0]], "has rows of different lengths, expected float64 of shape"),
        ("c_m", np.zeros((6, 4)), "is no result of this cell"),
    ],
)
def test_arrays_of_another_kind_are_named(
    case: Case, truth: Reference, right: Results, name: str, array: Any, says: str
) -> None:
    message = failure(case, {**right, name: array}, truth=truth)
    assert marked(message) == [name]
    assert message.splitlines()[-1].startswith(f"{name} {says}")


def test_the_first_failures_are_shown_in_full_and_the_others_counted(
    case: Case, truth: Reference, right: Results
) -> None:
    message = failure(case, {n: 2 * a for n, a in right.items()}, truth=truth)
    assert marked(message) == NAMES
    *_, blank, first, second, third, rest = message.splitlines()
    assert (blank, rest) == ("", "... and 7 more")
    for name, line in zip(NAMES, (first, second, third), strict=False):
        assert line.startswith(f"{name}[")


class Widens(rr.Packed):
    """Right numbers in another dtype."""

    def forward(self, *arguments: Any) -> Any:
        run = super().forward(*arguments)
        return run._replace(output=run.output.with_values(run.output.values.astype("float64")))


class PlainState(rr.Packed):
    """A tuple in the place of the cell's record."""

    def forward(self, *arguments: Any) -> Any:
        run = super().forward(*arguments)
        return run._replace(state_n=tuple(run.state_n))


def test_unrolls_whose_results_are_of_another_kind_are_found() -> None:
    narrow = hard_case("unsorted", rr.GRU(3, 4), "float32")
    message = failure(narrow, Widens())
    assert marked(message) == ["output"]
    assert "output has dtype float64, expected float32 as the case" in message
    message = failure(narrow, PlainState())
    assert message == f"unsorted: GRU(3, 4), {narrow.batch}: state_n has type tuple, expected " + (
        "GRUState"
    )


def test_the_direction_is_shown() -> None:
    case = hard_case("single_row", rr.GRU(3, 4), reverse=True)
    assert f"{case.batch}, reverse: 8 of 8 arrays are wrong" in failure(case, {})


# --- arguments ------------------------------------------------------------------------------------


def test_other_arguments_are_refused(case: Case, truth: Reference, right: Results) -> None:
    with pytest.raises(TypeError, match="case has type tuple, expected a Case"):
        assert_matches_reference(tuple(case), right)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="got has type list, expected a mapping of arrays, an unr"):
        assert_matches_reference(case, [], truth=truth)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match=r"got\(case\) has type NoneType, expected a mapping of s"):
        assert_matches_reference(case, lambda _: None, truth=truth)  # type: ignore[arg-type,return-value]
    with pytest.raises(TypeError, match="unroll has type class Lanes, expected a name or an obje"):
        assert_matches_reference(case, rr.Lanes, truth=truth)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="unroll has name 'lane', expected one of per_sequence, "):
        assert_matches_reference(case, "lane", truth=truth)
    with pytest.raises(TypeError, match="truth has type dict, expected a Reference"):
        assert_matches_reference(case, right, truth=truth.results)  # type: ignore[arg-type]


def test_the_reference_of_another_case_is_refused(case: Case, right: Results) -> None:
    for other in (rr.GRU(3, 4), rr.LSTM(3, 5), rr.LSTM(2, 4)):
        with pytest.raises(
            ValueError, match=r"truth has arrays \{.*\}, expected those of the case"
        ):
            assert_matches_reference(case, right, truth=reference(hard_case("unsorted", other)))


def test_what_is_unchecked_is_named_truly(case: Case, truth: Reference, right: Results) -> None:
    everything = {"truth": truth, "unchecked": NAMES}
    with pytest.raises(ValueError, match="unchecked has every name, expected at least one array"):
        assert_matches_reference(case, {}, **everything)  # type: ignore[arg-type]
    for got in (right, "lanes", lambda _: right):
        with pytest.raises(ValueError, match="unchecked has name 'h_n', which got has too, expect"):
            assert_matches_reference(case, got, truth=truth, unchecked=("h_n",))
    with pytest.raises(ValueError, match="unchecked has name 'd_W_hr', expected one of output, h"):
        assert_matches_reference(case, right, truth=truth, unchecked=("d_W_hr",))
    with pytest.raises(TypeError, match="unchecked has type str, expected a tuple of names"):
        assert_matches_reference(case, right, truth=truth, unchecked="h_n")


def test_a_case_that_is_not_finite_allows_no_statement(case: Case) -> None:
    values = case.values.copy()
    values[0] = np.nan
    poisoned = case._replace(batch=case.batch.with_values(values))
    with pytest.raises(ValueError, match="output has scale nan, expected a finite number"):
        assert_matches_reference(poisoned, "lanes")


def test_what_an_unroll_cannot_run_stays_unsupported(case: Case) -> None:
    class Declines(rr.Packed):
        def supports(self, *arguments: Any, **options: Any) -> str:
            return "it is Sunday"

    with pytest.raises(rr.UnsupportedCase, match="it is Sunday"):
        assert_matches_reference(case, Declines())


def test_errors_of_a_kernel_come_through(case: Case, truth: Reference) -> None:
    def kernel(_: Case) -> Results:
        raise IndexError("lane 3 of 2")

    with pytest.raises(IndexError, match="lane 3 of 2"):
        assert_matches_reference(case, kernel, truth=truth)


# --- where it is found ----------------------------------------------------------------------------


def test_everything_public_is_found_in_one_place() -> None:
    from refrnn.testing import strategies

    for name in testing.__all__:
        if name != "assert_matches_reference":
            assert getattr(testing, name) is getattr(strategies, name)
    assert set(testing.__all__) <= set(dir(testing))
    assert set(strategies.__all__) <= set(testing.__all__)
    with pytest.raises(AttributeError, match=r"module 'refrnn\.testing' has no attribute"):
        _ = testing.strategy


def test_the_assertion_needs_no_hypothesis(tmp_path: Path) -> None:
    script = """
        import json, sys
        sys.modules["hypothesis"] = None
        import refrnn as rr
        from refrnn.cases import hard_case
        from refrnn.testing import assert_matches_reference
        checked = assert_matches_reference(hard_case("unsorted", rr.GRU(3, 4)), "lanes")
        try:
            rr.testing.cases
        except ImportError as error:
            print(json.dumps([len(checked), str(error)]))
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(script)],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(Path(rr.__file__).parents[1])},
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    assert json.loads(done.stdout) == [
        8,
        "refrnn.testing.cases needs hypothesis, which is not installed "
        "(python -m pip install 'refrnn[test]')",
    ]


def test_results_of_run_case_are_what_is_asked_for(case: Case) -> None:
    assert_matches_reference(case, run_case(case, "masked"))
    assert list(run_case(case, "masked")) == NAMES
