"""How products are evaluated: BLAS, the order-keeping einsum, and Monte Carlo arithmetic."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from refrnn.arithmetic import BLAS, EINSUM, MonteCarlo

KINDS = {"blas": BLAS, "einsum": EINSUM}


def operands(dtype: str = "float64", n: int = 7, k: int = 33, m: int = 12) -> Any:
    rng = np.random.default_rng(0)
    return rng.normal(size=(n, k)).astype(dtype), rng.normal(size=(k, m)).astype(dtype)


@pytest.mark.parametrize("dtype", ["float32", "float64", "longdouble", "complex128"])
@pytest.mark.parametrize("kind", KINDS)
def test_products_and_sums(kind: str, dtype: str) -> None:
    arithmetic, (a, b) = KINDS[kind], operands(dtype)
    exact = a.astype("clongdouble") @ b.astype("clongdouble")
    close = {"rtol": 0, "atol": 200 * np.finfo(dtype).eps}
    product = arithmetic.product(a, b)
    assert product.dtype == a.dtype
    assert np.allclose(product, exact, **close)
    out = np.empty_like(product)
    assert arithmetic.product(a, b, out) is out
    assert np.allclose(out, exact, **close)
    bias = np.arange(12).astype(dtype)
    assert arithmetic.product_plus(a, b, bias, out) is out
    assert np.allclose(out, exact + bias, **close)
    arithmetic.product_plus(a, b, None, out)
    assert np.allclose(out, exact, **close)
    assert np.allclose(arithmetic.sum_rows(a), a.sum(axis=0), **close)
    before = product.copy()
    arithmetic.rounded(product)
    assert np.array_equal(product, before)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("n", "k", "m"), [(0, 3, 4), (3, 0, 4), (3, 4, 0), (0, 0, 0)])
def test_products_of_nothing(kind: str, n: int, k: int, m: int) -> None:
    product = KINDS[kind].product(np.ones((n, k)), np.ones((k, m)))
    assert product.shape == (n, m)
    assert not product.any()
    assert KINDS[kind].sum_rows(np.ones((n, m))).tolist() == [float(n)] * m


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_a_row_of_einsum_does_not_know_the_others(dtype: str) -> None:
    for n, k, m in ((1, 5, 3), (7, 33, 12), (64, 128, 96)):
        a, b = operands(dtype, n, k, m)
        whole = EINSUM.product(a, b)
        for i in range(n):
            assert EINSUM.product(a[i : i + 1], b).tobytes() == whole[i : i + 1].tobytes()
        assert EINSUM.product(a[::-1], b)[::-1].tobytes() == whole.tobytes()


def test_einsum_does_not_know_the_layout() -> None:
    a, b = operands()
    whole = EINSUM.product(a, b).tobytes()
    assert EINSUM.product(np.asfortranarray(a), np.asfortranarray(b)).tobytes() == whole
    wide = np.repeat(a, 2, axis=1)
    assert EINSUM.product(wide[:, ::2], b).tobytes() == whole


def test_monte_carlo_moves_products_by_its_unit_of_their_terms() -> None:
    a, b = operands()
    unit = 2.0**-20
    noisy = MonteCarlo(unit, np.random.default_rng(1))
    allowed = unit * (np.abs(a) @ np.abs(b))
    moved = noisy.product(a, b) - a @ b
    assert (np.abs(moved) <= allowed * (1 + 1e-6)).all()
    assert np.abs(moved / allowed).max() > 0.5
    assert not np.array_equal(noisy.product(a, b), noisy.product(a, b))
    out = np.empty((7, 12))
    bias = np.full(12, 1e6)
    noisy.product_plus(a, b, bias, out)
    assert np.abs(out - a @ b - bias).max() > unit * 1e5  # the bias is rounded too
    ones = np.ones((4, 3))
    noisy.rounded(ones)
    assert 0 < np.abs(ones - 1).max() <= unit
    total = noisy.sum_rows(np.array([[1.0], [-1.0]]))
    assert 0 < abs(total[0]) <= 2 * unit  # what cancels shows


def test_monte_carlo_sees_cancellation_and_is_repeatable() -> None:
    a, b = np.array([[1.0, -1.0]]), np.array([[1.0], [1.0]])
    results = {
        MonteCarlo(2.0**-20, np.random.default_rng(seed)).product(a, b).item() for seed in (5, 5, 6)
    }
    assert len(results) == 2
    assert 0 not in results


def test_monte_carlo_keeps_the_dtype() -> None:
    a, b = operands("float32")
    noisy = MonteCarlo(2.0**-10, np.random.default_rng(0))
    assert noisy.product(a, b).dtype == noisy.sum_rows(a).dtype == np.float32
    assert noisy.product(a[:0], b).shape == (0, 12)
