"""Products and sums on the device: bit by bit the canonical order, for any shape."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from refrnn_accel.cuda.products import Matrix, ProductLaunches, Scratch

from . import canonical
from .device_products import KERNELS, DeviceProducts, load

Array = NDArray[Any]

DTYPES = st.sampled_from(["f", "d"])
#: Beside small sizes those around the ends of tiles.
SIZES = st.one_of(st.integers(0, 9), st.sampled_from([31, 33, 63, 64, 65, 127, 128, 129, 140]))
DEPTHS = st.one_of(st.integers(0, 9), st.sampled_from([15, 16, 17, 24, 31]))
ROWS = st.one_of(st.integers(0, 9), st.sampled_from([1023, 1024, 1025, 2048, 2500, 3073]))
GAPS = st.sampled_from([0, 1, 3, 4, 8])
SEEDS = st.integers(0, 2**32 - 1)
FEW = settings(max_examples=max(5, settings().max_examples // 2))


@pytest.fixture(scope="module")
def module(context: None) -> Any:
    return load()


def normal(rng: np.random.Generator, *shape: int, dtype: str) -> Array:
    """Values of many magnitudes, with zeros of either sign: their sums show every order."""
    values = rng.standard_normal(shape) * 10.0 ** rng.integers(-3, 4, shape)
    zeros = np.where(rng.random(shape) < 0.5, -0.0, 0.0)
    return np.where(rng.random(shape) < 0.1, zeros, values).astype(dtype)


def bits(array: Array) -> bytes:
    return np.ascontiguousarray(array).tobytes()


@FEW
@given(DTYPES, SIZES, SIZES, DEPTHS, GAPS, st.booleans(), SEEDS)
def test_gates_are_chains_over_k_then_the_bias(
    module: Any, dtype: str, n: int, m: int, k: int, gap: int, with_bias: bool, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    x, w = normal(rng, n, k, dtype=dtype), normal(rng, m, k, dtype=dtype)
    bias = normal(rng, m, dtype=dtype) if with_bias else None
    expected = canonical.product(x, w.T)
    if bias is not None:
        expected = expected + bias
    assert bits(DeviceProducts(module, dtype, gap).gates(x, w, bias)) == bits(expected)


@FEW
@given(DTYPES, SIZES, SIZES, DEPTHS, GAPS, SEEDS)
def test_input_gradients_are_chains_over_k(
    module: Any, dtype: str, n: int, d: int, k: int, gap: int, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    d_a, w = normal(rng, n, k, dtype=dtype), normal(rng, k, d, dtype=dtype)
    got = DeviceProducts(module, dtype, gap).input_gradient(d_a, w)
    assert bits(got) == bits(canonical.product(d_a, w))


@FEW
@given(DTYPES, SIZES, SIZES, DEPTHS, GAPS, SEEDS)
def test_weight_gradients_of_one_chunk_are_chains_over_the_rows(
    module: Any, dtype: str, m: int, d: int, n: int, gap: int, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    d_a, x = normal(rng, n, m, dtype=dtype), normal(rng, n, d, dtype=dtype)
    got = DeviceProducts(module, dtype, gap).weight_gradient(d_a, x)
    assert bits(got) == bits(canonical.product(d_a.T, x))


@FEW
@given(DTYPES, ROWS, st.integers(0, 3), st.integers(0, 3), GAPS, st.sampled_from([0, 200, None]),
       SEEDS)  # fmt: skip
def test_weight_gradients_add_chunks_in_order_whatever_the_scratch(
    module: Any, dtype: str, n: int, m: int, d: int, gap: int, most: int | None, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    d_a, x = normal(rng, n, m, dtype=dtype), normal(rng, n, d, dtype=dtype)
    got = DeviceProducts(module, dtype, gap, most).weight_gradient(d_a, x)
    assert bits(got) == bits(canonical.weight_gradient(d_a, x))


@FEW
@given(DTYPES, ROWS, SIZES, GAPS, st.sampled_from([0, 2000, None]), SEEDS)
def test_row_sums_add_chunks_in_order_whatever_the_scratch(
    module: Any, dtype: str, n: int, m: int, gap: int, most: int | None, seed: int
) -> None:
    matrix = normal(np.random.default_rng(seed), n, m, dtype=dtype)
    got = DeviceProducts(module, dtype, gap, most).row_sums(matrix)
    assert bits(got) == bits(canonical.row_sums(matrix))


@given(DTYPES, st.lists(st.integers(0, 5), max_size=9), SIZES, GAPS, st.sampled_from([1, -1]))
def test_the_row_before_is_that_of_the_same_sequence(
    module: Any, dtype: str, lengths: list[int], h: int, gap: int, direction: int
) -> None:
    rng = np.random.default_rng(len(lengths))
    y, h_0 = (normal(rng, n, h, dtype=dtype) for n in (sum(lengths), len(lengths)))
    got = DeviceProducts(module, dtype, gap).previous_rows(y, h_0, lengths, direction)
    assert bits(got) == bits(canonical.previous_rows(y, h_0, lengths, direction))


def everything(products: DeviceProducts, x: Array, w: Array, d_a: Array) -> list[Array]:
    bias = w[:, 0]
    return [
        products.gates(x, w, bias),
        products.input_gradient(d_a, w),
        products.weight_gradient(d_a, x),
        products.row_sums(d_a),
    ]


@pytest.mark.parametrize("dtype", ["f", "d"])
def test_large_products_agree_with_numpy(module: Any, dtype: str) -> None:
    rng = np.random.default_rng(1)
    x, w, d_a = (rng.standard_normal(shape) for shape in ((2100, 70), (136, 70), (2100, 136)))
    x, w, d_a = (array.astype(dtype).astype("d") for array in (x, w, d_a))
    expected = [x @ w.T + w[:, 0], d_a @ w, d_a.T @ x, d_a.sum(0)]
    scale = [abs(x) @ abs(w).T + abs(w[:, 0]), abs(d_a) @ abs(w), abs(d_a).T @ abs(x),
             abs(d_a).sum(0)]  # fmt: skip
    eps = np.finfo(dtype).eps
    for got, good, size in zip(
        everything(DeviceProducts(module, dtype), x, w, d_a), expected, scale, strict=True
    ):
        assert (abs(got - good) <= 32 * eps * size).all()


@FEW
@given(DTYPES, st.integers(1, 150), st.integers(1, 70), st.integers(1, 20), SEEDS)
def test_bits_of_a_row_do_not_depend_on_the_others(
    module: Any, dtype: str, n: int, m: int, k: int, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    x, w, d_a = (normal(rng, *shape, dtype=dtype) for shape in ((n, k), (m, k), (n, m)))
    products = DeviceProducts(module, dtype)
    gates, d_x = products.gates(x, w, None), products.input_gradient(d_a, w)
    order = rng.permutation(n)[: rng.integers(1, n + 1)]
    assert bits(products.gates(x[order], w, None)) == bits(gates[order])
    assert bits(products.input_gradient(d_a[order], w)) == bits(d_x[order])


@pytest.mark.parametrize("dtype", ["f", "d"])
def test_what_is_not_finite_stays_in_its_row_or_column(module: Any, dtype: str) -> None:
    rng = np.random.default_rng(2)
    x, w, d_a = (rng.standard_normal(shape) for shape in ((140, 13), (70, 13), (140, 70)))
    products = DeviceProducts(module, dtype)
    clean = everything(products, x, w, d_a)
    x[129, 3], d_a[65, 69] = np.nan, np.inf
    got = everything(products, x, w, d_a)
    touched = [np.zeros(array.shape, bool) for array in clean]
    touched[0][129] = touched[1][65] = touched[2][:, 3] = touched[2][69] = touched[3][69] = True
    for array, other, where in zip(got, clean, touched, strict=True):
        assert not np.isfinite(array[where]).any()
        assert bits(array[~where]) == bits(other[~where])


@pytest.mark.parametrize("dtype", ["f", "d"])
@pytest.mark.parametrize("k", [1, 7, 8, 9])
def test_zeros_keep_their_sign_at_the_end_of_a_chain(module: Any, dtype: str, k: int) -> None:
    """A product that underflows ends in -0, to which nothing may be added, not even 0."""
    tiny = np.full((k, k), np.finfo(dtype).tiny, dtype)
    products = DeviceProducts(module, dtype)
    got = [products.gates(tiny, -tiny, None), products.input_gradient(tiny, -tiny),
           products.weight_gradient(tiny, -tiny)]  # fmt: skip
    assert all((array == 0).all() and np.signbit(array).all() for array in got)


@pytest.mark.parametrize("dtype", ["f", "d"])
def test_two_runs_are_equal_bit_by_bit(module: Any, dtype: str) -> None:
    rng = np.random.default_rng(3)
    x, w, d_a = (rng.standard_normal(shape) for shape in ((2100, 9), (66, 9), (2100, 66)))
    first, second = (everything(DeviceProducts(module, dtype), x, w, d_a) for _ in range(2))
    assert [bits(array) for array in first] == [bits(array) for array in second]


def test_shapes_that_do_not_fit_and_too_little_scratch_are_refused() -> None:
    plan = ProductLaunches("f")
    x, w = Matrix(0, 2000, 5), Matrix(0, 7, 5)
    with pytest.raises(ValueError, match=r"shape \(2000, 8\), expected \(2000, 7\)"):
        plan.gates(x, w, None, Matrix(0, 2000, 8))
    with pytest.raises(ValueError, match="inner sizes are"):
        plan.input_gradient(x, w, Matrix(0, 2000, 5))
    with pytest.raises(ValueError, match="scratch has 223 bytes, expected 224 at least"):
        plan.weight_gradient(Matrix(0, 2000, 7), x, Matrix(0, 7, 5), Scratch(0, 223))
    [launch] = plan.gates(x, w, None, Matrix(0, 2000, 7))
    with pytest.raises(ValueError, match="multiples of 32 bytes"):
        _ = launch.load_sectors


def test_no_kernel_spills_or_uses_local_memory_on_any_architecture(tmp_path: Path) -> None:
    architectures = [75, 80, 86, 89, 90, 100, 120]
    targets = [f"-gencode=arch=compute_{cc},code=sm_{cc}" for cc in architectures]
    command = ["nvcc", "-fatbin", "-std=c++17", "-fmad=false", "-Werror=all-warnings", "-Xptxas=-v"]
    command += [*targets, "-o", str(tmp_path / "products.fatbin"), str(KERNELS / "products.cu")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=150, check=False)
    assert done.returncode == 0, done.stderr
    clean = "    0 bytes stack frame, 0 bytes spill stores, 0 bytes spill loads"
    frames = [line for line in done.stderr.splitlines() if "bytes stack frame" in line]
    assert frames == [clean] * 14 * len(architectures)


def run_program(*options: str) -> Any:
    """``products_program.py`` on the device in software, wherever this runs."""
    command = [sys.executable, "-m", "refrnn_accel.softcuda", "run", "--error-exitcode=9", *options]
    done = subprocess.run(
        [*command, sys.executable, "-m", "tests.cuda.products_program"],
        cwd=Path(__file__).parents[2], env={**os.environ, "SOFTCUDA_FORCE": "1"},
        capture_output=True, text=True, timeout=150, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "")
    return json.loads(done.stdout)


def test_nothing_is_reported_and_counts_are_as_derived() -> None:
    plain = run_program()
    assert plain["kernels"] == 14
    assert plain["counted"] == plain["derived"]
    checked = run_program("--check=all", "--schedule=adversarial", "--seed=5")
    assert checked["digests"] == plain["digests"]
