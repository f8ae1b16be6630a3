"""The gradient checker itself: three ways to a derivative agree, and it sees what is wrong."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import refrnn as rr
from refrnn.cases import CELL_NAMES, hard_case, make_cell
from refrnn.comparison import Case
from refrnn.gradcheck import (
    GradientCheck,
    arguments,
    check_gradients,
    finite_difference,
    jvp,
    raise_if_wrong,
    with_arguments,
)


def _case(name: str, cell: str = "lstm_peepholes", **options: Any) -> Case:
    return hard_case(name, make_cell(cell, 2, 3), **options)


def _direction(array: Any) -> Any:
    return np.random.default_rng(5).uniform(-1, 1, array.shape)


@pytest.mark.parametrize("cell", CELL_NAMES)
def test_complex_step_and_finite_differences_agree_for_every_argument(cell: str) -> None:
    case = _case("unsorted", cell)
    for name, array in arguments(case).items():
        tangent = {name: _direction(array)}
        exact, near = jvp(case, tangent), finite_difference(case, tangent)
        assert set(exact) == set(near)
        for result, derivative in exact.items():
            scale = np.abs(derivative).max(initial=0.0)
            assert np.abs(near[result] - derivative).max(initial=0.0) <= 1e-7 * max(scale, 1.0)
        assert any(derivative.any() for derivative in exact.values()), name


def test_the_complex_step_is_linear_and_does_not_disturb_the_value() -> None:
    case = _case("length_0_and_1")
    one = {name: _direction(array) for name, array in arguments(case).items()}
    twice = jvp(case, {name: 2 * v for name, v in one.items()})
    parts = [jvp(case, {name: v}) for name, v in one.items()]
    for result, derivative in twice.items():
        total = 2 * sum(part[result] for part in parts)
        np.testing.assert_allclose(derivative, total, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("unroll", ["per_sequence", "lanes"])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("name", ["unsorted", "length_0_and_1", "all_empty", "empty_batch"])
def test_right_gradients_pass(name: str, reverse: bool, dtype: str, unroll: str) -> None:
    case = _case(name, dtype=dtype, reverse=reverse)
    checks = check_gradients(case, unroll)
    assert [check.argument for check in checks[::2]] == list(arguments(case))
    raise_if_wrong(checks)


@pytest.mark.parametrize("cell", CELL_NAMES)
def test_every_entry_of_every_gradient_is_right(cell: str) -> None:
    case = hard_case("length_0_and_1", make_cell(cell, 1, 2))
    checks = check_gradients(case, directions=None)
    assert len(checks) == sum(array.size for array in arguments(case).values())
    raise_if_wrong(checks)


def test_float64_gradients_are_right_to_1e_13() -> None:
    for check in check_gradients(_case("unsorted")):
        assert abs(check.forward - check.backward) <= 1e-13 * max(1.0, abs(check.forward))


class _Off(rr.Packed):
    """One entry of the gradient of b_hh is off by a part in a million."""

    name = "off"

    def backward(self, tape: Any, d_output: Any, d_state_n: Any) -> Any:
        gradients = super().backward(tape, d_output, d_state_n)
        arrays = {name: array.copy() for name, array in gradients.parameters.items()}
        arrays["b_hh"][4] *= 1 + 1e-6
        return gradients._replace(parameters=type(gradients.parameters)(arrays))


def test_a_wrong_gradient_is_named_and_hides_in_no_other_argument() -> None:
    checks = check_gradients(_case("unsorted"), _Off())
    assert {check.argument for check in checks if not check.ok} == {"b_hh"}
    with pytest.raises(AssertionError, match=r"^d_b_hh has <d_b_hh, v> = .*, expected .* by the"):
        raise_if_wrong(checks)


def test_a_wrong_entry_is_found() -> None:
    checks = check_gradients(_case("length_0_and_1"), _Off(), directions=None)
    wrong = [check for check in checks if not check.ok]
    assert [(check.argument, check.entry) for check in wrong] == [("b_hh", (4,))]
    assert str(wrong[0]).startswith("d_b_hh has d_b_hh[4] = ")


def test_nan_is_never_right() -> None:
    assert not GradientCheck("input", float("nan"), float("nan"), 1.0).ok
    assert GradientCheck("input", 1.0, 1.5, 1.0).in_tolerances == 0.5


def test_arguments_can_be_put_back() -> None:
    case = _case("unsorted")
    doubled = with_arguments(case, {name: 2 * a for name, a in arguments(case).items()})
    for name, array in arguments(doubled).items():
        np.testing.assert_array_equal(array, 2 * arguments(case)[name])
    assert arguments(case._replace(state_0=None))["h_0"].shape == case.state_0.h.shape


@pytest.mark.parametrize("directions", [0, -1])
def test_no_direction_is_refused(directions: int) -> None:
    with pytest.raises(ValueError, match=f"directions has value {directions}"):
        check_gradients(_case("single_row"), directions=directions)
