"""The law at the public edge: length 0, bits, errors, records that stay what they are."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import refrnn as rr
from refrnn.packing import pack, unpack
from refrnn.unroll import BUILT_IN

_LENGTHS = [4, 0, 7, 1]


def _case(cell: Any, dtype: str = "float64") -> tuple[Any, rr.RaggedBatch, Any]:
    rng = np.random.default_rng(3)
    values = rng.normal(size=(sum(_LENGTHS), cell.input_size)).astype(dtype)
    state = cell.state_type(*(rng.normal(size=(4, s)).astype(dtype) for s in cell.state_sizes))
    return cell.init_parameters(rng, dtype), rr.RaggedBatch(values, _LENGTHS), state


@pytest.mark.parametrize("unroll", BUILT_IN)
@pytest.mark.parametrize("cell", [rr.RNN(3, 5), rr.LSTM(3, 5, proj_size=2), rr.GRU(3, 5)], ids=str)
def test_a_sequence_of_length_0_is_the_identity_on_its_state(cell: Any, unroll: str) -> None:
    params, batch, state = _case(cell)
    run = rr.forward(cell, params, batch, state, unroll=unroll)
    d_state = cell.state_type(*(np.full_like(a, 2.0) for a in state))
    gradients = rr.backward(run.tape, d_state_n=d_state)
    for initial, final, d_initial in zip(state, run.state_n, gradients.state_0, strict=True):
        assert np.array_equal(final[1], initial[1])
        assert np.array_equal(d_initial[1], np.full_like(initial[1], 2.0))


@pytest.mark.parametrize("cell", [rr.RNN(3, 5), rr.LSTM(3, 5), rr.GRU(3, 5)], ids=str)
def test_per_sequence_gives_a_sequence_its_bits_whatever_stands_beside_it(cell: Any) -> None:
    params, batch, state = _case(cell, "float32")
    together = rr.forward(cell, params, batch, state, unroll="per_sequence")
    d_together = rr.backward(together.tape, np.ones_like(together.output.values))
    for b in range(len(batch)):
        one = cell.state_type(*(a[b : b + 1] for a in state))
        alone = rr.forward(cell, params, batch.permute([b]), one, unroll="per_sequence")
        d_alone = rr.backward(alone.tape, np.ones_like(alone.output.values))
        assert alone.output[0].tobytes() == together.output[b].tobytes()
        assert d_alone.input[0].tobytes() == d_together.input[b].tobytes()
        assert d_alone.state_0.h[0].tobytes() == d_together.state_0.h[b].tobytes()


def test_per_sequence_has_the_same_bits_for_any_number_of_blas_threads() -> None:
    program = (
        "import hashlib, numpy as np, refrnn as rr\n"
        "rng = np.random.default_rng(0); cell = rr.LSTM(64, 96)\n"
        "batch = rr.RaggedBatch(rng.normal(size=(70, 64)), [40, 30])\n"
        "run = rr.forward(cell, cell.init_parameters(rng), batch, unroll='per_sequence')\n"
        "g = rr.backward(run.tape, np.ones((70, 96)))\n"
        "print(hashlib.sha256(run.output.values.tobytes() + g.parameters.flatten().tobytes())"
        ".hexdigest())\n"
    )
    root = str(Path(rr.__file__).parents[1])
    digests = {
        subprocess.run(
            [sys.executable, "-c", program],
            env={**os.environ, "OPENBLAS_NUM_THREADS": threads, "PYTHONPATH": root},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for threads in ("1", "2")
    }
    assert len(digests) == 1


def test_plans_count_what_is_computed() -> None:
    cell = rr.GRU(3, 5)
    params, batch, _ = _case(cell)
    plans = {name: rr.forward(cell, params, batch, unroll=name).plan for name in BUILT_IN}
    padded = {name: plan.padded_steps for name, plan in plans.items()}
    assert padded == {"per_sequence": 0, "masked": 16, "bucketed": 0, "packed": 0, "lanes": 0}
    assert plans["packed"].sequential_steps == 7


def test_packing_is_what_pytorch_expects() -> None:
    rows = [np.array(s, dtype=float)[:, None] for s in ([1, 2, 3], [4, 5], [6])]
    batch = rr.RaggedBatch.from_sequences([rows[1], rows[0], rows[2]])
    packed = pack(batch)
    assert packed.data.ravel().tolist() == [1, 4, 6, 2, 5, 3]
    assert packed.batch_sizes.tolist() == [3, 2, 1]
    assert packed.sorted_indices.tolist() == [1, 0, 2]
    assert packed.unsorted_indices.tolist() == [1, 0, 2]
    assert unpack(packed) == batch


@pytest.mark.parametrize(
    ("lengths", "kind", "words"),
    [
        ([1.0, 2.0], TypeError, "lengths has dtype float64, expected integers"),
        ([True, False], TypeError, "lengths has dtype bool, expected integers"),
        ([3, -1], ValueError, r"lengths\[1\] has value -1, expected a length >= 0"),
        ([3, 4], ValueError, "lengths has sum 7"),
        ([[3]], ValueError, r"lengths has shape \(1, 1\)"),
        ([object()], TypeError, "lengths has dtype object"),
    ],
)
def test_bad_lengths_are_refused(lengths: Any, kind: type[Exception], words: str) -> None:
    with pytest.raises(kind, match=words):
        rr.RaggedBatch(np.ones((3, 2)), lengths)


def test_a_length_beyond_the_padding_is_named() -> None:
    with pytest.raises(ValueError, match=r"lengths\[1\] has value 9, expected a length <= T = 7"):
        rr.RaggedBatch.from_padded(np.ones((7, 2, 3)), [2, 9])


@pytest.mark.parametrize("dtype", ["float16", "int64", "bool"])
def test_other_dtypes_are_refused_by_name(dtype: str) -> None:
    with pytest.raises(TypeError, match=f"values has dtype {dtype}"):
        rr.RaggedBatch(np.ones((3, 2), dtype), [3])


@pytest.mark.parametrize(
    "options",
    [
        {"gate_clip": 1.0, "cell_clip": 1.0},
        {"gate_clip": 1.0, "proj_size": 2},
        {"cell_clip": 1.0, "coupled": True},
        {"proj_size": 5},
        {"biases": 3},
    ],
)
def test_options_that_nothing_defines_are_refused(options: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="expected"):
        rr.LSTM(3, 5, **options)


def test_parameters_survive_a_file_and_are_no_view(tmp_path: Path) -> None:
    source = {"W_ih": np.ones((2, 3)), "W_hh": np.zeros((2, 2))}
    parameters = rr.CellParameters(source)
    source["W_ih"][...] = 7
    assert parameters.W_ih.max() == 1
    parameters.save(tmp_path / "p.npz")
    assert rr.CellParameters.load(tmp_path / "p.npz") == parameters
    np.savez(tmp_path / "other.npz", W_ih=np.ones(3))
    with pytest.raises(ValueError, match="format tag"):
        rr.CellParameters.load(tmp_path / "other.npz")


def test_a_complex_run_has_no_backward() -> None:
    cell = rr.RNN(3, 5)
    params, batch, _ = _case(cell)
    run = rr.forward(cell, params.astype("complex128"), batch.with_values(batch.values + 0j))
    with pytest.raises(TypeError, match="complex is forward only"):
        rr.backward(run.tape)
