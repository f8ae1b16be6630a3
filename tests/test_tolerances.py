"""The one tolerance formula: what it allows, and that nothing wrong slips through."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from refrnn.tolerances import deviation, tolerance

EXACT = {"scale": 1.0, "dtype": "float64", "max_length": 3}


@pytest.mark.parametrize("dtype", ["float32", "float64", "longdouble"])
@pytest.mark.parametrize(("length", "steps"), [(0, 1), (1, 1), (50, 50)])
def test_the_formula(dtype: str, length: int, steps: int) -> None:
    expected = 32 * float(np.finfo(dtype).eps) * steps * 2.5
    assert tolerance(dtype, length, 2.5) == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("dtype", ["float32", "float64", "longdouble"])
def test_a_scale_of_zero_leaves_room_for_underflow_only(dtype: str) -> None:
    floor = tolerance(dtype, 1, 0.0)
    assert 0 < floor <= 32 * max(float(np.finfo(dtype).smallest_normal), 2.3e-308)
    zeros = np.zeros(3, dtype)
    assert deviation("x", zeros, zeros, scale=0.0, dtype=dtype, max_length=1).in_tolerances == 0


def test_float32_underflow_is_not_an_error_but_a_normal_number_is() -> None:
    smallest = float(np.finfo("float32").smallest_normal)
    truth = np.array([smallest / 3])
    lost = np.zeros(1, "float32")
    assert deviation("x", lost, truth, scale=smallest, dtype="float32", max_length=1).ok
    big = np.array([100 * smallest])
    assert not deviation("x", lost, big, scale=100 * smallest, dtype="float32", max_length=1).ok


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("sign", [-1, 1])
def test_half_a_tolerance_is_accepted_and_two_are_rejected(dtype: str, sign: int) -> None:
    truth = np.linspace(-1, 1, 6).reshape(2, 3)
    allowed = tolerance(dtype, 7, 1.0)
    for factor in (0.5, 2.0):
        got = truth.copy()
        got[1, 0] += sign * factor * allowed
        result = deviation("x", got, truth, scale=1.0, dtype=dtype, max_length=7)
        assert result.ok is (factor < 1)
        assert result.in_tolerances == pytest.approx(factor, rel=1e-6)
        assert result.where == (1, 0)
        assert result.normwise == pytest.approx(factor * allowed, rel=1e-6)
        assert result.tolerance == allowed


@pytest.mark.parametrize(
    ("got", "expected"),
    [
        (np.nan, np.nan),
        (np.inf, np.inf),
        (-np.inf, -np.inf),
        (np.nan, 1.0),
        (1.0, np.nan),
        (np.inf, 1.0),
        (1.0, np.inf),
        (np.inf, np.nan),
        (np.inf, -np.inf),
        (1.7e308, -1.7e308),
    ],
)
def test_what_is_not_finite_is_never_right(got: float, expected: float) -> None:
    result = deviation("x", np.array([0.0, got]), np.array([0.0, expected]), **EXACT)
    assert not result.ok
    assert result.in_tolerances == result.normwise == np.inf
    assert result.where == (1,)


def test_nan_is_found_beside_a_finite_error() -> None:
    result = deviation("x", np.array([9.0, np.nan]), np.array([0.0, 0.0]), **EXACT)
    assert result.where == (1,)
    assert np.isnan(result.got)


@pytest.mark.parametrize("shape", [(0,), (0, 3), (3, 0)])
def test_nothing_is_within_tolerance(shape: Any) -> None:
    result = deviation("x", np.zeros(shape), np.zeros(shape), **EXACT)
    assert result.ok
    assert (result.in_tolerances, result.normwise, result.where) == (0.0, 0.0, ())
    assert str(result).startswith("x has value 0")


@pytest.mark.parametrize("shapes", [((1,), (2,)), ((0, 3), (0, 2)), ((2, 1), (2,)), ((1,), ())])
def test_shapes_are_not_broadcast(shapes: Any) -> None:
    got, expected = (np.zeros(shape) for shape in shapes)
    with pytest.raises(ValueError, match=r"x has shape \(.*\), expected \("):
        deviation("x", got, expected, **EXACT)


@pytest.mark.parametrize("dtype", ["int64", "complex128", "bool", object])
def test_only_real_floats_are_compared(dtype: Any) -> None:
    wrong, right = np.zeros(2, dtype), np.zeros(2)
    for pair in ((wrong, right), (right, wrong)):
        with pytest.raises(TypeError, match=r"x has dtype .*, expected real floating-point numb"):
            deviation("x", *pair, **EXACT)


def test_scalars_lists_and_other_precisions_can_be_compared() -> None:
    assert deviation("x", 1.0, np.float64(1.0), **EXACT).ok
    assert deviation("x", [1.0, 2.0], [1.0, 2.0], **EXACT).ok
    half = deviation("x", np.ones(2, "float16"), np.ones(2), **EXACT)
    assert half.ok
    third = np.array([1 / 3], "float32")
    narrow = {**EXACT, "dtype": "float32"}
    assert not deviation("x", third, [1 / 3], **EXACT).ok
    assert deviation("x", third, [1 / 3], **narrow).ok


@pytest.mark.parametrize("scale", [-1.0, -1e-300, np.nan, np.inf, -np.inf])
def test_a_scale_that_would_accept_anything_is_refused(scale: float) -> None:
    with pytest.raises(ValueError, match="scale has value"):
        tolerance("float64", 3, scale)
    with pytest.raises(ValueError, match="scale"):
        deviation("x", np.zeros(1), np.ones(1), scale=scale, dtype="float64", max_length=3)


def test_a_tolerance_that_overflows_is_refused() -> None:
    with pytest.raises(ValueError, match="expected one >= 0 with a finite tolerance"):
        tolerance("float32", 10**6, 1e308)


@pytest.mark.parametrize(
    ("arguments", "kind", "words"),
    [
        (("float64", -1, 1.0), ValueError, "max_length has value -1, expected an integer >= 0"),
        (("float64", 2.5, 1.0), TypeError, "max_length has type float"),
        (("float16", 3, 1.0), TypeError, "dtype has dtype float16"),
        (("complex128", 3, 1.0), TypeError, "dtype has dtype complex128"),
    ],
)
def test_bad_arguments(arguments: Any, kind: type[Exception], words: str) -> None:
    with pytest.raises(kind, match=words):
        tolerance(*arguments)


def test_the_message_names_the_element() -> None:
    result = deviation("d_W_hh", np.array([[1.0, 2.0]]), np.array([[1.0, 3.0]]), **EXACT)
    assert str(result).startswith("d_W_hh[0, 1] has value 2, expected 3 (off by 4.69e+13 toleranc")
    assert "normwise error 3.3e-01" in str(result)


def test_it_works_where_every_floating_point_event_is_an_error() -> None:
    with np.errstate(all="raise"):
        result = deviation("x", np.array([np.inf, 1e-320]), np.array([np.inf, -1e308]), **EXACT)
        assert not result.ok
